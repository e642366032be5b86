//! Certificates for the tests of TLS: an authority, and those that it issues,
//! good ones and bad ones.
//!
//! `pki()` has the usual ones; `Authority` makes others. All is in memory; `write_to`
//! is for peers that want files.
#![allow(dead_code, reason = "is for all tests of TLS, each of which uses a part")]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
    date_time_ymd,
};
use rondel::{Pem, TlsClientConfig, TlsClientConfigBuilder, TlsServerConfig, TlsServerConfigBuilder};

/// The names of the server of all tests.
pub const SERVER_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The certificates that most tests need.
pub struct Pki {
    /// Is who issued all of these but `stranger`.
    pub authority: Authority,
    /// Is for `SERVER_NAMES`.
    pub server: Issued,
    /// Is as `server`, but was valid in 2020 only.
    pub expired: Issued,
    /// Is as `server`, but will be valid in 2100.
    pub not_yet_valid: Issued,
    /// Is for `other.example`.
    pub other_host: Issued,
    /// Is a client's.
    pub client: Issued,
    /// Is for `SERVER_NAMES`, by an authority that nobody knows.
    pub stranger: Issued,
    /// Is a client's, by an authority that nobody knows.
    pub strange_client: Issued,
}

/// Returns the certificates of this process.
pub fn pki() -> &'static Pki {
    static PKI: OnceLock<Pki> = OnceLock::new();
    PKI.get_or_init(|| {
        let authority = Authority::new("rondel's test authority");
        let stranger = Authority::new("nobody knows this one");
        Pki {
            server: authority.server(&SERVER_NAMES),
            expired: authority.server_valid(&SERVER_NAMES, 2020..2021),
            not_yet_valid: authority.server_valid(&SERVER_NAMES, 2100..2101),
            other_host: authority.server(&["other.example"]),
            client: authority.client("a client"),
            stranger: stranger.server(&SERVER_NAMES),
            strange_client: stranger.client("a strange client"),
            authority,
        }
    })
}

/// Begins a client that trusts the authority of `pki()`.
pub fn client() -> TlsClientConfigBuilder {
    TlsClientConfig::builder().load_verify_locations(pki().authority.pem())
}

/// Begins a server with the good certificate of `pki()`.
pub fn server() -> TlsServerConfigBuilder {
    pki().server.to_server()
}

/// Issues certificates.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    serial: u64,
    /// Lead to the root, which is not among them.
    intermediates: String,
}

/// A certificate, what leads to its root, and its key, in PEM.
#[derive(Clone)]
pub struct Issued {
    /// Begins with the certificate itself.
    pub chain: String,
    pub key: String,
    pub serial: u64,
}

impl Authority {
    /// Makes one that signs itself.
    pub fn new(name: &str) -> Self {
        let serial = next_serial();
        let issuer = CertifiedIssuer::self_signed(Self::params(name, serial), key()).unwrap();
        Self { issuer, serial, intermediates: String::new() }
    }

    /// Makes one below this one.
    pub fn intermediate(&self, name: &str) -> Self {
        let serial = next_serial();
        let issuer = CertifiedIssuer::signed_by(Self::params(name, serial), key(), &self.issuer).unwrap();
        let intermediates = issuer.pem() + &self.intermediates;
        Self { issuer, serial, intermediates }
    }

    /// Returns its own serial number.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// Makes a list of those that it has revoked, which is good until the begin of a
    /// year.
    pub fn revocation_list(&self, serials: &[u64], until: i32) -> Pem {
        Pem::text(self.revocation_text(serials, until))
    }

    /// As [`revocation_list`](Self::revocation_list), for a file.
    pub fn revocation_text(&self, serials: &[u64], until: i32) -> String {
        let revoked = |&serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(until, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    fn params(name: &str, serial: u64) -> CertificateParams {
        let mut params = params(name, &[]);
        params.serial_number = Some(SerialNumber::from(serial));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
    }

    /// Returns its own certificate.
    pub fn text(&self) -> String {
        self.issuer.pem()
    }

    /// Returns its own certificate, for `load_verify_locations`.
    pub fn pem(&self) -> Pem {
        Pem::text(self.text())
    }

    /// Issues a server's certificate for these names and addresses.
    pub fn server(&self, names: &[&str]) -> Issued {
        self.issue(ExtendedKeyUsagePurpose::ServerAuth, params(names[0], names))
    }

    /// Issues a server's certificate that is valid from the begin of one year to that of another.
    pub fn server_valid(&self, names: &[&str], years: core::ops::Range<i32>) -> Issued {
        let mut params = params(names[0], names);
        params.not_before = date_time_ymd(years.start, 1, 1);
        params.not_after = date_time_ymd(years.end, 1, 1);
        self.issue(ExtendedKeyUsagePurpose::ServerAuth, params)
    }

    /// Issues a client's certificate.
    pub fn client(&self, name: &str) -> Issued {
        self.issue(ExtendedKeyUsagePurpose::ClientAuth, params(name, &[]))
    }

    fn issue(&self, purpose: ExtendedKeyUsagePurpose, mut params: CertificateParams) -> Issued {
        params.extended_key_usages = vec![purpose];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let serial = next_serial();
        params.serial_number = Some(SerialNumber::from(serial));
        let key = key();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued { chain: certificate.pem() + &self.intermediates, key: key.serialize_pem(), serial }
    }
}

impl Issued {
    /// Returns the chain, for `load_cert_chain`.
    pub fn chain_pem(&self) -> Pem {
        Pem::text(self.chain.as_str())
    }

    /// Returns the key, for `load_cert_chain`.
    pub fn key_pem(&self) -> Pem {
        Pem::text(self.key.as_str())
    }

    /// Begins a server that shows it.
    pub fn to_server(&self) -> TlsServerConfigBuilder {
        TlsServerConfig::builder(self.chain_pem(), self.key_pem())
    }

    /// Writes `name.pem` and `name.key`.
    pub fn write_to(&self, directory: &Path, name: &str) -> (PathBuf, PathBuf) {
        let chain = directory.join(format!("{name}.pem"));
        let key = directory.join(format!("{name}.key"));
        std::fs::write(&chain, &self.chain).unwrap();
        std::fs::write(&key, &self.key).unwrap();
        (chain, key)
    }
}

/// Makes a server's certificate that is signed by its own key, an authority's or not.
pub fn self_signed(names: &[&str], is_ca: bool) -> Issued {
    let mut params = params(names[0], names);
    if is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let serial = next_serial();
    params.serial_number = Some(SerialNumber::from(serial));
    let key = key();
    Issued { chain: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem(), serial }
}

fn params(name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// Returns a number that no other certificate of this process has.
fn next_serial() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}

/// A directory of one test that is gone with it.
pub struct Directory(pub PathBuf);

impl Directory {
    /// Makes it; `name` tells the tests of this process apart.
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rondel-tls-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

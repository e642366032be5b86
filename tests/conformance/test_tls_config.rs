//! Configurations of TLS and its errors: two sides of rustls's shake hands in memory,
//! without a loop.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use rondel::rustls::crypto::{CryptoProvider, ring};
use rondel::rustls::pki_types::ServerName;
use rondel::rustls::{
    self, AlertDescription, CertRevocationListError, CertificateError, CipherSuite, ClientConnection,
    HandshakeKind, PeerMisbehaved, ProtocolVersion, ServerConnection,
};
use rondel::{Error, ErrorKind, Pem, TlsClientConfig, TlsError, TlsServerConfig, TlsVersion};

use crate::tls_fixture::{Authority, Directory, Issued, client, pki, self_signed, server};

/// Both sides of a connection after its handshake.
pub struct Pair {
    pub client: ClientConnection,
    pub server: ServerConnection,
}

/// Why each side gave up.
#[derive(Debug)]
pub struct Failed {
    pub client: Option<TlsError>,
    pub server: Option<TlsError>,
}

impl Failed {
    pub fn client(self) -> TlsError {
        self.client.expect("the client has no error")
    }

    pub fn server(self) -> TlsError {
        self.server.expect("the server has no error")
    }
}

/// Carries everything between the two sides until both are silent.
pub fn shake_hands(
    client: &TlsClientConfig,
    server: &TlsServerConfig,
    name: &str,
) -> Result<Pair, Box<Failed>> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(client.clone().into(), name).unwrap();
    let mut server = ServerConnection::new(server.clone().into()).unwrap();
    let mut failed = Failed { client: None, server: None };
    loop {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let from_client = bytes.len();
        if failed.server.is_none() {
            failed.server = feed(&mut server, &bytes).err();
        }
        bytes.clear();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        if failed.client.is_none() {
            failed.client = feed(&mut client, &bytes).err();
        }
        if bytes.is_empty() && from_client == 0 {
            break;
        }
    }
    if failed.client.is_some() || failed.server.is_some() {
        return Err(Box::new(failed));
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(Pair { client, server })
}

fn feed<Data>(
    connection: &mut impl core::ops::DerefMut<Target = rustls::ConnectionCommon<Data>>,
    mut bytes: &[u8],
) -> Result<(), TlsError> {
    while !bytes.is_empty() {
        connection.read_tls(&mut bytes).unwrap();
        connection.process_new_packets()?;
    }
    Ok(())
}

pub fn fails(client: &TlsClientConfig, server: &TlsServerConfig, name: &str) -> Box<Failed> {
    match shake_hands(client, server, name) {
        Err(failed) => failed,
        Ok(_) => panic!("the handshake succeeded"),
    }
}

/// Returns the error of the client that meets this certificate under the name `localhost`.
fn rejection_of(issued: &Issued) -> TlsError {
    fails(&client().build().unwrap(), &issued.to_server().build().unwrap(), "localhost").client()
}

/// Returns why a configuration can't be made.
pub fn tls_error<T>(result: rondel::Result<T>) -> TlsError {
    match result {
        Ok(_) => panic!("there is no error"),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
            error.as_tls().expect("an error of TLS").clone()
        }
    }
}

fn shown_to(pair: &Pair) -> &[u8] {
    &pair.client.peer_certificates().unwrap()[0]
}

/// Returns the first certificate of a chain in DER.
fn der(issued: &Issued) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject;
    rustls::pki_types::CertificateDer::from_pem_slice(issued.chain.as_bytes()).unwrap().to_vec()
}

// Who is trusted

#[test]
fn a_certificate_of_a_trusted_authority_is_accepted_by_name_and_by_address() {
    let (client, server) = (client().build().unwrap(), server().build().unwrap());
    for name in ["localhost", "LOCALHOST", "127.0.0.1", "::1"] {
        let pair = shake_hands(&client, &server, name).unwrap();
        assert_eq!(pair.client.protocol_version(), Some(ProtocolVersion::TLSv1_3), "{name}");
        assert_eq!(shown_to(&pair), der(&pki().server), "{name}");
    }
}

// L-10
#[test]
fn l10_an_expired_certificate_tells_until_when_it_was_valid() {
    let error = rejection_of(&pki().expired);
    let TlsError::CertificateExpired { not_after: Some(end) } = error else { panic!("{error:?}") };
    assert_eq!(end, SystemTime::UNIX_EPOCH + Duration::from_secs(1_609_459_200));
    let text = error.to_string();
    assert!(text.contains("2021-01-01") && text.contains("renewed"), "{text}");
}

// L-10
#[test]
fn l10_a_certificate_that_is_not_valid_yet_tells_from_when() {
    let error = rejection_of(&pki().not_yet_valid);
    let TlsError::CertificateNotYetValid { not_before: Some(_) } = error else { panic!("{error:?}") };
    let text = error.to_string();
    assert!(text.contains("2100-01-01") && text.contains("clocks"), "{text}");
}

// L-10
#[test]
fn l10_a_clock_that_nobody_has_set_is_an_error_of_its_own() {
    let server = pki().authority.server_valid(&["localhost"], 2024..2100).to_server().build().unwrap();
    let at = |seconds: u64| {
        let clock = move || Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        fails(&client().wall_clock(clock).build().unwrap(), &server, "localhost").client()
    };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
    assert_eq!(at(100), TlsError::ClockUnset { now: Some(now) });
    assert!(at(100).to_string().contains("1970-01-01"), "{}", at(100));
    assert!(matches!(at(1_577_836_799), TlsError::ClockUnset { .. }));
    // 2020-01-01, from which a clock counts as set.
    assert!(matches!(at(1_577_836_800), TlsError::CertificateNotYetValid { .. }));
}

// L-10
#[test]
fn l10_without_a_clock_or_before_1970_no_certificate_is_accepted() {
    let server = server().build().unwrap();
    let before = || SystemTime::UNIX_EPOCH.checked_sub(Duration::from_secs(1));
    for client in [client().wall_clock(|| None), client().wall_clock(before)] {
        let error = fails(&client.build().unwrap(), &server, "localhost").client();
        assert_eq!(error, TlsError::ClockUnset { now: None });
    }
}

// L-10, TL-3
#[test]
fn l10_a_certificate_for_another_host_tells_for_which() {
    let error = rejection_of(&pki().other_host);
    let TlsError::WrongName { expected, presented } = &error else { panic!("{error:?}") };
    assert_eq!(expected.as_deref(), Some("localhost"));
    assert_eq!(presented, &["other.example"]);
    let text = error.to_string();
    assert!(text.contains("localhost") && text.contains("other.example"), "{text}");
    assert!(text.contains("server_hostname"), "{text}");
}

// TL-17
#[test]
fn tl17_an_address_is_verified_as_an_address() {
    let named = pki().authority.server(&["localhost"]).to_server().build().unwrap();
    let error = fails(&client().build().unwrap(), &named, "127.0.0.1").client();
    let TlsError::WrongName { expected: Some(expected), .. } = error else { panic!("{error:?}") };
    assert_eq!(expected, "127.0.0.1");
    let addressed = pki().authority.server(&["127.0.0.1", "::1"]).to_server().build().unwrap();
    let error = fails(&client().build().unwrap(), &addressed, "127.0.0.2").client();
    let TlsError::WrongName { presented, .. } = error else { panic!("{error:?}") };
    assert_eq!(presented, ["127.0.0.1", "::1"]);
}

// TL-3
#[test]
fn tl3_a_certificate_of_a_stranger_is_refused_and_the_server_hears_of_it() {
    let failed = fails(&client().build().unwrap(), &pki().stranger.to_server().build().unwrap(), "localhost");
    assert_eq!(failed.server, Some(TlsError::Alert(AlertDescription::UnknownCA)));
    assert_eq!(failed.client, Some(TlsError::UnknownIssuer));
    assert!(TlsError::UnknownIssuer.to_string().contains("load_verify_locations"));
    let alert = TlsError::Alert(AlertDescription::UnknownCA).to_string();
    assert!(alert.contains("doesn't trust the issuer"), "{alert}");
}

#[test]
fn a_chain_leads_to_the_root_by_what_the_server_sends() {
    let issued = pki().authority.intermediate("in between").server(&["localhost"]);
    let client = client().build().unwrap();
    shake_hands(&client, &issued.to_server().build().unwrap(), "localhost").unwrap();
    let end = issued.chain.find("-----END CERTIFICATE-----").unwrap() + "-----END CERTIFICATE-----\n".len();
    let alone = Issued { chain: issued.chain[..end].into(), ..issued };
    assert_eq!(rejection_of(&alone), TlsError::UnknownIssuer);
}

#[test]
fn a_certificate_that_its_owner_signed_can_be_trusted_by_itself() {
    let own = self_signed(&["localhost"], false);
    let server = own.to_server().build().unwrap();
    let trusting = TlsClientConfig::builder().load_verify_locations(own.chain_pem()).build().unwrap();
    shake_hands(&trusting, &server, "localhost").unwrap();
    assert_eq!(rejection_of(&own), TlsError::UnknownIssuer);
}

#[test]
fn an_authoritys_own_certificate_is_no_servers_and_the_error_says_so() {
    let own = self_signed(&["localhost"], true);
    let server = own.to_server().build().unwrap();
    let trusting = TlsClientConfig::builder().load_verify_locations(own.chain_pem()).build().unwrap();
    let error = fails(&trusting, &server, "localhost").client();
    assert!(matches!(error, TlsError::BadCertificate(_)), "{error:?}");
    assert!(error.to_string().contains("CA:FALSE"), "{error}");
}

// L-10
#[test]
fn l10_a_huge_chain_is_refused() {
    let Issued { chain, .. } = &pki().server;
    let huge = Issued { chain: chain.clone() + &pki().authority.text().repeat(400), ..pki().server.clone() };
    let error = rejection_of(&huge);
    assert!(matches!(error, TlsError::Other(rustls::Error::InvalidMessage(_))), "{error:?}");
    // One that fits is tried, within the budget of the verification.
    let stranger = &pki().stranger;
    let many =
        Issued { chain: stranger.chain.clone() + &pki().authority.text().repeat(100), ..stranger.clone() };
    assert_eq!(rejection_of(&many), TlsError::UnknownIssuer);
}

#[test]
fn several_texts_of_issuers_add_up() {
    let other = Authority::new("another");
    let server = other.server(&["localhost"]).to_server().build().unwrap();
    let both = client().load_verify_locations(other.pem()).build().unwrap();
    shake_hands(&both, &server, "localhost").unwrap();
    shake_hands(&both, &crate::tls_fixture::server().build().unwrap(), "localhost").unwrap();
    let in_one = Pem::text(pki().authority.text() + &other.text());
    let in_one = TlsClientConfig::builder().load_verify_locations(in_one).build().unwrap();
    shake_hands(&in_one, &server, "localhost").unwrap();
}

#[test]
fn the_default_context_trusts_the_systems_authorities_and_named_ones_replace_them() {
    const INNER: &str = "RONDEL_TEST_SYSTEM";
    if std::env::var_os(INNER).is_some() {
        let system = TlsClientConfig::create_default_context().unwrap();
        shake_hands(&system, &server().build().unwrap(), "localhost").map(drop).unwrap_err();
        let file = std::env::var_os("SSL_CERT_FILE").unwrap();
        let issued = Path::new(&file).parent().unwrap();
        let systems = TlsServerConfig::builder(
            Pem::file(issued.join("server.pem")),
            Pem::file(issued.join("server.key")),
        );
        let systems = systems.build().unwrap();
        shake_hands(&system, &systems, "localhost").unwrap();
        let named = client().build().unwrap();
        assert_eq!(fails(&named, &systems, "localhost").client(), TlsError::UnknownIssuer);
        let both = client().load_default_certs().build().unwrap();
        shake_hands(&both, &systems, "localhost").unwrap();
        return;
    }
    // The variable stands for a system with this one authority.
    let directory = Directory::new("system");
    let authority = Authority::new("the system's");
    std::fs::write(directory.0.join("ca.pem"), authority.text()).unwrap();
    authority.server(&["localhost"]).write_to(&directory.0, "server");
    let name =
        "test_tls_config::the_default_context_trusts_the_systems_authorities_and_named_ones_replace_them";
    let inner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(INNER, "1")
        .env("SSL_CERT_FILE", directory.0.join("ca.pem"))
        .env_remove("SSL_CERT_DIR")
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&inner.stdout).contains("1 passed"), "{inner:?}");
}

#[test]
fn a_system_without_authorities_is_told_at_once() {
    const INNER: &str = "RONDEL_TEST_NO_SYSTEM";
    if std::env::var_os(INNER).is_some() {
        let error = tls_error(TlsClientConfig::create_default_context());
        assert_eq!(error, TlsError::NoTrustAnchors);
        assert!(error.to_string().contains("ca-certificates"), "{error}");
        return;
    }
    let directory = Directory::new("no-system");
    std::fs::write(directory.0.join("empty.pem"), "").unwrap();
    let inner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "test_tls_config::a_system_without_authorities_is_told_at_once"])
        .env(INNER, "1")
        .env("SSL_CERT_FILE", directory.0.join("empty.pem"))
        .env_remove("SSL_CERT_DIR")
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&inner.stdout).contains("1 passed"), "{inner:?}");
}

#[test]
fn verification_goes_away_only_by_dangerous_names() {
    let strangers = pki().stranger.to_server().build().unwrap();
    let blind = TlsClientConfig::builder().dangerous_without_verification().build().unwrap();
    shake_hands(&blind, &strangers, "any.example").unwrap();
    shake_hands(&blind, &pki().expired.to_server().build().unwrap(), "localhost").unwrap();
    let old = pki().stranger.to_server().maximum_version(TlsVersion::Tls12).build().unwrap();
    shake_hands(&blind, &old, "any.example").unwrap();

    let nameless = client().dangerous_without_name_check().build().unwrap();
    shake_hands(&nameless, &pki().other_host.to_server().build().unwrap(), "localhost").unwrap();
    assert_eq!(fails(&nameless, &strangers, "localhost").client(), TlsError::UnknownIssuer);
    let expired = pki().expired.to_server().build().unwrap();
    let error = fails(&nameless, &expired, "localhost").client();
    assert!(matches!(error, TlsError::CertificateExpired { .. }), "{error:?}");
}

// What is spoken

#[test]
fn without_a_common_version_both_sides_say_so() {
    let old = client().maximum_version(TlsVersion::Tls12).build().unwrap();
    let new = server().minimum_version(TlsVersion::Tls13).build().unwrap();
    let failed = fails(&old, &new, "localhost");
    assert_eq!(failed.client, Some(TlsError::ProtocolVersion));
    assert_eq!(failed.server, Some(TlsError::ProtocolVersion));
    assert!(TlsError::ProtocolVersion.to_string().contains("minimum_version"));

    let new = client().minimum_version(TlsVersion::Tls13).build().unwrap();
    let old = server().maximum_version(TlsVersion::Tls12).build().unwrap();
    let failed = fails(&new, &old, "localhost");
    assert_eq!(failed.client, Some(TlsError::ProtocolVersion));
    assert_eq!(failed.server, Some(TlsError::ProtocolVersion));
}

#[test]
fn the_newest_version_that_both_allow_is_spoken() {
    let old = server().maximum_version(TlsVersion::Tls12).build().unwrap();
    let pair = shake_hands(&client().build().unwrap(), &old, "localhost").unwrap();
    assert_eq!(pair.client.protocol_version(), Some(ProtocolVersion::TLSv1_2));
    let pair = shake_hands(&client().build().unwrap(), &server().build().unwrap(), "localhost").unwrap();
    assert_eq!(pair.server.protocol_version(), Some(ProtocolVersion::TLSv1_3));
}

#[test]
fn versions_that_contradict_each_other_are_refused() {
    let (min, max) = (TlsVersion::Tls13, TlsVersion::Tls12);
    let error = tls_error(client().minimum_version(min).maximum_version(max).build());
    assert!(matches!(error, TlsError::BadConfig(_)), "{error:?}");
    let error = tls_error(server().minimum_version(min).maximum_version(max).build());
    assert!(matches!(error, TlsError::BadConfig(_)), "{error:?}");
}

#[test]
fn a_common_application_protocol_is_agreed_on() {
    let client = client().set_alpn_protocols(["h2", "http/1.1"]).build().unwrap();
    let both = server().set_alpn_protocols(["http/1.1", "h2"]).build().unwrap();
    let pair = shake_hands(&client, &both, "localhost").unwrap();
    assert_eq!(pair.client.alpn_protocol(), pair.server.alpn_protocol());
    assert!(pair.client.alpn_protocol().is_some());
    let one = server().set_alpn_protocols([b"http/1.1"]).build().unwrap();
    let pair = shake_hands(&client, &one, "localhost").unwrap();
    assert_eq!(pair.client.alpn_protocol(), Some(&b"http/1.1"[..]));
    let none = server().build().unwrap();
    assert_eq!(shake_hands(&client, &none, "localhost").unwrap().client.alpn_protocol(), None);
}

#[test]
fn without_a_common_application_protocol_both_sides_say_so() {
    let client = client().set_alpn_protocols(["mqtt"]).build().unwrap();
    let server = server().set_alpn_protocols(["h2"]).build().unwrap();
    let failed = fails(&client, &server, "localhost");
    assert_eq!(failed.client, Some(TlsError::NoApplicationProtocol));
    assert_eq!(failed.server, Some(TlsError::NoApplicationProtocol));
}

#[test]
fn an_application_protocol_has_1_to_255_bytes() {
    for name in [String::new(), "x".repeat(256)] {
        let error = tls_error(client().set_alpn_protocols([&name]).build());
        assert!(error.to_string().contains("ALPN"), "{error}");
        let error = tls_error(server().set_alpn_protocols([&name]).build());
        assert!(error.to_string().contains("ALPN"), "{error}");
    }
    client().set_alpn_protocols(["x".repeat(255)]).build().unwrap();
}

#[test]
fn the_cryptography_of_ones_own_is_used() {
    let suite = ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256;
    let own = Arc::new(CryptoProvider { cipher_suites: vec![suite], ..ring::default_provider() });
    let client = client().crypto_provider(own.clone()).build().unwrap();
    let pair = shake_hands(&client, &server().build().unwrap(), "localhost").unwrap();
    let suite = pair.client.negotiated_cipher_suite().unwrap().suite();
    assert_eq!(suite, CipherSuite::TLS13_CHACHA20_POLY1305_SHA256);
    let server = server().crypto_provider(own).build().unwrap();
    shake_hands(&client, &server, "localhost").unwrap();

    let none = Arc::new(CryptoProvider { cipher_suites: Vec::new(), ..ring::default_provider() });
    let error = tls_error(crate::tls_fixture::client().crypto_provider(none).build());
    assert!(matches!(error, TlsError::Other(_)), "{error:?}");
}

#[test]
fn configurations_of_rustls_are_taken_as_they_are_and_given_back() {
    let rustls: Arc<rustls::ClientConfig> = client().build().unwrap().into();
    let same: Arc<rustls::ClientConfig> = TlsClientConfig::from(rustls.clone()).into();
    assert!(Arc::ptr_eq(&rustls, &same));
    let rustls: Arc<rustls::ServerConfig> = server().build().unwrap().into();
    let config = TlsServerConfig::from(rustls.clone());
    assert_eq!(tls_error(config.reload()), TlsError::NotReloadable);
    let pki = pki();
    let other = (pki.server.chain_pem(), pki.server.key_pem());
    assert_eq!(tls_error(config.reload_cert_chain(other.0, other.1)), TlsError::NotReloadable);
    let same: Arc<rustls::ServerConfig> = config.into();
    assert!(Arc::ptr_eq(&rustls, &same));
}

#[test]
fn keys_are_logged_only_when_asked() {
    const INNER: &str = "RONDEL_TEST_KEYLOG";
    if let Some(asked) = std::env::var_os(INNER) {
        let (mut client, mut server) = (client(), server());
        if asked == "client" {
            client = client.log_keys_to_environments_file();
        } else if asked == "server" {
            server = server.log_keys_to_environments_file();
        }
        shake_hands(&client.build().unwrap(), &server.build().unwrap(), "localhost").unwrap();
        return;
    }
    let directory = Directory::new("keylog");
    for asked in ["nobody", "client", "server"] {
        let log = directory.0.join(asked);
        let inner = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "test_tls_config::keys_are_logged_only_when_asked"])
            .env(INNER, asked)
            .env("SSLKEYLOGFILE", &log)
            .output()
            .unwrap();
        assert!(String::from_utf8_lossy(&inner.stdout).contains("1 passed"), "{inner:?}");
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        assert_eq!(text.contains("CLIENT_TRAFFIC_SECRET_0"), asked != "nobody", "{asked}: {text}");
    }
}

// Clients' certificates

#[test]
fn a_required_client_certificate_is_presented_and_read() {
    let server = server().require_client_certificates(pki().authority.pem()).build().unwrap();
    let (chain, key) = (pki().client.chain_pem(), pki().client.key_pem());
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        let client =
            client().load_cert_chain(chain.clone(), key.clone()).maximum_version(version).build().unwrap();
        let pair = shake_hands(&client, &server, "localhost").unwrap();
        assert_eq!(pair.server.peer_certificates().unwrap()[0].as_ref(), der(&pki().client), "{version:?}");
    }
}

#[test]
fn a_client_without_the_required_certificate_is_told_what_to_do() {
    let server = server().require_client_certificates(pki().authority.pem()).build().unwrap();
    let failed = fails(&client().build().unwrap(), &server, "localhost");
    assert_eq!(failed.server, Some(TlsError::NoPeerCertificate));
    let alert = failed.client();
    assert_eq!(alert, TlsError::Alert(AlertDescription::CertificateRequired));
    assert!(alert.to_string().contains("load_cert_chain"), "{alert}");
}

#[test]
fn a_client_certificate_of_a_stranger_or_for_servers_is_refused() {
    let server = server().require_client_certificates(pki().authority.pem()).build().unwrap();
    let with = |issued: &Issued| {
        let client = client().load_cert_chain(issued.chain_pem(), issued.key_pem()).build().unwrap();
        fails(&client, &server, "localhost")
    };
    assert_eq!(with(&pki().strange_client).server(), TlsError::UnknownIssuer);
    let error = with(&pki().server).server();
    let TlsError::BadCertificate(CertificateError::InvalidPurposeContext { .. }) = error else {
        panic!("{error:?}")
    };
    assert!(error.to_string().contains("can't be used"), "{error}");
}

#[test]
fn a_requested_client_certificate_may_be_left_out_but_not_be_a_strangers() {
    let server = server().request_client_certificates(pki().authority.pem()).build().unwrap();
    let pair = shake_hands(&client().build().unwrap(), &server, "localhost").unwrap();
    assert!(pair.server.peer_certificates().is_none());
    let known = &pki().client;
    let known = client().load_cert_chain(known.chain_pem(), known.key_pem()).build().unwrap();
    assert!(shake_hands(&known, &server, "localhost").unwrap().server.peer_certificates().is_some());
    let strange = &pki().strange_client;
    let strange = client().load_cert_chain(strange.chain_pem(), strange.key_pem()).build().unwrap();
    assert_eq!(fails(&strange, &server, "localhost").server(), TlsError::UnknownIssuer);
}

// Several certificates

fn server_of_many() -> TlsServerConfig {
    let authority = &pki().authority;
    let (one, all) = (authority.server(&["one.example"]), authority.server(&["*.many.example"]));
    server()
        .load_cert_chain_for(["One.Example"], one.chain_pem(), one.key_pem())
        .load_cert_chain_for(["*.many.example"], all.chain_pem(), all.key_pem())
        .build()
        .unwrap()
}

#[test]
fn a_name_chooses_the_certificate_and_the_default_is_for_all_others() {
    let blind = TlsClientConfig::builder().dangerous_without_verification().build().unwrap();
    let server = server_of_many();
    let strict = client().build().unwrap();
    for name in ["one.example", "ONE.example", "two.many.example", "localhost", "127.0.0.1"] {
        shake_hands(&strict, &server, name).unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
    // A star is one label, and not none.
    for name in ["a.two.many.example", "many.example", "elsewhere.test"] {
        let pair = shake_hands(&blind, &server, name).unwrap();
        assert_eq!(shown_to(&pair), der(&pki().server), "{name}");
    }
}

#[test]
fn a_name_in_full_comes_before_a_star() {
    let authority = &pki().authority;
    let (one, all) = (authority.server(&["one.many.example"]), authority.server(&["*.many.example"]));
    let server = server()
        .load_cert_chain_for(["one.many.example"], one.chain_pem(), one.key_pem())
        .load_cert_chain_for(["*.many.example"], all.chain_pem(), all.key_pem())
        .build()
        .unwrap();
    let client = client().build().unwrap();
    for (name, issued) in [("one.many.example", &one), ("two.many.example", &all)] {
        let pair = shake_hands(&client, &server, name).unwrap();
        assert_eq!(shown_to(&pair), der(issued), "{name}");
    }
}

#[test]
fn a_certificate_that_is_not_for_its_name_is_refused_at_once() {
    let add = |name: &str| {
        let other = &pki().other_host;
        tls_error(server().load_cert_chain_for([name], other.chain_pem(), other.key_pem()).build())
    };
    for name in ["another.example", "*.example", "*.other.example"] {
        let error = add(name);
        let TlsError::BadOwnCertificate { error: inner, .. } = &error else { panic!("{error:?}") };
        assert!(matches!(inner, CertificateError::NotValidForNameContext { .. }), "{name}");
        assert!(error.to_string().contains("other.example"), "{error}");
    }
    for name in ["", "no name", "127.0.0.1", "*"] {
        let error = add(name);
        assert!(matches!(error, TlsError::BadConfig(_)), "{name:?}: {error:?}");
    }
}

// Reloading

#[test]
fn files_are_read_anew_and_connections_that_stand_go_on() {
    use std::io::{Read, Write};
    let directory = Directory::new("reload");
    let (chain, key) = pki().server.write_to(&directory.0, "server");
    let server = TlsServerConfig::builder(Pem::file(chain), Pem::file(key)).build().unwrap();
    let client = client().session_cache(0).build().unwrap();
    let mut before = shake_hands(&client, &server, "localhost").unwrap();
    let renewed = pki().authority.server(&["localhost"]);
    renewed.write_to(&directory.0, "server");
    let pair = shake_hands(&client, &server, "localhost").unwrap();
    assert_eq!(shown_to(&pair), der(&pki().server), "nothing changes by itself");
    server.reload().unwrap();
    let pair = shake_hands(&client, &server.clone(), "localhost").unwrap();
    assert_eq!(shown_to(&pair), der(&renewed));

    before.client.writer().write_all(b"still here").unwrap();
    let mut bytes = Vec::new();
    before.client.write_tls(&mut bytes).unwrap();
    feed(&mut before.server, &bytes).unwrap();
    let mut data = [0; 10];
    before.server.reader().read_exact(&mut data).unwrap();
    assert_eq!(&data, b"still here");
}

#[test]
fn a_reload_that_fails_changes_nothing() {
    let directory = Directory::new("reload-fails");
    let (chain, key) = pki().server.write_to(&directory.0, "server");
    let server = TlsServerConfig::builder(Pem::file(chain), Pem::file(&key)).build().unwrap();
    let client = client().build().unwrap();
    let still_the_same = || {
        let pair = shake_hands(&client, &server, "localhost").unwrap();
        assert_eq!(shown_to(&pair), der(&pki().server));
    };
    // Somebody is in the middle of replacing both.
    std::fs::write(&key, &pki().client.key).unwrap();
    assert!(matches!(tls_error(server.reload()), TlsError::KeyMismatch { .. }));
    still_the_same();
    std::fs::write(&key, "").unwrap();
    assert!(matches!(tls_error(server.reload()), TlsError::NoPrivateKey { .. }));
    still_the_same();
    std::fs::remove_file(&key).unwrap();
    assert_eq!(server.reload().unwrap_err().kind(), ErrorKind::Io);
    still_the_same();
    pki().server.write_to(&directory.0, "server");
    let other = &pki().other_host;
    let error = server.reload_cert_chain_for(["wrong.example"], other.chain_pem(), other.key_pem());
    assert!(matches!(tls_error(error), TlsError::BadOwnCertificate { .. }));
    still_the_same();
    // What was refused is not tried again.
    server.reload().unwrap();
    still_the_same();
}

#[test]
fn other_certificates_take_the_place_of_the_default_and_of_names() {
    let blind = TlsClientConfig::builder().dangerous_without_verification().session_cache(0).build().unwrap();
    let shown =
        |server: &TlsServerConfig, name: &str| shown_to(&shake_hands(&blind, server, name).unwrap()).to_vec();
    let server = server_of_many();
    let star = shown(&server, "two.many.example");
    let renewed = pki().authority.server(&["one.example", "two.many.example"]);
    server.reload_cert_chain(renewed.chain_pem(), renewed.key_pem()).unwrap();
    assert_eq!(shown(&server, "localhost"), der(&renewed));
    assert_eq!(shown(&server, "two.many.example"), star);
    server.reload_cert_chain_for(["ONE.example"], renewed.chain_pem(), renewed.key_pem()).unwrap();
    assert_eq!(shown(&server, "one.example"), der(&renewed));
    server.reload_cert_chain_for(["two.many.example"], renewed.chain_pem(), renewed.key_pem()).unwrap();
    assert_eq!(shown(&server, "two.many.example"), der(&renewed));
    assert_eq!(shown(&server, "three.many.example"), star);
}

#[test]
fn handshakes_go_on_while_another_thread_reloads() {
    let server = server().build().unwrap();
    let client = client().session_cache(0).build().unwrap();
    let renewed = pki().authority.server(&["localhost"]);
    let reloading = {
        let (server, renewed) = (server.clone(), renewed.clone());
        thread::spawn(move || {
            for _ in 0..20 {
                server.reload_cert_chain(renewed.chain_pem(), renewed.key_pem()).unwrap();
                server.reload_cert_chain(pki().server.chain_pem(), pki().server.key_pem()).unwrap();
            }
        })
    };
    let certificates = [der(&renewed), der(&pki().server)];
    while !reloading.is_finished() {
        let pair = shake_hands(&client, &server, "localhost").unwrap();
        assert!(certificates.iter().any(|certificate| certificate == shown_to(&pair)));
    }
    reloading.join().unwrap();
}

// Sessions

fn second_handshake(client: &TlsClientConfig, server: &TlsServerConfig) -> HandshakeKind {
    let first = shake_hands(client, server, "localhost").unwrap();
    assert_eq!(first.client.handshake_kind(), Some(HandshakeKind::Full));
    shake_hands(client, server, "localhost").unwrap().client.handshake_kind().unwrap()
}

#[test]
fn sessions_are_resumed_unless_one_side_keeps_none() {
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        let client = || client().maximum_version(version);
        let kinds = [
            second_handshake(&client().build().unwrap(), &server().build().unwrap()),
            second_handshake(&client().session_cache(0).build().unwrap(), &server().build().unwrap()),
            second_handshake(&client().build().unwrap(), &server().session_cache(0).build().unwrap()),
            second_handshake(
                &client().build().unwrap(),
                &server().session_cache(0).stateless_tickets().build().unwrap(),
            ),
        ];
        use HandshakeKind::{Full, Resumed};
        assert_eq!(kinds, [Resumed, Full, Full, Resumed], "{version:?}");
    }
}

#[test]
fn a_client_of_tls13_gets_as_many_tickets_as_the_server_says() {
    for (tickets, kind) in [(0, HandshakeKind::Full), (1, HandshakeKind::Resumed)] {
        let server = server().tickets_per_handshake(tickets).build().unwrap();
        let client = client().build().unwrap();
        let pair = shake_hands(&client, &server, "localhost").unwrap();
        assert_eq!(pair.client.tls13_tickets_received() as usize, tickets);
        assert_eq!(shake_hands(&client, &server, "localhost").unwrap().client.handshake_kind(), Some(kind));
    }
    let server = server().session_cache(0).build().unwrap();
    let pair = shake_hands(&client().build().unwrap(), &server, "localhost").unwrap();
    assert_eq!(pair.client.tls13_tickets_received(), 0, "a ticket would lead to nothing");
}

#[test]
fn a_server_forgets_the_oldest_sessions_when_its_cache_is_full() {
    let server = server().session_cache(2).tickets_per_handshake(1).build().unwrap();
    let first = client().build().unwrap();
    shake_hands(&first, &server, "localhost").unwrap();
    for _ in 0..8 {
        shake_hands(&client().build().unwrap(), &server, "localhost").unwrap();
    }
    let again = shake_hands(&first, &server, "localhost").unwrap();
    assert_eq!(again.client.handshake_kind(), Some(HandshakeKind::Full));
}

// Texts

#[test]
fn a_chain_and_its_key_may_be_in_one_text_or_file_among_other_things() {
    let Issued { chain, key, .. } = &pki().server;
    let both = Pem::text(format!("Issued to localhost:\n{key}\nby the tests:\n{chain}"));
    TlsServerConfig::builder(both.clone(), both).build().unwrap();
    let directory = Directory::new("one-file");
    let path = directory.0.join("both.pem");
    std::fs::write(&path, format!("{chain}{key}")).unwrap();
    TlsServerConfig::builder(Pem::file(&path), Pem::file(&path)).build().unwrap();
}

#[test]
fn a_file_that_can_not_be_read_is_named() {
    let missing = Pem::file("/nonexistent/ca.pem");
    let errors = [
        TlsClientConfig::builder().load_verify_locations(missing.clone()).build().unwrap_err(),
        client().load_cert_chain(missing.clone(), pki().client.key_pem()).build().unwrap_err(),
        client().load_cert_chain(pki().client.chain_pem(), missing.clone()).build().unwrap_err(),
        TlsServerConfig::builder(missing.clone(), missing.clone()).build().unwrap_err(),
        server().require_client_certificates(missing).build().unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Io);
        assert_eq!(error.as_io().unwrap().kind(), std::io::ErrorKind::NotFound);
        assert!(error.to_string().contains("/nonexistent/ca.pem"), "{error}");
    }
}

#[test]
fn a_text_without_what_is_looked_for_is_told_apart_from_a_broken_one() {
    let Issued { chain, key, .. } = &pki().server;
    let with = |chain: &str, key: &str| {
        tls_error(TlsServerConfig::builder(Pem::text(chain), Pem::text(key)).build())
    };
    for empty in ["", "hello\n", "\0\u{ff}"] {
        assert!(matches!(with(empty, key), TlsError::NoCertificate { .. }), "{empty:?}");
        assert!(matches!(with(chain, empty), TlsError::NoPrivateKey { .. }), "{empty:?}");
    }
    assert!(matches!(with(key, key), TlsError::NoCertificate { .. }));
    assert!(matches!(with(chain, chain), TlsError::NoPrivateKey { .. }));
    // Cut off, and not base64.
    let cut = |text: &str| text[..text.len() / 2].to_owned();
    let garbled = |text: &str| text.replacen("\nMI", "\n!!", 1);
    for damaged in [cut(chain), garbled(chain)] {
        assert!(matches!(with(&damaged, key), TlsError::BadPem { .. }), "{damaged}");
    }
    for damaged in [cut(key), garbled(key)] {
        assert!(matches!(with(chain, &damaged), TlsError::BadPem { .. }), "{damaged}");
    }
    // PEM without what the label says.
    let fake = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
    assert!(matches!(with(&fake("CERTIFICATE"), key), TlsError::BadOwnCertificate { .. }));
    assert!(matches!(with(chain, &fake("PRIVATE KEY")), TlsError::BadPrivateKey { .. }));
    let roots = Pem::text(pki().authority.text() + &fake("CERTIFICATE"));
    let error = tls_error(TlsClientConfig::builder().load_verify_locations(roots).build());
    assert!(matches!(error, TlsError::BadOwnCertificate { .. }), "{error:?}");
}

#[test]
fn an_encrypted_key_is_told_apart_from_none() {
    let pkcs8 = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let openssl = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
                   DEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    for key in [pkcs8, openssl] {
        let error = tls_error(TlsServerConfig::builder(pki().server.chain_pem(), Pem::text(key)).build());
        assert!(matches!(error, TlsError::EncryptedPrivateKey { .. }), "{error:?}");
        assert!(error.to_string().contains("openssl pkey"), "{error}");
    }
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let (server, client) = (&pki().server, &pki().client);
    let error = tls_error(TlsServerConfig::builder(server.chain_pem(), client.key_pem()).build());
    assert!(matches!(error, TlsError::KeyMismatch { .. }), "{error:?}");
    let error =
        tls_error(crate::tls_fixture::client().load_cert_chain(client.chain_pem(), server.key_pem()).build());
    assert!(matches!(error, TlsError::KeyMismatch { .. }), "{error:?}");
}

#[test]
fn no_piece_of_a_key_is_shown() {
    let Issued { chain, key, .. } = &pki().server;
    let secret: Vec<&str> = key.lines().filter(|line| !line.starts_with('-')).collect();
    let damaged = key.replacen("\nMI", "\n-----BEGIN MI", 1).replace("-----END", "-----ENT");
    let builder = TlsServerConfig::builder(Pem::text(chain.as_str()), Pem::text(key.as_str()));
    let mut texts = vec![
        format!("{:?}", pki().server.key_pem()),
        format!("{builder:?}"),
        format!("{:?}", builder.build().unwrap()),
        format!("{:?}", client().build().unwrap()),
        format!("{:?}", client()),
    ];
    let error = TlsServerConfig::builder(Pem::text(chain.as_str()), Pem::text(damaged)).build().unwrap_err();
    texts.extend([format!("{error}"), format!("{error:?}")]);
    for text in texts {
        for line in &secret {
            assert!(!text.contains(&line[2..line.len().min(20)]), "{text}");
        }
    }
}

// Errors

#[test]
fn an_error_has_a_kind_and_says_what_it_is_by_itself() {
    let error = Error::from(TlsError::Truncated);
    assert_eq!(error.kind(), ErrorKind::Tls);
    assert_eq!(error.as_tls(), Some(&TlsError::Truncated));
    assert!(error.as_io().is_none() && !error.is_timed_out());
    for late in [TlsError::HandshakeTimeout, TlsError::ShutdownTimeout] {
        let error = Error::from(late.clone());
        assert!(error.is_timed_out(), "{error}");
        assert_eq!(error.as_tls(), Some(&late));
    }
    assert!(Error::from(std::io::Error::other("x")).as_tls().is_none());
    assert!(core::mem::size_of::<TlsError>() <= 128, "{}", core::mem::size_of::<TlsError>());
}

#[test]
fn an_error_of_rustls_that_has_no_name_here_is_kept() {
    let rustls = rustls::Error::PeerMisbehaved(PeerMisbehaved::TooMuchEarlyDataReceived);
    let error = TlsError::from(rustls.clone());
    assert_eq!(error, TlsError::Other(rustls.clone()));
    assert_eq!(error.to_string(), rustls.to_string());
    assert!(core::error::Error::source(&error).is_some());
    assert!(core::error::Error::source(&TlsError::UnknownIssuer).is_none());
}

// L-04
#[test]
fn l04_what_is_not_tls_is_told_apart() {
    for text in [
        &b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"220 smtp.example\r\n",
    ] {
        let mut server = ServerConnection::new(server().build().unwrap().into()).unwrap();
        let error = feed(&mut server, text).unwrap_err();
        assert_eq!(error, TlsError::NotTls, "{}", text.escape_ascii());
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = ClientConnection::new(client().build().unwrap().into(), name).unwrap();
        assert_eq!(feed(&mut client, text).unwrap_err(), TlsError::NotTls, "{}", text.escape_ascii());
    }
    assert!(TlsError::NotTls.to_string().contains("port"));
}

#[test]
fn each_error_has_a_text_of_its_own() {
    let origin = || "key.pem".to_owned();
    let errors = [
        TlsError::CertificateExpired { not_after: None },
        TlsError::CertificateNotYetValid { not_before: None },
        TlsError::ClockUnset { now: None },
        TlsError::UnknownIssuer,
        TlsError::WrongName { expected: None, presented: Vec::new() },
        TlsError::BadCertificate(CertificateError::Revoked),
        TlsError::Revoked,
        TlsError::UnknownRevocationStatus,
        TlsError::RevocationListExpired { next_update: None },
        TlsError::NoPeerCertificate,
        TlsError::ProtocolVersion,
        TlsError::NoApplicationProtocol,
        TlsError::NotTls,
        TlsError::Truncated,
        TlsError::HandshakeTimeout,
        TlsError::ShutdownTimeout,
        TlsError::PeerReset,
        TlsError::Alert(AlertDescription::InternalError),
        TlsError::BadPem { origin: origin(), reason: "a section has no end" },
        TlsError::NoCertificate { origin: origin() },
        TlsError::NoPrivateKey { origin: origin() },
        TlsError::EncryptedPrivateKey { origin: origin() },
        TlsError::BadPrivateKey { origin: origin() },
        TlsError::KeyMismatch { certificate: "cert.pem".into(), key: origin() },
        TlsError::BadOwnCertificate { origin: origin(), error: CertificateError::BadEncoding },
        TlsError::NoRevocationList { origin: origin() },
        TlsError::BadRevocationList { origin: origin(), error: CertRevocationListError::ParseError },
        TlsError::NoTrustAnchors,
        TlsError::NotReloadable,
        TlsError::BadConfig("x".into()),
        TlsError::Other(rustls::Error::EncryptError),
    ];
    let mut texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert!(texts.iter().all(|text| !text.is_empty() && !text.ends_with('.')));
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), errors.len());
}

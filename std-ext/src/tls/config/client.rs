//! With whom, and how, a client speaks TLS.

use core::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};

use super::certificates::CertChain;
use super::revocation::with_revocation;
use super::roots::Roots;
use super::{Common, Pem, common_methods};
use crate::Result;
use crate::tls::error::TlsError;

/// How a client speaks TLS: whom it trusts, and what it offers.
///
/// To make one is to read files and to parse certificates; a clone costs nothing
/// and shares what servers gave to resume sessions. So a program makes one at its
/// start. It can be used by the loops of several threads.
///
/// ```no_run
/// use rondel::{Pem, TlsClientConfig, TlsVersion};
///
/// let everybody = TlsClientConfig::create_default_context()?;
/// let our_devices = TlsClientConfig::builder()
///     .load_verify_locations(Pem::file("/etc/gateway/ca.pem"))
///     .load_cert_chain(Pem::file("/etc/gateway/me.pem"), Pem::file("/etc/gateway/me.key"))
///     .minimum_version(TlsVersion::Tls13)
///     .set_alpn_protocols(["mqtt"])
///     .build()?;
/// # Ok::<(), rondel::Error>(())
/// ```
///
/// One that was made with rustls alone is taken as it is: `TlsClientConfig::from(arc)`.
///
/// # Python
/// `ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)`.
#[derive(Clone)]
pub struct TlsClientConfig(Arc<ClientConfig>);

impl TlsClientConfig {
    /// Makes the configuration that fits the public Internet: the system's
    /// authorities are trusted, certificates and names verified, TLS 1.2 and 1.3
    /// spoken.
    ///
    /// The system's are those of `SSL_CERT_FILE` and `SSL_CERT_DIR` where these
    /// environment variables are set.
    ///
    /// # Errors
    /// `Tls` with [`TlsError::NoTrustAnchors`] if the system has none.
    ///
    /// # Python
    /// `ssl.create_default_context()`, which doesn't mind if there are none until
    /// a handshake fails.
    pub fn create_default_context() -> Result<Self> {
        Self::builder().build()
    }

    /// Begins with what [`create_default_context`](Self::create_default_context) has.
    ///
    /// # Python
    /// `ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)`.
    pub fn builder() -> TlsClientConfigBuilder {
        TlsClientConfigBuilder {
            common: Common::default(),
            roots: Roots::default(),
            verification: Verification::Full,
            cert_chain: None,
            session_cache: 256,
        }
    }

    pub(crate) fn rustls(&self) -> Arc<ClientConfig> {
        self.0.clone()
    }
}

impl From<Arc<ClientConfig>> for TlsClientConfig {
    fn from(config: Arc<ClientConfig>) -> Self {
        Self(config)
    }
}

impl From<TlsClientConfig> for Arc<ClientConfig> {
    /// Returns rustls's configuration, for what is not said here.
    fn from(config: TlsClientConfig) -> Self {
        config.rustls()
    }
}

impl fmt::Debug for TlsClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClientConfig").finish_non_exhaustive()
    }
}

/// Makes a [`TlsClientConfig`].
#[derive(Clone)]
#[must_use = "nothing is loaded before `build`"]
pub struct TlsClientConfigBuilder {
    common: Common,
    pub(super) roots: Roots,
    verification: Verification,
    cert_chain: Option<CertChain>,
    session_cache: usize,
}

/// What of a server's certificate is verified.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verification {
    Full,
    /// Is all but the name.
    Issuer,
    Nothing,
}

common_methods!(TlsClientConfigBuilder);

impl TlsClientConfigBuilder {
    /// Trusts the issuers in a text, in place of the system's; several calls add up.
    ///
    /// # Python
    /// `context.load_verify_locations(cafile)` or `(cadata=...)`.
    pub fn load_verify_locations(mut self, issuers: Pem) -> Self {
        self.roots.pems.push(issuers);
        self
    }

    /// Trusts the system's authorities also where others are named.
    ///
    /// # Python
    /// `context.load_default_certs()`.
    pub fn load_default_certs(mut self) -> Self {
        self.roots.system = true;
        self
    }

    /// Presents a certificate to servers that ask for one. The chain begins with the
    /// client's own certificate; both may be in one text.
    ///
    /// # Python
    /// `context.load_cert_chain(certfile, keyfile)`.
    pub fn load_cert_chain(mut self, chain: Pem, key: Pem) -> Self {
        self.cert_chain = Some(CertChain { chain, key });
        self
    }

    /// Chooses of how many servers the sessions are kept for resumption, which makes
    /// a second connection cheaper; 256 by default, and 0 resumes none.
    ///
    /// # Python
    /// There is none: an `SSLSession` is passed by hand.
    pub fn session_cache(mut self, servers: usize) -> Self {
        self.session_cache = servers;
        self
    }

    /// **Dangerous**: verifies who issued a server's certificate, but not that it is
    /// this server's. Anyone with a certificate of the same issuers can pretend to be
    /// the server.
    ///
    /// # Python
    /// `context.check_hostname = False`.
    pub fn dangerous_without_name_check(mut self) -> Self {
        self.verification = Verification::Issuer;
        self
    }

    /// **Dangerous**: takes any certificate of any server. Anyone between here and
    /// there can read and change everything. To trust one certificate that its owner
    /// signed, name it by [`load_verify_locations`](Self::load_verify_locations).
    ///
    /// # Python
    /// `context.verify_mode = ssl.CERT_NONE`.
    pub fn dangerous_without_verification(mut self) -> Self {
        self.verification = Verification::Nothing;
        self
    }

    /// Loads what was named.
    ///
    /// # Errors
    /// `Io` if a file can't be read. `Tls` with the [`TlsError`] that says what can't
    /// be used: a text, a certificate or a key; with [`TlsError::NoTrustAnchors`] if
    /// nobody would be trusted; with [`TlsError::BadConfig`].
    pub fn build(self) -> Result<TlsClientConfig> {
        let provider = self.common.crypto_provider();
        let verifier = self.verifier(&provider)?;
        let builder = ClientConfig::builder_with_details(provider.clone(), self.common.time_provider())
            .with_protocol_versions(&self.common.versions()?)
            .map_err(TlsError::from)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &self.cert_chain {
            None => builder.with_no_client_auth(),
            Some(chain) => {
                let certified = chain.load(&provider)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
            }
        };
        config.alpn_protocols = self.common.alpn_protocols()?;
        config.key_log = self.common.key_log();
        config.resumption = match self.session_cache {
            0 => Resumption::disabled(),
            servers => Resumption::in_memory_sessions(servers),
        };
        Ok(TlsClientConfig(Arc::new(config)))
    }

    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>> {
        let strict = match self.verification {
            Verification::Nothing if self.common.revocation.is_unspecified() => None,
            Verification::Nothing => {
                let reason = "revocation lists are of no use where no certificate is verified";
                return Err(TlsError::BadConfig(reason.into()).into());
            }
            Verification::Issuer | Verification::Full => Some(self.strict_verifier(provider)?),
        };
        match (strict, self.verification) {
            (Some(strict), Verification::Full) => Ok(strict),
            (strict, _) => Ok(Arc::new(Lenient { strict, provider: provider.clone() })),
        }
    }

    fn strict_verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>> {
        let roots = if self.roots.is_unspecified() {
            Roots { system: true, ..Roots::default() }.load()?
        } else {
            self.roots.load()?
        };
        let builder = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone());
        let revocation = &self.common.revocation;
        let verifier = with_revocation!(builder, revocation).build();
        Ok(verifier.map_err(|error| revocation.explain(error, &roots, provider))?)
    }
}

impl fmt::Debug for TlsClientConfigBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClientConfigBuilder").finish_non_exhaustive()
    }
}

/// Verifies less than one should.
#[derive(Debug)]
struct Lenient {
    /// Verifies all but the name; without, nothing is verified.
    strict: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use CertificateError as Wrong;
        let Some(strict) = &self.strict else { return Ok(ServerCertVerified::assertion()) };
        match strict.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            // The name comes last: all else is well.
            Err(rustls::Error::InvalidCertificate(
                Wrong::NotValidForName | Wrong::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

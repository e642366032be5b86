//! What a handshake has negotiated.

use core::fmt;

use rustls::pki_types::CertificateDer;
use rustls::{CipherSuite, ProtocolVersion};

use crate::tls::session::Session;

/// What the handshake of a connection has negotiated.
///
/// # Python
/// `transport.get_extra_info('ssl_object')`: `version()`, `cipher()`,
/// `selected_alpn_protocol()`, `getpeercert()`.
#[derive(Clone)]
pub struct TlsInfo {
    version: Option<ProtocolVersion>,
    cipher: Option<CipherSuite>,
    alpn: Option<Vec<u8>>,
    peer_certificates: Vec<CertificateDer<'static>>,
}

impl TlsInfo {
    pub(crate) fn of(session: &Session) -> Self {
        let common = session.common();
        Self {
            version: common.protocol_version(),
            cipher: common.negotiated_cipher_suite().map(|suite| suite.suite()),
            alpn: common.alpn_protocol().map(<[u8]>::to_vec),
            peer_certificates: common
                .peer_certificates()
                .map(|chain| chain.iter().map(|certificate| certificate.clone().into_owned()).collect())
                .unwrap_or_default(),
        }
    }

    /// Returns the version of the protocol; `None` before the handshake is over.
    #[must_use]
    pub fn version(&self) -> Option<ProtocolVersion> {
        self.version
    }

    /// Returns the cipher suite; `None` before the handshake is over.
    #[must_use]
    pub fn cipher(&self) -> Option<CipherSuite> {
        self.cipher
    }

    /// Returns the protocol that both sides speak above TLS, if they agreed on
    /// one.
    #[must_use]
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        self.alpn.as_deref()
    }

    /// Returns the certificates of the peer, its own first, in DER.
    #[must_use]
    pub fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        &self.peer_certificates
    }
}

impl fmt::Debug for TlsInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsInfo")
            .field("version", &self.version)
            .field("cipher", &self.cipher)
            .field("alpn_protocol", &self.alpn.as_ref().map(|alpn| alpn.escape_ascii().to_string()))
            .finish_non_exhaustive()
    }
}

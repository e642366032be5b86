//! Why TLS failed.

mod date;
mod message;
mod of_rustls;

use core::error::Error as StdError;
use std::io;
use std::time::SystemTime;

use rustls::{AlertDescription, CertRevocationListError, CertificateError, Error as RustlsError};

use crate::{Error, ErrorKind};

/// Why a connection with TLS failed, or why its configuration can't be used.
///
/// An [`Error`] of kind [`Tls`](ErrorKind::Tls) has one as its source; so has one
/// of kind [`TimedOut`](ErrorKind::TimedOut) that is about a handshake or a
/// shutdown: [`Error::as_tls`].
///
/// # Python
/// `ssl.SSLError`, `ssl.SSLCertVerificationError` and `ssl.SSLEOFError`, whose
/// reasons are texts of OpenSSL.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// The peer's certificate, or one above it, is not valid any more.
    CertificateExpired {
        /// Is the end of its validity, if it is known.
        not_after: Option<SystemTime>,
    },
    /// The peer's certificate, or one above it, is not valid yet, by a clock that
    /// seems to be set.
    CertificateNotYetValid {
        /// Is the start of its validity, if it is known.
        not_before: Option<SystemTime>,
    },
    /// The peer's certificate is not valid yet by the clock of this device, which
    /// says that it is before 2020: nobody has set it. Also if there is no clock.
    ClockUnset {
        /// Is what the clock says, if there is one.
        now: Option<SystemTime>,
    },
    /// The peer's certificate was not issued by anyone who is trusted here.
    UnknownIssuer,
    /// The peer's certificate is for another host.
    WrongName {
        /// Is the name or address that was expected, if it is known.
        expected: Option<String>,
        /// Are the names that the certificate has.
        presented: Vec<String>,
    },
    /// The peer's certificate, or one above it, was revoked by its issuer.
    Revoked,
    /// Revocation is looked at, and there is no list of the issuer of the peer's
    /// certificate, or of one above it.
    UnknownRevocationStatus,
    /// A revocation list is older than it may be, so it doesn't tell any more whether
    /// the peer's certificate is revoked.
    RevocationListExpired {
        /// Is when there should have been a new one, if it is known.
        next_update: Option<SystemTime>,
    },
    /// The peer's certificate can't be used for another reason.
    BadCertificate(CertificateError),
    /// The peer has to present a certificate and has not.
    NoPeerCertificate,
    /// No version of TLS is allowed by both sides.
    ProtocolVersion,
    /// No application protocol (ALPN) is known to both sides.
    NoApplicationProtocol,
    /// What the peer sent is not TLS.
    NotTls,
    /// The connection ended without the peer saying so (`close_notify`): what was
    /// received may be only a part.
    Truncated,
    /// The handshake took too long.
    HandshakeTimeout,
    /// The peer didn't answer the end of the connection in time.
    ShutdownTimeout,
    /// The peer closed or reset the connection during the handshake.
    PeerReset,
    /// The peer gave up, and told why.
    Alert(AlertDescription),
    /// A revocation list can't be used.
    BadRevocationList {
        /// Tells where the list is from.
        origin: String,
        /// Tells what is wrong.
        error: CertRevocationListError,
    },
    /// A PEM text has no revocation list.
    NoRevocationList {
        /// Tells where the text is from.
        origin: String,
    },
    /// A text is no PEM.
    BadPem {
        /// Tells where the text is from.
        origin: String,
        /// Tells what is wrong.
        reason: &'static str,
    },
    /// A PEM text has no certificate.
    NoCertificate {
        /// Tells where the text is from.
        origin: String,
    },
    /// A PEM text has no private key.
    NoPrivateKey {
        /// Tells where the text is from.
        origin: String,
    },
    /// A private key is encrypted.
    EncryptedPrivateKey {
        /// Tells where the text is from.
        origin: String,
    },
    /// A private key is of a kind that the cryptography in use doesn't know.
    BadPrivateKey {
        /// Tells where the key is from.
        origin: String,
    },
    /// A private key belongs to another certificate.
    KeyMismatch {
        /// Tells where the certificate is from.
        certificate: String,
        /// Tells where the key is from.
        key: String,
    },
    /// A certificate of one's own can't be used.
    BadOwnCertificate {
        /// Tells where it is from.
        origin: String,
        /// Tells what is wrong.
        error: CertificateError,
    },
    /// Nobody is trusted, so no certificate can be verified.
    NoTrustAnchors,
    /// A configuration was made by other means and can't change its certificates.
    NotReloadable,
    /// A configuration contradicts itself.
    BadConfig(String),
    /// Something else.
    Other(RustlsError),
}

impl TlsError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::HandshakeTimeout | Self::ShutdownTimeout => ErrorKind::TimedOut,
            _ => ErrorKind::Tls,
        }
    }
}

impl From<TlsError> for Error {
    fn from(error: TlsError) -> Self {
        Self::of(error.kind(), error)
    }
}

impl From<TlsError> for io::Error {
    /// For interfaces that know no other errors; [`get_ref`](io::Error::get_ref) has the
    /// `TlsError`. A stream that was cut off is an `UnexpectedEof` (FAULTS L-01).
    fn from(error: TlsError) -> Self {
        let kind = match error {
            TlsError::Truncated => io::ErrorKind::UnexpectedEof,
            TlsError::PeerReset => io::ErrorKind::ConnectionReset,
            TlsError::HandshakeTimeout | TlsError::ShutdownTimeout => io::ErrorKind::TimedOut,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

/// Returns TLS's error inside one of the system's, if it is one.
pub(crate) fn error_in(error: &io::Error) -> Option<Error> {
    let error: &TlsError = error.get_ref()?.downcast_ref()?;
    Some(error.clone().into())
}

/// Makes TLS's error one of the system's.
///
/// # Errors
/// Itself if it is another one.
pub(crate) fn into_io(error: Error) -> Result<io::Error, Error> {
    error.as_tls().cloned().map(io::Error::from).ok_or(error)
}

impl Error {
    /// Returns why TLS failed, if it did.
    ///
    /// # Python
    /// `except ssl.SSLError`.
    #[must_use]
    pub fn as_tls(&self) -> Option<&TlsError> {
        StdError::source(self)?.downcast_ref()
    }
}

impl StdError for TlsError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Other(error) => Some(error),
            _ => None,
        }
    }
}

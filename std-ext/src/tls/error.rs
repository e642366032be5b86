//! Why TLS failed.

use core::error::Error as StdError;
use core::fmt;
use core::net::IpAddr;
use core::time::Duration;
use std::io;
use std::time::SystemTime;

use rustls::pki_types::UnixTime;
use rustls::{
    AlertDescription, CertRevocationListError, CertificateError, Error as RustlsError, InconsistentKeys,
    InvalidMessage, PeerIncompatible,
};

use crate::{Error, ErrorKind};

/// Is the time before which a device's clock can't have been set: 2020-01-01.
const CLOCK_IS_SET_FROM: Duration = Duration::from_secs(1_577_836_800);

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
        /// Is the begin of its validity, if it is known.
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
    /// Takes over an error of rustls; `now` is what the device's clock says.
    #[allow(dead_code, reason = "is for connections")]
    pub(crate) fn at(error: RustlsError, now: SystemTime) -> Self {
        match Self::from(error) {
            Self::CertificateNotYetValid { .. } if !is_set(now) => Self::ClockUnset { now: Some(now) },
            error => error,
        }
    }

    fn of_certificate(error: CertificateError) -> Self {
        match error {
            CertificateError::Expired => Self::CertificateExpired { not_after: None },
            CertificateError::ExpiredContext { not_after, .. } => {
                Self::CertificateExpired { not_after: Some(system_time(not_after)) }
            }
            CertificateError::NotValidYet => Self::CertificateNotYetValid { not_before: None },
            CertificateError::NotValidYetContext { time, not_before } => {
                let (now, not_before) = (system_time(time), system_time(not_before));
                if is_set(now) {
                    Self::CertificateNotYetValid { not_before: Some(not_before) }
                } else {
                    Self::ClockUnset { now: Some(now) }
                }
            }
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::NotValidForName => Self::WrongName { expected: None, presented: Vec::new() },
            CertificateError::NotValidForNameContext { expected, presented } => Self::WrongName {
                expected: Some(expected.to_str().into_owned()),
                presented: presented.iter().map(|name| plain(name)).collect(),
            },
            CertificateError::Revoked => Self::Revoked,
            CertificateError::UnknownRevocationStatus => Self::UnknownRevocationStatus,
            CertificateError::ExpiredRevocationList => Self::RevocationListExpired { next_update: None },
            CertificateError::ExpiredRevocationListContext { next_update, .. } => {
                Self::RevocationListExpired { next_update: Some(system_time(next_update)) }
            }
            error => Self::BadCertificate(error),
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::HandshakeTimeout | Self::ShutdownTimeout => ErrorKind::TimedOut,
            _ => ErrorKind::Tls,
        }
    }
}

fn is_set(now: SystemTime) -> bool {
    now.duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|now| now >= CLOCK_IS_SET_FROM)
}

/// Takes a name out of how it is shown for programmers: `DnsName("localhost")`,
/// `IpAddress(0::1)`.
fn plain(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, name)| name.strip_suffix(')'));
    let inner = inner.unwrap_or(name).trim_matches('"');
    inner.parse().map_or_else(|_| inner.to_owned(), |address: IpAddr| address.to_string())
}

/// Converts a time; one that a `SystemTime` of 32 bits can't hold is its begin.
fn system_time(time: UnixTime) -> SystemTime {
    let since_epoch = Duration::from_secs(time.as_secs());
    SystemTime::UNIX_EPOCH.checked_add(since_epoch).unwrap_or(SystemTime::UNIX_EPOCH)
}

impl From<RustlsError> for TlsError {
    /// Takes over an error of rustls. Whether the clock is set is told from the
    /// time that was used for the verification, if the error has it.
    fn from(error: RustlsError) -> Self {
        use PeerIncompatible as Peer;
        match error {
            RustlsError::InvalidCertificate(error) => Self::of_certificate(error),
            RustlsError::InvalidCertRevocationList(error) => error.into(),
            RustlsError::NoCertificatesPresented => Self::NoPeerCertificate,
            RustlsError::FailedToGetCurrentTime => Self::ClockUnset { now: None },
            RustlsError::NoApplicationProtocol
            | RustlsError::AlertReceived(AlertDescription::NoApplicationProtocol) => {
                Self::NoApplicationProtocol
            }
            RustlsError::AlertReceived(AlertDescription::ProtocolVersion)
            | RustlsError::PeerIncompatible(
                Peer::ServerDoesNotSupportTls12Or13
                | Peer::ServerTlsVersionIsDisabledByOurConfig
                | Peer::SupportedVersionsExtensionRequired
                | Peer::Tls12NotOffered
                | Peer::Tls12NotOfferedOrEnabled,
            ) => Self::ProtocolVersion,
            RustlsError::AlertReceived(alert) => Self::Alert(alert),
            RustlsError::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            ) => Self::NotTls,
            RustlsError::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                Self::KeyMismatch { certificate: "the certificate".into(), key: "the key".into() }
            }
            error => Self::Other(error),
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
    #[must_use]
    pub fn as_tls(&self) -> Option<&TlsError> {
        StdError::source(self)?.downcast_ref()
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CertificateExpired { not_after: Some(end) } => {
                write!(f, "the peer's certificate was valid until {}; it has to be renewed", Date(*end))
            }
            Self::CertificateExpired { not_after: None } => {
                f.write_str("the peer's certificate has expired; it has to be renewed")
            }
            Self::CertificateNotYetValid { not_before: Some(begin) } => {
                write!(f, "the peer's certificate is valid from {} only; compare the clocks", Date(*begin))
            }
            Self::CertificateNotYetValid { not_before: None } => {
                f.write_str("the peer's certificate is not valid yet; compare the clocks")
            }
            Self::ClockUnset { now: Some(now) } => write!(
                f,
                "the clock of this device says {}, so no certificate can be valid; set the clock first",
                Date(*now)
            ),
            Self::ClockUnset { now: None } => {
                f.write_str("this device has no clock to verify certificates by; set one first")
            }
            Self::UnknownIssuer => f.write_str(
                "the peer's certificate was issued by nobody who is trusted here; \
                 if it should be, load its issuer's certificate (load_verify_locations)",
            ),
            Self::WrongName { expected, presented } => {
                f.write_str("the peer's certificate is not for ")?;
                f.write_str(expected.as_deref().unwrap_or("this host"))?;
                match presented.split_first() {
                    None => f.write_str("; connect by a name that it has, or set server_hostname"),
                    Some((first, others)) => {
                        write!(f, " but for {first}")?;
                        others.iter().try_for_each(|name| write!(f, ", {name}"))?;
                        f.write_str("; connect by such a name, or set server_hostname")
                    }
                }
            }
            Self::Revoked => {
                f.write_str("the peer's certificate was revoked by its issuer; it has to get another")
            }
            Self::UnknownRevocationStatus => f.write_str(
                "there is no revocation list of the issuer of the peer's certificate; \
                 load it (load_revocation_lists)",
            ),
            Self::RevocationListExpired { next_update: Some(end) } => {
                write!(f, "a revocation list was to be renewed until {}; load a newer one", Date(*end))
            }
            Self::RevocationListExpired { next_update: None } => {
                f.write_str("a revocation list is too old; load a newer one")
            }
            Self::BadCertificate(error) => {
                write!(f, "the peer's certificate can't be used: {error}")?;
                // What `openssl req -x509` makes unless it is told otherwise; it has no name in rustls.
                let is_authoritys = error.to_string().contains("CaUsedAsEndEntity");
                f.write_str(if is_authoritys { "; it is an authority's: make one with CA:FALSE" } else { "" })
            }
            Self::NoPeerCertificate => f.write_str("the peer has to present a certificate and has not"),
            Self::ProtocolVersion => f.write_str(
                "no version of TLS is allowed by both sides; look at minimum_version and maximum_version",
            ),
            Self::NoApplicationProtocol => {
                f.write_str("no application protocol is known to both sides; look at set_alpn_protocols")
            }
            Self::NotTls => f.write_str("what the peer sent is not TLS; look whether this is the right port"),
            Self::Truncated => f.write_str(
                "the connection ended without a close_notify: what was received may be only a part",
            ),
            Self::HandshakeTimeout => f.write_str("the TLS handshake took too long"),
            Self::ShutdownTimeout => f.write_str("the peer didn't answer the end of TLS in time"),
            Self::PeerReset => {
                f.write_str("the peer ended the connection during the TLS handshake; look at its log")
            }
            Self::Alert(alert) => {
                write!(f, "the peer gave up TLS: {alert:?}")?;
                f.write_str(hint(*alert))
            }
            Self::BadRevocationList { origin, error } => {
                write!(f, "a revocation list of {origin} can't be used: {error:?}")
            }
            Self::NoRevocationList { origin } => {
                write!(f, "{origin} has no revocation list (-----BEGIN X509 CRL-----)")
            }
            Self::BadPem { origin, reason } => write!(f, "{origin} is no PEM: {reason}"),
            Self::NoCertificate { origin } => {
                write!(f, "{origin} has no certificate (-----BEGIN CERTIFICATE-----)")
            }
            Self::NoPrivateKey { origin } => {
                write!(f, "{origin} has no private key (-----BEGIN PRIVATE KEY-----)")
            }
            Self::EncryptedPrivateKey { origin } => {
                write!(f, "the private key in {origin} is encrypted; decrypt it first (openssl pkey)")
            }
            Self::BadPrivateKey { origin } => {
                write!(f, "the private key in {origin} is of an unknown kind, or broken")
            }
            Self::KeyMismatch { certificate, key } => {
                write!(
                    f,
                    "the private key in {key} belongs to another certificate than the first in {certificate}"
                )
            }
            Self::BadOwnCertificate { origin, error } => {
                write!(f, "a certificate in {origin} can't be used: {error}")
            }
            Self::NoTrustAnchors => f.write_str(
                "nobody is trusted, so no certificate can be verified; install the system's \
                 certificates (ca-certificates), or load some (load_verify_locations)",
            ),
            Self::NotReloadable => {
                f.write_str("this configuration was made by rustls alone; reload by a resolver of your own")
            }
            Self::BadConfig(reason) => f.write_str(reason),
            Self::Other(error) => error.fmt(f),
        }
    }
}

/// Tells what to do about an alert, if that can be known.
fn hint(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::CertificateRequired => "; it wants a certificate of ours (load_cert_chain)",
        AlertDescription::CertificateRevoked => "; our certificate was revoked, another is needed",
        AlertDescription::CertificateExpired => "; our certificate has to be renewed, or its clock is wrong",
        AlertDescription::UnknownCA => "; it doesn't trust the issuer of our certificate",
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown => "; it doesn't accept our certificate",
        AlertDescription::UnrecognisedName => "; it has no certificate for the name that was asked for",
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
            "; both sides have nothing in common that would be safe"
        }
        _ => "",
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

/// Shows the day of a time, in UTC.
struct Date(SystemTime);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(since_epoch) = self.0.duration_since(SystemTime::UNIX_EPOCH) else {
            return f.write_str("before 1970");
        };
        // Counts in years that begin with March, so that a leap day is a year's last: from
        // 0000-03-01 on, in eras of 400 years.
        let days = since_epoch.as_secs() / 86_400 + 719_468;
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_without_a_time_takes_that_of_the_device() {
        let error = || RustlsError::InvalidCertificate(CertificateError::NotValidYet);
        let unset = SystemTime::UNIX_EPOCH + Duration::from_secs(5);
        assert_eq!(TlsError::at(error(), unset), TlsError::ClockUnset { now: Some(unset) });
        let set = SystemTime::UNIX_EPOCH + CLOCK_IS_SET_FROM;
        assert_eq!(TlsError::at(error(), set), TlsError::CertificateNotYetValid { not_before: None });
        // It makes no other error of an expired one.
        let expired = RustlsError::InvalidCertificate(CertificateError::Expired);
        assert_eq!(TlsError::at(expired, unset), TlsError::CertificateExpired { not_after: None });
    }

    #[test]
    fn a_day_is_that_of_the_calendar() {
        let days = [
            (0, "1970-01-01"),
            (59, "1970-03-01"),
            (789, "1972-02-29"),
            (10_957, "2000-01-01"),
            (11_016, "2000-02-29"),
            (18_261, "2019-12-31"),
            (18_262, "2020-01-01"),
            (19_782, "2024-02-29"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
            (2_932_896, "9999-12-31"),
        ];
        for (day, text) in days {
            let begin = SystemTime::UNIX_EPOCH + Duration::from_secs(day * 86_400);
            assert_eq!(Date(begin).to_string(), text);
            assert_eq!(Date(begin + Duration::from_secs(86_399)).to_string(), text);
        }
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(Date(before).to_string(), "before 1970");
    }

    #[test]
    fn a_name_is_shown_without_its_kind() {
        assert_eq!(plain("DnsName(\"localhost\")"), "localhost");
        assert_eq!(plain("IpAddress(0::1)"), "::1");
        assert_eq!(plain("something else"), "something else");
    }
}

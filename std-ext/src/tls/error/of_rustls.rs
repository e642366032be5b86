//! What an error of rustls's means.

use core::net::IpAddr;
use core::time::Duration;
use std::time::SystemTime;

use rustls::pki_types::UnixTime;
use rustls::{
    AlertDescription, CertificateError, Error as RustlsError, InconsistentKeys, InvalidMessage,
    PeerIncompatible,
};

use super::TlsError;

/// Is the time before which a device's clock can't have been set: 2020-01-01.
const CLOCK_IS_SET_FROM: Duration = Duration::from_secs(1_577_836_800);

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
    fn a_name_is_shown_without_its_kind() {
        assert_eq!(plain("DnsName(\"localhost\")"), "localhost");
        assert_eq!(plain("IpAddress(0::1)"), "::1");
        assert_eq!(plain("something else"), "something else");
    }
}

//! What is said of an error of TLS, and what to do about it.

use core::fmt;

use rustls::AlertDescription;

use super::TlsError;
use super::date::Date;

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

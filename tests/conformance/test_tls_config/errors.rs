//! What errors of TLS say.

use rondel::rustls::pki_types::ServerName;
use rondel::rustls::{
    self, AlertDescription, CertRevocationListError, CertificateError, ClientConnection, PeerMisbehaved,
    ServerConnection,
};
use rondel::{Error, ErrorKind, TlsError};

use super::feed;
use crate::tls_fixture::{client, server};

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

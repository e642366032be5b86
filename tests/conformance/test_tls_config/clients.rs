//! Certificates of clients.

use rondel::rustls::{AlertDescription, CertificateError};
use rondel::{TlsError, TlsVersion};

use super::{der, fails, shake_hands};
use crate::tls_fixture::{Issued, client, pki, server};

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

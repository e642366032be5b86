//! Texts of certificates and keys.

use rondel::{ErrorKind, Pem, TlsClientConfig, TlsError, TlsServerConfig};

use super::tls_error;
use crate::tls_fixture::{Directory, Issued, client, pki, server};

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

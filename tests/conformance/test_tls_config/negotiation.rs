//! What both sides agree on: versions, protocols and cryptography.

use std::process::Command;
use std::sync::Arc;

use rondel::rustls::crypto::{CryptoProvider, ring};
use rondel::rustls::{self, CipherSuite, ProtocolVersion};
use rondel::{TlsClientConfig, TlsError, TlsServerConfig, TlsVersion};

use super::{fails, shake_hands, tls_error};
use crate::tls_fixture::{Directory, client, pki, server};

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
            .args(["--exact", "test_tls_config::negotiation::keys_are_logged_only_when_asked"])
            .env(INNER, asked)
            .env("SSLKEYLOGFILE", &log)
            .output()
            .unwrap();
        assert!(String::from_utf8_lossy(&inner.stdout).contains("1 passed"), "{inner:?}");
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        assert_eq!(text.contains("CLIENT_TRAFFIC_SECRET_0"), asked != "nobody", "{asked}: {text}");
    }
}

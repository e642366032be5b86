//! Certificates of servers: chosen by name, and read anew.

use std::thread;

use rondel::rustls::CertificateError;
use rondel::{ErrorKind, Pem, TlsClientConfig, TlsError, TlsServerConfig};

use super::{der, feed, shake_hands, shown_to, tls_error};
use crate::tls_fixture::{Directory, client, pki, server};

fn server_of_many() -> TlsServerConfig {
    let authority = &pki().authority;
    let (one, all) = (authority.server(&["one.example"]), authority.server(&["*.many.example"]));
    server()
        .load_cert_chain_for(["One.Example"], one.chain_pem(), one.key_pem())
        .load_cert_chain_for(["*.many.example"], all.chain_pem(), all.key_pem())
        .build()
        .unwrap()
}

#[test]
fn a_name_chooses_the_certificate_and_the_default_is_for_all_others() {
    let blind = TlsClientConfig::builder().dangerous_without_verification().build().unwrap();
    let server = server_of_many();
    let strict = client().build().unwrap();
    for name in ["one.example", "ONE.example", "two.many.example", "localhost", "127.0.0.1"] {
        shake_hands(&strict, &server, name).unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
    // A star is one label, and not none.
    for name in ["a.two.many.example", "many.example", "elsewhere.test"] {
        let pair = shake_hands(&blind, &server, name).unwrap();
        assert_eq!(shown_to(&pair), der(&pki().server), "{name}");
    }
}

#[test]
fn a_name_in_full_comes_before_a_star() {
    let authority = &pki().authority;
    let (one, all) = (authority.server(&["one.many.example"]), authority.server(&["*.many.example"]));
    let server = server()
        .load_cert_chain_for(["one.many.example"], one.chain_pem(), one.key_pem())
        .load_cert_chain_for(["*.many.example"], all.chain_pem(), all.key_pem())
        .build()
        .unwrap();
    let client = client().build().unwrap();
    for (name, issued) in [("one.many.example", &one), ("two.many.example", &all)] {
        let pair = shake_hands(&client, &server, name).unwrap();
        assert_eq!(shown_to(&pair), der(issued), "{name}");
    }
}

#[test]
fn a_certificate_that_is_not_for_its_name_is_refused_at_once() {
    let add = |name: &str| {
        let other = &pki().other_host;
        tls_error(server().load_cert_chain_for([name], other.chain_pem(), other.key_pem()).build())
    };
    for name in ["another.example", "*.example", "*.other.example"] {
        let error = add(name);
        let TlsError::BadOwnCertificate { error: inner, .. } = &error else { panic!("{error:?}") };
        assert!(matches!(inner, CertificateError::NotValidForNameContext { .. }), "{name}");
        assert!(error.to_string().contains("other.example"), "{error}");
    }
    for name in ["", "no name", "127.0.0.1", "*"] {
        let error = add(name);
        assert!(matches!(error, TlsError::BadConfig(_)), "{name:?}: {error:?}");
    }
}

#[test]
fn files_are_read_anew_and_connections_that_stand_go_on() {
    use std::io::{Read, Write};
    let directory = Directory::new("reload");
    let (chain, key) = pki().server.write_to(&directory.0, "server");
    let server = TlsServerConfig::builder(Pem::file(chain), Pem::file(key)).build().unwrap();
    let client = client().session_cache(0).build().unwrap();
    let mut before = shake_hands(&client, &server, "localhost").unwrap();
    let renewed = pki().authority.server(&["localhost"]);
    renewed.write_to(&directory.0, "server");
    let pair = shake_hands(&client, &server, "localhost").unwrap();
    assert_eq!(shown_to(&pair), der(&pki().server), "nothing changes by itself");
    server.reload().unwrap();
    let pair = shake_hands(&client, &server.clone(), "localhost").unwrap();
    assert_eq!(shown_to(&pair), der(&renewed));

    before.client.writer().write_all(b"still here").unwrap();
    let mut bytes = Vec::new();
    before.client.write_tls(&mut bytes).unwrap();
    feed(&mut before.server, &bytes).unwrap();
    let mut data = [0; 10];
    before.server.reader().read_exact(&mut data).unwrap();
    assert_eq!(&data, b"still here");
}

#[test]
fn a_reload_that_fails_changes_nothing() {
    let directory = Directory::new("reload-fails");
    let (chain, key) = pki().server.write_to(&directory.0, "server");
    let server = TlsServerConfig::builder(Pem::file(chain), Pem::file(&key)).build().unwrap();
    let client = client().build().unwrap();
    let still_the_same = || {
        let pair = shake_hands(&client, &server, "localhost").unwrap();
        assert_eq!(shown_to(&pair), der(&pki().server));
    };
    // Somebody is in the middle of replacing both.
    std::fs::write(&key, &pki().client.key).unwrap();
    assert!(matches!(tls_error(server.reload()), TlsError::KeyMismatch { .. }));
    still_the_same();
    std::fs::write(&key, "").unwrap();
    assert!(matches!(tls_error(server.reload()), TlsError::NoPrivateKey { .. }));
    still_the_same();
    std::fs::remove_file(&key).unwrap();
    assert_eq!(server.reload().unwrap_err().kind(), ErrorKind::Io);
    still_the_same();
    pki().server.write_to(&directory.0, "server");
    let other = &pki().other_host;
    let error = server.reload_cert_chain_for(["wrong.example"], other.chain_pem(), other.key_pem());
    assert!(matches!(tls_error(error), TlsError::BadOwnCertificate { .. }));
    still_the_same();
    // What was refused is not tried again.
    server.reload().unwrap();
    still_the_same();
}

#[test]
fn other_certificates_take_the_place_of_the_default_and_of_names() {
    let blind = TlsClientConfig::builder().dangerous_without_verification().session_cache(0).build().unwrap();
    let shown =
        |server: &TlsServerConfig, name: &str| shown_to(&shake_hands(&blind, server, name).unwrap()).to_vec();
    let server = server_of_many();
    let star = shown(&server, "two.many.example");
    let renewed = pki().authority.server(&["one.example", "two.many.example"]);
    server.reload_cert_chain(renewed.chain_pem(), renewed.key_pem()).unwrap();
    assert_eq!(shown(&server, "localhost"), der(&renewed));
    assert_eq!(shown(&server, "two.many.example"), star);
    server.reload_cert_chain_for(["ONE.example"], renewed.chain_pem(), renewed.key_pem()).unwrap();
    assert_eq!(shown(&server, "one.example"), der(&renewed));
    server.reload_cert_chain_for(["two.many.example"], renewed.chain_pem(), renewed.key_pem()).unwrap();
    assert_eq!(shown(&server, "two.many.example"), der(&renewed));
    assert_eq!(shown(&server, "three.many.example"), star);
}

#[test]
fn handshakes_go_on_while_another_thread_reloads() {
    let server = server().build().unwrap();
    let client = client().session_cache(0).build().unwrap();
    let renewed = pki().authority.server(&["localhost"]);
    let reloading = {
        let (server, renewed) = (server.clone(), renewed.clone());
        thread::spawn(move || {
            for _ in 0..20 {
                server.reload_cert_chain(renewed.chain_pem(), renewed.key_pem()).unwrap();
                server.reload_cert_chain(pki().server.chain_pem(), pki().server.key_pem()).unwrap();
            }
        })
    };
    let certificates = [der(&renewed), der(&pki().server)];
    while !reloading.is_finished() {
        let pair = shake_hands(&client, &server, "localhost").unwrap();
        assert!(certificates.iter().any(|certificate| certificate == shown_to(&pair)));
    }
    reloading.join().unwrap();
}

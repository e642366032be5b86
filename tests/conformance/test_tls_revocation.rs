//! Certificates that were revoked (RFC 5280, section 5).

use std::time::{Duration, SystemTime};

use rondel::rustls::{AlertDescription, CertRevocationListError};
use rondel::{Pem, TlsClientConfig, TlsError, TlsServerConfigBuilder, TlsVersion};

use crate::test_tls_config::{fails, shake_hands, tls_error};
use crate::tls_fixture::{Authority, Directory, Issued, SERVER_NAMES};

/// Connects a client that trusts an authority and has read a list to a server.
fn meets(authority: &Authority, list: Pem, server: &Issued) -> Result<(), TlsError> {
    let client = TlsClientConfig::builder().load_verify_locations(authority.pem());
    let client = client.load_revocation_lists(list).build().unwrap();
    let met = shake_hands(&client, &server.to_server().build().unwrap(), "localhost");
    met.map(drop).map_err(|failed| failed.client())
}

#[test]
fn tl3_a_server_whose_certificate_was_revoked_is_refused_and_others_are_not() {
    let authority = Authority::new("an authority that revokes");
    let (revoked, good) = (authority.server(&SERVER_NAMES), authority.server(&SERVER_NAMES));
    let list = || authority.revocation_list(&[77_777, revoked.serial], 2200);
    assert_eq!(meets(&authority, list(), &revoked), Err(TlsError::Revoked));
    assert_eq!(meets(&authority, list(), &good), Ok(()));
    assert_eq!(meets(&authority, authority.revocation_list(&[], 2200), &revoked), Ok(()));
    // The server is told why.
    let client = TlsClientConfig::builder().load_verify_locations(authority.pem());
    let client = client.load_revocation_lists(list()).build().unwrap();
    let alert = fails(&client, &revoked.to_server().build().unwrap(), "localhost").server();
    assert_eq!(alert, TlsError::Alert(AlertDescription::CertificateRevoked));
    assert!(alert.to_string().contains("revoked"), "{alert}");
}

#[test]
fn tl3_without_a_list_of_the_issuer_nobody_is_accepted_unless_that_is_allowed() {
    let (authority, other) = (Authority::new("has no list"), Authority::new("has one"));
    let server = authority.server(&SERVER_NAMES);
    let list = other.revocation_list(&[], 2200);
    let error = meets(&authority, list.clone(), &server).unwrap_err();
    assert_eq!(error, TlsError::UnknownRevocationStatus);
    assert!(error.to_string().contains("load_revocation_lists"), "{error}");
    let trusting = TlsClientConfig::builder().load_verify_locations(authority.pem());
    let trusting = trusting.load_revocation_lists(list).allow_unknown_revocation_status();
    let lenient = trusting.clone().build().unwrap();
    let serving = server.to_server().build().unwrap();
    shake_hands(&lenient, &serving, "localhost").unwrap();
    // What is known is heeded all the same.
    let list = authority.revocation_list(&[server.serial], 2200);
    let informed = trusting.load_revocation_lists(list).build().unwrap();
    assert_eq!(fails(&informed, &serving, "localhost").client(), TlsError::Revoked);
}

#[test]
fn l10_a_list_that_is_too_old_is_an_error_of_its_own() {
    let authority = Authority::new("has forgotten its list");
    let server = authority.server(&SERVER_NAMES);
    let error = meets(&authority, authority.revocation_list(&[], 2021), &server).unwrap_err();
    let begin_of_2021 = SystemTime::UNIX_EPOCH + Duration::from_secs(1_609_459_200);
    assert_eq!(error, TlsError::RevocationListExpired { next_update: Some(begin_of_2021) });
    assert!(error.to_string().contains("2021-01-01"), "{error}");
}

#[test]
fn tl3_the_certificates_in_between_are_looked_for_on_request() {
    let root = Authority::new("the root");
    let middle = root.intermediate("in between");
    let server = middle.server(&SERVER_NAMES);
    let trusting = TlsClientConfig::builder()
        .load_verify_locations(root.pem())
        .load_revocation_lists(middle.revocation_list(&[], 2200))
        .load_revocation_lists(root.revocation_list(&[middle.serial()], 2200));
    let serving = server.to_server().build().unwrap();
    shake_hands(&trusting.clone().build().unwrap(), &serving, "localhost").unwrap();
    let thorough = trusting.check_revocation_of_chain().build().unwrap();
    assert_eq!(fails(&thorough, &serving, "localhost").client(), TlsError::Revoked);
}

#[test]
fn tl3_a_client_whose_certificate_was_revoked_is_refused_and_told_why() {
    let authority = Authority::new("of clients");
    let (revoked, good) = (authority.client("was lost"), authority.client("is here"));
    let server = authority.server(&SERVER_NAMES);
    let list = authority.revocation_list(&[revoked.serial], 2200);
    let asks = |ask: fn(TlsServerConfigBuilder, Pem) -> TlsServerConfigBuilder| {
        ask(server.to_server(), authority.pem()).load_revocation_lists(list.clone()).build().unwrap()
    };
    let serving = [
        asks(TlsServerConfigBuilder::require_client_certificates),
        asks(TlsServerConfigBuilder::request_client_certificates),
    ];
    for serving in serving {
        for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
            let shows = |client: &Issued| {
                let config = TlsClientConfig::builder().load_verify_locations(authority.pem());
                let config = config.load_cert_chain(client.chain_pem(), client.key_pem());
                config.maximum_version(version).build().unwrap()
            };
            let failed = fails(&shows(&revoked), &serving, "localhost");
            assert_eq!(failed.server, Some(TlsError::Revoked));
            assert_eq!(failed.client(), TlsError::Alert(AlertDescription::CertificateRevoked));
            shake_hands(&shows(&good), &serving, "localhost").unwrap();
        }
    }
}

#[test]
fn tl3_a_server_reads_newer_lists_while_it_serves_or_keeps_those_it_has() {
    let authority = Authority::new("revokes one more");
    let (lost, good) = (authority.client("will be lost"), authority.client("stays"));
    let directory = Directory::new("newer-list");
    let path = directory.0.join("clients.crl");
    let revoke = |serials: &[u64]| std::fs::write(&path, authority.revocation_text(serials, 2200)).unwrap();
    revoke(&[]);
    let serving = authority
        .server(&SERVER_NAMES)
        .to_server()
        .require_client_certificates(authority.pem())
        .load_revocation_lists(Pem::file(&path))
        .build()
        .unwrap();
    let shows = |client: &Issued| {
        let config = TlsClientConfig::builder().load_verify_locations(authority.pem());
        config.load_cert_chain(client.chain_pem(), client.key_pem()).build().unwrap()
    };
    shake_hands(&shows(&lost), &serving, "localhost").unwrap();
    revoke(&[lost.serial]);
    shake_hands(&shows(&lost), &serving, "localhost").unwrap();
    serving.reload().unwrap();
    assert_eq!(fails(&shows(&lost), &serving, "localhost").server(), TlsError::Revoked);
    shake_hands(&shows(&good), &serving, "localhost").unwrap();
    std::fs::write(&path, "no list").unwrap();
    assert!(matches!(tls_error(serving.reload()), TlsError::NoRevocationList { .. }));
    assert_eq!(fails(&shows(&lost), &serving, "localhost").server(), TlsError::Revoked);
    shake_hands(&shows(&good), &serving, "localhost").unwrap();
}

#[test]
fn tl3_lists_count_also_where_names_do_not() {
    let authority = Authority::new("of any name");
    let (revoked, good) = (authority.server(&["a.example"]), authority.server(&["b.example"]));
    let nameless = TlsClientConfig::builder()
        .load_verify_locations(authority.pem())
        .load_revocation_lists(authority.revocation_list(&[revoked.serial], 2200))
        .dangerous_without_name_check()
        .build()
        .unwrap();
    shake_hands(&nameless, &good.to_server().build().unwrap(), "localhost").unwrap();
    let failed = fails(&nameless, &revoked.to_server().build().unwrap(), "localhost");
    assert_eq!(failed.client(), TlsError::Revoked);
}

#[test]
fn lists_that_nobody_would_look_at_are_refused() {
    let authority = Authority::new("lists in vain");
    let list = || authority.revocation_list(&[], 2200);
    let blind = TlsClientConfig::builder().dangerous_without_verification().load_revocation_lists(list());
    assert!(matches!(tls_error(blind.build()), TlsError::BadConfig(_)));
    let serving = authority.server(&SERVER_NAMES).to_server().load_revocation_lists(list());
    assert!(matches!(tls_error(serving.build()), TlsError::BadConfig(_)));
}

#[test]
fn a_list_that_can_not_be_used_is_named() {
    let authority = Authority::new("lists badly");
    let good = authority.revocation_list(&[], 2200);
    let build = |list: Pem| {
        let client = TlsClientConfig::builder().load_verify_locations(authority.pem());
        client.load_revocation_lists(good.clone()).load_revocation_lists(list).build()
    };
    let none = tls_error(build(authority.pem()));
    assert_eq!(none, TlsError::NoRevocationList { origin: "the PEM text".into() });
    let directory = Directory::new("revocation");
    let path = directory.0.join("broken.crl");
    std::fs::write(&path, "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n").unwrap();
    let broken = tls_error(build(Pem::file(&path)));
    let TlsError::BadRevocationList { origin, .. } = broken else { panic!("{broken:?}") };
    assert_eq!(origin, path.display().to_string());
    let missing = build(Pem::file(directory.0.join("missing.crl"))).unwrap_err();
    assert_eq!(missing.as_io().unwrap().kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn a_list_that_somebody_else_has_signed_proves_nothing() {
    let (authority, forger) = (Authority::new("the same name"), Authority::new("the same name"));
    let server = authority.server(&SERVER_NAMES);
    let error = meets(&authority, forger.revocation_list(&[], 2200), &server).unwrap_err();
    let TlsError::BadRevocationList { error, .. } = error else { panic!("{error:?}") };
    assert_eq!(error, CertRevocationListError::BadSignature);
}

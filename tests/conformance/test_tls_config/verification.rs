//! Whom a client believes: names, chains, times and authorities.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use rondel::rustls::{self, AlertDescription, ProtocolVersion};
use rondel::{Pem, TlsClientConfig, TlsError, TlsServerConfig, TlsVersion};

use super::{der, fails, shake_hands, shown_to, tls_error};
use crate::tls_fixture::{Authority, Directory, Issued, client, pki, self_signed, server};

/// Returns the error of the client that meets this certificate under the name `localhost`.
fn rejection_of(issued: &Issued) -> TlsError {
    fails(&client().build().unwrap(), &issued.to_server().build().unwrap(), "localhost").client()
}

#[test]
fn a_certificate_of_a_trusted_authority_is_accepted_by_name_and_by_address() {
    let (client, server) = (client().build().unwrap(), server().build().unwrap());
    for name in ["localhost", "LOCALHOST", "127.0.0.1", "::1"] {
        let pair = shake_hands(&client, &server, name).unwrap();
        assert_eq!(pair.client.protocol_version(), Some(ProtocolVersion::TLSv1_3), "{name}");
        assert_eq!(shown_to(&pair), der(&pki().server), "{name}");
    }
}

// L-10
#[test]
fn l10_an_expired_certificate_tells_until_when_it_was_valid() {
    let error = rejection_of(&pki().expired);
    let TlsError::CertificateExpired { not_after: Some(end) } = error else { panic!("{error:?}") };
    assert_eq!(end, SystemTime::UNIX_EPOCH + Duration::from_secs(1_609_459_200));
    let text = error.to_string();
    assert!(text.contains("2021-01-01") && text.contains("renewed"), "{text}");
}

// L-10
#[test]
fn l10_a_certificate_that_is_not_valid_yet_tells_from_when() {
    let error = rejection_of(&pki().not_yet_valid);
    let TlsError::CertificateNotYetValid { not_before: Some(_) } = error else { panic!("{error:?}") };
    let text = error.to_string();
    assert!(text.contains("2100-01-01") && text.contains("clocks"), "{text}");
}

// L-10
#[test]
fn l10_a_clock_that_nobody_has_set_is_an_error_of_its_own() {
    let server = pki().authority.server_valid(&["localhost"], 2024..2100).to_server().build().unwrap();
    let at = |seconds: u64| {
        let clock = move || Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        fails(&client().wall_clock(clock).build().unwrap(), &server, "localhost").client()
    };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
    assert_eq!(at(100), TlsError::ClockUnset { now: Some(now) });
    assert!(at(100).to_string().contains("1970-01-01"), "{}", at(100));
    assert!(matches!(at(1_577_836_799), TlsError::ClockUnset { .. }));
    // 2020-01-01, from which a clock counts as set.
    assert!(matches!(at(1_577_836_800), TlsError::CertificateNotYetValid { .. }));
}

// L-10
#[test]
fn l10_without_a_clock_or_before_1970_no_certificate_is_accepted() {
    let server = server().build().unwrap();
    let before = || SystemTime::UNIX_EPOCH.checked_sub(Duration::from_secs(1));
    for client in [client().wall_clock(|| None), client().wall_clock(before)] {
        let error = fails(&client.build().unwrap(), &server, "localhost").client();
        assert_eq!(error, TlsError::ClockUnset { now: None });
    }
}

// L-10, TL-3
#[test]
fn l10_a_certificate_for_another_host_tells_for_which() {
    let error = rejection_of(&pki().other_host);
    let TlsError::WrongName { expected, presented } = &error else { panic!("{error:?}") };
    assert_eq!(expected.as_deref(), Some("localhost"));
    assert_eq!(presented, &["other.example"]);
    let text = error.to_string();
    assert!(text.contains("localhost") && text.contains("other.example"), "{text}");
    assert!(text.contains("server_hostname"), "{text}");
}

// TL-17
#[test]
fn tl17_an_address_is_verified_as_an_address() {
    let named = pki().authority.server(&["localhost"]).to_server().build().unwrap();
    let error = fails(&client().build().unwrap(), &named, "127.0.0.1").client();
    let TlsError::WrongName { expected: Some(expected), .. } = error else { panic!("{error:?}") };
    assert_eq!(expected, "127.0.0.1");
    let addressed = pki().authority.server(&["127.0.0.1", "::1"]).to_server().build().unwrap();
    let error = fails(&client().build().unwrap(), &addressed, "127.0.0.2").client();
    let TlsError::WrongName { presented, .. } = error else { panic!("{error:?}") };
    assert_eq!(presented, ["127.0.0.1", "::1"]);
}

// TL-3
#[test]
fn tl3_a_certificate_of_a_stranger_is_refused_and_the_server_hears_of_it() {
    let failed = fails(&client().build().unwrap(), &pki().stranger.to_server().build().unwrap(), "localhost");
    assert_eq!(failed.server, Some(TlsError::Alert(AlertDescription::UnknownCA)));
    assert_eq!(failed.client, Some(TlsError::UnknownIssuer));
    assert!(TlsError::UnknownIssuer.to_string().contains("load_verify_locations"));
    let alert = TlsError::Alert(AlertDescription::UnknownCA).to_string();
    assert!(alert.contains("doesn't trust the issuer"), "{alert}");
}

#[test]
fn a_chain_leads_to_the_root_by_what_the_server_sends() {
    let issued = pki().authority.intermediate("in between").server(&["localhost"]);
    let client = client().build().unwrap();
    shake_hands(&client, &issued.to_server().build().unwrap(), "localhost").unwrap();
    let end = issued.chain.find("-----END CERTIFICATE-----").unwrap() + "-----END CERTIFICATE-----\n".len();
    let alone = Issued { chain: issued.chain[..end].into(), ..issued };
    assert_eq!(rejection_of(&alone), TlsError::UnknownIssuer);
}

#[test]
fn a_certificate_that_its_owner_signed_can_be_trusted_by_itself() {
    let own = self_signed(&["localhost"], false);
    let server = own.to_server().build().unwrap();
    let trusting = TlsClientConfig::builder().load_verify_locations(own.chain_pem()).build().unwrap();
    shake_hands(&trusting, &server, "localhost").unwrap();
    assert_eq!(rejection_of(&own), TlsError::UnknownIssuer);
}

#[test]
fn an_authoritys_own_certificate_is_no_servers_and_the_error_says_so() {
    let own = self_signed(&["localhost"], true);
    let server = own.to_server().build().unwrap();
    let trusting = TlsClientConfig::builder().load_verify_locations(own.chain_pem()).build().unwrap();
    let error = fails(&trusting, &server, "localhost").client();
    assert!(matches!(error, TlsError::BadCertificate(_)), "{error:?}");
    assert!(error.to_string().contains("CA:FALSE"), "{error}");
}

// L-10
#[test]
fn l10_a_huge_chain_is_refused() {
    let Issued { chain, .. } = &pki().server;
    let huge = Issued { chain: chain.clone() + &pki().authority.text().repeat(400), ..pki().server.clone() };
    let error = rejection_of(&huge);
    assert!(matches!(error, TlsError::Other(rustls::Error::InvalidMessage(_))), "{error:?}");
    // One that fits is tried, within the budget of the verification.
    let stranger = &pki().stranger;
    let many =
        Issued { chain: stranger.chain.clone() + &pki().authority.text().repeat(100), ..stranger.clone() };
    assert_eq!(rejection_of(&many), TlsError::UnknownIssuer);
}

#[test]
fn several_texts_of_issuers_add_up() {
    let other = Authority::new("another");
    let server = other.server(&["localhost"]).to_server().build().unwrap();
    let both = client().load_verify_locations(other.pem()).build().unwrap();
    shake_hands(&both, &server, "localhost").unwrap();
    shake_hands(&both, &crate::tls_fixture::server().build().unwrap(), "localhost").unwrap();
    let in_one = Pem::text(pki().authority.text() + &other.text());
    let in_one = TlsClientConfig::builder().load_verify_locations(in_one).build().unwrap();
    shake_hands(&in_one, &server, "localhost").unwrap();
}

#[test]
fn the_default_context_trusts_the_systems_authorities_and_named_ones_replace_them() {
    const INNER: &str = "RONDEL_TEST_SYSTEM";
    if std::env::var_os(INNER).is_some() {
        let system = TlsClientConfig::create_default_context().unwrap();
        shake_hands(&system, &server().build().unwrap(), "localhost").map(drop).unwrap_err();
        let file = std::env::var_os("SSL_CERT_FILE").unwrap();
        let issued = Path::new(&file).parent().unwrap();
        let systems = TlsServerConfig::builder(
            Pem::file(issued.join("server.pem")),
            Pem::file(issued.join("server.key")),
        );
        let systems = systems.build().unwrap();
        shake_hands(&system, &systems, "localhost").unwrap();
        let named = client().build().unwrap();
        assert_eq!(fails(&named, &systems, "localhost").client(), TlsError::UnknownIssuer);
        let both = client().load_default_certs().build().unwrap();
        shake_hands(&both, &systems, "localhost").unwrap();
        return;
    }
    // The variable stands for a system with this one authority.
    let directory = Directory::new("system");
    let authority = Authority::new("the system's");
    std::fs::write(directory.0.join("ca.pem"), authority.text()).unwrap();
    authority.server(&["localhost"]).write_to(&directory.0, "server");
    let name = "test_tls_config::verification::the_default_context_trusts_the_systems_authorities_and_named_ones_replace_them";
    let inner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(INNER, "1")
        .env("SSL_CERT_FILE", directory.0.join("ca.pem"))
        .env_remove("SSL_CERT_DIR")
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&inner.stdout).contains("1 passed"), "{inner:?}");
}

#[test]
fn a_system_without_authorities_is_told_at_once() {
    const INNER: &str = "RONDEL_TEST_NO_SYSTEM";
    if std::env::var_os(INNER).is_some() {
        let error = tls_error(TlsClientConfig::create_default_context());
        assert_eq!(error, TlsError::NoTrustAnchors);
        assert!(error.to_string().contains("ca-certificates"), "{error}");
        return;
    }
    let directory = Directory::new("no-system");
    std::fs::write(directory.0.join("empty.pem"), "").unwrap();
    let inner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "test_tls_config::verification::a_system_without_authorities_is_told_at_once"])
        .env(INNER, "1")
        .env("SSL_CERT_FILE", directory.0.join("empty.pem"))
        .env_remove("SSL_CERT_DIR")
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&inner.stdout).contains("1 passed"), "{inner:?}");
}

#[test]
fn verification_goes_away_only_by_dangerous_names() {
    let strangers = pki().stranger.to_server().build().unwrap();
    let blind = TlsClientConfig::builder().dangerous_without_verification().build().unwrap();
    shake_hands(&blind, &strangers, "any.example").unwrap();
    shake_hands(&blind, &pki().expired.to_server().build().unwrap(), "localhost").unwrap();
    let old = pki().stranger.to_server().maximum_version(TlsVersion::Tls12).build().unwrap();
    shake_hands(&blind, &old, "any.example").unwrap();

    let nameless = client().dangerous_without_name_check().build().unwrap();
    shake_hands(&nameless, &pki().other_host.to_server().build().unwrap(), "localhost").unwrap();
    assert_eq!(fails(&nameless, &strangers, "localhost").client(), TlsError::UnknownIssuer);
    let expired = pki().expired.to_server().build().unwrap();
    let error = fails(&nameless, &expired, "localhost").client();
    assert!(matches!(error, TlsError::CertificateExpired { .. }), "{error:?}");
}

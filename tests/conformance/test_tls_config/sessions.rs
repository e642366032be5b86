//! Sessions that are resumed.

use rondel::rustls::HandshakeKind;
use rondel::{TlsClientConfig, TlsServerConfig, TlsVersion};

use super::shake_hands;
use crate::tls_fixture::{client, server};

fn second_handshake(client: &TlsClientConfig, server: &TlsServerConfig) -> HandshakeKind {
    let first = shake_hands(client, server, "localhost").unwrap();
    assert_eq!(first.client.handshake_kind(), Some(HandshakeKind::Full));
    shake_hands(client, server, "localhost").unwrap().client.handshake_kind().unwrap()
}

#[test]
fn sessions_are_resumed_unless_one_side_keeps_none() {
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        let client = || client().maximum_version(version);
        let kinds = [
            second_handshake(&client().build().unwrap(), &server().build().unwrap()),
            second_handshake(&client().session_cache(0).build().unwrap(), &server().build().unwrap()),
            second_handshake(&client().build().unwrap(), &server().session_cache(0).build().unwrap()),
            second_handshake(
                &client().build().unwrap(),
                &server().session_cache(0).stateless_tickets().build().unwrap(),
            ),
        ];
        use HandshakeKind::{Full, Resumed};
        assert_eq!(kinds, [Resumed, Full, Full, Resumed], "{version:?}");
    }
}

#[test]
fn a_client_of_tls13_gets_as_many_tickets_as_the_server_says() {
    for (tickets, kind) in [(0, HandshakeKind::Full), (1, HandshakeKind::Resumed)] {
        let server = server().tickets_per_handshake(tickets).build().unwrap();
        let client = client().build().unwrap();
        let pair = shake_hands(&client, &server, "localhost").unwrap();
        assert_eq!(pair.client.tls13_tickets_received() as usize, tickets);
        assert_eq!(shake_hands(&client, &server, "localhost").unwrap().client.handshake_kind(), Some(kind));
    }
    let server = server().session_cache(0).build().unwrap();
    let pair = shake_hands(&client().build().unwrap(), &server, "localhost").unwrap();
    assert_eq!(pair.client.tls13_tickets_received(), 0, "a ticket would lead to nothing");
}

#[test]
fn a_server_forgets_the_oldest_sessions_when_its_cache_is_full() {
    let server = server().session_cache(2).tickets_per_handshake(1).build().unwrap();
    let first = client().build().unwrap();
    shake_hands(&first, &server, "localhost").unwrap();
    for _ in 0..8 {
        shake_hands(&client().build().unwrap(), &server, "localhost").unwrap();
    }
    let again = shake_hands(&first, &server, "localhost").unwrap();
    assert_eq!(again.client.handshake_kind(), Some(HandshakeKind::Full));
}

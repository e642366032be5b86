//! Configurations of TLS and its errors: two sides of rustls's shake hands in memory,
//! without a loop.

mod certificates;
mod clients;
mod errors;
mod negotiation;
mod pem;
mod sessions;
mod verification;

use rondel::rustls::pki_types::ServerName;
use rondel::rustls::{self, ClientConnection, ServerConnection};
use rondel::{ErrorKind, TlsClientConfig, TlsError, TlsServerConfig};

use crate::tls_fixture::Issued;

/// Both sides of a connection after its handshake.
pub struct Pair {
    pub client: ClientConnection,
    pub server: ServerConnection,
}

/// Why each side gave up.
#[derive(Debug)]
pub struct Failed {
    pub client: Option<TlsError>,
    pub server: Option<TlsError>,
}

impl Failed {
    pub fn client(self) -> TlsError {
        self.client.expect("the client has no error")
    }

    pub fn server(self) -> TlsError {
        self.server.expect("the server has no error")
    }
}

/// Carries everything between the two sides until both are silent.
pub fn shake_hands(
    client: &TlsClientConfig,
    server: &TlsServerConfig,
    name: &str,
) -> Result<Pair, Box<Failed>> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(client.clone().into(), name).unwrap();
    let mut server = ServerConnection::new(server.clone().into()).unwrap();
    let mut failed = Failed { client: None, server: None };
    loop {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let from_client = bytes.len();
        if failed.server.is_none() {
            failed.server = feed(&mut server, &bytes).err();
        }
        bytes.clear();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        if failed.client.is_none() {
            failed.client = feed(&mut client, &bytes).err();
        }
        if bytes.is_empty() && from_client == 0 {
            break;
        }
    }
    if failed.client.is_some() || failed.server.is_some() {
        return Err(Box::new(failed));
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(Pair { client, server })
}

fn feed<Data>(
    connection: &mut impl core::ops::DerefMut<Target = rustls::ConnectionCommon<Data>>,
    mut bytes: &[u8],
) -> Result<(), TlsError> {
    while !bytes.is_empty() {
        connection.read_tls(&mut bytes).unwrap();
        connection.process_new_packets()?;
    }
    Ok(())
}

pub fn fails(client: &TlsClientConfig, server: &TlsServerConfig, name: &str) -> Box<Failed> {
    match shake_hands(client, server, name) {
        Err(failed) => failed,
        Ok(_) => panic!("the handshake succeeded"),
    }
}

/// Returns why a configuration can't be made.
pub fn tls_error<T>(result: rondel::Result<T>) -> TlsError {
    match result {
        Ok(_) => panic!("there is no error"),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
            error.as_tls().expect("an error of TLS").clone()
        }
    }
}

fn shown_to(pair: &Pair) -> &[u8] {
    &pair.client.peer_certificates().unwrap()[0]
}

/// Returns the first certificate of a chain in DER.
fn der(issued: &Issued) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject;
    rustls::pki_types::CertificateDer::from_pem_slice(issued.chain.as_bytes()).unwrap().to_vec()
}

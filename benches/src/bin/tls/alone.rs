//! rustls alone, in memory: what no server with it can do better.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Instant;

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, InsufficientSizeError, UnbufferedStatus};
use rustls::{ClientConnection, ServerConfig, ServerConnection};

use crate::heap;
use crate::load::{client, config};

/// Is the server's half of rustls, behind either interface.
pub(crate) trait Session {
    fn new(config: &Arc<ServerConfig>) -> Self;

    /// Takes in what a client has sent, and puts behind `to_send` what answers it;
    /// plaintext is echoed, by way of a buffer that no session keeps.
    fn take_in(&mut self, received: &mut [u8], plain: &mut [u8], to_send: &mut Vec<u8>);
}

pub(crate) struct Buffered(Box<ServerConnection>);

impl Session for Buffered {
    fn new(config: &Arc<ServerConfig>) -> Self {
        let tls = ServerConnection::new(Arc::clone(config)).expect("the configuration is usable");
        Self(tls.into())
    }

    fn take_in(&mut self, received: &mut [u8], plain: &mut [u8], to_send: &mut Vec<u8>) {
        let mut rest = &*received;
        while !rest.is_empty() {
            self.0.read_tls(&mut rest).expect("there is room");
            self.0.process_new_packets().expect("the client is right");
            while let Ok(count @ 1..) = self.0.reader().read(plain) {
                self.0.writer().write_all(&plain[..count]).expect("there is room");
            }
            while self.0.wants_write() {
                self.0.write_tls(to_send).expect("memory takes all");
            }
        }
    }
}

pub(crate) struct Unbuffered(Box<UnbufferedServerConnection>);

impl Session for Unbuffered {
    fn new(config: &Arc<ServerConfig>) -> Self {
        let tls = UnbufferedServerConnection::new(Arc::clone(config)).expect("the configuration is usable");
        Self(tls.into())
    }

    fn take_in(&mut self, received: &mut [u8], plain: &mut [u8], to_send: &mut Vec<u8>) {
        let (mut done, mut count) = (0, 0);
        loop {
            let UnbufferedStatus { mut discard, state } = self.0.process_tls_records(&mut received[done..]);
            match state.expect("the client is right") {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.expect("the client is right");
                        discard += record.discard;
                        plain[count..count + record.payload.len()].copy_from_slice(record.payload);
                        count += record.payload.len();
                    }
                }
                ConnectionState::EncodeTlsData(mut data) => {
                    let start = to_send.len();
                    let mut encoded = data.encode(&mut []);
                    if let Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) =
                        encoded
                    {
                        to_send.resize(start + required_size, 0);
                        encoded = data.encode(&mut to_send[start..]);
                    }
                    encoded.expect("there is room");
                }
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::WriteTraffic(mut traffic) if count > 0 => {
                    let start = to_send.len();
                    to_send.resize(start + count + 64, 0);
                    let encrypted = traffic.encrypt(&plain[..count], &mut to_send[start..]);
                    to_send.truncate(start + encrypted.expect("there is room"));
                    count = 0;
                }
                _ => return,
            }
            done += discard;
        }
    }
}

/// A server that is open, and its client.
struct Pair<S> {
    server: S,
    client: ClientConnection,
}

impl<S: Session> Pair<S> {
    /// Shakes hands; returns how long the server took of that, in microseconds, too.
    fn open(config: &Arc<ServerConfig>, of_client: &Arc<rustls::ClientConfig>) -> (Self, f64) {
        let mut client = client(of_client);
        let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
        client.write_tls(&mut to_server).expect("memory takes all");
        let begun = Instant::now();
        let mut server = S::new(config);
        server.take_in(&mut to_server, &mut [], &mut to_client);
        let mut took = begun.elapsed();
        feed(&mut client, &to_client);
        (to_server, to_client) = (Vec::new(), Vec::new());
        while client.wants_write() {
            client.write_tls(&mut to_server).expect("memory takes all");
        }
        let begun = Instant::now();
        server.take_in(&mut to_server, &mut [], &mut to_client);
        took += begun.elapsed();
        feed(&mut client, &to_client);
        (Self { server, client }, took.as_secs_f64() * 1e6)
    }
}

fn feed(client: &mut ClientConnection, mut data: &[u8]) {
    while !data.is_empty() {
        client.read_tls(&mut data).expect("memory gives all");
        client.process_new_packets().expect("the server is right");
    }
}

/// Returns how long an echo of such a size takes, in microseconds.
pub(crate) fn echo<S: Session>(config_of_server: &Arc<ServerConfig>, size: usize) -> f64 {
    const COUNT: usize = 200;
    let (mut pair, _) = Pair::<S>::open(config_of_server, &config(false));
    let message = vec![7; size];
    let mut records: Vec<Vec<u8>> = Vec::new();
    for _ in 0..COUNT {
        let mut record = Vec::new();
        pair.client.writer().write_all(&message).expect("there is room");
        while pair.client.wants_write() {
            pair.client.write_tls(&mut record).expect("memory takes all");
        }
        records.push(record);
    }
    let (mut plain, mut to_send) = (vec![0; size], Vec::with_capacity(2 * size + 1024));
    let begun = Instant::now();
    for record in &mut records {
        to_send.clear();
        pair.server.take_in(record, &mut plain, &mut to_send);
    }
    let took = begun.elapsed();
    assert!(to_send.len() > size, "it is no echo");
    took.as_secs_f64() * 1e6 / COUNT as f64
}

/// Returns how long the server takes of a handshake, in microseconds.
pub(crate) fn handshake<S: Session>(config_of_server: &Arc<ServerConfig>, resumes: bool) -> f64 {
    const COUNT: usize = 20;
    let config = config(resumes);
    if resumes {
        Pair::<S>::open(config_of_server, &config);
    }
    (0..COUNT).map(|_| Pair::<S>::open(config_of_server, &config).1).sum::<f64>() / COUNT as f64
}

/// Returns how many bytes an open session has that has echoed once.
pub(crate) fn bytes<S: Session>(config_of_server: &Arc<ServerConfig>) -> f64 {
    const COUNT: usize = 300;
    let of_client = config(false);
    let open = || {
        let (mut pair, _) = Pair::<S>::open(config_of_server, &of_client);
        let (mut record, mut echoed) = (Vec::new(), Vec::new());
        pair.client.writer().write_all(&[7; 1024]).expect("there is room");
        pair.client.write_tls(&mut record).expect("memory takes all");
        pair.server.take_in(&mut record, &mut [0; 1024], &mut echoed);
        pair.server
    };
    // The tickets of so many are in the configuration's cache, which is full then.
    (0..COUNT).for_each(|_| drop(open()));
    let mut sessions = Vec::with_capacity(COUNT);
    let before = heap::bytes();
    sessions.extend((0..COUNT).map(|_| open()));
    (heap::bytes() - before) as f64 / COUNT as f64
}

//! Hostile records in each state of a session, of both sides and in both versions.

use core::time::Duration;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use fastrand::Rng;
use futures_lite::future::zip;
use rondel::{
    Config, Error, EventLoop, EventLoopHandle, PanicPolicy, StreamReader, StreamWriter, TlsClientOptions,
    TlsError, TlsServerConfig,
};
use rustls::SupportedProtocolVersion;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};

use crate::tls_fixture::{client, pki, server};
use crate::{Blame, live, mutate, seeds};

/// When the hostile bytes come.
#[derive(Clone, Copy, PartialEq, Debug)]
enum State {
    /// Nothing has come yet.
    Begin,
    /// A part of the peer's first record has come.
    FirstRecord,
    /// Both hellos have passed.
    Hellos,
    /// The handshake is over.
    Open,
    /// Our side has announced its end.
    Closing,
}

/// Is the most that a session may hold at once: rustls takes messages of 64 KiB, in
/// vectors that grow by doubling, and the peer is in this process too.
const HELD_MAX: isize = 512 * 1024;

/// Is what caches of sessions and tables may have grown by when many are over.
const GROWTH_MAX: isize = 128 * 1024;

/// Is how many sessions come before memory is looked at for the first time, and for
/// each time after it.
const WARM: u64 = 1_000;

/// Is how many turns a peer waits that hears nothing: nobody who is well needs more.
const SILENCE: u32 = 50;

/// A loop where a panic ends the test, and both sides' configurations.
struct World {
    event_loop: EventLoop,
    theirs: (Arc<rustls::ClientConfig>, Arc<rustls::ServerConfig>),
    ours: (TlsClientOptions, TlsServerConfig),
}

impl World {
    fn new(version: &'static SupportedProtocolVersion) -> Self {
        let config = Config {
            calls: 64,
            tasks: 32,
            descriptors: 16,
            panic_policy: PanicPolicy::Propagate,
            ..Config::default()
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(pki().authority.text().as_bytes()).unwrap()).unwrap();
        let client_config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let chain =
            CertificateDer::pem_slice_iter(pki().server.chain.as_bytes()).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(pki().server.key.as_bytes()).unwrap();
        let server_config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let ours = TlsClientOptions::from(client().build().unwrap()).server_hostname("localhost");
        Self {
            event_loop: EventLoop::with_manual_clock(config).unwrap().0,
            theirs: (client_config.into(), server_config.into()),
            ours: (ours, server().build().unwrap()),
        }
    }

    /// Has a session up to `state`, and its hostile bytes; returns how our side ended.
    fn attack(&self, state: State, peer_is_client: bool, random: &mut Rng) -> rondel::Result<()> {
        let event_loop = self.event_loop.handle();
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let connecting = event_loop.open_connection_with_sock(ours);
        let (connecting, tls) = if peer_is_client {
            let name = ServerName::try_from("localhost").unwrap();
            let tls = rustls::ClientConnection::new(Arc::clone(&self.theirs.0), name).unwrap();
            (connecting.tls_server(&self.ours.1), tls.into())
        } else {
            let tls = rustls::ServerConnection::new(Arc::clone(&self.theirs.1)).unwrap();
            (connecting.tls(self.ours.0.clone()), tls.into())
        };
        let peer = Peer { tls, socket: theirs, event_loop: event_loop.clone(), alerted: false };
        let session = async {
            let ours = async {
                let (reader, writer) = connecting.await?;
                if state == State::Closing { end(writer).await } else { read_to_end(reader).await }
            };
            let both = zip(ours, peer.attack(state, random)).await;
            // What is closed ends in a turn of its own, and what waits gives up.
            event_loop.sleep(Duration::from_secs(120)).await?;
            Ok::<_, Error>(both)
        };
        let (went, alerted) = self.event_loop.run_until_complete(session).unwrap();
        let statistics = self.event_loop.statistics();
        assert_eq!((statistics.timers, statistics.tasks.live, statistics.calls.live), (0, 0, 0));
        assert_eq!((event_loop.write_buffers_size(), self.event_loop.watched_descriptors()), (0, 0));
        if let Err(error) = &went
            && let Some(error) = error.as_tls()
        {
            assert!(alerted || !owes_alert(error), "no alert told of {error:?}");
        }
        went
    }
}

/// Tells whether the peer is to hear of an error: of all that are in a record, but of
/// one that rustls keeps to itself, as it does where no common ground is found.
fn owes_alert(error: &TlsError) -> bool {
    use rustls::Error::{DecryptError, InvalidMessage, PeerSentOversizedRecord};
    use rustls::InvalidMessage::HandshakePayloadTooLarge;
    match error {
        TlsError::NotTls | TlsError::Other(DecryptError | PeerSentOversizedRecord) => true,
        TlsError::Other(InvalidMessage(invalid)) => *invalid != HandshakePayloadTooLarge,
        _ => false,
    }
}

async fn read_to_end(mut reader: StreamReader) -> rondel::Result<()> {
    let mut buffer = [0; 256];
    while reader.read(&mut buffer).await? > 0 {}
    Ok(())
}

async fn end(mut writer: StreamWriter) -> rondel::Result<()> {
    writer.close();
    writer.wait_closed().await
}

/// A peer on a socket whose other end is ours.
struct Peer {
    tls: rustls::Connection,
    socket: UnixStream,
    event_loop: EventLoopHandle,
    /// Tells that an alert came.
    alerted: bool,
}

impl Peer {
    /// Behaves until `state`, and then sends hostile bytes and ends; tells whether an
    /// alert came.
    async fn attack(mut self, state: State, random: &mut Rng) -> bool {
        let mut good = self.next().await;
        match state {
            State::Begin => {}
            State::FirstRecord => {
                let length = first_record(&good);
                let rest = good.split_off(random.usize(1..length));
                self.send(&good).await;
                good = rest;
            }
            State::Hellos if matches!(self.tls, rustls::Connection::Client(_)) => {
                self.send(&good).await;
                good = self.next().await;
            }
            State::Hellos => {
                let rest = good.split_off(first_record(&good));
                self.send(&good).await;
                good = rest;
            }
            State::Open | State::Closing => {
                while !good.is_empty() {
                    self.send(&good).await;
                    good = self.next().await;
                }
                assert!(!self.tls.is_handshaking());
                let _ = self.tls.writer().write_all(b"It is five o'clock.");
                if random.bool() && self.tls.protocol_version() == Some(TLS13.version) {
                    self.tls.refresh_traffic_keys().unwrap();
                }
                if random.bool() {
                    self.tls.send_close_notify();
                }
                good = self.take();
            }
        }
        let bad = mutate::hostile(random, &good);
        self.send(&bad).await;
        self.receive().await;
        self.alerted
    }

    /// Returns what the peer would say now, when it has heard everything; nothing if it
    /// is our turn for ever.
    async fn next(&mut self) -> Vec<u8> {
        if !self.tls.wants_write() {
            self.receive().await;
        }
        self.take()
    }

    fn take(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut out).unwrap();
        }
        out
    }

    async fn send(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            match self.socket.write(data) {
                Ok(count) => data = &data[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.event_loop.yield_now().await.unwrap();
                }
                // Ours has ended.
                Err(_) => return,
            }
        }
    }

    /// Receives until something is to be said, or nothing comes.
    async fn receive(&mut self) {
        let mut bytes = [0; 16 * 1024];
        let mut silence = 0;
        while silence < SILENCE && !self.tls.wants_write() {
            match self.socket.read(&mut bytes) {
                Ok(0) => return,
                Ok(count) => self.take_in(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => silence += 1,
                Err(_) => return,
            }
            self.event_loop.yield_now().await.unwrap();
        }
    }

    fn take_in(&mut self, mut data: &[u8]) {
        const ALERT: u8 = 21;
        const CIPHERTEXT: u8 = 23;
        // Of TLS 1.3, which hides what it is: an alert, its type and a tag. It can't be
        // read where hostile bytes have led to other keys.
        const CIPHERTEXT_OF_ALERT: usize = 2 + 1 + 16;
        let mut records = data;
        while let [kind, _, _, high, low, rest @ ..] = records {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            self.alerted |= *kind == ALERT || (*kind == CIPHERTEXT && length == CIPHERTEXT_OF_ALERT);
            records = rest.get(length..).unwrap_or_default();
        }
        while !data.is_empty() {
            // It takes nothing any more behind an end.
            if self.tls.read_tls(&mut data).is_ok_and(|count| count == 0) {
                return;
            }
            let _ = self.tls.process_new_packets();
        }
    }
}

/// Returns the length of the record that `bytes` begins with.
fn first_record(bytes: &[u8]) -> usize {
    5 + usize::from(u16::from_be_bytes([bytes[3], bytes[4]]))
}

/// Attacks many sessions in each state, and looks what they leave behind.
fn attack_all(version: &'static SupportedProtocolVersion, peer_is_client: bool) {
    for state in [State::Begin, State::FirstRecord, State::Hellos, State::Open, State::Closing] {
        // With its debug assertions rustls panics over any alert behind our end; without
        // them, as programs are released, it sends it.
        if state == State::Closing && cfg!(debug_assertions) {
            continue;
        }
        let world = World::new(version);
        let (mut warm, mut failed) = (None, 0);
        let name = format!("{state:?} of {:?}, peer is client: {peer_is_client}", version.version);
        for seed in seeds(60) {
            let _blame = Blame(&name, seed);
            live::most();
            let before = live::live();
            let went = world.attack(state, peer_is_client, &mut Rng::with_seed(seed));
            failed += u64::from(went.is_err());
            let held = live::most() - before;
            assert!(held < HELD_MAX, "a session held {held} bytes");
            if seed % WARM == WARM - 1 {
                let growth = live::live() - *warm.get_or_insert(live::live());
                assert!(growth < GROWTH_MAX, "{growth} bytes are left of {seed} sessions");
            }
        }
        println!("{name}: {failed} of {} failed", seeds(60).count());
    }
}

#[test]
fn l08_servers_with_tls13_refuse_hostile_records() {
    attack_all(&TLS13, true);
}

#[test]
fn l08_servers_with_tls12_refuse_hostile_records() {
    attack_all(&TLS12, true);
}

#[test]
fn l08_clients_with_tls13_refuse_hostile_records() {
    attack_all(&TLS13, false);
}

#[test]
fn l08_clients_with_tls12_refuse_hostile_records() {
    attack_all(&TLS12, false);
}

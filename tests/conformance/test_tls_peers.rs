//! TLS with peers that rustls speaks for, in memory: what they send is cut, split,
//! delayed and spoilt at will.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rondel::{
    Config, Error, EventLoop, EventLoopHandle, PanicPolicy, StreamReader, StreamWriter, TlsClientOptions,
    TlsError, TlsServerConfig, TlsServerOptions,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ProtocolVersion, SupportedProtocolVersion};

use crate::fixture::{manual_with, pair, small};
use crate::tls_fixture::{client, pki, server};

static VERSIONS: [&[&SupportedProtocolVersion]; 2] = [&[&rustls::version::TLS12], &[&rustls::version::TLS13]];

/// Is what our side says, and what the peer answers.
const QUESTION: &[u8] = b"What is the time?";
const ANSWER: &[u8] = b"Time to go.";

/// The peer's configurations.
struct Peers {
    client: Arc<rustls::ClientConfig>,
    server: Arc<rustls::ServerConfig>,
}

impl Peers {
    fn new(versions: &[&'static SupportedProtocolVersion], fragment: Option<usize>) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(pki().authority.text().as_bytes()).unwrap()).unwrap();
        let mut client = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.resumption = rustls::client::Resumption::disabled();
        client.max_fragment_size = fragment;
        let chain =
            CertificateDer::pem_slice_iter(pki().server.chain.as_bytes()).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(pki().server.key.as_bytes()).unwrap();
        let mut server = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        server.max_fragment_size = fragment;
        Self { client: Arc::new(client), server: Arc::new(server) }
    }

    fn connection(&self, is_client: bool) -> rustls::Connection {
        if is_client {
            let name = ServerName::try_from("localhost").unwrap();
            rustls::ClientConnection::new(Arc::clone(&self.client), name).unwrap().into()
        } else {
            rustls::ServerConnection::new(Arc::clone(&self.server)).unwrap().into()
        }
    }
}

/// What the peer does with its bytes before they are sent.
struct Mischief<'a> {
    /// Is how many it sends at once, at most.
    step: usize,
    /// Is how many it sends before it ends the stream.
    cut: usize,
    /// Spoils what is sent, which begins at this position.
    spoil: Box<dyn FnMut(usize, &mut Vec<u8>) + 'a>,
}

impl<'a> Mischief<'a> {
    fn none(step: usize) -> Self {
        Self::spoiling(step, |_, _| {})
    }

    fn spoiling(step: usize, spoil: impl FnMut(usize, &mut Vec<u8>) + 'a) -> Self {
        Self { step, cut: usize::MAX, spoil: Box::new(spoil) }
    }
}

/// A peer on a socket whose other end is ours.
struct Peer<'a> {
    tls: rustls::Connection,
    socket: UnixStream,
    sent: usize,
    mischief: Mischief<'a>,
    event_loop: EventLoopHandle,
}

impl Peer<'_> {
    /// Moves what there is in both directions; false when the stream has ended.
    async fn pump(&mut self) -> bool {
        let mut out = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut out).unwrap();
        }
        (self.mischief.spoil)(self.sent, &mut out);
        let left = self.mischief.cut - self.sent.min(self.mischief.cut);
        let ends = out.len() > left;
        out.truncate(left);
        for piece in out.chunks(self.mischief.step) {
            self.sent += piece.len();
            let mut rest = piece;
            while !rest.is_empty() {
                match self.socket.write(rest) {
                    Ok(count) => rest = &rest[count..],
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                        self.event_loop.yield_now().await.unwrap();
                    }
                    Err(_) => return false,
                }
            }
            // So that it is read by itself.
            self.event_loop.yield_now().await.unwrap();
            self.event_loop.yield_now().await.unwrap();
        }
        if ends {
            return false;
        }
        let mut bytes = [0; 16 * 1024];
        match self.socket.read(&mut bytes) {
            Ok(0) => return false,
            Ok(count) => {
                let mut bytes = &bytes[..count];
                while !bytes.is_empty() {
                    self.tls.read_tls(&mut bytes).unwrap();
                    if self.tls.process_new_packets().is_err() {
                        return false;
                    }
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
        self.event_loop.yield_now().await.unwrap();
        true
    }

    /// Talks: waits for the question, answers, and ends.
    async fn talk(mut self) -> usize {
        let mut heard = Vec::new();
        let mut has_answered = false;
        // Nobody who is well needs more.
        for _ in 0..10_000 {
            if !self.pump().await {
                break;
            }
            let _ = self.tls.reader().read_to_end(&mut heard);
            if heard == QUESTION && !has_answered {
                has_answered = true;
                self.tls.writer().write_all(ANSWER).unwrap();
                self.tls.send_close_notify();
            }
            if has_answered && !self.tls.wants_write() {
                break;
            }
        }
        self.sent
    }
}

/// Asks, and returns all of the answer.
async fn ask(mut reader: StreamReader, mut writer: StreamWriter) -> rondel::Result<Vec<u8>> {
    writer.write_all(QUESTION).await?;
    let mut answer = Vec::new();
    loop {
        let mut more = [0; 64];
        let count = reader.read(&mut more).await?;
        if count == 0 {
            return Ok(answer);
        }
        answer.extend_from_slice(&more[..count]);
    }
}

/// A loop where a panic ends the test, and what talks on it.
struct World {
    event_loop: EventLoop,
    peers: Peers,
    ours: (TlsClientOptions, TlsServerOptions),
}

impl World {
    fn new(versions: &[&'static SupportedProtocolVersion], fragment: Option<usize>) -> Self {
        let config = Config { panic_policy: PanicPolicy::Propagate, ..small() };
        let ours = client().build().unwrap();
        let ours = TlsClientOptions::from(ours).server_hostname("localhost");
        Self {
            event_loop: manual_with(config).0,
            peers: Peers::new(versions, fragment),
            ours: (ours, server().build().unwrap().into()),
        }
    }

    /// Lets our side take the end of the stream for the end of TLS.
    fn accepting_missing_close_notify(mut self) -> Self {
        let (client, server) = self.ours;
        self.ours = (client.accept_missing_close_notify(), server.accept_missing_close_notify());
        self
    }

    /// Talks to a peer; returns how that went and how much the peer has sent.
    fn talk(&self, peer_is_client: bool, mischief: Mischief<'_>) -> (rondel::Result<Vec<u8>>, usize) {
        self.talk_to(self.peers.connection(peer_is_client), mischief)
    }

    /// Puts a peer before our side, which has yet to connect.
    fn meet<'a>(
        &self,
        tls: rustls::Connection,
        mischief: Mischief<'a>,
    ) -> (impl IntoFuture<Output = rondel::Result<(StreamReader, StreamWriter)>>, Peer<'a>) {
        let event_loop = self.event_loop.handle();
        let (ours, theirs) = pair();
        let connecting = event_loop.open_connection_with_sock(ours);
        let connecting = match tls {
            rustls::Connection::Client(_) => connecting.tls_server(self.ours.1.clone()),
            rustls::Connection::Server(_) => connecting.tls(self.ours.0.clone()),
        };
        (connecting, Peer { tls, socket: theirs, sent: 0, mischief, event_loop })
    }

    fn talk_to(&self, tls: rustls::Connection, mischief: Mischief<'_>) -> (rondel::Result<Vec<u8>>, usize) {
        let event_loop = self.event_loop.handle();
        let (connecting, peer) = self.meet(tls, mischief);
        let talk = async {
            let ours = async {
                let (reader, writer) = connecting.await?;
                ask(reader, writer).await
            };
            let both = futures_lite::future::zip(ours, peer.talk()).await;
            // What is closed ends in a turn of its own.
            event_loop.sleep(core::time::Duration::from_secs(120)).await?;
            Ok::<_, Error>(both)
        };
        let went = self.event_loop.run_until_complete(talk).unwrap();
        let statistics = self.event_loop.statistics();
        assert_eq!((statistics.timers, event_loop.write_buffers_size()), (0, 0));
        went
    }

    fn well(&self, peer_is_client: bool, step: usize) -> usize {
        self.well_with(self.peers.connection(peer_is_client), step)
    }

    fn well_with(&self, tls: impl Into<rustls::Connection>, step: usize) -> usize {
        let mischief = Mischief::none(step);
        let (went, sent) = self.talk_to(tls.into(), mischief);
        assert_eq!(went.unwrap(), ANSWER);
        sent
    }
}

#[test]
fn l05_a_session_goes_well_in_segments_of_any_size() {
    for versions in VERSIONS {
        for peer_is_client in [true, false] {
            let world = World::new(versions, None);
            for step in [1, 2, 3, 5, 7, 100, 16_384] {
                world.well(peer_is_client, step);
            }
        }
    }
}

#[test]
fn l05_messages_of_the_handshake_may_be_spread_over_many_records() {
    for versions in VERSIONS {
        for peer_is_client in [true, false] {
            for fragment in [32, 33, 50, 100] {
                let world = World::new(versions, Some(fragment));
                for step in [1, 31, 16_384] {
                    world.well(peer_is_client, step);
                }
            }
        }
    }
}

/// Splits the plaintext records that `bytes` begins with into records of `size`.
fn fragment(bytes: &mut Vec<u8>, size: usize) {
    let (mut split, mut rest) = (Vec::new(), &bytes[..]);
    while let [22, major, minor, high, low, after @ ..] = rest {
        let length = usize::from(*high) << 8 | usize::from(*low);
        for piece in after[..length].chunks(size) {
            split.extend_from_slice(&[22, *major, *minor, 0, piece.len() as u8]);
            split.extend_from_slice(piece);
        }
        rest = &after[length..];
    }
    split.extend_from_slice(rest);
    *bytes = split;
}

#[test]
fn l05_a_client_hello_may_come_in_records_of_a_byte() {
    for versions in VERSIONS {
        for size in [1, 2, 3, 4, 5, 200] {
            for step in [1, 9, 16_384] {
                let world = World::new(versions, None);
                let mut spoil = |sent: usize, bytes: &mut Vec<u8>| {
                    if sent == 0 {
                        fragment(bytes, size);
                    }
                };
                let mischief = Mischief::spoiling(step, &mut spoil);
                assert_eq!(world.talk(true, mischief).0.unwrap(), ANSWER);
            }
        }
    }
}

/// Makes a client that sends data before the handshake is over, to a server that has
/// allowed it.
fn hasty_client(peers: &Peers) -> Arc<rustls::ClientConfig> {
    let mut config = (*peers.client).clone();
    config.resumption = rustls::client::Resumption::in_memory_sessions(4);
    config.enable_early_data = true;
    Arc::new(config)
}

fn connect(config: &Arc<rustls::ClientConfig>) -> rustls::ClientConnection {
    rustls::ClientConnection::new(Arc::clone(config), ServerName::try_from("localhost").unwrap()).unwrap()
}

/// Carries what two connections say to each other until both are silent.
fn carry(client: &mut rustls::ClientConnection, server: &mut rustls::ServerConnection) {
    while client.wants_write() || server.wants_write() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        server.read_tls(&mut &bytes[..]).unwrap();
        server.process_new_packets().unwrap();
        bytes.clear();
        server.write_tls(&mut bytes).unwrap();
        client.read_tls(&mut &bytes[..]).unwrap();
        client.process_new_packets().unwrap();
    }
}

#[test]
fn l09_early_data_of_a_session_that_is_not_ours_is_skipped() {
    let world = World::new(&[&rustls::version::TLS13], None);
    let mut elsewhere = (*world.peers.server).clone();
    elsewhere.max_early_data_size = 1000;
    let elsewhere = Arc::new(elsewhere);
    for step in [1, 16_384] {
        // Another server of the same name has allowed it.
        let hasty = hasty_client(&world.peers);
        let mut server = rustls::ServerConnection::new(Arc::clone(&elsewhere)).unwrap();
        carry(&mut connect(&hasty), &mut server);
        let mut client = connect(&hasty);
        let mut early = client.early_data().expect("a session that allows it");
        early.write_all(b"too early").unwrap();
        world.well_with(client, step);
    }
}

#[test]
fn l09_early_data_is_never_allowed_whatever_a_configuration_of_rustls_says() {
    let mut world = World::new(&[&rustls::version::TLS13], None);
    let mut allowing = (*world.peers.server).clone();
    allowing.max_early_data_size = 1000;
    world.ours.1 = TlsServerConfig::from(Arc::new(allowing)).into();
    let hasty = hasty_client(&world.peers);
    world.well_with(connect(&hasty), 16_384);
    let mut second = connect(&hasty);
    assert!(second.early_data().is_none());
    world.well_with(second, 16_384);
}

fn is_broken(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset)
}

/// Cuts a session after each of its bytes, and returns the errors in their order,
/// each once.
fn cut_everywhere(world: &World, peer_is_client: bool) -> Vec<String> {
    let mut seen = Vec::new();
    // Signatures differ in length: the last bytes are cut in any case.
    let most = world.well(peer_is_client, 16_384) + 4;
    for cut in 0..most {
        let mischief = Mischief { cut, ..Mischief::none(16_384) };
        let went = match world.talk(peer_is_client, mischief) {
            (Ok(answer), _) => {
                assert_eq!(answer, ANSWER);
                String::from("well")
            }
            // What it had to say, a peer that is gone can't hear.
            (Err(error), _) if error.as_io().is_some_and(is_broken) => {
                format!("{:?}", Some(TlsError::Truncated))
            }
            (Err(error), _) => format!("{:?}", error.as_tls()),
        };
        if seen.last() != Some(&went) {
            seen.push(went);
        }
    }
    seen
}

#[test]
fn tl4_l01_a_session_that_is_cut_anywhere_is_never_a_clean_end() {
    for versions in VERSIONS {
        for peer_is_client in [true, false] {
            let world = World::new(versions, None);
            let seen = cut_everywhere(&world, peer_is_client);
            let (reset, truncated) = (Some(TlsError::PeerReset), Some(TlsError::Truncated));
            let expected = [format!("{reset:?}"), format!("{truncated:?}"), String::from("well")];
            assert_eq!(seen, expected, "{versions:?} {peer_is_client}");
        }
    }
}

/// Adds where records end in `bytes`, which begin at `start` of a stream.
fn add_record_ends(ends: &mut Vec<usize>, start: usize, bytes: &[u8]) {
    let mut at = 0;
    while let Some(&[_, _, _, high, low]) = bytes.get(at..at + 5) {
        at += 5 + usize::from(u16::from_be_bytes([high, low]));
        ends.push(start + at);
    }
}

#[test]
fn l01_an_end_that_is_accepted_is_never_within_a_record_or_a_handshake() {
    for versions in VERSIONS {
        for peer_is_client in [true, false] {
            let world = World::new(versions, None).accepting_missing_close_notify();
            let mut answers = Vec::new();
            for cut in 0..world.well(peer_is_client, 16_384) {
                let mut ends = Vec::new();
                let mut spoil = |sent: usize, bytes: &mut Vec<u8>| add_record_ends(&mut ends, sent, bytes);
                let mischief = Mischief { cut, ..Mischief::spoiling(16_384, &mut spoil) };
                match world.talk(peer_is_client, mischief).0 {
                    Ok(answer) => {
                        // Signatures differ in length: the last bytes may be there.
                        let is_whole = ends.contains(&cut) || ends.last().is_some_and(|&last| last < cut);
                        assert!(is_whole, "within a record: {cut}, {ends:?}");
                        answers.push(answer);
                    }
                    Err(error) if error.as_tls() == Some(&TlsError::Truncated) => {
                        assert!(!ends.contains(&cut), "between records: {cut}, {ends:?}");
                    }
                    Err(error) if error.as_io().is_some_and(is_broken) => {}
                    Err(error) => assert_eq!(error.as_tls(), Some(&TlsError::PeerReset)),
                }
            }
            // What came whole, and nothing else, is an answer.
            assert!(answers.iter().all(|answer| answer.is_empty() || answer == ANSWER), "{answers:?}");
        }
    }
}

#[test]
fn l08_spoilt_records_in_any_state_end_a_session_and_nothing_else() {
    let mut random = fastrand::Rng::with_seed(8);
    for versions in VERSIONS {
        let world = World::new(versions, None);
        let fragmented = World::new(versions, Some(40));
        for round in 0..500 {
            let peer_is_client = round % 2 == 0;
            let world = if round % 3 == 0 { &fragmented } else { &world };
            let at = random.usize(..if peer_is_client { 500 } else { 1500 });
            let (kind, seed) = (random.u8(..5), random.u64(..));
            let mut spoil = |sent: usize, bytes: &mut Vec<u8>| {
                if at < sent || at >= sent + bytes.len() {
                    return;
                }
                let mut random = fastrand::Rng::with_seed(seed);
                let at = at - sent;
                match kind {
                    0 => bytes[at] ^= 1 << random.u8(..8),
                    1 => bytes[at..].iter_mut().for_each(|byte| *byte = random.u8(..)),
                    2 => drop(bytes.remove(at)),
                    3 => {
                        let count = random.usize(1..50);
                        bytes.splice(at..at, core::iter::repeat_with(|| random.u8(..)).take(count));
                    }
                    _ => {
                        let twice = bytes[at..].to_vec();
                        bytes.extend(twice);
                    }
                }
            };
            let step = [1, 13, 16_384][random.usize(..3)];
            let mischief = Mischief::spoiling(step, &mut spoil);
            if let (Ok(answer), _) = world.talk(peer_is_client, mischief) {
                assert_eq!(answer, ANSWER);
            }
        }
    }
}

#[test]
fn l08_random_records_instead_of_a_handshake_are_refused() {
    let mut random = fastrand::Rng::with_seed(88);
    let world = World::new(VERSIONS[1], None);
    for round in 0..1500 {
        let mut spoil = |_: usize, bytes: &mut Vec<u8>| {
            bytes.clear();
            for _ in 0..random.usize(1..6) {
                let kind = [20, 21, 22, 23, random.u8(..)][random.usize(..5)];
                let length = random.u16(..200);
                bytes.extend_from_slice(&[kind, 3, random.u8(1..5)]);
                bytes.extend_from_slice(&length.to_be_bytes());
                bytes.extend(core::iter::repeat_with(|| random.u8(..)).take(length.into()));
            }
        };
        let mischief = Mischief { cut: 1000, ..Mischief::spoiling(16_384, &mut spoil) };
        assert!(world.talk(round % 2 == 0, mischief).0.is_err());
    }
}

#[test]
fn l08_an_alert_follows_what_was_to_be_said_before_it() {
    let world = World::new(VERSIONS[1], None);
    let event_loop = world.event_loop.handle();
    let (connecting, mut peer) = world.meet(world.peers.connection(true), Mischief::none(16_384));
    let talk = async {
        let theirs = async {
            while peer.tls.is_handshaking() {
                assert!(peer.pump().await);
            }
            peer.pump().await;
            // It is to be answered, and stands before what is wrong.
            peer.tls.refresh_traffic_keys().unwrap();
            let mut out = Vec::new();
            peer.tls.write_tls(&mut out).unwrap();
            out.extend_from_slice(&[23, 3, 3, 0, 20]);
            out.extend_from_slice(&[0; 20]);
            peer.socket.write_all(&out).unwrap();
            let mut heard = Vec::new();
            while heard.len() < 2 * 5 + 22 + 19 && peer.socket.read_to_end(&mut heard).is_err() {
                event_loop.yield_now().await.unwrap();
            }
            peer.tls.read_tls(&mut &heard[..]).unwrap();
            peer.tls.process_new_packets()
        };
        let ours = async {
            let (reader, writer) = connecting.await?;
            ask(reader, writer).await
        };
        futures_lite::future::zip(ours, theirs).await
    };
    let (ours, theirs) = world.event_loop.run_until_complete(talk).unwrap();
    assert_eq!(ours.unwrap_err().as_tls(), Some(&TlsError::Other(rustls::Error::DecryptError)));
    let alert = rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac);
    assert_eq!(theirs.unwrap_err(), alert);
}

#[test]
fn l04_what_is_no_tls_is_refused_at_once() {
    for peer_is_client in [true, false] {
        let world = World::new(VERSIONS[1], None);
        let text = if peer_is_client { "GET / HTTP/1.1\r\n\r\n" } else { "HTTP/1.1 400 Bad Request\r\n\r\n" };
        let mut spoil = |_: usize, bytes: &mut Vec<u8>| *bytes = text.into();
        let begun = world.event_loop.handle().time();
        let mischief = Mischief { cut: 10_000, ..Mischief::spoiling(16_384, &mut spoil) };
        let error = world.talk(peer_is_client, mischief).0.unwrap_err();
        assert_eq!(error.as_tls(), Some(&TlsError::NotTls));
        // Two minutes is what `talk` lets pass at the end.
        assert_eq!((world.event_loop.handle().time() - begun).as_secs(), 120);
    }
}

#[test]
fn l04_a_close_notify_in_mid_handshake_is_an_error() {
    for versions in VERSIONS {
        for peer_is_client in [true, false] {
            let world = World::new(versions, None);
            let mut is_first = true;
            let mut spoil = |_: usize, bytes: &mut Vec<u8>| {
                if core::mem::take(&mut is_first) || !bytes.is_empty() {
                    *bytes = vec![21, 3, 3, 0, 2, 1, 0];
                }
            };
            let mischief = Mischief { cut: 10_000, ..Mischief::spoiling(16_384, &mut spoil) };
            let begun = world.event_loop.handle().time();
            let error = world.talk(peer_is_client, mischief).0.unwrap_err();
            assert!(error.as_tls().is_some(), "{error:?}");
            assert_eq!((world.event_loop.handle().time() - begun).as_secs(), 120, "{error:?}");
        }
    }
}

#[test]
fn l09_key_updates_work_and_a_flood_of_them_is_refused() {
    for (updates, is_flood) in [(3, false), (200, true)] {
        let world = World::new(VERSIONS[1], None);
        let (connecting, mut peer) = world.meet(world.peers.connection(true), Mischief::none(16_384));
        let talk = async {
            let theirs = async {
                while peer.tls.is_handshaking() {
                    assert!(peer.pump().await);
                }
                for _ in 0..updates {
                    peer.tls.refresh_traffic_keys().unwrap();
                    let mut out = Vec::new();
                    while peer.tls.wants_write() {
                        peer.tls.write_tls(&mut out).unwrap();
                    }
                    peer.socket.write_all(&out).unwrap();
                }
                peer.talk().await
            };
            let ours = async {
                let (reader, writer) = connecting.await?;
                ask(reader, writer).await
            };
            futures_lite::future::zip(ours, theirs).await.0
        };
        let went = world.event_loop.run_until_complete(talk);
        if is_flood {
            let error = went.unwrap_err();
            let flood = rustls::PeerMisbehaved::TooManyKeyUpdateRequests;
            assert_eq!(error.as_tls(), Some(&TlsError::Other(flood.into())));
        } else {
            assert_eq!(went.unwrap(), ANSWER);
        }
    }
}

#[test]
fn tl2_both_versions_are_told_apart() {
    for (versions, version) in VERSIONS.iter().zip([ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3]) {
        let world = World::new(versions, None);
        let (connecting, peer) = world.meet(world.peers.connection(false), Mischief::none(16_384));
        let talk = async {
            let ours = async {
                let (reader, writer) = connecting.await?;
                assert_eq!(writer.tls_info().unwrap().version(), Some(version));
                ask(reader, writer).await
            };
            futures_lite::future::zip(ours, peer.talk()).await.0
        };
        assert_eq!(world.event_loop.run_until_complete(talk).unwrap(), ANSWER);
    }
}

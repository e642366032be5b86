//! Connections to one server: messages on some that stand, or new ones all the time.

use core::time::Duration;
use std::collections::VecDeque;
use std::io::{self, Error, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Instant;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, SignatureScheme};

use crate::server::Server;
use crate::sys::{self, Epoll, NO_EVENT, READABLE};

/// Is how long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Is what a record of TLS 1.3 has beside its plaintext: a header, a type, a tag.
const HEADER: usize = 5;
const OVERHEAD: usize = 17;

/// What a slice of load took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice {
    count: usize,
    elapsed: Duration,
    /// Is the CPU time of the server.
    cpu: Duration,
}

impl Slice {
    pub(crate) fn per_second(&self) -> f64 {
        self.count as f64 / self.elapsed.as_secs_f64()
    }

    pub(crate) fn cpu_us_each(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.count as f64
    }
}

/// Measures what `work` does, which returns how much that was.
fn measure(process: u32, work: impl FnOnce() -> io::Result<usize>) -> io::Result<Slice> {
    let (cpu, begun) = (sys::cpu_time(process), Instant::now());
    let count = work()?;
    Ok(Slice { count, elapsed: begun.elapsed(), cpu: sys::cpu_time(process).saturating_sub(cpu) })
}

/// Returns a configuration that trusts anybody, unchecked: that leaves the load's
/// core time to keep the server busy.
pub(crate) fn config(resumes: bool) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("ring speaks TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TrustsAnybody))
        .with_no_client_auth();
    config.resumption = if resumes { Resumption::in_memory_sessions(8) } else { Resumption::disabled() };
    Arc::new(config)
}

pub(crate) fn client(config: &Arc<ClientConfig>) -> ClientConnection {
    let name = ServerName::try_from("localhost").expect("is a name");
    ClientConnection::new(Arc::clone(config), name).expect("the configuration is usable")
}

#[derive(Debug)]
struct TrustsAnybody;

impl ServerCertVerifier for TrustsAnybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

fn connect(server: &Server) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(&server.address)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    // So many that linger would use up the ports.
    sys::reset_on_close(socket.as_raw_fd())?;
    Ok(socket)
}

/// Connections that stand, with one message at a time on each.
pub(crate) struct Echoes {
    process: u32,
    epoll: Epoll,
    connections: Vec<Connection>,
    message: Vec<u8>,
    buffer: Vec<u8>,
}

struct Connection {
    socket: TcpStream,
    tls: ClientConnection,
    ciphertext: Vec<u8>,
    sent: usize,
    /// Is how much of the message's plaintext has begun to come back.
    returned: usize,
    /// Is how much of a record is still to come, and what there is of a header.
    rest: usize,
    header: Vec<u8>,
}

impl Echoes {
    /// Connects, and compares what comes back of a first message on each.
    pub(crate) fn open(server: &Server, connections: usize, size: usize) -> io::Result<Self> {
        let config = config(false);
        let message: Vec<u8> = (0..size).map(|place| (place * 31 + place / 251) as u8).collect();
        let epoll = Epoll::new()?;
        let mut opened = Vec::with_capacity(connections);
        for number in 0..connections {
            let (mut socket, mut tls) = (connect(server)?, client(&config));
            let mut stream = rustls::Stream::new(&mut tls, &mut socket);
            stream.write_all(&message)?;
            let mut echoed = vec![0; size];
            stream.read_exact(&mut echoed)?;
            if echoed != message {
                return Err(Error::other("what came back is not what was sent"));
            }
            socket.set_nonblocking(true)?;
            epoll.add(socket.as_raw_fd(), READABLE, number as u64)?;
            let (ciphertext, header) = (Vec::new(), Vec::new());
            opened.push(Connection { socket, tls, ciphertext, sent: 0, returned: 0, rest: 0, header });
        }
        Ok(Self { process: server.process, epoll, connections: opened, message, buffer: vec![0; 1 << 18] })
    }

    /// Keeps a message on its way on each connection, and ends when all are back.
    pub(crate) fn run(&mut self, duration: Duration) -> io::Result<Slice> {
        let Self { process, epoll, connections, message, buffer } = self;
        measure(*process, || {
            let begun = Instant::now();
            let (mut messages, mut on_their_way) = (0, 0);
            for connection in &mut *connections {
                connection.begin(message)?;
                on_their_way += 1;
            }
            let mut events = [NO_EVENT; 64];
            while on_their_way > 0 {
                let happened = epoll.wait(&mut events, Some(PATIENCE));
                if happened.is_empty() {
                    return Err(ErrorKind::TimedOut.into());
                }
                let is_over = begun.elapsed() > duration;
                for event in happened {
                    let number = event.u64;
                    let connection = &mut connections[number as usize];
                    if !connection.receive(buffer, message.len())? {
                        continue;
                    }
                    messages += 1;
                    if is_over {
                        on_their_way -= 1;
                    } else {
                        connection.begin(message)?;
                    }
                }
            }
            Ok(messages)
        })
    }
}

impl Connection {
    fn begin(&mut self, message: &[u8]) -> io::Result<()> {
        (self.sent, self.returned) = (0, 0);
        self.ciphertext.clear();
        self.tls.writer().write_all(message)?;
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.ciphertext)?;
        }
        // The kernel has room for a whole message.
        while self.sent < self.ciphertext.len() {
            self.sent += sys::send(self.socket.as_raw_fd(), &self.ciphertext[self.sent..])?.unwrap_or(0);
        }
        Ok(())
    }

    /// Receives once, and counts what lies in the records instead of decrypting it;
    /// true at the end of the message.
    fn receive(&mut self, buffer: &mut [u8], size: usize) -> io::Result<bool> {
        let count = match sys::receive(self.socket.as_raw_fd(), buffer)? {
            Some(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Some(count) => count,
            None => return Ok(false),
        };
        let mut data = &buffer[..count];
        while !data.is_empty() {
            let skipped = self.rest.min(data.len());
            self.rest -= skipped;
            data = &data[skipped..];
            let taken = data.len().min(HEADER - self.header.len());
            self.header.extend_from_slice(&data[..taken]);
            data = &data[taken..];
            if self.header.len() == HEADER {
                self.rest = usize::from(u16::from_be_bytes([self.header[3], self.header[4]]));
                self.returned += self.rest - OVERHEAD;
                self.header.clear();
            }
        }
        Ok(self.rest == 0 && self.header.is_empty() && self.returned >= size)
    }
}

/// Makes new connections all the time: each shakes hands, sends a byte, awaits its
/// echo, and is reset.
pub(crate) struct Handshakes<'a> {
    server: &'a Server,
    config: Arc<ClientConfig>,
    resumes: bool,
    buffer: Vec<u8>,
}

struct Attempt {
    socket: TcpStream,
    tls: ClientConnection,
}

impl<'a> Handshakes<'a> {
    /// Gets a ticket for each of the connections that are made at once.
    pub(crate) fn open(server: &'a Server, resumes: bool) -> io::Result<Self> {
        let mut own = Self { server, config: config(resumes), resumes, buffer: vec![0; 1 << 16] };
        let attempts = (0..8).map(|_| own.begin()).collect::<io::Result<Vec<_>>>()?;
        for attempt in attempts {
            own.finish(attempt)?;
        }
        Ok(own)
    }

    /// Shakes hands for some time, or as often as is wanted, with a few connections
    /// at once.
    pub(crate) fn run(&mut self, duration: Duration, most: usize, at_once: usize) -> io::Result<Slice> {
        measure(self.server.process, || {
            let begun = Instant::now();
            let mut count = 0;
            let mut attempts = VecDeque::with_capacity(at_once);
            while attempts.len() < at_once {
                attempts.push_back(self.begin()?);
            }
            while let Some(attempt) = attempts.pop_front() {
                let kind = self.finish(attempt)?;
                if (kind == Some(HandshakeKind::Resumed)) != self.resumes {
                    return Err(Error::other(format!("a handshake was {kind:?}")));
                }
                count += 1;
                if begun.elapsed() < duration && count + attempts.len() < most {
                    attempts.push_back(self.begin()?);
                }
            }
            Ok(count)
        })
    }

    /// Connects, and sends what opens a handshake.
    fn begin(&self) -> io::Result<Attempt> {
        let (mut socket, mut tls) = (connect(self.server)?, client(&self.config));
        tls.writer().write_all(b"x")?;
        tls.write_tls(&mut socket)?;
        Ok(Attempt { socket, tls })
    }

    fn finish(&mut self, attempt: Attempt) -> io::Result<Option<HandshakeKind>> {
        let Attempt { mut socket, mut tls } = attempt;
        loop {
            let count = socket.read(&mut self.buffer)?;
            if count == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let mut data = &self.buffer[..count];
            while !data.is_empty() {
                tls.read_tls(&mut data)?;
                tls.process_new_packets().map_err(Error::other)?;
            }
            while tls.wants_write() {
                tls.write_tls(&mut socket)?;
            }
            let mut echoed = [0];
            match tls.reader().read(&mut echoed) {
                Ok(1) => break,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                other => return other.and(Err(ErrorKind::UnexpectedEof.into())),
            }
        }
        Ok(tls.handshake_kind())
    }
}

//! A protocol that records what it is told, and does then what a test wants.

use core::time::Duration;
use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;

use rondel::{AfterEof, BufferedProtocol, Error, EventLoop, Protocol, ProtocolRef, Result, Transport};

use crate::fixture::{Trace, pair, turns};

/// What a protocol is told.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    Made,
    Data(&'a [u8]),
    Eof,
    Pause,
    Resume,
    Lost(Option<&'a Error>),
}

type Hook = Box<dyn FnMut(Told<'_>, &Transport) -> Result<AfterEof>>;

/// Records and calls a hook.
pub struct Probe {
    trace: Trace,
    hook: Hook,
    buffer: Vec<u8>,
}

impl Probe {
    pub fn new(trace: &Trace, hook: impl FnMut(Told<'_>, &Transport) -> Result<AfterEof> + 'static) -> Self {
        Self { trace: trace.clone(), hook: Box::new(hook), buffer: vec![0; 4] }
    }

    /// Only records; ends with its peer.
    pub fn quiet(trace: &Trace) -> Self {
        Self::new(trace, |_, _| Ok(AfterEof::Close))
    }

    fn told(&mut self, told: Told<'_>, transport: &Transport) -> Result<AfterEof> {
        self.trace.push(match told {
            Told::Made => "made".into(),
            Told::Data(data) if data.len() > 16 => format!("data of {}", data.len()),
            Told::Data(data) => format!("data {}", data.escape_ascii()),
            Told::Eof => "eof".into(),
            Told::Pause => "pause".into(),
            Told::Resume => "resume".into(),
            Told::Lost(None) => "lost".into(),
            Told::Lost(Some(error)) => format!("lost: {error}"),
        });
        (self.hook)(told, transport)
    }
}

macro_rules! tell {
    () => {
        fn connection_made(&mut self, transport: &Transport) -> Result<()> {
            self.probe().told(Told::Made, transport).map(drop)
        }

        fn eof_received(&mut self, transport: &Transport) -> Result<AfterEof> {
            self.probe().told(Told::Eof, transport)
        }

        fn pause_writing(&mut self, transport: &Transport) -> Result<()> {
            self.probe().told(Told::Pause, transport).map(drop)
        }

        fn resume_writing(&mut self, transport: &Transport) -> Result<()> {
            self.probe().told(Told::Resume, transport).map(drop)
        }

        fn connection_lost(&mut self, transport: &Transport, error: Option<&Error>) -> Result<()> {
            self.probe().told(Told::Lost(error), transport).map(drop)
        }
    };
}

impl Probe {
    fn probe(&mut self) -> &mut Self {
        self
    }
}

impl Protocol for Probe {
    tell!();

    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result<()> {
        self.told(Told::Data(data), transport).map(drop)
    }
}

/// Receives into four bytes of its own, or as many as it is given.
pub struct Buffered(pub Probe);

impl Buffered {
    pub fn with_buffer(mut self, bytes: usize) -> Self {
        self.0.buffer = vec![0; bytes];
        self
    }

    fn probe(&mut self) -> &mut Probe {
        &mut self.0
    }
}

impl BufferedProtocol for Buffered {
    tell!();

    fn buffer(&mut self, _: usize) -> &mut [u8] {
        &mut self.0.buffer
    }

    fn buffer_updated(&mut self, transport: &Transport, count: usize) -> Result<()> {
        let data = self.0.buffer[..count].to_vec();
        self.0.told(Told::Data(&data), transport).map(drop)
    }
}

/// A transport over a pair of UNIX sockets, whose transfers take no time.
pub struct Wire {
    pub transport: Transport,
    pub protocol: ProtocolRef<Probe>,
    pub trace: Trace,
    pub peer: UnixStream,
}

/// Makes one whose protocol does what `hook` says.
pub fn wire(
    event_loop: &EventLoop,
    hook: impl FnMut(Told<'_>, &Transport) -> Result<AfterEof> + 'static,
) -> Wire {
    let trace = Trace::new();
    let (ours, peer) = pair();
    let probe = Probe::new(&trace, hook);
    let connecting = event_loop.create_connection_with_sock(|| probe, ours);
    let (transport, protocol) = event_loop.run_until_complete(connecting).expect("a connection");
    Wire { transport, protocol, trace, peer }
}

/// Makes one whose protocol only records.
pub fn quiet(event_loop: &EventLoop) -> Wire {
    wire(event_loop, |_, _| Ok(AfterEof::Close))
}

impl Wire {
    /// Reads what the peer has received; nothing at the end of the stream too.
    pub fn received(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        match self.peer.read_to_end(&mut all) {
            Ok(_) => {}
            // The latter if we closed without having read all.
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionReset));
            }
        }
        all
    }

    /// Tells whether the peer has read all and the end of the stream. That may be a moment late: a process
    /// that another test starts has our descriptors until it is its program.
    pub fn is_at_end(&mut self) -> bool {
        self.peer.set_nonblocking(false).unwrap();
        self.peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let read = self.peer.read(&mut [0]);
        self.peer.set_nonblocking(true).unwrap();
        match read {
            Ok(count) => count == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }

    /// Receives until nothing more comes.
    pub fn receive_all(&mut self, event_loop: &EventLoop) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            turns(event_loop, 4);
            let more = self.received();
            if more.is_empty() {
                return all;
            }
            all.extend(more);
        }
    }

    /// Makes the kernel's buffer small, and writes until bytes are left over;
    /// returns how many the kernel took.
    pub fn fill(&self) -> usize {
        let options = self.transport.socket_options().expect("open");
        options.set_send_buffer_size(1).expect("small");
        let mut written = 0;
        while self.transport.write_buffer_size() == 0 {
            self.transport.write(&[b'.'; 1024]).expect("room");
            written += 1024;
        }
        written - self.transport.write_buffer_size()
    }

    /// Writes more than the high-water mark, whatever the kernel takes.
    pub fn overfill(&self) {
        self.fill();
        let rest = self.transport.write_buffer_limits().high() + 1;
        self.transport.write(&vec![b'.'; rest]).expect("room");
    }
}

/// Runs turns, which wait, until something is so.
pub fn until(event_loop: &EventLoop, mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        event_loop.run_once().expect("a turn");
    }
}

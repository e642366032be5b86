//! Datagram endpoints: DG, UX for datagrams, FAULTS U, C-08, X.
//!
//! Peers are sockets of the standard library in the same thread: what one sends over the loopback
//! interface, or to a UNIX socket, is there when the call returns.

mod creation;
mod protocol;
mod queue;
mod receiving;
mod sending;
mod unix;

use core::net::SocketAddr;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;

use rondel::{
    Address, Config, DATAGRAM_CHARGE, DatagramProtocol, DatagramTransport, Error, EventLoop, EventLoopHandle,
    Faults,
};

use crate::fixture::{Trace, any_port, manual_with, small, turns};

/// Records what it is told, and does what it is asked to at each datagram.
struct Recorder {
    trace: Trace,
    at_datagram: Option<AtDatagram>,
}

type AtDatagram = Box<dyn FnMut(&DatagramTransport, &[u8], &Address) -> rondel::Result<()>>;

impl Recorder {
    fn new(trace: &Trace) -> Self {
        Self { trace: trace.clone(), at_datagram: None }
    }

    fn doing(
        trace: &Trace,
        act: impl FnMut(&DatagramTransport, &[u8], &Address) -> rondel::Result<()> + 'static,
    ) -> Self {
        Self { trace: trace.clone(), at_datagram: Some(Box::new(act)) }
    }
}

fn kind_of(error: &Error) -> String {
    error.as_io().map_or_else(|| format!("{:?}", error.kind()), |error| format!("{:?}", error.kind()))
}

impl DatagramProtocol for Recorder {
    fn connection_made(&mut self, _: &DatagramTransport) -> rondel::Result<()> {
        self.trace.push("made");
        Ok(())
    }

    fn datagram_received(
        &mut self,
        transport: &DatagramTransport,
        data: &[u8],
        addr: &Address,
    ) -> rondel::Result<()> {
        if data.len() > 20 {
            self.trace.push(format!("{} bytes", data.len()));
        } else {
            self.trace.push(format!("got {}", data.escape_ascii()));
        }
        match &mut self.at_datagram {
            Some(act) => act(transport, data, addr),
            None => Ok(()),
        }
    }

    fn error_received(&mut self, _: &DatagramTransport, error: &Error) -> rondel::Result<()> {
        self.trace.push(format!("error {}", kind_of(error)));
        Ok(())
    }

    fn pause_writing(&mut self, _: &DatagramTransport) -> rondel::Result<()> {
        self.trace.push("pause");
        Ok(())
    }

    fn resume_writing(&mut self, _: &DatagramTransport) -> rondel::Result<()> {
        self.trace.push("resume");
        Ok(())
    }

    fn connection_lost(&mut self, _: &DatagramTransport, error: Option<&Error>) -> rondel::Result<()> {
        self.trace.push(error.map_or_else(|| "lost".to_owned(), |error| format!("lost {}", kind_of(error))));
        Ok(())
    }
}

/// Leaves the default for everything but datagrams.
struct Bare;

impl DatagramProtocol for Bare {
    fn datagram_received(&mut self, _: &DatagramTransport, _: &[u8], _: &Address) -> rondel::Result<()> {
        Ok(())
    }
}

/// Runs `test` on a loop that has nothing left of it in the end.
#[track_caller]
fn run(test: impl AsyncFnOnce(EventLoopHandle, Trace) -> Result<(), Error>) {
    run_with(small(), test);
}

#[track_caller]
fn run_with(config: Config, test: impl AsyncFnOnce(EventLoopHandle, Trace) -> Result<(), Error>) {
    let event_loop = manual_with(config).0;
    event_loop.run_until_complete(test(event_loop.handle(), Trace::new())).unwrap();
    turns(&event_loop, 3);
    let statistics = event_loop.statistics();
    let left = (event_loop.watched_descriptors(), statistics.calls.live, event_loop.write_buffers_size());
    assert_eq!(left, (0, 0, 0), "descriptors, calls, bytes to send");
}

async fn pass(event_loop: &EventLoopHandle, turns: usize) -> Result<(), Error> {
    for _ in 0..turns {
        event_loop.yield_now().await?;
    }
    Ok(())
}

async fn bound(
    event_loop: &EventLoopHandle,
    recorder: Recorder,
) -> Result<(DatagramTransport, SocketAddr), Error> {
    let (transport, _) = event_loop.create_datagram_endpoint(|| recorder).local_addr(any_port()).await?;
    let addr = inet(transport.local_addr());
    Ok((transport, addr))
}

fn inet(addr: Option<Address>) -> SocketAddr {
    addr.and_then(|addr| addr.as_inet()).expect("an internet address")
}

fn peer_socket() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(any_port()).unwrap();
    socket.set_nonblocking(true).unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

/// Receives all that is there.
fn received(socket: &UdpSocket) -> Vec<String> {
    let mut buffer = [0; 70_000];
    let mut all = Vec::new();
    while let Ok(count) = socket.recv(&mut buffer) {
        all.push(String::from_utf8_lossy(&buffer[..count]).into_owned());
    }
    all
}

/// A UNIX endpoint and its peer, to whom it is connected: a few datagrams fill the peer's queue.
async fn unix_pair(
    event_loop: &EventLoopHandle,
    trace: &Trace,
) -> Result<(DatagramTransport, UnixDatagram), Error> {
    let (ours, theirs) = UnixDatagram::pair()?;
    theirs.set_nonblocking(true)?;
    let recorder = Recorder::new(trace);
    let (transport, _) = event_loop.create_datagram_endpoint_with_sock(|| recorder, ours).await?;
    Ok((transport, theirs))
}

fn unix_received(socket: &UnixDatagram) -> Vec<String> {
    let mut buffer = [0; 70_000];
    let mut all = Vec::new();
    while let Ok(count) = socket.recv(&mut buffer) {
        all.push(String::from_utf8_lossy(&buffer[..count]).into_owned());
    }
    all
}

/// Sends numbered datagrams until some wait in the queue; returns how many were sent.
fn fill(transport: &DatagramTransport) -> usize {
    let mut number = 0;
    while transport.write_buffer_size() < 5 * DATAGRAM_CHARGE {
        transport.send(number.to_string().as_bytes()).unwrap();
        number += 1;
        assert!(number < 100_000, "the peer's queue is never full");
    }
    number
}

/// Runs `test` on a loop whose system calls fail as it says.
#[track_caller]
fn run_with_faults(test: impl AsyncFnOnce(EventLoopHandle, Trace, Faults) -> Result<(), Error>) {
    let (event_loop, _clock, faults) = EventLoop::with_faults(small()).unwrap();
    event_loop.run_until_complete(test(event_loop.handle(), Trace::new(), faults)).unwrap();
    turns(&event_loop, 3);
    let left = (event_loop.watched_descriptors(), event_loop.write_buffers_size());
    assert_eq!(left, (0, 0), "descriptors, bytes to send");
}

/// Are error numbers of Linux.
mod libc_errno {
    pub const ENOMEM: i32 = 12;
    pub const ENOBUFS: i32 = 105;
}

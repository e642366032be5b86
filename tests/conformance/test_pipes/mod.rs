//! Pipes, FIFOs, terminals and other devices: PI.

mod failures;
mod opening;
mod reading;
mod streams;
mod writing;

use std::os::fd::OwnedFd;

use rondel::{
    Error, EventLoop, EventLoopHandle, ProtocolRef, ReadPipeProtocol, ReadTransport, Result,
    WritePipeProtocol, WriteTransport,
};

use crate::fixture::{Oops, Trace, assert_nothing_left, manual, turns};

/// Records what a pipe tells.
struct Probe {
    trace: Trace,
    at_eof: Option<Oops>,
}

impl Probe {
    fn new(trace: &Trace) -> Self {
        Self { trace: trace.clone(), at_eof: None }
    }

    fn lost(&self, error: Option<&Error>) {
        self.trace.push(error.map_or_else(|| "lost".to_owned(), |error| format!("lost: {error}")));
    }
}

impl ReadPipeProtocol for Probe {
    fn connection_made(&mut self, transport: &ReadTransport) -> Result<()> {
        assert!(transport.is_reading() && !transport.is_closing());
        self.trace.push("made");
        Ok(())
    }

    fn data_received(&mut self, _: &ReadTransport, data: &[u8]) -> Result<()> {
        assert!(!data.is_empty());
        self.trace.push(if data.len() > 16 {
            format!("data of {}", data.len())
        } else {
            format!("data {}", data.escape_ascii())
        });
        Ok(())
    }

    fn eof_received(&mut self, _: &ReadTransport) -> Result<()> {
        self.trace.push("eof");
        self.at_eof.take().map_or(Ok(()), |oops| Err(Error::new(oops)))
    }

    fn connection_lost(&mut self, transport: &ReadTransport, error: Option<&Error>) -> Result<()> {
        assert!(transport.is_closing() && !transport.is_reading());
        self.lost(error);
        Ok(())
    }
}

impl WritePipeProtocol for Probe {
    fn connection_made(&mut self, transport: &WriteTransport) -> Result<()> {
        assert!(!transport.is_closing());
        self.trace.push("made");
        Ok(())
    }

    fn pause_writing(&mut self, _: &WriteTransport) -> Result<()> {
        self.trace.push("pause");
        Ok(())
    }

    fn resume_writing(&mut self, _: &WriteTransport) -> Result<()> {
        self.trace.push("resume");
        Ok(())
    }

    fn connection_lost(&mut self, transport: &WriteTransport, error: Option<&Error>) -> Result<()> {
        assert!(transport.is_closing());
        assert_eq!(transport.write_buffer_size(), 0);
        self.lost(error);
        Ok(())
    }
}

type Reading = (ReadTransport, ProtocolRef<Probe>, Trace);

type Writing = (WriteTransport, ProtocolRef<Probe>, Trace);

fn try_read(event_loop: &EventLoop, pipe: impl Into<OwnedFd>) -> Result<Reading> {
    let trace = Trace::new();
    let probe = Probe::new(&trace);
    let connecting = event_loop.connect_read_pipe(|| probe, pipe.into());
    let (transport, protocol) = event_loop.run_until_complete(connecting)?;
    expect_made(&trace);
    Ok((transport, protocol, trace))
}

/// Takes the first line out of a trace; others may have come since.
fn expect_made(trace: &Trace) {
    let mut told = trace.take().into_iter();
    assert_eq!(told.next().as_deref(), Some("made"));
    told.for_each(|line| trace.push(line));
}

fn read(event_loop: &EventLoop, pipe: impl Into<OwnedFd>) -> Reading {
    try_read(event_loop, pipe).expect("a read pipe")
}

fn try_write(event_loop: &EventLoop, pipe: impl Into<OwnedFd>) -> Result<Writing> {
    let trace = Trace::new();
    let probe = Probe::new(&trace);
    let connecting = event_loop.connect_write_pipe(|| probe, pipe.into());
    let (transport, protocol) = event_loop.run_until_complete(connecting)?;
    expect_made(&trace);
    Ok((transport, protocol, trace))
}

fn write(event_loop: &EventLoop, pipe: impl Into<OwnedFd>) -> Writing {
    try_write(event_loop, pipe).expect("a write pipe")
}

/// Writes until bytes are left over.
fn fill(transport: &WriteTransport) {
    while transport.write_buffer_size() == 0 {
        transport.write(&[b'.'; 4096]).expect("room");
    }
}

/// Runs `test` on a loop whose clock jumps, and which has nothing left in the end.
#[track_caller]
fn run(test: impl AsyncFnOnce(EventLoopHandle) -> Result<()>) {
    let event_loop = manual();
    event_loop.run_until_complete(test(event_loop.handle())).unwrap();
    turns(&event_loop, 3);
    assert_nothing_left(&event_loop);
}

//! Much data in both directions at once, byte by byte.

use core::cell::RefCell;
use std::io::Write;
use std::net::Shutdown;
use std::rc::Rc;

use rondel::{AfterEof, Error, EventLoop, Operation, Protocol, Result, Transport};

use crate::fixture::{Counter, Oops, any_port, assert_nothing_left, real, reports, scenarios, small, turns};
use crate::probe::{Told, until, wire};

scenarios! {
    n02_a_hundred_mebibytes_through_small_buffers_arrive_exactly
    n02_short_transfers_and_false_readiness_lose_nothing
}

/// A deterministic stream of bytes, made in blocks.
struct Blocks {
    state: u64,
    block: Vec<u8>,
    at: usize,
}

impl Blocks {
    const SIZE: usize = 64 * 1024;

    fn new(seed: u64) -> Self {
        Self { state: seed, block: Vec::new(), at: 0 }
    }

    /// Returns up to `count` bytes, and goes past them.
    fn next(&mut self, count: usize) -> &[u8] {
        if self.at == self.block.len() {
            self.at = 0;
            self.block.clear();
            for _ in 0..Self::SIZE / 8 {
                self.state ^= self.state << 13;
                self.state ^= self.state >> 7;
                self.state ^= self.state << 17;
                self.block.extend_from_slice(&self.state.to_le_bytes());
            }
        }
        let start = self.at;
        self.at = self.block.len().min(start + count);
        &self.block[start..self.at]
    }

    fn check(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let expected = self.next(data.len());
            let (some, rest) = data.split_at(expected.len());
            assert!(some == expected, "not what was sent");
            data = rest;
        }
    }
}

/// Sends and receives at once, with pauses in both.
struct Exchange {
    sends: Blocks,
    left: usize,
    receives: Blocks,
    received: usize,
    is_paused: bool,
    finished: Counter,
}

impl Exchange {
    const BYTES: usize = 50 << 20;

    fn new(sends: u64, receives: u64, finished: &Counter) -> Self {
        let (sends, receives) = (Blocks::new(sends), Blocks::new(receives));
        Self { sends, left: Self::BYTES, receives, received: 0, is_paused: false, finished: finished.clone() }
    }

    fn send(&mut self, transport: &Transport) -> Result<()> {
        while !self.is_paused && self.left > 0 {
            let data = self.sends.next(self.left.min(30_011));
            self.left -= data.len();
            transport.write(data)?;
            if transport.write_buffer_size() > transport.write_buffer_limits().high() {
                break;
            }
        }
        if self.left == 0 {
            transport.write_eof()?;
        }
        Ok(())
    }
}

impl Protocol for Exchange {
    fn connection_made(&mut self, transport: &Transport) -> Result<()> {
        let options = transport.socket_options()?;
        options.set_send_buffer_size(32 * 1024)?;
        options.set_recv_buffer_size(32 * 1024)?;
        self.send(transport)
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result<()> {
        self.receives.check(data);
        let before = self.received >> 20;
        self.received += data.len();
        if self.received >> 20 != before {
            // A rest of some turns at every mebibyte.
            transport.pause_reading();
            let resumed = transport.clone();
            transport.event_loop().call_soon(move |event_loop| {
                event_loop.call_soon(move |_| resumed.resume_reading()).map(drop).map_err(|_| Oops(1))
            })?;
        }
        Ok(())
    }

    fn eof_received(&mut self, _: &Transport) -> Result<AfterEof> {
        Ok(AfterEof::KeepWriting)
    }

    fn pause_writing(&mut self, _: &Transport) -> Result<()> {
        self.is_paused = true;
        Ok(())
    }

    fn resume_writing(&mut self, transport: &Transport) -> Result<()> {
        self.is_paused = false;
        self.send(transport)
    }

    fn connection_lost(&mut self, _: &Transport, error: Option<&Error>) -> Result<()> {
        assert!(error.is_none(), "{error:?}");
        assert_eq!((self.left, self.received), (0, Self::BYTES));
        self.finished.add();
        Ok(())
    }
}

fn n02_a_hundred_mebibytes_through_small_buffers_arrive_exactly() {
    let event_loop = real();
    let told = reports(&event_loop);
    let finished = Counter::new();
    let served = finished.clone();
    let serving = event_loop.create_server(move || Exchange::new(1, 2, &served), any_port());
    let server = event_loop.run_until_complete(serving).unwrap();
    let client = Exchange::new(2, 1, &finished);
    event_loop.run_until_complete(event_loop.create_connection(|| client, server.local_addr())).unwrap();
    let mut queued_max = 0;
    until(&event_loop, || {
        queued_max = queued_max.max(event_loop.write_buffers_size());
        finished.get() == 2
    });
    server.close();
    turns(&event_loop, 2);
    assert!(queued_max <= 2 * (64 * 1024 + 30_011), "{queued_max}: memory stays flat");
    assert_eq!(told.take(), [""; 0]);
    assert_nothing_left(&event_loop);
}

fn n02_short_transfers_and_false_readiness_lose_nothing() {
    let (event_loop, _clock, faults) = EventLoop::with_faults(small()).unwrap();
    let received = Rc::new(RefCell::new(Vec::new()));
    let kept = Rc::clone(&received);
    let mut wire = wire(&event_loop, move |told, transport| {
        if let Told::Data(data) = told {
            kept.borrow_mut().extend_from_slice(data);
            transport.write(data)?;
        }
        Ok(AfterEof::Close)
    });
    let data: Vec<u8> = Blocks::new(7).next(2000).to_vec();
    faults.limit(Operation::Send, 3);
    faults.limit(Operation::Recv, 7);
    wire.peer.write_all(&data).unwrap();
    wire.peer.shutdown(Shutdown::Write).unwrap();
    let mut echoed = Vec::new();
    for turn in 0..5000 {
        match turn % 5 {
            0 => faults.wake_all(),
            1 => faults.block(Operation::Recv),
            3 => faults.block(Operation::Send),
            _ => {}
        }
        turns(&event_loop, 1);
        echoed.extend(wire.received());
    }
    assert!(*received.borrow() == data && echoed == data);
    assert_eq!(wire.trace.take().last().unwrap(), "lost");
    assert_nothing_left(&event_loop);
}

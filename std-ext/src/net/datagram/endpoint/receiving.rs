//! What an endpoint receives.

use std::io;
use std::rc::Rc;

use super::Endpoint;
use super::state::State;
use crate::net::address::Address;
use crate::net::datagram::buffers::Lent;
use crate::net::datagram::protocol::Incoming;
use crate::net::datagram::transport::DatagramTransport;
use crate::sys::ReceiveBatch;
use crate::{Error, ErrorKind};

/// Is how many bytes of one batch are so many that the next one is halved.
const BATCH_BYTES: usize = 256 * 1024;

/// Is how often receiving may fail in a row until there is something new.
const FAILURES_MAX: usize = 8;

/// A datagram that was received and not delivered, since reading was paused.
pub(super) struct Kept {
    data: Box<[u8]>,
    from: Address,
    is_truncated: bool,
}

impl Endpoint {
    pub(crate) fn is_reading(&self) -> bool {
        !self.has(State::STARTING | State::READING_PAUSED | State::CLOSING)
    }

    pub(crate) fn pause_reading(&self) {
        if !self.has(State::CLOSING) {
            self.set(State::READING_PAUSED);
        }
    }

    pub(crate) fn resume_reading(&self) {
        if !self.has(State::CLOSING) {
            self.unset(State::READING_PAUSED);
            self.read_on();
        }
    }

    /// Reads more in the next turn, if there is more.
    pub(super) fn read_on(&self) {
        if self.is_reading()
            && !self.has(State::RESTING)
            && (self.can_read() || !self.kept.borrow().is_empty())
        {
            self.drive_soon();
        }
    }

    /// Receives batches until the socket is empty, a bounded number of datagrams
    /// in a turn (FAULTS U-04).
    pub(super) fn read(self: &Rc<Self>, transport: &DatagramTransport) {
        let panicked = FailOnPanic(self);
        self.deliver_kept(transport);
        let mut left = self.allowance();
        let mut failures = 0;
        if let Some(mut lent) = Lent::take(&self.event_loop)
            && let Some(batch) = lent.batch()
        {
            while left > 0 && self.is_reading() && self.can_read() {
                let asked = self.expected.get().min(left);
                match self.event_loop.inner.kernel.recv_batch(self.opened.fd, batch, asked) {
                    Ok(received) => {
                        if received.is_drained {
                            self.note_drained();
                        }
                        (left, failures) = (left - received.count, 0);
                        self.spend(received.count);
                        let bytes = self.deliver(transport, batch, received.count);
                        self.event_loop.inner.meters.note_received(received.count, bytes);
                        self.expect(asked, received.count, bytes);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.unset(State::READABLE | State::LOOKS_TWICE);
                    }
                    Err(error) => {
                        (left, failures) = (left - 1, failures + 1);
                        if failures == FAILURES_MAX {
                            // It fails for good: no reason to turn in circles.
                            self.unset(State::READABLE);
                        }
                        self.note_error(error.into());
                        self.tell();
                    }
                }
            }
        }
        core::mem::forget(panicked);
        if !self.rest() {
            self.read_on();
        }
    }

    /// Delivers a batch, and returns how many bytes that were. The replies go out
    /// together afterwards.
    fn deliver(self: &Rc<Self>, transport: &DatagramTransport, batch: &ReceiveBatch, count: usize) -> usize {
        let mut bytes = 0;
        if count > 1 && !self.opened.is_connected && !self.opened.is_unix {
            self.set(State::GATHERING);
        }
        // After a panic the end does it.
        for index in 0..count {
            let (data, from, is_truncated) = batch.get(index);
            bytes += data.len();
            let incoming = Incoming { data, from, is_truncated };
            if self.has(State::CLOSING) {
                break;
            } else if self.has(State::READING_PAUSED) || !self.kept.borrow().is_empty() {
                let (data, from) = (data.into(), from.clone());
                self.kept.borrow_mut().push_back(Kept { data, from, is_truncated });
            } else {
                self.deliver_one(transport, incoming);
            }
        }
        if self.has(State::GATHERING) {
            self.send_gathered();
            self.unset(State::GATHERING);
            self.weigh();
            self.tell();
        }
        bytes
    }

    fn deliver_one(self: &Rc<Self>, transport: &DatagramTransport, incoming: Incoming<'_>) {
        let Some(protocol) = self.protocol() else { return };
        let method = incoming.method();
        let received = self.call(method, &*protocol, || protocol.received(transport, incoming));
        if let Err(error) = received {
            self.report(method, &*protocol, &error);
        }
        self.tell();
    }

    /// Delivers what came before reading was paused.
    fn deliver_kept(self: &Rc<Self>, transport: &DatagramTransport) {
        while self.is_reading() {
            let kept = self.kept.borrow_mut().pop_front();
            let Some(Kept { data, from, is_truncated }) = kept else { return };
            self.deliver_one(transport, Incoming { data: &data, from: &from, is_truncated });
        }
    }

    /// Chooses how many datagrams to ask for next: twice as many if these were not
    /// all, or a little more than there were. So one at a time costs one call,
    /// and no slot is prepared in vain.
    fn expect(&self, asked: usize, received: usize, bytes: usize) {
        let next = if bytes > BATCH_BYTES {
            asked / 2
        } else if received == asked {
            asked * 2
        } else {
            usize::midpoint(asked, received) + 1
        };
        self.expected.set(next.clamp(2, self.event_loop.inner.datagrams.per_turn.max(2)));
    }
}

/// Ends an endpoint whose protocol unwinds.
struct FailOnPanic<'a>(&'a Rc<Endpoint>);

impl Drop for FailOnPanic<'_> {
    fn drop(&mut self) {
        // Reported by whoever catches it.
        self.0.end(Some(Error::of(ErrorKind::Panicked, "the protocol panicked")));
        self.0.unset(State::GATHERING);
    }
}

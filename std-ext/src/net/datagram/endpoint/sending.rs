//! What an endpoint sends: now, or when there is room.

use core::time::Duration;
use std::io;
use std::rc::Rc;

use rondel_core::Refusal;

use super::Endpoint;
use super::state::State;
use crate::net::address::Address;
use crate::net::datagram::transport::DATAGRAM_CHARGE;
use crate::sys::Interest;
use crate::{Error, EventLoopHandle, Result};

/// Is how many errors wait for a method of the protocol to return.
const ERRORS_MAX: usize = 16;

/// Are the first and the longest delay until the next attempt to send where
/// nothing tells when there is room.
pub(super) const RETRY_DELAYS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(100));

impl Endpoint {
    /// Sends a datagram to the remote address.
    ///
    /// # Errors
    /// `NotConnected` if there is none; `Full`.
    pub(crate) fn send(self: &Rc<Self>, data: &[u8]) -> Result<()> {
        match &self.opened.remote {
            _ if self.opened.is_connected => self.transmit(data, None),
            Some(remote) => self.transmit(data, Some(remote)),
            None => {
                let message = "send: the endpoint has no remote address";
                Err(io::Error::new(io::ErrorKind::NotConnected, message).into())
            }
        }
    }

    /// Sends a datagram.
    ///
    /// # Errors
    /// `InvalidInput` for another address than the remote one (DG-5); `Full`.
    pub(crate) fn send_to(self: &Rc<Self>, data: &[u8], to: &Address) -> Result<()> {
        match &self.opened.remote {
            None => self.transmit(data, Some(to)),
            Some(remote) if remote == to => self.send(data),
            Some(remote) => {
                let message = format!("sendto: the endpoint is for {remote} alone, not for {to}");
                Err(io::Error::new(io::ErrorKind::InvalidInput, message).into())
            }
        }
    }

    fn transmit(self: &Rc<Self>, data: &[u8], to: Option<&Address>) -> Result<()> {
        if self.has(State::CLOSING) {
            self.note_dropped();
            let dropped = &self.event_loop.inner.dropped_writes;
            dropped.set(dropped.get() + 1);
            return Ok(());
        }
        if self.has(State::GATHERING) && self.gather(data, to) {
            return Ok(());
        }
        if self.queue.borrow().is_empty() && self.can_write() {
            match self.try_send(data, to) {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => {
                    self.send_failed(error.into());
                    self.tell();
                    return Ok(());
                }
            }
        }
        self.enqueue(data, to)
    }

    /// Tries to send; tells whether there was room.
    fn try_send(self: &Rc<Self>, data: &[u8], to: Option<&Address>) -> io::Result<bool> {
        let kernel = &self.event_loop.inner.kernel;
        let sent = match to {
            Some(to) => kernel.send_to(self.opened.fd, data, to),
            None => kernel.send(self.opened.fd, data),
        };
        match sent {
            Ok(count) => {
                self.note_sent(count);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.wait_for_room();
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Has somebody tell when there is room. Most endpoints never need it, and a
    /// UNIX socket would hear each time that its peer reads.
    pub(super) fn wait_for_room(self: &Rc<Self>) {
        self.unset(State::WRITABLE);
        let kernel = &self.event_loop.inner.kernel;
        if !self.has(State::WRITES_WATCHED)
            && !self.is_never_told()
            && kernel.reregister(self.opened.fd, self.token, Interest::BOTH).is_ok()
        {
            self.set(State::WRITES_WATCHED);
        }
        self.retry_later();
    }

    /// Tells whether the kernel knows nothing of room: that in the queue of another
    /// UNIX socket, unless the two are connected. It would report the room that a
    /// datagram leaves behind which was not sent, so each attempt would cause the
    /// next.
    fn is_never_told(&self) -> bool {
        self.opened.is_unix && !self.opened.is_connected
    }

    /// Arms a timer for the next attempt, if nothing else brings it about.
    fn retry_later(self: &Rc<Self>) {
        if self.has(State::WRITES_WATCHED | State::RETRYING) {
            return;
        }
        let delay = self.retry_delay.get();
        self.retry_delay.set(RETRY_DELAYS.1.min(delay * 2));
        let waiting = Rc::downgrade(self);
        let retry = move |_: &EventLoopHandle| {
            if let Some(endpoint) = waiting.upgrade() {
                endpoint.unset(State::RETRYING);
                if !endpoint.has(State::CLOSED) {
                    endpoint.set(State::WRITABLE);
                    endpoint.drive_soon();
                }
            }
        };
        let timer = self.event_loop.call_later_from(delay, retry, self.location);
        // Without room for a timer the next datagram makes the next attempt.
        if timer.is_ok() {
            self.set(State::RETRYING);
        }
    }

    /// Queues a datagram, whole (DG-6).
    ///
    /// # Errors
    /// `Full`: the datagram is dropped and counted (FAULTS U-03).
    fn enqueue(self: &Rc<Self>, data: &[u8], to: Option<&Address>) -> Result<()> {
        if let Err(refusal) = self.charge(data.len()) {
            self.note_dropped();
            let refusal = self.event_loop.inner.scheduler.note_refusal(refusal);
            return Err(Error::from(refusal).during("sendto"));
        }
        self.queue.borrow_mut().push(data, to);
        if self.can_write() {
            self.drive_soon();
        } else {
            self.retry_later();
        }
        self.weigh();
        self.tell();
        Ok(())
    }

    /// Counts a datagram that is to wait.
    pub(super) fn charge(&self, length: usize) -> Result<(), Refusal> {
        let (budget, queued) = (&self.event_loop.inner.write_budget, self.queued.get());
        let charge = length.saturating_add(DATAGRAM_CHARGE);
        budget.check(queued, charge)?;
        budget.add(charge);
        budget.note_transport(queued + charge);
        self.queued.set(queued + charge);
        Ok(())
    }

    /// Counts one less, by exactly as much (DG-9).
    pub(super) fn discharge(&self, length: usize) {
        let charge = length + DATAGRAM_CHARGE;
        self.event_loop.inner.write_budget.remove(charge);
        self.queued.set(self.queued.get() - charge);
    }

    /// Sends what is queued, as far as there is room, a bounded number in a turn.
    pub(super) fn flush(self: &Rc<Self>) {
        for _ in 0..self.event_loop.inner.datagrams.per_turn {
            let sent = {
                let queue = self.queue.borrow();
                let Some((data, to)) = queue.first() else { break };
                self.try_send(data, to)
            };
            match sent {
                Ok(false) => break,
                Ok(true) => {
                    self.retry_delay.set(RETRY_DELAYS.0);
                    self.dequeue();
                }
                Err(error) => {
                    self.dequeue();
                    self.send_failed(error.into());
                }
            }
        }
        self.weigh();
        self.tell();
        if self.queue.borrow().is_empty() {
            if self.has(State::CLOSING) {
                self.end(None);
            }
        } else if self.can_write() {
            self.drive_soon();
        }
    }

    fn dequeue(&self) {
        let length = self.queue.borrow_mut().pop();
        if let Some(length) = length {
            self.discharge(length);
        }
    }

    /// Drops what is queued.
    pub(super) fn clear(&self) {
        while !self.queue.borrow().is_empty() {
            self.dequeue();
            self.note_dropped();
        }
    }

    fn note_dropped(&self) {
        self.dropped_sends.set(self.dropped_sends.get() + 1);
        self.event_loop.inner.meters.datagrams_dropped.add(1);
    }

    pub(super) fn note_sent(&self, bytes: usize) {
        let meters = &self.event_loop.inner.meters;
        meters.datagrams_sent.add(1);
        meters.bytes_sent.add(bytes);
    }

    /// Notes that the system refused a datagram; the protocol is told next time
    /// (DG-7).
    pub(super) fn send_failed(&self, error: Error) {
        self.note_dropped();
        self.note_error(error);
    }

    pub(super) fn note_error(&self, error: Error) {
        let mut failed = self.failed.borrow_mut();
        if failed.len() < ERRORS_MAX {
            failed.push_back(error);
        }
    }
}

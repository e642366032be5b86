//! What a connection has to send: now, or in the background.

use std::io::{self, IoSlice};
use std::rc::Rc;

use super::Connection;
use super::state::State;
use crate::sources::Direction;
use crate::{Error, ErrorKind, Result};

/// Is the number of dropped writes from which each is warned about, as in asyncio
/// (TR-14).
const DROPPED_WRITES_WARNED: u8 = 5;

impl Connection {
    /// Sends `data`, now or in the background.
    ///
    /// # Errors
    /// `InvalidState` after `write_eof` (TR-12); `Full` if it would be more than
    /// the buffers may hold: nothing of it was taken (TR-24).
    #[inline]
    pub(crate) fn write(self: &Rc<Self>, data: &[u8]) -> Result<()> {
        if !self.writes_at_once() || data.is_empty() {
            return self.write_later(data);
        }
        self.check_budget(0, data.len())?;
        match self.try_send(data) {
            Ok(Some(sent)) if sent == data.len() => {}
            Ok(sent) => self.enqueue(&[IoSlice::new(data)], sent.unwrap_or(0)),
            Err(error) => self.write_failed(error),
        }
        Ok(())
    }

    /// Tells whether the kernel may be asked at once to take what is written.
    #[inline]
    pub(crate) fn writes_at_once(&self) -> bool {
        let not = State::WRITE_EOF | State::CLOSING | State::QUEUED | State::HANDSHAKING | State::TLS;
        !self.has(not)
    }

    /// Writes behind what is queued, or not at all.
    fn write_later(self: &Rc<Self>, data: &[u8]) -> Result<()> {
        if self.drops_writes()? || data.is_empty() {
            return Ok(());
        }
        self.check_budget(self.queued(), data.len())?;
        if self.has(State::TLS) {
            self.write_tls(&[IoSlice::new(data)]);
        } else {
            self.enqueue(&[IoSlice::new(data)], 0);
        }
        Ok(())
    }

    /// Sends all of `bufs`, in their order, now or in the background.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub(crate) fn write_vectored(self: &Rc<Self>, bufs: &[IoSlice<'_>]) -> Result<()> {
        let count: usize = bufs.iter().map(|buf| buf.len()).sum();
        if self.drops_writes()? || count == 0 {
            return Ok(());
        }
        if self.has(State::TLS) {
            self.check_budget(self.queued(), count)?;
            self.write_tls(bufs);
            return Ok(());
        }
        let queued = self.queued();
        self.check_budget(queued, count)?;
        let mut sent = 0;
        if !self.has(State::QUEUED) {
            match self.try_send_vectored(bufs, count) {
                Ok(moved) => sent = moved.unwrap_or(0),
                Err(error) => {
                    self.write_failed(error);
                    return Ok(());
                }
            }
        }
        if sent < count {
            self.enqueue(bufs, sent);
        }
        Ok(())
    }

    /// Tells whether the buffers have room for `more` bytes; a refusal is counted.
    #[inline]
    fn check_budget(&self, queued: usize, more: usize) -> Result<()> {
        let Err(full) = self.event_loop().inner.write_budget.check(queued, more) else { return Ok(()) };
        Err(self.event_loop().inner.scheduler.note_refusal(full).into())
    }

    /// Tells whether a write is dropped; counted (TR-13, TR-14).
    fn drops_writes(&self) -> Result<bool> {
        if self.has(State::WRITE_EOF) {
            return Err(Error::of(ErrorKind::InvalidState, "write after write_eof"));
        }
        let drops = self.has(State::CLOSING);
        if drops {
            let dropped = &self.event_loop().inner.dropped_writes;
            dropped.set(dropped.get() + 1);
            let dropped = self.with_new_flow(|flow| {
                flow.dropped_writes = flow.dropped_writes.saturating_add(1);
                flow.dropped_writes
            });
            if dropped >= DROPPED_WRITES_WARNED {
                self.warn("a write to a closed connection was dropped");
            }
        }
        Ok(drops)
    }

    /// Queues `bufs` without their first `sent` bytes.
    fn enqueue(self: &Rc<Self>, bufs: &[IoSlice<'_>], mut sent: usize) {
        self.set(State::QUEUED);
        let is_over = self.with_new_flow(|flow| {
            for buf in bufs {
                let skipped = sent.min(buf.len());
                flow.push(&buf[skipped..], &self.event_loop().inner.write_budget);
                sent -= skipped;
            }
            flow.len() > flow.limits.high()
        });
        if self.is_ready(Direction::Write) {
            self.drive_soon();
        }
        if is_over {
            self.set(State::WRITING_PAUSED);
            self.tell_writing();
        }
    }

    /// Counts the bytes that wait to be sent.
    #[inline]
    pub(crate) fn queued(&self) -> usize {
        if self.has(State::QUEUED | State::HANDSHAKING) { self.count_queued() } else { 0 }
    }

    fn count_queued(&self) -> usize {
        let early = if self.has(State::HANDSHAKING) { self.with_tls(|tls| tls.early_bytes()) } else { None };
        self.with_flow(|flow| flow.len()).unwrap_or(0) + early.unwrap_or(0)
    }

    /// Sends what is queued, as far as there is room.
    pub(super) fn flush(self: &Rc<Self>) {
        let Some(flow) = self.take_flow() else { return };
        if flow.is_files_turn() {
            self.put_flow(flow);
            return self.wake_waiter();
        }
        let sent = self.try_send(flow.as_slice());
        self.put_flow(flow);
        let count = match sent {
            Ok(None) => return,
            Ok(Some(count)) => count,
            Err(error) => return self.write_failed(error),
        };
        self.with_flow(|flow| {
            flow.consume(count, &self.event_loop().inner.write_budget);
            if flow.is_empty() {
                self.unset(State::QUEUED);
            }
        });
        self.weigh();
        self.wake_waiter();
        self.tell_writing();
        if self.queued() > 0 && self.is_ready(Direction::Write) {
            self.drive_soon();
        }
    }

    /// Does what was to follow when everything is sent.
    pub(super) fn after_flush(self: &Rc<Self>) {
        if !self.has(State::CLOSING | State::WRITE_EOF) || self.has(State::ENDING | State::QUEUED) {
            return;
        }
        if self.has(State::CLOSING) {
            return self.end_if_peer_has();
        }
        if !self.set(State::WRITE_ENDED) {
            self.shut_down();
        }
        // Nothing can happen to it any more.
        if self.has(State::READ_EOF) {
            self.end(None);
        }
    }

    /// Ends our side of the stream when everything is sent; the peer reads the
    /// end (TR-15).
    pub(crate) fn write_eof(self: &Rc<Self>) -> Result<()> {
        if self.is_pipe() {
            // The only side there is (PI-6).
            self.close();
            return Ok(());
        }
        if self.has(State::TLS) {
            let unsupported = "a side of a TLS connection can't end alone";
            return Err(io::Error::new(io::ErrorKind::Unsupported, unsupported).into());
        }
        if self.has(State::CLOSING) || self.set(State::WRITE_EOF) {
            return Ok(());
        }
        if !self.has(State::QUEUED) {
            self.check()?;
            self.after_flush();
        }
        Ok(())
    }

    fn shut_down(self: &Rc<Self>) {
        match self.event_loop().inner.kernel.shutdown_write(self.fd) {
            // The peer is gone, which reading finds out.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
            Err(error) => self.fail("shutdown failed", error.into()),
            Ok(()) => {}
        }
    }

    pub(super) fn write_failed(self: &Rc<Self>, error: Error) {
        self.fail("write to the transport failed", error);
    }
}

//! What passes between a connection and its socket.

use std::io::{self, IoSlice};

use super::Connection;
use super::state::State;
use crate::Result;
use crate::sources::Direction;
use crate::sys::{Fd, Interest, Kernel};

/// Is the most slices that the kernel takes at once.
const SLICES_MAX: usize = 1024;

impl Connection {
    /// Receives into `buffer`; `None` if there is nothing at the moment, zero at
    /// the end of the stream.
    #[inline]
    pub(crate) fn try_receive(&self, buffer: &mut [u8]) -> Result<Option<usize>> {
        if self.has(State::TLS | State::PIPE) {
            return self.try_receive_otherwise(buffer);
        }
        self.try_receive_raw(buffer)
    }

    fn try_receive_otherwise(&self, buffer: &mut [u8]) -> Result<Option<usize>> {
        if self.is_pipe() { self.try_read(buffer) } else { self.try_receive_tls(buffer) }
    }

    /// Receives from the socket.
    #[inline]
    pub(crate) fn try_receive_raw(&self, buffer: &mut [u8]) -> Result<Option<usize>> {
        self.check()?;
        if !self.has(State::READABLE) {
            self.look();
            if !self.has(State::READABLE) {
                return Ok(None);
            }
        }
        match self.event_loop().inner.kernel.recv(self.fd, buffer) {
            Ok(count) => {
                self.event_loop().inner.meters.bytes_received.add(count);
                if count < buffer.len() {
                    self.note_partial(State::READABLE);
                }
                Ok(Some(count))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.unset(State::READABLE);
                Ok(None)
            }
            Err(error) => Err(self.noted(error.into())),
        }
    }

    /// Sends a part of `data`; `None` if nothing can be sent at the moment.
    #[inline]
    pub(crate) fn try_send(&self, data: &[u8]) -> Result<Option<usize>> {
        self.check()?;
        if !self.is_ready(Direction::Write) {
            return Ok(None);
        }
        let sent = if self.is_pipe() {
            self.write_once(data)
        } else {
            self.event_loop().inner.kernel.send(self.fd, data)
        };
        match sent {
            Ok(count) if count == data.len() => Ok(Some(self.note_sent(count))),
            sent => self.sent_less(sent),
        }
    }

    pub(crate) fn try_send_vectored(&self, bufs: &[IoSlice<'_>], asked: usize) -> Result<Option<usize>> {
        self.check()?;
        if !self.is_ready(Direction::Write) {
            return Ok(None);
        }
        // What the kernel doesn't look at is no sign of a full socket.
        let asked = match bufs.get(..SLICES_MAX) {
            Some(bufs) => bufs.iter().map(|buf| buf.len()).sum(),
            None => asked,
        };
        let sent = if self.is_pipe() {
            self.write_vectored_once(bufs)
        } else {
            self.event_loop().inner.kernel.send_vectored(self.fd, bufs)
        };
        match sent {
            Ok(count) if count == asked => Ok(Some(self.note_sent(count))),
            sent => self.sent_less(sent),
        }
    }

    /// Sends by `attempt`; `None` if nothing can be sent at the moment.
    pub(crate) fn try_send_with(
        &self,
        attempt: impl FnOnce(&dyn Kernel, Fd) -> io::Result<usize>,
    ) -> Result<Option<usize>> {
        self.check()?;
        if !self.is_ready(Direction::Write) {
            return Ok(None);
        }
        match attempt(&*self.event_loop().inner.kernel, self.fd) {
            // Less than was asked for may be all that there is.
            Ok(count) => Ok(Some(self.note_sent(count))),
            failed => self.sent_less(failed),
        }
    }

    /// Counts bytes that the kernel took.
    #[inline]
    fn note_sent(&self, count: usize) -> usize {
        self.event_loop().inner.meters.bytes_sent.add(count);
        count
    }

    /// Notes that the kernel didn't take all.
    #[cold]
    fn sent_less(&self, sent: io::Result<usize>) -> Result<Option<usize>> {
        let sent = match sent {
            Ok(count) => {
                self.note_partial(State::WRITABLE);
                Some(self.note_sent(count))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.unset(State::WRITABLE);
                self.check_watched()?;
                None
            }
            Err(error) => return Err(self.noted(error.into())),
        };
        self.watch_writes()?;
        Ok(sent)
    }

    /// Notes that less was moved than was asked for: the readiness is exhausted,
    /// unless no further event would follow.
    #[inline]
    pub(super) fn note_partial(&self, side: u32) {
        if !self.has(State::FINAL | State::PIECEWISE) {
            self.unset(side);
        }
    }

    /// Tells whether a side may be ready, as far as is known without asking.
    #[inline]
    pub(crate) fn is_ready(&self, direction: Direction) -> bool {
        let side = match direction {
            Direction::Read => State::READABLE | State::DECRYPTED,
            Direction::Write => State::WRITABLE,
        };
        if !self.has(side) {
            self.look();
        }
        self.has(side)
    }

    /// Takes over what the loop has noticed.
    #[inline]
    pub(super) fn look(&self) {
        let Some(noticed) = self.event_loop().take_readiness(self.token) else { return };
        let readable = if noticed.is_readable { State::READABLE } else { 0 };
        let writable = if noticed.is_writable { State::WRITABLE } else { 0 };
        let last = if noticed.is_final { State::FINAL } else { 0 };
        let summoned = if noticed.is_summoned { State::SUMMONED } else { 0 };
        self.set(readable | writable | last | summoned);
    }

    /// Has the kernel tell when the socket is writable: from the first time on
    /// that it was not. Most never are, and a UNIX socket would tell each time
    /// that its peer reads.
    fn watch_writes(&self) -> Result<()> {
        if !self.has(State::WRITES_WATCHED) {
            let interest =
                if self.is_pipe() { Interest::BOTH } else { Interest::STREAM | Interest::WRITABLE };
            self.event_loop().inner.kernel.reregister(self.fd, self.token, interest)?;
            self.set(State::WRITES_WATCHED);
        }
        Ok(())
    }
}

//! One operation on a socket, from its first attempt to its end.

use std::io;
use std::os::fd::AsFd;

use rondel_core::{Cancelled, Refusal};

use super::nonblocking::{Attachment, NonBlocking, check_descriptors};
use crate::sources::Direction;
use crate::sys::{Fd, Kernel, Token};
use crate::{EventLoopHandle, Result};

/// Is how many transfers an operation makes before it gives way to others.
const TRANSFERS_PER_TURN: u32 = 16;

/// An operation that moves something in one direction.
///
/// It claims its side of the socket the first time that it can't go on, so that
/// no other operation comes between its parts; the claim ends with it, before
/// anybody sees its result (contract SK-7).
pub(super) struct Operation<'a> {
    event_loop: &'a EventLoopHandle,
    attachment: &'a Attachment,
    fd: Fd,
    direction: Direction,
    claim: Option<Token>,
    transfers: u32,
}

impl<'a> Operation<'a> {
    /// Asks whether the operation may be tried.
    ///
    /// # Errors
    /// `Cancelled`, `Closed`, or `Busy` if the side is somebody else's.
    pub(super) fn begin<S: AsFd>(
        event_loop: &'a EventLoopHandle,
        socket: &'a NonBlocking<S>,
        direction: Direction,
    ) -> Result<Self> {
        Self::begin_on(event_loop, socket.attachment(), socket.fd(), direction)
    }

    pub(super) fn begin_on(
        event_loop: &'a EventLoopHandle,
        attachment: &'a Attachment,
        fd: Fd,
        direction: Direction,
    ) -> Result<Self> {
        if event_loop.inner.scheduler.take_cancel() {
            return Err(Cancelled.into());
        }
        if event_loop.is_closed() {
            return Err(Refusal::Closed.into());
        }
        check_descriptors(event_loop)?;
        event_loop.check_side(fd, direction, attachment.token(event_loop, fd))?;
        Ok(Self { event_loop, attachment, fd, direction, claim: None, transfers: 0 })
    }

    pub(super) fn fd(&self) -> Fd {
        self.fd
    }

    pub(super) fn kernel(&self) -> &'a dyn Kernel {
        &*self.event_loop.inner.kernel
    }

    /// Tries `attempt` at once, and again whenever it may succeed (SK-2).
    pub(super) async fn run<T>(
        &mut self,
        mut attempt: impl FnMut(&dyn Kernel, Fd) -> io::Result<T>,
    ) -> Result<T> {
        loop {
            match attempt(self.kernel(), self.fd) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait().await?,
                answer => return Ok(answer?),
            }
        }
    }

    /// Counts bytes that were sent.
    pub(super) fn note_sent(&self, count: usize) {
        self.event_loop.inner.meters.bytes_sent.add(count);
    }

    /// Waits until the side that has met `WouldBlock` may be ready.
    pub(super) async fn wait(&mut self) -> Result<()> {
        self.transfers = 0;
        let token = self.claim()?;
        self.event_loop.next_event(token, self.direction).await
    }

    /// Notes that a part was moved, and gives way after many of them: the peer
    /// may be as fast as we are.
    pub(super) async fn moved(&mut self) -> Result<()> {
        self.transfers += 1;
        if self.transfers < TRANSFERS_PER_TURN {
            return Ok(());
        }
        self.transfers = 0;
        self.claim()?;
        Ok(self.event_loop.yield_now().await?)
    }

    /// Returns the source; claims the side unless that was done before.
    fn claim(&mut self) -> Result<Token> {
        if let Some(token) = self.claim
            && self.event_loop.is_watched(token)
        {
            return Ok(token);
        }
        let held = self.attachment.token(self.event_loop, self.fd);
        let token = self.event_loop.claim_side(self.fd, self.direction, held, self.attachment.location)?;
        self.claim = Some(token);
        self.attachment.keep(self.event_loop, self.fd, token, self.direction);
        Ok(token)
    }
}

impl Drop for Operation<'_> {
    fn drop(&mut self) {
        if let Some(token) = self.claim {
            self.event_loop.release_side(token, self.direction);
        }
    }
}

//! Sides of the user's sockets: claimed by the operation that waits for them, and
//! kept registered between two operations.
//!
//! A socket stays the user's, so the kernel would have to be asked twice for
//! each wait, once to watch and once to forget. Instead whoever vouches for the
//! descriptor, a [`NonBlocking`](crate::NonBlocking), *keeps* it: the source
//! stays, edge-triggered and so without a cost while nobody waits, until the last
//! keeper lets go, before the number can be used again. A source goes with its
//! last reason: a callback, a claim, or a keeper.
//!
//! Another wrapper of the same descriptor joins its source, by a question to the
//! kernel: a number that was closed and opened again behind our back is found out
//! there (FAULTS P-02).

use core::future::Future;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context as PollContext, Poll};
use std::io;

use rondel_core::{Cancelled, Refusal};

use super::{Direction, Listener, Owner, Source, Sources, Waiter, busy};
use crate::sys::{Fd, Interest, Token};
use crate::{Error, ErrorKind, EventLoopHandle, Result};

/// What stays watched of a source that is kept: a byte, where an `Option<Interest>` takes two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kept {
    Nothing,
    Reader,
    Writer,
    Both,
}

impl Kept {
    pub(super) fn interest(self) -> Option<Interest> {
        match self {
            Self::Nothing => None,
            Self::Reader => Some(Interest::READABLE),
            Self::Writer => Some(Interest::WRITABLE),
            Self::Both => Some(Interest::BOTH),
        }
    }

    fn with(self, direction: Direction) -> Self {
        match (self, direction) {
            (Self::Nothing | Self::Reader, Direction::Read) => Self::Reader,
            (Self::Nothing | Self::Writer, Direction::Write) => Self::Writer,
            _ => Self::Both,
        }
    }
}

impl Sources {
    /// Returns the source of `fd`: the one its holder knows of, else the one
    /// that is found under the number.
    fn locate(&mut self, fd: Fd, held: Option<Token>) -> Option<(Token, Owner)> {
        let held = held.filter(|&token| self.get(token).is_some_and(|source| source.fd == fd));
        held.map(|token| (token, Owner::Callbacks)).or_else(|| self.find(fd))
    }
}

impl EventLoopHandle {
    /// Asks whether an operation on the user's socket may be tried.
    ///
    /// # Errors
    /// `Busy` if the descriptor is a stream's or a server's (contract IO-6), or
    /// another operation of this direction has not ended (SK-9).
    pub(crate) fn check_side(&self, fd: Fd, direction: Direction, held: Option<Token>) -> Result<()> {
        let mut sources = self.inner.sources.borrow_mut();
        let Some((token, owner)) = sources.locate(fd, held) else { return Ok(()) };
        if owner != Owner::Callbacks {
            return Err(busy(fd, owner));
        }
        match sources.get(token).map(|source| source.side(direction).is_claimed) {
            Some(true) => Err(busy_side(fd, direction)),
            _ => Ok(()),
        }
    }

    /// Claims a side of the user's socket for an operation that can't go on at
    /// the moment: what happens from now on is noted.
    ///
    /// `held` is the source that the caller keeps, `location` where its socket comes from. A direction that is kept is
    /// watched already; any other costs a call to the kernel.
    ///
    /// # Errors
    /// As [`EventLoopHandle::check_side`]; `Busy` if a callback watches this
    /// side; `Full`; if the kernel can't watch the descriptor.
    pub(crate) fn claim_side(
        &self,
        fd: Fd,
        direction: Direction,
        held: Option<Token>,
        location: &'static Location<'static>,
    ) -> Result<Token> {
        self.check_side(fd, direction, held)?;
        let found = self.inner.sources.borrow_mut().locate(fd, held);
        let Some((token, _)) = found else { return self.claim_new(fd, direction, location) };
        let (is_watched, interest) = {
            let mut sources = self.inner.sources.borrow_mut();
            let Some(source) = sources.get(token) else { return Err(Refusal::Closed.into()) };
            if source.side(direction).listener() != Listener::None {
                return Err(busy(fd, Owner::Callbacks));
            }
            let is_watched = held == Some(token) && source.keeps(direction);
            source.claim(direction);
            (is_watched, source.interest().unwrap_or(direction.interest()))
        };
        if is_watched {
            return Ok(token);
        }
        match self.inner.kernel.reregister(fd, token, interest) {
            Ok(()) => Ok(token),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Closed, and opened again under the same number (FAULTS P-02).
                self.abandon(token);
                self.claim_side(fd, direction, None, location)
            }
            Err(error) => {
                self.release_side(token, direction);
                Err(error.into())
            }
        }
    }

    fn claim_new(&self, fd: Fd, direction: Direction, location: &'static Location<'static>) -> Result<Token> {
        if self.is_closed() {
            return Err(Refusal::Closed.into());
        }
        let token = self.add_source(fd, Owner::Callbacks, location)?;
        let mut sources = self.inner.sources.borrow_mut();
        if let Err(error) = self.inner.kernel.register(fd, token, direction.interest()) {
            sources.remove(token);
            return Err(error.into());
        }
        if let Some(source) = sources.get(token) {
            source.claim(direction);
        }
        Ok(token)
    }

    /// Gives a claim back. With the last reason to watch the descriptor its
    /// registration goes, before this returns.
    pub(crate) fn release_side(&self, token: Token, direction: Direction) {
        if let Some(source) = self.inner.sources.borrow_mut().get(token) {
            source.side(direction).is_claimed = false;
        }
        self.forget_unused(token);
    }

    /// Counts one more keeper of a source.
    pub(crate) fn keep(&self, token: Token) {
        if let Some(source) = self.inner.sources.borrow_mut().get(token) {
            // Too few of them would only cost a further registration.
            source.keepers = source.keepers.saturating_add(1);
        }
    }

    /// Tells whether a source is there.
    pub(crate) fn is_watched(&self, token: Token) -> bool {
        self.inner.sources.borrow_mut().get(token).is_some()
    }

    /// Notes that a direction is watched for as long as the source is kept.
    pub(crate) fn keep_side(&self, token: Token, direction: Direction) {
        if let Some(source) = self.inner.sources.borrow_mut().get(token) {
            source.kept = source.kept.with(direction);
        }
    }

    /// Counts one keeper less.
    pub(crate) fn let_go(&self, token: Token) {
        if let Some(source) = self.inner.sources.borrow_mut().get(token) {
            source.keepers = source.keepers.saturating_sub(1);
            if source.keepers == 0 {
                source.kept = Kept::Nothing;
            }
        }
        self.forget_unused(token);
    }

    fn forget_unused(&self, token: Token) {
        let is_unused = {
            let mut sources = self.inner.sources.borrow_mut();
            sources.get(token).is_some_and(|source| source.interest().is_none())
        };
        if is_unused {
            self.unwatch(token);
        }
    }

    /// Waits for the next event of a side that the caller has claimed, and whose
    /// last operation met `WouldBlock`; ends too when the source is gone.
    pub(crate) fn next_event(&self, token: Token, direction: Direction) -> NextEvent<'_> {
        self.clear_ready(token, direction);
        NextEvent { event_loop: self, token, direction, waiter: None }
    }
}

impl Source {
    fn claim(&mut self, direction: Direction) {
        let side = self.side(direction);
        side.is_claimed = true;
        side.is_ready = false;
    }

    fn keeps(&self, direction: Direction) -> bool {
        self.kept.with(direction) == self.kept
    }
}

/// Is the refusal of an operation while another one waits.
pub(super) fn busy_side(fd: Fd, direction: Direction) -> Error {
    let what = match direction {
        Direction::Read => "receive or accept",
        Direction::Write => "send or connect",
    };
    let message =
        format!("descriptor {} is in use by a pending sock_* operation, which waits to {what}", fd.as_raw());
    Error::of(ErrorKind::Busy, message)
}

/// Waits for one event of one side.
pub(crate) struct NextEvent<'a> {
    event_loop: &'a EventLoopHandle,
    token: Token,
    direction: Direction,
    waiter: Option<Waiter>,
}

impl NextEvent<'_> {
    fn stop_waiting(&mut self) {
        if let Some(waiter) = self.waiter.take() {
            self.event_loop.stop_waiting(self.token, self.direction, waiter);
        }
    }
}

impl Future for NextEvent<'_> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut PollContext<'_>) -> Poll<Result<()>> {
        let event_loop = self.event_loop;
        self.stop_waiting();
        if event_loop.inner.scheduler.take_cancel() {
            return Poll::Ready(Err(Cancelled.into()));
        }
        // A closed loop watches nothing: whoever waited would wait for ever.
        if event_loop.is_closed() {
            return Poll::Ready(Err(Refusal::Closed.into()));
        }
        if event_loop.is_ready(self.token, self.direction) {
            return Poll::Ready(Ok(()));
        }
        self.waiter = Some(event_loop.wait_ready(self.token, self.direction, cx.waker())?);
        Poll::Pending
    }
}

impl Drop for NextEvent<'_> {
    fn drop(&mut self) {
        self.stop_waiting();
    }
}

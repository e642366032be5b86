//! Readiness of real descriptors, by mio: what the real and the manual kernel have in common.

#![allow(unsafe_code, reason = "lends the descriptor of the poll")]

use core::cell::{Cell, RefCell};
use core::time::Duration;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use mio::unix::SourceFd;

use super::doorbell::{Doorbell, eventfd};
use super::fd::{Event, Events, Fd, Interest, Readiness, Token};
use super::forks::Birthplace;
use super::syscall::retry;

/// Watches descriptors and hears one doorbell.
#[derive(Debug)]
pub(super) struct Poller {
    birthplace: Birthplace,
    /// Borrowed only within one method; none of them calls anybody's callback.
    poll: RefCell<mio::Poll>,
    /// The doorbell and its eventfd.
    /// Invariant: the eventfd is registered for as long as it stands here, and `bell` is open.
    bell: Cell<Option<(&'static Doorbell, Fd)>>,
}

/// Which of the kernel's own descriptors ended a poll.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Woken {
    /// Somebody rang.
    pub(super) by_bell: bool,
    /// The alarm went off.
    pub(super) by_alarm: bool,
}

impl Poller {
    /// Makes a poller that watches nothing.
    pub(super) fn new() -> io::Result<Self> {
        let poll = RefCell::new(mio::Poll::new()?);
        Ok(Self { birthplace: Birthplace::here(), poll, bell: Cell::new(None) })
    }

    /// Begins to watch a descriptor.
    pub(super) fn register(&self, fd: Fd, token: Token, interest: Interest) -> io::Result<()> {
        refuse_reserved(token)?;
        self.add(fd, token, interest)
    }

    /// Changes what is watched, and has the descriptor examined again: what is ready now is reported
    /// now, though it has been before.
    pub(super) fn reregister(&self, fd: Fd, token: Token, interest: Interest) -> io::Result<()> {
        refuse_reserved(token)?;
        self.birthplace.check()?;
        let poll = self.poll.borrow();
        poll.registry().reregister(&mut SourceFd(&fd.as_raw()), mio::Token(token.0), interest.to_mio())
    }

    /// Ceases to watch a descriptor. In a child of a fork it does nothing: the parent watches on.
    pub(super) fn deregister(&self, fd: Fd) -> io::Result<()> {
        if !self.birthplace.is_here() {
            return Ok(());
        }
        self.poll.borrow().registry().deregister(&mut SourceFd(&fd.as_raw()))
    }

    /// Refuses the child of a fork, whose waits would take the parent's events and move its timer
    /// (FAULTS P-16).
    #[inline]
    pub(super) fn check_birthplace(&self) -> io::Result<()> {
        self.birthplace.check()
    }

    /// Returns the descriptor of the poll itself: readable while [`poll`](Self::poll) would bring something
    /// (epoll(7), "Questions and answers", 3).
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        let fd = self.poll.borrow().as_raw_fd();
        // SAFETY: it is open for as long as the poll, which `self` owns and never replaces.
        unsafe { BorrowedFd::borrow_raw(fd) }
    }

    /// Watches the kernel's timer; its events come as [`Woken::by_alarm`].
    pub(super) fn watch_alarm(&self, fd: Fd) -> io::Result<()> {
        self.add(fd, Token::ALARM, Interest::READABLE)
    }

    /// Opens `bell` on a new eventfd and listens to it.
    pub(super) fn attach_doorbell(&self, bell: &'static Doorbell) -> io::Result<()> {
        if self.bell.get().is_some() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the kernel has a doorbell already"));
        }
        let fd = eventfd()?;
        // Registered first: a ring that was missed before comes as soon as the bell is open.
        let opened = self.add(fd, Token::DOORBELL, Interest::READABLE).and_then(|()| bell.open(fd));
        if let Err(error) = opened {
            let _ = self.deregister(fd);
            super::socket::close(fd);
            return Err(error);
        }
        self.bell.set(Some((bell, fd)));
        Ok(())
    }

    /// Closes `bell` if it is the one attached; any other is left alone.
    pub(super) fn detach_doorbell(&self, bell: &'static Doorbell) {
        if self.bell.get().is_some_and(|(attached, _)| core::ptr::eq(attached, bell)) {
            self.silence();
        }
    }

    /// Waits until something is ready or `timeout` is over; interrupted waits begin anew, so a
    /// timeout should be zero or none.
    ///
    /// Always inlined, as whatever stands between a turn and the system call: the processor has
    /// forgotten after the call where functions return to, and guesses wrong for each of them.
    #[inline(always)]
    pub(super) fn poll(&self, timeout: Option<Duration>, events: &mut Events) -> io::Result<Woken> {
        let Events { polled, list } = events;
        list.clear();
        let mut poll = self.poll.borrow_mut();
        retry(|| poll.poll(polled, timeout))?;
        let mut woken = Woken::default();
        for event in polled.iter() {
            match Token(event.token().0) {
                Token::DOORBELL => woken.by_bell = true,
                Token::ALARM => woken.by_alarm = true,
                token => list.push(Event { token, readiness: Readiness::from_mio(event) }),
            }
        }
        Ok(woken)
    }

    fn add(&self, fd: Fd, token: Token, interest: Interest) -> io::Result<()> {
        self.birthplace.check()?;
        let poll = self.poll.borrow();
        poll.registry().register(&mut SourceFd(&fd.as_raw()), mio::Token(token.0), interest.to_mio())
    }

    fn silence(&self) {
        if let Some((bell, fd)) = self.bell.take() {
            let _ = self.deregister(fd);
            bell.close();
        }
    }
}

impl Drop for Poller {
    /// A bell whose kernel is gone would own its eventfd for ever.
    fn drop(&mut self) {
        self.silence();
    }
}

fn refuse_reserved(token: Token) -> io::Result<()> {
    if token.is_reserved() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the token is the kernel's own"));
    }
    Ok(())
}

//! Sockets that don't block: the user's, with what a loop knows of them.

use core::cell::RefCell;
use core::fmt;
use core::panic::Location;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::{Rc, Weak};

use crate::inner::Inner;
use crate::net::address::Address;
use crate::sources::Direction;
use crate::sys::{self, Family, Fd, SocketKind, Token};
use crate::{Error, ErrorKind, EventLoopHandle, Result};

/// A socket that doesn't block: what all `sock_*` operations take.
///
/// Any socket becomes one, owned or borrowed: those of `std`, an `OwnedFd`, or
/// another crate's. A task that sends and one that receives may share it, or
/// wrap it twice.
///
/// The first operation that has to wait registers the socket with its loop, and
/// it stays registered until this is dropped or opened: so a connection's steady
/// state costs no system call but the transfers. In between it counts among
/// [`EventLoopHandle::watched_descriptors`], and nothing else shows: it may be
/// watched by `add_reader`, or used with another loop. It is not `Send`; what it
/// wraps may be, and is wrapped anew in the other thread.
///
/// # Python
/// `sock.setblocking(False)`, which asyncio requires and checks in debug mode.
pub struct NonBlocking<S> {
    /// Stands before the socket, so that the registration goes before the socket
    /// is closed.
    attachment: Attachment,
    kind: Option<SocketKind>,
    socket: S,
}

impl<S: AsFd> NonBlocking<S> {
    /// Sets `O_NONBLOCK`, which stays set when this is gone. It concerns everyone
    /// who shares the open file: duplicates of the socket block no longer either.
    ///
    /// # Errors
    /// `Io` with `ENOTSOCK` if it is no socket.
    #[track_caller]
    pub fn new(socket: S) -> Result<Self> {
        let kind =
            sys::prepare(socket.as_fd()).map_err(|error| Error::from(error).during("NonBlocking::new"))?;
        Ok(Self { attachment: Attachment::new(Location::caller()), kind, socket })
    }

    pub(super) fn fd(&self) -> Fd {
        Fd::from_raw(self.socket.as_fd().as_raw_fd())
    }

    pub(super) fn attachment(&self) -> &Attachment {
        &self.attachment
    }

    pub(super) fn kind(&self) -> Option<SocketKind> {
        self.kind
    }
}

impl<S> NonBlocking<S> {
    /// Returns the socket. Whatever is done to it directly doesn't block.
    pub fn get_ref(&self) -> &S {
        &self.socket
    }

    /// Returns the socket; no loop watches it any more for an operation.
    pub fn into_inner(self) -> S {
        self.socket
    }
}

impl NonBlocking<OwnedFd> {
    /// Wraps a socket that was made by a kernel, and so doesn't block.
    fn made(socket: OwnedFd, kind: Option<SocketKind>, location: &'static Location<'static>) -> Self {
        Self { attachment: Attachment::new(location), kind, socket }
    }
}

impl EventLoopHandle {
    /// Makes a stream socket of the family that `addr` has, neither bound nor
    /// connected; `std` has none such.
    ///
    /// # Errors
    /// `Io`, if descriptors ran out or the family is not supported.
    ///
    /// # Python
    /// `socket.socket(family, socket.SOCK_STREAM)`.
    #[track_caller]
    pub fn stream_socket(&self, addr: impl Into<Address>) -> Result<NonBlocking<OwnedFd>> {
        let made = self.make_socket(&addr.into(), SocketKind::Stream, Location::caller());
        made.map_err(|error| error.during("stream_socket"))
    }

    /// Makes a datagram socket of the family that `addr` has, neither bound nor
    /// connected.
    ///
    /// # Errors
    /// As [`EventLoopHandle::stream_socket`].
    ///
    /// # Python
    /// `socket.socket(family, socket.SOCK_DGRAM)`.
    #[track_caller]
    pub fn datagram_socket(&self, addr: impl Into<Address>) -> Result<NonBlocking<OwnedFd>> {
        let made = self.make_socket(&addr.into(), SocketKind::Datagram, Location::caller());
        made.map_err(|error| error.during("datagram_socket"))
    }

    fn make_socket(
        &self,
        addr: &Address,
        kind: SocketKind,
        location: &'static Location<'static>,
    ) -> Result<NonBlocking<OwnedFd>> {
        let fd = self.inner.kernel.socket(Family::of(addr), kind, 0)?;
        self.own_socket(fd, Some(kind), location)
    }

    /// Wraps a new socket for the user.
    pub(super) fn own_socket(
        &self,
        fd: Fd,
        kind: Option<SocketKind>,
        location: &'static Location<'static>,
    ) -> Result<NonBlocking<OwnedFd>> {
        let kernel = &self.inner.kernel;
        let socket = kernel.hand_over(fd).inspect_err(|_| kernel.close(fd))?;
        Ok(NonBlocking::made(socket, kind, location))
    }
}

impl<S: AsFd> AsFd for NonBlocking<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl<S: fmt::Debug> fmt::Debug for NonBlocking<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NonBlocking").field(&self.socket).finish()
    }
}

/// What keeps a socket registered with a loop.
pub(super) struct Attachment {
    kept: RefCell<Option<Kept>>,
    /// Is where the socket became one that doesn't block.
    pub(super) location: &'static Location<'static>,
}

impl Attachment {
    fn new(location: &'static Location<'static>) -> Self {
        Self { kept: RefCell::new(None), location }
    }

    /// Returns the source in `event_loop` that is kept for `fd`.
    pub(super) fn token(&self, event_loop: &EventLoopHandle, fd: Fd) -> Option<Token> {
        let kept = self.kept.borrow();
        let kept = kept.as_ref()?;
        let is_same = kept.fd == fd && core::ptr::eq(kept.event_loop.as_ptr(), Rc::as_ptr(&event_loop.inner));
        is_same.then_some(kept.token)
    }

    /// Keeps one side of a source from now on, and lets go of any other source:
    /// one of another loop, or of another descriptor.
    pub(super) fn keep(&self, event_loop: &EventLoopHandle, fd: Fd, token: Token, direction: Direction) {
        if self.token(event_loop, fd) != Some(token) {
            let kept = Kept::new(event_loop, fd, token);
            let former = self.kept.replace(Some(kept));
            // Wakes foreign wakers, so nothing is borrowed here.
            drop(former);
        }
        event_loop.keep_side(token, direction);
    }
}

/// Counts as one keeper of a source.
struct Kept {
    event_loop: Weak<Inner>,
    fd: Fd,
    token: Token,
}

impl Kept {
    fn new(event_loop: &EventLoopHandle, fd: Fd, token: Token) -> Self {
        event_loop.keep(token);
        Self { event_loop: Rc::downgrade(&event_loop.inner), fd, token }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(inner) = self.event_loop.upgrade() {
            EventLoopHandle { inner }.let_go(self.token);
        }
    }
}

/// Is the refusal of a loop whose kernel has no real descriptors.
pub(super) fn check_descriptors(event_loop: &EventLoopHandle) -> Result<()> {
    if event_loop.inner.kernel.has_real_descriptors() {
        return Ok(());
    }
    let message = "this kernel has no descriptors";
    Err(Error::of(ErrorKind::Io, io::Error::new(io::ErrorKind::Unsupported, message)))
}

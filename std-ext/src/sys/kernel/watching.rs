//! Which descriptors end a wait, and the doorbell.

use std::io;
use std::os::fd::BorrowedFd;

use super::{Time, unsupported};
use crate::sys::doorbell::Doorbell;
use crate::sys::fd::{Fd, Interest, Token};

/// Watches descriptors, and hears a doorbell.
pub(crate) trait Watching: Time {
    /// Begins to watch `fd`; its events carry `token`.
    ///
    /// Edge-triggered: an event comes when something changes, and once for what is ready already.
    ///
    /// # Errors
    /// `EPERM` for what is always ready, as regular files are; `EEXIST` for a descriptor watched
    /// already; `InvalidInput` for a token that is the kernel's own.
    fn register(&self, fd: Fd, token: Token, interest: Interest) -> io::Result<()> {
        let _ = (fd, token, interest);
        unsupported("register")
    }

    /// Changes what is watched, and has what is ready now reported again: how a level-triggered
    /// promise is kept on edges.
    ///
    /// # Errors
    /// `ENOENT` for a descriptor that isn't watched; otherwise as [`register`](Self::register).
    fn reregister(&self, fd: Fd, token: Token, interest: Interest) -> io::Result<()> {
        let _ = (fd, token, interest);
        unsupported("reregister")
    }

    /// Ceases to watch `fd`. To be called before closing it, on every path: a duplicate elsewhere
    /// would keep the registration alive.
    ///
    /// # Errors
    /// `ENOENT` for a descriptor that isn't watched.
    fn deregister(&self, fd: Fd) -> io::Result<()> {
        let _ = fd;
        unsupported("deregister")
    }

    /// Returns the descriptor that is readable while a wait would bring something.
    ///
    /// # Errors
    /// `Unsupported` from a kernel without descriptors.
    fn backend_fd(&self) -> io::Result<BorrowedFd<'_>> {
        unsupported("backend_fd")
    }

    /// Makes `bell` end this kernel's waits; what rang before rings now. One bell at a time.
    ///
    /// # Errors
    /// `AlreadyExists` when kernel or bell are taken; else when no descriptor is left, or the system
    /// denies writing to it.
    fn attach_doorbell(&self, bell: &'static Doorbell) -> io::Result<()>;

    /// Lets go of `bell` and closes its descriptor; later rings do nothing. A bell that isn't this
    /// kernel's is left alone. Dropping the kernel does the same.
    fn detach_doorbell(&self, bell: &'static Doorbell);
}

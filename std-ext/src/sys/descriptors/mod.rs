//! What all kernels with real descriptors have in common.

mod datagrams;
mod files;
mod process;
mod sockets;

use std::io;
use std::os::fd::BorrowedFd;

use crate::sys::doorbell::Doorbell;
use crate::sys::fd::{Fd, Interest, Token};
use crate::sys::kernel::{Time, Watching};
use crate::sys::poller::Poller;

/// A kernel whose descriptors are the process's.
pub(super) trait RealDescriptors: Time {
    fn poller(&self) -> &Poller;
}

impl<K: RealDescriptors> Watching for K {
    fn register(&self, fd: Fd, token: Token, interest: Interest) -> io::Result<()> {
        self.poller().register(fd, token, interest)
    }

    fn reregister(&self, fd: Fd, token: Token, interest: Interest) -> io::Result<()> {
        self.poller().reregister(fd, token, interest)
    }

    fn deregister(&self, fd: Fd) -> io::Result<()> {
        self.poller().deregister(fd)
    }

    fn backend_fd(&self) -> io::Result<BorrowedFd<'_>> {
        self.poller().check_birthplace()?;
        Ok(self.poller().descriptor())
    }

    fn attach_doorbell(&self, bell: &'static Doorbell) -> io::Result<()> {
        self.poller().attach_doorbell(bell)
    }

    fn detach_doorbell(&self, bell: &'static Doorbell) {
        self.poller().detach_doorbell(bell);
    }
}

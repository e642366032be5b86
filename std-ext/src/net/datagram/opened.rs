//! A socket of an endpoint that is being made.

use core::fmt;
use std::io;

use crate::EventLoopHandle;
use crate::net::address::Address;
use crate::net::unix::SocketFile;
use crate::sys::{Fd, SocketOption};

/// An open socket, before it has an owner. Closed when dropped.
///
/// Is `pub`, and out of reach, because a method of a trait that is `pub` answers it: from Rust 1.96 on
/// that is an error for a type that is not.
pub struct Opened {
    pub(crate) event_loop: EventLoopHandle,
    pub(crate) fd: Fd,
    pub(crate) remote: Option<Address>,
    /// Tells that the socket itself knows the remote address.
    pub(crate) is_connected: bool,
    /// Tells that what it sends goes to UNIX sockets.
    pub(crate) is_unix: bool,
    pub(crate) file: Option<SocketFile>,
}

impl Opened {
    pub(crate) fn new(event_loop: &EventLoopHandle, fd: Fd, is_unix: bool) -> Self {
        let event_loop = event_loop.clone();
        Self { event_loop, fd, remote: None, is_connected: false, is_unix, file: None }
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opened(fd={})", self.fd.as_raw())
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if self.fd != Fd::NONE {
            if let Some(file) = &self.file {
                file.remove();
            }
            self.event_loop.inner.kernel.close(self.fd);
        }
    }
}

/// Sets the options that have to stand before an address does.
pub(crate) fn prepare(opened: &Opened, reuse_port: bool, broadcast: bool) -> io::Result<()> {
    let kernel = &opened.event_loop.inner.kernel;
    if reuse_port {
        kernel.set_option(opened.fd, SocketOption::ReusePort, 1)?;
    }
    if broadcast {
        kernel.set_option(opened.fd, SocketOption::Broadcast, 1)?;
    }
    Ok(())
}

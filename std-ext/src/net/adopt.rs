//! Sockets that somebody else has made.

use std::io;
use std::os::fd::{IntoRawFd, OwnedFd};

use crate::sys::{Fd, SocketKind};
use crate::{Error, ErrorKind, EventLoopHandle, Result};

/// Takes over a descriptor from outside; it is closed if it is refused.
///
/// # Errors
/// `InvalidInput` if it is not a socket of this kind; `Unsupported` on a kernel
/// without descriptors of the process.
pub(crate) fn adopt(event_loop: &EventLoopHandle, socket: OwnedFd, kind: SocketKind) -> Result<Fd> {
    let kernel = &event_loop.inner.kernel;
    if !kernel.has_real_descriptors() {
        return Err(Error::of(ErrorKind::Io, "this kernel has no descriptors"));
    }
    let fd = Fd::from_raw(socket.into_raw_fd());
    let adopted = || {
        let (_, found) = kernel.socket_kind(fd)?;
        if found != kind {
            let message = match kind {
                SocketKind::Stream => "not a stream socket",
                SocketKind::Datagram => "not a datagram socket",
            };
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        kernel.set_nonblocking(fd)
    };
    match adopted() {
        Ok(()) => Ok(fd),
        Err(error) => {
            kernel.close(fd);
            Err(error.into())
        }
    }
}

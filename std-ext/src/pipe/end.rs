//! What a descriptor from outside must be to be the end of a pipe.

use core::fmt;
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};

use crate::net::connection::PipeEnd;
use crate::sources::Direction;
use crate::sys::{Fd, FileKind, Kernel};
use crate::{Error, ErrorKind, EventLoopHandle, Result};

impl PipeEnd {
    /// Takes over a descriptor from outside.
    ///
    /// # Errors
    /// [`NotAPipe`]; `InvalidInput` if it was opened for the other direction; `Busy`
    /// if the loop watches it. It is closed then.
    pub(super) fn adopt(event_loop: &EventLoopHandle, pipe: OwnedFd, direction: Direction) -> Result<Self> {
        let kernel = &*event_loop.inner.kernel;
        if !kernel.has_real_descriptors() {
            return Err(Error::of(ErrorKind::Io, "this kernel has no descriptors"));
        }
        let fd = Fd::from_raw(pipe.as_raw_fd());
        event_loop.check_unwatched(fd)?;
        let kind = kernel.file_kind(fd)?;
        if !matches!(kind, FileKind::Fifo | FileKind::Socket | FileKind::Terminal | FileKind::Character) {
            return Err(NotAPipe::new(fd, kind).into());
        }
        let end = Self::of_kind(kernel, fd, kind, direction)?;
        kernel.set_nonblocking(fd)?;
        let _ = pipe.into_raw_fd();
        Ok(end)
    }

    /// Takes over an end of a pipe that the loop has made.
    ///
    /// # Errors
    /// As `fcntl`; it is closed then.
    pub(crate) fn made(event_loop: &EventLoopHandle, fd: Fd, direction: Direction) -> Result<Self> {
        let kernel = &event_loop.inner.kernel;
        if let Err(error) = kernel.set_nonblocking(fd) {
            kernel.close(fd);
            return Err(error.into());
        }
        Ok(Self {
            fd,
            direction,
            is_socket: false,
            is_piecewise: direction == Direction::Read,
            tells_of_reader: true,
            may_be_readable: false,
            is_lent: false,
            is_blocking: false,
        })
    }

    /// Describes an end by what it is open on.
    ///
    /// # Errors
    /// `InvalidInput` if it was opened for the other direction; as `fcntl`.
    pub(super) fn of_kind(
        kernel: &dyn Kernel,
        fd: Fd,
        kind: FileKind,
        direction: Direction,
    ) -> io::Result<Self> {
        let flags = kernel.file_flags(fd)?;
        let (is_open, purpose) = match direction {
            Direction::Read => (flags.is_readable, "reading"),
            Direction::Write => (flags.is_writable, "writing"),
        };
        if !is_open {
            let message = format!("descriptor {} is not open for {purpose}", fd.as_raw());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        Ok(Self {
            fd,
            direction,
            is_socket: kind == FileKind::Socket,
            is_piecewise: kind != FileKind::Fifo || direction == Direction::Read || flags.is_in_packets,
            tells_of_reader: matches!(kind, FileKind::Fifo | FileKind::Socket),
            may_be_readable: false,
            is_lent: false,
            is_blocking: false,
        })
    }
}

/// A descriptor that can't be waited for: neither a pipe, a socket nor a character
/// device. It stands in the `io::Error`, of the kind `InvalidInput`, that
/// [`Error::as_io`] returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotAPipe {
    descriptor: RawFd,
    kind: FileKind,
}

impl NotAPipe {
    pub(super) fn new(fd: Fd, kind: FileKind) -> Self {
        Self { descriptor: fd.as_raw(), kind }
    }

    /// Returns the number that the descriptor had.
    #[must_use]
    pub fn descriptor(self) -> RawFd {
        self.descriptor
    }

    /// Tells whether it is a regular file, which a job of
    /// [`run_in_executor`](EventLoopHandle::run_in_executor) can read and write.
    #[must_use]
    pub fn is_regular_file(self) -> bool {
        self.kind == FileKind::Regular
    }
}

impl fmt::Display for NotAPipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "descriptor {} is {}, ", self.descriptor, self.kind)?;
        if self.is_regular_file() {
            f.write_str("which is never waited for: read and write it by run_in_executor")
        } else {
            f.write_str("not a pipe, a socket or a character device")
        }
    }
}

impl core::error::Error for NotAPipe {}

impl From<NotAPipe> for Error {
    fn from(error: NotAPipe) -> Self {
        io::Error::new(io::ErrorKind::InvalidInput, error).into()
    }
}

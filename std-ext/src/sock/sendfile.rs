//! Sending a file: `sock_sendfile`.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use super::nonblocking::{Attachment, NonBlocking};
use super::operation::Operation;
use super::send_error::SendError;
use crate::sources::Direction;
use crate::sys::{Fd, Kernel, SocketKind};
use crate::{Error, ErrorKind, EventLoopHandle, Result};

/// Is the most that Linux sends at once.
const PART_MAX: u64 = 0x7fff_f000;

/// Is the size of the buffer for a file that is read and sent, as in asyncio.
const COPY_BUFFER_BYTES: usize = 256 * 1024;

impl EventLoopHandle {
    /// Sends `count` bytes of `file` from `offset` on, or all that follow, without
    /// copying them through the process; returns how many were sent, fewer if the
    /// file ends before.
    ///
    /// A file that the system can't send so, as those of procfs, is read and
    /// sent in parts of 256 KiB, unless [`SockSendfile::fallback`] refuses.
    /// Afterwards, and also if it fails or is dropped, the position of the file
    /// is behind the last byte sent, unless there was none. The loop waits while
    /// the disk is read.
    ///
    /// # Errors
    /// `Io` with `InvalidInput` unless the socket is a stream's; with
    /// `Unsupported` if the fallback is refused and needed. As
    /// [`EventLoopHandle::sock_sendall`].
    ///
    /// # Cancellation
    /// As [`EventLoopHandle::sock_sendall`]; the position of the file tells too.
    ///
    /// # Python
    /// `loop.sock_sendfile(sock, file, offset, count, fallback=True)`.
    pub fn sock_sendfile<'a, S: AsFd, F: AsFd>(
        &self,
        sock: &'a NonBlocking<S>,
        file: &'a F,
        offset: u64,
        count: Option<u64>,
    ) -> SockSendfile<'a> {
        SockSendfile {
            event_loop: self.clone(),
            attachment: sock.attachment(),
            socket: sock.as_fd(),
            kind: sock.kind(),
            file: file.as_fd(),
            offset,
            count: count.unwrap_or(u64::MAX),
            may_copy: true,
        }
    }
}

/// The options of sending a file; await it to send.
#[must_use = "does nothing until it is awaited"]
pub struct SockSendfile<'a> {
    event_loop: EventLoopHandle,
    attachment: &'a Attachment,
    socket: BorrowedFd<'a>,
    kind: Option<SocketKind>,
    file: BorrowedFd<'a>,
    offset: u64,
    count: u64,
    may_copy: bool,
}

impl SockSendfile<'_> {
    /// Chooses whether a file that the system can't send is read and sent; true
    /// by default.
    ///
    /// # Python
    /// `fallback`.
    pub fn fallback(mut self, fallback: bool) -> Self {
        self.may_copy = fallback;
        self
    }
}

impl<'a> IntoFuture for SockSendfile<'a> {
    type Output = Result<u64, SendError<u64>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl SockSendfile<'_> {
    async fn send(self) -> Result<u64, SendError<u64>> {
        let mut part = Part::new(&*self.event_loop.inner.kernel, self.file, self.offset, Some(self.count));
        match self.send_part(&mut part).await {
            Ok(()) => Ok(part.sent),
            Err(error) => Err(SendError::new(error.during("sock_sendfile"), part.sent)),
        }
    }

    async fn send_part(&self, part: &mut Part<'_>) -> Result<()> {
        let fd = Fd::from_raw(self.socket.as_raw_fd());
        let mut operation = Operation::begin_on(&self.event_loop, self.attachment, fd, Direction::Write)?;
        if self.kind != Some(SocketKind::Stream) {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "files are sent through stream sockets");
            return Err(error.into());
        }
        part.send_all(&mut operation, self.may_copy).await
    }
}

/// A way to a peer, for a file.
pub(crate) trait Way {
    /// Tries `attempt` at once, and again whenever there may be room.
    async fn run(&mut self, attempt: impl FnMut(&dyn Kernel, Fd) -> io::Result<usize>) -> Result<usize>;

    /// Returns how bytes are sent that are no file's any more.
    fn sends_by(&self) -> SendBy {
        by_send
    }

    /// Tells whether the system sends without holding up the loop.
    fn can_sendfile(&self) -> bool {
        true
    }

    /// Notes that a part was moved, and gives way to others after many.
    async fn moved(&mut self) -> Result<()>;
}

/// Sends bytes to a descriptor.
pub(crate) type SendBy = fn(&dyn Kernel, Fd, &[u8]) -> io::Result<usize>;

/// Sends to a socket.
pub(crate) fn by_send(kernel: &dyn Kernel, fd: Fd, data: &[u8]) -> io::Result<usize> {
    kernel.send(fd, data)
}

impl Way for Operation<'_> {
    async fn run(&mut self, attempt: impl FnMut(&dyn Kernel, Fd) -> io::Result<usize>) -> Result<usize> {
        let sent = Operation::run(self, attempt).await?;
        self.note_sent(sent);
        Ok(sent)
    }

    async fn moved(&mut self) -> Result<()> {
        Operation::moved(self).await
    }
}

/// Tells whether the system can't send this kind of file.
fn is_not_sendable(error: &Error) -> bool {
    let unable = [io::ErrorKind::InvalidInput, io::ErrorKind::Unsupported];
    error.as_io().is_some_and(|error| unable.contains(&error.kind()))
}

fn refused(error: &Error) -> Error {
    let message = format!("the system can't send this file ({error}), and the fallback is refused");
    Error::of(ErrorKind::Io, io::Error::new(io::ErrorKind::Unsupported, message))
}

/// A part of a file, and how much of it was sent. Leaves the file's position
/// behind that.
pub(crate) struct Part<'a> {
    kernel: &'a dyn Kernel,
    file: Fd,
    offset: u64,
    count: u64,
    sent: u64,
}

impl<'a> Part<'a> {
    /// Names `count` bytes of `file` from `offset` on, or all that follow.
    pub(crate) fn new(kernel: &'a dyn Kernel, file: BorrowedFd<'a>, offset: u64, count: Option<u64>) -> Self {
        let file = Fd::from_raw(file.as_raw_fd());
        Self { kernel, file, offset, count: count.unwrap_or(u64::MAX), sent: 0 }
    }

    /// Counts the bytes that were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Sends all of it; a file that the system can't send is read and sent, if it
    /// may be.
    pub(crate) async fn send_all(&mut self, way: &mut impl Way, may_copy: bool) -> Result<()> {
        if !way.can_sendfile() {
            let error = Error::from(io::Error::new(io::ErrorKind::Unsupported, "it could wait for room"));
            return if may_copy { self.copy(way).await } else { Err(refused(&error)) };
        }
        while self.left() > 0 {
            match way.run(|kernel, fd| self.send(kernel, fd)).await {
                Ok(0) => break,
                Ok(_) => way.moved().await?,
                Err(error) if self.sent == 0 && is_not_sendable(&error) => {
                    return if may_copy { self.copy(way).await } else { Err(refused(&error)) };
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads and sends in turns.
    async fn copy(&mut self, way: &mut impl Way) -> Result<()> {
        let mut buffer = vec![0; self.left().min(COPY_BUFFER_BYTES as u64) as usize];
        let send = way.sends_by();
        loop {
            let mut data = self.read(&mut buffer)?;
            if data.is_empty() {
                return Ok(());
            }
            while !data.is_empty() {
                let sent = way.run(|kernel, fd| send(kernel, fd, data)).await?;
                self.sent += sent as u64;
                data = &data[sent..];
                way.moved().await?;
            }
        }
    }

    /// Reads, and gives to `write`, in turns.
    pub(crate) async fn copy_by(&mut self, mut write: impl AsyncFnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut buffer = vec![0; self.left().min(COPY_BUFFER_BYTES as u64) as usize];
        loop {
            let data = self.read(&mut buffer)?;
            if data.is_empty() {
                return Ok(());
            }
            write(data).await?;
            self.sent += data.len() as u64;
        }
    }

    fn left(&self) -> u64 {
        self.count - self.sent
    }

    fn position(&self) -> u64 {
        self.offset.saturating_add(self.sent)
    }

    fn send(&mut self, kernel: &dyn Kernel, fd: Fd) -> io::Result<usize> {
        let most = self.left().min(PART_MAX) as usize;
        let sent = kernel.sendfile(fd, self.file, self.position(), most)?;
        self.sent += sent as u64;
        Ok(sent)
    }

    /// Reads what comes next; nothing at the end.
    fn read<'b>(&self, buffer: &'b mut [u8]) -> io::Result<&'b [u8]> {
        let most = self.left().min(buffer.len() as u64) as usize;
        let read = self.kernel.read_at(self.file, &mut buffer[..most], self.position())?;
        Ok(&buffer[..read])
    }
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        if self.sent > 0 {
            // Fails only if the file is gone.
            let _ = self.kernel.seek(self.file, self.position());
        }
    }
}

impl fmt::Debug for SockSendfile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { socket, file, offset, .. } = self;
        write!(f, "SockSendfile({file:?} from {offset} on, to {socket:?})")
    }
}

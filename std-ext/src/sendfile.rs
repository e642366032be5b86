//! Sending a file through a transport: `sendfile`.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

use crate::net::connection::{Connection, Until};
use crate::sock::SendError;
use crate::sock::sendfile::{Part, SendBy, Way, by_send};
use crate::sys::{Fd, Kernel};
use crate::{EventLoopHandle, Result, StreamWriter, Transport};

impl EventLoopHandle {
    /// Sends `count` bytes of `file` from `offset` on, or all that follow, through a
    /// transport: after what was written to it before, and before what is written
    /// meanwhile. Returns how many were sent, fewer if the file ends before.
    ///
    /// The transport does not read until then. A close or `write_eof` meanwhile
    /// takes effect when the file was sent; an abort, at once. A file that the
    /// system can't send without copying is read and sent in parts of 256 KiB,
    /// unless [`Sendfile::fallback`] refuses. Afterwards, and also if it fails or is
    /// dropped, the position of the file is behind the last byte sent, unless there
    /// was none. The loop waits while the disk is read.
    ///
    /// # Errors
    /// `Busy` while another file is sent; `Closed` if the transport is closing or
    /// the connection ends meanwhile; `InvalidState` after `write_eof`; `Io` with
    /// `Unsupported` if the fallback is refused and needed, and as the system
    /// says; if the task is cancelled. The error tells how much was sent.
    ///
    /// # Cancellation
    /// A part may have been sent, as the position of the file tells.
    ///
    /// # Python
    /// `loop.sendfile(transport, file, offset, count, fallback=True)`. There a write
    /// meanwhile is an error.
    pub fn sendfile<'a, F: AsFd>(
        &self,
        transport: &'a Transport,
        file: &'a F,
        offset: u64,
        count: Option<u64>,
    ) -> Sendfile<'a> {
        Sendfile { connection: &transport.connection, file: file.as_fd(), offset, count, may_copy: true }
    }
}

impl StreamWriter {
    /// Sends `count` bytes of `file` from `offset` on, or all that follow, after what
    /// was written before. Otherwise as [`EventLoopHandle::sendfile`], but the other
    /// half goes on reading.
    ///
    /// # Errors
    /// As [`EventLoopHandle::sendfile`].
    ///
    /// # Cancellation
    /// As [`EventLoopHandle::sendfile`].
    ///
    /// # Python
    /// `loop.sendfile(writer.transport, file, offset, count)`.
    pub fn sendfile<'a, F: AsFd>(&'a mut self, file: &'a F, offset: u64, count: Option<u64>) -> Sendfile<'a> {
        Sendfile { connection: self.unwaited(), file: file.as_fd(), offset, count, may_copy: true }
    }
}

/// The options of sending a file; await it to send.
#[must_use = "does nothing until it is awaited"]
pub struct Sendfile<'a> {
    connection: &'a Rc<Connection>,
    file: BorrowedFd<'a>,
    offset: u64,
    count: Option<u64>,
    may_copy: bool,
}

impl Sendfile<'_> {
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

impl<'a> IntoFuture for Sendfile<'a> {
    type Output = Result<u64, SendError<u64>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl Sendfile<'_> {
    async fn send(self) -> Result<u64, SendError<u64>> {
        let kernel = &*self.connection.event_loop().inner.kernel;
        let mut part = Part::new(kernel, self.file, self.offset, self.count);
        match self.send_part(&mut part).await {
            Ok(()) => Ok(part.sent()),
            Err(error) => Err(SendError::new(error.during("sendfile"), part.sent())),
        }
    }

    async fn send_part(&self, part: &mut Part<'_>) -> Result<()> {
        let connection = self.connection;
        if connection.has_tls() {
            return self.encrypt(part).await;
        }
        let _queued = connection.begin_file()?;
        let _reading = Paused::begin(connection);
        connection.until(Until::FilesTurn).await?;
        part.send_all(&mut ThroughConnection { connection, transfers: 0 }, self.may_copy).await
    }

    /// Sends through a TLS session, which the system can't.
    async fn encrypt(&self, part: &mut Part<'_>) -> Result<()> {
        let connection = self.connection;
        if !self.may_copy {
            let message = "the system can't send a file through TLS";
            return Err(io::Error::new(io::ErrorKind::Unsupported, message).into());
        }
        let _reading = Paused::begin(connection);
        part.copy_by(async |data| {
            connection.until(Until::Resumed).await?;
            connection.check_open()?;
            connection.write(data)?;
            Ok(connection.event_loop().yield_now().await?)
        })
        .await?;
        connection.until(Until::Empty).await
    }
}

/// A connection that does not read, if it did.
struct Paused<'a>(Option<&'a Rc<Connection>>);

impl<'a> Paused<'a> {
    fn begin(connection: &'a Rc<Connection>) -> Self {
        let reads = connection.protocol().is_some() && connection.is_reading();
        if reads {
            connection.pause_reading();
        }
        Self(reads.then_some(connection))
    }
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.0 {
            connection.resume_reading();
        }
    }
}

/// Is how many transfers are made before others have their turn.
const TRANSFERS_PER_TURN: u32 = 16;

/// A connection, when it is the file's turn.
struct ThroughConnection<'a> {
    connection: &'a Rc<Connection>,
    transfers: u32,
}

impl Way for ThroughConnection<'_> {
    async fn run(&mut self, mut attempt: impl FnMut(&dyn Kernel, Fd) -> io::Result<usize>) -> Result<usize> {
        loop {
            if let Some(moved) = self.connection.try_send_with(&mut attempt)? {
                return Ok(moved);
            }
            self.transfers = 0;
            self.connection.until(Until::Writable).await?;
        }
    }

    fn sends_by(&self) -> SendBy {
        if self.connection.is_written_as_file() { |kernel, fd, data| kernel.write(fd, data) } else { by_send }
    }

    fn can_sendfile(&self) -> bool {
        !self.connection.would_wait_for_room()
    }

    async fn moved(&mut self) -> Result<()> {
        self.transfers += 1;
        if self.transfers == TRANSFERS_PER_TURN {
            self.transfers = 0;
            self.connection.event_loop().yield_now().await?;
        }
        Ok(())
    }
}

impl fmt::Debug for Sendfile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connection, file, offset, .. } = self;
        write!(f, "Sendfile({file:?} from {offset} on, to {connection:?})")
    }
}

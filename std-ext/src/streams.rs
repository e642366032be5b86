//! Streams: the two halves of a connection, for tasks.

use core::fmt;
use std::rc::Rc;

use crate::net::address::Address;
use crate::net::connection::{Connection, SharedBuffer, Until};
use crate::net::options::SocketOptions;
use crate::sources::Direction;
use crate::{Error, ErrorKind, Result};

/// Is the most bytes that a reader buffers at first, as in asyncio.
pub(crate) const DEFAULT_LIMIT: usize = 64 * 1024;

/// Splits a connection into its halves.
pub(crate) fn open(connection: Rc<Connection>, limit: usize) -> (StreamReader, StreamWriter) {
    let reader = StreamReader {
        connection: Rc::clone(&connection),
        buffer: Vec::new(),
        start: 0,
        limit: limit.max(1),
        has_ended: false,
    };
    (reader, StreamWriter { connection })
}

/// Reads from a connection.
///
/// What was received and not yet read stays in a buffer, which belongs to the
/// reader, starts empty and never exceeds the limit that the server was given.
///
/// # Python
/// `asyncio.StreamReader`.
pub struct StreamReader {
    connection: Rc<Connection>,
    /// Invariant: `buffer[start..]` was received and not read.
    buffer: Vec<u8>,
    start: usize,
    limit: usize,
    has_ended: bool,
}

impl StreamReader {
    /// Returns the address of the peer.
    #[must_use]
    pub fn peer_addr(&self) -> Address {
        self.connection.peer_addr()
    }

    /// Tells whether the peer has ended the stream and all of it was read.
    ///
    /// # Python
    /// `reader.at_eof()`.
    #[must_use]
    pub fn at_eof(&self) -> bool {
        self.has_ended && self.buffered().is_empty()
    }

    /// Waits until there may be something to read, or the end of the stream.
    ///
    /// A task that waits here owns no buffer at all; [`StreamReader::try_read_with`]
    /// then lends it the loop's.
    ///
    /// # Errors
    /// If the task is cancelled, another task waits for the same connection
    /// (`Busy`), or the connection was closed.
    ///
    /// # Cancellation
    /// Safe: nothing is read.
    pub async fn readable(&mut self) -> Result<()> {
        if !self.buffered().is_empty() || self.has_ended {
            return Ok(());
        }
        self.connection.ready(Direction::Read).await
    }

    /// Calls `look` with what there is to read, all of which then counts as
    /// read; `None` if there is nothing at the moment. An empty slice is the end
    /// of the stream.
    ///
    /// # Errors
    /// If the connection broke or was closed.
    pub fn try_read_with<R>(&mut self, look: impl FnOnce(&[u8]) -> R) -> Result<Option<R>> {
        if !self.buffered().is_empty() {
            let result = look(self.buffered());
            self.start = self.buffer.len();
            return Ok(Some(result));
        }
        if self.has_ended {
            return Ok(Some(look(&[])));
        }
        let mut shared = SharedBuffer::take(self.connection.event_loop());
        let received = self.connection.try_receive(&mut shared.bytes)?;
        self.has_ended = received == Some(0);
        Ok(received.map(|received| look(&shared.bytes[..received])))
    }

    /// Reads into `buffer`: at least a byte, unless it is empty or the stream
    /// has ended; zero is the end.
    ///
    /// # Errors
    /// As [`StreamReader::readable`], or if the connection broke.
    ///
    /// # Cancellation
    /// Safe: a byte is either in `buffer` or still to be read.
    ///
    /// # Python
    /// `await reader.read(n)`.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let buffered = self.buffered();
        if !buffered.is_empty() || buffer.is_empty() {
            let count = buffered.len().min(buffer.len());
            buffer[..count].copy_from_slice(&buffered[..count]);
            self.start += count;
            return Ok(count);
        }
        loop {
            if self.has_ended {
                return Ok(0);
            }
            if let Some(received) = self.connection.try_receive(buffer)? {
                self.has_ended = received == 0;
                return Ok(received);
            }
            self.connection.ready(Direction::Read).await?;
        }
    }

    /// Reads a line, with its `\n`. Without one at the end of the stream: what
    /// was left, and then nothing.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] if the line is longer than the limit: all of it
    /// is still to be read. As [`StreamReader::read`].
    ///
    /// # Cancellation
    /// Safe: what was received stays in the buffer.
    ///
    /// # Python
    /// `await reader.readline()`, which on overrun drops what it received.
    pub async fn read_line(&mut self) -> Result<&[u8]> {
        self.read_until(b'\n').await
    }

    /// Reads up to and with `separator`. See [`StreamReader::read_line`].
    ///
    /// # Errors
    /// As [`StreamReader::read_line`].
    ///
    /// # Cancellation
    /// Safe: what was received stays in the buffer.
    ///
    /// # Python
    /// `await reader.readuntil(separator)`, which raises `IncompleteReadError` at
    /// the end of the stream.
    pub async fn read_until(&mut self, separator: u8) -> Result<&[u8]> {
        let mut searched = 0;
        let count = loop {
            let buffered = self.buffered();
            let found = buffered[searched..].iter().position(|&byte| byte == separator);
            if let Some(found) = found {
                break searched + found + 1;
            }
            searched = buffered.len();
            if self.has_ended {
                break searched;
            }
            if searched >= self.limit {
                let message = format!("no separator within {} bytes, the reader's limit", self.limit);
                return Err(Error::of(ErrorKind::TooLarge, message));
            }
            self.receive().await?;
        };
        let start = self.start;
        self.start += count;
        Ok(&self.buffer[start..start + count])
    }

    /// Fills `buffer`.
    ///
    /// # Errors
    /// `Io` with `UnexpectedEof` if the stream ends before: what came is still
    /// to be read, if it fits into the reader's limit. As [`StreamReader::read`].
    ///
    /// # Cancellation
    /// Safe for a `buffer` no longer than the limit.
    ///
    /// # Python
    /// `await reader.readexactly(n)`.
    pub async fn read_exactly(&mut self, buffer: &mut [u8]) -> Result<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            let missing = buffer.len() - filled;
            while self.buffered().len() < missing.min(self.limit) && !self.has_ended {
                self.receive().await?;
            }
            let count = self.buffered().len().min(missing);
            if count < missing && self.has_ended {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
            buffer[filled..filled + count].copy_from_slice(&self.buffered()[..count]);
            self.start += count;
            filled += count;
        }
        Ok(())
    }

    fn buffered(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Receives more into the buffer, which has room below the limit.
    async fn receive(&mut self) -> Result<()> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        loop {
            if self.try_fill()? {
                return Ok(());
            }
            self.connection.ready(Direction::Read).await?;
        }
    }

    /// Appends what there is to the buffer; false if there is nothing at the
    /// moment.
    fn try_fill(&mut self) -> Result<bool> {
        let mut shared = SharedBuffer::take(self.connection.event_loop());
        let room = shared.bytes.len().min(self.limit - self.buffer.len());
        let Some(received) = self.connection.try_receive(&mut shared.bytes[..room])? else {
            return Ok(false);
        };
        self.buffer.extend_from_slice(&shared.bytes[..received]);
        self.has_ended = received == 0;
        Ok(true)
    }
}

impl Drop for StreamReader {
    fn drop(&mut self) {
        close_unheld(&self.connection);
    }
}

/// Closes a connection when the last of its halves goes; what was written is
/// sent first.
fn close_unheld(connection: &Rc<Connection>) {
    let by_loop = usize::from(connection.is_driven());
    if Rc::strong_count(connection) == 1 + by_loop {
        connection.close();
    }
}

impl fmt::Debug for StreamReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamReader({:?}, {} bytes buffered)", self.connection, self.buffered().len())
    }
}

/// Writes to a connection.
///
/// [`StreamWriter::write_all`] goes on when the kernel has taken all bytes, so a
/// slow peer holds up the task and no memory. [`StreamWriter::write`] doesn't
/// wait and queues what the kernel doesn't take;
/// [`StreamWriter::drain`] waits until that is not too much any more.
///
/// # Python
/// `asyncio.StreamWriter`.
#[derive(Debug)]
pub struct StreamWriter {
    connection: Rc<Connection>,
}

impl StreamWriter {
    /// Returns the address of the peer.
    ///
    /// # Python
    /// `writer.get_extra_info('peername')`.
    #[must_use]
    pub fn peer_addr(&self) -> Address {
        self.connection.peer_addr()
    }

    /// Returns the address of our side; `None` if the system doesn't tell.
    ///
    /// # Python
    /// `writer.get_extra_info('sockname')`.
    #[must_use]
    pub fn local_addr(&self) -> Option<Address> {
        self.connection.local_addr()
    }

    /// Returns the options of the socket.
    ///
    /// # Errors
    /// If the connection is closed.
    pub fn socket_options(&self) -> Result<SocketOptions<'_>> {
        Ok(SocketOptions::new(self.connection.event_loop(), self.connection.fd()?))
    }

    /// Writes `data` without waiting: what the kernel doesn't take now is sent in
    /// the background. [`drain`](Self::drain) belongs to it.
    ///
    /// # Errors
    /// `Full` if the rest could be more than may be buffered: nothing was taken.
    /// `InvalidState` after [`write_eof`](Self::write_eof); or if the connection
    /// broke or was closed.
    ///
    /// # Python
    /// `writer.write(data)`.
    pub fn write(&mut self, data: &[u8]) -> Result<()> {
        self.check()?;
        self.connection.drive()?;
        self.connection.write(data)
    }

    /// Sends the first part of `data` without waiting, and returns its length; 0
    /// if nothing can be sent at the moment.
    ///
    /// # Errors
    /// If the connection broke or was closed; `Busy` while something is queued by
    /// [`write`](Self::write).
    pub fn try_write(&mut self, data: &[u8]) -> Result<usize> {
        self.check()?;
        if self.connection.queued() > 0 {
            return Err(Error::of(ErrorKind::Busy, "what was written before is still to be sent"));
        }
        if data.is_empty() {
            return Ok(0);
        }
        Ok(self.connection.try_send(data)?.unwrap_or(0))
    }

    /// Waits until what [`write`](Self::write) left behind is down to the
    /// low-water mark, if it was above the high one.
    ///
    /// # Errors
    /// If the task is cancelled, or the connection broke or was closed.
    ///
    /// # Cancellation
    /// Safe: what was written is sent all the same.
    ///
    /// # Python
    /// `await writer.drain()`.
    pub async fn drain(&mut self) -> Result<()> {
        self.connection.until(Until::Resumed).await
    }

    /// Writes all of `data`.
    ///
    /// # Errors
    /// If the task is cancelled, another task waits to write to the same
    /// connection (`Busy`), or the connection broke or was closed. How much was
    /// written is then unknown, as in asyncio (contract SK-3).
    ///
    /// # Cancellation
    /// A part may have been written.
    ///
    /// # Python
    /// `writer.write(data)` and `await writer.drain()`.
    pub async fn write_all(&mut self, mut data: &[u8]) -> Result<()> {
        self.check()?;
        if self.connection.is_driven() {
            return self.queue_all(data).await;
        }
        while !data.is_empty() {
            match self.connection.try_send(data)? {
                Some(sent) => data = &data[sent..],
                None => self.connection.ready(Direction::Write).await?,
            }
        }
        Ok(())
    }

    /// Writes all of `data` after what is queued already, a piece at a time.
    async fn queue_all(&mut self, data: &[u8]) -> Result<()> {
        for piece in data.chunks(self.connection.write_buffer_limits().high().max(1)) {
            self.connection.until(Until::Empty).await?;
            self.connection.write(piece)?;
        }
        self.connection.until(Until::Empty).await
    }

    fn check(&self) -> Result<()> {
        if self.connection.is_closing() && !self.connection.is_closed() {
            return Err(rondel_core::Refusal::Closed.into());
        }
        Ok(())
    }

    /// Ends our side of the stream after what was written; the peer reads the
    /// end, and may go on writing.
    ///
    /// # Errors
    /// If the connection broke or was closed.
    ///
    /// # Python
    /// `writer.write_eof()`.
    pub fn write_eof(&mut self) -> Result<()> {
        if self.connection.is_closing() {
            return Err(rondel_core::Refusal::Closed.into());
        }
        self.connection.write_eof()
    }

    /// Tells whether our side can end and reading go on.
    ///
    /// # Python
    /// `writer.can_write_eof()`.
    #[must_use]
    pub fn can_write_eof(&self) -> bool {
        true
    }

    /// Closes the connection, both halves, after what was written. A second
    /// close does nothing.
    ///
    /// # Python
    /// `writer.close()`.
    pub fn close(&mut self) {
        self.connection.close();
    }

    /// Tells whether the connection is closing, or closed.
    ///
    /// # Python
    /// `writer.is_closing()`.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.connection.is_closing()
    }

    /// Waits until the connection is closed and its socket given back.
    ///
    /// # Errors
    /// If the task is cancelled, or there is no room for the wait.
    ///
    /// # Cancellation
    /// Safe.
    ///
    /// # Python
    /// `await writer.wait_closed()`.
    pub async fn wait_closed(&mut self) -> Result<()> {
        self.connection.until(Until::Closed).await
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        close_unheld(&self.connection);
    }
}

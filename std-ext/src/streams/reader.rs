//! The half that reads.

use core::fmt;
use core::future::{Future, poll_fn};
use core::ops::{Deref, DerefMut};
use core::task::{Context as PollContext, Poll, ready};
use std::io;
use std::rc::Rc;

use super::{DEFAULT_LIMIT, IncompleteRead, close_unheld};
use crate::net::address::Address;
use crate::net::connection::{Connection, Halves};
use crate::net::read_buffer::SharedBuffer;
use crate::sources::Direction;
use crate::{Error, ErrorKind, Result};

/// Reads from a connection.
///
/// What was received and not yet read stays in a buffer, which belongs to the
/// reader, starts empty and never exceeds the `limit` that was set where the reader
/// was asked for.
///
/// A task that reads on and on from a peer that is as fast gives way to others
/// after 64 operations.
///
/// # Python
/// `asyncio.StreamReader`.
pub struct StreamReader {
    connection: Rc<Connection>,
    /// Is made when something is received and not read at once, or for a limit of the user's.
    ahead: Option<Box<ReadAhead>>,
}

/// What a reader has received and not read.
struct ReadAhead {
    /// Invariant: `bytes[start..]` was received and not read.
    bytes: Vec<u8>,
    start: usize,
    /// Is the most bytes that are kept here.
    limit: usize,
}

impl Default for ReadAhead {
    fn default() -> Self {
        Self { bytes: Vec::new(), start: 0, limit: DEFAULT_LIMIT }
    }
}

impl ReadAhead {
    fn unread(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

// A task that waits for a stream keeps it, twice if it is an `async fn`.
const _: () = assert!(size_of::<StreamReader>() <= 16);

impl StreamReader {
    pub(super) fn new(connection: Rc<Connection>, limit: usize) -> Self {
        // A reader before this one may have come to the end of what was not encrypted.
        connection.unset_half(Halves::HAS_ENDED);
        let mut reader = Self { connection, ahead: None };
        if limit != DEFAULT_LIMIT {
            reader.ahead_mut().limit = limit.max(1);
        }
        reader
    }

    fn ahead_mut(&mut self) -> &mut ReadAhead {
        self.ahead.get_or_insert_default()
    }

    /// Returns the most bytes that are received and not read.
    fn limit(&self) -> usize {
        self.ahead.as_ref().map_or(DEFAULT_LIMIT, |ahead| ahead.limit)
    }

    fn has_ended(&self) -> bool {
        self.connection.has_half(Halves::HAS_ENDED)
    }

    /// Takes out what was received and not read.
    #[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "only TLS uses it"))]
    pub(crate) fn take_buffered(&mut self) -> Vec<u8> {
        let Some(ahead) = &mut self.ahead else { return Vec::new() };
        let unread = ahead.bytes.split_off(ahead.start);
        (ahead.bytes, ahead.start) = (Vec::new(), 0);
        unread
    }

    /// Returns the address of the peer.
    ///
    /// # Python
    /// `writer.get_extra_info('peername')`.
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
        self.has_ended() && self.buffered().is_empty()
    }

    /// Returns what was received and not read: after an error of
    /// [`read_until`](Self::read_until) or [`read_exactly`](Self::read_exactly) what
    /// there was.
    #[must_use]
    #[inline]
    pub fn buffered(&self) -> &[u8] {
        self.ahead.as_deref().map_or(&[], ReadAhead::unread)
    }

    /// Waits until there may be something to read, or the end of the stream.
    ///
    /// A task that waits here owns no buffer at all; [`StreamReader::try_read_with`]
    /// then lends it the loop's.
    ///
    /// # Errors
    /// If the task is cancelled, or the connection was closed.
    ///
    /// # Cancellation
    /// Safe: nothing is read.
    #[inline]
    pub fn readable(&mut self) -> impl Future<Output = Result<()>> {
        let this = Waiting(self);
        poll_fn(move |cx| this.poll_readable(cx))
    }

    #[inline]
    fn poll_readable(&self, cx: &mut PollContext<'_>) -> Poll<Result<()>> {
        if !self.buffered().is_empty() || self.has_ended() {
            return Poll::Ready(Ok(()));
        }
        self.connection.poll_with(Direction::Read, cx, |connection| {
            connection.check()?;
            Ok(connection.is_ready(Direction::Read).then_some(()))
        })
    }

    /// Calls `look` with what there is to read, all of which then counts as
    /// read; `None` if there is nothing at the moment. An empty slice is the end
    /// of the stream.
    ///
    /// # Errors
    /// If the connection broke or was closed.
    pub fn try_read_with<R>(&mut self, look: impl FnOnce(&[u8]) -> R) -> Result<Option<R>> {
        if let Some(ahead) = &mut self.ahead
            && !ahead.unread().is_empty()
        {
            let result = look(ahead.unread());
            ahead.start = ahead.bytes.len();
            return Ok(Some(result));
        }
        if self.has_ended() {
            return Ok(Some(look(&[])));
        }
        let mut shared = SharedBuffer::take(self.connection.event_loop());
        let received = try_receive(&self.connection, &mut shared.bytes)?;
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
    #[inline]
    pub fn read(&mut self, buffer: &mut [u8]) -> impl Future<Output = Result<usize>> {
        let mut this = Waiting(self);
        poll_fn(move |cx| this.poll_read(cx, buffer))
    }

    /// Polls a read; what is pending stays with the reader.
    #[inline]
    pub(super) fn poll_read(&mut self, cx: &mut PollContext<'_>, buffer: &mut [u8]) -> Poll<Result<usize>> {
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let Self { connection, ahead } = self;
        connection.poll_with(Direction::Read, cx, |connection| {
            if let Some(ahead) = ahead
                && !ahead.unread().is_empty()
            {
                let count = ahead.unread().len().min(buffer.len());
                buffer[..count].copy_from_slice(&ahead.unread()[..count]);
                ahead.start += count;
                return Ok(Some(count));
            }
            if connection.has_half(Halves::HAS_ENDED) {
                return Ok(Some(0));
            }
            try_receive(connection, buffer)
        })
    }

    /// Reads to the end of the stream, and appends it to `data`; returns how many
    /// bytes that were. More than `limit` bytes are not taken.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] if there is more than `limit` bytes: those are in
    /// `data`, and the rest is still to be read. As [`StreamReader::read`].
    ///
    /// # Cancellation
    /// Safe: a byte is either in `data` or still to be read.
    ///
    /// # Python
    /// `await reader.read(-1)`, which has no limit.
    pub async fn read_to_end(&mut self, data: &mut Vec<u8>, limit: usize) -> Result<usize> {
        let mut count = 0;
        loop {
            let part = self.buffered().len().min(limit - count);
            data.extend_from_slice(&self.buffered()[..part]);
            self.consume(part);
            count += part;
            if !self.buffered().is_empty() {
                let message = format!("the stream has more than the {limit} bytes that were asked for");
                return Err(Error::of(ErrorKind::TooLarge, message));
            }
            if self.has_ended() {
                return Ok(count);
            }
            self.receive().await?;
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
        let count = self.find(b"\n").await?;
        Ok(self.take(count.unwrap_or(self.buffered().len())))
    }

    /// Reads a line, with its `\n`; `None` at the end of the stream.
    ///
    /// ```
    /// # async fn sum(mut reader: rondel::StreamReader) -> rondel::Result<usize> {
    /// let mut sum = 0;
    /// while let Some(line) = reader.next_line().await? {
    ///     sum += line.len();
    /// }
    /// # Ok(sum)
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`StreamReader::read_line`].
    ///
    /// # Cancellation
    /// As [`StreamReader::read_line`].
    ///
    /// # Python
    /// `async for line in reader`.
    pub async fn next_line(&mut self) -> Result<Option<&[u8]>> {
        let line = self.read_line().await?;
        Ok(if line.is_empty() { None } else { Some(line) })
    }

    /// Reads up to and with `separator`, of one byte or several.
    ///
    /// # Errors
    /// `Io` with `UnexpectedEof` if the stream ends before, and then
    /// [`Error::as_incomplete_read`] tells how much there was;
    /// [`ErrorKind::TooLarge`] if there is no separator within the limit. Either
    /// way everything is still to be read. `InvalidInput` if the separator is
    /// empty; as [`StreamReader::read`].
    ///
    /// # Cancellation
    /// Safe: what was received stays in the buffer.
    ///
    /// # Python
    /// `await reader.readuntil(separator)`, whose `IncompleteReadError` takes along
    /// what there was.
    pub async fn read_until(&mut self, separator: impl AsRef<[u8]>) -> Result<&[u8]> {
        let Some(count) = self.find(separator.as_ref()).await? else {
            return Err(IncompleteRead { partial: self.buffered().len(), expected: None }.into());
        };
        Ok(self.take(count))
    }

    /// Receives until a separator is in the buffer, and returns where it ends;
    /// `None` if the stream ends before.
    async fn find(&mut self, separator: &[u8]) -> Result<Option<usize>> {
        if separator.is_empty() {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "the separator is empty");
            return Err(error.into());
        }
        self.begin().await?;
        let mut searched = 0;
        loop {
            let buffered = self.buffered();
            if let Some(found) = position(&buffered[searched..], separator) {
                return Ok(Some(searched + found + separator.len()));
            }
            if self.has_ended() {
                return Ok(None);
            }
            if buffered.len() >= self.limit() {
                let message = format!("no separator within {} bytes, the reader's limit", self.limit());
                return Err(Error::of(ErrorKind::TooLarge, message));
            }
            // Its first part may be there already.
            searched = buffered.len().saturating_sub(separator.len() - 1);
            self.receive().await?;
        }
    }

    /// Fills `buffer`.
    ///
    /// # Errors
    /// `Io` with `UnexpectedEof` if the stream ends before, and then
    /// [`Error::as_incomplete_read`] tells how much there was. That is still to be
    /// read, unless it is more than the reader's limit: then `buffer` begins with
    /// what isn't. As [`StreamReader::read`].
    ///
    /// # Cancellation
    /// Safe for a `buffer` no longer than the limit.
    ///
    /// # Python
    /// `await reader.readexactly(n)`.
    pub async fn read_exactly(&mut self, buffer: &mut [u8]) -> Result<()> {
        self.begin().await?;
        let mut filled = 0;
        while filled < buffer.len() {
            let missing = buffer.len() - filled;
            while self.buffered().len() < missing.min(self.limit()) && !self.has_ended() {
                self.receive().await?;
            }
            let count = self.buffered().len().min(missing);
            if count < missing && self.has_ended() {
                let incomplete = IncompleteRead { partial: filled + count, expected: Some(buffer.len()) };
                return Err(incomplete.into());
            }
            buffer[filled..filled + count].copy_from_slice(&self.buffered()[..count]);
            self.consume(count);
            filled += count;
        }
        Ok(())
    }

    /// Counts what there is in the buffer as read, up to `count` bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        self.take(count.min(self.buffered().len()));
    }

    /// Reads what is in the buffer.
    fn take(&mut self, count: usize) -> &[u8] {
        let Some(ahead) = &mut self.ahead else { return &[] };
        let start = ahead.start;
        ahead.start += count;
        &ahead.bytes[start..start + count]
    }

    /// Counts an operation that may find all it needs in the buffer.
    #[inline]
    fn begin(&mut self) -> impl Future<Output = Result<()>> {
        let this = Waiting(self);
        poll_fn(move |cx| this.connection.poll_with(Direction::Read, cx, |_| Ok(Some(()))))
    }

    /// Receives more into the buffer, which has room below the limit.
    fn receive(&mut self) -> impl Future<Output = Result<()>> {
        let mut this = Waiting(self);
        poll_fn(move |cx| this.poll_receive(cx))
    }

    #[inline]
    pub(super) fn poll_receive(&mut self, cx: &mut PollContext<'_>) -> Poll<Result<()>> {
        let Self { connection, ahead } = self;
        connection.poll_with(Direction::Read, cx, |connection| {
            let ahead = ahead.get_or_insert_default();
            if ahead.start > 0 {
                ahead.bytes.drain(..ahead.start);
                ahead.start = 0;
            }
            let mut shared = SharedBuffer::take(connection.event_loop());
            let room = shared.bytes.len().min(ahead.limit - ahead.bytes.len());
            let Some(received) = try_receive(connection, &mut shared.bytes[..room])? else {
                return Ok(None);
            };
            ahead.bytes.extend_from_slice(&shared.bytes[..received]);
            connection.event_loop().inner.meters.read_buffer.note(ahead.bytes.len());
            Ok(Some(()))
        })
    }

    /// Polls for bytes in the buffer; there are none at the end.
    pub(crate) fn poll_buffered(&mut self, cx: &mut PollContext<'_>) -> Poll<Result<&[u8]>> {
        if self.buffered().is_empty() && !self.has_ended() {
            ready!(self.poll_receive(cx))?;
        }
        Poll::Ready(Ok(self.buffered()))
    }
}

/// Receives into `buffer`, which is not empty, and notes the end of the stream.
fn try_receive(connection: &Connection, buffer: &mut [u8]) -> Result<Option<usize>> {
    let received = connection.try_receive(buffer)?;
    if received == Some(0) {
        connection.set_half(Halves::HAS_ENDED);
    }
    Ok(received)
}

/// Finds where `separator`, which is not empty, begins.
fn position(data: &[u8], separator: &[u8]) -> Option<usize> {
    match separator {
        [byte] => data.iter().position(|found| found == byte),
        _ => data.windows(separator.len()).position(|found| found == separator),
    }
}

/// A reader that may be waiting: the wait is taken back when this is dropped.
///
/// The operations are made of one and a closure: an `async fn` keeps what it was given twice, and would be
/// three times as large in the future of each task that waits.
struct Waiting<'a>(&'a mut StreamReader);

impl Deref for Waiting<'_> {
    type Target = StreamReader;

    #[inline]
    fn deref(&self) -> &StreamReader {
        self.0
    }
}

impl DerefMut for Waiting<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut StreamReader {
        self.0
    }
}

impl Drop for Waiting<'_> {
    #[inline]
    fn drop(&mut self) {
        self.connection.stop_waiting(Direction::Read);
    }
}

impl Drop for StreamReader {
    fn drop(&mut self) {
        self.connection.stop_waiting(Direction::Read);
        close_unheld(&self.connection);
    }
}

impl fmt::Debug for StreamReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamReader({:?}, {} bytes buffered)", self.connection, self.buffered().len())
    }
}

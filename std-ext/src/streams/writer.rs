//! The half that writes.

use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context as PollContext, Poll, ready};
use std::io::IoSlice;
use std::rc::Rc;

use super::close_unheld;
use crate::net::address::Address;
use crate::net::connection::{Connection, Halves, Until};
use crate::net::flow::WriteBufferLimits;
use crate::net::options::SocketOptions;
use crate::sources::Direction;
use crate::{Error, ErrorKind, EventLoopHandle, Result};

/// Is how much of a write without waiting a TLS session takes at once.
const TLS_PIECE: usize = 64 * 1024;

/// Writes to a connection.
///
/// [`StreamWriter::write_all`] goes on when the kernel has taken all bytes, so a
/// slow peer holds up the task and no memory. [`StreamWriter::write`] doesn't
/// wait and queues what the kernel doesn't take;
/// [`StreamWriter::drain`] waits until that is not too much any more.
///
/// # Python
/// `asyncio.StreamWriter`.
pub struct StreamWriter {
    connection: Rc<Connection>,
}

impl StreamWriter {
    #[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "only TLS uses it"))]
    pub(crate) fn connection(&self) -> Rc<Connection> {
        Rc::clone(&self.connection)
    }

    pub(super) fn new(connection: Rc<Connection>) -> Self {
        Self { connection }
    }

    /// Returns the loop.
    #[must_use]
    pub fn event_loop(&self) -> &EventLoopHandle {
        self.connection.event_loop()
    }

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
    ///
    /// # Python
    /// `writer.get_extra_info('socket')`.
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
        self.unwaited().drive()?;
        self.connection.write(data)
    }

    /// Writes all of `bufs`, in their order, without waiting: with one system call
    /// where that is possible. Otherwise as [`write`](Self::write).
    ///
    /// # Errors
    /// As [`write`](Self::write).
    ///
    /// # Python
    /// `writer.writelines(list_of_data)`.
    pub fn writelines(&mut self, bufs: &[IoSlice<'_>]) -> Result<()> {
        self.check()?;
        self.unwaited().drive()?;
        self.connection.write_vectored(bufs)
    }

    /// Sets the marks between which [`drain`](Self::drain) waits.
    ///
    /// # Python
    /// `writer.transport.set_write_buffer_limits(high, low)`.
    pub fn set_write_buffer_limits(&mut self, limits: WriteBufferLimits) {
        self.connection.set_write_buffer_limits(limits);
    }

    /// Returns the marks.
    ///
    /// # Python
    /// `writer.transport.get_write_buffer_limits()`.
    #[must_use]
    pub fn write_buffer_limits(&self) -> WriteBufferLimits {
        self.connection.write_buffer_limits()
    }

    /// Counts the bytes that were written and not sent yet.
    ///
    /// # Python
    /// `writer.transport.get_write_buffer_size()`.
    #[must_use]
    pub fn write_buffer_size(&self) -> usize {
        self.connection.queued()
    }

    /// Sends the first part of `data` without waiting, and returns its length; 0
    /// if nothing can be sent at the moment.
    ///
    /// # Errors
    /// If the connection broke or was closed; `Busy` while something is queued by
    /// [`write`](Self::write).
    pub fn try_write(&mut self, data: &[u8]) -> Result<usize> {
        if self.connection.writes_at_once() && !data.is_empty() {
            return Ok(self.connection.try_send(data)?.unwrap_or(0));
        }
        self.try_write_otherwise(data)
    }

    fn try_write_otherwise(&mut self, data: &[u8]) -> Result<usize> {
        self.check()?;
        if self.connection.queued() > 0 {
            return Err(Error::of(ErrorKind::Busy, "what was written before is still to be sent"));
        }
        if data.is_empty() {
            return Ok(0);
        }
        if self.connection.has_tls() {
            let piece = &data[..data.len().min(TLS_PIECE)];
            self.connection.write(piece)?;
            return Ok(piece.len());
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
        let this = Waiting(self);
        while !data.is_empty() {
            let connection = &this.0.connection;
            let sent = poll_fn(|cx| {
                connection.poll_with(Direction::Write, cx, |connection| connection.try_send(data))
            });
            data = &data[sent.await?..];
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

    /// Returns the connection, for which no polled write waits any more.
    pub(crate) fn unwaited(&mut self) -> &Rc<Connection> {
        self.connection.stop_waiting(Direction::Write);
        &self.connection
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

    /// Tells whether our side can end and reading go on: not with TLS (contract
    /// TL-9).
    ///
    /// # Python
    /// `writer.can_write_eof()`.
    #[must_use]
    pub fn can_write_eof(&self) -> bool {
        !self.connection.has_tls()
    }

    /// Closes the connection, both halves, after what was written. A second
    /// close does nothing.
    ///
    /// # Python
    /// `writer.close()`.
    pub fn close(&mut self) {
        self.connection.close();
    }

    /// Ends the connection, both halves, without sending what is still queued.
    ///
    /// # Python
    /// `writer.transport.abort()`.
    pub fn abort(&mut self) {
        self.connection.abort();
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

/// The same, polled: what is pending stays with the writer.
#[cfg_attr(not(any(feature = "futures-io", feature = "tokio")), allow(dead_code, reason = "for the bridges"))]
impl StreamWriter {
    /// Writes a part of `data`, at least a byte unless it is empty.
    #[inline]
    pub(crate) fn poll_write(&mut self, cx: &mut PollContext<'_>, data: &[u8]) -> Poll<Result<usize>> {
        self.check()?;
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if self.connection.is_driven() {
            return self.poll_queue(cx, data);
        }
        self.connection.poll_with(Direction::Write, cx, |connection| connection.try_send(data))
    }

    /// Writes a part of `bufs`, at least a byte unless all are empty.
    #[inline]
    pub(super) fn poll_write_vectored(
        &mut self,
        cx: &mut PollContext<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let Some(first) = bufs.iter().find(|buf| !buf.is_empty()) else { return Poll::Ready(Ok(0)) };
        if self.connection.is_driven() {
            return self.poll_write(cx, first);
        }
        self.check()?;
        let asked = bufs.iter().map(|buf| buf.len()).sum();
        self.connection.poll_with(Direction::Write, cx, |it| it.try_send_vectored(bufs, asked))
    }

    /// Writes a part of `data` behind what is queued, when that is not too much.
    fn poll_queue(&mut self, cx: &mut PollContext<'_>, data: &[u8]) -> Poll<Result<usize>> {
        ready!(self.poll_until(cx, Until::Resumed))?;
        let count = data.len().min(self.connection.write_buffer_limits().high().max(1));
        self.connection.write(&data[..count])?;
        Poll::Ready(Ok(count))
    }

    /// Waits until all that was written is with the kernel.
    #[inline]
    pub(super) fn poll_flush(&mut self, cx: &mut PollContext<'_>) -> Poll<Result<()>> {
        if self.connection.queued() == 0 {
            return Poll::Ready(Ok(()));
        }
        self.poll_until(cx, Until::Empty)
    }

    /// Ends our side after what was written.
    pub(super) fn poll_end(&mut self, cx: &mut PollContext<'_>) -> Poll<Result<()>> {
        if self.connection.is_closing() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_flush(cx))?;
        if self.connection.has_tls() {
            // TLS ends on both sides at once (contract TL-9).
            self.connection.close();
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(self.write_eof())
    }

    fn poll_until(&mut self, cx: &mut PollContext<'_>, until: Until) -> Poll<Result<()>> {
        let mut drained = self.connection.until(until);
        if self.connection.unset_half(Halves::DRAINING) {
            drained = drained.resume();
        }
        let polled = Pin::new(&mut drained).poll(cx);
        if drained.suspend() {
            self.connection.set_half(Halves::DRAINING);
        }
        polled
    }
}

/// A writer that may be waiting: the wait is taken back when this is dropped.
struct Waiting<'a>(&'a mut StreamWriter);

impl Drop for Waiting<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.connection.stop_waiting(Direction::Write);
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        self.connection.stop_waiting(Direction::Write);
        if self.connection.unset_half(Halves::DRAINING) {
            drop(self.connection.until(Until::Empty).resume());
        }
        close_unheld(&self.connection);
    }
}

impl fmt::Debug for StreamWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamWriter({:?}, {} bytes queued)", self.connection, self.write_buffer_size())
    }
}

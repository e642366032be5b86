//! Transports: what a protocol, and everybody else, does with a connection.

use core::any::Any;
use core::fmt;
use std::io::IoSlice;
use std::rc::Rc;

use crate::net::address::Address;
use crate::net::connection::Connection;
use crate::net::flow::WriteBufferLimits;
use crate::net::options::SocketOptions;
use crate::protocol::{ProtocolRef, Seat, StreamProtocol};
use crate::{EventLoopHandle, Result};

/// A connection, as its protocol sees it. Cheap to clone.
///
/// The loop owns the connection: it lives until it is closed, aborted or lost,
/// whether anybody holds a `Transport` or not, and afterwards a `Transport` does
/// nothing any more.
///
/// # Python
/// `asyncio.Transport`.
#[derive(Clone)]
pub struct Transport {
    pub(crate) connection: Rc<Connection>,
}

impl Transport {
    /// Returns the loop.
    #[must_use]
    pub fn event_loop(&self) -> &EventLoopHandle {
        self.connection.event_loop()
    }

    /// Sends `data`: at once as far as the kernel takes it, the rest in the
    /// background, in order. The caller may use the bytes again when this
    /// returns (contract TR-10, TR-11).
    ///
    /// After a close, and when the connection is lost, the data is dropped and
    /// counted ([`EventLoopHandle::dropped_writes`], TR-13); an error of the
    /// connection arrives in `connection_lost`.
    ///
    /// # Errors
    /// `Full` if the rest could be more than the transport or the loop may
    /// buffer (`Config::write_buffer_bytes`, `write_buffers_bytes`): nothing of
    /// `data` was sent then (TR-24). `InvalidState` after
    /// [`write_eof`](Self::write_eof) (TR-12).
    ///
    /// # Python
    /// `transport.write(data)`, which has no ceiling.
    #[inline]
    pub fn write(&self, data: &[u8]) -> Result<()> {
        self.connection.write(data)
    }

    /// Sends all of `bufs`, in their order, with one system call where that is
    /// possible. Otherwise as [`write`](Self::write); the same marks hold (TR-19).
    ///
    /// # Errors
    /// As [`write`](Self::write).
    ///
    /// # Python
    /// `transport.writelines(list_of_data)`.
    pub fn writelines(&self, bufs: &[IoSlice<'_>]) -> Result<()> {
        self.connection.write_vectored(bufs)
    }

    /// Ends our side of the stream after everything that was written; the peer
    /// may go on. A second call does nothing, nor one while closing (TR-15).
    ///
    /// # Errors
    /// If the loop is closed.
    ///
    /// # Python
    /// `transport.write_eof()`.
    pub fn write_eof(&self) -> Result<()> {
        self.connection.write_eof()
    }

    /// Tells whether the transport can end its side and go on reading.
    ///
    /// # Python
    /// `transport.can_write_eof()`.
    #[must_use]
    pub fn can_write_eof(&self) -> bool {
        !self.connection.has_tls()
    }

    /// Ceases to read: the protocol gets no data until
    /// [`resume_reading`](Self::resume_reading). A second call does nothing, nor
    /// one while closing (TR-3).
    ///
    /// # Python
    /// `transport.pause_reading()`.
    pub fn pause_reading(&self) {
        self.connection.pause_reading();
    }

    /// Reads again; what has come meanwhile is delivered in a later turn.
    ///
    /// # Python
    /// `transport.resume_reading()`.
    pub fn resume_reading(&self) {
        self.connection.resume_reading();
    }

    /// Tells whether the transport reads: not paused, not at the end, not closing.
    ///
    /// # Python
    /// `transport.is_reading()`.
    #[must_use]
    pub fn is_reading(&self) -> bool {
        self.connection.is_reading()
    }

    /// Ceases to read, sends what was written, and then ends the connection:
    /// `connection_lost` follows in a later turn. A second call does nothing
    /// (TR-6).
    ///
    /// # Python
    /// `transport.close()`.
    pub fn close(&self) {
        self.connection.close();
    }

    /// Ends the connection without sending what is still in the buffer:
    /// `connection_lost` follows in a later turn (TR-7).
    ///
    /// # Python
    /// `transport.abort()`.
    pub fn abort(&self) {
        self.connection.abort();
    }

    /// Tells whether the transport is closing, or closed.
    ///
    /// # Python
    /// `transport.is_closing()`.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.connection.is_closing()
    }

    /// Sets the marks at which the protocol is told to pause and to resume
    /// writing, and looks at once whether that changes anything (TR-17).
    ///
    /// # Python
    /// `transport.set_write_buffer_limits(high, low)`.
    pub fn set_write_buffer_limits(&self, limits: WriteBufferLimits) {
        self.connection.set_write_buffer_limits(limits);
    }

    /// Returns the marks.
    ///
    /// # Python
    /// `transport.get_write_buffer_limits()`.
    #[must_use]
    pub fn write_buffer_limits(&self) -> WriteBufferLimits {
        self.connection.write_buffer_limits()
    }

    /// Counts the bytes that were written and not sent yet.
    ///
    /// # Python
    /// `transport.get_write_buffer_size()`.
    #[must_use]
    pub fn write_buffer_size(&self) -> usize {
        self.connection.queued()
    }

    /// Returns the address of the peer; also when the connection is over (TR-22).
    ///
    /// # Python
    /// `transport.get_extra_info('peername')`.
    #[must_use]
    pub fn peer_addr(&self) -> Address {
        self.connection.peer_addr()
    }

    /// Returns the address of our side; also when the connection is over. `None`
    /// if the system doesn't tell.
    ///
    /// # Python
    /// `transport.get_extra_info('sockname')`.
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
    /// `transport.get_extra_info('socket')` and its `setsockopt`.
    pub fn socket_options(&self) -> Result<SocketOptions<'_>> {
        Ok(SocketOptions::new(self.event_loop(), self.connection.fd()?))
    }

    /// Has another protocol told of everything from now on; not of what the
    /// method in progress has caused already. It is not told that the connection
    /// was made (TR-21).
    ///
    /// # Python
    /// `transport.set_protocol(protocol)`.
    pub fn set_protocol<P, Kind>(&self, protocol: P) -> ProtocolRef<P>
    where
        P: StreamProtocol<Kind>,
        Kind: 'static,
    {
        let seat = Seat::new(protocol);
        self.connection.set_protocol(Rc::<Seat<P, Kind>>::clone(&seat) as _);
        ProtocolRef::new(seat)
    }

    /// Returns the protocol, if it is of this type and the connection not over.
    ///
    /// # Python
    /// `transport.get_protocol()`.
    #[must_use]
    pub fn protocol<P, Kind>(&self) -> Option<ProtocolRef<P>>
    where
        P: StreamProtocol<Kind>,
        Kind: 'static,
    {
        let seat: Rc<dyn Any> = self.connection.protocol()?.as_any();
        Some(ProtocolRef::new(seat.downcast::<Seat<P, Kind>>().ok()?))
    }
}

impl PartialEq for Transport {
    /// Tells whether both are the same connection.
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.connection, &other.connection)
    }
}

impl Eq for Transport {}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transport({:?})", self.connection)
    }
}

impl EventLoopHandle {
    /// Counts the writes that were dropped because their transport was closing
    /// or gone (contract TR-13, TR-14).
    #[must_use]
    pub fn dropped_writes(&self) -> u64 {
        self.inner.dropped_writes.get()
    }

    /// Counts the bytes that all transports of the loop have still to send.
    #[must_use]
    pub fn write_buffers_size(&self) -> usize {
        self.inner.write_budget.used()
    }
}

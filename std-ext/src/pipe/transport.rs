//! Transports of pipes: a connection in one direction.

use core::any::Any;
use core::fmt;
use std::io::IoSlice;
use std::rc::Rc;

use super::protocol::{ReadPipeProtocol, WritePipeProtocol};
use crate::net::flow::WriteBufferLimits;
use crate::protocol::{ProtocolRef, Seat, kind};
use crate::transport::Transport;
use crate::{EventLoopHandle, Result};

/// The end of a pipe that is read from, as its protocol sees it. Cheap to clone.
///
/// The loop owns the pipe: it lives until it is closed or lost, whether anybody holds
/// a `ReadTransport` or not.
///
/// # Python
/// `asyncio.ReadTransport`.
#[derive(Clone, PartialEq, Eq)]
pub struct ReadTransport(Transport);

/// The end of a pipe that is written to, as its protocol sees it. Cheap to clone.
///
/// The loop owns the pipe: it lives until it is closed, aborted or lost, whether
/// anybody holds a `WriteTransport` or not.
///
/// # Python
/// `asyncio.WriteTransport`.
#[derive(Clone, PartialEq, Eq)]
pub struct WriteTransport(Transport);

impl ReadTransport {
    pub(crate) fn of(transport: &Transport) -> Self {
        Self(transport.clone())
    }

    /// Returns the loop.
    #[must_use]
    pub fn event_loop(&self) -> &EventLoopHandle {
        self.0.event_loop()
    }

    /// Ceases to read: the protocol gets no data until
    /// [`resume_reading`](Self::resume_reading), and does not hear of the end. A second
    /// call does nothing, nor one while closing.
    ///
    /// # Python
    /// `transport.pause_reading()`.
    pub fn pause_reading(&self) {
        self.0.pause_reading();
    }

    /// Reads again; what has come meanwhile is delivered in a later turn.
    ///
    /// # Python
    /// `transport.resume_reading()`.
    pub fn resume_reading(&self) {
        self.0.resume_reading();
    }

    /// Tells whether the transport reads: not paused, not at the end, not closing.
    ///
    /// # Python
    /// `transport.is_reading()`.
    #[must_use]
    pub fn is_reading(&self) -> bool {
        self.0.is_reading()
    }

    /// Ceases to read and closes the pipe: `connection_lost` follows in a later turn.
    /// A second call does nothing.
    ///
    /// # Python
    /// `transport.close()`.
    pub fn close(&self) {
        self.0.close();
    }

    /// Tells whether the transport is closing, or closed.
    ///
    /// # Python
    /// `transport.is_closing()`.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    /// Has another protocol told of everything from now on. It is not told that the
    /// connection was made.
    ///
    /// # Python
    /// `transport.set_protocol(protocol)`.
    pub fn set_protocol<P: ReadPipeProtocol>(&self, protocol: P) -> ProtocolRef<P> {
        let seat = Seat::<P, kind::ReadPipe>::new(protocol);
        self.0.connection.set_protocol(Rc::<Seat<P, kind::ReadPipe>>::clone(&seat) as _);
        ProtocolRef::new(seat)
    }

    /// Returns the protocol, if it is of this type and the connection not over.
    ///
    /// # Python
    /// `transport.get_protocol()`.
    #[must_use]
    pub fn protocol<P: ReadPipeProtocol>(&self) -> Option<ProtocolRef<P>> {
        let seat: Rc<dyn Any> = self.0.connection.protocol()?.as_any();
        Some(ProtocolRef::new(seat.downcast::<Seat<P, kind::ReadPipe>>().ok()?))
    }
}

impl WriteTransport {
    pub(crate) fn of(transport: &Transport) -> Self {
        Self(transport.clone())
    }

    /// Returns the loop.
    #[must_use]
    pub fn event_loop(&self) -> &EventLoopHandle {
        self.0.event_loop()
    }

    /// Writes `data`: at once as far as the pipe takes it, the rest in the background,
    /// in order. The caller may use the bytes again when this returns.
    ///
    /// After a close, and when the connection is lost, the data is dropped and counted
    /// ([`EventLoopHandle::dropped_writes`], contract PI-6); an error arrives in
    /// `connection_lost`. A pipe without a reader is an error and never a signal,
    /// whatever the process does with `SIGPIPE` (FAULTS N-10).
    ///
    /// # Errors
    /// `Full` if the rest could be more than the transport or the loop may buffer
    /// (`Config::write_buffer_bytes`, `write_buffers_bytes`): nothing of `data` was
    /// written then.
    ///
    /// # Python
    /// `transport.write(data)`, which has no ceiling.
    pub fn write(&self, data: &[u8]) -> Result<()> {
        self.0.write(data)
    }

    /// Writes all of `bufs`, in their order, with one system call where that is
    /// possible. Otherwise as [`write`](Self::write).
    ///
    /// # Errors
    /// As [`write`](Self::write).
    ///
    /// # Python
    /// `transport.writelines(list_of_data)`.
    pub fn writelines(&self, bufs: &[IoSlice<'_>]) -> Result<()> {
        self.0.writelines(bufs)
    }

    /// Is [`close`](Self::close): a pipe has one side alone (PI-6).
    ///
    /// # Python
    /// `transport.write_eof()`.
    pub fn write_eof(&self) {
        self.0.close();
    }

    /// Tells whether the transport can end its side: it can.
    ///
    /// # Python
    /// `transport.can_write_eof()`.
    #[must_use]
    pub fn can_write_eof(&self) -> bool {
        true
    }

    /// Writes what is left, and then closes the pipe: the reader reads the end, and
    /// `connection_lost` follows in a later turn. A second call does nothing.
    ///
    /// # Python
    /// `transport.close()`.
    pub fn close(&self) {
        self.0.close();
    }

    /// Closes the pipe without writing what is still in the buffer: `connection_lost`
    /// follows in a later turn.
    ///
    /// # Python
    /// `transport.abort()`.
    pub fn abort(&self) {
        self.0.abort();
    }

    /// Tells whether the transport is closing, or closed.
    ///
    /// # Python
    /// `transport.is_closing()`.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    /// Sets the marks at which the protocol is told to pause and to resume writing,
    /// and looks at once whether that changes anything.
    ///
    /// # Python
    /// `transport.set_write_buffer_limits(high, low)`.
    pub fn set_write_buffer_limits(&self, limits: WriteBufferLimits) {
        self.0.set_write_buffer_limits(limits);
    }

    /// Returns the marks.
    ///
    /// # Python
    /// `transport.get_write_buffer_limits()`.
    #[must_use]
    pub fn write_buffer_limits(&self) -> WriteBufferLimits {
        self.0.write_buffer_limits()
    }

    /// Counts the bytes that were written and that the pipe has not taken yet.
    ///
    /// # Python
    /// `transport.get_write_buffer_size()`.
    #[must_use]
    pub fn write_buffer_size(&self) -> usize {
        self.0.write_buffer_size()
    }

    /// Has another protocol told of everything from now on. It is not told that the
    /// connection was made.
    ///
    /// # Python
    /// `transport.set_protocol(protocol)`.
    pub fn set_protocol<P: WritePipeProtocol>(&self, protocol: P) -> ProtocolRef<P> {
        let seat = Seat::<P, kind::WritePipe>::new(protocol);
        self.0.connection.set_protocol(Rc::<Seat<P, kind::WritePipe>>::clone(&seat) as _);
        ProtocolRef::new(seat)
    }

    /// Returns the protocol, if it is of this type and the connection not over.
    ///
    /// # Python
    /// `transport.get_protocol()`.
    #[must_use]
    pub fn protocol<P: WritePipeProtocol>(&self) -> Option<ProtocolRef<P>> {
        let seat: Rc<dyn Any> = self.0.connection.protocol()?.as_any();
        Some(ProtocolRef::new(seat.downcast::<Seat<P, kind::WritePipe>>().ok()?))
    }
}

impl fmt::Debug for ReadTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadTransport({:?})", self.0.connection)
    }
}

impl fmt::Debug for WriteTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WriteTransport({:?})", self.0.connection)
    }
}

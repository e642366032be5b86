//! Datagram transports: what a protocol, and everybody else, does with an endpoint.

use core::any::Any;
use core::fmt;
use std::rc::Rc;

use crate::net::address::Address;
use crate::net::datagram::endpoint::Endpoint;
use crate::net::datagram::protocol::DatagramProtocol;
use crate::net::flow::WriteBufferLimits;
use crate::net::options::SocketOptions;
use crate::protocol::{ProtocolRef, Seat, kind};
use crate::{Error, EventLoopHandle, Result};

/// Is what each datagram in a queue counts beyond its bytes, so that a queue of
/// empty ones is bounded too (contract DG-9).
///
/// # Python
/// 8 bytes.
pub const DATAGRAM_CHARGE: usize = 64;

/// A datagram endpoint, as its protocol sees it. Cheap to clone.
///
/// The loop owns the endpoint: it lives until it is closed or aborted, whether
/// anybody holds a `DatagramTransport` or not, and afterwards a
/// `DatagramTransport` does nothing any more.
///
/// # Python
/// `asyncio.DatagramTransport`.
#[derive(Clone)]
pub struct DatagramTransport {
    pub(crate) endpoint: Rc<Endpoint>,
}

impl DatagramTransport {
    /// Returns the loop.
    #[must_use]
    pub fn event_loop(&self) -> &EventLoopHandle {
        self.endpoint.event_loop()
    }

    /// Sends a datagram, at once or from the queue when the kernel has room
    /// again: whole and in order (contract DG-6). An empty one is sent too (DG-8).
    /// The caller may use the bytes again when this returns.
    ///
    /// Of an endpoint with a remote address, `addr` has to be that one (DG-5).
    /// The replies that a protocol gives to datagrams that came together may go
    /// out together, right after the last of these.
    ///
    /// What the operating system refuses arrives in `error_received`, of one
    /// method of the protocol 16 errors at most. Such a datagram, and one that is
    /// sent after a close (DG-10), is dropped and counted
    /// ([`dropped_sends`](Self::dropped_sends)).
    ///
    /// # Errors
    /// `Full` if the datagram had to wait and is more than the transport or the
    /// loop may keep (`Config::write_buffer_bytes`, `write_buffers_bytes`): it is
    /// dropped and counted (FAULTS U-03). `Io` with `InvalidInput` for another
    /// address than that of the connected peer.
    ///
    /// # Python
    /// `transport.sendto(data, addr)`, which has no ceiling.
    #[inline]
    pub fn sendto(&self, data: &[u8], addr: &Address) -> Result<()> {
        self.endpoint.send_to(data, addr)
    }

    /// Sends a datagram to the remote address of the endpoint; otherwise as
    /// [`sendto`](Self::sendto).
    ///
    /// # Errors
    /// As [`sendto`](Self::sendto); `Io` with `NotConnected` if the endpoint has
    /// no remote address.
    ///
    /// # Python
    /// `transport.sendto(data)`.
    #[inline]
    pub fn send(&self, data: &[u8]) -> Result<()> {
        self.endpoint.send(data)
    }

    /// Ceases to receive: datagrams wait in the kernel's buffer, as many as it
    /// has room for, until [`resume_reading`](Self::resume_reading); the others
    /// are [lost](Self::dropped_receives). A second call does nothing, nor one
    /// while closing.
    ///
    /// # Python
    /// Datagram transports of asyncio have no such call.
    pub fn pause_reading(&self) {
        self.endpoint.pause_reading();
    }

    /// Receives again; what has come meanwhile is delivered in a later turn.
    pub fn resume_reading(&self) {
        self.endpoint.resume_reading();
    }

    /// Tells whether the transport receives: not paused, not closing.
    #[must_use]
    pub fn is_reading(&self) -> bool {
        self.endpoint.is_reading()
    }

    /// Ceases to receive, sends what waits to be sent, and then ends the
    /// endpoint: `connection_lost` follows in a later turn. A second call does
    /// nothing (DG-10).
    ///
    /// # Python
    /// `transport.close()`.
    pub fn close(&self) {
        self.endpoint.close();
    }

    /// Ends the endpoint without sending what waits to be sent: `connection_lost`
    /// follows in a later turn (DG-10).
    ///
    /// # Python
    /// `transport.abort()`.
    pub fn abort(&self) {
        self.endpoint.abort();
    }

    /// Tells whether the transport is closing, or closed.
    ///
    /// # Python
    /// `transport.is_closing()`.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.endpoint.is_closing()
    }

    /// Sets the marks at which the protocol is told to pause and to resume
    /// writing, in bytes with [`DATAGRAM_CHARGE`], and looks at once whether that
    /// changes anything (DG-9).
    ///
    /// # Python
    /// `transport.set_write_buffer_limits(high, low)`.
    pub fn set_write_buffer_limits(&self, limits: WriteBufferLimits) {
        self.endpoint.set_write_buffer_limits(limits);
    }

    /// Returns the marks.
    ///
    /// # Python
    /// `transport.get_write_buffer_limits()`.
    #[must_use]
    pub fn write_buffer_limits(&self) -> WriteBufferLimits {
        self.endpoint.write_buffer_limits()
    }

    /// Counts the bytes that wait to be sent, and [`DATAGRAM_CHARGE`] for each
    /// datagram (DG-9).
    ///
    /// # Python
    /// `transport.get_write_buffer_size()`.
    #[must_use]
    pub fn write_buffer_size(&self) -> usize {
        self.endpoint.queued()
    }

    /// Counts the datagrams that were given to this transport and not sent: the
    /// operating system refused them, the queue was full, or the transport was
    /// closing or aborted (FAULTS U-03).
    #[must_use]
    pub fn dropped_sends(&self) -> u64 {
        self.endpoint.dropped_sends()
    }

    /// Counts the datagrams that came and were dropped by the kernel, most often
    /// because its receive buffer was full; a count of 32 bits, which wraps
    /// around. It is the kernel's own count, `SO_RXQ_OVFL`, up to date at any
    /// time (FAULTS U-04). A larger
    /// [receive buffer](SocketOptions::set_recv_buffer_size) helps against bursts.
    ///
    /// # Errors
    /// If the endpoint is closed; `Io` before Linux 4.12.
    pub fn dropped_receives(&self) -> Result<u32> {
        let fd = self.endpoint.fd()?;
        let drops = self.event_loop().inner.kernel.receive_drops(fd);
        drops.map_err(|error| Error::from(error).during("dropped_receives"))
    }

    /// Returns the remote address that the endpoint was made with; also when it
    /// is over.
    ///
    /// # Python
    /// `transport.get_extra_info('peername')`.
    #[must_use]
    pub fn peer_addr(&self) -> Option<&Address> {
        self.endpoint.peer_addr()
    }

    /// Returns the address of our side; also when the endpoint is over. `None`
    /// if the system doesn't tell. An endpoint that was not bound gets one by its
    /// first datagram.
    ///
    /// # Python
    /// `transport.get_extra_info('sockname')`.
    #[must_use]
    pub fn local_addr(&self) -> Option<Address> {
        self.endpoint.local_addr()
    }

    /// Returns the options of the socket, those of broadcast and multicast too.
    ///
    /// # Errors
    /// If the endpoint is closed.
    ///
    /// # Python
    /// `transport.get_extra_info('socket')` and its `setsockopt`.
    pub fn socket_options(&self) -> Result<SocketOptions<'_>> {
        Ok(SocketOptions::new(self.event_loop(), self.endpoint.fd()?))
    }

    /// Has another protocol told of everything from now on. It is not told that
    /// the endpoint was made.
    ///
    /// # Python
    /// `transport.set_protocol(protocol)`.
    pub fn set_protocol<P: DatagramProtocol>(&self, protocol: P) -> ProtocolRef<P> {
        let seat = Seat::<P, kind::Datagrams>::new(protocol);
        self.endpoint.set_protocol(Rc::<Seat<P, kind::Datagrams>>::clone(&seat) as _);
        ProtocolRef::new(seat)
    }

    /// Returns the protocol, if it is of this type and the endpoint not over.
    ///
    /// # Python
    /// `transport.get_protocol()`.
    #[must_use]
    pub fn protocol<P: DatagramProtocol>(&self) -> Option<ProtocolRef<P>> {
        let seat: Rc<dyn Any> = self.endpoint.protocol()?.as_any();
        Some(ProtocolRef::new(seat.downcast::<Seat<P, kind::Datagrams>>().ok()?))
    }
}

impl PartialEq for DatagramTransport {
    /// Tells whether both are the same endpoint.
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.endpoint, &other.endpoint)
    }
}

impl Eq for DatagramTransport {}

impl fmt::Debug for DatagramTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatagramTransport({:?})", self.endpoint)
    }
}

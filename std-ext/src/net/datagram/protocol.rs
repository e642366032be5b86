//! Datagram protocols: what an endpoint tells, and how it is told.

use core::any::Any;
use std::rc::Rc;

use crate::exception::method::Method;
use crate::net::address::Address;
use crate::net::datagram::transport::DatagramTransport;
use crate::protocol::{Seat, kind};
use crate::{Error, ErrorKind, Result};

/// Is told what happens to a datagram endpoint: `connection_made` once and first,
/// `connection_lost` once and last, and in between datagrams and errors.
///
/// A protocol is never entered twice: what a call of its own to the transport
/// causes is delivered when the method in progress has returned.
///
/// ```
/// use rondel::{Address, DatagramProtocol, DatagramTransport};
///
/// struct Echo;
///
/// impl DatagramProtocol for Echo {
///     fn datagram_received(
///         &mut self,
///         transport: &DatagramTransport,
///         data: &[u8],
///         addr: &Address,
///     ) -> rondel::Result<()> {
///         transport.sendto(data, addr)
///     }
/// }
/// ```
///
/// # Python
/// `asyncio.DatagramProtocol`. An exception is an `Err` here.
pub trait DatagramProtocol: 'static {
    /// Is called when the endpoint stands; receiving begins afterwards.
    ///
    /// # Errors
    /// An error is reported, and the endpoint lives.
    fn connection_made(&mut self, transport: &DatagramTransport) -> Result<()> {
        let _ = transport;
        Ok(())
    }

    /// Is called with each datagram, an empty one too (contract DG-8), and its
    /// sender; a UNIX socket without a name has an
    /// [unnamed](crate::UnixAddr::is_unnamed) address. The bytes are the loop's:
    /// what is to be kept has to be copied.
    ///
    /// # Errors
    /// An error is reported, and the endpoint lives.
    fn datagram_received(&mut self, transport: &DatagramTransport, data: &[u8], addr: &Address)
    -> Result<()>;

    /// Is called instead with the start of a datagram that was longer than
    /// `Config::read_buffer_bytes`; the rest is lost. No UDP datagram is longer
    /// than the 64 KiB that these are by default; a UNIX datagram may be.
    ///
    /// # Errors
    /// An error is reported, and the endpoint lives. `TooLarge`, unless it is
    /// overridden: a part is never taken for the whole (FAULTS U-02).
    ///
    /// # Python
    /// asyncio cuts datagrams off silently, beyond 256 KiB.
    fn datagram_truncated(
        &mut self,
        transport: &DatagramTransport,
        data: &[u8],
        addr: &Address,
    ) -> Result<()> {
        let _ = transport;
        let message = format!("a datagram from {addr} was cut off after {} bytes", data.len());
        Err(Error::of(ErrorKind::TooLarge, message))
    }

    /// Is called when sending or receiving has failed: the peer refused an earlier
    /// datagram, or one was too large. The endpoint lives (contract DG-7, FAULTS
    /// U-01).
    ///
    /// # Errors
    /// An error is reported, and the endpoint lives.
    fn error_received(&mut self, transport: &DatagramTransport, error: &Error) -> Result<()> {
        let _ = (transport, error);
        Ok(())
    }

    /// Is called when the queue of what could not be sent yet grows beyond its
    /// high-water mark (contract DG-9).
    ///
    /// # Errors
    /// An error is reported, and the endpoint lives.
    fn pause_writing(&mut self, transport: &DatagramTransport) -> Result<()> {
        let _ = transport;
        Ok(())
    }

    /// Is called when the queue has shrunk to its low-water mark.
    ///
    /// # Errors
    /// An error is reported, and the endpoint lives.
    fn resume_writing(&mut self, transport: &DatagramTransport) -> Result<()> {
        let _ = transport;
        Ok(())
    }

    /// Is called once and last, after a close or an abort; with an error only if
    /// a method of the protocol panicked, or the loop was closed. The socket is
    /// closed when it has returned.
    ///
    /// # Errors
    /// An error is reported.
    fn connection_lost(&mut self, transport: &DatagramTransport, error: Option<&Error>) -> Result<()> {
        let _ = (transport, error);
        Ok(())
    }
}

/// What an endpoint tells besides datagrams.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Told<'a> {
    Error(&'a Error),
    PauseWriting,
    ResumeWriting,
}

impl Told<'_> {
    /// Is the method that is told.
    pub(crate) fn method(self) -> Method {
        match self {
            Self::Error(_) => Method::ErrorReceived,
            Self::PauseWriting => Method::PauseWriting,
            Self::ResumeWriting => Method::ResumeWriting,
        }
    }
}

/// A received datagram, before it is delivered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incoming<'a> {
    pub(crate) data: &'a [u8],
    pub(crate) from: &'a Address,
    pub(crate) is_truncated: bool,
}

impl Incoming<'_> {
    /// Is the method that is told of it.
    pub(crate) fn method(self) -> Method {
        if self.is_truncated { Method::DatagramTruncated } else { Method::DatagramReceived }
    }
}

/// A datagram protocol of any type, as its endpoint sees it.
pub(crate) trait AnyDatagramProtocol: 'static {
    fn made(&self, transport: &DatagramTransport) -> Result<()>;
    fn received(&self, transport: &DatagramTransport, incoming: Incoming<'_>) -> Result<()>;
    /// Returns `None` if one of its methods runs.
    fn tell(&self, transport: &DatagramTransport, told: Told<'_>) -> Option<Result<()>>;
    fn lost(&self, transport: &DatagramTransport, error: Option<&Error>) -> Result<()>;
    /// Is the name of its type.
    fn type_name(&self) -> &'static str;
    fn as_any(self: Rc<Self>) -> Rc<dyn Any>;
}

impl<P: DatagramProtocol> AnyDatagramProtocol for Seat<P, kind::Datagrams> {
    fn made(&self, transport: &DatagramTransport) -> Result<()> {
        self.enter()?.connection_made(transport)
    }

    fn received(&self, transport: &DatagramTransport, incoming: Incoming<'_>) -> Result<()> {
        let Incoming { data, from, is_truncated } = incoming;
        let mut protocol = self.enter()?;
        if is_truncated {
            protocol.datagram_truncated(transport, data, from)
        } else {
            protocol.datagram_received(transport, data, from)
        }
    }

    fn tell(&self, transport: &DatagramTransport, told: Told<'_>) -> Option<Result<()>> {
        let mut protocol = self.enter().ok()?;
        Some(match told {
            Told::Error(error) => protocol.error_received(transport, error),
            Told::PauseWriting => protocol.pause_writing(transport),
            Told::ResumeWriting => protocol.resume_writing(transport),
        })
    }

    fn lost(&self, transport: &DatagramTransport, error: Option<&Error>) -> Result<()> {
        self.enter()?.connection_lost(transport, error)
    }

    fn type_name(&self) -> &'static str {
        core::any::type_name::<P>()
    }

    fn as_any(self: Rc<Self>) -> Rc<dyn Any> {
        self
    }
}

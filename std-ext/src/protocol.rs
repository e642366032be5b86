//! Protocols: what a transport tells, and how it is told.

use core::any::Any;
use core::cell::{RefCell, RefMut};
use core::fmt;
use core::marker::PhantomData;
use std::rc::Rc;

use crate::exception::method::Method;
use crate::net::read_buffer::SharedBuffer;
use crate::transport::Transport;
use crate::{Error, ErrorKind, Result};

/// Is told what happens to a connection, in this order: `connection_made` once,
/// `data_received` any number of times, `eof_received` at most once, and
/// `connection_lost` once and last (contract TR-1).
///
/// A protocol is never entered twice: what a call of its own to the transport
/// causes is delivered when the method in progress has returned.
///
/// ```
/// use rondel::{Protocol, Transport};
///
/// struct Echo;
///
/// impl Protocol for Echo {
///     fn data_received(&mut self, transport: &Transport, data: &[u8]) -> rondel::Result<()> {
///         transport.write(data)
///     }
/// }
/// ```
///
/// # Python
/// `asyncio.Protocol`. An exception is an `Err` here.
pub trait Protocol: 'static {
    /// Is called when the connection stands; reading begins afterwards (TR-2).
    ///
    /// # Errors
    /// An error is reported, and the connection lives (CC-9).
    fn connection_made(&mut self, transport: &Transport) -> Result<()> {
        let _ = transport;
        Ok(())
    }

    /// Is called with what was received, at least one byte. The bytes are the
    /// loop's: what is to be kept has to be copied.
    ///
    /// # Errors
    /// An error is reported and ends the connection (TR-9).
    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result<()>;

    /// Is called when the peer has ended its side of the stream, and chooses
    /// whether ours goes on (TR-5).
    ///
    /// # Errors
    /// An error is reported and ends the connection.
    fn eof_received(&mut self, transport: &Transport) -> Result<AfterEof> {
        let _ = transport;
        Ok(AfterEof::Close)
    }

    /// Is called when the buffer of what is written grows beyond its high-water
    /// mark (TR-16).
    ///
    /// # Errors
    /// An error is reported, and the connection lives (TR-18).
    fn pause_writing(&mut self, transport: &Transport) -> Result<()> {
        let _ = transport;
        Ok(())
    }

    /// Is called when the buffer has shrunk to its low-water mark.
    ///
    /// # Errors
    /// An error is reported, and the connection lives.
    fn resume_writing(&mut self, transport: &Transport) -> Result<()> {
        let _ = transport;
        Ok(())
    }

    /// Is called once and last; without an error after a close, an abort, or the
    /// end of the stream. The socket is closed when it has returned (TR-23).
    ///
    /// # Errors
    /// An error is reported.
    fn connection_lost(&mut self, transport: &Transport, error: Option<&Error>) -> Result<()> {
        let _ = (transport, error);
        Ok(())
    }
}

/// A protocol that receives into memory of its own.
///
/// # Python
/// `asyncio.BufferedProtocol`; `buffer` is its `get_buffer`.
pub trait BufferedProtocol: 'static {
    /// See [`Protocol::connection_made`].
    ///
    /// # Errors
    /// An error is reported, and the connection lives.
    fn connection_made(&mut self, transport: &Transport) -> Result<()> {
        let _ = transport;
        Ok(())
    }

    /// Returns where to receive to. It must not be empty; `size_hint` is how much
    /// could come, in bytes.
    fn buffer(&mut self, size_hint: usize) -> &mut [u8];

    /// Is called when the first `count` bytes of the buffer were received.
    ///
    /// # Errors
    /// An error is reported and ends the connection.
    fn buffer_updated(&mut self, transport: &Transport, count: usize) -> Result<()>;

    /// See [`Protocol::eof_received`].
    ///
    /// # Errors
    /// An error is reported and ends the connection.
    fn eof_received(&mut self, transport: &Transport) -> Result<AfterEof> {
        let _ = transport;
        Ok(AfterEof::Close)
    }

    /// See [`Protocol::pause_writing`].
    ///
    /// # Errors
    /// An error is reported, and the connection lives.
    fn pause_writing(&mut self, transport: &Transport) -> Result<()> {
        let _ = transport;
        Ok(())
    }

    /// See [`Protocol::resume_writing`].
    ///
    /// # Errors
    /// An error is reported, and the connection lives.
    fn resume_writing(&mut self, transport: &Transport) -> Result<()> {
        let _ = transport;
        Ok(())
    }

    /// See [`Protocol::connection_lost`].
    ///
    /// # Errors
    /// An error is reported.
    fn connection_lost(&mut self, transport: &Transport, error: Option<&Error>) -> Result<()> {
        let _ = (transport, error);
        Ok(())
    }
}

/// Says what becomes of our side of a stream when the peer has ended its own.
///
/// # Python
/// What `eof_received` returns: `None` or `False`, and `True`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AfterEof {
    /// The transport closes itself, after what is still to be written.
    #[default]
    Close,
    /// Only reading is over.
    KeepWriting,
}

/// The kinds of protocol, to tell them apart by type.
#[allow(missing_debug_implementations, reason = "never made")]
pub mod kind {
    /// Marks a [`Protocol`](crate::Protocol).
    pub struct Streaming(());
    /// Marks a [`BufferedProtocol`](crate::BufferedProtocol).
    pub struct Buffered(());
    /// Marks a [`ReadPipeProtocol`](crate::ReadPipeProtocol).
    pub struct ReadPipe(());
    /// Marks a [`WritePipeProtocol`](crate::WritePipeProtocol).
    pub struct WritePipe(());
    /// Marks a [`DatagramProtocol`](crate::DatagramProtocol).
    pub struct Datagrams(());
    /// Marks a [`SubprocessProtocol`](crate::SubprocessProtocol).
    pub struct Subprocess(());
}

/// Is any protocol that a stream transport takes: each [`Protocol`], and each
/// [`BufferedProtocol`]. `Kind` is inferred.
pub trait StreamProtocol<Kind>: sealed::Sealed<Kind> {}

impl<P: Protocol> StreamProtocol<kind::Streaming> for P {}
impl<P: BufferedProtocol> StreamProtocol<kind::Buffered> for P {}

/// What a transport receives from its connection.
pub(crate) enum Received {
    /// There is nothing at the moment.
    Nothing,
    /// The protocol was told.
    Data(Result<()>),
    /// The peer has ended its side.
    Eof,
    /// The connection broke.
    Error(Error),
}

/// Receives into the buffer that the loop's connections share, and tells of it.
#[inline]
pub(crate) fn receive(transport: &Transport, tell: impl FnOnce(&[u8]) -> Result<()>) -> Received {
    let connection = &transport.connection;
    let mut shared = SharedBuffer::take(connection.event_loop());
    match connection.try_receive(&mut shared.bytes) {
        Ok(None) => Received::Nothing,
        Ok(Some(0)) => Received::Eof,
        Ok(Some(count)) => Received::Data(tell(&shared.bytes[..count])),
        Err(error) => Received::Error(error),
    }
}

pub(crate) mod sealed {
    use super::*;

    #[allow(private_interfaces, reason = "nobody outside can name it")]
    pub trait Sealed<Kind>: Sized + 'static {
        fn made(&mut self, transport: &Transport) -> Result<()>;
        fn lost(&mut self, transport: &Transport, error: Option<&Error>) -> Result<()>;

        /// Is the method that is told what was received.
        const RECEIVES: Method = Method::DataReceived;

        // By default of what has one direction only, and is told nothing of the other.

        fn receive(&mut self, _: &Transport) -> Received {
            Received::Nothing
        }

        fn eof(&mut self, _: &Transport) -> Result<AfterEof> {
            Ok(AfterEof::Close)
        }

        fn pause(&mut self, _: &Transport) -> Result<()> {
            Ok(())
        }

        fn resume(&mut self, _: &Transport) -> Result<()> {
            Ok(())
        }
    }
}

macro_rules! forward {
    ($trait:ident) => {
        fn made(&mut self, transport: &Transport) -> Result<()> {
            $trait::connection_made(self, transport)
        }

        fn eof(&mut self, transport: &Transport) -> Result<AfterEof> {
            $trait::eof_received(self, transport)
        }

        fn pause(&mut self, transport: &Transport) -> Result<()> {
            $trait::pause_writing(self, transport)
        }

        fn resume(&mut self, transport: &Transport) -> Result<()> {
            $trait::resume_writing(self, transport)
        }

        fn lost(&mut self, transport: &Transport, error: Option<&Error>) -> Result<()> {
            $trait::connection_lost(self, transport, error)
        }
    };
}

#[allow(private_interfaces, reason = "nobody outside can name it")]
impl<P: Protocol> sealed::Sealed<kind::Streaming> for P {
    fn receive(&mut self, transport: &Transport) -> Received {
        receive(transport, |data| self.data_received(transport, data))
    }

    forward!(Protocol);
}

#[allow(private_interfaces, reason = "nobody outside can name it")]
impl<P: BufferedProtocol> sealed::Sealed<kind::Buffered> for P {
    fn receive(&mut self, transport: &Transport) -> Received {
        let connection = &transport.connection;
        let buffer = self.buffer(connection.event_loop().inner.read_buffer_bytes);
        if buffer.is_empty() {
            let message = "the buffer of the protocol is empty";
            return Received::Data(Err(Error::of(ErrorKind::InvalidState, message)));
        }
        // Whoever made the buffer may have ended the connection, or paused it.
        if !connection.is_reading() {
            return Received::Nothing;
        }
        match connection.try_receive(buffer) {
            Ok(None) => Received::Nothing,
            Ok(Some(0)) => Received::Eof,
            Ok(Some(count)) => Received::Data(self.buffer_updated(transport, count)),
            Err(error) => Received::Error(error),
        }
    }

    forward!(BufferedProtocol);

    const RECEIVES: Method = Method::BufferUpdated;
}

/// A protocol of any type, as its transport sees it.
pub(crate) trait AnyProtocol: 'static {
    fn made(&self, transport: &Transport) -> Result<()>;
    fn receive(&self, transport: &Transport) -> Received;
    fn eof(&self, transport: &Transport) -> Result<AfterEof>;
    /// Tells whether to write; `None` if one of its methods runs.
    fn tell_writing(&self, transport: &Transport, is_paused: bool) -> Option<Result<()>>;
    fn lost(&self, transport: &Transport, error: Option<&Error>) -> Result<()>;
    /// Is the method that is told what was received.
    fn receives(&self) -> Method;
    /// Is the name of its type.
    fn type_name(&self) -> &'static str;
    fn as_any(self: Rc<Self>) -> Rc<dyn Any>;
}

/// A protocol in its place.
pub(crate) struct Seat<P, Kind> {
    /// Invariant: borrowed while a method of the protocol runs, and by
    /// `ProtocolRef::with`.
    protocol: RefCell<P>,
    kind: PhantomData<fn() -> Kind>,
}

impl<P, Kind> Seat<P, Kind> {
    pub(crate) fn new(protocol: P) -> Rc<Self> {
        Rc::new(Self { protocol: RefCell::new(protocol), kind: PhantomData })
    }

    /// Borrows the protocol for one of its methods. Refused only if user code
    /// holds it, in `ProtocolRef::with`, and from there nothing is delivered.
    pub(crate) fn enter(&self) -> Result<RefMut<'_, P>> {
        self.protocol.try_borrow_mut().map_err(|_| busy())
    }
}

impl<P: sealed::Sealed<Kind>, Kind: 'static> AnyProtocol for Seat<P, Kind> {
    fn made(&self, transport: &Transport) -> Result<()> {
        self.enter()?.made(transport)
    }

    fn receive(&self, transport: &Transport) -> Received {
        match self.enter() {
            Ok(mut protocol) => protocol.receive(transport),
            Err(error) => Received::Error(error),
        }
    }

    fn eof(&self, transport: &Transport) -> Result<AfterEof> {
        self.enter()?.eof(transport)
    }

    fn tell_writing(&self, transport: &Transport, is_paused: bool) -> Option<Result<()>> {
        let mut protocol = self.protocol.try_borrow_mut().ok()?;
        Some(if is_paused { protocol.pause(transport) } else { protocol.resume(transport) })
    }

    fn lost(&self, transport: &Transport, error: Option<&Error>) -> Result<()> {
        self.enter()?.lost(transport, error)
    }

    fn receives(&self) -> Method {
        P::RECEIVES
    }

    fn type_name(&self) -> &'static str {
        core::any::type_name::<P>()
    }

    fn as_any(self: Rc<Self>) -> Rc<dyn Any> {
        self
    }
}

/// What has a protocol of this type in it.
trait HasProtocol<P> {
    fn protocol(&self) -> &RefCell<P>;
}

impl<P, Kind> HasProtocol<P> for Seat<P, Kind> {
    fn protocol(&self) -> &RefCell<P> {
        &self.protocol
    }
}

fn busy() -> Error {
    Error::of(ErrorKind::Busy, "a method of the protocol is running")
}

/// Refers to the protocol of a transport, which may be looked at between two of
/// its methods.
///
/// # Python
/// The second of the pair that `create_connection` returns.
pub struct ProtocolRef<P> {
    seat: Rc<dyn HasProtocol<P>>,
}

impl<P: 'static> ProtocolRef<P> {
    pub(crate) fn new<Kind: 'static>(seat: Rc<Seat<P, Kind>>) -> Self {
        Self { seat }
    }

    /// Calls `look` with the protocol.
    ///
    /// # Errors
    /// `Busy` while one of its methods runs, or another `with`.
    pub fn with<R>(&self, look: impl FnOnce(&mut P) -> R) -> Result<R> {
        let mut protocol = self.seat.protocol().try_borrow_mut().map_err(|_| busy())?;
        Ok(look(&mut protocol))
    }
}

impl<P> Clone for ProtocolRef<P> {
    fn clone(&self) -> Self {
        Self { seat: Rc::clone(&self.seat) }
    }
}

impl<P> fmt::Debug for ProtocolRef<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProtocolRef<{}>", core::any::type_name::<P>())
    }
}

//! Protocols: what a transport tells, and how it is told.

pub mod kind;
mod received;
pub(crate) mod sealed;
mod seat;

pub(crate) use self::received::{Received, receive};
pub use self::seat::ProtocolRef;
pub(crate) use self::seat::{AnyProtocol, Seat};
use crate::transport::Transport;
use crate::{Error, Result};

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

/// Is any protocol that a stream transport takes: each [`Protocol`], and each
/// [`BufferedProtocol`]. `Kind` is inferred.
pub trait StreamProtocol<Kind>: sealed::Sealed<Kind> {}

impl<P: Protocol> StreamProtocol<kind::Streaming> for P {}
impl<P: BufferedProtocol> StreamProtocol<kind::Buffered> for P {}

//! Protocols of pipes: what a transport of one direction tells.

use super::transport::{ReadTransport, WriteTransport};
use crate::protocol::{AfterEof, Received, kind, receive, sealed};
use crate::transport::Transport;
use crate::{Error, Result};

/// Is told what is read from a pipe, in this order: `connection_made` once,
/// `data_received` any number of times, `eof_received` at most once, and
/// `connection_lost` once and last (contract PI-2, PI-3).
///
/// It is never entered twice: what a call of its own to the transport causes is
/// delivered when the method in progress has returned.
///
/// # Python
/// `asyncio.Protocol`, of which a read pipe uses these methods. An exception is an
/// `Err` here.
pub trait ReadPipeProtocol: 'static {
    /// Is called first; reading begins afterwards.
    ///
    /// # Errors
    /// An error is reported, and the transport lives.
    fn connection_made(&mut self, transport: &ReadTransport) -> Result<()> {
        let _ = transport;
        Ok(())
    }

    /// Is called with what was read, at least one byte. The bytes are the loop's:
    /// what is to be kept has to be copied.
    ///
    /// # Errors
    /// An error is reported and ends the transport.
    fn data_received(&mut self, transport: &ReadTransport, data: &[u8]) -> Result<()>;

    /// Is called when all writers have gone and all was read; `connection_lost`
    /// follows (PI-3).
    ///
    /// # Errors
    /// An error is reported and handed to `connection_lost`.
    ///
    /// # Python
    /// What `eof_received` returns means nothing for pipes, so here it is nothing.
    fn eof_received(&mut self, transport: &ReadTransport) -> Result<()> {
        let _ = transport;
        Ok(())
    }

    /// Is called once and last; without an error after a close or the end. The pipe
    /// is closed when it has returned. The end of a terminal is an error (PI-4).
    ///
    /// # Errors
    /// An error is reported.
    fn connection_lost(&mut self, transport: &ReadTransport, error: Option<&Error>) -> Result<()> {
        let _ = (transport, error);
        Ok(())
    }
}

/// Is told how writing to a pipe goes: `connection_made` once, `pause_writing` and
/// `resume_writing` in turn, and `connection_lost` once and last, also when the
/// reader has gone while nothing was written (contract PI-5).
///
/// # Python
/// `asyncio.BaseProtocol`. An exception is an `Err` here.
pub trait WritePipeProtocol: 'static {
    /// Is called first.
    ///
    /// # Errors
    /// An error is reported, and the transport lives.
    fn connection_made(&mut self, transport: &WriteTransport) -> Result<()> {
        let _ = transport;
        Ok(())
    }

    /// Is called when the buffer of what is written grows beyond its high-water
    /// mark.
    ///
    /// # Errors
    /// An error is reported, and the transport lives.
    fn pause_writing(&mut self, transport: &WriteTransport) -> Result<()> {
        let _ = transport;
        Ok(())
    }

    /// Is called when the buffer has shrunk to its low-water mark.
    ///
    /// # Errors
    /// An error is reported, and the transport lives.
    fn resume_writing(&mut self, transport: &WriteTransport) -> Result<()> {
        let _ = transport;
        Ok(())
    }

    /// Is called once and last. Without an error after a close or an abort, or when
    /// the reader has gone and nothing was left to write; otherwise that is
    /// `BrokenPipe`. The pipe is closed when it has returned.
    ///
    /// # Errors
    /// An error is reported.
    fn connection_lost(&mut self, transport: &WriteTransport, error: Option<&Error>) -> Result<()> {
        let _ = (transport, error);
        Ok(())
    }
}

/// A protocol that only waits for the end.
impl WritePipeProtocol for () {}

#[allow(private_interfaces, reason = "nobody outside can name it")]
impl<P: ReadPipeProtocol> sealed::Sealed<kind::ReadPipe> for P {
    fn made(&mut self, transport: &Transport) -> Result<()> {
        self.connection_made(&ReadTransport::of(transport))
    }

    fn receive(&mut self, transport: &Transport) -> Received {
        receive(transport, |data| self.data_received(&ReadTransport::of(transport), data))
    }

    fn eof(&mut self, transport: &Transport) -> Result<AfterEof> {
        self.eof_received(&ReadTransport::of(transport)).map(|()| AfterEof::Close)
    }

    fn lost(&mut self, transport: &Transport, error: Option<&Error>) -> Result<()> {
        self.connection_lost(&ReadTransport::of(transport), error)
    }
}

#[allow(private_interfaces, reason = "nobody outside can name it")]
impl<P: WritePipeProtocol> sealed::Sealed<kind::WritePipe> for P {
    fn made(&mut self, transport: &Transport) -> Result<()> {
        self.connection_made(&WriteTransport::of(transport))
    }

    fn pause(&mut self, transport: &Transport) -> Result<()> {
        self.pause_writing(&WriteTransport::of(transport))
    }

    fn resume(&mut self, transport: &Transport) -> Result<()> {
        self.resume_writing(&WriteTransport::of(transport))
    }

    fn lost(&mut self, transport: &Transport, error: Option<&Error>) -> Result<()> {
        self.connection_lost(&WriteTransport::of(transport), error)
    }
}

//! How each kind of protocol is told.

#![allow(private_interfaces, reason = "nobody outside can name it")]

use super::received::{Received, receive};
use super::{AfterEof, BufferedProtocol, Protocol, kind};
use crate::exception::method::Method;
use crate::transport::Transport;
use crate::{Error, ErrorKind, Result};

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

impl<P: Protocol> Sealed<kind::Streaming> for P {
    fn receive(&mut self, transport: &Transport) -> Received {
        receive(transport, |data| self.data_received(transport, data))
    }

    forward!(Protocol);
}

impl<P: BufferedProtocol> Sealed<kind::Buffered> for P {
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

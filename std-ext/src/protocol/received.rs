//! What a protocol is told of what its connection received.

use crate::net::read_buffer::SharedBuffer;
use crate::transport::Transport;
use crate::{Error, Result};

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

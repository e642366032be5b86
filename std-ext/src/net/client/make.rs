//! What becomes of a client's connection: a protocol, or streams.

#![allow(private_interfaces, reason = "the traits of the builders are implemented here alone")]

use core::fmt;
use core::marker::PhantomData;
use std::rc::Rc;

use crate::Result;
use crate::net::connection::Connection;
use crate::protocol::{ProtocolRef, Seat, StreamProtocol};
use crate::streams::{self, StreamReader, StreamWriter};
use crate::transport::Transport;

/// What becomes of a connected socket.
pub trait MakeClient: 'static {
    /// Is the name of the call, for its errors.
    #[doc(hidden)]
    const NAME: &'static str;

    /// Is what the caller gets.
    type Client;

    /// Takes over the connection.
    #[doc(hidden)]
    fn make(self, connection: Rc<Connection>) -> impl Future<Output = Result<Self::Client>>;
}

/// Gives the connection a protocol.
pub struct ClientProtocol<F, Kind> {
    pub(super) factory: F,
    pub(super) kind: PhantomData<fn() -> Kind>,
}

impl<F, P, Kind> MakeClient for ClientProtocol<F, Kind>
where
    F: FnOnce() -> P + 'static,
    P: StreamProtocol<Kind>,
    Kind: 'static,
{
    const NAME: &'static str = "create_connection";
    type Client = (Transport, ProtocolRef<P>);

    async fn make(self, connection: Rc<Connection>) -> Result<Self::Client> {
        let seat = Seat::<P, Kind>::new((self.factory)());
        connection.begin_protocol(Rc::<Seat<P, Kind>>::clone(&seat) as _).await?;
        Ok((Transport { connection }, ProtocolRef::new(seat)))
    }
}

impl<F, Kind> fmt::Debug for ClientProtocol<F, Kind> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientProtocol")
    }
}

/// Gives out the two halves of the connection.
#[derive(Debug)]
pub struct ClientStreams {
    pub(super) limit: usize,
}

impl Default for ClientStreams {
    fn default() -> Self {
        Self { limit: streams::DEFAULT_LIMIT }
    }
}

impl MakeClient for ClientStreams {
    const NAME: &'static str = "open_connection";
    type Client = (StreamReader, StreamWriter);

    async fn make(self, connection: Rc<Connection>) -> Result<Self::Client> {
        Ok(streams::open(connection, self.limit))
    }
}

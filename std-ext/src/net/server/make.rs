//! What becomes of an accepted connection.

#![allow(private_interfaces, reason = "the traits of the builders are implemented here alone")]

use core::fmt;
use core::future::Future as StdFuture;
use std::rc::Rc;

use rondel_core::{Outcome, Then};

use crate::Result;
use crate::exception::method::Method;
use crate::net::connection::{Connection, Handled};
use crate::protocol::{Seat, StreamProtocol};
use crate::streams::{self, StreamReader, StreamWriter};

/// Makes something of an accepted connection.
pub trait MakeConnection: 'static {
    /// Is the name of the call, for its errors.
    #[doc(hidden)]
    const NAME: &'static str;

    /// Is what it calls.
    #[doc(hidden)]
    const FACTORY: Method;

    /// Takes over the connection.
    #[doc(hidden)]
    fn connected(&mut self, connection: &Rc<Connection>) -> Result<()>;
}

/// Gives each connection a protocol.
pub struct WithProtocol<F, Kind> {
    pub(super) factory: F,
    pub(super) kind: core::marker::PhantomData<fn() -> Kind>,
}

impl<F, P, Kind> MakeConnection for WithProtocol<F, Kind>
where
    F: FnMut() -> P + 'static,
    P: StreamProtocol<Kind>,
    Kind: 'static,
{
    const NAME: &'static str = "create_server";
    const FACTORY: Method = Method::ProtocolFactory;

    fn connected(&mut self, connection: &Rc<Connection>) -> Result<()> {
        connection.start(Seat::<P, Kind>::new((self.factory)()))
    }
}

impl<F, Kind> fmt::Debug for WithProtocol<F, Kind> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WithProtocol")
    }
}

/// Gives each connection a task with its streams.
pub struct WithStreams<F> {
    pub(super) client_connected: F,
    pub(super) limit: usize,
}

impl<F> WithStreams<F> {
    pub(super) fn new(client_connected: F) -> Self {
        Self { client_connected, limit: streams::DEFAULT_LIMIT }
    }
}

impl<F, Fut> MakeConnection for WithStreams<F>
where
    F: FnMut(StreamReader, StreamWriter) -> Fut + 'static,
    Fut: StdFuture<Output: Outcome + 'static> + 'static,
{
    const NAME: &'static str = "start_server";
    const FACTORY: Method = Method::ClientConnected;

    fn connected(&mut self, connection: &Rc<Connection>) -> Result<()> {
        let holders = streams::holders(connection);
        let (reader, writer) = streams::open(Rc::clone(connection), self.limit);
        let handled = Handled::new(connection);
        let handler = (self.client_connected)(reader, writer);
        if streams::holders(connection) == holders {
            // It has dropped them at once.
            connection.close();
        }
        let handler = Then::new(handler, |ended| handled.look_at(&ended));
        connection.event_loop().create_task_from(handler, connection.location())?;
        Ok(())
    }
}

impl<F> fmt::Debug for WithStreams<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WithStreams")
    }
}

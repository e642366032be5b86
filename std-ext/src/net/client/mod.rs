//! Clients: `create_connection`, `open_connection` and their kin.

#![allow(private_interfaces, reason = "the traits of the builders are implemented here alone")]

mod builder;
mod make;
mod target;

use core::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::path::Path;

pub use self::builder::CreateConnection;
use self::make::{ClientProtocol, ClientStreams};
pub(crate) use self::target::Connected;
use self::target::{Remote, UnixPeer};
use crate::EventLoopHandle;
use crate::net::address::UnixAddr;
use crate::net::to_addrs::ToAddrs;
use crate::protocol::StreamProtocol;

impl EventLoopHandle {
    /// Connects to an address and gives the connection a protocol made by
    /// `factory`, which is called once, when the connection stands (contract
    /// CC-8). Ends when `connection_made` has returned (CC-9).
    ///
    /// ```
    /// use rondel::{Protocol, Transport};
    ///
    /// struct Greeter;
    ///
    /// impl Protocol for Greeter {
    ///     fn connection_made(&mut self, transport: &Transport) -> rondel::Result<()> {
    ///         transport.write(b"hello\n")
    ///     }
    ///
    ///     fn data_received(&mut self, _: &Transport, data: &[u8]) -> rondel::Result<()> {
    ///         println!("{}", data.escape_ascii());
    ///         Ok(())
    ///     }
    /// }
    ///
    /// rondel::run(async |event_loop| {
    ///     let server = event_loop.create_server(|| Greeter, "127.0.0.1:0").await?;
    ///     let (transport, _greeter) =
    ///         event_loop.create_connection(|| Greeter, server.local_addr()).await?;
    ///     transport.close();
    ///     Ok(())
    /// })?;
    /// # Ok::<(), rondel::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`CreateConnection`].
    ///
    /// # Cancellation
    /// As of [`CreateConnection`].
    ///
    /// # Python
    /// `loop.create_connection(factory, host, port)`.
    #[track_caller]
    pub fn create_connection<F, P, Kind, A>(
        &self,
        factory: F,
        addr: A,
    ) -> CreateConnection<Remote<A>, ClientProtocol<F, Kind>>
    where
        F: FnOnce() -> P + 'static,
        P: StreamProtocol<Kind>,
        A: ToAddrs,
    {
        CreateConnection::new(self, Remote::new(addr), ClientProtocol { factory, kind: PhantomData })
    }

    /// As [`create_connection`](Self::create_connection), on a socket that is
    /// connected already. It becomes the transport's, also if this fails (CC-10).
    ///
    /// # Errors
    /// Those of [`CreateConnection`].
    ///
    /// # Cancellation
    /// As of [`CreateConnection`].
    ///
    /// # Python
    /// `loop.create_connection(factory, sock=sock)`.
    #[track_caller]
    pub fn create_connection_with_sock<F, P, Kind>(
        &self,
        factory: F,
        socket: impl Into<OwnedFd>,
    ) -> CreateConnection<Connected, ClientProtocol<F, Kind>>
    where
        F: FnOnce() -> P + 'static,
        P: StreamProtocol<Kind>,
    {
        let make = ClientProtocol { factory, kind: PhantomData };
        CreateConnection::new(self, Connected(socket.into()), make)
    }

    /// Gives a connection that somebody else accepted a protocol, as a server
    /// would. The socket becomes the transport's, also if this fails (contract
    /// CA-1).
    ///
    /// # Errors
    /// Those of [`CreateConnection`].
    ///
    /// # Cancellation
    /// As of [`CreateConnection`].
    ///
    /// # Python
    /// `loop.connect_accepted_socket(factory, sock)`.
    #[track_caller]
    pub fn connect_accepted_socket<F, P, Kind>(
        &self,
        factory: F,
        socket: impl Into<OwnedFd>,
    ) -> CreateConnection<Connected, ClientProtocol<F, Kind>>
    where
        F: FnOnce() -> P + 'static,
        P: StreamProtocol<Kind>,
    {
        self.create_connection_with_sock(factory, socket)
    }

    /// As [`create_connection`](Self::create_connection), to the path of a UNIX
    /// socket; one that starts with a NUL is an abstract name.
    ///
    /// # Errors
    /// Those of [`CreateConnection`].
    ///
    /// # Cancellation
    /// As of [`CreateConnection`].
    ///
    /// # Python
    /// `loop.create_unix_connection(factory, path)`.
    #[track_caller]
    pub fn create_unix_connection<F, P, Kind>(
        &self,
        factory: F,
        path: impl AsRef<Path>,
    ) -> CreateConnection<UnixPeer, ClientProtocol<F, Kind>>
    where
        F: FnOnce() -> P + 'static,
        P: StreamProtocol<Kind>,
    {
        let make = ClientProtocol { factory, kind: PhantomData };
        CreateConnection::new(self, UnixPeer(UnixAddr::try_from(path.as_ref())), make)
    }

    /// Connects to an address, and returns the two halves of the connection.
    ///
    /// # Errors
    /// Those of [`CreateConnection`].
    ///
    /// # Cancellation
    /// As of [`CreateConnection`].
    ///
    /// # Python
    /// `asyncio.open_connection(host, port)`.
    #[track_caller]
    pub fn open_connection<A: ToAddrs>(&self, addr: A) -> CreateConnection<Remote<A>, ClientStreams> {
        CreateConnection::new(self, Remote::new(addr), ClientStreams::default())
    }

    /// As [`open_connection`](Self::open_connection), on a socket that is
    /// connected already.
    ///
    /// # Errors
    /// Those of [`CreateConnection`].
    ///
    /// # Cancellation
    /// As of [`CreateConnection`].
    ///
    /// # Python
    /// `asyncio.open_connection(sock=sock)`.
    #[track_caller]
    pub fn open_connection_with_sock(
        &self,
        socket: impl Into<OwnedFd>,
    ) -> CreateConnection<Connected, ClientStreams> {
        CreateConnection::new(self, Connected(socket.into()), ClientStreams::default())
    }

    /// As [`open_connection`](Self::open_connection), to the path of a UNIX
    /// socket; one that starts with a NUL is an abstract name.
    ///
    /// # Errors
    /// Those of [`CreateConnection`].
    ///
    /// # Cancellation
    /// As of [`CreateConnection`].
    ///
    /// # Python
    /// `asyncio.open_unix_connection(path)`.
    #[track_caller]
    pub fn open_unix_connection(&self, path: impl AsRef<Path>) -> CreateConnection<UnixPeer, ClientStreams> {
        CreateConnection::new(self, UnixPeer(UnixAddr::try_from(path.as_ref())), ClientStreams::default())
    }
}

//! Servers: listening sockets, and what becomes of each connection.

#![allow(private_interfaces, reason = "the traits of the builders are implemented here alone")]

mod builder;
mod handle;
mod make;
mod state;
mod target;

use core::future::Future as StdFuture;
use core::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::path::Path;

use rondel_core::Outcome;

pub use self::builder::CreateServer;
pub use self::handle::Server;
use self::make::{WithProtocol, WithStreams};
pub(crate) use self::state::{Membership, Origin, ServerState};
use self::target::{Inet, Sock, UnixPath};
use crate::EventLoopHandle;
use crate::net::to_addrs::ToAddrs;
use crate::protocol::StreamProtocol;
use crate::streams::{StreamReader, StreamWriter};

impl EventLoopHandle {
    /// Listens on an address and gives each connection a protocol made by
    /// `factory`.
    ///
    /// A host that is empty is every interface; one with several addresses gets
    /// a socket for each, and an IPv6 one serves IPv6 alone (contract SV-2, SV-3).
    /// The server accepts until it is closed, also without anybody holding it
    /// (SV-12).
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
    ///
    /// rondel::run(async |event_loop| {
    ///     let server = event_loop.create_server(|| Echo, "127.0.0.1:0").backlog(256).await?;
    ///     println!("listening on {:?}", server.sockets());
    ///     Ok(())
    /// })?;
    /// # Ok::<(), rondel::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`CreateServer`].
    ///
    /// # Cancellation
    /// As of [`CreateServer`].
    ///
    /// # Python
    /// `loop.create_server(factory, host, port)`.
    #[track_caller]
    pub fn create_server<F, P, Kind, A>(
        &self,
        factory: F,
        addr: A,
    ) -> CreateServer<Inet<A>, WithProtocol<F, Kind>>
    where
        F: FnMut() -> P + 'static,
        P: StreamProtocol<Kind>,
        A: ToAddrs,
    {
        CreateServer::new(self, Inet(addr), WithProtocol { factory, kind: PhantomData })
    }

    /// As [`create_server`](Self::create_server), on a socket that is bound
    /// already. It becomes the server's, also if this fails.
    ///
    /// # Errors
    /// Those of [`CreateServer`].
    ///
    /// # Cancellation
    /// As of [`CreateServer`].
    ///
    /// # Python
    /// `loop.create_server(factory, sock=sock)`.
    #[track_caller]
    pub fn create_server_with_sock<F, P, Kind>(
        &self,
        factory: F,
        socket: impl Into<OwnedFd>,
    ) -> CreateServer<Sock, WithProtocol<F, Kind>>
    where
        F: FnMut() -> P + 'static,
        P: StreamProtocol<Kind>,
    {
        let make = WithProtocol { factory, kind: PhantomData };
        CreateServer::new(self, Sock(socket.into()), make)
    }

    /// As [`create_server`](Self::create_server), at the path of a UNIX socket;
    /// one that starts with a NUL is an abstract name.
    ///
    /// A socket file that nobody listens on any more is replaced; a live one, and
    /// anything else at the path, is left alone (UX-2, UX-3). The file goes with
    /// the server, if it is still its own (UX-6).
    ///
    /// # Errors
    /// Those of [`CreateServer`].
    ///
    /// # Cancellation
    /// As of [`CreateServer`].
    ///
    /// # Python
    /// `loop.create_unix_server(factory, path)`.
    #[track_caller]
    pub fn create_unix_server<F, P, Kind>(
        &self,
        factory: F,
        path: impl AsRef<Path>,
    ) -> CreateServer<UnixPath, WithProtocol<F, Kind>>
    where
        F: FnMut() -> P + 'static,
        P: StreamProtocol<Kind>,
    {
        let make = WithProtocol { factory, kind: PhantomData };
        CreateServer::new(self, UnixPath::new(path.as_ref()), make)
    }

    /// Listens on an address and runs `client_connected` as a task for each
    /// connection.
    ///
    /// An error that the task ends with is reported to the exception handler, with the
    /// connection. The one exception is that of a peer that is gone: a reset, or an end
    /// of TLS that nobody has announced. It ends a handler that passes errors on every
    /// day, and is only logged, at level debug.
    ///
    /// When both halves of the connection are dropped it is closed.
    ///
    /// ```
    /// # use core::net::Ipv4Addr;
    /// # rondel::run(async |event_loop| {
    /// let server = event_loop
    ///     .start_server((Ipv4Addr::LOCALHOST, 0), async |mut reader, mut writer| {
    ///         while !reader.at_eof() {
    ///             let line = reader.read_line().await?;
    ///             writer.write_all(line).await?;
    ///         }
    ///         Ok::<(), rondel::Error>(())
    ///     })
    ///     .backlog(128)
    ///     .await?;
    /// println!("listening on {}", server.local_addr());
    /// # Ok(())
    /// # })?;
    /// # Ok::<(), rondel::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`CreateServer`].
    ///
    /// # Cancellation
    /// As of [`CreateServer`].
    ///
    /// # Python
    /// `asyncio.start_server(client_connected_cb, host, port)`.
    #[track_caller]
    pub fn start_server<F, Fut, A>(
        &self,
        addr: A,
        client_connected: F,
    ) -> CreateServer<Inet<A>, WithStreams<F>>
    where
        F: FnMut(StreamReader, StreamWriter) -> Fut + 'static,
        Fut: StdFuture<Output: Outcome + 'static> + 'static,
        A: ToAddrs,
    {
        CreateServer::new(self, Inet(addr), WithStreams::new(client_connected))
    }

    /// As [`start_server`](Self::start_server), on a socket that is bound already.
    ///
    /// # Errors
    /// Those of [`CreateServer`].
    ///
    /// # Cancellation
    /// As of [`CreateServer`].
    ///
    /// # Python
    /// `asyncio.start_server(client_connected_cb, sock=sock)`.
    #[track_caller]
    pub fn start_server_with_sock<F, Fut>(
        &self,
        socket: impl Into<OwnedFd>,
        client_connected: F,
    ) -> CreateServer<Sock, WithStreams<F>>
    where
        F: FnMut(StreamReader, StreamWriter) -> Fut + 'static,
        Fut: StdFuture<Output: Outcome + 'static> + 'static,
    {
        CreateServer::new(self, Sock(socket.into()), WithStreams::new(client_connected))
    }

    /// As [`start_server`](Self::start_server), at the path of a UNIX socket; see
    /// [`create_unix_server`](Self::create_unix_server).
    ///
    /// # Errors
    /// Those of [`CreateServer`].
    ///
    /// # Cancellation
    /// As of [`CreateServer`].
    ///
    /// # Python
    /// `asyncio.start_unix_server(client_connected_cb, path)`.
    #[track_caller]
    pub fn start_unix_server<F, Fut>(
        &self,
        path: impl AsRef<Path>,
        client_connected: F,
    ) -> CreateServer<UnixPath, WithStreams<F>>
    where
        F: FnMut(StreamReader, StreamWriter) -> Fut + 'static,
        Fut: StdFuture<Output: Outcome + 'static> + 'static,
    {
        CreateServer::new(self, UnixPath::new(path.as_ref()), WithStreams::new(client_connected))
    }
}

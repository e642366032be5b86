//! Servers: listening sockets, and what becomes of each connection.

#![allow(private_interfaces, reason = "the traits of the builders are implemented here alone")]

use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::Future as StdFuture;
use core::net::SocketAddr;
use core::pin::Pin;
use core::time::Duration;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::{Rc, Weak};

use rondel_core::{Context, ExceptionContext, Outcome, Then};
use slab::Slab;

use crate::dns::{AddrInfoFlags, Hints, IpFamily};
use crate::net::address::{Address, UnixAddr, UnixAddrError};
use crate::net::connection::{Connection, Handled};
use crate::net::listener::{ListenOptions, Listener};
use crate::net::to_addrs::ToAddrs;
use crate::protocol::{Seat, StreamProtocol};
use crate::snapshot::{Describe, DescriptorRow, SnapshotAddr};
use crate::streams::{self, StreamReader, StreamWriter};
use crate::sys::Fd;
use crate::tls::TlsState;
use crate::{Error, ErrorKind, EventLoopHandle, Future, Result};

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
    /// # Python
    /// `loop.create_server(factory, host, port)`.
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
        CreateServer::new(self, Inet(addr), WithProtocol { factory, kind: core::marker::PhantomData })
    }

    /// As [`create_server`](Self::create_server), on a socket that is bound
    /// already. It becomes the server's, also if this fails.
    ///
    /// # Python
    /// `loop.create_server(factory, sock=sock)`.
    pub fn create_server_with_sock<F, P, Kind>(
        &self,
        factory: F,
        socket: impl Into<OwnedFd>,
    ) -> CreateServer<Sock, WithProtocol<F, Kind>>
    where
        F: FnMut() -> P + 'static,
        P: StreamProtocol<Kind>,
    {
        let make = WithProtocol { factory, kind: core::marker::PhantomData };
        CreateServer::new(self, Sock(socket.into()), make)
    }

    /// As [`create_server`](Self::create_server), at the path of a UNIX socket;
    /// one that starts with a NUL is an abstract name.
    ///
    /// A socket file that nobody listens on any more is replaced; a live one, and
    /// anything else at the path, is left alone (UX-2, UX-3). The file goes with
    /// the server, if it is still its own (UX-6).
    ///
    /// # Python
    /// `loop.create_unix_server(factory, path)`.
    pub fn create_unix_server<F, P, Kind>(
        &self,
        factory: F,
        path: impl AsRef<Path>,
    ) -> CreateServer<UnixPath, WithProtocol<F, Kind>>
    where
        F: FnMut() -> P + 'static,
        P: StreamProtocol<Kind>,
    {
        let make = WithProtocol { factory, kind: core::marker::PhantomData };
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
    /// # Python
    /// `asyncio.start_server(client_connected_cb, host, port)`.
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
    /// # Python
    /// `asyncio.start_server(client_connected_cb, sock=sock)`.
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
    /// # Python
    /// `asyncio.start_unix_server(client_connected_cb, path)`.
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

/// The options of a server; await it to start listening.
///
/// # Errors
/// Awaiting it fails with `Io`, which names the address, if one can't be bound, and
/// every socket is closed then (contract SV-5); with `NameResolution`; with `Full` if
/// a table is.
///
/// # Cancellation
/// Safe: every socket is closed, the one that was passed in too.
///
/// # Python
/// The keyword arguments of `loop.create_server` and `asyncio.start_server`.
#[must_use = "does nothing until it is awaited"]
pub struct CreateServer<T, M> {
    event_loop: EventLoopHandle,
    target: T,
    make: M,
    options: ListenOptions,
    max_connections: usize,
    start_serving: bool,
    on_refused: Option<RefusedHook>,
    pub(crate) begin_tls: Option<BeginTls>,
}

/// Is told about each connection that could not be served.
type RefusedHook = Box<dyn Fn(&EventLoopHandle, &Error)>;

impl<T, M> CreateServer<T, M> {
    fn new(event_loop: &EventLoopHandle, target: T, make: M) -> Self {
        Self {
            event_loop: event_loop.clone(),
            target,
            make,
            options: ListenOptions::default(),
            max_connections: usize::MAX,
            start_serving: true,
            on_refused: None,
            begin_tls: None,
        }
    }

    /// Sets how many connections the kernel keeps that were not accepted yet,
    /// and how many one turn accepts; 100 at first (contract SV-6, SV-7).
    pub fn backlog(mut self, backlog: u32) -> Self {
        self.options.backlog = backlog;
        self
    }

    /// Sets the most connections at once; the others wait in the kernel's
    /// backlog until one is gone. No limit at first but the loop's tables.
    pub fn max_connections(mut self, max_connections: usize) -> Self {
        self.max_connections = max_connections.max(1);
        self
    }

    /// Chooses whether to accept at once; otherwise the sockets are bound, and
    /// [`Server::start_serving`] begins. True at first (SV-14).
    pub fn start_serving(mut self, start_serving: bool) -> Self {
        self.start_serving = start_serving;
        self
    }

    /// Sets who is told about a connection that was accepted and could not be
    /// served: a table was full, or the factory panicked. At first that is
    /// reported to the exception handler; it is counted in any case (SV-9).
    pub fn on_refused(mut self, hook: impl Fn(&EventLoopHandle, &Error) + 'static) -> Self {
        self.on_refused = Some(Box::new(hook));
        self
    }
}

impl<A, M> CreateServer<Inet<A>, M> {
    /// Chooses whether the address may be bound while connections of a former
    /// server linger; true at first (SV-6).
    pub fn reuse_address(mut self, reuse_address: bool) -> Self {
        self.options.reuse_address = reuse_address;
        self
    }

    /// Chooses whether others may bind the same port, if all of them choose so:
    /// the kernel then spreads connections over them. False at first (SV-6).
    pub fn reuse_port(mut self, reuse_port: bool) -> Self {
        self.options.reuse_port = reuse_port;
        self
    }

    /// Sets what the look-up of the host is asked for, beside addresses to listen
    /// on.
    ///
    /// # Python
    /// `flags`, which is `AI_PASSIVE` at first.
    pub fn flags(mut self, flags: AddrInfoFlags) -> Self {
        self.options.flags = flags;
        self
    }

    /// Listens on IPv4 addresses alone.
    pub fn ipv4_only(mut self) -> Self {
        self.options.family = Some(IpFamily::V4);
        self
    }

    /// Listens on IPv6 addresses alone.
    pub fn ipv6_only(mut self) -> Self {
        self.options.family = Some(IpFamily::V6);
        self
    }
}

impl<T, F> CreateServer<T, WithStreams<F>> {
    /// Sets the most bytes that a reader buffers, so the longest line; 64 KiB at
    /// first.
    pub fn limit(mut self, limit: usize) -> Self {
        self.make.limit = limit;
        self
    }
}

impl<T: Target, M: MakeConnection> IntoFuture for CreateServer<T, M> {
    type Output = Result<Server>;
    type IntoFuture = Pin<Box<dyn StdFuture<Output = Result<Server>>>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { event_loop, target, make, options, max_connections, start_serving, on_refused, begin_tls } =
            self;
        // From here on nothing is borrowed: the address may have been.
        let listeners = target.bind(&event_loop, options);
        Box::pin(async move {
            let listen = async {
                if let Some(begin_tls) = &begin_tls {
                    // So that what can never be is an error here, and not of each client.
                    begin_tls()?;
                }
                // From here on a failure closes the sockets.
                let listeners = listeners.await?;
                let server = Server::new(event_loop, listeners, make, max_connections, on_refused, begin_tls);
                if start_serving && let Err(error) = server.start_serving() {
                    server.close();
                    return Err(error);
                }
                Ok(server)
            };
            listen.await.map_err(|error: Error| error.during(M::NAME))
        })
    }
}

impl<T, M> fmt::Debug for CreateServer<T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateServer").field("options", &self.options).finish_non_exhaustive()
    }
}

/// Where a server is to listen.
pub trait Target {
    /// Makes the sockets; what it is made of may end before the future does.
    #[doc(hidden)]
    fn bind(
        self,
        event_loop: &EventLoopHandle,
        options: ListenOptions,
    ) -> impl StdFuture<Output = Result<Vec<Listener>>> + 'static;
}

/// Internet addresses.
#[derive(Debug)]
pub struct Inet<A>(A);

impl<A: ToAddrs> Target for Inet<A> {
    fn bind(
        self,
        event_loop: &EventLoopHandle,
        options: ListenOptions,
    ) -> impl StdFuture<Output = Result<Vec<Listener>>> + 'static {
        let flags = AddrInfoFlags::PASSIVE | options.flags;
        let hints = Hints { family: options.family, flags, ..Hints::default() };
        bind_resolved(event_loop.clone(), self.0.resolve(event_loop, hints), options)
    }
}

async fn bind_resolved(
    event_loop: EventLoopHandle,
    addrs: impl StdFuture<Output = Result<Vec<SocketAddr>>>,
    options: ListenOptions,
) -> Result<Vec<Listener>> {
    bind_all(&event_loop, addrs.await?, options)
}

/// Binds a socket for each address.
///
/// One that this machine can't do is skipped, unless no other is left (SV-4); any
/// other failure closes what was opened (SV-5).
fn bind_all(
    event_loop: &EventLoopHandle,
    addrs: Vec<SocketAddr>,
    options: ListenOptions,
) -> Result<Vec<Listener>> {
    let mut listeners: Vec<Listener> = Vec::new();
    let mut skipped = None;
    let mut seen: Vec<SocketAddr> = Vec::new();
    for addr in addrs {
        if seen.contains(&addr) {
            continue;
        }
        seen.push(addr);
        match Listener::bind(event_loop, &addr.into(), options) {
            Ok(listener) => listeners.push(listener),
            Err(failed) if is_not_here(&failed.error) => {
                if event_loop.debug() {
                    log::warn!("a server skips {failed}");
                }
                skipped = Some(failed);
            }
            Err(error) => return Err(error.into()),
        }
    }
    match skipped {
        Some(error) if listeners.is_empty() => Err(error.into()),
        _ if listeners.is_empty() => Err(Error::of(ErrorKind::Io, "the host has no address")),
        _ => Ok(listeners),
    }
}

/// Tells whether an address is of a kind that this machine doesn't have.
fn is_not_here(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    crate::sys::is_family_unknown(error) || matches!(error.kind(), Kind::AddrNotAvailable | Kind::Unsupported)
}

/// The path of a UNIX socket.
#[derive(Debug)]
pub struct UnixPath(Result<UnixAddr, UnixAddrError>);

impl UnixPath {
    fn new(path: &Path) -> Self {
        Self(UnixAddr::try_from(path))
    }
}

impl Target for UnixPath {
    fn bind(
        self,
        event_loop: &EventLoopHandle,
        options: ListenOptions,
    ) -> impl StdFuture<Output = Result<Vec<Listener>>> + 'static {
        let event_loop = event_loop.clone();
        async move {
            let addr = Address::from(self.0?);
            Ok(vec![Listener::bind(&event_loop, &addr, options)?])
        }
    }
}

/// A socket that is bound already.
#[derive(Debug)]
pub struct Sock(OwnedFd);

impl Target for Sock {
    fn bind(
        self,
        event_loop: &EventLoopHandle,
        options: ListenOptions,
    ) -> impl StdFuture<Output = Result<Vec<Listener>>> + 'static {
        let event_loop = event_loop.clone();
        async move { Ok(vec![Listener::adopt(&event_loop, self.0, options.backlog)?]) }
    }
}

/// Makes something of an accepted connection.
pub trait MakeConnection: 'static {
    /// Is the name of the call, for its errors.
    #[doc(hidden)]
    const NAME: &'static str;

    /// Takes over the connection.
    #[doc(hidden)]
    fn connected(&mut self, connection: &Rc<Connection>) -> Result<()>;
}

/// Gives each connection a protocol.
pub struct WithProtocol<F, Kind> {
    factory: F,
    kind: core::marker::PhantomData<fn() -> Kind>,
}

impl<F, P, Kind> MakeConnection for WithProtocol<F, Kind>
where
    F: FnMut() -> P + 'static,
    P: StreamProtocol<Kind>,
    Kind: 'static,
{
    const NAME: &'static str = "create_server";

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
    client_connected: F,
    limit: usize,
}

impl<F> WithStreams<F> {
    fn new(client_connected: F) -> Self {
        Self { client_connected, limit: streams::DEFAULT_LIMIT }
    }
}

impl<F, Fut> MakeConnection for WithStreams<F>
where
    F: FnMut(StreamReader, StreamWriter) -> Fut + 'static,
    Fut: StdFuture<Output: Outcome + 'static> + 'static,
{
    const NAME: &'static str = "start_server";

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
        connection.event_loop().create_task(handler)?;
        Ok(())
    }
}

impl<F> fmt::Debug for WithStreams<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WithStreams")
    }
}

/// Makes something of each accepted connection.
type Factory = Box<dyn FnMut(&Rc<Connection>) -> Result<()>>;

/// Begins a TLS session for each accepted connection.
pub(crate) type BeginTls = Box<dyn Fn() -> Result<Box<TlsState>>>;

/// A server, as its listeners and its connections know it.
pub(crate) struct ServerState {
    event_loop: EventLoopHandle,
    local_addr: SocketAddr,
    listeners: RefCell<Vec<Rc<Listener>>>,
    /// Is gone when the server is closed.
    make: RefCell<Option<Factory>>,
    clients: RefCell<Slab<Weak<Connection>>>,
    max_connections: usize,
    accepted: Cell<u64>,
    refused: Cell<u64>,
    on_refused: Option<RefusedHook>,
    begin_tls: Option<BeginTls>,
    is_closed: Cell<bool>,
    /// Is set when the last connection is gone; made by the first who waits.
    over: RefCell<Option<Future<()>>>,
}

impl Describe for ServerState {
    fn describe(&self, row: &mut DescriptorRow) {
        let addr = self.event_loop.inner.kernel.local_addr(Fd::from_raw(row.fd));
        row.local = addr.map_or(SnapshotAddr::None, |addr| SnapshotAddr::new(&addr));
        row.connections = Some(self.clients.borrow().len());
        row.state = "listening";
    }
}

impl ServerState {
    pub(crate) fn is_full(&self) -> bool {
        self.clients.borrow().len() >= self.max_connections
    }

    /// Takes over an accepted connection, or closes it, counted and told.
    pub(crate) fn connected(self: &Rc<Self>, fd: Fd, peer: Address) {
        let key = self.clients.borrow_mut().insert(Weak::new());
        let (key_of_it, is_made) = (Cell::new(Some(key)), Cell::new(self.begin_tls.is_none()));
        let attached = Attached { server: Rc::clone(self), key: key_of_it, is_made };
        match self.make_connection(fd, peer, attached) {
            Ok(connection) => {
                self.accepted.set(self.accepted.get() + 1);
                self.event_loop.inner.meters.connections_accepted.add(1);
                if let Some(client) = self.clients.borrow_mut().get_mut(key)
                    && !connection.is_closed()
                {
                    *client = Rc::downgrade(&connection);
                }
            }
            Err(error) => self.refuse(&error),
        }
    }

    fn make_connection(&self, fd: Fd, peer: Address, attached: Attached) -> Result<Rc<Connection>> {
        let connection = Connection::new(&self.event_loop, fd, None, peer, Some(attached))?;
        match &self.begin_tls {
            Some(begin_tls) => connection.start_tls(begin_tls()?)?,
            None => self.make(&connection)?,
        }
        Ok(connection)
    }

    /// Makes something of a connection that is ready for it.
    fn make(&self, connection: &Rc<Connection>) -> Result<()> {
        let Some(make) = self.make.take() else { return Err(closed()) };
        let mut lent = Lent { server: self, make: Some(make) };
        self.event_loop
            .guard(|| lent.make(connection))
            .unwrap_or_else(|_| Err(Error::of(ErrorKind::Panicked, "the factory panicked")))
    }

    fn refuse(&self, error: &Error) {
        self.refused.set(self.refused.get() + 1);
        self.event_loop.inner.meters.connections_refused.add(1);
        match &self.on_refused {
            Some(hook) => {
                let _ = self.event_loop.guard(|| hook(&self.event_loop, error));
            }
            // Reported already, by the guard.
            None if error.kind() == ErrorKind::Panicked => {}
            None => {
                let context = ExceptionContext::new("connection refused").with_exception(error);
                self.event_loop.call_exception_handler(&context);
            }
        }
    }

    pub(crate) fn close(&self) {
        self.is_closed.set(true);
        let listeners = self.listeners.take();
        for listener in &listeners {
            listener.close();
        }
        // Lent if it is the factory that closes: it goes when it has returned.
        let make = self.make.take();
        drop(make);
        self.tell_waiters();
    }

    /// Is called when a listener was closed, by the server or by its loop; with
    /// the loop the server is closed too.
    pub(crate) fn listener_closed(&self) {
        if self.event_loop.is_closed() {
            self.close();
        }
    }

    fn is_over(&self) -> bool {
        (self.is_closed.get() || self.event_loop.is_closed()) && self.clients.borrow().is_empty()
    }

    pub(crate) fn tell_waiters(&self) {
        if self.is_over()
            && let Some(over) = self.over.take()
        {
            // Refused only by a closed loop, where nobody waits.
            let _ = over.set_result(());
        }
    }

    /// Returns what is set when the server is over.
    fn over(&self) -> Result<Future<()>> {
        if let Some(over) = &*self.over.borrow() {
            return Ok(over.clone());
        }
        let over = self.event_loop.create_future::<()>()?;
        self.over.replace(Some(over.clone()));
        Ok(over)
    }

    fn clients(&self) -> Vec<Rc<Connection>> {
        self.clients.borrow().iter().filter_map(|(_, client)| client.upgrade()).collect()
    }
}

/// The factory while it runs. It goes back to its server, or goes if that was
/// closed meanwhile: a factory may hold its own server.
struct Lent<'a> {
    server: &'a ServerState,
    make: Option<Factory>,
}

impl Lent<'_> {
    fn make(&mut self, connection: &Rc<Connection>) -> Result<()> {
        self.make.as_mut().map_or_else(|| Err(closed()), |make| make(connection))
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if !self.server.is_closed.get() {
            self.server.make.replace(self.make.take());
        }
    }
}

fn closed() -> Error {
    Error::of(ErrorKind::Closed, "the server is closed")
}

/// Says that a connection belongs to a server, and when it doesn't any more.
pub(crate) struct Attached {
    server: Rc<ServerState>,
    /// Tells that something was made of the connection.
    is_made: Cell<bool>,
    /// Is the place among the clients, until the socket is closed: it is somebody
    /// else's afterwards, and the connection may live on in a transport's hands.
    key: Cell<Option<usize>>,
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.detach();
    }
}

impl Attached {
    /// Is called when the handshake of an accepted connection is over.
    pub(crate) fn opened(&self, connection: &Rc<Connection>) {
        if !self.is_made.replace(true)
            && let Err(error) = self.server.make(connection)
        {
            self.server.refuse(&error);
            connection.abort();
        }
    }

    /// Is called when the handshake has failed, counted and told (SV-9).
    pub(crate) fn handshake_failed(&self, error: &Error) {
        if !self.is_made.get() {
            self.server.refuse(error);
        }
    }

    /// Is called when the connection's socket is closed.
    pub(crate) fn detach(&self) {
        let Some(key) = self.key.take() else { return };
        let was_full = self.server.is_full();
        self.server.clients.borrow_mut().try_remove(key);
        if was_full {
            for listener in &*self.server.listeners.borrow() {
                listener.accept_again();
            }
        }
        self.server.tell_waiters();
    }
}

/// A server that listens. It lives without this handle too (contract SV-12).
///
/// # Python
/// `asyncio.Server`.
#[derive(Clone)]
pub struct Server {
    state: Rc<ServerState>,
}

impl Server {
    fn new(
        event_loop: EventLoopHandle,
        listeners: Vec<Listener>,
        mut make: impl MakeConnection,
        max_connections: usize,
        on_refused: Option<RefusedHook>,
        begin_tls: Option<BeginTls>,
    ) -> Self {
        let first = listeners.iter().find_map(|listener| listener.addr.as_inet());
        let state = Rc::new(ServerState {
            event_loop,
            local_addr: first.unwrap_or_else(|| SocketAddr::from(([0; 4], 0))),
            listeners: RefCell::new(listeners.into_iter().map(Rc::new).collect()),
            make: RefCell::new(Some(Box::new(move |connection| make.connected(connection)))),
            clients: RefCell::new(Slab::new()),
            max_connections,
            accepted: Cell::new(0),
            refused: Cell::new(0),
            on_refused,
            begin_tls,
            is_closed: Cell::new(false),
            over: RefCell::new(None),
        });
        Self { state }
    }

    /// Returns the addresses of the listening sockets, with the ports that were
    /// picked for 0; none once the server is closed (SV-10).
    ///
    /// # Python
    /// `server.sockets`, and their `getsockname()`.
    #[must_use]
    pub fn sockets(&self) -> Vec<Address> {
        self.state.listeners.borrow().iter().map(|listener| listener.addr.clone()).collect()
    }

    /// Returns the internet address of the first socket, with the port that was
    /// picked for 0; also when the server is closed. Of a server of UNIX sockets
    /// it is the unspecified one, `0.0.0.0:0`.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.state.local_addr
    }

    /// Begins to accept, if it doesn't; on a server made with
    /// `start_serving(false)`.
    ///
    /// # Errors
    /// If the kernel refuses to listen, or a table is full: it can be tried again.
    /// `Closed` if the server is.
    ///
    /// # Python
    /// `await server.start_serving()`.
    pub fn start_serving(&self) -> Result<()> {
        if self.state.is_closed.get() {
            return Err(closed());
        }
        let listeners = self.state.listeners.borrow().clone();
        for listener in &listeners {
            listener.start(&self.state)?;
        }
        Ok(())
    }

    /// Tells whether it accepts connections.
    ///
    /// # Python
    /// `server.is_serving()`.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        let listeners = self.state.listeners.borrow();
        listeners.iter().any(|listener| listener.is_accepting())
    }

    /// Counts the open connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state.clients.borrow().len()
    }

    /// Counts the connections that were accepted and taken on since the start; with
    /// TLS also those whose handshake failed afterwards, which [`refused`](Self::refused)
    /// counts too.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.state.accepted.get()
    }

    /// Counts the connections that were accepted and could not be served.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.state.refused.get()
    }

    /// Stops accepting, at once; connections are left alone (SV-10). A second
    /// close does nothing.
    ///
    /// # Python
    /// `server.close()`.
    pub fn close(&self) {
        self.state.close();
    }

    /// Closes all connections: each sends what was written first.
    ///
    /// # Python
    /// `server.close_clients()`.
    pub fn close_clients(&self) {
        for client in self.state.clients() {
            client.close();
        }
    }

    /// Ends all connections, without sending what is still in their buffers.
    ///
    /// # Python
    /// `server.abort_clients()`.
    pub fn abort_clients(&self) {
        for client in self.state.clients() {
            client.abort();
        }
    }

    /// Waits until the server is closed and its last connection gone (SV-11).
    ///
    /// # Errors
    /// If the task is cancelled, or there is no room for the wait.
    ///
    /// # Cancellation
    /// Safe; other waiters go on.
    ///
    /// # Python
    /// `await server.wait_closed()`.
    pub async fn wait_closed(&self) -> Result<()> {
        if self.state.is_over() {
            return Ok(());
        }
        let over = self.state.over()?;
        Ok(over.wait().await?)
    }

    /// Accepts until the task is cancelled, and then closes the server. Ends
    /// without an error if somebody else closes it, when its last connection is
    /// gone.
    ///
    /// # Errors
    /// The cancellation; as [`start_serving`](Self::start_serving).
    ///
    /// # Cancellation
    /// Closes the server, and leaves its connections alone.
    ///
    /// # Python
    /// `await server.serve_forever()`.
    pub async fn serve_forever(&self) -> Result<()> {
        self.start_serving()?;
        let _closed = CloseOnDrop(self);
        self.wait_closed().await
    }

    /// Stops accepting, closes all connections and waits until they have sent
    /// what was written; those that have not after `limit` are aborted. Returns
    /// the peers of the aborted ones (FAULTS A-10).
    ///
    /// # Errors
    /// If the task is cancelled: the server is closed and the connections are
    /// closing then; or if there is no room for the wait.
    pub async fn shutdown(&self, limit: Duration) -> Result<Vec<Address>> {
        self.close();
        self.close_clients();
        match self.state.event_loop.timeout(limit, self.wait_closed()).await {
            Ok(waited) => return waited.map(|()| Vec::new()),
            Err(rondel_core::TimeoutError::TimedOut) => {}
            Err(error) => return Err(error.into()),
        }
        let late = self.state.clients();
        for client in &late {
            client.abort();
        }
        self.wait_closed().await?;
        Ok(late.iter().map(|client| client.peer_addr()).collect())
    }
}

/// Closes a server on every way out.
struct CloseOnDrop<'a>(&'a Server);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sockets = self.state.listeners.borrow();
        write!(f, "Server({:?}, connections={})", &*sockets, self.connections())
    }
}

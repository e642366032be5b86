//! Client connections: `create_connection`, `open_connection` and their kin.

#![allow(private_interfaces, reason = "the traits of the builders are implemented here alone")]

use core::fmt;
use core::future::Future;
use core::marker::PhantomData;
use core::net::SocketAddr;
use core::panic::Location;
use core::pin::Pin;
use core::time::Duration;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use crate::dns::{AddrInfoFlags, Hints, IpFamily};
use crate::net::address::{Address, UnixAddr, UnixAddrError};
use crate::net::connect::{Race, RaceOptions, connect_unix};
use crate::net::connection::{Connection, Until};
use crate::net::listener::adopt;
use crate::net::server::Origin;
use crate::net::to_addrs::ToAddrs;
use crate::protocol::{ProtocolRef, Seat, StreamProtocol};
use crate::streams::{self, StreamReader, StreamWriter};
use crate::sys::{Fd, SocketKind, Token};
use crate::tls::TlsState;
use crate::transport::Transport;
use crate::{EventLoopHandle, Result};

/// Is how long an attempt may take before the next begins beside it (RFC 8305,
/// section 5).
const HAPPY_EYEBALLS_DELAY: Duration = Duration::from_millis(250);

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
    /// # Python
    /// `asyncio.open_connection(host, port)`.
    #[track_caller]
    pub fn open_connection<A: ToAddrs>(&self, addr: A) -> CreateConnection<Remote<A>, ClientStreams> {
        CreateConnection::new(self, Remote::new(addr), ClientStreams::default())
    }

    /// As [`open_connection`](Self::open_connection), on a socket that is
    /// connected already.
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
    /// # Python
    /// `asyncio.open_unix_connection(path)`.
    #[track_caller]
    pub fn open_unix_connection(&self, path: impl AsRef<Path>) -> CreateConnection<UnixPeer, ClientStreams> {
        CreateConnection::new(self, UnixPeer(UnixAddr::try_from(path.as_ref())), ClientStreams::default())
    }
}

/// The options of a connection; await it to connect.
///
/// # Errors
/// Awaiting it fails with [`ErrorKind::Io`](crate::ErrorKind) and a
/// [`ConnectError`](crate::ConnectError) that names each address that was tried
/// (contract CC-6); with `NameResolution`; with `Full` if a table is.
///
/// # Cancellation
/// Safe: every socket is closed, the one that was passed in too (CC-10).
///
/// # Python
/// The keyword arguments of `loop.create_connection` and `asyncio.open_connection`.
#[must_use = "does nothing until it is awaited"]
pub struct CreateConnection<T, M> {
    event_loop: EventLoopHandle,
    target: T,
    make: M,
    location: &'static Location<'static>,
    pub(crate) begin_tls: Option<BeginTls>,
}

/// Begins a TLS session with the host that is named.
pub(crate) type BeginTls = Box<dyn FnOnce(Option<String>) -> Result<Box<TlsState>>>;

impl<T, M> CreateConnection<T, M> {
    #[track_caller]
    fn new(event_loop: &EventLoopHandle, target: T, make: M) -> Self {
        let location = Location::caller();
        Self { event_loop: event_loop.clone(), target, make, location, begin_tls: None }
    }
}

impl<A, M> CreateConnection<Remote<A>, M> {
    /// Sets the address of our side; of several the first that works (CC-5).
    pub fn local_addr(mut self, addr: impl ToAddrs) -> Self {
        let addrs = addr.resolve(&self.event_loop, Hints::at(self.location));
        self.target.locals = Some(Box::pin(addrs));
        self
    }

    /// Connects to IPv4 addresses alone.
    pub fn ipv4_only(mut self) -> Self {
        self.target.family = Some(IpFamily::V4);
        self
    }

    /// Connects to IPv6 addresses alone.
    pub fn ipv6_only(mut self) -> Self {
        self.target.family = Some(IpFamily::V6);
        self
    }

    /// Sets the protocol of the socket and of the look-up, as `IPPROTO_TCP`; 0, the
    /// system's choice, at first.
    ///
    /// # Python
    /// `proto`.
    pub fn proto(mut self, protocol: i32) -> Self {
        self.target.protocol = protocol;
        self
    }

    /// Sets what the look-up of the host is asked for.
    ///
    /// # Python
    /// `flags`.
    pub fn flags(mut self, flags: AddrInfoFlags) -> Self {
        self.target.flags = flags;
        self
    }

    /// Sets how long an attempt may take before the one to the next address
    /// begins beside it (RFC 8305); `None` waits until it has failed. 250 ms at
    /// first.
    ///
    /// # Python
    /// `happy_eyeballs_delay`, which is `None` at first.
    pub fn happy_eyeballs_delay(mut self, delay: Option<Duration>) -> Self {
        self.target.happy_eyeballs_delay = delay;
        self
    }

    /// Sets how many addresses of the first family come before the families take
    /// turns; 0 keeps the resolver's order. 1 at first.
    ///
    /// # Python
    /// `interleave`.
    pub fn interleave(mut self, interleave: usize) -> Self {
        self.target.interleave = interleave;
        self
    }
}

impl<T> CreateConnection<T, ClientStreams> {
    /// Sets the most bytes that the reader buffers, so the longest line; 64 KiB
    /// at first.
    pub fn limit(mut self, limit: usize) -> Self {
        self.make.limit = limit;
        self
    }
}

impl<T: Connect, M: MakeClient> IntoFuture for CreateConnection<T, M> {
    type Output = Result<M::Client>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<M::Client>>>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { event_loop, target, make, location, begin_tls } = self;
        let tls = begin_tls.map(|begin_tls| begin_tls(target.host())).transpose();
        // From here on nothing is borrowed: the address may have been.
        let connected = target.connect(&event_loop, location);
        Box::pin(async move {
            let connected = async {
                // What can never be is told before the network is asked for anything.
                let tls = tls?;
                let (fd, token, peer) = connected.await?;
                let connection = Connection::new(Origin::asked_at(location, &event_loop), fd, token, peer)?;
                if let Some(tls) = tls {
                    connection.start_tls(tls)?;
                    let unwanted = AbortOnDrop(&connection);
                    connection.until(Until::Open).await?;
                    core::mem::forget(unwanted);
                }
                make.make(connection).await
            };
            connected.await.map_err(|error| error.during(M::NAME))
        })
    }
}

impl<T, M> fmt::Debug for CreateConnection<T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CreateConnection")
    }
}

/// A connected socket, its token if it is watched, and the address of its peer.
type Socket = (Fd, Option<Token>, Address);

/// How to get a connected socket.
pub trait Connect {
    /// Returns the host that it is to connect to, as it was named.
    #[doc(hidden)]
    fn host(&self) -> Option<String> {
        None
    }

    /// Connects, for who asked at `location`; what it is made of may end before the future does.
    #[doc(hidden)]
    fn connect(
        self,
        event_loop: &EventLoopHandle,
        location: &'static Location<'static>,
    ) -> impl Future<Output = Result<Socket>> + 'static;
}

/// The addresses of our side, to be resolved.
type Locals = Pin<Box<dyn Future<Output = Result<Vec<SocketAddr>>>>>;

/// A host and port, or addresses.
pub struct Remote<A> {
    addr: A,
    locals: Option<Locals>,
    family: Option<IpFamily>,
    protocol: i32,
    flags: AddrInfoFlags,
    happy_eyeballs_delay: Option<Duration>,
    interleave: usize,
}

impl<A> Remote<A> {
    fn new(addr: A) -> Self {
        let happy_eyeballs_delay = Some(HAPPY_EYEBALLS_DELAY);
        let flags = AddrInfoFlags::default();
        Self { addr, locals: None, family: None, protocol: 0, flags, happy_eyeballs_delay, interleave: 1 }
    }
}

impl<A: ToAddrs> Connect for Remote<A> {
    fn host(&self) -> Option<String> {
        self.addr.host()
    }

    fn connect(
        self,
        event_loop: &EventLoopHandle,
        location: &'static Location<'static>,
    ) -> impl Future<Output = Result<Socket>> + 'static {
        let Self { addr, locals, family, protocol, flags, happy_eyeballs_delay, interleave } = self;
        let addrs = addr.resolve(event_loop, Hints { family, protocol, flags, ..Hints::at(location) });
        let options =
            RaceOptions { locals: Vec::new(), protocol, happy_eyeballs_delay, interleave, location };
        connect_resolved(event_loop.clone(), addrs, locals, options)
    }
}

async fn connect_resolved(
    event_loop: EventLoopHandle,
    addrs: impl Future<Output = Result<Vec<SocketAddr>>>,
    locals: Option<Locals>,
    mut options: RaceOptions,
) -> Result<Socket> {
    let addrs = addrs.await?;
    if let Some(locals) = locals {
        options.locals = locals.await?;
    }
    Ok(Race::new(&event_loop, addrs, options).await?.into_parts())
}

impl<A> fmt::Debug for Remote<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Remote")
    }
}

/// The path of a UNIX socket.
#[derive(Debug)]
pub struct UnixPeer(Result<UnixAddr, UnixAddrError>);

impl Connect for UnixPeer {
    fn connect(
        self,
        event_loop: &EventLoopHandle,
        location: &'static Location<'static>,
    ) -> impl Future<Output = Result<Socket>> + 'static {
        let event_loop = event_loop.clone();
        async move { Ok(connect_unix(&event_loop, Address::Unix(self.0?), location).await?.into_parts()) }
    }
}

/// A socket that is connected already.
#[derive(Debug)]
pub struct Connected(OwnedFd);

impl Connect for Connected {
    fn connect(
        self,
        event_loop: &EventLoopHandle,
        _: &'static Location<'static>,
    ) -> impl Future<Output = Result<Socket>> + 'static {
        let event_loop = event_loop.clone();
        async move { self.take_over(&event_loop) }
    }
}

impl Connected {
    fn take_over(self, event_loop: &EventLoopHandle) -> Result<Socket> {
        event_loop.check_unwatched(Fd::from_raw(self.0.as_raw_fd()))?;
        let fd = adopt(event_loop, self.0, SocketKind::Stream)?;
        let kernel = &event_loop.inner.kernel;
        match kernel.peer_addr(fd) {
            Ok(peer) => Ok((fd, None, peer)),
            // A UNIX socket forgets its peer when that closes; what it sent before
            // is still to be read.
            Err(error) if is_gone(&error) && matches!(kernel.local_addr(fd), Ok(Address::Unix(_))) => {
                Ok((fd, None, UnixAddr::from_kernel(&[]).into()))
            }
            Err(error) => {
                // Reset meanwhile says more than not connected.
                let reset = kernel.take_error(fd).ok().flatten();
                kernel.close(fd);
                Err(reset.unwrap_or(error).into())
            }
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotConnected
}

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
    factory: F,
    kind: PhantomData<fn() -> Kind>,
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
        connection.start(Rc::<Seat<P, Kind>>::clone(&seat) as _)?;
        let unwanted = AbortOnDrop(&connection);
        connection.until(Until::Made).await?;
        core::mem::forget(unwanted);
        Ok((Transport { connection }, ProtocolRef::new(seat)))
    }
}

impl<F, Kind> fmt::Debug for ClientProtocol<F, Kind> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientProtocol")
    }
}

/// Ends a connection whose caller goes away before it gets it (CC-10).
pub(crate) struct AbortOnDrop<'a>(pub(crate) &'a Rc<Connection>);

impl Drop for AbortOnDrop<'_> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Gives out the two halves of the connection.
#[derive(Debug)]
pub struct ClientStreams {
    limit: usize,
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

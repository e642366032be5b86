//! Making endpoints: `create_datagram_endpoint` and its kin.

#![allow(private_interfaces, private_bounds, reason = "the trait of the builder is implemented here alone")]

use core::fmt;
use core::future::Future;
use core::net::SocketAddr;
use core::panic::Location;
use core::pin::Pin;
use core::time::Duration;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;

use crate::dns::{AddrInfoFlags, Hints, IpFamily, SocketType};
use crate::net::address::{Address, UnixAddr, UnixAddrError};
use crate::net::datagram::endpoint::{Endpoint, ReceiveRate};
use crate::net::datagram::opened::{Opened, prepare};
use crate::net::datagram::protocol::DatagramProtocol;
use crate::net::datagram::transport::DatagramTransport;
use crate::net::listener::{AddressError, adopt};
use crate::net::to_addrs::ToAddrs;
use crate::net::unix;
use crate::protocol::{ProtocolRef, Seat, kind};
use crate::sys::{Family, SocketKind};
use crate::{EventLoopHandle, Result};

impl EventLoopHandle {
    /// Makes a UDP endpoint and gives it a protocol made by `factory`, which is
    /// called once, when the socket stands. Ends when `connection_made` has
    /// returned.
    ///
    /// ```
    /// use rondel::{Address, DatagramProtocol, DatagramTransport};
    ///
    /// struct Echo;
    ///
    /// impl DatagramProtocol for Echo {
    ///     fn datagram_received(
    ///         &mut self,
    ///         transport: &DatagramTransport,
    ///         data: &[u8],
    ///         addr: &Address,
    ///     ) -> rondel::Result<()> {
    ///         transport.sendto(data, addr)
    ///     }
    /// }
    ///
    /// rondel::run(async |event_loop| {
    ///     let (transport, _echo) =
    ///         event_loop.create_datagram_endpoint(|| Echo).local_addr("127.0.0.1:0").await?;
    ///     println!("receiving on {:?}", transport.local_addr());
    ///     transport.close();
    ///     Ok(())
    /// })?;
    /// # Ok::<(), rondel::Error>(())
    /// ```
    ///
    /// # Python
    /// `loop.create_datagram_endpoint(factory, local_addr, remote_addr)`.
    #[track_caller]
    pub fn create_datagram_endpoint<F, P>(&self, factory: F) -> CreateDatagramEndpoint<InetPair, F>
    where
        F: FnOnce() -> P + 'static,
        P: DatagramProtocol,
    {
        CreateDatagramEndpoint::new(self, InetPair::default(), factory)
    }

    /// As [`create_datagram_endpoint`](Self::create_datagram_endpoint), on a
    /// datagram socket from elsewhere, of UDP or UNIX. It becomes the transport's,
    /// also if this fails (contract DG-1).
    ///
    /// # Python
    /// `loop.create_datagram_endpoint(factory, sock=sock)`.
    #[track_caller]
    pub fn create_datagram_endpoint_with_sock<F, P>(
        &self,
        factory: F,
        socket: impl Into<OwnedFd>,
    ) -> CreateDatagramEndpoint<DatagramSock, F>
    where
        F: FnOnce() -> P + 'static,
        P: DatagramProtocol,
    {
        CreateDatagramEndpoint::new(self, DatagramSock(socket.into()), factory)
    }

    /// As [`create_datagram_endpoint`](Self::create_datagram_endpoint), on a UNIX
    /// socket. Without a path of its own nobody can answer it.
    ///
    /// # Python
    /// `loop.create_datagram_endpoint(factory, path, family=socket.AF_UNIX)`.
    #[track_caller]
    pub fn create_unix_datagram_endpoint<F, P>(&self, factory: F) -> CreateDatagramEndpoint<UnixPair, F>
    where
        F: FnOnce() -> P + 'static,
        P: DatagramProtocol,
    {
        CreateDatagramEndpoint::new(self, UnixPair::default(), factory)
    }
}

/// The options of a datagram endpoint; await it to make it.
///
/// There is no `reuse_address`: on a datagram socket it would let any other
/// program of the same user take the port over, and asyncio refuses it for that
/// reason (contract DG-4).
///
/// # Errors
/// Awaiting it fails with [`ErrorKind::Io`](crate::ErrorKind) if no pair of
/// addresses works, for the reason that the first one met (DG-3); with
/// `InvalidInput` inside if nothing tells the family (DG-2), or no local address
/// is of the family of a remote one; with `NameResolution`; with `Full` if a table
/// is.
///
/// # Cancellation
/// Safe: every socket is closed, the one that was passed in too.
#[must_use = "does nothing until it is awaited"]
pub struct CreateDatagramEndpoint<T, F> {
    event_loop: EventLoopHandle,
    target: T,
    factory: F,
    location: &'static Location<'static>,
    rate: Option<ReceiveRate>,
}

impl<T, F> CreateDatagramEndpoint<T, F> {
    #[track_caller]
    fn new(event_loop: &EventLoopHandle, target: T, factory: F) -> Self {
        let location = Location::caller();
        Self { event_loop: event_loop.clone(), target, factory, location, rate: None }
    }

    /// Takes at most `datagrams` in each `per` from the kernel, so that a storm
    /// doesn't use up the processor. Of the others those wait that the kernel's
    /// buffer has room for; the rest is lost and counted
    /// ([`DatagramTransport::dropped_receives`], FAULTS C-08). No limit at first.
    pub fn receive_rate(mut self, datagrams: usize, per: Duration) -> Self {
        self.rate = Some(ReceiveRate { datagrams: datagrams.max(1), per });
        self
    }
}

impl<F> CreateDatagramEndpoint<InetPair, F> {
    /// Sets the protocol of the socket, and of the look-ups of addresses that are
    /// given after this; 0, the system's choice, at first.
    ///
    /// # Python
    /// `proto`.
    pub fn proto(mut self, protocol: i32) -> Self {
        self.target.protocol = protocol;
        self
    }

    /// Sets what the look-ups of addresses that are given after this are asked
    /// for.
    ///
    /// # Python
    /// `flags`.
    pub fn flags(mut self, flags: AddrInfoFlags) -> Self {
        self.target.flags = flags;
        self
    }

    /// Sets the address of our side; of several the first that works.
    pub fn local_addr(mut self, addr: impl ToAddrs) -> Self {
        let hints = self.target.hints(AddrInfoFlags::PASSIVE, self.location);
        self.target.locals = Some(Box::pin(addr.resolve(&self.event_loop, hints)));
        self
    }

    /// Sets the only address that datagrams go to; of several the first that
    /// works. Datagrams from others are not received, unless
    /// [`allow_broadcast`](Self::allow_broadcast) is set.
    pub fn remote_addr(mut self, addr: impl ToAddrs) -> Self {
        let hints = self.target.hints(AddrInfoFlags::default(), self.location);
        self.target.remotes = Some(Box::pin(addr.resolve(&self.event_loop, hints)));
        self
    }

    /// Uses IPv4 addresses alone; without an address the endpoint is not bound,
    /// and its first datagram chooses a port (DG-2).
    pub fn ipv4_only(mut self) -> Self {
        self.target.family = Some(IpFamily::V4);
        self
    }

    /// Uses IPv6 addresses alone; without an address the endpoint is not bound,
    /// and its first datagram chooses a port (DG-2).
    pub fn ipv6_only(mut self) -> Self {
        self.target.family = Some(IpFamily::V6);
        self
    }

    /// Chooses whether others may bind the same port, if all of them choose so:
    /// the kernel then spreads datagrams over them by their sender. False at first
    /// (DG-4).
    pub fn reuse_port(mut self, reuse_port: bool) -> Self {
        self.target.reuse_port = reuse_port;
        self
    }

    /// Chooses whether datagrams may go to a broadcast address. The socket is not
    /// connected to its remote address then, so that anybody may answer. False at
    /// first (DG-4).
    pub fn allow_broadcast(mut self, allow_broadcast: bool) -> Self {
        self.target.allow_broadcast = allow_broadcast;
        self
    }
}

impl<F> CreateDatagramEndpoint<UnixPair, F> {
    /// Sets the path of our side; one that starts with a NUL is an abstract name.
    ///
    /// A socket file that nobody reads any more is replaced; a live one, and
    /// anything else at the path, is left alone (UX-2, UX-3). The file goes with
    /// the endpoint, if it is still its own (UX-6).
    pub fn local_path(mut self, path: impl AsRef<Path>) -> Self {
        self.target.local = Some(UnixAddr::try_from(path.as_ref()));
        self
    }

    /// Sets the only path that datagrams go to, and come from; one that starts
    /// with a NUL is an abstract name.
    pub fn remote_path(mut self, path: impl AsRef<Path>) -> Self {
        self.target.remote = Some(UnixAddr::try_from(path.as_ref()));
        self
    }
}

impl<T, F, P> IntoFuture for CreateDatagramEndpoint<T, F>
where
    T: Open,
    F: FnOnce() -> P + 'static,
    P: DatagramProtocol,
{
    type Output = Result<(DatagramTransport, ProtocolRef<P>)>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output>>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { event_loop, target, factory, location, rate } = self;
        Box::pin(async move {
            let made = async {
                let opened = target.open(&event_loop).await?;
                let endpoint = Endpoint::new(opened, rate, location)?;
                let seat = Seat::<P, kind::Datagrams>::new(factory());
                let made = event_loop.create_future_from(location)?;
                endpoint.start(Rc::<Seat<P, kind::Datagrams>>::clone(&seat) as _, made.clone())?;
                let unwanted = AbortOnDrop(&endpoint);
                made.await?;
                core::mem::forget(unwanted);
                Ok((DatagramTransport { endpoint }, ProtocolRef::new(seat)))
            };
            made.await.map_err(|error: crate::Error| error.during("create_datagram_endpoint"))
        })
    }
}

impl<T, F> fmt::Debug for CreateDatagramEndpoint<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CreateDatagramEndpoint")
    }
}

/// Ends an endpoint whose caller goes away before it gets it.
struct AbortOnDrop<'a>(&'a Rc<Endpoint>);

impl Drop for AbortOnDrop<'_> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How to get a datagram socket.
pub trait Open: 'static {
    /// Makes it.
    #[doc(hidden)]
    fn open(self, event_loop: &EventLoopHandle) -> impl Future<Output = Result<Opened>>;
}

/// Addresses that are known, or are looked up.
type Addrs = Pin<Box<dyn Future<Output = Result<Vec<SocketAddr>>>>>;

/// The addresses of a UDP endpoint.
#[derive(Default)]
pub struct InetPair {
    locals: Option<Addrs>,
    remotes: Option<Addrs>,
    family: Option<IpFamily>,
    protocol: i32,
    flags: AddrInfoFlags,
    reuse_port: bool,
    allow_broadcast: bool,
}

impl InetPair {
    /// Makes what is asked of the resolver.
    fn hints(&self, flags: AddrInfoFlags, location: &'static Location<'static>) -> Hints {
        let (protocol, flags) = (self.protocol, flags | self.flags);
        Hints { family: None, kind: Some(SocketType::Datagram), protocol, flags, location }
    }
}

impl fmt::Debug for InetPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InetPair")
    }
}

impl Open for InetPair {
    async fn open(self, event_loop: &EventLoopHandle) -> Result<Opened> {
        let Self { locals, remotes, family, protocol, reuse_port, allow_broadcast, .. } = self;
        let locals = resolved(locals).await?;
        let remotes = resolved(remotes).await?;
        let mut failed = None;
        for (family, local, remote) in pairs(family, locals, remotes)? {
            let open = || {
                let fd = event_loop.inner.kernel.socket(family, SocketKind::Datagram, protocol)?;
                let mut opened = Opened::new(event_loop, fd, false);
                prepare(&opened, reuse_port, allow_broadcast)?;
                bind_and_connect(&mut opened, local.as_ref(), remote.as_ref(), !allow_broadcast)?;
                Ok(opened)
            };
            match open() {
                Ok(opened) => return Ok(opened),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        Err(failed.unwrap_or_else(no_pair).into())
    }
}

async fn resolved(addrs: Option<Addrs>) -> Result<Option<Vec<SocketAddr>>> {
    match addrs {
        Some(addrs) => Ok(Some(addrs.await?)),
        None => Ok(None),
    }
}

/// A family, our address and the remote one.
type Pair = (Family, Option<Address>, Option<Address>);

/// Pairs addresses of the same family, in their order (DG-3).
///
/// # Errors
/// If there is no family (DG-2), or no pair.
fn pairs(
    family: Option<IpFamily>,
    locals: Option<Vec<SocketAddr>>,
    remotes: Option<Vec<SocketAddr>>,
) -> io::Result<Vec<Pair>> {
    let fits = |addr: &SocketAddr| family.is_none_or(|family| addr.is_ipv4() == (family == IpFamily::V4));
    let side = |addrs: Option<Vec<SocketAddr>>| match addrs {
        Some(addrs) => addrs.into_iter().filter(fits).map(|addr| Some(Address::from(addr))).collect(),
        None => vec![None],
    };
    let unbound = match family {
        Some(IpFamily::V4) => Some(Family::Ipv4),
        Some(IpFamily::V6) => Some(Family::Ipv6),
        None => None,
    };
    let (locals, remotes): (Vec<_>, Vec<_>) = (side(locals), side(remotes));
    let mut pairs = Vec::new();
    for remote in &remotes {
        for local in &locals {
            let (ours, theirs) = (local.as_ref().map(Family::of), remote.as_ref().map(Family::of));
            let family = match (ours, theirs) {
                (Some(ours), Some(theirs)) if ours != theirs => continue,
                _ => ours.or(theirs).or(unbound),
            };
            let Some(family) = family else {
                let message = "neither an address nor a family";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            };
            pairs.push((family, local.clone(), remote.clone()));
        }
    }
    if pairs.is_empty() { Err(no_pair()) } else { Ok(pairs) }
}

fn no_pair() -> io::Error {
    let message = "no local address and remote address of the same family";
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

fn bind_and_connect(
    opened: &mut Opened,
    local: Option<&Address>,
    remote: Option<&Address>,
    connects: bool,
) -> io::Result<()> {
    let kernel = &opened.event_loop.inner.kernel;
    let named = |addr: &Address, error: io::Error| {
        io::Error::new(error.kind(), AddressError { addr: addr.clone(), error })
    };
    if let Some(local) = local {
        let bound = unix::bind(kernel, opened.fd, local, SocketKind::Datagram);
        opened.file = bound.map_err(|error| named(local, error))?;
    }
    if let Some(remote) = remote {
        if connects {
            kernel.connect(opened.fd, remote).map_err(|error| named(remote, error))?;
        }
        opened.remote = Some(remote.clone());
        opened.is_connected = connects;
    }
    Ok(())
}

/// The paths of a UNIX endpoint.
#[derive(Debug, Default)]
pub struct UnixPair {
    local: Option<Result<UnixAddr, UnixAddrError>>,
    remote: Option<Result<UnixAddr, UnixAddrError>>,
}

impl Open for UnixPair {
    async fn open(self, event_loop: &EventLoopHandle) -> Result<Opened> {
        let local = self.local.transpose()?.map(Address::from);
        let remote = self.remote.transpose()?.map(Address::from);
        let fd = event_loop.inner.kernel.socket(Family::Unix, SocketKind::Datagram, 0)?;
        let mut opened = Opened::new(event_loop, fd, true);
        bind_and_connect(&mut opened, local.as_ref(), remote.as_ref(), true)?;
        Ok(opened)
    }
}

/// A datagram socket from elsewhere.
#[derive(Debug)]
pub struct DatagramSock(OwnedFd);

impl Open for DatagramSock {
    async fn open(self, event_loop: &EventLoopHandle) -> Result<Opened> {
        let fd = adopt(event_loop, self.0, SocketKind::Datagram)?;
        let kernel = &event_loop.inner.kernel;
        let mut opened = Opened::new(event_loop, fd, false);
        opened.is_unix = kernel.socket_kind(fd)?.0 == Family::Unix;
        opened.remote = kernel.peer_addr(fd).ok();
        opened.is_connected = opened.remote.is_some();
        Ok(opened)
    }
}

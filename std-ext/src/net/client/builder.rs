//! What a client is asked for.

#![allow(private_interfaces, reason = "the traits of the builders are implemented here alone")]

use core::fmt;
use core::future::Future;
use core::panic::Location;
use core::pin::Pin;
use core::time::Duration;

use super::make::{ClientStreams, MakeClient};
use super::target::{Connect, Remote};
use crate::dns::{AddrInfoFlags, Hints, IpFamily};
use crate::net::connection::Connection;
use crate::net::server::Origin;
use crate::net::to_addrs::ToAddrs;
use crate::tls::TlsState;
use crate::{EventLoopHandle, Result};

/// The options of a connection; await it to connect.
///
/// # Errors
/// Awaiting it fails with [`ErrorKind::Io`](crate::ErrorKind), or `TimedOut` where the
/// system gave up, and a [`ConnectError`](crate::ConnectError) that names each address
/// that was tried (contract CC-6); with `NameResolution`; with `Tls` if the handshake
/// fails, or `TimedOut` if it takes too long; with `Full` if a table is; with
/// `Cancelled` or `Closed`. A socket that was passed in is refused with `InvalidInput`
/// in an `Io` if it is no stream's, with `Busy` if a callback watches it, and with what
/// its peer has reset it for; a path with a
/// [`UnixAddrError`](crate::UnixAddrError) if it can't be one.
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
type BeginTls = Box<dyn FnOnce(Option<String>) -> Result<Box<TlsState>>>;

impl<T, M> CreateConnection<T, M> {
    #[track_caller]
    pub(super) fn new(event_loop: &EventLoopHandle, target: T, make: M) -> Self {
        let location = Location::caller();
        Self { event_loop: event_loop.clone(), target, make, location, begin_tls: None }
    }
}

impl<A, M> CreateConnection<Remote<A>, M> {
    /// Sets the address of our side; of several the first that works (CC-5).
    ///
    /// # Python
    /// `local_addr`.
    pub fn local_addr(mut self, addr: impl ToAddrs) -> Self {
        let addrs = addr.resolve(&self.event_loop, Hints::at(self.location));
        self.target.locals = Some(Box::pin(addrs));
        self
    }

    /// Connects to IPv4 addresses alone.
    ///
    /// # Python
    /// `family=socket.AF_INET`.
    pub fn ipv4_only(mut self) -> Self {
        self.target.family = Some(IpFamily::V4);
        self
    }

    /// Connects to IPv6 addresses alone.
    ///
    /// # Python
    /// `family=socket.AF_INET6`.
    pub fn ipv6_only(mut self) -> Self {
        self.target.family = Some(IpFamily::V6);
        self
    }

    /// Sets the protocol of the socket and of the look-up, as `IPPROTO_TCP`; 0, the
    /// system's choice, by default.
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
    /// begins beside it (RFC 8305); `None` waits until it has failed. 250 ms by
    /// default.
    ///
    /// # Python
    /// `happy_eyeballs_delay`, which is `None` by default.
    pub fn happy_eyeballs_delay(mut self, delay: Option<Duration>) -> Self {
        self.target.happy_eyeballs_delay = delay;
        self
    }

    /// Sets how many addresses of the first family come before the families take
    /// turns; 0 keeps the resolver's order. 1 by default.
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
    /// by default.
    ///
    /// # Python
    /// `limit`; there a reader takes up to twice as much before it pauses.
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
                    connection.begin_tls(tls).await?;
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

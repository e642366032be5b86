//! What an endpoint is asked for.

#![allow(private_interfaces, private_bounds, reason = "the trait of the builder is implemented here alone")]

use core::fmt;
use core::future::Future;
use core::panic::Location;
use core::pin::Pin;
use core::time::Duration;
use std::path::Path;
use std::rc::Rc;

use super::target::{InetPair, Open, UnixPair};
use crate::dns::{AddrInfoFlags, IpFamily};
use crate::net::address::UnixAddr;
use crate::net::datagram::endpoint::{Endpoint, ReceiveRate};
use crate::net::datagram::protocol::DatagramProtocol;
use crate::net::datagram::transport::DatagramTransport;
use crate::net::to_addrs::ToAddrs;
use crate::protocol::{ProtocolRef, Seat, kind};
use crate::{EventLoopHandle, Result};

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
///
/// # Python
/// The keyword arguments of `loop.create_datagram_endpoint`.
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
    pub(super) fn new(event_loop: &EventLoopHandle, target: T, factory: F) -> Self {
        let location = Location::caller();
        Self { event_loop: event_loop.clone(), target, factory, location, rate: None }
    }

    /// Takes at most `datagrams` in each `per` from the kernel, so that a storm
    /// doesn't use up the processor. Of the others those wait that the kernel's
    /// buffer has room for; the rest is lost and counted
    /// ([`DatagramTransport::dropped_receives`], FAULTS C-08). No limit by default.
    pub fn receive_rate(mut self, datagrams: usize, per: Duration) -> Self {
        self.rate = Some(ReceiveRate { datagrams: datagrams.max(1), per });
        self
    }
}

impl<F> CreateDatagramEndpoint<InetPair, F> {
    /// Sets the protocol of the socket, and of the look-ups of addresses that are
    /// given after this; 0, the system's choice, by default.
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
    ///
    /// # Python
    /// `local_addr`.
    pub fn local_addr(mut self, addr: impl ToAddrs) -> Self {
        let hints = self.target.hints(AddrInfoFlags::PASSIVE, self.location);
        self.target.locals = Some(Box::pin(addr.resolve(&self.event_loop, hints)));
        self
    }

    /// Sets the only address that datagrams go to; of several the first that
    /// works. Datagrams from others are not received, unless
    /// [`allow_broadcast`](Self::allow_broadcast) is set.
    ///
    /// # Python
    /// `remote_addr`.
    pub fn remote_addr(mut self, addr: impl ToAddrs) -> Self {
        let hints = self.target.hints(AddrInfoFlags::default(), self.location);
        self.target.remotes = Some(Box::pin(addr.resolve(&self.event_loop, hints)));
        self
    }

    /// Uses IPv4 addresses alone; without an address the endpoint is not bound,
    /// and its first datagram chooses a port (DG-2).
    ///
    /// # Python
    /// `family=socket.AF_INET`.
    pub fn ipv4_only(mut self) -> Self {
        self.target.family = Some(IpFamily::V4);
        self
    }

    /// Uses IPv6 addresses alone; without an address the endpoint is not bound,
    /// and its first datagram chooses a port (DG-2).
    ///
    /// # Python
    /// `family=socket.AF_INET6`.
    pub fn ipv6_only(mut self) -> Self {
        self.target.family = Some(IpFamily::V6);
        self
    }

    /// Chooses whether others may bind the same port, if all of them choose so:
    /// the kernel then spreads datagrams over them by their sender. False by default
    /// (DG-4).
    ///
    /// # Python
    /// `reuse_port`.
    pub fn reuse_port(mut self, reuse_port: bool) -> Self {
        self.target.reuse_port = reuse_port;
        self
    }

    /// Chooses whether datagrams may go to a broadcast address. The socket is not
    /// connected to its remote address then, so that anybody may answer. False by
    /// default (DG-4).
    ///
    /// # Python
    /// `allow_broadcast`.
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
    ///
    /// # Python
    /// `local_addr` with `family=socket.AF_UNIX`.
    pub fn local_path(mut self, path: impl AsRef<Path>) -> Self {
        self.target.local = Some(UnixAddr::try_from(path.as_ref()));
        self
    }

    /// Sets the only path that datagrams go to, and come from; one that starts
    /// with a NUL is an abstract name.
    ///
    /// # Python
    /// `remote_addr` with `family=socket.AF_UNIX`.
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

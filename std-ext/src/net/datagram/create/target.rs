//! Which socket an endpoint gets.

#![allow(private_interfaces, reason = "the trait of the builder is implemented here alone")]

use core::fmt;
use core::future::Future;
use core::net::SocketAddr;
use core::panic::Location;
use core::pin::Pin;
use std::io;
use std::os::fd::OwnedFd;

use crate::dns::{AddrInfoFlags, Hints, IpFamily, SocketType};
use crate::net::address::{Address, UnixAddr, UnixAddrError};
use crate::net::address_error::AddressError;
use crate::net::adopt::adopt;
use crate::net::datagram::opened::{Opened, prepare};
use crate::net::unix;
use crate::sys::{Family, SocketKind};
use crate::{EventLoopHandle, Result};

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
    pub(super) locals: Option<Addrs>,
    pub(super) remotes: Option<Addrs>,
    pub(super) family: Option<IpFamily>,
    pub(super) protocol: i32,
    pub(super) flags: AddrInfoFlags,
    pub(super) reuse_port: bool,
    pub(super) allow_broadcast: bool,
}

impl InetPair {
    /// Makes what is asked of the resolver.
    pub(super) fn hints(&self, flags: AddrInfoFlags, location: &'static Location<'static>) -> Hints {
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
    pub(super) local: Option<Result<UnixAddr, UnixAddrError>>,
    pub(super) remote: Option<Result<UnixAddr, UnixAddrError>>,
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
pub struct DatagramSock(pub(super) OwnedFd);

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

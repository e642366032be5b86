//! What a client connects to.

#![allow(private_interfaces, reason = "the traits of the builders are implemented here alone")]

use core::fmt;
use core::future::Future;
use core::net::SocketAddr;
use core::panic::Location;
use core::pin::Pin;
use core::time::Duration;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use crate::dns::{AddrInfoFlags, Hints, IpFamily};
use crate::net::address::{Address, UnixAddr, UnixAddrError};
use crate::net::adopt::adopt;
use crate::net::connect::{Race, RaceOptions, connect_unix};
use crate::net::to_addrs::ToAddrs;
use crate::sys::{Fd, SocketKind, Token};
use crate::{EventLoopHandle, Result};

/// Is how long an attempt may take before the next begins beside it (RFC 8305,
/// section 5).
const HAPPY_EYEBALLS_DELAY: Duration = Duration::from_millis(250);

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
    pub(super) locals: Option<Locals>,
    pub(super) family: Option<IpFamily>,
    pub(super) protocol: i32,
    pub(super) flags: AddrInfoFlags,
    pub(super) happy_eyeballs_delay: Option<Duration>,
    pub(super) interleave: usize,
}

impl<A> Remote<A> {
    pub(super) fn new(addr: A) -> Self {
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
pub struct UnixPeer(pub(super) Result<UnixAddr, UnixAddrError>);

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
pub struct Connected(pub(super) OwnedFd);

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

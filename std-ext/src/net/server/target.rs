//! Where a server is to listen.

#![allow(private_interfaces, reason = "the traits of the builders are implemented here alone")]

use core::future::Future as StdFuture;
use core::net::SocketAddr;
use core::panic::Location;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use crate::dns::{AddrInfoFlags, Hints};
use crate::net::address::{Address, UnixAddr, UnixAddrError};
use crate::net::listener::{ListenOptions, Listener};
use crate::net::to_addrs::ToAddrs;
use crate::{Error, ErrorKind, EventLoopHandle, Result};

/// Where a server is to listen.
pub trait Target {
    /// Makes the sockets, for who asked at `location`; what it is made of may end before the
    /// future does.
    #[doc(hidden)]
    fn bind(
        self,
        event_loop: &EventLoopHandle,
        options: ListenOptions,
        location: &'static Location<'static>,
    ) -> impl StdFuture<Output = Result<Vec<Listener>>> + 'static;
}

/// Internet addresses.
#[derive(Debug)]
pub struct Inet<A>(pub(super) A);

impl<A: ToAddrs> Target for Inet<A> {
    fn bind(
        self,
        event_loop: &EventLoopHandle,
        options: ListenOptions,
        location: &'static Location<'static>,
    ) -> impl StdFuture<Output = Result<Vec<Listener>>> + 'static {
        let flags = AddrInfoFlags::PASSIVE | options.flags;
        let hints = Hints { family: options.family, flags, ..Hints::at(location) };
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
    pub(super) fn new(path: &Path) -> Self {
        Self(UnixAddr::try_from(path))
    }
}

impl Target for UnixPath {
    fn bind(
        self,
        event_loop: &EventLoopHandle,
        options: ListenOptions,
        _: &'static Location<'static>,
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
pub struct Sock(pub(super) OwnedFd);

impl Target for Sock {
    fn bind(
        self,
        event_loop: &EventLoopHandle,
        options: ListenOptions,
        _: &'static Location<'static>,
    ) -> impl StdFuture<Output = Result<Vec<Listener>>> + 'static {
        let event_loop = event_loop.clone();
        async move { Ok(vec![Listener::adopt(&event_loop, self.0, options.backlog)?]) }
    }
}

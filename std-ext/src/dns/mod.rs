//! Name resolution: `getaddrinfo` and `getnameinfo` as awaitables.
//!
//! ```text
//!  host, port, hints --> checked --> literal address? --yes--> answered at once
//!                                        | no
//!                                        v
//!                        Config::resolver: the system's, in a lane of threads,
//!                                          or one in the loop, without any
//! ```

mod query;

mod addr_info;

mod error;

mod host_name;

mod literal;

mod resolver;

mod system;

#[cfg(feature = "dns")]
mod in_loop;

#[cfg_attr(
    all(feature = "dns", any(target_env = "musl", target_feature = "crt-static")),
    path = "default_in_loop.rs"
)]
#[cfg_attr(
    not(all(feature = "dns", any(target_env = "musl", target_feature = "crt-static"))),
    path = "default_system.rs"
)]
mod default;

use core::fmt;
use core::future::Future;
use core::net::SocketAddr;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context as PollContext, Poll};

use crate::{EventLoopHandle, Result};

pub use addr_info::{AddrInfo, NameInfo};
pub use error::{EaiError, HostNameError};
#[cfg(feature = "dns")]
pub use in_loop::{InLoopConfig, NameServerSource, NameServers};
pub use query::{AddrInfoFlags, Host, IpFamily, NameInfoFlags, Service, SocketType};
pub(crate) use query::{Hints, Query};
pub(crate) use resolver::Lookups;
pub use resolver::Resolver;

impl EventLoopHandle {
    /// Resolves a host and a port to addresses; options follow, and then an await.
    ///
    /// A literal address without a zone, with a numeric port, is answered at once, without a thread
    /// (contract DN-2).
    ///
    /// ```
    /// # rondel::run(async |event_loop| {
    /// use rondel::SocketType;
    ///
    /// let answers = event_loop.getaddrinfo("127.0.0.1", 80).kind(SocketType::Stream).await?;
    /// assert_eq!(answers[0].addr.to_string(), "127.0.0.1:80");
    /// # Ok(())
    /// # })?;
    /// # Ok::<(), rondel::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`EaiError`], found by [`Error::as_eai`](crate::Error::as_eai), with the system's code; a
    /// [`HostNameError`] for what can't be a host's name; `Full` if too many look-ups wait;
    /// `Cancelled`.
    ///
    /// # Cancellation
    /// Safe, and at once (DN-4). A thread that asks the system goes on until the system answers; its
    /// answer is dropped.
    ///
    /// # Python
    /// `loop.getaddrinfo(host, port, family=0, type=0, proto=0, flags=0)`. There a host that isn't
    /// ASCII is encoded (RFC 3490); here that is the caller's. A port is never cut to 16 bits.
    #[track_caller]
    pub fn getaddrinfo(&self, host: impl Into<Host>, port: impl Into<Service>) -> GetAddrInfo {
        let query = Query { host: host.into().0, service: port.into(), hints: Hints::at(Location::caller()) };
        GetAddrInfo { event_loop: self.clone(), query }
    }

    /// Resolves an address to the names of its host and service.
    ///
    /// # Errors
    /// As [`getaddrinfo`](Self::getaddrinfo).
    ///
    /// # Cancellation
    /// As [`getaddrinfo`](Self::getaddrinfo).
    ///
    /// # Python
    /// `loop.getnameinfo(sockaddr, flags=0)`.
    #[track_caller]
    pub fn getnameinfo(&self, addr: impl Into<SocketAddr>) -> GetNameInfo {
        let location = Location::caller();
        GetNameInfo { event_loop: self.clone(), addr: addr.into(), flags: NameInfoFlags::default(), location }
    }
}

/// The options of a look-up; await it for the addresses.
///
/// # Errors
/// As of [`getaddrinfo`](EventLoopHandle::getaddrinfo).
///
/// # Cancellation
/// As of [`getaddrinfo`](EventLoopHandle::getaddrinfo).
#[derive(Debug)]
#[must_use = "does nothing until it is awaited"]
pub struct GetAddrInfo {
    event_loop: EventLoopHandle,
    query: Query,
}

impl GetAddrInfo {
    /// Asks for addresses of one family; by default of both.
    ///
    /// # Python
    /// `family`.
    pub fn family(mut self, family: IpFamily) -> Self {
        self.query.hints.family = Some(family);
        self
    }

    /// Asks for one kind of socket; by default for all.
    ///
    /// # Python
    /// `type`.
    pub fn kind(mut self, kind: SocketType) -> Self {
        self.query.hints.kind = Some(kind);
        self
    }

    /// Asks for one protocol, by its number; by default for all, 0.
    ///
    /// # Python
    /// `proto`.
    pub fn protocol(mut self, protocol: i32) -> Self {
        self.query.hints.protocol = protocol;
        self
    }

    /// Sets the flags; none by default.
    ///
    /// # Python
    /// `flags`.
    pub fn flags(mut self, flags: AddrInfoFlags) -> Self {
        self.query.hints.flags = flags;
        self
    }
}

impl IntoFuture for GetAddrInfo {
    type Output = Result<Vec<AddrInfo>>;
    type IntoFuture = Resolving<Vec<AddrInfo>>;

    fn into_future(self) -> Self::IntoFuture {
        Resolving::new(async move { resolve(&self.event_loop, self.query).await })
    }
}

/// The options of a look-up of names; await it for them.
///
/// # Errors
/// As of [`getnameinfo`](EventLoopHandle::getnameinfo).
///
/// # Cancellation
/// As of [`getnameinfo`](EventLoopHandle::getnameinfo).
#[derive(Debug)]
#[must_use = "does nothing until it is awaited"]
pub struct GetNameInfo {
    event_loop: EventLoopHandle,
    addr: SocketAddr,
    flags: NameInfoFlags,
    location: &'static Location<'static>,
}

impl GetNameInfo {
    /// Sets the flags; none by default.
    ///
    /// # Python
    /// `flags`.
    pub fn flags(mut self, flags: NameInfoFlags) -> Self {
        self.flags = flags;
        self
    }
}

impl IntoFuture for GetNameInfo {
    type Output = Result<NameInfo>;
    type IntoFuture = Resolving<NameInfo>;

    fn into_future(self) -> Self::IntoFuture {
        Resolving::new(async move {
            resolver::getnameinfo(&self.event_loop, self.addr, self.flags, self.location).await
        })
    }
}

/// A look-up that is under way.
///
/// # Cancellation
/// Safe, and at once.
#[must_use = "does nothing until it is awaited"]
pub struct Resolving<T>(Pin<Box<dyn Future<Output = Result<T>>>>);

impl<T> Resolving<T> {
    pub(crate) fn new(future: impl Future<Output = Result<T>> + 'static) -> Self {
        Self(Box::pin(future))
    }
}

impl<T> Future for Resolving<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut PollContext<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<T> fmt::Debug for Resolving<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolving")
    }
}

/// Resolves a host and port; what all that takes a name stands on.
pub(crate) async fn resolve(event_loop: &EventLoopHandle, mut query: Query) -> Result<Vec<AddrInfo>> {
    check(event_loop, &mut query).map_err(|error| error.during("getaddrinfo"))?;
    if let Some(answers) = literal::answer(&query) {
        return answers.map_err(|error| crate::Error::from(error).during("getaddrinfo"));
    }
    let begun = event_loop.debug().then(|| (event_loop.time(), query.host.clone()));
    let answers = resolver::getaddrinfo(event_loop, query).await;
    if let Some((begun, host)) = begun {
        let host = host.unwrap_or_default();
        event_loop.inner.debug.end_lookup(event_loop.time() - begun, &host, answers.is_ok());
    }
    answers.map_err(|error| error.during("getaddrinfo"))
}

/// Refuses what no resolver is to be asked.
fn check(event_loop: &EventLoopHandle, query: &mut Query) -> Result<()> {
    if event_loop.is_closed() {
        return Err(rondel_core::Refusal::Closed.into());
    }
    query.service = core::mem::take(&mut query.service).normalized().ok_or(EaiError::Service)?;
    if query.service.as_text().is_some_and(|service| service.contains('\0')) {
        return Err(EaiError::Service.into());
    }
    if let Some(host) = &query.host {
        host_name::check(host)?;
    }
    Ok(())
}

//! What a server is asked for.

#![allow(private_interfaces, reason = "the traits of the builders are implemented here alone")]

use core::fmt;
use core::future::Future as StdFuture;
use core::panic::Location;
use core::pin::Pin;

use super::handle::Server;
use super::make::{MakeConnection, WithStreams};
use super::state::{BeginTls, RefusedHook};
use super::target::{Inet, Target};
use crate::dns::{AddrInfoFlags, IpFamily};
use crate::net::listener::ListenOptions;
use crate::{Error, EventLoopHandle, Result};

/// The options of a server; await it to start listening.
///
/// # Errors
/// Awaiting it fails with `Io`, which names the address, if one can't be bound, and
/// every socket is closed then (contract SV-5); with `NameResolution`; with `Full` if
/// a table is; with `InvalidInput` in an `Io` if a socket that was passed in is no
/// stream's, or a timeout of TLS is zero; with a
/// [`UnixAddrError`](crate::UnixAddrError) for what can't be a path; with `Closed`.
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
    location: &'static Location<'static>,
    options: ListenOptions,
    max_connections: usize,
    start_serving: bool,
    on_refused: Option<RefusedHook>,
    pub(crate) begin_tls: Option<BeginTls>,
}

impl<T, M> CreateServer<T, M> {
    #[track_caller]
    pub(super) fn new(event_loop: &EventLoopHandle, target: T, make: M) -> Self {
        Self {
            event_loop: event_loop.clone(),
            target,
            make,
            location: Location::caller(),
            options: ListenOptions::default(),
            max_connections: usize::MAX,
            start_serving: true,
            on_refused: None,
            begin_tls: None,
        }
    }

    /// Sets how many connections the kernel keeps that were not accepted yet,
    /// and how many one turn accepts; 100 by default (contract SV-6, SV-7).
    ///
    /// # Python
    /// `backlog`.
    pub fn backlog(mut self, backlog: u32) -> Self {
        self.options.backlog = backlog;
        self
    }

    /// Sets the most connections at once; the others wait in the kernel's
    /// backlog until one is gone. No limit by default but the loop's tables.
    pub fn max_connections(mut self, max_connections: usize) -> Self {
        self.max_connections = max_connections.max(1);
        self
    }

    /// Chooses whether to accept at once; otherwise the sockets are bound, and
    /// [`Server::start_serving`] begins. True by default (SV-14).
    ///
    /// # Python
    /// `start_serving`.
    pub fn start_serving(mut self, start_serving: bool) -> Self {
        self.start_serving = start_serving;
        self
    }

    /// Sets who is told about a connection that was accepted and could not be
    /// served: a table was full, its handshake of TLS failed, or the factory
    /// panicked. By default that is reported to the exception handler; it is counted
    /// in any case, by [`Server::refused`] (SV-9).
    pub fn on_refused(mut self, hook: impl Fn(&EventLoopHandle, &Error) + 'static) -> Self {
        self.on_refused = Some(Box::new(hook));
        self
    }
}

impl<A, M> CreateServer<Inet<A>, M> {
    /// Chooses whether the address may be bound while connections of a former
    /// server linger; true by default (SV-6).
    ///
    /// # Python
    /// `reuse_address`.
    pub fn reuse_address(mut self, reuse_address: bool) -> Self {
        self.options.reuse_address = reuse_address;
        self
    }

    /// Chooses whether others may bind the same port, if all of them choose so:
    /// the kernel then spreads connections over them. False by default (SV-6).
    ///
    /// # Python
    /// `reuse_port`.
    pub fn reuse_port(mut self, reuse_port: bool) -> Self {
        self.options.reuse_port = reuse_port;
        self
    }

    /// Sets what the look-up of the host is asked for, beside addresses to listen
    /// on.
    ///
    /// # Python
    /// `flags`, which is `AI_PASSIVE` by default.
    pub fn flags(mut self, flags: AddrInfoFlags) -> Self {
        self.options.flags = flags;
        self
    }

    /// Listens on IPv4 addresses alone.
    ///
    /// # Python
    /// `family=socket.AF_INET`.
    pub fn ipv4_only(mut self) -> Self {
        self.options.family = Some(IpFamily::V4);
        self
    }

    /// Listens on IPv6 addresses alone.
    ///
    /// # Python
    /// `family=socket.AF_INET6`.
    pub fn ipv6_only(mut self) -> Self {
        self.options.family = Some(IpFamily::V6);
        self
    }
}

impl<T, F> CreateServer<T, WithStreams<F>> {
    /// Sets the most bytes that a reader buffers, so the longest line; 64 KiB by
    /// default.
    ///
    /// # Python
    /// `limit`; there a reader takes up to twice as much before it pauses.
    pub fn limit(mut self, limit: usize) -> Self {
        self.make.limit = limit;
        self
    }
}

impl<T: Target, M: MakeConnection> IntoFuture for CreateServer<T, M> {
    type Output = Result<Server>;
    type IntoFuture = Pin<Box<dyn StdFuture<Output = Result<Server>>>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { event_loop, target, make, location, options, .. } = self;
        let Self { max_connections, start_serving, on_refused, begin_tls, .. } = self;
        // From here on nothing is borrowed: the address may have been.
        let listeners = target.bind(&event_loop, options, location);
        Box::pin(async move {
            let listen = async {
                if let Some(begin_tls) = &begin_tls {
                    // So that what can never be is an error here, and not of each client.
                    begin_tls()?;
                }
                // From here on a failure closes the sockets.
                let listeners = listeners.await?;
                let server = Server::new(
                    event_loop,
                    listeners,
                    make,
                    max_connections,
                    on_refused,
                    begin_tls,
                    location,
                );
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

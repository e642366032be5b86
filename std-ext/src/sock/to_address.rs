//! What can be given as the address of one socket.

use core::future::{Future, ready};

use crate::dns::Hints;
use crate::net::address::{Address, UnixAddr};
use crate::net::to_addrs::Resolve;
use crate::{EventLoopHandle, Result};

/// Is implemented for everything that names one address for `sock_connect`: an
/// [`Address`], a [`UnixAddr`], and all that is [`ToAddrs`](crate::ToAddrs), of
/// which the first address counts that fits the socket.
///
/// # Python
/// The argument `address`: a pair of host and port, or a path.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no address of a socket",
    note = "use an `Address`, a `SocketAddr`, a `UnixAddr`, (\"host\", port) or \"host:port\""
)]
pub trait ToAddress: ResolveOne {}

impl<A: ResolveOne> ToAddress for A {}

/// Turns an argument into one address; out of reach of other crates, which seals [`ToAddress`].
pub trait ResolveOne {
    /// Returns the first address that fits the hints.
    fn resolve_one(
        self,
        event_loop: &EventLoopHandle,
        hints: Hints,
    ) -> impl Future<Output = Result<Address>> + use<Self>;
}

impl<A: Resolve> ResolveOne for A {
    fn resolve_one(
        self,
        event_loop: &EventLoopHandle,
        hints: Hints,
    ) -> impl Future<Output = Result<Address>> + use<A> {
        let resolving = self.resolve(event_loop, hints);
        // One at least, by its contract.
        async move { Ok(Address::from(resolving.await?[0])) }
    }
}

macro_rules! literal {
    ($($type:ty),* $(,)?) => {$(
        impl ResolveOne for $type {
            fn resolve_one(
                self,
                _: &EventLoopHandle,
                _: Hints,
            ) -> impl Future<Output = Result<Address>> + use<> {
                ready(Ok(Address::from(self)))
            }
        }
    )*};
}

literal! { Address, UnixAddr }

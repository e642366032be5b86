//! What most connections never have, apart from the connection itself.

use super::Connection;
use super::state::State;
use crate::net::address::Address;
use crate::net::flow::Flow;
use crate::tls::TlsState;

/// What most connections never have; an idle one that talks plain IPv4 has none of it.
#[derive(Default)]
pub(super) struct Details {
    /// Is the address of a peer that is neither IPv4 nor without a name.
    pub(super) peer: Option<Box<Address>>,
    /// Is the address of our side, since the socket was closed.
    pub(super) local: Option<Box<Address>>,
    /// Is made when something is queued, or waited for, for the first time.
    pub(super) flow: Option<Box<Flow>>,
    pub(super) tls: Option<Box<TlsState>>,
}

// Each connection with TLS has one: a block of 40 bytes.
const _: () = assert!(size_of::<Details>() <= 40);

impl Connection {
    /// Calls `look` with the details, if there are any.
    #[inline]
    pub(super) fn with_details<R>(&self, look: impl FnOnce(&mut Details) -> R) -> Option<R> {
        let mut details = self.details.take()?;
        let result = look(&mut details);
        self.details.set(Some(details));
        Some(result)
    }

    /// Calls `look` with the details, made now if there are none.
    pub(super) fn with_new_details<R>(&self, look: impl FnOnce(&mut Details) -> R) -> R {
        let mut details = self.details.take().unwrap_or_default();
        let result = look(&mut details);
        self.details.set(Some(details));
        result
    }

    /// Calls `look` with what there is to send, if there ever was something.
    #[inline]
    pub(super) fn with_flow<R>(&self, look: impl FnOnce(&mut Flow) -> R) -> Option<R> {
        self.with_details(|details| details.flow.as_deref_mut().map(look)).flatten()
    }

    /// Calls `look` with what there is to send.
    pub(super) fn with_new_flow<R>(&self, look: impl FnOnce(&mut Flow) -> R) -> R {
        self.with_new_details(|details| look(details.flow.get_or_insert_default()))
    }

    /// Takes out what there is to send, for a moment.
    pub(super) fn take_flow(&self) -> Option<Box<Flow>> {
        self.with_details(|details| details.flow.take()).flatten()
    }

    /// Puts back what [`take_flow`](Self::take_flow) took out.
    pub(super) fn put_flow(&self, flow: Box<Flow>) {
        self.with_new_details(|details| details.flow = Some(flow));
    }

    /// Calls `look` with the session, if there is one, which may send.
    #[inline]
    pub(crate) fn with_tls<R>(&self, look: impl FnOnce(&mut TlsState) -> R) -> Option<R> {
        if !self.has(State::TLS) {
            return None;
        }
        let mut tls = self.with_details(|details| details.tls.take()).flatten()?;
        let result = look(&mut tls);
        self.with_new_details(|details| details.tls = Some(tls));
        Some(result)
    }
}

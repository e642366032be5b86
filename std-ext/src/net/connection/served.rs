//! What binds a connection to the server that has accepted it.

use std::rc::Rc;

use super::Connection;
use crate::net::server::{Membership, ServerState};

impl Connection {
    /// Returns the server that has accepted it, also after the end.
    pub(super) fn server(&self) -> Option<&Rc<ServerState>> {
        self.origin.server.as_ref()
    }

    /// Tells whether it is one of the clients of `server`, which something was made of, or whose handshake
    /// is going on.
    pub(crate) fn is_client_of(&self, server: &Rc<ServerState>) -> bool {
        let is_listed = matches!(self.membership.get(), Membership::Handshaking | Membership::Made);
        is_listed && self.server().is_some_and(|own| Rc::ptr_eq(own, server))
    }

    /// Notes what has become of an accepted connection, unless its socket is closed again.
    pub(crate) fn set_membership(&self, membership: Membership) {
        if self.membership.get() != Membership::None {
            self.membership.set(membership);
        }
    }

    /// Counts as a client of its server from now on.
    pub(crate) fn join_server(&self) {
        self.membership.set(Membership::New);
    }

    /// Has its server make something of it, now that the handshake is over.
    pub(super) fn make_of_server(self: &Rc<Self>) {
        let Some(server) = self.server() else { return };
        if self.membership.get() != Membership::Handshaking {
            return;
        }
        self.membership.set(Membership::Made);
        if let Err(error) = server.make(self) {
            server.refuse(&self.subject(None), &error);
            self.abort();
        }
    }

    /// Isn't a client of its server any more: the socket is closed. The connection may live on in a
    /// transport's hands.
    pub(super) fn leave_server(&self) {
        if self.membership.replace(Membership::None) != Membership::None
            && let Some(server) = self.server()
        {
            server.client_left();
        }
    }
}

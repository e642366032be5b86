//! What accepts the connections of a listening socket.

use std::io;
use std::rc::Rc;

use rondel_core::Context;

use crate::net::listener::Listener;
use crate::net::server::{Origin, ServerState};
use crate::shutdown::Phase;

/// Accepts the connections of one socket.
pub(super) struct Acceptor {
    pub(super) listener: Rc<Listener>,
    pub(super) server: Rc<ServerState>,
    pub(super) origin: Rc<Origin>,
}

impl Acceptor {
    /// Accepts up to `backlog` connections; the rest follows in the next turn.
    pub(super) fn accept(&self) {
        let Self { listener, server, origin } = self;
        let mut denied = None;
        for _ in 0..listener.backlog {
            // A callback of the batch may have closed it (SV-13).
            if listener.event_loop.inner.shutdown.phase() != Phase::None {
                return server.close();
            }
            if listener.is_closed() || listener.is_resting() || server.is_full() {
                return;
            }
            match listener.event_loop.inner.kernel.accept(listener.fd) {
                Ok((fd, peer)) => {
                    // The kernel reports what waits already no second time (FAULTS A-03).
                    denied = None;
                    let again = Again(listener);
                    ServerState::connected(origin, fd, peer);
                    core::mem::forget(again);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => match after(&error) {
                    AfterError::Skip => denied = Some(error),
                    AfterError::Rest => {
                        return listener.rest(server, "accept is out of system resources", error);
                    }
                    AfterError::Report => return listener.rest(server, "accept failed", error),
                },
            }
        }
        match denied.filter(|error| error.kind() == io::ErrorKind::PermissionDenied) {
            // Not a firewall, which denies some: nobody may accept here (FAULTS P-13).
            Some(error) => listener.rest(server, "accept failed", error),
            None => listener.accept_again(),
        }
    }
}

impl Drop for Acceptor {
    /// Also when the loop is closed: nobody accepts any more. One that was refused
    /// its place among the handlers has accepted nothing, and ends nothing.
    fn drop(&mut self) {
        if self.listener.is_accepting() {
            self.listener.close();
            let _ = self.listener.event_loop.guard(|| self.server.listener_closed());
        }
    }
}

/// Accepts the rest in the next turn when user code panics.
struct Again<'a>(&'a Listener);

impl Drop for Again<'_> {
    fn drop(&mut self) {
        self.0.accept_again();
    }
}

/// What to do after `accept` failed (FAULTS A-02).
enum AfterError {
    /// The connection is gone, or the network hiccuped: take the next one.
    Skip,
    /// Something ran out.
    Rest,
    /// Nobody expects this one; it may come again at once.
    Report,
}

fn after(error: &io::Error) -> AfterError {
    if crate::sys::is_of_one_connection(error) {
        AfterError::Skip
    } else if crate::sys::is_out_of_resources(error) {
        AfterError::Rest
    } else {
        AfterError::Report
    }
}

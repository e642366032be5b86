//! The end of an endpoint.

use std::rc::Rc;

use super::Endpoint;
use super::state::State;
use crate::Error;
use crate::exception::method::Method;
use crate::net::datagram::transport::DatagramTransport;
use crate::net::finally::Finally;
use crate::shutdown::{AbortedKind, Phase};

impl Endpoint {
    pub(crate) fn is_closing(&self) -> bool {
        self.has(State::CLOSING)
    }

    /// Stops receiving, sends what is queued, and ends (DG-10).
    pub(crate) fn close(self: &Rc<Self>) {
        self.send_gathered();
        if !self.set(State::CLOSING) && self.queue.borrow().is_empty() {
            self.end(None);
        }
    }

    /// Ends without sending what is queued (DG-10).
    pub(crate) fn abort(self: &Rc<Self>) {
        self.end(None);
    }

    /// Does what the shutdown of the loop asks for.
    pub(super) fn heed_shutdown(self: &Rc<Self>) {
        let shutdown = &self.event_loop.inner.shutdown;
        match shutdown.phase() {
            Phase::None => {}
            Phase::Draining => self.close(),
            Phase::Aborting => {
                // Unknown only of one that is closed.
                let local = self.local_addr().map_or_else(String::new, |addr| addr.to_string());
                let unsent = self.queue.borrow().len();
                let name = format_args!("{local}, {unsent} datagrams unsent");
                shutdown.aborted(AbortedKind::DatagramEndpoint, name);
                self.abort();
            }
        }
    }

    /// Begins the end: from the loop, never inline.
    pub(super) fn end(self: &Rc<Self>, error: Option<Error>) {
        // To the caller these were sent.
        self.send_gathered();
        self.set(State::CLOSING);
        if self.set(State::ENDING) {
            return;
        }
        self.clear();
        self.error.replace(error);
        self.drive_soon();
    }

    /// Tells the protocol, and closes the socket.
    pub(super) fn lose(self: &Rc<Self>) {
        let _closed = Finally(|| self.finish());
        self.tell_errors();
        let Some(protocol) = self.protocol.take() else { return };
        if self.has(State::STARTING) {
            // The loop was closed before it knew of the endpoint.
            return;
        }
        let error = self.error.take();
        let transport = DatagramTransport { endpoint: Rc::clone(self) };
        let tell = || protocol.lost(&transport, error.as_ref());
        let lost = self.call(Method::ConnectionLost, &*protocol, tell);
        if let Err(error) = lost {
            self.report(Method::ConnectionLost, &*protocol, &error);
        }
    }

    /// Closes the socket; its file goes if it is still its own (UX-6).
    pub(super) fn finish(&self) {
        self.set(State::CLOSING | State::ENDING);
        if self.set(State::CLOSED) {
            return;
        }
        // Before the number can be used again (FAULTS P-06).
        self.event_loop.unwatch(self.token);
        let kernel = &self.event_loop.inner.kernel;
        self.local.replace(kernel.local_addr(self.opened.fd).ok());
        if let Some(file) = &self.opened.file {
            file.remove();
        }
        kernel.close(self.opened.fd);
        self.kept.take();
        self.tell_made();
        if let Some(driver) = self.driver.take() {
            self.event_loop.inner.scheduler.cancel_call(&self.event_loop, driver);
        }
    }
}

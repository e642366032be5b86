//! The handler of the loop that drives an endpoint.

use std::rc::Rc;

use rondel_core::{Callback, Refusal};

use super::Endpoint;
use super::state::State;
use crate::exception::method::Method;
use crate::net::datagram::protocol::AnyDatagramProtocol;
use crate::net::datagram::transport::DatagramTransport;
use crate::net::finally::Finally;
use crate::sources::Direction;
use crate::{EventLoopHandle, Future, Result};

impl Endpoint {
    /// Gives the endpoint its protocol; `connection_made` follows in the next
    /// turn, and then `made` completes.
    ///
    /// # Errors
    /// If the call table is full.
    pub(crate) fn start(
        self: &Rc<Self>,
        protocol: Rc<dyn AnyDatagramProtocol>,
        made: Future<()>,
    ) -> Result<()> {
        let driven = Driven(DatagramTransport { endpoint: Rc::clone(self) });
        let erase =
            |driven: Driven| Callback::handler(move |_: &EventLoopHandle| driven.0.endpoint.turn(&driven.0));
        let scheduler = &self.event_loop.inner.scheduler;
        let driver = scheduler.add_handler(driven, erase, self.location);
        let driver = driver.map_err(|refused| refused.refusal())?;
        self.set(State::STARTING);
        self.driver.set(Some(driver));
        self.protocol.replace(Some(protocol));
        self.made.replace(Some(made));
        self.event_loop.listen(self.token, Direction::Read, driver);
        self.event_loop.listen(self.token, Direction::Write, driver);
        self.drive_soon();
        Ok(())
    }

    pub(crate) fn protocol(&self) -> Option<Rc<dyn AnyDatagramProtocol>> {
        self.protocol.borrow().clone()
    }

    pub(crate) fn set_protocol(&self, protocol: Rc<dyn AnyDatagramProtocol>) {
        if !self.has(State::CLOSED) {
            let previous = self.protocol.replace(Some(protocol));
            drop(previous);
        }
    }

    /// Has the handler run in the next turn.
    pub(super) fn drive_soon(&self) {
        if let Some(driver) = self.driver.get() {
            self.event_loop.inner.scheduler.make_ready(driver);
        }
    }

    /// Is the handler: does what there is to do for the endpoint.
    fn turn(self: &Rc<Self>, transport: &DatagramTransport) {
        if self.has(State::STARTING) {
            self.make(transport);
            return;
        }
        self.look();
        self.tell();
        if self.has(State::ENDING) {
            return self.lose();
        }
        if self.is_reading() && !self.has(State::RESTING) {
            self.read(transport);
        }
        if self.can_write() && !self.queue.borrow().is_empty() {
            self.flush();
        }
    }

    fn make(self: &Rc<Self>, transport: &DatagramTransport) {
        self.unset(State::STARTING);
        // Whoever waits for this goes on before datagrams are delivered.
        let _next = Finally(|| {
            self.tell_made();
            self.drive_soon();
        });
        let Some(protocol) = self.protocol() else { return };
        let made = self.call(Method::ConnectionMade, &*protocol, || protocol.made(transport));
        if let Err(error) = made {
            self.report(Method::ConnectionMade, &*protocol, &error);
        }
        self.tell();
    }

    pub(super) fn tell_made(&self) {
        if let Some(made) = self.made.take() {
            let _ = made.set_result(());
        }
    }
}

/// An endpoint in the hands of the loop. Dropped while it drives one, as a closing
/// loop does, it brings about the end of that.
struct Driven(DatagramTransport);

impl Drop for Driven {
    fn drop(&mut self) {
        let endpoint = &self.0.endpoint;
        if endpoint.driver.get().is_some() && !endpoint.has(State::CLOSED) {
            endpoint.set(State::CLOSING);
            if !endpoint.set(State::ENDING) {
                //
                endpoint.error.replace(Some(Refusal::Closed.into()));
            }
            endpoint.clear();
            endpoint.lose();
        }
    }
}

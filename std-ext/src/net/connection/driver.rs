//! The handler of the loop that drives a connection.

use std::rc::Rc;

use rondel_core::{Callback, SlotId};

use super::Connection;
use super::state::State;
use crate::exception::method::Method;
use crate::net::finally::Finally;
use crate::protocol::AnyProtocol;
use crate::sources::Direction;
use crate::transport::Transport;
use crate::{EventLoopHandle, Result};

impl Connection {
    /// Gives the connection a protocol; `connection_made` follows in the next
    /// turn.
    ///
    /// # Errors
    /// If the call table is full.
    pub(crate) fn start(self: &Rc<Self>, protocol: Rc<dyn AnyProtocol>) -> Result<()> {
        self.set(State::STARTING);
        self.protocol.replace(Some(protocol));
        if let Err(error) = self.drive() {
            self.protocol.replace(None);
            return Err(error);
        }
        if let Some(driver) = self.driver() {
            self.event_loop().listen(self.token, Direction::Read, driver);
        }
        self.drive_soon();
        Ok(())
    }

    pub(crate) fn protocol(&self) -> Option<Rc<dyn AnyProtocol>> {
        let protocol = self.protocol.take()?;
        self.protocol.set(Some(Rc::clone(&protocol)));
        Some(protocol)
    }

    /// Gives it another protocol; nothing is told to a connection that is over.
    pub(crate) fn set_protocol(&self, protocol: Rc<dyn AnyProtocol>) {
        // It has one until it is told of the end.
        if let Some(previous) = self.protocol.replace(None) {
            self.protocol.set(Some(protocol));
            drop(previous);
        }
    }

    /// Gets a handler of the loop that sends, and for a protocol reads.
    pub(crate) fn drive(self: &Rc<Self>) -> Result<()> {
        if self.is_driven() {
            return Ok(());
        }
        let scheduler = &self.event_loop().inner.scheduler;
        let driven = Driven(Transport { connection: Rc::clone(self) });
        let erase = |driven: Driven| {
            Callback::handler(move |_: &EventLoopHandle| driven.0.connection.turn(&driven.0))
        };
        let driver = scheduler.add_handler(driven, erase, self.location());
        let driver = driver.map_err(|refused| refused.refusal())?;
        self.set(State::DRIVEN);
        self.event_loop().listen(self.token, Direction::Write, driver);
        Ok(())
    }

    pub(crate) fn is_driven(&self) -> bool {
        self.has(State::DRIVEN)
    }

    /// Returns the handler that drives it, which stands where it listens.
    pub(super) fn driver(&self) -> Option<SlotId> {
        if self.is_driven() { self.event_loop().handler(self.token, Direction::Write) } else { None }
    }

    /// Has the handler run in the next turn.
    pub(super) fn drive_soon(&self) {
        if let Some(driver) = self.driver() {
            self.event_loop().inner.scheduler.make_ready(driver);
        }
    }

    /// Is the handler: does what there is to do for the connection.
    fn turn(self: &Rc<Self>, transport: &Transport) {
        // What a method that unwinds has kept from being done.
        let rest = Finally(|| self.drive_soon());
        self.take_turn(transport);
        core::mem::forget(rest);
    }

    #[inline]
    fn take_turn(self: &Rc<Self>, transport: &Transport) {
        if self.has(State::STARTING | State::ENDING | State::HANDSHAKING) {
            return self.begin_or_end(transport);
        }
        self.tell_writing();
        self.look();
        if self.is_reading() && self.has(State::READABLE | State::DECRYPTED) {
            self.read(transport);
        }
        if self.has(State::QUEUED) {
            self.flush();
        }
        if self.has(State::CLOSING | State::WRITE_EOF | State::READ_EOF | State::SUMMONED) {
            self.heed_shutdown();
            self.after_flush();
            self.look_after_eof();
        }
    }

    #[cold]
    fn begin_or_end(self: &Rc<Self>, transport: &Transport) {
        if self.has(State::ENDING) {
            return self.lose();
        }
        if self.has(State::HANDSHAKING) {
            self.look();
            self.heed_shutdown();
            if !self.has(State::ENDING) {
                self.shake_hands();
            }
        } else if self.has(State::STARTING) {
            self.make(transport);
        } else {
            self.lose();
        }
    }

    fn make(self: &Rc<Self>, transport: &Transport) {
        self.unset(State::STARTING);
        // Whoever waits for this goes on before data is delivered, whatever the
        // protocol does first.
        self.wake_waiter();
        let _next = Finally(|| self.drive_soon());
        let Some(protocol) = self.protocol() else { return };
        let made = self.call(Method::ConnectionMade, &*protocol, || protocol.made(transport));
        if let Err(error) = made {
            self.report(Method::ConnectionMade.failed(), Some(&*protocol), &error);
        }
        self.tell_writing();
    }
}

/// A connection in the hands of the loop. Dropped while it drives a connection,
/// as a closing loop does, it brings about the end of that.
struct Driven(Transport);

impl Drop for Driven {
    fn drop(&mut self) {
        let connection = &self.0.connection;
        if connection.is_driven() && !connection.is_closed() {
            connection.abandon();
        }
    }
}

//! What a protocol reads from its connection.

use std::rc::Rc;

use super::Connection;
use super::state::State;
use crate::exception::method::Method;
use crate::protocol::{AfterEof, Received};
use crate::sources::Direction;
use crate::transport::Transport;
use crate::{Error, ErrorKind};

impl Connection {
    pub(super) fn read(self: &Rc<Self>, transport: &Transport) {
        let Some(protocol) = self.protocol() else { return };
        let panicked = FailOnPanic(self);
        let callee = || self.callee(protocol.receives(), Some(&*protocol));
        match self.event_loop().call_method(callee, || protocol.receive(transport)) {
            Received::Nothing => {}
            Received::Data(Ok(())) => {}
            Received::Data(Err(error)) => self.fail(protocol.receives().failed(), error),
            Received::Error(error) => self.fail("read from the transport failed", error),
            Received::Eof => self.read_eof(transport),
        }
        core::mem::forget(panicked);
        self.tell_writing();
        if self.has(State::READABLE | State::DECRYPTED) {
            self.read_on();
        }
    }

    fn read_eof(self: &Rc<Self>, transport: &Transport) {
        self.set(State::READ_EOF);
        self.unset(State::READABLE);
        let Some(protocol) = self.protocol() else { return };
        match self.call(Method::EofReceived, &*protocol, || protocol.eof(transport)) {
            Ok(AfterEof::Close) => self.close(),
            Ok(AfterEof::KeepWriting) if self.has(State::TLS) => {
                // As asyncio does; a TLS session ends on both sides (TL-9).
                self.warn("the answer KeepWriting has no effect on a TLS connection");
                self.close();
            }
            Ok(AfterEof::KeepWriting) => {}
            Err(error) => self.fail(Method::EofReceived.failed(), error),
        }
    }

    /// Notices a peer that goes away while only our side of the stream is left
    /// and nothing is being sent (FAULTS N-04).
    pub(super) fn look_after_eof(self: &Rc<Self>) {
        if self.is_pipe() {
            return self.look_after_reader();
        }
        if !self.has(State::READ_EOF)
            || self.has(State::CLOSING | State::QUEUED)
            || !self.has(State::READABLE)
        {
            return;
        }
        self.unset(State::READABLE);
        if let Ok(Some(error)) = self.event_loop().inner.kernel.take_error(self.fd) {
            self.fail("the connection broke", error.into());
        }
    }

    /// Reads more in the next turn, if there is more.
    fn read_on(&self) {
        if self.is_reading() && self.is_ready(Direction::Read) {
            self.drive_soon();
        }
    }

    pub(crate) fn is_reading(&self) -> bool {
        let not = State::STARTING | State::READING_PAUSED | State::READ_EOF | State::CLOSING;
        !self.has(not)
    }

    pub(crate) fn pause_reading(&self) {
        if !self.has(State::CLOSING) {
            self.set(State::READING_PAUSED);
        }
    }

    pub(crate) fn resume_reading(&self) {
        if !self.has(State::CLOSING) {
            self.unset(State::READING_PAUSED);
            self.read_on();
        }
    }
}

/// Ends a connection whose protocol unwinds.
struct FailOnPanic<'a>(&'a Rc<Connection>);

impl Drop for FailOnPanic<'_> {
    fn drop(&mut self) {
        // Reported by whoever catches it.
        let error = Error::of(ErrorKind::Panicked, "the protocol panicked");
        self.0.end(Some(error));
    }
}

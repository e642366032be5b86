//! The marks of what an endpoint has to send, and what its protocol is told.

use std::rc::Rc;

use rondel_core::Context as _;

use super::Endpoint;
use super::state::State;
use crate::net::datagram::protocol::Told;
use crate::net::datagram::transport::DatagramTransport;
use crate::net::flow::WriteBufferLimits;

impl Endpoint {
    pub(crate) fn queued(&self) -> usize {
        self.queued.get()
    }

    pub(crate) fn write_buffer_limits(&self) -> WriteBufferLimits {
        self.limits.get()
    }

    pub(crate) fn set_write_buffer_limits(self: &Rc<Self>, limits: WriteBufferLimits) {
        self.limits.set(limits);
        self.weigh();
        self.tell();
    }

    /// Holds what is queued against the marks.
    pub(super) fn weigh(&self) {
        let (queued, limits) = (self.queued.get(), self.limits.get());
        if queued > limits.high() {
            self.set(State::WRITING_PAUSED);
        } else if queued <= limits.low() {
            self.unset(State::WRITING_PAUSED);
        }
    }

    /// Tells the protocol what it doesn't know yet: errors, and whether to write.
    /// If one of its methods runs, when that has returned.
    pub(super) fn tell(self: &Rc<Self>) {
        self.tell_errors();
        while self.has(State::WRITING_PAUSED) != self.has(State::TOLD_PAUSED) && !self.has(State::ENDING) {
            let is_paused = self.has(State::WRITING_PAUSED);
            self.flip_told(is_paused);
            if !self.tell_one(if is_paused { Told::PauseWriting } else { Told::ResumeWriting }) {
                self.flip_told(!is_paused);
                return;
            }
        }
    }

    pub(super) fn tell_errors(self: &Rc<Self>) {
        loop {
            let error = self.failed.borrow_mut().pop_front();
            let Some(error) = error else { return };
            if !self.tell_one(Told::Error(&error)) {
                self.failed.borrow_mut().push_front(error);
                return;
            }
        }
    }

    /// Calls one method; tells whether the protocol was free for it.
    fn tell_one(self: &Rc<Self>, told: Told<'_>) -> bool {
        let Some(protocol) = self.protocol() else { return true };
        let transport = DatagramTransport { endpoint: Rc::clone(self) };
        let method = told.method();
        let tell = || protocol.tell(&transport, told);
        match self.event_loop.guard(|| self.call(method, &*protocol, tell)) {
            Ok(None) => {
                self.drive_soon();
                return false;
            }
            Ok(Some(Err(error))) => self.report(method, &*protocol, &error),
            // A panic was reported by the guard.
            Ok(Some(Ok(()))) | Err(_) => {}
        }
        true
    }

    fn flip_told(&self, is_paused: bool) {
        if is_paused {
            self.set(State::TOLD_PAUSED);
        } else {
            self.unset(State::TOLD_PAUSED);
        }
    }
}

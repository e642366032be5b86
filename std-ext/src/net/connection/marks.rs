//! The marks of the write buffer, and who is told of them.

use std::rc::Rc;

use rondel_core::Context;

use super::Connection;
use super::state::State;
use crate::exception::method::Method;
use crate::net::flow::WriteBufferLimits;
use crate::transport::Transport;

impl Connection {
    pub(crate) fn write_buffer_limits(&self) -> WriteBufferLimits {
        self.with_flow(|flow| flow.limits).unwrap_or_default()
    }

    pub(crate) fn set_write_buffer_limits(self: &Rc<Self>, limits: WriteBufferLimits) {
        self.with_new_flow(|flow| flow.limits = limits);
        self.weigh();
        self.tell_writing();
    }

    /// Looks whether what is queued has come above the high-water mark.
    pub(super) fn weigh_up(&self) {
        if self.queued() > self.write_buffer_limits().high() {
            self.set(State::WRITING_PAUSED);
        }
    }

    /// Holds what is queued against the marks (TR-16).
    pub(super) fn weigh(&self) {
        let queued = self.queued();
        let limits = self.write_buffer_limits();
        if queued > limits.high() {
            self.set(State::WRITING_PAUSED);
        } else if queued <= limits.low() {
            self.unset(State::WRITING_PAUSED);
        }
    }

    pub(crate) fn is_writing_paused(&self) -> bool {
        self.has(State::WRITING_PAUSED)
    }

    /// Tells the protocol whether to write, if it doesn't know; if one of its
    /// methods runs, when that has returned (TR-18).
    #[inline]
    pub(super) fn tell_writing(self: &Rc<Self>) {
        if self.has(State::WRITING_PAUSED) != self.has(State::TOLD_PAUSED) {
            self.tell_paused_or_resumed();
        }
    }

    fn tell_paused_or_resumed(self: &Rc<Self>) {
        while self.has(State::WRITING_PAUSED) != self.has(State::TOLD_PAUSED) && !self.has(State::ENDING) {
            let is_paused = self.has(State::WRITING_PAUSED);
            self.flip_told(is_paused);
            let Some(protocol) = self.protocol() else { return };
            let transport = Transport { connection: Rc::clone(self) };
            let method = if is_paused { Method::PauseWriting } else { Method::ResumeWriting };
            let tell = || protocol.tell_writing(&transport, is_paused);
            let told = self.event_loop().guard(|| self.call(method, &*protocol, tell));
            match told {
                Ok(None) => {
                    self.flip_told(!is_paused);
                    self.drive_soon();
                    return;
                }
                Ok(Some(Err(error))) => self.report(method.failed(), Some(&*protocol), &error),
                // A panic was reported by the guard.
                Ok(Some(Ok(()))) | Err(_) => {}
            }
        }
    }

    fn flip_told(&self, is_paused: bool) {
        if is_paused {
            self.set(State::TOLD_PAUSED);
        } else {
            self.unset(State::TOLD_PAUSED);
        }
    }
}

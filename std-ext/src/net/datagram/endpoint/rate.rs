//! How many datagrams an endpoint takes in a time (FAULTS C-08).

use core::time::Duration;
use std::rc::Rc;

use super::Endpoint;
use super::state::State;
use crate::EventLoopHandle;

/// How many datagrams are taken from the kernel, and in which time (FAULTS C-08).
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReceiveRate {
    pub(crate) datagrams: usize,
    pub(crate) per: Duration,
}

impl Endpoint {
    /// Returns how many datagrams this turn may take.
    pub(super) fn allowance(&self) -> usize {
        let per_turn = self.event_loop.inner.datagrams.per_turn;
        let Some(rate) = self.rate else { return per_turn };
        let now = self.event_loop.time();
        if now >= self.window.get().0 {
            self.window.set((now + rate.per, rate.datagrams));
        }
        per_turn.min(self.window.get().1)
    }

    pub(super) fn spend(&self, count: usize) {
        if self.rate.is_some() {
            let (end, left) = self.window.get();
            self.window.set((end, left.saturating_sub(count)));
        }
    }

    /// Rests until the end of the time whose datagrams were all taken, if they
    /// were (FAULTS C-08).
    pub(super) fn rest(self: &Rc<Self>) -> bool {
        let (end, left) = self.window.get();
        if self.rate.is_none() || left > 0 || self.has(State::CLOSING) {
            return false;
        }
        let resting = Rc::downgrade(self);
        let end_rest = move |_: &EventLoopHandle| {
            if let Some(endpoint) = resting.upgrade() {
                endpoint.unset(State::RESTING);
                endpoint.read_on();
            }
        };
        let timer = self.event_loop.call_at_from(end, end_rest, self.location);
        // Without room for a timer the next datagram makes the next attempt.
        if timer.is_ok() {
            self.set(State::RESTING);
        }
        true
    }
}

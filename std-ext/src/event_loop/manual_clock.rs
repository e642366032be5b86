//! The clock of a loop for tests.

use core::time::Duration;
use std::rc::Rc;

use rondel_core::Instant;

use crate::sys::{ManualKernel, Time};

/// Moves the clock of a loop made by [`EventLoop::with_manual_clock`](super::EventLoop::with_manual_clock) or
/// [`EventLoop::with_faults`](super::EventLoop::with_faults).
#[derive(Clone, Debug)]
pub struct ManualClock {
    kernel: Rc<ManualKernel>,
}

impl ManualClock {
    pub(super) const fn of(kernel: Rc<ManualKernel>) -> Self {
        Self { kernel }
    }

    /// Moves the clock on.
    pub fn advance(&self, duration: Duration) {
        self.kernel.advance(duration);
    }

    /// Returns the time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.kernel.now()
    }

    /// Counts the waits of the loop.
    #[must_use]
    pub fn waits(&self) -> usize {
        self.kernel.waits()
    }

    /// Returns the deadline of the last wait.
    #[must_use]
    pub fn last_deadline(&self) -> Option<Instant> {
        self.kernel.last_deadline()
    }

    /// Sets for how long, in real time, a wait looks for what other threads do
    /// before the clock jumps; zero by default.
    pub fn set_autojump_threshold(&self, threshold: Duration) {
        self.kernel.set_autojump_threshold(threshold);
    }
}

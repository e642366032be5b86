//! A driver for rondel-core that does nothing: what is left is the scheduler.
#![allow(unsafe_code, reason = "implements the doorbell, which promises where it is called")]

use rondel_core::{Doorbell, Driver, Instant};

/// Has no outside: its clock stands still and its waits end at once.
pub(crate) struct NoOutside;

impl Driver for NoOutside {
    fn now(&self) -> Instant {
        Instant::ZERO
    }

    fn wait(&self, _deadline: Option<Instant>) {}

    fn doorbell(&self) -> &'static dyn Doorbell {
        &Self
    }
}

// SAFETY: the benchmarks on this driver hand no waker to another thread and
// install no signal handler.
unsafe impl Doorbell for NoOutside {
    fn ring(&self) {}

    fn is_loop_thread(&self) -> bool {
        true
    }
}

//! What time it is, and waiting.

use core::time::Duration;
use std::io;
use std::time::SystemTime;

use rondel_core::Instant;

use crate::sys::clock::{self, ThreadClock};
use crate::sys::fd::Events;

/// Knows the time, and waits.
pub(crate) trait Time {
    /// Reads the clock, counted from the kernel's construction; never earlier than the reading before
    /// (FAULTS T-05).
    fn now(&self) -> Instant;

    /// Returns the same clock for other threads; `None` where only the loop's thread can read it.
    fn thread_clock(&self) -> Option<ThreadClock> {
        None
    }

    /// Reads the wall clock, which may jump: for certificates and logs, never for deadlines.
    #[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "only certificates have a date"))]
    fn wall_clock(&self) -> SystemTime;

    /// Reads `CLOCK_MONOTONIC` as other programs do, in microseconds.
    fn monotonic_micros(&self) -> u64 {
        clock::monotonic_micros()
    }

    /// Waits until a descriptor is ready, the doorbell rings or `deadline` has come, and leaves the
    /// events in `events`, whatever was in there before.
    ///
    /// `None` and [`Instant::MAX`] are "for ever". A deadline that has passed, such as
    /// [`Instant::ZERO`], looks without waiting; that is one system call and reads no clock. Other
    /// deadlines are met to the precision of the clock and never missed; signals neither end the
    /// wait nor stretch it. It may return early and empty-handed; the caller looks at the clock and
    /// waits again.
    ///
    /// # Errors
    /// `Deadlock` when the kernel knows that nothing can ever end this wait.
    fn wait(&self, deadline: Option<Instant>, events: &mut Events) -> io::Result<()>;

    /// Prepares for a wait until `deadline` that somebody else does, on
    /// [`backend_fd`](super::Watching::backend_fd). Returns how long that may last if the descriptor
    /// isn't readable before; `None` is "for ever", also because it will be readable at `deadline`.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    fn prepare(&self, deadline: Option<Instant>) -> io::Result<Option<Duration>> {
        Ok(remaining(self.now(), deadline))
    }

    /// Keeps the processor busy until `end`, or until `is_over`. Not at all where the clock is not the
    /// world's.
    fn spin(&self, end: Instant, is_over: &dyn Fn() -> bool) {
        let _ = (end, is_over);
    }
}

/// Returns how long it is until `deadline`; `None` is "for ever".
pub(crate) fn remaining(now: Instant, deadline: Option<Instant>) -> Option<Duration> {
    let deadline = deadline.filter(|&deadline| deadline != Instant::MAX)?;
    Some(deadline.saturating_duration_since(now))
}

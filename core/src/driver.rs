//! The seam: a clock, a way to wait, and a doorbell.
#![allow(unsafe_code, reason = "declares what an implementation of the doorbell must promise")]

use crate::Instant;

/// The loop's world outside: what core can't know by itself.
///
/// An implementation MUST hold to this:
///
/// 1. `now` never goes back, whatever its source does (FAULTS T-05).
/// 2. `wait` returns at once when `deadline` is [`Instant::ZERO`] or past, and
///    still looks at the outside once: interrupts served, descriptors polled.
/// 3. `wait` returns soon after `deadline`; sooner is allowed, the loop looks
///    at its clock again and waits again. `None` means "until something happens".
/// 4. A ring of the doorbell that comes after `wait` was called, or between the
///    loop's last look and the call, makes `wait` return. On bare metal: check
///    a flag with interrupts masked, then WFI, which wakes on a masked one too.
/// 5. `wait` does not call back into a loop; it may make tasks and handlers
///    ready.
/// 6. `doorbell` always returns the same object.
pub trait Driver {
    /// Reads the clock.
    fn now(&self) -> Instant;

    /// Waits until `deadline` at the longest.
    fn wait(&self, deadline: Option<Instant>);

    /// Returns what wakes a waiting loop.
    fn doorbell(&self) -> &'static dyn Doorbell;
}

/// Wakes a loop that waits, from another thread or from an interrupt.
///
/// # Safety
/// Where `is_loop_thread` returns true, the caller must be in the thread that
/// runs the loop, and not in an interrupt handler that interrupted it: the loop
/// then touches data that no lock protects. An implementation that can't tell
/// returns false always; wakes by [`Waker`](core::task::Waker) then queue in the
/// order of their tasks' slots instead of the order in which they were made.
pub unsafe trait Doorbell: Sync {
    /// Makes the current or the next [`Driver::wait`] return. Called from any
    /// thread, from interrupt and signal handlers, and more often than needed.
    fn ring(&self);

    /// Tells whether the caller is in the loop's own thread, undisturbed.
    fn is_loop_thread(&self) -> bool;
}

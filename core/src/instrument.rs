//! Who may look on: the functions and the observer that a loop can be given.

use core::cell::RefCell;

use crate::{EventLoopHandle, ExceptionContext, Histogram, Instant, NewTask, Running};

/// A function that is told about errors that nobody looks at.
pub type ExceptionHandler = fn(&EventLoopHandle, &ExceptionContext<'_>);

/// A function that sees each new task before its first step.
pub type TaskFactory = fn(&EventLoopHandle, &mut NewTask);

/// Observes the loop: for measurements and debugging. Costs one comparison at
/// each point while none is set.
pub trait Instrument {
    /// Is called before each callback and task step.
    fn before_callback(&self, running: &Running) {
        let _ = running;
    }

    /// Is called after each callback and task step.
    fn after_callback(&self, running: &Running) {
        let _ = running;
    }

    /// Is called before the loop waits.
    fn before_wait(&self, deadline: Option<Instant>) {
        let _ = deadline;
    }

    /// Is called after the loop waited.
    fn after_wait(&self) {}

    /// Is called before the callbacks and steps of an iteration, with how many are ready.
    fn before_batch(&self, ready: usize) {
        let _ = ready;
    }

    /// Returns where to record how late timers are: the nanoseconds from the deadline
    /// of each to the iteration that makes it ready. The loop borrows it then and calls
    /// nobody meanwhile.
    fn timer_lateness(&self) -> Option<&RefCell<Histogram>> {
        None
    }
}

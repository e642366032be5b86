//! What a layer above adds to the scheduler.

use core::panic::Location;

use crate::{ExceptionContext, Instant, NewTask, Scheduler, TaskId};

/// The value that every callback receives: the handle of the loop that runs it.
///
/// The scheduler is written against this trait, so that the callbacks of
/// `rondel` get rondel's own handle and those of a microcontroller get core's.
/// All methods but the first three have defaults that compile to nothing.
pub trait Context: Clone + Unpin + 'static {
    /// Returns the scheduler of this loop.
    fn scheduler(&self) -> &Scheduler<Self>;

    /// Reads the loop's clock.
    fn now(&self) -> Instant;

    /// Waits for the outside, until `deadline` at the longest, and makes ready
    /// what it brought.
    fn wait(&self, deadline: Option<Instant>);

    /// Tells the exception handler about an error that nobody looks at.
    fn call_exception_handler(&self, context: &ExceptionContext<'_>) {
        let _ = context;
    }

    /// Runs one step of user code. std-ext catches and reports a panic here.
    ///
    /// # Errors
    /// [`Panicked`] if the step panicked and the panic was reported.
    #[inline]
    fn guard<R>(&self, step: impl FnOnce() -> R) -> Result<R, Panicked> {
        Ok(step())
    }

    /// Is called before each callback and task step.
    #[inline]
    fn before_callback(&self, running: &Running) {
        let _ = running;
    }

    /// Is called after each callback and task step.
    #[inline]
    fn after_callback(&self, running: &Running) {
        let _ = running;
    }

    /// Is called before the loop waits.
    #[inline]
    fn before_wait(&self, deadline: Option<Instant>) {
        let _ = deadline;
    }

    /// Is called after the loop waited.
    #[inline]
    fn after_wait(&self) {}

    /// Sees each new task before its first step is queued: the task factory.
    #[inline]
    fn task_created(&self, task: &mut NewTask) {
        let _ = task;
    }
}

/// Tells that a step of user code panicked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Panicked;

/// Tells what the loop is running.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Running {
    /// Is the task, if it is a step of one.
    pub task: Option<TaskId>,
    /// Is where the callback, timer or task was created.
    pub location: &'static Location<'static>,
}

//! What a layer above adds to the scheduler.

use core::cell::{RefCell, RefMut};
use core::future::Future;
use core::panic::Location;

use crate::{
    ExceptionContext, HandleId, Histogram, Instant, NewTask, Outcome, Refused, Scheduler, SlotId, Task,
    TaskId,
};

/// The value that every callback receives: the handle of the loop that runs it.
///
/// The scheduler is written against this trait, so that the callbacks of
/// `rondel` get rondel's own handle and those of a microcontroller get core's.
/// All items but the first three methods have defaults that compile to nothing.
pub trait Context: Clone + Unpin + 'static {
    /// Tells whether the scheduler's memory may hold a wheel for far timers. A
    /// loop that never gives it one saves the code of the wheel.
    const HAS_WHEEL: bool = true;

    /// Tells whether the scheduler's memory may keep calls for other threads. A
    /// loop that never does saves the code that tells them apart.
    const HAS_THREADSAFE_CALLS: bool = true;

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

    /// Returns the four hooks below if they do anything now; asked before each call of
    /// them, so that nothing is made ready for nobody. The scheduler calls none by its name,
    /// so that a program that is never observed can be linked without.
    #[inline]
    fn hooks(&self) -> Option<&'static Hooks<Self>> {
        Some(Hooks::of())
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

    /// Is called before the callbacks and steps of an iteration, with how many are ready.
    #[inline]
    fn before_batch(&self, ready: usize) {
        let _ = ready;
    }

    /// Returns where to record how late timers are: the nanoseconds from the deadline
    /// of each to the iteration that makes it ready. The loop borrows it then and calls
    /// nobody meanwhile.
    #[inline]
    fn timer_lateness(&self) -> Option<&RefCell<Histogram>> {
        None
    }

    /// Is called before the loop waits.
    #[inline]
    fn before_wait(&self, deadline: Option<Instant>) {
        let _ = deadline;
    }

    /// Is called after the loop waited.
    #[inline]
    fn after_wait(&self) {}

    /// Makes a task of a future that is too large for a task slot: a loop with an allocator
    /// boxes it. Core's loops give it back.
    ///
    /// # Errors
    /// Gives the future back, with the reason that it came with or a new one.
    #[inline]
    fn create_large_task<F>(
        &self,
        refused: Refused<F>,
        location: &'static Location<'static>,
    ) -> Result<Task<F::Output, Self>, Refused<F>>
    where
        F: Future<Output: Outcome + 'static> + 'static,
    {
        let _ = location;
        Err(refused)
    }

    /// Sees each new task before its first step is queued: the task factory.
    #[inline]
    fn task_created(&self, task: &mut NewTask) {
        let _ = task;
    }
}

/// The hooks of a context that observe what runs.
#[derive(Debug)]
pub struct Hooks<C: 'static> {
    pub(crate) before_callback: fn(&C, &Running),
    pub(crate) after_callback: fn(&C, &Running),
    pub(crate) before_batch: fn(&C, usize),
    pub(crate) timer_lateness: fn(&C) -> Option<RefMut<'_, Histogram>>,
    pub(crate) record: fn(&mut Histogram, u64),
}

impl<C: Context> Hooks<C> {
    /// Returns those of `C`.
    #[must_use]
    pub const fn of() -> &'static Self {
        const {
            &Self {
                before_callback: C::before_callback,
                after_callback: C::after_callback,
                before_batch: C::before_batch,
                timer_lateness: |context| context.timer_lateness()?.try_borrow_mut().ok(),
                record: Histogram::record,
            }
        }
    }
}

/// Tells that a step of user code panicked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Panicked;

/// Tells what the loop is running.
#[derive(Clone, Copy, Debug)]
pub struct Running {
    pub(crate) id: SlotId,
    is_task: bool,
    /// Is where the callback, timer or task was created.
    pub location: &'static Location<'static>,
}

impl Running {
    pub(crate) const fn call(id: SlotId, location: &'static Location<'static>) -> Self {
        Self { id, is_task: false, location }
    }

    pub(crate) const fn step(id: SlotId, location: &'static Location<'static>) -> Self {
        Self { id, is_task: true, location }
    }

    /// Returns the task, if it is a step of one.
    #[inline]
    #[must_use]
    pub const fn task(&self) -> Option<TaskId> {
        if self.is_task { Some(TaskId(self.id)) } else { None }
    }

    /// Returns the handle of the callback or timer, if it is one.
    #[must_use]
    pub const fn handle(&self) -> Option<HandleId> {
        if self.is_task { None } else { Some(HandleId(self.id)) }
    }
}

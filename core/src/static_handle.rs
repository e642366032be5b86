//! The handle of a microcontroller's loop: what callbacks and tasks hold.

use core::cell::RefCell;
use core::fmt;
use core::marker::PhantomData;
use core::pin::Pin;
use core::time::Duration;

use crate::body::{Body, TaskCell};
use crate::static_loop::Shared;
use crate::{
    AllTasks, Callback, Context, ExceptionContext, ExceptionHandler, Gather, GatherOutcomes, Handle,
    Histogram, Hooks, Instant, Instrument, Limits, NewTask, Outcome, Refused, Running, Scheduler, Sleep,
    SlotId, Statistics, Task, TaskFactory, TaskRef, Timeout, TimerHandle, YieldNow,
};

/// Refers to a loop: what callbacks receive and tasks hold.
///
/// It stays valid after the loop was closed, and then answers `Closed`.
#[derive(Clone, Copy)]
pub struct EventLoopHandle {
    shared: &'static Shared,
    /// The loop belongs to one thread.
    _not_send: PhantomData<*mut ()>,
}

impl EventLoopHandle {
    pub(crate) const fn new(shared: &'static Shared) -> Self {
        Self { shared, _not_send: PhantomData }
    }

    pub(crate) const fn shared(&self) -> &'static Shared {
        self.shared
    }

    /// Reads the loop's clock (contract T-1).
    ///
    /// # Python
    /// `loop.time()`.
    #[must_use]
    pub fn time(&self) -> Instant {
        self.shared.driver.now()
    }

    /// Makes the loop return after the iteration that is running.
    ///
    /// # Python
    /// `loop.stop()`.
    pub fn stop(&self) {
        self.shared.scheduler.stop();
    }

    /// Tells whether the loop runs.
    ///
    /// # Python
    /// `loop.is_running()`.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.shared.scheduler.is_running()
    }

    /// Tells whether the loop was closed.
    ///
    /// # Python
    /// `loop.is_closed()`.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.scheduler.is_closed()
    }

    /// Counts what the loop has done and holds.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.shared.scheduler.statistics()
    }

    /// Shows every task, call and future of the loop to `visit`. See
    /// [`Scheduler::visit`](crate::Scheduler::visit).
    ///
    /// # Python
    /// `asyncio.all_tasks()` and what `python -m asyncio ps` shows, with calls and futures.
    pub fn visit(&self, visit: impl FnMut(crate::Item)) {
        self.shared.scheduler.visit(|_| (), visit);
    }

    /// Changes how much one turn may do.
    pub fn set_limits(&self, limits: Limits) {
        self.shared.scheduler.set_limits(limits);
    }

    /// Schedules `callback` for the next iteration, in the order of the calls.
    ///
    /// A closure with more than 24 bytes of captures does not compile.
    ///
    /// # Errors
    /// Gives the closure back if the call table is full or the loop closed.
    ///
    /// # Python
    /// `loop.call_soon(callback)`; captures replace arguments, and the loop is
    /// passed in.
    #[track_caller]
    pub fn call_soon<F, R>(&self, callback: F) -> Result<Handle<Self>, Refused<F>>
    where
        F: FnOnce(&Self) -> R + 'static,
        R: Outcome,
    {
        self.shared.scheduler.call_soon(self, callback, Callback::new, core::panic::Location::caller())
    }

    /// Schedules `callback` for the first iteration at or after `delay` from now.
    ///
    /// Timers with equal deadlines fire in the order in which they were armed.
    ///
    /// # Errors
    /// As [`EventLoopHandle::call_soon`].
    ///
    /// # Python
    /// `loop.call_later(delay, callback)`.
    #[track_caller]
    pub fn call_later<F, R>(&self, delay: Duration, callback: F) -> Result<TimerHandle<Self>, Refused<F>>
    where
        F: FnOnce(&Self) -> R + 'static,
        R: Outcome,
    {
        let location = core::panic::Location::caller();
        self.shared.scheduler.call_later(self, delay, callback, Callback::new, location)
    }

    /// Schedules `callback` for the first iteration at or after `when`.
    ///
    /// # Errors
    /// As [`EventLoopHandle::call_soon`].
    ///
    /// # Python
    /// `loop.call_at(when, callback)`.
    #[track_caller]
    pub fn call_at<F, R>(&self, when: Instant, callback: F) -> Result<TimerHandle<Self>, Refused<F>>
    where
        F: FnOnce(&Self) -> R + 'static,
        R: Outcome,
    {
        let location = core::panic::Location::caller();
        self.shared.scheduler.call_at(self, when, callback, Callback::new, location)
    }

    /// Adds a callback for a source outside of the loop, to be called after each
    /// [`EventLoopHandle::make_ready`].
    ///
    /// # Errors
    /// As [`EventLoopHandle::call_soon`].
    #[track_caller]
    pub fn add_handler<F, R>(&self, callback: F) -> Result<SlotId, Refused<F>>
    where
        F: FnMut(&Self) -> R + 'static,
        R: Outcome,
    {
        self.shared.scheduler.add_handler(callback, Callback::handler, core::panic::Location::caller())
    }

    /// Makes a handler ready; false if it was removed, or is ready already.
    pub fn make_ready(&self, handler: SlotId) -> bool {
        self.shared.scheduler.make_ready(handler)
    }

    /// Removes a handler, also from the batch that is running.
    pub fn remove_handler(&self, handler: SlotId) -> bool {
        self.shared.scheduler.cancel_call(self, handler)
    }

    /// Makes a pending future.
    ///
    /// # Errors
    /// If the future table is full or the loop closed.
    ///
    /// # Python
    /// `loop.create_future()`.
    #[track_caller]
    pub fn create_future<T: 'static>(&self) -> Result<crate::Future<T>, Refused<()>> {
        crate::future::Future::new(self)
    }

    /// Makes a task of `future`. Its first step is in the next iteration.
    ///
    /// # Errors
    /// Gives the future back if the task table is full, the future larger than a
    /// task's bytes, or the loop closed.
    ///
    /// # Python
    /// `loop.create_task(coro)`.
    #[track_caller]
    pub fn create_task<F>(&self, future: F) -> Result<Task<F::Output, Self>, Refused<F>>
    where
        F: core::future::Future<Output: Outcome + 'static> + 'static,
    {
        Task::new(self, future, TaskCell::new)
    }

    /// Makes a task of a future that lives elsewhere, for one that is larger
    /// than a task's bytes: a `Pin<&'static mut TaskCell<F>>`.
    ///
    /// # Errors
    /// Gives the pointer back if the task table is full or the loop closed.
    #[track_caller]
    pub fn create_pinned_task<P>(
        &self,
        body: Pin<P>,
    ) -> Result<Task<<Pin<P> as Body>::Output, Self>, Refused<Pin<P>>>
    where
        Pin<P>: Body + 'static,
    {
        Task::new(self, body, core::convert::identity)
    }

    /// Returns the task that is running, `None` outside of task steps.
    ///
    /// # Python
    /// `asyncio.current_task()`.
    #[must_use]
    pub fn current_task(&self) -> Option<TaskRef<Self>> {
        self.shared.scheduler.current_task(self)
    }

    /// Returns the tasks that are not done.
    ///
    /// # Python
    /// `asyncio.all_tasks()`.
    #[must_use]
    pub fn all_tasks(&self) -> AllTasks<Self> {
        self.shared.scheduler.all_tasks(self)
    }

    /// Sets or unsets the function that sees each new task, and may name it.
    ///
    /// # Python
    /// `loop.set_task_factory(factory)`.
    pub fn set_task_factory(&self, factory: Option<TaskFactory>) {
        self.shared.task_factory.set(factory);
    }

    /// Returns the task factory.
    ///
    /// # Python
    /// `loop.get_task_factory()`.
    #[must_use]
    pub fn task_factory(&self) -> Option<TaskFactory> {
        self.shared.task_factory.get()
    }

    /// Waits for `delay`.
    ///
    /// # Cancellation
    /// Safe: nothing is lost but the wait.
    ///
    /// # Python
    /// `asyncio.sleep(delay)`.
    #[track_caller]
    pub fn sleep(&self, delay: Duration) -> Sleep<Self> {
        Sleep::new(self, delay)
    }

    /// Waits until `when`.
    ///
    /// # Cancellation
    /// Safe: nothing is lost but the wait.
    ///
    /// # Python
    /// None; `asyncio.sleep(when - loop.time())`.
    #[track_caller]
    pub fn sleep_until(&self, when: Instant) -> Sleep<Self> {
        Sleep::until(self, when)
    }

    /// Gives up the rest of this iteration.
    ///
    /// # Cancellation
    /// Safe: nothing is lost.
    ///
    /// # Python
    /// `asyncio.sleep(0)`.
    pub fn yield_now(&self) -> YieldNow<Self> {
        YieldNow::new(self)
    }

    /// Runs `future` for `limit` at the longest.
    ///
    /// # Cancellation
    /// Cancels what `future` awaits; see [`Timeout`].
    ///
    /// # Python
    /// `asyncio.wait_for(future, limit)`.
    #[track_caller]
    pub fn timeout<F>(&self, limit: Duration, future: F) -> Timeout<F::IntoFuture, Self>
    where
        F: IntoFuture<Output: Outcome>,
    {
        Timeout::new(self, limit, future)
    }

    /// Waits for all of `tasks`, or the first that fails; the others go on then.
    ///
    /// # Errors
    /// Gives the tasks back if the future table or the call table is full, or
    /// the loop closed.
    ///
    /// # Cancellation
    /// Cancels all tasks, and ends with the first that ends without a value, or when all have ended.
    ///
    /// # Python
    /// `asyncio.gather(*tasks)`.
    pub fn gather<T, const N: usize>(
        &self,
        tasks: [Task<T, Self>; N],
    ) -> Result<Gather<T, Self, N>, Refused<[Task<T, Self>; N]>>
    where
        T: Outcome + 'static,
    {
        Gather::new(self, tasks)
    }

    /// Waits for all of `tasks`, however they end.
    ///
    /// # Errors
    /// As [`EventLoopHandle::gather`].
    ///
    /// # Cancellation
    /// Cancels all tasks, and ends when all have ended.
    ///
    /// # Python
    /// `asyncio.gather(*tasks, return_exceptions=True)`.
    pub fn gather_outcomes<T, const N: usize>(
        &self,
        tasks: [Task<T, Self>; N],
    ) -> Result<GatherOutcomes<T, Self, N>, Refused<[Task<T, Self>; N]>>
    where
        T: Outcome + 'static,
    {
        GatherOutcomes::new(self, tasks)
    }

    /// Sets or unsets the function that is told about errors nobody looks at.
    ///
    /// # Python
    /// `loop.set_exception_handler(handler)`.
    pub fn set_exception_handler(&self, handler: Option<ExceptionHandler>) {
        self.shared.exception_handler.set(handler);
    }

    /// Returns the exception handler.
    ///
    /// # Python
    /// `loop.get_exception_handler()`.
    #[must_use]
    pub fn exception_handler(&self) -> Option<ExceptionHandler> {
        self.shared.exception_handler.get()
    }

    /// Reports an error: to the handler, or else to the count of
    /// [`EventLoopHandle::unhandled_exceptions`], since there is nowhere to print.
    ///
    /// # Python
    /// `loop.call_exception_handler(context)`.
    pub fn call_exception_handler(&self, context: &ExceptionContext<'_>) {
        match self.shared.exception_handler.get() {
            Some(handler) => handler(self, context),
            None => self.shared.unhandled.set(self.shared.unhandled.get().saturating_add(1)),
        }
    }

    /// Counts the errors that were reported while there was no handler.
    #[must_use]
    pub fn unhandled_exceptions(&self) -> u64 {
        self.shared.unhandled.get()
    }

    /// Sets or unsets the observer of the loop.
    pub fn set_instrument(&self, instrument: Option<&'static dyn Instrument>) {
        self.shared.instrument.set(instrument);
        self.shared.hooks.set(instrument.map(|_| Hooks::of()));
    }
}

impl Context for EventLoopHandle {
    /// `Storage` has none: a few dozen timers are best off in the heap.
    const HAS_WHEEL: bool = false;

    /// Other threads and interrupts wake tasks.
    const HAS_THREADSAFE_CALLS: bool = false;

    #[inline]
    fn scheduler(&self) -> &Scheduler<Self> {
        &self.shared.scheduler
    }

    #[inline]
    fn now(&self) -> Instant {
        self.shared.driver.now()
    }

    #[inline]
    fn wait(&self, deadline: Option<Instant>) {
        self.shared.driver.wait(deadline);
    }

    fn call_exception_handler(&self, context: &ExceptionContext<'_>) {
        Self::call_exception_handler(self, context);
    }

    #[inline]
    fn hooks(&self) -> Option<&'static Hooks<Self>> {
        self.shared.hooks.get()
    }

    #[inline]
    fn before_callback(&self, running: &Running) {
        if let Some(instrument) = self.shared.instrument.get() {
            instrument.before_callback(running);
        }
    }

    #[inline]
    fn after_callback(&self, running: &Running) {
        if let Some(instrument) = self.shared.instrument.get() {
            instrument.after_callback(running);
        }
    }

    #[inline]
    fn before_wait(&self, deadline: Option<Instant>) {
        if let Some(instrument) = self.shared.instrument.get() {
            instrument.before_wait(deadline);
        }
    }

    #[inline]
    fn after_wait(&self) {
        if let Some(instrument) = self.shared.instrument.get() {
            instrument.after_wait();
        }
    }

    #[inline]
    fn before_batch(&self, ready: usize) {
        if let Some(instrument) = self.shared.instrument.get() {
            instrument.before_batch(ready);
        }
    }

    #[inline]
    fn timer_lateness(&self) -> Option<&RefCell<Histogram>> {
        self.shared.instrument.get()?.timer_lateness()
    }

    fn task_created(&self, task: &mut NewTask) {
        if let Some(factory) = self.shared.task_factory.get() {
            factory(self, task);
        }
    }
}

impl fmt::Debug for EventLoopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.scheduler.fmt(f)
    }
}

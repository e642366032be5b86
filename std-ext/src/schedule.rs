//! Callbacks, timers, futures and tasks.

use core::future::Future as StdFuture;
use core::panic::Location;
use core::time::Duration;
use std::rc::Rc;

use rondel_core::{
    AllTasks, Callback, Context as _, Gather, GatherOutcomes, Instant, NewTask, Outcome, Refused, Sleep,
    TaskCell, TaskId, TaskRef, Timeout, YieldNow,
};

use crate::inner::TaskFactory;
use crate::{EventLoopHandle, Future, Handle, Task, TimerHandle};

impl EventLoopHandle {
    /// Schedules `callback` for the next iteration, in the order of the calls
    /// (contract CS-1, CS-3).
    ///
    /// A closure with more than 24 bytes of captures is boxed.
    ///
    /// # Errors
    /// Gives the closure back if the call table is full or the loop closed.
    ///
    /// # Python
    /// `loop.call_soon(callback)`; captures replace arguments, and the loop is
    /// passed in.
    #[inline]
    #[track_caller]
    pub fn call_soon<F, R>(&self, callback: F) -> Result<Handle, Refused<F>>
    where
        F: FnOnce(&Self) -> R + 'static,
        R: Outcome,
    {
        self.inner.scheduler.call_soon(self, callback, once, Location::caller())
    }

    /// Schedules `callback` for the first iteration at or after `delay` from now.
    ///
    /// Timers with equal deadlines fire in the order in which they were armed. A
    /// deadline is met to the resolution of the clock, also below a millisecond.
    ///
    /// # Errors
    /// As [`EventLoopHandle::call_soon`].
    ///
    /// # Python
    /// `loop.call_later(delay, callback)`.
    #[inline]
    #[track_caller]
    pub fn call_later<F, R>(&self, delay: Duration, callback: F) -> Result<TimerHandle, Refused<F>>
    where
        F: FnOnce(&Self) -> R + 'static,
        R: Outcome,
    {
        self.call_later_from(delay, callback, Location::caller())
    }

    /// As [`call_later`](Self::call_later), for somebody who was asked to at `location`.
    #[inline]
    pub(crate) fn call_later_from<F, R>(
        &self,
        delay: Duration,
        callback: F,
        location: &'static Location<'static>,
    ) -> Result<TimerHandle, Refused<F>>
    where
        F: FnOnce(&Self) -> R + 'static,
        R: Outcome,
    {
        self.inner.scheduler.call_later(self, delay, callback, once, location)
    }

    /// Schedules `callback` for the first iteration at or after `when`.
    ///
    /// # Errors
    /// As [`EventLoopHandle::call_soon`].
    ///
    /// # Python
    /// `loop.call_at(when, callback)`.
    #[inline]
    #[track_caller]
    pub fn call_at<F, R>(&self, when: Instant, callback: F) -> Result<TimerHandle, Refused<F>>
    where
        F: FnOnce(&Self) -> R + 'static,
        R: Outcome,
    {
        self.call_at_from(when, callback, Location::caller())
    }

    /// As [`call_at`](Self::call_at), for somebody who was asked to at `location`.
    #[inline]
    pub(crate) fn call_at_from<F, R>(
        &self,
        when: Instant,
        callback: F,
        location: &'static Location<'static>,
    ) -> Result<TimerHandle, Refused<F>>
    where
        F: FnOnce(&Self) -> R + 'static,
        R: Outcome,
    {
        self.inner.scheduler.call_at(self, when, callback, once, location)
    }

    /// Makes a pending future. A result of more than 24 bytes is boxed by its
    /// user: `create_future::<Box<T>>`.
    ///
    /// # Errors
    /// If the future table is full or the loop closed.
    ///
    /// # Python
    /// `loop.create_future()`.
    #[track_caller]
    pub fn create_future<T: 'static>(&self) -> Result<Future<T>, Refused<()>> {
        Future::new(self)
    }

    /// As [`create_future`](Self::create_future), for somebody who was asked to at `location`.
    pub(crate) fn create_future_from<T: 'static>(
        &self,
        location: &'static Location<'static>,
    ) -> Result<Future<T>, Refused<()>> {
        Future::new_at(self, location)
    }

    /// Makes a task of `future`. Its first step is in the next iteration (TK-1).
    ///
    /// A future that is larger than a task's bytes is boxed.
    ///
    /// # Errors
    /// Gives the future back if the task table is full, or the loop closed.
    ///
    /// # Python
    /// `loop.create_task(coro)`.
    #[track_caller]
    pub fn create_task<F>(&self, future: F) -> Result<Task<F::Output>, Refused<F>>
    where
        F: StdFuture<Output: Outcome + 'static> + 'static,
    {
        self.create_task_from(future, Location::caller())
    }

    /// As [`create_task`](Self::create_task), for somebody who was asked to at `location`.
    pub(crate) fn create_task_from<F>(
        &self,
        future: F,
        location: &'static Location<'static>,
    ) -> Result<Task<F::Output>, Refused<F>>
    where
        F: StdFuture<Output: Outcome + 'static> + 'static,
    {
        match Task::new_at(self, future, TaskCell::new, location) {
            Err(refused) if refused.is_too_large() => self.create_large_task(refused, location),
            created => created,
        }
    }

    /// Returns the task that is running, `None` outside of task steps (TK-11).
    ///
    /// # Python
    /// `asyncio.current_task()`.
    #[must_use]
    pub fn current_task(&self) -> Option<TaskRef<Self>> {
        self.inner.scheduler.current_task(self)
    }

    /// Returns the tasks that are not done.
    ///
    /// # Python
    /// `asyncio.all_tasks()`.
    #[must_use]
    pub fn all_tasks(&self) -> AllTasks<Self> {
        self.inner.scheduler.all_tasks(self)
    }

    /// Returns the task with this id, if it still has a slot.
    #[must_use]
    pub fn task(&self, id: TaskId) -> Option<TaskRef<Self>> {
        self.inner.scheduler.task(self, id)
    }

    /// Sets the function that sees each new task, and may name it; used by
    /// `create_task` and `run_until_complete` alike (TK-12).
    ///
    /// # Python
    /// `loop.set_task_factory(factory)`. There the factory makes the task; here
    /// a future's type is fixed before the loop sees it, so a factory that wraps
    /// coroutines is a function that calls `create_task`.
    pub fn set_task_factory<F>(&self, factory: F)
    where
        F: Fn(&Self, &mut NewTask) + 'static,
    {
        let previous = self.inner.task_factory.borrow_mut().replace(Rc::new(factory));
        drop(previous);
    }

    /// Goes back to creating tasks without anybody looking.
    ///
    /// # Python
    /// `loop.set_task_factory(None)`.
    pub fn reset_task_factory(&self) {
        let previous = self.inner.task_factory.borrow_mut().take();
        drop(previous);
    }

    /// Returns the task factory.
    ///
    /// # Python
    /// `loop.get_task_factory()`.
    #[must_use]
    pub fn task_factory(&self) -> Option<TaskFactory> {
        self.inner.task_factory.borrow().clone()
    }

    /// Waits for `delay`, counted from the first poll.
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

    /// Gives up the rest of this iteration (TK-8).
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
    /// Cancels what `future` awaits; see [`rondel_core::Timeout`].
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
        tasks: [Task<T>; N],
    ) -> Result<Gather<T, Self, N>, Refused<[Task<T>; N]>>
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
        tasks: [Task<T>; N],
    ) -> Result<GatherOutcomes<T, Self, N>, Refused<[Task<T>; N]>>
    where
        T: Outcome + 'static,
    {
        GatherOutcomes::new(self, tasks)
    }
}

/// Makes a callback of any closure: inline if it is small, else boxed.
#[inline]
fn once<F, R>(closure: F) -> Callback<EventLoopHandle>
where
    F: FnOnce(&EventLoopHandle) -> R + 'static,
    R: Outcome,
{
    Callback::try_inline(closure).unwrap_or_else(|closure| {
        let closure = Box::new(closure);
        Callback::new(move |event_loop: &EventLoopHandle| closure(event_loop))
    })
}

//! What every loop can do, for code that runs on any of them.

use core::panic::Location;
use core::time::Duration;

use crate::body::TaskCell;
use crate::callback::Callback;
use crate::future::Future;
use crate::task::Task;
use crate::{
    Context, Gather, GatherOutcomes, Handle, Instant, Outcome, Refused, Sleep, Timeout, TimerHandle, YieldNow,
};

/// The loop as a library sees it that is written once for all loops: on Linux
/// under `rondel`, on a microcontroller, under a driver for tests.
///
/// Implemented for every [`Context`]. The handles of both loops have methods of
/// these names themselves, and a call on such a handle means those: rondel's box
/// closures that are too large. These never do, so what compiles here runs
/// everywhere where a task has enough bytes; under rondel any task has.
///
/// What a cancellation does, and what the counterpart in asyncio is, stands with the methods of
/// [`EventLoopHandle`](crate::EventLoopHandle).
///
/// ```
/// use core::time::Duration;
/// use rondel_core::{Context, ContextExt, Exception};
///
/// async fn blink<C: Context>(context: C, set: fn(bool)) -> Result<(), Exception> {
///     for is_on in [true, false, true, false] {
///         set(is_on);
///         context.sleep(Duration::from_millis(500)).await?;
///     }
///     Ok(())
/// }
/// ```
pub trait ContextExt: Context {
    /// Makes the loop return after the iteration that is running.
    fn stop(&self) {
        self.scheduler().stop();
    }

    /// Schedules `callback` for the next iteration.
    ///
    /// A closure with more than 24 bytes of captures does not compile.
    ///
    /// # Errors
    /// Gives the closure back if the call table is full or the loop closed.
    #[track_caller]
    fn call_soon<F, R>(&self, callback: F) -> Result<Handle<Self>, Refused<F>>
    where
        F: FnOnce(&Self) -> R + 'static,
        R: Outcome,
    {
        self.scheduler().call_soon(self, callback, Callback::new, Location::caller())
    }

    /// Schedules `callback` for the first iteration at or after `delay` from now.
    ///
    /// # Errors
    /// As [`ContextExt::call_soon`].
    #[track_caller]
    fn call_later<F, R>(&self, delay: Duration, callback: F) -> Result<TimerHandle<Self>, Refused<F>>
    where
        F: FnOnce(&Self) -> R + 'static,
        R: Outcome,
    {
        self.scheduler().call_later(self, delay, callback, Callback::new, Location::caller())
    }

    /// Schedules `callback` for the first iteration at or after `when`.
    ///
    /// # Errors
    /// As [`ContextExt::call_soon`].
    #[track_caller]
    fn call_at<F, R>(&self, when: Instant, callback: F) -> Result<TimerHandle<Self>, Refused<F>>
    where
        F: FnOnce(&Self) -> R + 'static,
        R: Outcome,
    {
        self.scheduler().call_at(self, when, callback, Callback::new, Location::caller())
    }

    /// Makes a pending future.
    ///
    /// # Errors
    /// If the future table is full or the loop closed.
    #[track_caller]
    fn create_future<T: 'static>(&self) -> Result<Future<T, Self>, Refused<()>> {
        Future::new(self)
    }

    /// Makes a task of `future`. Its first step is in the next iteration.
    ///
    /// # Errors
    /// Gives the future back if the task table is full, the loop closed, or the future
    /// larger than a task's bytes and the loop without an allocator.
    #[track_caller]
    fn create_task<F>(&self, future: F) -> Result<Task<F::Output, Self>, Refused<F>>
    where
        F: core::future::Future<Output: Outcome + 'static> + 'static,
    {
        let location = Location::caller();
        match Task::new_at(self, future, TaskCell::new, location) {
            Err(refused) if refused.is_too_large() => self.create_large_task(refused, location),
            created => created,
        }
    }

    /// Waits for `delay`.
    #[track_caller]
    fn sleep(&self, delay: Duration) -> Sleep<Self> {
        Sleep::new(self, delay)
    }

    /// Waits until `when`.
    #[track_caller]
    fn sleep_until(&self, when: Instant) -> Sleep<Self> {
        Sleep::until(self, when)
    }

    /// Gives up the rest of this iteration.
    fn yield_now(&self) -> YieldNow<Self> {
        YieldNow::new(self)
    }

    /// Runs `future` for `limit` at the longest.
    #[track_caller]
    fn timeout<F>(&self, limit: Duration, future: F) -> Timeout<F::IntoFuture, Self>
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
    fn gather<T, const N: usize>(
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
    /// As [`ContextExt::gather`].
    fn gather_outcomes<T, const N: usize>(
        &self,
        tasks: [Task<T, Self>; N],
    ) -> Result<GatherOutcomes<T, Self, N>, Refused<[Task<T, Self>; N]>>
    where
        T: Outcome + 'static,
    {
        GatherOutcomes::new(self, tasks)
    }
}

impl<C: Context> ContextExt for C {}

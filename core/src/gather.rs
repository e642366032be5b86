//! Waiting for several tasks at once.

use core::error::Error;
use core::fmt;
use core::future::Future as _;
use core::pin::Pin;
use core::task::{Context as PollContext, Poll};

use crate::callback::{Action, Aim};
use crate::completion::DoneCallback;
use crate::future::Future;
use crate::slots::SlotId;
use crate::task::Task;
use crate::tasks::Status;
use crate::wait::Wait;
use crate::{Cancelled, Context, Outcome, Refusal, Refused, TaskError, WaitError};

/// Waits for `N` tasks and returns their values, in their order. See
/// `EventLoopHandle::gather`.
///
/// Ends with the first failure in time; the other tasks go on.
///
/// # Cancellation
/// Cancelling the task that awaits it cancels all children, and ends with the
/// first that ends without a value, or when all have ended. Dropping it leaves
/// them alone.
///
/// # Python
/// `asyncio.gather(*tasks)`, over tasks of one type; it takes one future and
/// `N` calls until it is done. An error of another task after the first is
/// reported unless somebody looks at it, where asyncio silences it.
#[must_use = "does nothing until it is awaited"]
pub struct Gather<T: Outcome + 'static, C: Context, const N: usize> {
    children: Children<T, C, N>,
}

/// As [`Gather`], but waits for all tasks, however they end.
///
/// # Cancellation
/// Cancelling the task that awaits it cancels all children, and ends when all have ended. Dropping it
/// leaves them alone.
///
/// # Python
/// `asyncio.gather(*tasks, return_exceptions=True)`.
#[must_use = "does nothing until it is awaited"]
pub struct GatherOutcomes<T: Outcome + 'static, C: Context, const N: usize> {
    children: Children<T, C, N>,
}

struct Children<T: Outcome + 'static, C: Context, const N: usize> {
    tasks: [Task<T, C>; N],
    /// Is done when the tasks are, or the first of them failed.
    outer: Future<(), C>,
    wait: Wait<C>,
    /// Counts the children; taken back when nobody waits any more.
    callbacks: [DoneCallback; N],
    is_cancelled: bool,
}

impl<T: Outcome + 'static, C: Context, const N: usize> Drop for Children<T, C, N> {
    fn drop(&mut self) {
        remove_callbacks(self.outer.context(), &self.callbacks);
    }
}

fn remove_callbacks<C: Context>(context: &C, callbacks: &[DoneCallback]) {
    for callback in callbacks {
        context.scheduler().cancel_call(context, callback.0);
    }
}

impl<T: Outcome + 'static, C: Context, const N: usize> Gather<T, C, N> {
    /// Makes the wait for `tasks`.
    ///
    /// # Errors
    /// Gives the tasks back if the future table or the call table is full, or
    /// the loop closed.
    pub fn new(context: &C, tasks: [Task<T, C>; N]) -> Result<Self, Refused<[Task<T, C>; N]>> {
        Ok(Self { children: Children::new(context, tasks, true)? })
    }
}

impl<T: Outcome + 'static, C: Context, const N: usize> GatherOutcomes<T, C, N> {
    /// Makes the wait for `tasks`.
    ///
    /// # Errors
    /// As [`Gather::new`].
    pub fn new(context: &C, tasks: [Task<T, C>; N]) -> Result<Self, Refused<[Task<T, C>; N]>> {
        Ok(Self { children: Children::new(context, tasks, false)? })
    }
}

impl<T: Outcome + 'static, C: Context, const N: usize> Children<T, C, N> {
    fn new(
        context: &C,
        tasks: [Task<T, C>; N],
        ends_at_failure: bool,
    ) -> Result<Self, Refused<[Task<T, C>; N]>> {
        let outer = match Future::<(), C>::new(context) {
            Ok(outer) => outer,
            Err(refused) => return Err(Refused::new("gather", refused.refusal(), tasks)),
        };
        let mut callbacks = [DoneCallback::NONE; N];
        let id = outer.slot();
        outer.with(|outer| outer.remaining = N as u32);
        for (index, (task, added)) in tasks.iter().zip(&mut callbacks).enumerate() {
            match task.add_done_action(ChildDone { outer: id, index: index as u32, ends_at_failure }) {
                Ok(callback) => *added = callback,
                Err(refused) => {
                    remove_callbacks(context, &callbacks);
                    return Err(Refused::new("gather", refused.refusal(), tasks));
                }
            }
        }
        if N == 0 {
            let _ = outer.set_result(());
        }
        let wait = outer.wait();
        Ok(Self { tasks, outer, wait, callbacks, is_cancelled: false })
    }

    /// Waits for `outer`; returns the child that failed first.
    fn poll(&mut self, context: &C, cx: &mut PollContext<'_>) -> Poll<Result<Option<u32>, GatherEnd>> {
        if context.scheduler().take_cancel() {
            // Too late for the children if the gathering is over.
            let is_over = self.outer.done();
            let asked = if is_over { 0 } else { self.tasks.iter().filter(|task| task.cancel()).count() };
            if asked == 0 {
                return Poll::Ready(Err(GatherEnd::Cancelled));
            }
            self.is_cancelled = true;
        }
        let polled = Pin::new(&mut self.wait).poll(cx);
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(_) if self.is_cancelled && !self.has_error() => {
                Poll::Ready(Err(GatherEnd::Cancelled))
            }
            Poll::Ready(Err(WaitError::Refused(refusal))) => Poll::Ready(Err(GatherEnd::Refused(refusal))),
            Poll::Ready(_) => Poll::Ready(Ok(self.outer.with(|outer| outer.failed).flatten())),
        }
    }

    /// Tells whether the first failure was an error, and not a cancellation.
    fn has_error(&self) -> bool {
        let failed = self.outer.with(|outer| outer.failed).flatten();
        let task = failed.and_then(|index| self.tasks.get(index as usize));
        let context = self.outer.context();
        task.and_then(|task| context.scheduler().with_task(task.id().0, |task| task.has_failed)) == Some(true)
    }

    fn context(&self) -> C {
        self.outer.context().clone()
    }
}

enum GatherEnd {
    Cancelled,
    Refused(Refusal),
}

/// Counts a child that is done, or ends the gathering with its failure.
struct ChildDone {
    outer: SlotId,
    index: u32,
    ends_at_failure: bool,
}

impl<C: Context> Action<C> for ChildDone {
    fn run(&mut self, context: &C) {
        let scheduler = context.scheduler();
        let child = scheduler.source.get();
        let failed = child
            .and_then(|id| scheduler.with_task(id, |task| task.status != Status::Done || task.has_failed))
            .unwrap_or(true);
        let Some(outer) = Future::<(), C>::upgrade(context, self.outer) else {
            return;
        };
        let ended = outer.with(|outer| {
            outer.remaining = outer.remaining.saturating_sub(1);
            if failed && self.ends_at_failure && outer.failed.is_none() {
                outer.failed = Some(self.index);
            }
            outer.remaining == 0 || outer.failed.is_some()
        });
        if ended == Some(true) {
            // Set already by an earlier failure, or cancelled.
            let _ = outer.set_result(());
        }
    }

    fn aim(&self) -> Option<Aim> {
        Some(Aim::Completes(self.outer))
    }
}

impl<T: Outcome + 'static, C: Context, const N: usize> core::future::Future for Gather<T, C, N> {
    type Output = Result<[T::Value; N], GatherError<T::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut PollContext<'_>) -> Poll<Self::Output> {
        let children = &mut self.get_mut().children;
        let context = children.context();
        let failed = match children.poll(&context, cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(GatherEnd::Cancelled)) => {
                return Poll::Ready(Err(GatherError::Cancelled(Cancelled)));
            }
            Poll::Ready(Err(GatherEnd::Refused(refusal))) => {
                return Poll::Ready(Err(GatherError::Refused(refusal)));
            }
            Poll::Ready(Ok(failed)) => failed,
        };
        let mut values = heapless::Vec::<T::Value, N>::new();
        let order = failed.map(|index| index as usize).into_iter().chain(0..N);
        for index in order {
            let Some(task) = children.tasks.get(index) else {
                continue;
            };
            match task.take().map(T::into_result) {
                Ok(Ok(value)) => {
                    let _ = values.push(value);
                }
                Ok(Err(error)) => return Poll::Ready(Err(GatherError::Failed { index, error })),
                Err(error) => return Poll::Ready(Err(GatherError::Task { index, error })),
            }
        }
        // One value of each of the N tasks was pushed.
        let values = values.into_array::<N>();
        Poll::Ready(values.map_err(|_| GatherError::Task { index: 0, error: TaskError::NotReady }))
    }
}

impl<T: Outcome + 'static, C: Context, const N: usize> core::future::Future for GatherOutcomes<T, C, N> {
    type Output = Result<[Result<T, TaskError>; N], WaitError>;

    fn poll(self: Pin<&mut Self>, cx: &mut PollContext<'_>) -> Poll<Self::Output> {
        let children = &mut self.get_mut().children;
        let context = children.context();
        match children.poll(&context, cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(GatherEnd::Cancelled)) => Poll::Ready(Err(WaitError::Cancelled(Cancelled))),
            Poll::Ready(Err(GatherEnd::Refused(refusal))) => Poll::Ready(Err(WaitError::Refused(refusal))),
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(children.tasks.each_ref().map(Task::take))),
        }
    }
}

impl<T: Outcome + 'static, C: Context, const N: usize> fmt::Debug for Gather<T, C, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gather({:?})", self.children.tasks)
    }
}

impl<T: Outcome + 'static, C: Context, const N: usize> fmt::Debug for GatherOutcomes<T, C, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GatherOutcomes({:?})", self.children.tasks)
    }
}

/// Why gathered tasks gave no values.
#[derive(Debug)]
#[non_exhaustive]
pub enum GatherError<E> {
    /// A task ended with an error.
    Failed {
        /// Is the task's place.
        index: usize,
        /// Is its error.
        error: E,
    },
    /// A task has no result.
    Task {
        /// Is the task's place.
        index: usize,
        /// Is the reason.
        error: TaskError,
    },
    /// The task that awaits them was cancelled.
    Cancelled(Cancelled),
    /// The loop had no room for the wait, or is closed.
    Refused(Refusal),
}

impl<E: fmt::Display> fmt::Display for GatherError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { index, error } => write!(f, "gather: task {index} failed: {error}"),
            Self::Task { index, error } => write!(f, "gather: task {index}: {error}"),
            Self::Cancelled(cancelled) => cancelled.fmt(f),
            Self::Refused(refusal) => write!(f, "gather: {refusal}"),
        }
    }
}

impl<E: Error + 'static> Error for GatherError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed { error, .. } => Some(error),
            Self::Task { error, .. } => Some(error),
            Self::Cancelled(cancelled) => Some(cancelled),
            Self::Refused(refusal) => Some(refusal),
        }
    }
}

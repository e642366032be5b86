//! A limit to how long a future may take.
#![allow(unsafe_code, reason = "projects a pin onto the limited future")]

use core::error::Error;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context as PollContext, Poll};
use core::time::Duration;

use crate::sleep::Sleep;
use crate::{Cancelled, Context, Outcome, Refusal, TaskId};

/// Runs a future for a limited time. See `EventLoopHandle::timeout`.
///
/// When the time is over, the future is asked to end as by
/// [`TaskRef::cancel`](crate::TaskRef::cancel): the awaitable in it that is
/// polled next ends with [`Cancelled`], and the future may clean up across
/// awaits. One that awaits nothing of this crate's is dropped at once.
///
/// # Cancellation
/// Cancelling the task cancels what the future awaits; dropping it drops the
/// future.
///
/// # Python
/// `asyncio.timeout()` and `asyncio.wait_for()`.
#[must_use = "does nothing until it is awaited"]
pub struct Timeout<F, C: Context> {
    context: C,
    sleep: Sleep<C>,
    has_expired: bool,
    /// Tells that the future was asked to end by somebody else: the cancellation
    /// of the task then goes before the timeout, as in asyncio.
    caller_cancelled: bool,
    /// Tells that it was polled: a request from before is not one within.
    has_begun: bool,
    /// Invariant: pinned as part of `self`.
    future: Option<F>,
}

impl<F: Future<Output: Outcome>, C: Context> Timeout<F, C> {
    /// Limits `future` to `limit`, counted from the first poll.
    #[track_caller]
    pub fn new(context: &C, limit: Duration, future: impl IntoFuture<IntoFuture = F>) -> Self {
        Self {
            context: context.clone(),
            sleep: Sleep::new(context, limit),
            has_expired: false,
            caller_cancelled: false,
            has_begun: false,
            future: Some(future.into_future()),
        }
    }
}

impl<F: Future<Output: Outcome>, C: Context> Future for Timeout<F, C> {
    type Output = Result<F::Output, TimeoutError>;

    fn poll(self: Pin<&mut Self>, cx: &mut PollContext<'_>) -> Poll<Self::Output> {
        // SAFETY: only `future` is pinned, and it is never moved: it is polled
        // in place and dropped by assigning `None`.
        let this = unsafe { self.get_unchecked_mut() };
        let mut expires = false;
        if !this.has_expired {
            match this.sleep.poll_time(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => (this.has_expired, expires) = (true, true),
                Poll::Ready(Err(refusal)) => return Poll::Ready(Err(TimeoutError::Refused(refusal))),
            }
        }
        let context = this.context.clone();
        let scheduler = context.scheduler();
        let task = scheduler.running().and_then(|running| running.task());
        let Some(future) = &mut this.future else {
            return Poll::Ready(Err(TimeoutError::TimedOut));
        };
        // SAFETY: as above.
        let future = unsafe { Pin::new_unchecked(future) };
        // The request of whoever cancels the task goes before ours; so does that
        // of a timeout around this one.
        let is_asked = || {
            task.and_then(|TaskId(id)| scheduler.with_task(id, |task| task.must_cancel || task.must_time_out))
                == Some(true)
        };
        let asked_before = is_asked();
        let asks = expires && !asked_before;
        if let (true, Some(TaskId(id))) = (asks, task) {
            scheduler.with_task(id, |task| task.must_time_out = true);
        }
        let polled = future.poll(cx);
        let mut owed = asks;
        if let (true, Some(TaskId(id))) = (asks, task) {
            scheduler.with_task(id, |task| owed = core::mem::take(&mut task.must_time_out));
        }
        this.caller_cancelled |= asked_before && this.has_begun && !is_asked();
        this.has_begun = true;
        match polled {
            Poll::Ready(output) => Poll::Ready(this.settle(output)),
            // Nobody heard the request: nothing in there can be asked.
            Poll::Pending if owed => {
                this.future = None;
                Poll::Ready(Err(TimeoutError::TimedOut))
            }
            Poll::Pending if asked_before && scheduler.take_cancel() => {
                this.future = None;
                Poll::Ready(Err(TimeoutError::Cancelled(Cancelled)))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<F: Future<Output: Outcome>, C: Context> Timeout<F, C> {
    fn settle(&self, output: F::Output) -> Result<F::Output, TimeoutError> {
        if !output.error().is_some_and(Cancelled::is_in) {
            return Ok(output);
        }
        if self.has_expired && !self.caller_cancelled {
            return Err(TimeoutError::TimedOut);
        }
        Err(TimeoutError::Cancelled(Cancelled))
    }
}

impl<F, C: Context> fmt::Debug for Timeout<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timeout({:?})", self.sleep)
    }
}

/// Why a limited future has no result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TimeoutError {
    /// The time was over.
    TimedOut,
    /// The task was cancelled.
    Cancelled(Cancelled),
    /// The loop had no room for the timer, or is closed.
    Refused(Refusal),
}

impl fmt::Display for TimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("the timeout expired"),
            Self::Cancelled(cancelled) => cancelled.fmt(f),
            Self::Refused(refusal) => write!(f, "timeout: {refusal}"),
        }
    }
}

impl Error for TimeoutError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::TimedOut => None,
            Self::Cancelled(cancelled) => Some(cancelled),
            Self::Refused(refusal) => Some(refusal),
        }
    }
}

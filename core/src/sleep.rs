//! Waiting for time to pass, or for one iteration.

use core::fmt;
use core::future::Future;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context as PollContext, Poll};
use core::time::Duration;

use crate::{Cancelled, Context, Instant, Refusal, SlotId, WaitError};

/// Waits until an instant. See `EventLoopHandle::sleep`.
///
/// The timer is armed by the first poll, and disarmed by a drop. When it fires,
/// the task is made ready and runs in the iteration after: as many hops as
/// asyncio's `sleep`.
///
/// # Cancellation
/// Safe: nothing is lost but the wait.
///
/// # Python
/// `asyncio.sleep(delay)`.
#[must_use = "does nothing until it is awaited"]
pub struct Sleep<C: Context> {
    context: C,
    until: Until,
    location: &'static Location<'static>,
}

#[derive(Clone, Copy, Debug)]
enum Until {
    /// Was not polled yet.
    Delay(Duration),
    Instant(Instant),
    /// Is armed.
    Timer(SlotId),
    Over,
}

impl<C: Context> Sleep<C> {
    /// Makes a wait for `delay`, counted from the first poll.
    #[track_caller]
    pub fn new(context: &C, delay: Duration) -> Self {
        Self { context: context.clone(), until: Until::Delay(delay), location: Location::caller() }
    }

    /// Makes a wait until `when`.
    #[track_caller]
    pub fn until(context: &C, when: Instant) -> Self {
        Self { context: context.clone(), until: Until::Instant(when), location: Location::caller() }
    }

    /// Advances the wait without looking at a request to cancel.
    pub(crate) fn poll_time(&mut self, cx: &PollContext<'_>) -> Poll<Result<(), Refusal>> {
        let scheduler = self.context.scheduler();
        let now = self.context.now();
        let when = match self.until {
            Until::Over => return Poll::Ready(Ok(())),
            Until::Timer(id) if scheduler.wake_instead(id, cx.waker()) => return Poll::Pending,
            Until::Timer(_) => {
                self.until = Until::Over;
                let closed = scheduler.is_closed();
                return Poll::Ready(if closed { Err(Refusal::Closed) } else { Ok(()) });
            }
            Until::Delay(delay) => now + delay,
            Until::Instant(when) => when,
        };
        let callback = scheduler.waking(cx.waker());
        match scheduler.arm("sleep", when, now, callback, core::convert::identity, self.location) {
            Ok(id) => {
                self.until = Until::Timer(id);
                Poll::Pending
            }
            Err(refused) => {
                self.until = Until::Over;
                Poll::Ready(Err(refused.refusal()))
            }
        }
    }
}

impl<C: Context> Future for Sleep<C> {
    type Output = Result<(), WaitError>;

    fn poll(self: Pin<&mut Self>, cx: &mut PollContext<'_>) -> Poll<Self::Output> {
        let sleep = self.get_mut();
        if sleep.context.scheduler().take_cancel() {
            return Poll::Ready(Err(WaitError::Cancelled(Cancelled)));
        }
        if matches!(sleep.until, Until::Delay(Duration::ZERO)) {
            // Gives up one iteration, as `asyncio.sleep(0)` does, and takes no timer.
            sleep.until = Until::Over;
            sleep.context.scheduler().wake_next_turn(cx.waker());
            return Poll::Pending;
        }
        sleep.poll_time(cx).map_err(WaitError::Refused)
    }
}

impl<C: Context> Drop for Sleep<C> {
    fn drop(&mut self) {
        if let Until::Timer(id) = self.until {
            self.context.scheduler().cancel_call(&self.context, id);
        }
    }
}

impl<C: Context> fmt::Debug for Sleep<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sleep({:?})", self.until)
    }
}

/// Gives up the rest of one iteration. See `EventLoopHandle::yield_now`.
///
/// # Cancellation
/// Safe: nothing is lost.
///
/// # Python
/// `asyncio.sleep(0)`.
#[must_use = "does nothing until it is awaited"]
#[derive(Debug)]
pub struct YieldNow<C: Context> {
    context: C,
    has_yielded: bool,
}

impl<C: Context> YieldNow<C> {
    /// Makes a wait for the next iteration.
    pub fn new(context: &C) -> Self {
        Self { context: context.clone(), has_yielded: false }
    }
}

impl<C: Context> Future for YieldNow<C> {
    type Output = Result<(), WaitError>;

    fn poll(self: Pin<&mut Self>, cx: &mut PollContext<'_>) -> Poll<Self::Output> {
        let yielding = self.get_mut();
        let scheduler = yielding.context.scheduler();
        if scheduler.take_cancel() {
            return Poll::Ready(Err(WaitError::Cancelled(Cancelled)));
        }
        if core::mem::replace(&mut yielding.has_yielded, true) {
            return Poll::Ready(Ok(()));
        }
        scheduler.wake_next_turn(cx.waker());
        Poll::Pending
    }
}

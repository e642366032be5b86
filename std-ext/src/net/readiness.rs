//! Waiting for one side of a connection, and giving way to others.

use core::cell::Cell;
use core::task::{Context as PollContext, Poll};

use rondel_core::Cancelled;

use crate::Result;
use crate::net::connection::{Connection, Halves};
use crate::sources::Direction;

/// Is how many operations of streams a task makes in one step, before it gives way
/// to others: a peer may be as fast as we are (FAULTS C-09).
const OPERATIONS_PER_STEP: u32 = 64;

/// Counts the operations of the step that runs.
#[derive(Debug, Default)]
pub(crate) struct StepBudget {
    step: Cell<u64>,
    used: Cell<u32>,
}

impl StepBudget {
    /// Counts one operation; false if the step has made enough.
    #[inline]
    fn spend(&self, step: u64) -> bool {
        let used = if self.step.replace(step) == step { self.used.get() } else { 0 };
        self.used.set(used + 1);
        used < OPERATIONS_PER_STEP
    }
}

/// How a poll begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Begun {
    Going,
    GivingWay,
    Cancelled,
}

impl Connection {
    /// Begins a poll of an operation, which gives way if the step that runs has made
    /// many, and ends if that was asked for while it was pending.
    #[inline]
    fn begin(&self, direction: Direction) -> Begun {
        let inner = &self.event_loop().inner;
        if self.stop_waiting(direction) && inner.scheduler.take_cancel() {
            return Begun::Cancelled;
        }
        if inner.step_budget.spend(inner.scheduler.step_number()) {
            return Begun::Going;
        }
        self.set_half(Halves::pending(direction));
        Begun::GivingWay
    }

    /// Waits for the next event of one side, which had nothing at the last look.
    ///
    /// # Errors
    /// `Cancelled`, `Busy` if somebody else listens, or if there is no room for the
    /// wait: which can't be for a task's own waker.
    #[inline]
    fn wait(&self, direction: Direction, cx: &PollContext<'_>) -> Result<()> {
        let event_loop = self.event_loop();
        if event_loop.inner.scheduler.take_cancel() {
            return Err(Cancelled.into());
        }
        event_loop.wait_ready(self.token(), direction, cx.waker())?;
        self.set_half(Halves::pending(direction));
        Ok(())
    }

    /// Makes an attempt whenever it may succeed; `None` is one that found nothing
    /// to do.
    ///
    /// # Errors
    /// `Cancelled`, and as [`wait`](Self::wait) and the attempt.
    #[inline]
    pub(crate) fn poll_with<T>(
        &self,
        direction: Direction,
        cx: &mut PollContext<'_>,
        attempt: impl FnOnce(&Self) -> Result<Option<T>>,
    ) -> Poll<Result<T>> {
        match self.begin(direction) {
            Begun::Going => {}
            Begun::GivingWay => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Begun::Cancelled => return Poll::Ready(Err(Cancelled.into())),
        }
        if let Some(moved) = attempt(self)? {
            return Poll::Ready(Ok(moved));
        }
        if self.has_more_at_once(direction) {
            self.set_half(Halves::pending(direction));
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.wait(direction, cx)?;
        Poll::Pending
    }

    /// Takes a wait back; tells whether an operation was pending.
    #[inline]
    pub(crate) fn stop_waiting(&self, direction: Direction) -> bool {
        let pending = Halves::pending(direction);
        let was_pending = self.has_half(pending);
        if was_pending {
            self.unset_half(pending);
            self.event_loop().stop_waiter(self.token(), direction);
        }
        was_pending
    }
}

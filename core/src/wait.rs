//! Waiting for something to be done, without taking its result.

use core::fmt;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context as PollContext, Poll};

use crate::registration::Registration;
use crate::tables::Source;
use crate::{Cancelled, Context, WaitError};

/// Waits for a future or task and leaves its result there.
///
/// # Cancellation
/// Safe: dropping it loses nothing, and what it waits for goes on.
///
/// # Python
/// `asyncio.shield(future)`, which returns the result too.
#[must_use = "does nothing until it is awaited"]
pub struct Wait<C: Context> {
    context: C,
    source: Source,
    registration: Registration,
}

impl<C: Context> Wait<C> {
    pub(crate) const fn new(context: C, source: Source) -> Self {
        Self { context, source, registration: Registration::None }
    }
}

impl<C: Context> core::future::Future for Wait<C> {
    type Output = Result<(), WaitError>;

    fn poll(self: Pin<&mut Self>, cx: &mut PollContext<'_>) -> Poll<Self::Output> {
        let wait = self.get_mut();
        let scheduler = wait.context.scheduler();
        if scheduler.take_cancel() {
            return Poll::Ready(Err(WaitError::Cancelled(Cancelled)));
        }
        let source = wait.source;
        if let Some(task) = scheduler.running().and_then(|running| running.task())
            && source == Source::Task(task.0)
        {
            return Poll::Ready(Err(WaitError::AwaitsItself));
        }
        let pending = scheduler
            .tables
            .with(|tables| tables.completion(source).is_some_and(|completion| !completion.is_done));
        if !pending {
            return Poll::Ready(Ok(()));
        }
        let location = Location::caller();
        match scheduler.wait_for(&wait.context, source, &mut wait.registration, cx.waker(), location) {
            Ok(()) => Poll::Pending,
            Err(refusal) => Poll::Ready(Err(WaitError::Refused(refusal))),
        }
    }
}

impl<C: Context> Drop for Wait<C> {
    fn drop(&mut self) {
        let scheduler = self.context.scheduler();
        scheduler.stop_waiting(&self.context, self.source, &mut self.registration);
        scheduler.release_source(&self.context, self.source);
    }
}

impl<C: Context> fmt::Debug for Wait<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wait({:?})", self.source)
    }
}

//! Tasks that are made from other threads.

use core::future::Future;
use core::panic::Location;
use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use rondel_core::{Outcome, Refused, TaskError};

use crate::threadsafe::Remote;
use crate::threadsafe::handover::{Handover, Promise};
use crate::{Error, ErrorKind, EventLoopHandle, Result};

impl Remote {
    /// Makes a task in the loop, of the future that `make` returns there, and
    /// returns a handle to wait for its result in this thread.
    ///
    /// # Errors
    /// Gives the closure back as [`Remote::call_soon_threadsafe`] does.
    ///
    /// # Python
    /// `asyncio.run_coroutine_threadsafe(coro, loop)`.
    #[track_caller]
    pub fn create_task<F, Fut>(&self, make: F) -> Result<RemoteTask<Fut::Output>, Refused<F>>
    where
        F: FnOnce(EventLoopHandle) -> Fut + Send + 'static,
        Fut: Future<Output: Outcome + Send> + 'static,
    {
        let (promise, handover) = Handover::begin();
        // Kept on this side too, to give it back if the call is refused.
        let make = Arc::new(Mutex::new(Some(make)));
        let taken = Arc::clone(&make);
        let start = move |event_loop: &EventLoopHandle| {
            let make = taken.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(make) = make {
                start_task(event_loop, make, promise);
            }
        };
        match self.call_soon_threadsafe(start) {
            Ok(_) => Ok(RemoteTask { remote: self.clone(), handover }),
            Err(refused) => {
                let (operation, refusal) = (refused.operation(), refused.refusal());
                let make = make.lock().unwrap_or_else(PoisonError::into_inner).take();
                match make {
                    Some(make) => Err(Refused::new(operation, refusal, make)),
                    // It ran after all, and so was not refused.
                    None => Ok(RemoteTask { remote: self.clone(), handover }),
                }
            }
        }
    }
}

/// Runs in the loop: makes the task and keeps the promise.
fn start_task<F, Fut>(event_loop: &EventLoopHandle, make: F, promise: Promise<Fut::Output>)
where
    F: FnOnce(EventLoopHandle) -> Fut,
    Fut: Future<Output: Outcome + Send> + 'static,
{
    let future = make(event_loop.clone());
    let handover = promise.handover();
    let kept = async move {
        let output = future.await;
        promise.settle(Ok(output));
    };
    // The call that runs was made where the task was asked for.
    let location = event_loop.inner.scheduler.running().map(|running| running.location);
    let task = event_loop.create_task_from(kept, location.unwrap_or(Location::caller()));
    match task {
        Ok(task) => {
            if handover.created(task.id()) {
                task.cancel();
            }
        }
        Err(refused) => handover.settle(Err(TaskError::Refused(refused.refusal()))),
    }
}

/// A task that was made from another thread.
///
/// Dropping it does not end the task.
///
/// # Python
/// The `concurrent.futures.Future` of `asyncio.run_coroutine_threadsafe`.
#[derive(Debug)]
pub struct RemoteTask<T> {
    remote: Remote,
    handover: Arc<Handover<T>>,
}

impl<T> RemoteTask<T> {
    /// Blocks this thread until the task is done.
    ///
    /// In the loop's own thread that would be for ever, and is refused.
    ///
    /// # Errors
    /// How the task ended, if not with a result; `Busy` in the loop's own thread;
    /// `InvalidState` if the result was taken already.
    ///
    /// # Python
    /// `future.result()`, which takes nothing out.
    pub fn wait(self) -> Result<T> {
        self.refuse_own_thread()?;
        self.handover.wait().map_err(Error::from)
    }

    /// Blocks this thread until the task is done, for `limit` at the longest;
    /// afterwards it may be waited for again.
    ///
    /// # Errors
    /// As [`RemoteTask::wait`]; `TimedOut`; `InvalidState` if the result was
    /// taken already.
    ///
    /// # Python
    /// `future.result(timeout)`.
    pub fn wait_timeout(&self, limit: Duration) -> Result<T> {
        self.refuse_own_thread()?;
        match self.handover.wait_timeout(limit) {
            Some(result) => result.map_err(Error::from),
            None => Err(Error::of(ErrorKind::TimedOut, "the task is not done")),
        }
    }

    /// Tells whether the task is done.
    ///
    /// # Python
    /// `future.done()`.
    #[must_use]
    pub fn done(&self) -> bool {
        self.handover.is_done()
    }

    /// Asks the task to end, as [`Task::cancel`](crate::Task::cancel) does, in
    /// the loop's next turn.
    ///
    /// # Errors
    /// If the call to the loop is refused.
    ///
    /// # Python
    /// `future.cancel()`.
    pub fn cancel(&self) -> Result<()>
    where
        T: Send + 'static,
    {
        let handover = Arc::clone(&self.handover);
        let cancel = move |event_loop: &EventLoopHandle| {
            let id = handover.ask_to_end();
            if let Some(task) = id.and_then(|id| event_loop.task(id)) {
                task.cancel();
            }
        };
        self.remote.call_soon_threadsafe(cancel)?;
        Ok(())
    }

    fn refuse_own_thread(&self) -> Result<()> {
        if self.remote.is_own_thread() && !self.done() {
            return Err(Error::of(ErrorKind::Busy, "a loop's own thread can't block on a task of it"));
        }
        Ok(())
    }
}

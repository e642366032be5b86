//! Tasks that are made from other threads.

use core::fmt;
use core::future::Future;
use core::time::Duration;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rondel_core::{Outcome, Refused, TaskError, TaskId};

use crate::threadsafe::Remote;
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
        let shared = Arc::new(Shared { state: Mutex::new(State::Created), changed: Condvar::new() });
        let promise = Promise(Arc::clone(&shared));
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
            Ok(_) => Ok(RemoteTask { remote: self.clone(), shared }),
            Err(refused) => {
                let (operation, refusal) = (refused.operation(), refused.refusal());
                let make = make.lock().unwrap_or_else(PoisonError::into_inner).take();
                match make {
                    Some(make) => Err(Refused::new(operation, refusal, make)),
                    // It ran after all, and so was not refused.
                    None => Ok(RemoteTask { remote: self.clone(), shared }),
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
    let shared = Arc::clone(&promise.0);
    let task = event_loop.create_task(async move {
        let output = future.await;
        promise.settle(Ok(output));
    });
    match task {
        Ok(task) => {
            if shared.created(task.id()) {
                task.cancel();
            }
        }
        Err(refused) => shared.settle(Err(TaskError::Refused(refused.refusal()))),
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
    shared: Arc<Shared<T>>,
}

impl<T> RemoteTask<T> {
    /// Blocks this thread until the task is done.
    ///
    /// In the loop's own thread that would be for ever, and is refused.
    ///
    /// # Errors
    /// How the task ended, if not with a result; `Busy` in the loop's own thread;
    /// `InvalidState` if the result was taken already.
    pub fn wait(self) -> Result<T> {
        self.refuse_own_thread()?;
        let mut state = self.shared.lock();
        loop {
            match core::mem::replace(&mut *state, State::Taken) {
                State::Done(result) => return result.map_err(Error::from),
                State::Taken => return Err(TaskError::Taken.into()),
                pending => *state = pending,
            }
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Blocks this thread until the task is done, for `limit` at the longest;
    /// afterwards it may be waited for again.
    ///
    /// # Errors
    /// As [`RemoteTask::wait`]; `TimedOut`; `InvalidState` if the result was
    /// taken already.
    pub fn wait_timeout(&self, limit: Duration) -> Result<T> {
        self.refuse_own_thread()?;
        let state = self.shared.lock();
        let pending = |state: &mut State<T>| !matches!(state, State::Done(_) | State::Taken);
        let waited = self.shared.changed.wait_timeout_while(state, limit, pending);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match core::mem::replace(&mut *state, State::Taken) {
            State::Done(result) => result.map_err(Error::from),
            State::Taken => Err(TaskError::Taken.into()),
            pending => {
                *state = pending;
                Err(Error::of(ErrorKind::TimedOut, "the task is not done"))
            }
        }
    }

    /// Tells whether the task is done.
    #[must_use]
    pub fn done(&self) -> bool {
        matches!(*self.shared.lock(), State::Done(_) | State::Taken)
    }

    /// Asks the task to end, as [`Task::cancel`](crate::Task::cancel) does, in
    /// the loop's next turn.
    ///
    /// # Errors
    /// If the call to the loop is refused.
    pub fn cancel(&self) -> Result<()>
    where
        T: Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        let cancel = move |event_loop: &EventLoopHandle| {
            let id = shared.ask_to_end();
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

/// What both threads hold of a task.
struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

enum State<T> {
    Created,
    /// It was asked to end before it was made.
    CancelledEarly,
    Running(TaskId),
    Done(Result<T, TaskError>),
    Taken,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes which task it became; tells whether that was asked to end already.
    fn created(&self, id: TaskId) -> bool {
        let mut state = self.lock();
        let is_cancelled = matches!(*state, State::CancelledEarly);
        if let State::Created | State::CancelledEarly = *state {
            *state = State::Running(id);
        }
        is_cancelled
    }

    /// Returns the task to be cancelled; one that was not made yet is when it is.
    fn ask_to_end(&self) -> Option<TaskId> {
        let mut state = self.lock();
        match *state {
            State::Running(id) => Some(id),
            State::Created => {
                *state = State::CancelledEarly;
                None
            }
            _ => None,
        }
    }

    fn settle(&self, result: Result<T, TaskError>) {
        let mut state = self.lock();
        if let State::Created | State::CancelledEarly | State::Running(_) = *state {
            *state = State::Done(result);
            self.changed.notify_all();
        }
    }
}

impl<T> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self.lock() {
            State::Created | State::CancelledEarly => "created",
            State::Running(_) => "running",
            State::Done(_) => "done",
            State::Taken => "taken",
        })
    }
}

/// Is kept, or broken when it is dropped: a task that ended without a result,
/// or a loop that was closed before it made the task.
struct Promise<T>(Arc<Shared<T>>);

impl<T> Promise<T> {
    fn settle(self, result: Result<T, TaskError>) {
        self.0.settle(result);
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        self.0.settle(Err(if std::thread::panicking() { TaskError::Panicked } else { TaskError::Cancelled }));
    }
}

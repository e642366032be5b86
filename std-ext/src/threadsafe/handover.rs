//! How the result of a task gets to another thread.

use core::fmt;
use core::time::Duration;
use std::sync::PoisonError;

use rondel_core::{TaskError, TaskId};

use crate::sync::{Arc, Condvar, Mutex, MutexGuard};

/// What both threads hold of a task.
pub(crate) struct Handover<T> {
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

impl<T> State<T> {
    fn is_done(&self) -> bool {
        matches!(self, Self::Done(_) | Self::Taken)
    }

    /// Takes the result, if there is one.
    fn take(&mut self) -> Option<Result<T, TaskError>> {
        match core::mem::replace(self, Self::Taken) {
            Self::Done(result) => Some(result),
            Self::Taken => Some(Err(TaskError::Taken)),
            pending => {
                *self = pending;
                None
            }
        }
    }
}

impl<T> Handover<T> {
    /// Begins one: the loop's end of it, and the other thread's.
    pub(crate) fn begin() -> (Promise<T>, Arc<Self>) {
        let handover = Arc::new(Self { state: Mutex::new(State::Created), changed: Condvar::new() });
        (Promise(Arc::clone(&handover)), handover)
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks until there is a result, and takes it.
    pub(crate) fn wait(&self) -> Result<T, TaskError> {
        let mut state = self.lock();
        loop {
            if let Some(result) = state.take() {
                return result;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Blocks until there is a result, for `limit` at the longest, and takes it.
    pub(crate) fn wait_timeout(&self, limit: Duration) -> Option<Result<T, TaskError>> {
        let waited = self.changed.wait_timeout_while(self.lock(), limit, |state| !state.is_done());
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.take()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.lock().is_done()
    }

    /// Notes which task it became; tells whether that was asked to end already.
    pub(crate) fn created(&self, id: TaskId) -> bool {
        let mut state = self.lock();
        let is_cancelled = matches!(*state, State::CancelledEarly);
        if let State::Created | State::CancelledEarly = *state {
            *state = State::Running(id);
        }
        is_cancelled
    }

    /// Returns the task to be cancelled; one that was not made yet is when it is.
    pub(crate) fn ask_to_end(&self) -> Option<TaskId> {
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

    /// Gives the first result; every further one is dropped.
    pub(crate) fn settle(&self, result: Result<T, TaskError>) {
        let mut state = self.lock();
        if !state.is_done() {
            *state = State::Done(result);
            self.changed.notify_all();
        }
    }
}

impl<T> fmt::Debug for Handover<T> {
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
pub(crate) struct Promise<T>(Arc<Handover<T>>);

impl<T> Promise<T> {
    /// Returns the other end too.
    pub(crate) fn handover(&self) -> Arc<Handover<T>> {
        Arc::clone(&self.0)
    }

    pub(crate) fn settle(self, result: Result<T, TaskError>) {
        self.0.settle(result);
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        self.0.settle(Err(if std::thread::panicking() { TaskError::Panicked } else { TaskError::Cancelled }));
    }
}

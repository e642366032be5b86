//! Errors: no room, no result, no run; and whose value it was.

use core::error::Error;
use core::fmt;

use crate::{Cancelled, Exception};

/// Tells why the loop took nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Refusal {
    /// A table has no free slot.
    Full {
        /// Is the table.
        resource: Resource,
        /// Is how many slots it has.
        limit: usize,
    },
    /// A value is larger than the slot that it must live in.
    TooLarge {
        /// Is what is too large.
        resource: Resource,
        /// Is its size in bytes.
        size: usize,
        /// Is the size of a slot in bytes.
        limit: usize,
    },
    /// The loop was closed, or has used up the numbers of its creations.
    Closed,
}

/// What can be full or too large.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Resource {
    /// A callback, timer, handler or waiter.
    Call,
    /// A timer, where there is less room for those than for calls.
    Timer,
    /// A future.
    Future,
    /// A task.
    Task,
    /// The bytes of a task's future or result.
    TaskBody,
    /// A call from another thread.
    ThreadsafeCall,
    /// A watched descriptor.
    Descriptor,
    /// The bytes that wait to be written.
    WriteBuffer,
    /// A child process.
    ChildProcess,
}

impl Resource {
    /// Are all of them, in the order of their declaration.
    pub const ALL: [Self; 9] = [
        Self::Call,
        Self::Timer,
        Self::Future,
        Self::Task,
        Self::TaskBody,
        Self::ThreadsafeCall,
        Self::Descriptor,
        Self::WriteBuffer,
        Self::ChildProcess,
    ];
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Call => "call",
            Self::Timer => "timer",
            Self::Future => "future",
            Self::Task => "task",
            Self::TaskBody => "task's future",
            Self::ThreadsafeCall => "thread-safe call",
            Self::Descriptor => "descriptor",
            Self::WriteBuffer => "byte in the write buffer",
            Self::ChildProcess => "child process",
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { resource, limit } => write!(f, "no room for another {resource} (limit {limit})"),
            Self::TooLarge { resource, size, limit } => {
                write!(f, "the {resource} of {size} bytes is too large (limit {limit})")
            }
            Self::Closed => f.write_str("the event loop is closed"),
        }
    }
}

impl Error for Refusal {}

/// The error of every call that takes something: gives it back.
///
/// Nothing that was accepted before is affected, and as soon as there is room
/// the same call succeeds (FAULTS C-01).
///
/// # Python
/// asyncio's tables are unbounded; on a closed loop it raises `RuntimeError`
/// and drops the callback.
pub struct Refused<T> {
    operation: &'static str,
    refusal: Refusal,
    value: T,
}

impl<T> Refused<T> {
    /// Makes the error of `operation`, which didn't take `value`.
    #[must_use]
    pub const fn new(operation: &'static str, refusal: Refusal, value: T) -> Self {
        Self { operation, refusal, value }
    }

    /// Returns the name of the call that was refused.
    pub const fn operation(&self) -> &'static str {
        self.operation
    }

    /// Returns the reason.
    pub const fn refusal(&self) -> Refusal {
        self.refusal
    }

    /// Tells whether a table was full.
    pub const fn is_full(&self) -> bool {
        matches!(self.refusal, Refusal::Full { .. })
    }

    /// Tells whether the value doesn't fit into a slot.
    pub const fn is_too_large(&self) -> bool {
        matches!(self.refusal, Refusal::TooLarge { .. })
    }

    /// Tells whether the loop was closed.
    pub const fn is_closed(&self) -> bool {
        matches!(self.refusal, Refusal::Closed)
    }

    /// Returns the value that was not taken.
    pub fn into_value(self) -> T {
        self.value
    }

    /// Applies `change` to the value that was not taken.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Refused<U> {
        Refused { operation: self.operation, refusal: self.refusal, value: change(self.value) }
    }
}

impl<T> fmt::Display for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.operation, self.refusal)
    }
}

impl<T> fmt::Debug for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Refused({self})")
    }
}

impl<T> Error for Refused<T> {}

/// The error of an awaitable that has no other way to fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum WaitError {
    /// The awaiting task was cancelled.
    Cancelled(Cancelled),
    /// A task can't wait for its own end (contract TK-7).
    AwaitsItself,
    /// The loop had no room for the wait, or is closed.
    Refused(Refusal),
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled(cancelled) => cancelled.fmt(f),
            Self::AwaitsItself => f.write_str("a task can't await itself"),
            Self::Refused(refusal) => refusal.fmt(f),
        }
    }
}

impl Error for WaitError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Cancelled(cancelled) => Some(cancelled),
            Self::AwaitsItself => None,
            Self::Refused(refusal) => Some(refusal),
        }
    }
}

/// The error of the calls that run or close the loop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RunError {
    /// The loop is running already (contract ).
    Running,
    /// The loop was closed.
    Closed,
    /// The loop was stopped before the future completed.
    Stopped,
    /// The future could not become a task.
    Refused(Refusal),
    /// The future's task was cancelled or aborted and has no result.
    Cancelled,
    /// The future panicked, and its panic was reported.
    Panicked,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str("the event loop is already running"),
            Self::Closed => f.write_str("the event loop is closed"),
            Self::Stopped => f.write_str("the event loop was stopped before the future completed"),
            Self::Refused(refusal) => write!(f, "run_until_complete: {refusal}"),
            Self::Cancelled => f.write_str("run_until_complete: the future was cancelled"),
            Self::Panicked => f.write_str("run_until_complete: the future panicked"),
        }
    }
}

impl Error for RunError {}

/// A future can't take a second result (contract F-1).
///
/// # Python
/// `asyncio.InvalidStateError`.
pub struct InvalidState<V> {
    pub(crate) state: &'static str,
    pub(crate) value: V,
}

impl<V> InvalidState<V> {
    /// Returns the value that was not set.
    pub fn into_value(self) -> V {
        self.value
    }
}

impl<V> fmt::Display for InvalidState<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid state: the future is {}", self.state)
    }
}

impl<V> fmt::Debug for InvalidState<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InvalidState({})", self.state)
    }
}

impl<V> Error for InvalidState<V> {}

/// Why a future has no result to give.
#[derive(Debug)]
#[non_exhaustive]
pub enum FutureError {
    /// It is pending (F-2).
    NotReady,
    /// It was cancelled.
    Cancelled,
    /// It was given an exception.
    Exception(Exception),
    /// Somebody else took the result.
    Taken,
    /// The task that awaits it was cancelled.
    CallerCancelled(Cancelled),
    /// The loop had no room for the wait, or is closed.
    Refused(Refusal),
}

impl fmt::Display for FutureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotReady => f.write_str("the future is pending"),
            Self::Cancelled => f.write_str("the future was cancelled"),
            Self::Exception(exception) => exception.fmt(f),
            Self::Taken => f.write_str("the future's result was taken"),
            Self::CallerCancelled(cancelled) => cancelled.fmt(f),
            Self::Refused(refusal) => refusal.fmt(f),
        }
    }
}

impl Error for FutureError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Exception(exception) => Some(exception.get()),
            Self::CallerCancelled(cancelled) => Some(cancelled),
            Self::Refused(refusal) => Some(refusal),
            Self::NotReady | Self::Cancelled | Self::Taken => None,
        }
    }
}

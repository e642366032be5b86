//! Why a job in a process has no result.

use core::fmt;
use core::time::Duration;

use rondel_core::Cancelled;

use crate::executor::JobRefused;
use crate::sys::child::Exit;
use crate::{Error, ErrorKind};

/// How a worker process has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WorkerExit {
    /// It exited with this status.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// Somebody else has reaped it, so that nobody knows.
    Unknown,
}

impl From<Exit> for WorkerExit {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Code(code) => Self::Code(code),
            Exit::Signal(signal) => Self::Signal(signal),
            Exit::Unknown => Self::Unknown,
        }
    }
}

impl fmt::Display for WorkerExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "it exited with status {code}"),
            Self::Signal(signal) => write!(f, "signal {signal} ended it"),
            Self::Unknown => f.write_str("how it ended nobody knows"),
        }
    }
}

/// Why a job of a [`ProcessPoolExecutor`](crate::ProcessPoolExecutor) has no result.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProcessJobError {
    /// The awaiting task was cancelled.
    Cancelled(Cancelled),
    /// The pool did not take the job, or could not begin it; gives the arguments back.
    Refused(JobRefused<Vec<u8>>),
    /// The function failed; this is its error.
    Failed(String),
    /// The function panicked; this is its message. The worker goes on.
    Panicked(String),
    /// The worker ended before it answered; another takes its place.
    BrokenProcess(WorkerExit),
    /// The job ran for longer than this, and its worker was killed.
    TimedOut(Duration),
    /// The result has so many bytes, and that is too many.
    ResultTooLarge {
        /// Is how many bytes there are.
        bytes: u64,
        /// Is how many there may be.
        limit: usize,
    },
    /// The worker knows no function of this name.
    UnknownFunction(String),
    /// What was started is no worker: most often its `main` doesn't call
    /// [`process_worker`](crate::process_worker).
    NotAWorker(String),
    /// The worker said what none says, and was killed.
    Garbled(&'static str),
    /// The worker was killed by [`kill_workers`](crate::ProcessPoolExecutor::kill_workers).
    Killed,
    /// The pool dropped the job, or its loop was closed.
    Lost,
}

impl fmt::Display for ProcessJobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled(cancelled) => cancelled.fmt(f),
            Self::Refused(refused) => refused.fmt(f),
            Self::Failed(message) => f.write_str(message),
            Self::Panicked(message) => write!(f, "the job panicked: {message}"),
            Self::BrokenProcess(exit) => write!(f, "the worker process of the job has ended: {exit}"),
            Self::TimedOut(limit) => write!(f, "the job was killed after {limit:?}"),
            Self::ResultTooLarge { bytes, limit } => {
                write!(f, "the result has {bytes} bytes (limit {limit})")
            }
            Self::UnknownFunction(name) => write!(f, "the worker process has no function '{name}'"),
            Self::NotAWorker(why) => {
                write!(f, "the program is no worker ({why}): does its main call process_worker?")
            }
            Self::Garbled(what) => write!(f, "the worker process was killed: {what}"),
            Self::Killed => f.write_str("the worker process was killed"),
            Self::Lost => f.write_str("the executor dropped the job"),
        }
    }
}

impl core::error::Error for ProcessJobError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Cancelled(cancelled) => Some(cancelled),
            Self::Refused(refused) => Some(refused),
            _ => None,
        }
    }
}

impl From<ProcessJobError> for Error {
    fn from(error: ProcessJobError) -> Self {
        let kind = match error {
            ProcessJobError::Cancelled(cancelled) => return cancelled.into(),
            ProcessJobError::Refused(refused) => return refused.into(),
            ProcessJobError::Panicked(_) => ErrorKind::Panicked,
            ProcessJobError::TimedOut(_) => ErrorKind::TimedOut,
            ProcessJobError::ResultTooLarge { .. } => ErrorKind::TooLarge,
            ProcessJobError::Lost => ErrorKind::AwaitedCancelled,
            _ => ErrorKind::Other,
        };
        Self::of(kind, error)
    }
}

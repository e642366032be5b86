//! Why an executor takes no job, and why one has no result.

use core::fmt;
use std::io;

use rondel_core::{Cancelled, Refusal};

use crate::{Error, ErrorKind};

/// Why a job has no result.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum JobError {
    /// The awaiting task was cancelled.
    Cancelled(Cancelled),
    /// The job panicked; this is its message.
    Panicked(String),
    /// The executor dropped the job without running it.
    Lost,
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled(cancelled) => cancelled.fmt(f),
            Self::Panicked(message) => write!(f, "the job panicked: {message}"),
            Self::Lost => f.write_str("the executor dropped the job"),
        }
    }
}

impl core::error::Error for JobError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Cancelled(cancelled) => Some(cancelled),
            _ => None,
        }
    }
}

impl From<JobError> for Error {
    fn from(error: JobError) -> Self {
        match error {
            JobError::Cancelled(cancelled) => cancelled.into(),
            JobError::Panicked(_) => Self::of(ErrorKind::Panicked, error),
            JobError::Lost => Self::of(ErrorKind::AwaitedCancelled, error),
        }
    }
}

/// Why an executor takes no job.
#[derive(Debug)]
#[non_exhaustive]
pub enum JobRefusal {
    /// So many jobs wait already.
    Full {
        /// Is how many may.
        limit: usize,
    },
    /// The loop is closed.
    Closed,
    /// The executor was shut down (contract EX-4).
    ShutDown,
    /// There is no thread, and the system refuses one (FAULTS E-01).
    NoThread(io::Error),
    /// There is no worker process, and none can be started.
    NoProcess(io::Error),
    /// The loop has no timer for the limit of the job.
    NoTimer(Refusal),
    /// Function and arguments have too many bytes together.
    TooLarge {
        /// Is how many there are.
        bytes: usize,
        /// Is how many there may be.
        limit: usize,
    },
}

impl fmt::Display for JobRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { limit } => write!(f, "no room for another job (limit {limit})"),
            Self::Closed => f.write_str("the event loop is closed"),
            Self::ShutDown => f.write_str("executor shutdown has been called"),
            Self::NoThread(error) => write!(f, "no thread for the job: {error}"),
            Self::NoProcess(error) => write!(f, "no worker process for the job: {error}"),
            Self::NoTimer(refusal) => write!(f, "no timer for the job: {refusal}"),
            Self::TooLarge { bytes, limit } => {
                write!(f, "the arguments have {bytes} bytes (limit {limit})")
            }
        }
    }
}

/// The error of everything that takes a job: gives it back.
pub struct JobRefused<T> {
    pub(super) reason: JobRefusal,
    pub(super) value: T,
}

impl<T> JobRefused<T> {
    /// Makes the error of an executor that didn't take `value`.
    #[must_use]
    pub const fn new(reason: JobRefusal, value: T) -> Self {
        Self { reason, value }
    }

    /// Returns the reason.
    pub const fn reason(&self) -> &JobRefusal {
        &self.reason
    }

    /// Tells whether the queue was full.
    pub const fn is_full(&self) -> bool {
        matches!(self.reason, JobRefusal::Full { .. })
    }

    /// Returns what was not taken.
    pub fn into_value(self) -> T {
        self.value
    }
}

impl<T> fmt::Display for JobRefused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run_in_executor: {}", self.reason)
    }
}

impl<T> fmt::Debug for JobRefused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobRefused({self})")
    }
}

impl<T> core::error::Error for JobRefused<T> {}

impl<T> From<JobRefused<T>> for Error {
    /// Drops the job and keeps the reason.
    fn from(refused: JobRefused<T>) -> Self {
        let kind = match refused.reason {
            JobRefusal::Full { .. } => ErrorKind::Full,
            JobRefusal::Closed | JobRefusal::ShutDown => ErrorKind::Closed,
            JobRefusal::NoThread(_) | JobRefusal::NoProcess(_) => ErrorKind::Io,
            JobRefusal::NoTimer(Refusal::Closed) => ErrorKind::Closed,
            JobRefusal::NoTimer(_) => ErrorKind::Full,
            JobRefusal::TooLarge { .. } => ErrorKind::TooLarge,
        };
        Self::of(kind, refused.reason.to_string()).during("run_in_executor")
    }
}

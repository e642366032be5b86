//! What a snapshot says of a job.

use core::fmt;
use core::panic::Location;

use rondel_core::{Instant, TaskId};

use super::ShortText;

/// A job that was handed in through this loop, to any executor, and that somebody awaits or that takes
/// a thread or a process.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct JobRow {
    /// Is its number: it is no other job's of this process.
    pub number: u64,
    /// Is its name: the type of the closure, or the function of the worker. Of one that is too long it
    /// is the end.
    pub name: ShortText,
    /// Is who runs it.
    pub executor: JobExecutor,
    /// Is how it stands.
    pub state: JobState,
    /// Is when it was handed in.
    pub handed_in: Instant,
    /// Is the task that awaits it.
    pub task: Option<TaskId>,
    /// Tells that its future was dropped while it ran: nobody awaits it.
    pub is_abandoned: bool,
    /// Is where it was handed in.
    pub location: &'static Location<'static>,
}

impl JobRow {
    /// Returns since when it stands as it does, as far as the loop knows: one that is done says when it
    /// was handed in.
    #[must_use]
    pub fn since(&self) -> Instant {
        match self.state {
            JobState::InThread { since, .. } => since.unwrap_or(self.handed_in),
            JobState::InProcess { since, .. } => since,
            JobState::Queued | JobState::Done => self.handed_in,
        }
    }
}

/// Who runs a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum JobExecutor {
    /// The default executor: [`run_in_executor`](crate::EventLoopHandle::run_in_executor).
    Default,
    /// Another one: [`run_in_executor_of`](crate::EventLoopHandle::run_in_executor_of).
    Other,
    /// The threads that look up names.
    Lookups,
    /// The processes of a [`ProcessPoolExecutor`](crate::ProcessPoolExecutor).
    Processes,
}

impl fmt::Display for JobExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "the default executor",
            Self::Other => "an executor",
            Self::Lookups => "the look-ups",
            Self::Processes => "a process pool",
        })
    }
}

/// How a job stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum JobState {
    /// Waits for a thread or a process.
    Queued,
    /// Runs in a thread.
    InThread {
        /// Is the name of the thread; empty for one without.
        thread: ShortText,
        /// Is when it began; `None` where other threads can't read the clock of the loop because it is a
        /// test's.
        since: Option<Instant>,
    },
    /// Runs in a process.
    InProcess {
        /// Is the number of the process.
        pid: u32,
        /// Is when the process was given the job.
        since: Instant,
    },
    /// Has ended; its future has the result and was not polled since.
    Done,
}

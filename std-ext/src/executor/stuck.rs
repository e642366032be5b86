//! Jobs that don't end.

use core::fmt;
use core::panic::Location;
use core::time::Duration;
use std::borrow::Cow;
use std::sync::Arc;

use crate::executor::Job;
use crate::{Error, ErrorKind};

/// A job that runs.
#[derive(Clone)]
pub struct StuckJob {
    id: u64,
    name: Cow<'static, str>,
    location: &'static Location<'static>,
    place: Arc<str>,
}

impl StuckJob {
    /// Takes down that `job` is not done, and where it runs; for executors of one's own.
    #[must_use]
    pub fn new(job: &Job, place: impl Into<Arc<str>>) -> Self {
        Self { id: job.id(), name: job.name().into(), location: job.location(), place: place.into() }
    }

    /// Takes down that a job of a process is not done.
    pub(super) fn of(id: u64, name: String, location: &'static Location<'static>, place: String) -> Self {
        Self { id, name: name.into(), location, place: place.into() }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Returns the name of the job.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns where the job was handed in.
    #[must_use]
    pub fn location(&self) -> &'static Location<'static> {
        self.location
    }

    /// Returns where it runs: "thread rondel-pool-0", or "process 1234".
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }
}

impl fmt::Display for StuckJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {} in {}", self.name, self.location, self.place)
    }
}

impl fmt::Debug for StuckJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StuckJob({self})")
    }
}

/// The jobs that an executor could not wait for (FAULTS E-03).
#[derive(Clone, Debug)]
pub struct StuckJobs {
    running: Vec<StuckJob>,
    queued: usize,
    limit: Duration,
}

impl StuckJobs {
    /// Makes the error of an executor that waited for `limit`, with `queued` jobs that have not begun.
    #[must_use]
    pub fn new(running: Vec<StuckJob>, queued: usize, limit: Duration) -> Self {
        Self { running, queued, limit }
    }

    /// Returns the jobs that run on.
    #[must_use]
    pub fn running(&self) -> &[StuckJob] {
        &self.running
    }

    /// Counts the jobs that still wait for a thread.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queued
    }
}

impl fmt::Display for StuckJobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "jobs have not ended after {:?}", self.limit)?;
        for (index, job) in self.running.iter().enumerate() {
            write!(f, "{} {job}", if index == 0 { ":" } else { "," })?;
        }
        if self.queued > 0 {
            write!(f, "; {} more wait", self.queued)?;
        }
        Ok(())
    }
}

impl core::error::Error for StuckJobs {}

impl From<StuckJobs> for Error {
    fn from(stuck: StuckJobs) -> Self {
        Self::of(ErrorKind::TimedOut, stuck)
    }
}

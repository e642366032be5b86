//! The limits of a pool of processes.

use core::num::NonZero;
use core::time::Duration;
use std::path::PathBuf;

/// The limits of a [`ProcessPoolExecutor`](crate::ProcessPoolExecutor).
#[derive(Clone, Debug)]
pub struct ProcessPoolConfig {
    /// Is the most processes at once, 1 at least; one that is ending counts.
    pub max_workers: usize,
    /// Is the most jobs that wait for a process, 1 at least.
    pub jobs: usize,
    /// Is the most bytes that the arguments of a job, with the name of its function, may have.
    pub arguments_bytes_max: usize,
    /// Is the most bytes that a result, or the text of an error, may have.
    pub result_bytes_max: usize,
    /// Is how long a job may run, unless it says otherwise; `None` is without a limit.
    pub job_timeout: Option<Duration>,
    /// Is how many jobs a worker runs before another takes its place; `None` is any number.
    pub max_tasks_per_child: Option<NonZero<u64>>,
    /// Is how long a worker without a job lives on.
    pub idle_timeout: Duration,
    /// Is how long a worker may take until it is ready, and to end when it is told to; after that
    /// it is killed.
    pub grace: Duration,
    /// Is the program of the workers; `None` is this one, found by `/proc/self/exe`.
    pub executable: Option<PathBuf>,
}

impl Default for ProcessPoolConfig {
    /// A worker for each processor, as Python's.
    fn default() -> Self {
        Self {
            max_workers: std::thread::available_parallelism().map_or(1, usize::from),
            jobs: 1 << 10,
            arguments_bytes_max: 64 << 20,
            result_bytes_max: 64 << 20,
            job_timeout: None,
            max_tasks_per_child: None,
            idle_timeout: Duration::from_secs(60),
            grace: Duration::from_secs(10),
            executable: None,
        }
    }
}

//! A pool of threads with a bounded queue.

mod pool;
mod worker;

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::sync::Arc;

use rondel_core::Usage;

use self::pool::Pool;
use crate::executor::job::Job;
use crate::executor::{Executor, JobRefused, StuckJobs};
use crate::sys::{RealThreads, Threads};

/// The limits of a [`ThreadPoolExecutor`].
#[derive(Clone, Debug)]
pub struct ThreadPoolConfig {
    /// Is the most threads at once, 1 at least.
    pub max_workers: usize,
    /// Is the most jobs that wait for a thread, 1 at least.
    pub jobs: usize,
    /// Is what the names of the threads begin with; a number follows.
    pub thread_name_prefix: String,
    /// Is how long a thread without a job lives on.
    pub idle_timeout: Duration,
    /// Is the size of a thread's stack in bytes; `None` is the standard library's
    /// choice.
    pub stack_bytes: Option<usize>,
}

impl Default for ThreadPoolConfig {
    /// As many threads as Python's: four more than processors, at most 32.
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            max_workers: (processors + 4).min(32),
            jobs: 1 << 10,
            thread_name_prefix: "rondel-pool".into(),
            idle_timeout: Duration::from_secs(10),
            stack_bytes: None,
        }
    }
}

/// Runs jobs in threads that are made when they are needed, and end when they
/// are not.
///
/// Dropped, it takes no more jobs and returns at once: what is queued still runs,
/// and then its threads end.
///
/// ```
/// use std::sync::Arc;
/// use rondel::{Executor, ThreadPoolConfig, ThreadPoolExecutor};
///
/// # rondel::run(async |event_loop| {
/// let config = ThreadPoolConfig { max_workers: 2, ..ThreadPoolConfig::default() };
/// let pool: Arc<dyn Executor> = Arc::new(ThreadPoolExecutor::new(config));
/// let text = event_loop.run_in_executor_of(&pool, || "done")?.await?;
/// assert_eq!(text, "done");
/// # Ok(())
/// # })?;
/// # Ok::<(), rondel::Error>(())
/// ```
///
/// # Python
/// `concurrent.futures.ThreadPoolExecutor`. Its queue is unbounded, its threads
/// live as long as it does, and the process waits for them when it exits.
pub struct ThreadPoolExecutor {
    pool: Arc<Pool>,
}

impl ThreadPoolExecutor {
    /// Makes a pool without threads.
    ///
    /// # Python
    /// `ThreadPoolExecutor(max_workers, thread_name_prefix)`.
    #[must_use]
    pub fn new(config: ThreadPoolConfig) -> Self {
        Self::on_threads(config, &RealThreads)
    }

    pub(crate) fn on_threads(mut config: ThreadPoolConfig, threads: &'static dyn Threads) -> Self {
        config.max_workers = config.max_workers.max(1);
        config.jobs = config.jobs.max(1);
        Self { pool: Arc::new(Pool::new(config, threads)) }
    }

    /// Counts the threads.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.pool.workers()
    }

    /// Counts the jobs that wait for a thread.
    #[must_use]
    pub fn queued_jobs(&self) -> usize {
        self.pool.queued()
    }

    /// Takes no more jobs; those that are queued still run. Doesn't wait.
    ///
    /// # Python
    /// `executor.shutdown(wait=False)`.
    pub fn shutdown(&self) {
        self.pool.shut_down();
    }

    /// Drops the jobs that wait for a thread, and returns how many; their futures
    /// end with [`JobError::Lost`](crate::JobError::Lost).
    ///
    /// # Python
    /// `executor.shutdown(cancel_futures=True)`.
    pub fn cancel_queued_jobs(&self) -> usize {
        self.pool.take_queue().len()
    }

    /// Takes no more jobs, and blocks until those it has are done and all threads
    /// have ended. In a thread of its own it waits for the others.
    ///
    /// # Python
    /// `executor.shutdown(wait=True)`.
    pub fn shutdown_and_wait(&self) {
        self.pool.shut_down();
        self.pool.wait();
    }

    /// As [`shutdown_and_wait`](Self::shutdown_and_wait), for `limit` at the longest.
    ///
    /// # Errors
    /// Names the jobs that have not ended. They run on; a process that exits does
    /// not wait for them.
    pub fn shutdown_timeout(&self, limit: Duration) -> Result<(), StuckJobs> {
        self.pool.shut_down();
        self.pool.wait_timeout(limit)
    }
}

impl Executor for ThreadPoolExecutor {
    fn execute(&self, job: Job) -> Result<(), JobRefused<Job>> {
        Pool::execute(&self.pool, job)
    }

    fn forget(&self, job: u64) {
        drop(self.pool.take_queued(job));
    }

    fn shutdown(&self) {
        self.pool.shut_down();
    }

    fn ended(&self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(Pool::ended(&self.pool))
    }

    fn stuck_jobs(&self, limit: Duration) -> StuckJobs {
        self.pool.stuck_jobs(limit)
    }

    fn queue(&self) -> Usage {
        self.pool.usage()
    }
}

impl Drop for ThreadPoolExecutor {
    fn drop(&mut self) {
        self.pool.shut_down();
    }
}

impl fmt::Debug for ThreadPoolExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pool.fmt(f)
    }
}

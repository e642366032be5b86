//! Jobs in other processes.
//!
//! ```text
//!  main of the same program                  process_worker in a worker's main
//!  ------------------------                  ---------------------------------
//!  SubmitJob -> Pool: queue -> Worker ---- request ----> function(arguments)
//!  ProcessJob <--- result --- Worker <---- answer -----
//! ```
//!
//! A worker is a child of ours that runs the same program, with one socket to its pool. It has a
//! handler in the loop that listens to the socket and to the end of the process, and one timer; both
//! have their slots when the process exists, so its end can't fail. Everything belongs to the loop's
//! thread: there is no lock, and no other thread.
//!
//! Where is what: [`pool`] brings jobs and workers together, [`worker`] is a process, [`frame`] what is said,
//! [`outgoing`] and [`incoming`] the two ways, [`serve`] the worker's side, [`job`] a job and its result.

mod config;
mod error;
mod frame;
mod incoming;
mod job;
mod outgoing;
mod pool;
mod serve;
mod worker;

use core::fmt;
use core::panic::Location;
use core::time::Duration;
use std::rc::Rc;

use rondel_core::TimeoutError;

use crate::{EventLoopHandle, Result};
use pool::Pool;

pub use config::ProcessPoolConfig;
pub use error::{ProcessJobError, WorkerExit};
pub use job::{ProcessJob, SubmitJob};
pub use serve::{WorkerFunction, process_worker};

/// Runs functions in processes of their own: one that crashes, or is killed, fails its own job and no
/// other.
///
/// Its workers run the same program, whose `main` begins with [`process_worker`]; they are started when
/// they are needed, end when they are not, and are replaced when they die. Arguments and results are
/// bytes. The workers end with the thread of the loop, also if the process is killed.
///
/// Dropped, it takes no more jobs and doesn't wait: what it has taken still runs, as long as the loop
/// does. A loop that is closed kills what is left of it, and reaps it.
///
/// ```no_run
/// fn upper(text: &[u8]) -> rondel::Result<Vec<u8>> {
///     Ok(text.to_ascii_uppercase())
/// }
///
/// fn main() -> rondel::Result<()> {
///     rondel::process_worker(&[("upper", upper)]);
///     rondel::run(async |event_loop| {
///         let pool = rondel::ProcessPoolExecutor::new(&event_loop, Default::default());
///         // Both run at the same time.
///         let (first, second) = (pool.submit("upper", "a").start()?, pool.submit("upper", "b").start()?);
///         println!("{:?} {:?}", first.await?, second.await?);
///         pool.shutdown_and_wait().await
///     })
/// }
/// ```
///
/// # Python
/// `concurrent.futures.ProcessPoolExecutor`, without the thread that serves it. There a worker that dies
/// breaks the whole pool (`BrokenProcessPool`); there is no limit to the queue, to sizes, or to how long
/// a job runs. A pool that is not shut down there holds up the exit of the program.
pub struct ProcessPoolExecutor {
    pool: Rc<Pool>,
}

impl ProcessPoolExecutor {
    /// Makes a pool without processes.
    ///
    /// # Python
    /// `ProcessPoolExecutor(max_workers, max_tasks_per_child=...)`.
    #[must_use]
    #[track_caller]
    pub fn new(event_loop: &EventLoopHandle, config: ProcessPoolConfig) -> Self {
        Self { pool: Rc::new(Pool::new(event_loop, config, Location::caller())) }
    }

    /// Runs a function of [`process_worker`] with these arguments; await what this returns, or start it
    /// and await it later.
    ///
    /// # Errors
    /// [`ProcessJobError`]. What is not begun gives the arguments back.
    ///
    /// # Cancellation
    /// Takes a job back that waits in the queue. One that runs goes on, and its result is dropped,
    /// unless it is to be killed ([`SubmitJob::kill_when_dropped`]).
    ///
    /// # Python
    /// `executor.submit(function, *args)` and `loop.run_in_executor(executor, function, *args)`.
    #[track_caller]
    pub fn submit(&self, function: &str, arguments: impl Into<Vec<u8>>) -> SubmitJob<'_> {
        SubmitJob::new(&self.pool, function, arguments.into(), Location::caller())
    }

    /// Counts the processes, also those that are ending.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.pool.workers()
    }

    /// Returns the numbers of the processes.
    #[must_use]
    pub fn pids(&self) -> Vec<i32> {
        self.pool.pids()
    }

    /// Counts the jobs that wait for a process.
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

    /// Drops the jobs that wait for a process, and returns how many; their futures end with
    /// [`ProcessJobError::Lost`].
    ///
    /// # Python
    /// `executor.shutdown(cancel_futures=True)`.
    pub fn cancel_queued_jobs(&self) -> usize {
        self.pool.lose_queued()
    }

    /// Takes no more jobs, and waits until those it has are done and all processes have been reaped.
    ///
    /// # Errors
    /// `Cancelled`.
    ///
    /// # Cancellation
    /// Ends the wait; the pool stays shut down.
    ///
    /// # Python
    /// `executor.shutdown(wait=True)`.
    pub async fn shutdown_and_wait(&self) -> Result<()> {
        self.pool.shut_down();
        self.pool.ended().await
    }

    /// As [`shutdown_and_wait`](Self::shutdown_and_wait), for `limit` at the longest.
    ///
    /// # Errors
    /// [`StuckJobs`](crate::StuckJobs), of the kind `TimedOut`, names the jobs that have not ended. They
    /// run on; [`kill_workers`](Self::kill_workers) ends them.
    ///
    /// # Cancellation
    /// As [`shutdown_and_wait`](Self::shutdown_and_wait).
    pub async fn shutdown_timeout(&self, limit: Duration) -> Result<()> {
        self.pool.shut_down();
        match self.pool.event_loop.timeout(limit, self.pool.ended()).await {
            Ok(ended) => ended,
            Err(TimeoutError::TimedOut) => Err(self.pool.stuck_jobs(limit).into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes no more jobs, drops those that wait, and kills all processes: running jobs end with
    /// [`ProcessJobError::Killed`]. Doesn't wait.
    ///
    /// # Python
    /// `executor.kill_workers()`, since 3.14.
    pub fn kill_workers(&self) {
        self.pool.kill();
    }
}

impl Drop for ProcessPoolExecutor {
    fn drop(&mut self) {
        self.pool.shut_down();
    }
}

impl fmt::Debug for ProcessPoolExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessPoolExecutor")
            .field("pids", &self.pids())
            .field("queued", &self.queued_jobs())
            .finish()
    }
}

//! Jobs that block, in other threads; and in other processes: [`process_pool`].
//!
//! ```text
//!           worker takes it          job returns or panics      polled
//!  Queued ------------------> Running ----------------> Done ----------> Over
//!    |                           |                       ^                ^
//!    | executor drops it         | waiting future dropped|: the result is dropped
//!    '---------------------------+-----------------------'  where it is made
//! ```
//!
//! A job is one allocation that both threads share. Its result wakes the task that waits by the
//! task's own waker: no table of the loop is involved, so there is nothing that could be full, and a
//! job that ends after its loop finds a waker that does nothing (FAULTS E-04). What the loop itself knows of
//! its jobs is for snapshots ([`listed`]).

mod error;
mod job;
mod listed;

mod stuck;
mod thread_pool;

mod default;

mod process_pool;

#[cfg(test)]
mod tests;

use core::future::Future;
use core::panic::Location;
use core::pin::Pin;
use core::time::Duration;
use std::sync::Arc;

use rondel_core::Usage;

use crate::EventLoopHandle;
use crate::snapshot::JobExecutor;

pub use default::ShutdownDefaultExecutor;
pub use error::{JobError, JobRefusal, JobRefused};
pub use job::{Job, JobFuture};
pub use process_pool::{
    ProcessJob, ProcessJobError, ProcessPoolConfig, ProcessPoolExecutor, SubmitJob, WorkerExit,
    WorkerFunction, process_worker,
};
pub use stuck::{StuckJob, StuckJobs};
pub use thread_pool::{ThreadPoolConfig, ThreadPoolExecutor};

pub(crate) use default::DefaultExecutor;
pub(crate) use listed::ListedJobs;

/// Runs jobs somewhere else than in the loop's thread.
///
/// # Python
/// `concurrent.futures.Executor`; the future is the loop's business here.
pub trait Executor: Send + Sync {
    /// Takes a job, to call its [`run`](Job::run) later. Never blocks, and never runs it within
    /// this call.
    ///
    /// # Errors
    /// Gives the job back if it can't be taken.
    ///
    /// # Python
    /// `executor.submit(function)`, which returns the future.
    fn execute(&self, job: Job) -> Result<(), JobRefused<Job>>;

    /// Is told that nobody waits any more for a job that was not run: its closure is dropped already,
    /// what is left of it does nothing, and its place can be used again.
    fn forget(&self, job: u64) {
        let _ = job;
    }

    /// Takes no more jobs; those that it has still run. Doesn't wait. By itself it does nothing.
    ///
    /// # Python
    /// `executor.shutdown(wait=False)`.
    fn shutdown(&self) {}

    /// Returns a future that is done when, after a [`shutdown`](Self::shutdown), all jobs have ended
    /// and nothing runs any more. By itself there is nothing to wait for.
    ///
    /// # Cancellation
    /// Dropping it ends the wait and nothing else.
    fn ended(&self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(core::future::ready(()))
    }

    /// Names the jobs that have not ended, for a shutdown that waited for `limit` and gives up. By
    /// itself it knows none.
    fn stuck_jobs(&self, limit: Duration) -> StuckJobs {
        StuckJobs::new(Vec::new(), 0, limit)
    }

    /// Tells how full the queue of jobs is and was, for [`metrics`](EventLoopHandle::metrics). Doesn't
    /// wait; by itself it tells nothing.
    fn queue(&self) -> Usage {
        Usage::default()
    }
}

impl EventLoopHandle {
    /// Runs `job` in a thread of the default executor and returns a future of its result
    /// (contract EX-1, EX-2).
    ///
    /// The default executor is a [`ThreadPoolExecutor`], made on first use, unless
    /// [`set_default_executor`](Self::set_default_executor) was called.
    ///
    /// ```
    /// # rondel::run(async |event_loop| {
    /// let sum = event_loop.run_in_executor(|| (1..=10).sum::<u32>())?.await?;
    /// assert_eq!(sum, 55);
    /// # Ok(())
    /// # })?;
    /// # Ok::<(), rondel::Error>(())
    /// ```
    ///
    /// # Errors
    /// Gives the closure back if the queue is full, the executor was shut down, or the system
    /// refuses the first thread (EX-5).
    ///
    /// # Cancellation
    /// Dropping the future, or cancelling the task that awaits it, takes a job back that waits in
    /// the queue. One that runs is not stopped; its result is dropped in its thread (EX-3).
    ///
    /// # Python
    /// `loop.run_in_executor(None, function)`.
    #[track_caller]
    pub fn run_in_executor<F, T>(&self, job: F) -> Result<JobFuture<T>, JobRefused<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        match self.default_executor() {
            Ok(executor) => JobFuture::start(self, &executor, JobExecutor::Default, job, Location::caller()),
            Err(reason) => Err(JobRefused::new(reason, job)),
        }
    }

    /// Runs `job` in `executor`, as [`run_in_executor`](Self::run_in_executor) does in the default
    /// one.
    ///
    /// # Errors
    /// As [`run_in_executor`](Self::run_in_executor).
    ///
    /// # Cancellation
    /// As [`run_in_executor`](Self::run_in_executor).
    ///
    /// # Python
    /// `loop.run_in_executor(executor, function)`.
    #[track_caller]
    pub fn run_in_executor_of<F, T>(
        &self,
        executor: &Arc<dyn Executor>,
        job: F,
    ) -> Result<JobFuture<T>, JobRefused<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        if self.is_closed() {
            return Err(JobRefused::new(JobRefusal::Closed, job));
        }
        JobFuture::start(self, executor, JobExecutor::Other, job, Location::caller())
    }
}

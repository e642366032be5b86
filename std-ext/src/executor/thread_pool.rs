//! A pool of threads with a bounded queue.

use core::cell::Cell;
use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Poll, Waker};
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rondel_core::Usage;

use crate::executor::job::{Job, quietly, run_and_drop};
use crate::executor::{Executor, JobRefusal, JobRefused, StuckJob, StuckJobs};
use crate::observers::metrics::usage;
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
    #[must_use]
    pub fn new(config: ThreadPoolConfig) -> Self {
        Self::on_threads(config, &RealThreads)
    }

    pub(crate) fn on_threads(mut config: ThreadPoolConfig, threads: &'static dyn Threads) -> Self {
        config.max_workers = config.max_workers.max(1);
        config.jobs = config.jobs.max(1);
        let (state, changed) = (Mutex::new(State::default()), Condvar::new());
        Self { pool: Arc::new(Pool { state, wanted: Condvar::new(), changed, config, threads }) }
    }

    /// Counts the threads.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.pool.lock().workers
    }

    /// Counts the jobs that wait for a thread.
    #[must_use]
    pub fn queued_jobs(&self) -> usize {
        self.pool.lock().queue.len()
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
        let queue = core::mem::take(&mut self.pool.lock().queue);
        queue.len()
    }

    /// Takes no more jobs, and blocks until those it has are done and all threads
    /// have ended. In a thread of its own it waits for the others.
    ///
    /// # Python
    /// `executor.shutdown(wait=True)`.
    pub fn shutdown_and_wait(&self) {
        self.pool.shut_down();
        let _inside = Inside::enter(&self.pool);
        let is_busy = |state: &mut State| state.is_busy();
        drop(self.pool.changed.wait_while(self.pool.lock(), is_busy).unwrap_or_else(PoisonError::into_inner));
    }

    /// As [`shutdown_and_wait`](Self::shutdown_and_wait), for `limit` at the longest.
    ///
    /// # Errors
    /// Names the jobs that have not ended. They run on; a process that exits does
    /// not wait for them.
    pub fn shutdown_timeout(&self, limit: Duration) -> Result<(), StuckJobs> {
        self.pool.shut_down();
        let _inside = Inside::enter(&self.pool);
        let is_busy = |state: &mut State| state.is_busy();
        let waited = self.pool.changed.wait_timeout_while(self.pool.lock(), limit, is_busy);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if !state.is_busy() {
            return Ok(());
        }
        Err(state.stuck_jobs(limit))
    }
}

impl Executor for ThreadPoolExecutor {
    fn execute(&self, job: Job) -> Result<(), JobRefused<Job>> {
        Pool::execute(&self.pool, job)
    }

    fn forget(&self, job: u64) {
        let mut state = self.pool.lock();
        let place = state.queue.iter().position(|queued| queued.id() == job);
        let forgotten = place.and_then(|place| state.queue.remove(place));
        drop(state);
        drop(forgotten);
    }

    fn shutdown(&self) {
        self.pool.shut_down();
    }

    fn ended(&self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(Pool::ended(&self.pool))
    }

    fn stuck_jobs(&self, limit: Duration) -> StuckJobs {
        self.pool.lock().stuck_jobs(limit)
    }

    fn queue(&self) -> Usage {
        let state = self.pool.lock();
        usage(state.queue.len(), state.peak, self.pool.config.jobs)
    }
}

impl Drop for ThreadPoolExecutor {
    fn drop(&mut self) {
        self.pool.shut_down();
    }
}

impl fmt::Debug for ThreadPoolExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.pool.lock();
        f.debug_struct("ThreadPoolExecutor")
            .field("workers", &state.workers)
            .field("running", &state.running)
            .field("queued", &state.queue.len())
            .finish()
    }
}

/// What the threads of a pool share.
struct Pool {
    state: Mutex<State>,
    /// Tells the workers that there is a job, or none will come.
    wanted: Condvar,
    /// Tells those who wait for the end that a worker has ended.
    changed: Condvar,
    config: ThreadPoolConfig,
    threads: &'static dyn Threads,
}

#[derive(Default)]
struct State {
    /// Invariant: at most `config.jobs`.
    queue: VecDeque<Job>,
    /// Is the most jobs that ever waited.
    peak: usize,
    /// Counts the threads.
    /// Invariant: at most `config.max_workers`.
    workers: usize,
    /// Counts those of them that wait for a job.
    idle: usize,
    /// Counts those that will look for a job at once: they are new, or have done one.
    coming: usize,
    /// Counts the threads of the pool that wait for its end themselves.
    waiting_inside: usize,
    running: Vec<StuckJob>,
    /// Numbers the threads.
    started: u64,
    is_shut_down: bool,
    /// Are those who await the end, by numbers of their own.
    awaiting: Vec<(u64, Waker)>,
    awaited: u64,
}

impl State {
    fn is_busy(&self) -> bool {
        self.workers > self.waiting_inside
    }

    fn stuck_jobs(&self, limit: Duration) -> StuckJobs {
        StuckJobs::new(self.running.clone(), self.queue.len(), limit)
    }

    /// Returns the waker of one who awaits the end.
    fn leave(&mut self, number: u64) -> Option<(u64, Waker)> {
        let place = self.awaiting.iter().position(|waiting| waiting.0 == number)?;
        Some(self.awaiting.swap_remove(place))
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shut_down(&self) {
        self.lock().is_shut_down = true;
        self.wanted.notify_all();
    }

    fn execute(self: &Arc<Self>, job: Job) -> Result<(), JobRefused<Job>> {
        // Held while a thread is made, so that no job is left to a thread that isn't.
        let mut state = self.lock();
        if state.is_shut_down {
            return Err(JobRefused::new(JobRefusal::ShutDown, job));
        }
        let limit = self.config.jobs;
        if state.queue.len() >= limit {
            return Err(JobRefused::new(JobRefusal::Full { limit }, job));
        }
        if state.idle + state.coming <= state.queue.len() && state.workers < self.config.max_workers {
            match self.start_worker(&mut state) {
                Ok(()) => {}
                Err(error) if state.workers == 0 => {
                    return Err(JobRefused::new(JobRefusal::NoThread(error), job));
                }
                // An existing worker runs it (FAULTS E-01).
                Err(error) => log::debug!(target: "rondel", "no further worker thread: {error}"),
            }
        }
        state.queue.push_back(job);
        state.peak = state.peak.max(state.queue.len());
        drop(state);
        self.wanted.notify_one();
        Ok(())
    }

    /// Waits for the end of all threads, without blocking.
    async fn ended(&self) {
        let place = Place::take(self);
        poll_fn(|cx| place.poll(cx.waker())).await;
    }

    fn start_worker(self: &Arc<Self>, state: &mut State) -> std::io::Result<()> {
        let name = format!("{}-{}", self.config.thread_name_prefix, state.started);
        let worker = Worker {
            pool: Arc::clone(self),
            place: format!("thread {name}").into(),
            is_coming: Cell::new(true),
        };
        self.threads.start(name, self.config.stack_bytes, Box::new(move || worker.work()))?;
        state.workers += 1;
        state.coming += 1;
        state.started += 1;
        Ok(())
    }

    /// Waits for a job for a worker that is coming; `None` when it is to end, and then it is no longer
    /// counted.
    fn next_job(&self, place: &Arc<str>) -> Option<Job> {
        let mut state = self.lock();
        state.coming -= 1;
        let mut is_over = false;
        loop {
            if let Some(job) = state.queue.pop_front() {
                state.running.push(StuckJob::new(&job, Arc::clone(place)));
                return Some(job);
            }
            if state.is_shut_down || is_over {
                // In one step with the look into the queue: nothing is left to a worker that ends.
                state.workers -= 1;
                self.changed.notify_all();
                let awaiting =
                    if state.workers > 0 { Vec::new() } else { core::mem::take(&mut state.awaiting) };
                drop(state);
                // Foreign code.
                quietly(|| awaiting.into_iter().for_each(|(_, waker)| waker.wake()));
                return None;
            }
            state.idle += 1;
            let waited = self.wanted.wait_timeout(state, self.config.idle_timeout);
            let (next, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = next;
            state.idle -= 1;
            is_over = timeout.timed_out();
        }
    }
}

thread_local! {
    /// Is the pool that this thread works for, as an address to compare.
    static POOL: Cell<*const ()> = const { Cell::new(core::ptr::null()) };
}

/// A thread of a pool, from its first moment to its last.
struct Worker {
    pool: Arc<Pool>,
    /// Says where it is, for people.
    place: Arc<str>,
    /// Tells that it has no job and is counted as coming.
    is_coming: Cell<bool>,
}

impl Worker {
    fn work(self) {
        POOL.set(Arc::as_ptr(&self.pool).cast());
        while let Some(job) = self.pool.next_job(&self.place) {
            self.is_coming.set(false);
            let id = job.id();
            // Who gets the result may have another job at once: no further thread is made for that.
            run_and_drop(job, &|| self.come(id));
            self.come(id);
        }
    }

    /// Notes that the job is done, if that wasn't noted.
    fn come(&self, id: u64) {
        if !self.is_coming.replace(true) {
            let mut state = self.pool.lock();
            state.running.retain(|running| running.id() != id);
            state.coming += 1;
        }
    }
}

/// Is somebody who awaits the end of a pool; leaves no waker behind.
struct Place<'a> {
    pool: &'a Pool,
    number: u64,
}

impl<'a> Place<'a> {
    fn take(pool: &'a Pool) -> Self {
        let mut state = pool.lock();
        state.awaited += 1;
        Self { pool, number: state.awaited }
    }

    fn poll(&self, waker: &Waker) -> Poll<()> {
        let mut state = self.pool.lock();
        let former = state.leave(self.number);
        let is_busy = state.workers > 0;
        if is_busy {
            state.awaiting.push((self.number, waker.clone()));
        }
        drop(state);
        drop(former);
        if is_busy { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let waker = self.pool.lock().leave(self.number);
        drop(waker);
    }
}

/// Counts a thread of the pool that waits for the end of the others.
struct Inside<'a>(Option<&'a Pool>);

impl<'a> Inside<'a> {
    fn enter(pool: &'a Arc<Pool>) -> Self {
        let is_inside = core::ptr::eq(POOL.get(), Arc::as_ptr(pool).cast());
        let inside = Self(is_inside.then_some(&**pool));
        if let Some(pool) = inside.0 {
            pool.lock().waiting_inside += 1;
            pool.changed.notify_all();
        }
        inside
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        if let Some(pool) = self.0 {
            pool.lock().waiting_inside -= 1;
        }
    }
}

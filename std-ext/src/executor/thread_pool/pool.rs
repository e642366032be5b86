//! What the threads of a pool share.

use core::fmt;
use core::future::poll_fn;
use core::task::{Poll, Waker};
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rondel_core::Usage;

use super::ThreadPoolConfig;
use super::worker::{Worker, is_thread_of};
use crate::executor::job::{Job, quietly};
use crate::executor::{JobRefusal, JobRefused, StuckJob, StuckJobs};
use crate::observers::metrics::usage;
use crate::sys::Threads;

/// What the threads of a pool share.
pub(super) struct Pool {
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
    pub(super) fn new(config: ThreadPoolConfig, threads: &'static dyn Threads) -> Self {
        let (state, wanted, changed) = (Mutex::default(), Condvar::new(), Condvar::new());
        Self { state, wanted, changed, config, threads }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn workers(&self) -> usize {
        self.lock().workers
    }

    /// Counts the jobs that wait.
    pub(super) fn queued(&self) -> usize {
        self.lock().queue.len()
    }

    /// Takes out the jobs that wait.
    pub(super) fn take_queue(&self) -> VecDeque<Job> {
        core::mem::take(&mut self.lock().queue)
    }

    /// Takes out the job with this number, if it waits.
    pub(super) fn take_queued(&self, job: u64) -> Option<Job> {
        let mut state = self.lock();
        let place = state.queue.iter().position(|queued| queued.id() == job)?;
        state.queue.remove(place)
    }

    pub(super) fn stuck_jobs(&self, limit: Duration) -> StuckJobs {
        self.lock().stuck_jobs(limit)
    }

    /// Tells how much of the queue is used.
    pub(super) fn usage(&self) -> Usage {
        let state = self.lock();
        usage(state.queue.len(), state.peak, self.config.jobs)
    }

    pub(super) fn shut_down(&self) {
        self.lock().is_shut_down = true;
        self.wanted.notify_all();
    }

    /// Blocks until all threads have ended; in one of them, all others.
    pub(super) fn wait(self: &Arc<Self>) {
        let _inside = Inside::enter(self);
        let waited = self.changed.wait_while(self.lock(), |state| state.is_busy());
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// As [`wait`](Self::wait), for `limit` at the longest.
    pub(super) fn wait_timeout(self: &Arc<Self>, limit: Duration) -> Result<(), StuckJobs> {
        let _inside = Inside::enter(self);
        let waited = self.changed.wait_timeout_while(self.lock(), limit, |state| state.is_busy());
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.is_busy() { Err(state.stuck_jobs(limit)) } else { Ok(()) }
    }

    pub(super) fn execute(self: &Arc<Self>, job: Job) -> Result<(), JobRefused<Job>> {
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

    /// Notes that a job is done, whose worker looks for another at once.
    pub(super) fn done(&self, job: u64) {
        let mut state = self.lock();
        state.running.retain(|running| running.id() != job);
        state.coming += 1;
    }

    /// Waits for the end of all threads, without blocking.
    pub(super) async fn ended(&self) {
        let place = Place::take(self);
        poll_fn(|cx| place.poll(cx.waker())).await;
    }

    fn start_worker(self: &Arc<Self>, state: &mut State) -> std::io::Result<()> {
        let name = format!("{}-{}", self.config.thread_name_prefix, state.started);
        let worker = Worker::new(self, &name);
        self.threads.start(name, self.config.stack_bytes, Box::new(move || worker.work()))?;
        state.workers += 1;
        state.coming += 1;
        state.started += 1;
        Ok(())
    }

    /// Waits for a job for a worker that is coming; `None` when it is to end, and then it is no longer
    /// counted.
    pub(super) fn next_job(&self, place: &Arc<str>) -> Option<Job> {
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

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("ThreadPoolExecutor")
            .field("workers", &state.workers)
            .field("running", &state.running)
            .field("queued", &state.queue.len())
            .finish()
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
        let inside = Self(is_thread_of(pool).then_some(&**pool));
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

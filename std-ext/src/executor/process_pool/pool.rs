//! The queue of a pool and its workers.

use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::panic::Location;
use core::task::{Poll, Waker};
use core::time::Duration;
use std::collections::VecDeque;
use std::rc::Rc;

use rondel_core::Cancelled;

use super::config::ProcessPoolConfig;
use super::error::ProcessJobError;
use super::job::Work;
use super::worker::Worker;
use crate::executor::job::quietly;
use crate::executor::{JobRefusal, JobRefused, StuckJobs};
use crate::{EventLoopHandle, Result, TaskWait};

/// What the owner of a pool, its workers and its jobs share.
pub(super) struct Pool {
    pub(super) event_loop: EventLoopHandle,
    /// Is where the pool was made.
    pub(super) location: &'static Location<'static>,
    pub(super) config: ProcessPoolConfig,
    /// Invariant: there is a worker as long as a job waits.
    queue: RefCell<VecDeque<Rc<Work>>>,
    /// Are all processes that were not reaped.
    /// Invariant: at most `config.max_workers`.
    workers: RefCell<Vec<Rc<Worker>>>,
    /// Are those of them that wait for a job; the last comes first, so that others may become superfluous.
    idle: RefCell<Vec<Rc<Worker>>>,
    is_shut_down: Cell<bool>,
    last_id: Cell<u64>,
    /// Are those who wait for the end.
    awaiting: RefCell<Vec<(u64, Waker)>>,
}

impl Pool {
    pub(super) fn new(
        event_loop: &EventLoopHandle,
        mut config: ProcessPoolConfig,
        location: &'static Location<'static>,
    ) -> Self {
        config.max_workers = config.max_workers.max(1);
        config.jobs = config.jobs.max(1);
        Self {
            event_loop: event_loop.clone(),
            location,
            config,
            queue: RefCell::default(),
            workers: RefCell::default(),
            idle: RefCell::default(),
            is_shut_down: Cell::new(false),
            last_id: Cell::new(0),
            awaiting: RefCell::default(),
        }
    }

    pub(super) fn next_id(&self) -> u64 {
        self.last_id.set(self.last_id.get() + 1);
        self.last_id.get()
    }

    pub(super) fn pids(&self) -> Vec<i32> {
        self.workers.borrow().iter().map(|worker| worker.pid()).collect()
    }

    pub(super) fn workers(&self) -> usize {
        self.workers.borrow().len()
    }

    pub(super) fn queued(&self) -> usize {
        self.queue.borrow().len()
    }

    /// Counts the workers that will take a job when they are ready.
    fn starting(&self) -> usize {
        self.workers.borrow().iter().filter(|worker| worker.is_greeting()).count()
    }

    /// Takes a job.
    ///
    /// # Errors
    /// Why it doesn't.
    pub(super) fn submit(self: &Rc<Self>, work: &Rc<Work>) -> Result<(), JobRefusal> {
        if self.event_loop.is_closed() {
            return Err(JobRefusal::Closed);
        }
        if self.is_shut_down.get() {
            return Err(JobRefusal::ShutDown);
        }
        let limit = self.config.arguments_bytes_max;
        let arguments = work.arguments.take();
        let bytes = work.function.len().saturating_add(arguments.len());
        work.arguments.set(arguments);
        if bytes > limit {
            return Err(JobRefusal::TooLarge { bytes, limit });
        }
        if self.is_full() {
            return Err(JobRefusal::Full { limit: self.config.jobs });
        }
        if self.wants_worker(1)
            && let Err(error) = self.start_worker()
            && self.workers() == 0
        {
            return Err(JobRefusal::NoProcess(error));
        }
        self.queue.borrow_mut().push_back(Rc::clone(work));
        self.dispatch();
        Ok(())
    }

    /// Tells whether as many jobs wait as may, beside those that have a worker which starts.
    fn is_full(&self) -> bool {
        let starts = usize::from(self.wants_worker(1));
        self.idle.borrow().is_empty() && self.queued() >= self.config.jobs + self.starting() + starts
    }

    /// Tells whether `more` jobs than are queued should have another worker.
    fn wants_worker(&self, more: usize) -> bool {
        let ready = self.idle.borrow().len() + self.starting();
        self.queued() + more > ready && self.workers() < self.config.max_workers
    }

    fn start_worker(self: &Rc<Self>) -> std::io::Result<()> {
        let started = Worker::start(self);
        match started {
            Ok(worker) => self.workers.borrow_mut().push(worker),
            // An existing worker runs the job.
            Err(ref error) if self.workers() > 0 => {
                log::debug!(target: "rondel", "no further worker process: {error}");
                return started.map(drop);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Brings jobs and workers together, starts workers that are wanted and ends those that are not.
    pub(super) fn dispatch(self: &Rc<Self>) {
        while let Some((worker, work)) = self.next_pair() {
            worker.begin(work);
        }
        while !self.event_loop.is_closed() && self.wants_worker(0) {
            let Err(error) = self.start_worker() else { continue };
            if self.workers() > 0 {
                break;
            }
            let Some(work) = self.take_queued() else { break };
            let refused = JobRefused::new(JobRefusal::NoProcess(error), work.arguments.take());
            work.finish(Err(ProcessJobError::Refused(refused)));
        }
        let is_over = self.is_shut_down.get() && self.queued() == 0;
        let idle = self.idle.borrow().clone();
        for worker in idle {
            if is_over { worker.retire() } else { worker.wait_for_work() }
        }
        self.tell_end();
    }

    fn next_pair(&self) -> Option<(Rc<Worker>, Rc<Work>)> {
        let (mut idle, mut queue) = (self.idle.borrow_mut(), self.queue.borrow_mut());
        if idle.is_empty() || queue.is_empty() {
            return None;
        }
        idle.pop().zip(queue.pop_front())
    }

    /// Takes the job that waits longest.
    pub(super) fn take_queued(&self) -> Option<Rc<Work>> {
        self.queue.borrow_mut().pop_front()
    }

    /// Notes that a worker waits for a job.
    pub(super) fn rest(&self, worker: &Rc<Worker>) {
        worker.be_idle();
        self.idle.borrow_mut().push(Rc::clone(worker));
    }

    pub(super) fn remove_idle(&self, worker: &Rc<Worker>) {
        self.idle.borrow_mut().retain(|other| !Rc::ptr_eq(other, worker));
    }

    pub(super) fn remove(&self, worker: &Rc<Worker>) {
        self.workers.borrow_mut().retain(|other| !Rc::ptr_eq(other, worker));
    }

    /// Lets go of a job that nobody waits for.
    pub(super) fn forget(self: &Rc<Self>, work: &Rc<Work>, kills: bool) {
        self.queue.borrow_mut().retain(|other| !Rc::ptr_eq(other, work));
        if kills {
            let worker = self.workers.borrow().iter().find(|worker| worker.runs(work)).cloned();
            if let Some(worker) = worker {
                worker.condemn(ProcessJobError::Killed);
            }
        }
        self.dispatch();
    }

    /// Drops the jobs that wait, and returns how many.
    pub(super) fn lose_queued(&self) -> usize {
        let queue = self.queue.take();
        queue.iter().for_each(|work| work.finish(Err(ProcessJobError::Lost)));
        self.tell_end();
        queue.len()
    }
}

/// The end of a pool.
impl Pool {
    pub(super) fn shut_down(self: &Rc<Self>) {
        self.is_shut_down.set(true);
        self.dispatch();
    }

    pub(super) fn kill(self: &Rc<Self>) {
        self.is_shut_down.set(true);
        self.lose_queued();
        let workers = self.workers.borrow().clone();
        for worker in workers {
            worker.condemn(ProcessJobError::Killed);
        }
    }

    pub(super) fn stuck_jobs(&self, limit: Duration) -> StuckJobs {
        let running = self.workers.borrow().iter().filter_map(|worker| worker.stuck_job()).collect();
        StuckJobs::new(running, self.queued(), limit)
    }

    /// Waits until no process is left.
    pub(super) async fn ended(&self) -> Result<()> {
        let place = Place { pool: self, number: self.next_id() };
        let ended = poll_fn(|cx| {
            if self.event_loop.inner.scheduler.take_cancel() {
                return Poll::Ready(Err(Cancelled.into()));
            }
            let waker = cx.waker().clone();
            let former = self.leave(place.number);
            drop(former);
            if self.workers() == 0 {
                return Poll::Ready(Ok(()));
            }
            self.awaiting.borrow_mut().push((place.number, waker));
            Poll::Pending
        });
        self.event_loop.name_wait(TaskWait::ExecutorShutdown, ended).await
    }

    fn leave(&self, number: u64) -> Option<(u64, Waker)> {
        let mut awaiting = self.awaiting.borrow_mut();
        let place = awaiting.iter().position(|waiting| waiting.0 == number)?;
        Some(awaiting.swap_remove(place))
    }

    fn tell_end(&self) {
        if self.workers() == 0 {
            let awaiting = self.awaiting.take();
            quietly(|| awaiting.into_iter().for_each(|(_, waker)| waker.wake()));
        }
    }
}

/// Is somebody who waits for the end; leaves no waker behind.
struct Place<'a> {
    pool: &'a Pool,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let waker = self.pool.leave(self.number);
        drop(waker);
    }
}

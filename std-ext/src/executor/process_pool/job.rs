//! A job for another process, and its result.

use core::cell::{Cell, OnceCell, RefCell};
use core::fmt;
use core::future::Future;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context as PollContext, Poll, Waker};
use core::time::Duration;
use std::rc::Rc;

use rondel_core::{Cancelled, Instant};

use super::error::ProcessJobError;
use super::pool::Pool;
use crate::EventLoopHandle;
use crate::executor::JobRefused;
use crate::executor::job::{next_number, quietly};
use crate::executor::listed::{JobKey, Listed, ListedJobs, Look, Place};
use crate::snapshot::{JobExecutor, JobState};

/// A job, shared by whoever awaits it and the pool.
pub(super) struct Work {
    pub(super) id: u64,
    pub(super) function: Box<str>,
    pub(super) location: &'static Location<'static>,
    /// Is how long it may run.
    pub(super) limit: Option<Duration>,
    /// Is taken by the worker.
    pub(super) arguments: Cell<Vec<u8>>,
    kills_when_dropped: bool,
    state: RefCell<State>,
    /// Is the process that has it, and since when.
    taken: Cell<Option<(u32, Instant)>>,
    /// Is its place among the jobs of the loop.
    listed: OnceCell<InList>,
}

/// A place among the jobs of a loop, given back when dropped.
struct InList {
    event_loop: EventLoopHandle,
    key: JobKey,
}

impl Drop for InList {
    fn drop(&mut self) {
        self.event_loop.inner.jobs.remove(self.key);
    }
}

enum State {
    Waiting(Option<Waker>),
    Done(Result<Vec<u8>, ProcessJobError>),
    /// Nobody waits any more.
    Over,
}

impl Work {
    /// Adds it to the jobs of the loop.
    fn list(self: &Rc<Self>, event_loop: &EventLoopHandle) {
        let place = Place::Loop(Rc::<Self>::downgrade(self));
        let (number, executor) = (next_number(), JobExecutor::Processes);
        let job = Listed { number, executor, place, location: self.location, handed_in: event_loop.time() };
        let key = event_loop.inner.jobs.add(job);
        // Handed in once.
        let _ = self.listed.set(InList { event_loop: event_loop.clone(), key });
    }

    fn in_list(&self, act: impl FnOnce(&ListedJobs, JobKey)) {
        if let Some(InList { event_loop, key }) = self.listed.get() {
            act(&event_loop.inner.jobs, *key);
        }
    }

    /// Notes which process has it.
    pub(super) fn taken_by(&self, pid: i32, now: Instant) {
        self.taken.set(Some((pid.unsigned_abs(), now)));
    }

    /// Gives the result to whoever waits.
    pub(super) fn finish(&self, result: Result<Vec<u8>, ProcessJobError>) {
        let former = {
            let mut state = self.state.borrow_mut();
            match *state {
                State::Waiting(_) => core::mem::replace(&mut *state, State::Done(result)),
                State::Done(_) | State::Over => return,
            }
        };
        // Foreign code, whose panic has nobody to go to.
        if let State::Waiting(Some(waker)) = former {
            quietly(|| waker.wake());
        }
    }

    fn poll_result(&self, waker: &Waker) -> Poll<Result<Vec<u8>, ProcessJobError>> {
        // Foreign code, which may come back here.
        let waker = waker.clone();
        let mut state = self.state.borrow_mut();
        if let State::Waiting(place) = &mut *state {
            let former = place.replace(waker);
            drop(state);
            drop(former);
            return Poll::Pending;
        }
        match core::mem::replace(&mut *state, State::Over) {
            State::Done(result) => Poll::Ready(result),
            _ => Poll::Ready(Err(ProcessJobError::Lost)),
        }
    }
}

impl Look for Work {
    fn name(&self) -> &str {
        &self.function
    }

    fn state(&self) -> Option<JobState> {
        let taken = self.taken.get().map(|(pid, since)| JobState::InProcess { pid, since });
        match *self.state.borrow() {
            State::Waiting(_) => Some(taken.unwrap_or(JobState::Queued)),
            State::Done(_) => Some(JobState::Done),
            State::Over => taken,
        }
    }
}

/// The options of a job for another process; [`start`](Self::start) or await it to begin. See
/// [`ProcessPoolExecutor::submit`](crate::ProcessPoolExecutor::submit).
///
/// # Errors
/// [`ProcessJobError`], as of [`submit`](crate::ProcessPoolExecutor::submit).
///
/// # Cancellation
/// As of [`ProcessJob`].
#[must_use = "does nothing until it is started or awaited"]
pub struct SubmitJob<'a> {
    pool: &'a Rc<Pool>,
    work: Work,
}

impl<'a> SubmitJob<'a> {
    pub(super) fn new(
        pool: &'a Rc<Pool>,
        function: &str,
        arguments: Vec<u8>,
        location: &'static Location<'static>,
    ) -> Self {
        let work = Work {
            id: pool.next_id(),
            function: function.into(),
            location,
            limit: pool.config.job_timeout,
            arguments: Cell::new(arguments),
            kills_when_dropped: false,
            state: RefCell::new(State::Waiting(None)),
            taken: Cell::new(None),
            listed: OnceCell::new(),
        };
        Self { pool, work }
    }

    /// Limits how long the function may run, counted from when a worker takes the job: then the worker
    /// is killed and replaced. How long it waits for a worker is limited from outside, by
    /// [`timeout`](crate::EventLoopHandle::timeout). By default as the pool's configuration says.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.work.limit = Some(limit);
        self
    }

    /// Has the worker killed, and replaced, if nobody waits for the job any more. By default it goes on,
    /// and its result is dropped.
    pub fn kill_when_dropped(mut self) -> Self {
        self.work.kills_when_dropped = true;
        self
    }

    /// Hands the job in, and returns the future of its result.
    ///
    /// # Errors
    /// Gives the arguments back if they are too long, the queue is full, the pool was shut down, the
    /// loop is closed, or there is no worker and none can be started.
    pub fn start(self) -> Result<ProcessJob, JobRefused<Vec<u8>>> {
        let work = Rc::new(self.work);
        match self.pool.submit(&work) {
            Ok(()) => {
                work.list(&self.pool.event_loop);
                Ok(ProcessJob { pool: Rc::clone(self.pool), work: Some(work) })
            }
            Err(reason) => Err(JobRefused::new(reason, work.arguments.take())),
        }
    }
}

impl<'a> IntoFuture for SubmitJob<'a> {
    type Output = Result<Vec<u8>, ProcessJobError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async { self.start().map_err(ProcessJobError::Refused)?.await })
    }
}

impl fmt::Debug for SubmitJob<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubmitJob({} from {})", self.work.function, self.work.location)
    }
}

/// Waits for the result of a job in another process.
///
/// # Cancellation
/// Dropping it takes a job back that waits in the queue. One that runs goes on, and its result is dropped,
/// unless it is to be killed ([`SubmitJob::kill_when_dropped`]).
#[must_use = "dropping it takes the job back"]
pub struct ProcessJob {
    pool: Rc<Pool>,
    /// Is gone once there was a result.
    work: Option<Rc<Work>>,
}

impl ProcessJob {
    fn abandon(&mut self) {
        let Some(work) = self.work.take() else { return };
        let former = work.state.replace(State::Over);
        work.in_list(ListedJobs::leave);
        if matches!(former, State::Waiting(_)) {
            self.pool.forget(&work, work.kills_when_dropped);
        }
    }
}

impl Future for ProcessJob {
    type Output = Result<Vec<u8>, ProcessJobError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut PollContext<'_>) -> Poll<Self::Output> {
        if self.pool.event_loop.inner.scheduler.take_cancel() {
            self.abandon();
            return Poll::Ready(Err(ProcessJobError::Cancelled(Cancelled)));
        }
        let Some(work) = &self.work else { return Poll::Ready(Err(ProcessJobError::Lost)) };
        let result = work.poll_result(cx.waker());
        if result.is_ready() {
            self.work = None;
        } else {
            let task = self.pool.event_loop.running_task();
            work.in_list(|jobs, key| jobs.set_task(key, task));
        }
        result
    }
}

impl Drop for ProcessJob {
    fn drop(&mut self) {
        self.abandon();
    }
}

impl fmt::Debug for ProcessJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.work.as_ref().map(|work| work.id);
        f.debug_tuple("ProcessJob").field(&id).finish()
    }
}

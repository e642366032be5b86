//! A job: a closure on its way to another thread, and its result on the way back.

use core::any::Any;
use core::fmt;
use core::future::Future;
use core::panic::{AssertUnwindSafe, Location};
use core::pin::Pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context as PollContext, Poll, Waker};
use std::panic::catch_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};

use rondel_core::{Cancelled, Instant};

use super::listed::{JobKey, Listed, Look, Place};
use crate::EventLoopHandle;
use crate::exception::{PanicMessage, discard};
use crate::executor::{Executor, JobError, JobRefusal, JobRefused};
use crate::snapshot::{JobExecutor, JobState, ShortText};
use crate::sys::ThreadClock;

/// Numbers the jobs of the process.
static JOBS: AtomicU64 = AtomicU64::new(1);

/// Returns a number that no other job has.
pub(super) fn next_number() -> u64 {
    JOBS.fetch_add(1, Ordering::Relaxed)
}

/// A closure that an [`Executor`] runs.
///
/// Dropped without being run, it ends its future with [`JobError::Lost`].
pub struct Job {
    work: Arc<dyn Work>,
    id: u64,
    location: &'static Location<'static>,
    name: &'static str,
}

impl Job {
    /// Runs the closure, unless it was taken back; a panic of it ends here.
    pub fn run(self) {
        self.work.run(&|| ());
    }

    /// As [`run`](Self::run); calls `before_wake` when the closure has ended, before whoever waits is woken.
    pub(super) fn run_then(self, before_wake: &dyn Fn()) {
        self.work.run(before_wake);
    }

    /// Returns its number, by which [`Executor::forget`] names it.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Returns where it was handed in.
    #[must_use]
    pub fn location(&self) -> &'static Location<'static> {
        self.location
    }

    /// Returns the name of the closure's type, for people.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.work.lose();
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Job({} from {})", self.name, self.location)
    }
}

/// The executor's end of a job.
trait Work: Send + Sync {
    fn run(&self, before_wake: &dyn Fn());

    /// Ends a job that was not run.
    fn lose(&self);
}

/// The loop's end of a job.
trait Awaited<T> {
    /// Returns the result, or leaves a waker for it.
    fn poll_result(&self, waker: &Waker) -> Poll<Result<T, JobError>>;

    /// Lets go of the job; one that runs goes on.
    fn abandon(&self);
}

struct Shared<F, T> {
    state: Mutex<State<F, T>>,
    /// Is the loop's, if other threads can read it.
    clock: Option<ThreadClock>,
}

enum State<F, T> {
    Queued(F, Option<Waker>),
    Running(Option<Waker>, Run),
    /// Runs, and nobody waits any more.
    Abandoned(Run),
    Done(Result<T, JobError>),
    /// Is not there any more.
    Over,
}

/// Where a job runs, and since when.
struct Run {
    thread: Thread,
    begun: Option<Instant>,
}

impl Run {
    fn state(&self) -> JobState {
        let thread = ShortText::new(self.thread.name().unwrap_or_default());
        JobState::InThread { thread, since: self.begun }
    }
}

impl<F, T> Shared<F, T> {
    fn lock(&self) -> MutexGuard<'_, State<F, T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn replace(&self, state: State<F, T>) -> State<F, T> {
        core::mem::replace(&mut self.lock(), state)
    }

    /// Takes the closure back from a job that was not run.
    fn take_back(&self) -> Option<F> {
        match self.replace(State::Over) {
            State::Queued(job, _) => Some(job),
            _ => None,
        }
    }

    /// Gives the result to whoever waits. What nobody waits for is dropped here.
    fn finish(&self, result: Result<T, JobError>, before_wake: &dyn Fn()) {
        let mut state = self.lock();
        let former = match *state {
            State::Queued(..) | State::Running(..) => core::mem::replace(&mut *state, State::Done(result)),
            State::Abandoned(_) | State::Done(_) | State::Over => {
                if let State::Abandoned(_) = *state {
                    *state = State::Over;
                }
                drop(state);
                return quietly(|| drop(result));
            }
        };
        drop(state);
        // Foreign code, the waker's and the closure's: outside of the lock.
        let (waker, closure) = match former {
            State::Queued(closure, waker) => (waker, Some(closure)),
            State::Running(waker, _) => (waker, None),
            State::Abandoned(_) | State::Done(_) | State::Over => return,
        };
        before_wake();
        quietly(|| {
            if let Some(waker) = waker {
                waker.wake();
            }
        });
        quietly(|| drop(closure));
    }
}

impl<F, T> Work for Shared<F, T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    fn run(&self, before_wake: &dyn Fn()) {
        let run = Run { thread: thread::current(), begun: self.clock.map(ThreadClock::now) };
        let job = {
            let mut state = self.lock();
            match core::mem::replace(&mut *state, State::Over) {
                State::Queued(job, waker) => {
                    *state = State::Running(waker, run);
                    job
                }
                other => {
                    *state = other;
                    return;
                }
            }
        };
        let result = catch_unwind(AssertUnwindSafe(job));
        let result = result.map_err(|payload| JobError::Panicked(PanicMessage::of(payload).into()));
        self.finish(result, before_wake);
    }

    fn lose(&self) {
        if matches!(*self.lock(), State::Queued(..)) {
            self.finish(Err(JobError::Lost), &|| ());
        }
    }
}

impl<F, T> Look for Shared<F, T> {
    fn name(&self) -> &str {
        core::any::type_name::<F>()
    }

    fn state(&self) -> Option<JobState> {
        match &*self.lock() {
            State::Queued(..) => Some(JobState::Queued),
            State::Running(_, run) | State::Abandoned(run) => Some(run.state()),
            State::Done(_) => Some(JobState::Done),
            State::Over => None,
        }
    }
}

impl<F, T> Awaited<T> for Shared<F, T> {
    fn poll_result(&self, waker: &Waker) -> Poll<Result<T, JobError>> {
        let mut state = self.lock();
        let former = match &mut *state {
            State::Queued(_, place) | State::Running(place, _) => {
                if place.as_ref().is_some_and(|former| former.will_wake(waker)) {
                    return Poll::Pending;
                }
                place.replace(waker.clone())
            }
            State::Abandoned(_) | State::Done(_) | State::Over => {
                let State::Done(result) = core::mem::replace(&mut *state, State::Over) else {
                    return Poll::Ready(Err(JobError::Lost));
                };
                return Poll::Ready(result);
            }
        };
        drop(state);
        drop(former);
        Poll::Pending
    }

    fn abandon(&self) {
        let mut state = self.lock();
        let (waker, rest) = match core::mem::replace(&mut *state, State::Over) {
            State::Running(waker, run) => {
                *state = State::Abandoned(run);
                (waker, None)
            }
            other => (None, Some(other)),
        };
        drop(state);
        // The waker, the closure or the result, whose destructor is foreign code.
        drop((waker, rest));
    }
}

/// Runs foreign code whose panic has nobody to go to.
pub(super) fn quietly(step: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(step)) {
        discard(payload);
    }
}

/// Waits for the result of a job.
///
/// # Cancellation
/// Dropping it takes a job back that waits in the queue; the result of one that
/// runs is dropped in its thread (contract EX-3).
#[must_use = "dropping it takes the job back"]
pub struct JobFuture<T> {
    event_loop: EventLoopHandle,
    executor: Arc<dyn Executor>,
    /// Is gone once there was a result.
    awaited: Option<Arc<dyn Awaited<T>>>,
    id: u64,
    key: JobKey,
}

impl<T: Send + 'static> JobFuture<T> {
    pub(crate) fn start<F>(
        event_loop: &EventLoopHandle,
        executor: &Arc<dyn Executor>,
        kind: JobExecutor,
        job: F,
        location: &'static Location<'static>,
    ) -> Result<Self, JobRefused<F>>
    where
        F: FnOnce() -> T + Send + 'static,
    {
        let (handed_in, clock) = (event_loop.time(), event_loop.inner.kernel.thread_clock());
        let shared = Arc::new(Shared { state: Mutex::new(State::Queued(job, None)), clock });
        let id = next_number();
        let work = Arc::<Shared<F, T>>::clone(&shared);
        let job = Job { work, id, location, name: core::any::type_name::<F>() };
        let executor = Arc::clone(executor);
        if let Err(JobRefused { reason, value: job }) = executor.execute(job)
            && let Some(closure) = shared.take_back()
        {
            drop(job);
            if let JobRefusal::Full { .. } = reason {
                event_loop.inner.meters.jobs_refused.add(1);
            }
            return Err(JobRefused::new(reason, closure));
        }
        let place = Place::Threads(Arc::<Shared<F, T>>::downgrade(&shared));
        let listed = Listed { number: id, executor: kind, place, location, handed_in };
        let key = event_loop.inner.jobs.add(listed);
        Ok(Self { event_loop: event_loop.clone(), executor, awaited: Some(shared), id, key })
    }
}

impl<T> JobFuture<T> {
    fn abandon(&mut self) {
        if let Some(awaited) = self.awaited.take() {
            // The place first, because what follows may panic.
            let _forget = Forget(self);
            awaited.abandon();
        }
    }
}

/// Tells the executor and the loop, also if a destructor of the job's panics.
struct Forget<'a, T>(&'a JobFuture<T>);

impl<T> Drop for Forget<'_, T> {
    fn drop(&mut self) {
        self.0.executor.forget(self.0.id);
        self.0.event_loop.inner.jobs.leave(self.0.key);
    }
}

impl<T> Future for JobFuture<T> {
    type Output = Result<T, JobError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut PollContext<'_>) -> Poll<Self::Output> {
        if self.event_loop.inner.scheduler.take_cancel() {
            self.abandon();
            return Poll::Ready(Err(JobError::Cancelled(Cancelled)));
        }
        let Some(awaited) = &self.awaited else { return Poll::Ready(Err(JobError::Lost)) };
        let result = awaited.poll_result(cx.waker());
        if result.is_ready() {
            self.awaited = None;
            self.event_loop.inner.jobs.remove(self.key);
        } else {
            self.event_loop.inner.jobs.set_task(self.key, self.event_loop.running_task());
        }
        result
    }
}

impl<T> Drop for JobFuture<T> {
    fn drop(&mut self) {
        self.abandon();
    }
}

impl<T> fmt::Debug for JobFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobFuture({})", self.id)
    }
}

/// Runs and drops a job in an executor's thread, whatever its destructors do.
pub(super) fn run_and_drop(job: Job, before_wake: &dyn Fn()) {
    let ran: Result<(), Box<dyn Any + Send>> = catch_unwind(AssertUnwindSafe(|| job.run_then(before_wake)));
    if let Err(payload) = ran {
        discard(payload);
    }
}

//! A job: a closure on its way to another thread, and its result on the way back.

use core::any::Any;
use core::fmt;
use core::future::Future;
use core::panic::{AssertUnwindSafe, Location};
use core::pin::Pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context as PollContext, Poll, Waker};
use std::io;
use std::panic::catch_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};

use rondel_core::{Cancelled, Instant, Refusal};

use super::listed::{JobKey, Listed, Look, Place};
use crate::exception::{PanicMessage, discard};
use crate::executor::Executor;
use crate::snapshot::{JobExecutor, JobState, ShortText};
use crate::sys::ThreadClock;
use crate::{Error, ErrorKind, EventLoopHandle};

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

/// Why a job has no result.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum JobError {
    /// The awaiting task was cancelled.
    Cancelled(Cancelled),
    /// The job panicked; this is its message.
    Panicked(String),
    /// The executor dropped the job without running it.
    Lost,
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled(cancelled) => cancelled.fmt(f),
            Self::Panicked(message) => write!(f, "the job panicked: {message}"),
            Self::Lost => f.write_str("the executor dropped the job"),
        }
    }
}

impl core::error::Error for JobError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Cancelled(cancelled) => Some(cancelled),
            _ => None,
        }
    }
}

impl From<JobError> for Error {
    fn from(error: JobError) -> Self {
        match error {
            JobError::Cancelled(cancelled) => cancelled.into(),
            JobError::Panicked(_) => Self::of(ErrorKind::Panicked, error),
            JobError::Lost => Self::of(ErrorKind::AwaitedCancelled, error),
        }
    }
}

/// Why an executor takes no job.
#[derive(Debug)]
#[non_exhaustive]
pub enum JobRefusal {
    /// So many jobs wait already.
    Full {
        /// Is how many may.
        limit: usize,
    },
    /// The loop is closed.
    Closed,
    /// The executor was shut down (contract EX-4).
    ShutDown,
    /// There is no thread, and the system refuses one (FAULTS E-01).
    NoThread(io::Error),
    /// There is no worker process, and none can be started.
    NoProcess(io::Error),
    /// The loop has no timer for the limit of the job.
    NoTimer(Refusal),
    /// Function and arguments have too many bytes together.
    TooLarge {
        /// Is how many there are.
        bytes: usize,
        /// Is how many there may be.
        limit: usize,
    },
}

impl fmt::Display for JobRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { limit } => write!(f, "no room for another job (limit {limit})"),
            Self::Closed => f.write_str("the event loop is closed"),
            Self::ShutDown => f.write_str("executor shutdown has been called"),
            Self::NoThread(error) => write!(f, "no thread for the job: {error}"),
            Self::NoProcess(error) => write!(f, "no worker process for the job: {error}"),
            Self::NoTimer(refusal) => write!(f, "no timer for the job: {refusal}"),
            Self::TooLarge { bytes, limit } => {
                write!(f, "the arguments have {bytes} bytes (limit {limit})")
            }
        }
    }
}

/// The error of everything that takes a job: gives it back.
pub struct JobRefused<T> {
    reason: JobRefusal,
    value: T,
}

impl<T> JobRefused<T> {
    /// Makes the error of an executor that didn't take `value`.
    #[must_use]
    pub const fn new(reason: JobRefusal, value: T) -> Self {
        Self { reason, value }
    }

    /// Returns the reason.
    pub const fn reason(&self) -> &JobRefusal {
        &self.reason
    }

    /// Tells whether the queue was full.
    pub const fn is_full(&self) -> bool {
        matches!(self.reason, JobRefusal::Full { .. })
    }

    /// Returns what was not taken.
    pub fn into_value(self) -> T {
        self.value
    }
}

impl<T> fmt::Display for JobRefused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run_in_executor: {}", self.reason)
    }
}

impl<T> fmt::Debug for JobRefused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobRefused({self})")
    }
}

impl<T> core::error::Error for JobRefused<T> {}

impl<T> From<JobRefused<T>> for Error {
    /// Drops the job and keeps the reason.
    fn from(refused: JobRefused<T>) -> Self {
        let kind = match refused.reason {
            JobRefusal::Full { .. } => ErrorKind::Full,
            JobRefusal::Closed | JobRefusal::ShutDown => ErrorKind::Closed,
            JobRefusal::NoThread(_) | JobRefusal::NoProcess(_) => ErrorKind::Io,
            JobRefusal::NoTimer(Refusal::Closed) => ErrorKind::Closed,
            JobRefusal::NoTimer(_) => ErrorKind::Full,
            JobRefusal::TooLarge { .. } => ErrorKind::TooLarge,
        };
        Self::of(kind, refused.reason.to_string()).during("run_in_executor")
    }
}

/// Runs and drops a job in an executor's thread, whatever its destructors do.
pub(super) fn run_and_drop(job: Job, before_wake: &dyn Fn()) {
    let ran: Result<(), Box<dyn Any + Send>> = catch_unwind(AssertUnwindSafe(|| job.run_then(before_wake)));
    if let Err(payload) = ran {
        discard(payload);
    }
}

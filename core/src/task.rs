//! Handles of tasks.
#![allow(unsafe_code, reason = "names the type of a task's erased result")]

use core::error::Error;
use core::fmt;
use core::marker::PhantomData;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context as PollContext, Poll};

use crate::body::Body;
use crate::callback::{Action, Callback};
use crate::completion::{DoneCallback, Passed};
use crate::registration::Registration;
use crate::slots::SlotId;
use crate::tables::Source;
use crate::tasks::Status;
use crate::wait::Wait;
use crate::{Cancelled, Context, Outcome, Refusal, Refused, Scheduler, TaskId};

/// A future that the loop runs.
///
/// All clones are the same task. Dropping them does not end it: the loop owns
/// its tasks (contract TK-10). An error that it ends with and that nobody
/// looks at is reported when the last handle is gone.
///
/// Awaiting it moves the result out, to the first who asks. To look whether it
/// is done and leave the result there, [`Task::wait`].
///
/// # Cancellation
/// Awaiting is cancel safe. A task that is cancelled while it awaits another by
/// value asks that one to end too, as in asyncio (TK-3), and goes on at once;
/// `wait` does not ask.
///
/// # Python
/// `asyncio.Task`. Differences: awaiting moves the result out; a cancelled
/// awaiter does not wait for the end of what it awaited.
pub struct Task<T: 'static, C: Context> {
    inner: TaskRef<C>,
    output: PhantomData<fn() -> T>,
}

impl<T: Outcome + 'static, C: Context> Task<T, C> {
    /// Makes a task of what `into_body` makes of `payload`. Its first step is in
    /// the next iteration (TK-1).
    ///
    /// `into_body` is called only if there is room, and must not call the loop.
    ///
    /// # Errors
    /// Gives the payload back if the task table is full, the body too large for
    /// a task slot, or the loop closed.
    #[track_caller]
    pub fn new<P, B>(context: &C, payload: P, into_body: impl FnOnce(P) -> B) -> Result<Self, Refused<P>>
    where
        B: Body<Output = T> + 'static,
    {
        Self::new_at(context, payload, into_body, Location::caller())
    }

    /// As [`Task::new`], for somebody who was asked to at `location`.
    ///
    /// # Errors
    /// As [`Task::new`].
    pub fn new_at<P, B>(
        context: &C,
        payload: P,
        into_body: impl FnOnce(P) -> B,
        location: &'static Location<'static>,
    ) -> Result<Self, Refused<P>>
    where
        B: Body<Output = T> + 'static,
    {
        let id = context.scheduler().insert_task(context, payload, into_body, location)?;
        let inner = TaskRef { context: context.clone(), id };
        Ok(Self { inner, output: PhantomData })
    }

    /// Moves the result out.
    ///
    /// # Errors
    /// [`TaskError::NotReady`] while pending; how the task ended if not with a
    /// result; [`TaskError::Taken`].
    ///
    /// # Python
    /// `task.result()`, which leaves it there.
    pub fn take(&self) -> Result<T, TaskError> {
        self.inner.status()?;
        // SAFETY: the task was made of a body whose output is a `T`.
        unsafe { self.inner.scheduler().take_output(self.inner.id) }.ok_or(TaskError::Taken)
    }

    /// Schedules `callback` for when the task is done, after those that were
    /// added before; at once if it is done already (F-4).
    ///
    /// # Errors
    /// Gives the callback back if the call table is full or the loop closed.
    ///
    /// # Python
    /// `task.add_done_callback(callback)`.
    #[track_caller]
    pub fn add_done_callback<F, R>(&self, callback: F) -> Result<DoneCallback, Refused<F>>
    where
        F: FnOnce(&C, &Self) -> R + 'static,
        R: Outcome,
    {
        let scheduler = self.inner.scheduler();
        let erase = |callback: F| {
            Callback::new(move |context: &C| {
                let task = context.scheduler().source.get().and_then(|id| TaskRef::upgrade(context, id));
                Passed(task.map(|inner| {
                    let task = Self { inner, output: PhantomData };
                    callback(context, &task)
                }))
            })
        };
        scheduler.add_done_callback(Source::Task(self.inner.id), callback, erase, Location::caller())
    }

    /// As [`add_done_callback`](Self::add_done_callback), with an action.
    #[track_caller]
    pub(crate) fn add_done_action<A: Action<C>>(&self, action: A) -> Result<DoneCallback, Refused<A>> {
        let scheduler = self.inner.scheduler();
        let source = Source::Task(self.inner.id);
        scheduler.add_done_callback(source, action, Callback::action, Location::caller())
    }
}

impl<T: 'static, C: Context> Task<T, C> {
    /// Returns a handle that doesn't know the type of the result.
    pub fn as_ref(&self) -> &TaskRef<C> {
        &self.inner
    }

    /// Takes a done callback out again; false if it ran or is about to.
    ///
    /// # Python
    /// `task.remove_done_callback(callback)`, which takes out all that are equal to it.
    pub fn remove_done_callback(&self, callback: DoneCallback) -> bool {
        let source = Source::Task(self.inner.id);
        self.inner.scheduler().remove_done_callback(&self.inner.context, source, callback)
    }

    /// Waits until the task is done and leaves its result there.
    ///
    /// # Cancellation
    /// Cancelling the waiting task does not cancel this one.
    ///
    /// # Python
    /// `asyncio.shield(task)`, which returns the result too.
    pub fn wait(&self) -> Wait<C> {
        self.inner.wait()
    }

    /// See [`TaskRef::cancel`].
    pub fn cancel(&self) -> bool {
        self.inner.cancel()
    }

    /// See [`TaskRef::abort`].
    pub fn abort(&self) -> bool {
        self.inner.abort()
    }

    /// See [`TaskRef::done`].
    pub fn done(&self) -> bool {
        self.inner.done()
    }

    /// See [`TaskRef::cancelled`].
    pub fn cancelled(&self) -> bool {
        self.inner.cancelled()
    }

    /// See [`TaskRef::id`].
    pub fn id(&self) -> TaskId {
        self.inner.id()
    }

    /// See [`TaskRef::name`].
    pub fn name(&self) -> Option<&'static str> {
        self.inner.name()
    }

    /// See [`TaskRef::set_name`].
    pub fn set_name(&self, name: &'static str) {
        self.inner.set_name(name);
    }
}

impl<T: 'static, C: Context> IntoFuture for Task<T, C> {
    type Output = Result<T, TaskError>;
    type IntoFuture = AwaitTask<T, C>;

    fn into_future(self) -> AwaitTask<T, C> {
        AwaitTask { task: self, registration: Registration::None }
    }
}

/// Awaits a task and moves its result out.
///
/// # Cancellation
/// As of [`Task`](crate::Task).
#[must_use = "does nothing until it is awaited"]
#[derive(Debug)]
pub struct AwaitTask<T: 'static, C: Context> {
    task: Task<T, C>,
    registration: Registration,
}

impl<T: 'static, C: Context> core::future::Future for AwaitTask<T, C> {
    type Output = Result<T, TaskError>;

    fn poll(self: Pin<&mut Self>, cx: &mut PollContext<'_>) -> Poll<Self::Output> {
        let Self { task, registration } = self.get_mut();
        let TaskRef { context, id } = &task.inner;
        let scheduler = context.scheduler();
        if scheduler.take_cancel() {
            task.cancel();
            return Poll::Ready(Err(TaskError::CallerCancelled(Cancelled)));
        }
        let current = scheduler.running().and_then(|running| running.task());
        if current == Some(TaskId(*id)) {
            return Poll::Ready(Err(TaskError::AwaitsItself));
        }
        match task.inner.status() {
            Err(TaskError::NotReady) => {}
            Err(error) => return Poll::Ready(Err(error)),
            Ok(()) => {
                // SAFETY: the task was made of a body whose output is a `T`.
                let output = unsafe { scheduler.take_output(*id) };
                return Poll::Ready(output.ok_or(TaskError::Taken));
            }
        }
        let location = task.inner.location().unwrap_or(Location::caller());
        match scheduler.wait_for(context, Source::Task(*id), registration, cx.waker(), location) {
            Ok(()) => Poll::Pending,
            Err(refusal) => Poll::Ready(Err(TaskError::Refused(refusal))),
        }
    }
}

impl<T: 'static, C: Context> Drop for AwaitTask<T, C> {
    fn drop(&mut self) {
        let TaskRef { context, id } = &self.task.inner;
        context.scheduler().stop_waiting(context, Source::Task(*id), &mut self.registration);
    }
}

impl<T: 'static, C: Context> Clone for Task<T, C> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), output: PhantomData }
    }
}

impl<T: 'static, C: Context> fmt::Debug for Task<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// A handle of a task that doesn't know the type of its result.
pub struct TaskRef<C: Context> {
    context: C,
    id: SlotId,
}

impl<C: Context> TaskRef<C> {
    fn upgrade(context: &C, id: SlotId) -> Option<Self> {
        let alive = context.scheduler().with_task(id, |task| task.completion.references += 1);
        alive.map(|()| Self { context: context.clone(), id })
    }

    fn scheduler(&self) -> &Scheduler<C> {
        self.context.scheduler()
    }

    /// Asks the task to end; false if it is done.
    ///
    /// The first awaitable of this crate that the task polls from then on ends
    /// with [`Cancelled`], once. So the task may clean up across awaits, pass the
    /// error on or go on (contract TK-3, TK-4); [`TaskRef::cancelled`] tells how
    /// it ended. Asked before its first step, the task never starts (TK-2).
    /// A future of another crate that the task awaits can't be interrupted.
    ///
    /// # Python
    /// `task.cancel()`. There the request reaches what is awaited first, and travels back, an iteration
    /// per task between.
    pub fn cancel(&self) -> bool {
        self.scheduler().cancel_task(&self.context, self.id)
    }

    /// Ends the task by dropping its future; false if it is done.
    ///
    /// Immediate, except for a task that aborts itself: its step ends first.
    ///
    /// # Python
    /// None: a coroutine can only be asked.
    pub fn abort(&self) -> bool {
        self.scheduler().abort_task(&self.context, self.id)
    }

    /// Tells whether the task ended, in whichever way.
    ///
    /// # Python
    /// `task.done()`.
    pub fn done(&self) -> bool {
        self.scheduler().with_task(self.id, |task| task.completion.is_done).unwrap_or(true)
    }

    /// Tells whether the task ended by cancellation: by abort, or with
    /// [`Cancelled`] in the error that it returned.
    ///
    /// # Python
    /// `task.cancelled()`.
    pub fn cancelled(&self) -> bool {
        self.scheduler().with_task(self.id, |task| task.status == Status::Cancelled).unwrap_or(false)
    }

    /// Returns the task's identity.
    pub fn id(&self) -> TaskId {
        TaskId(self.id)
    }

    /// Returns the name; a task without one prints as its id.
    ///
    /// # Python
    /// `task.get_name()`, where each task has one.
    pub fn name(&self) -> Option<&'static str> {
        self.scheduler().with_task(self.id, |task| task.name).flatten()
    }

    /// Gives the task a name.
    ///
    /// # Python
    /// `task.set_name(name)`.
    pub fn set_name(&self, name: &'static str) {
        self.scheduler().with_task(self.id, |task| task.name = Some(name));
    }

    /// Returns where the task was created.
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.scheduler().with_task(self.id, |task| task.location)
    }

    /// Waits until the task is done.
    ///
    /// # Cancellation
    /// Cancelling the waiting task does not cancel this one.
    ///
    /// # Python
    /// `asyncio.shield(task)`, which returns the result too.
    pub fn wait(&self) -> Wait<C> {
        self.scheduler().with_task(self.id, |task| task.completion.references += 1);
        Wait::new(self.context.clone(), Source::Task(self.id))
    }

    fn status(&self) -> Result<(), TaskError> {
        match self.scheduler().with_task(self.id, |task| task.status) {
            None => Err(TaskError::Refused(Refusal::Closed)),
            Some(Status::Pending) => Err(TaskError::NotReady),
            Some(Status::Cancelled) => Err(TaskError::Cancelled),
            Some(Status::Panicked) => Err(TaskError::Panicked),
            Some(Status::Done) => Ok(()),
        }
    }
}

impl<C: Context> Clone for TaskRef<C> {
    fn clone(&self) -> Self {
        self.scheduler().with_task(self.id, |task| task.completion.references += 1);
        Self { context: self.context.clone(), id: self.id }
    }
}

impl<C: Context> Drop for TaskRef<C> {
    fn drop(&mut self) {
        self.scheduler().release_task(&self.context, self.id);
    }
}

impl<C: Context> fmt::Debug for TaskRef<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.scheduler().with_task(self.id, |task| (task.status, task.name, task.location));
        match shown {
            Some((status, Some(name), location)) => {
                write!(f, "Task({name}, {status:?}, created at {location})")
            }
            Some((status, None, location)) => {
                write!(f, "Task({}, {status:?}, created at {location})", self.id())
            }
            None => write!(f, "Task({}, closed)", self.id()),
        }
    }
}

/// The live tasks of a loop.
///
/// # Python
/// `asyncio.all_tasks()`.
#[derive(Debug)]
pub struct AllTasks<C: Context> {
    context: C,
    next: u32,
}

impl<C: Context> Iterator for AllTasks<C> {
    type Item = TaskRef<C>;

    fn next(&mut self) -> Option<TaskRef<C>> {
        loop {
            let next = self.next;
            let id = self.context.scheduler().tables.with(|tables| tables.tasks.slots.next_live(next))?;
            self.next = id.index + 1;
            let pending =
                self.context.scheduler().with_task(id, |task| task.status == Status::Pending) == Some(true);
            if pending {
                return TaskRef::upgrade(&self.context, id);
            }
        }
    }
}

impl<C: Context> Scheduler<C> {
    /// Returns the task that is running, `None` outside of task steps (TK-11).
    pub fn current_task(&self, context: &C) -> Option<TaskRef<C>> {
        let TaskId(id) = self.current.get()?.task()?;
        TaskRef::upgrade(context, id)
    }

    /// Returns the task with this id, if it still has a slot.
    pub fn task(&self, context: &C, id: TaskId) -> Option<TaskRef<C>> {
        TaskRef::upgrade(context, id.0)
    }

    /// Returns the tasks that are not done, in slot order.
    pub fn all_tasks(&self, context: &C) -> AllTasks<C> {
        AllTasks { context: context.clone(), next: 0 }
    }
}

/// Why a task has no result to give.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TaskError {
    /// It is not done.
    NotReady,
    /// It was cancelled: not the task that awaits it (contract TK-6).
    Cancelled,
    /// One of its steps panicked; the panic was reported.
    Panicked,
    /// Somebody else took the result.
    Taken,
    /// It can't await itself (TK-7).
    AwaitsItself,
    /// The task that awaits it was cancelled.
    CallerCancelled(Cancelled),
    /// The loop had no room for the wait, or is closed.
    Refused(Refusal),
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotReady => f.write_str("the task is pending"),
            Self::Cancelled => f.write_str("the awaited task was cancelled"),
            Self::Panicked => f.write_str("the awaited task panicked"),
            Self::Taken => f.write_str("the task's result was taken"),
            Self::AwaitsItself => f.write_str("a task can't await itself"),
            Self::CallerCancelled(cancelled) => cancelled.fmt(f),
            Self::Refused(refusal) => refusal.fmt(f),
        }
    }
}

impl Error for TaskError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::CallerCancelled(cancelled) => Some(cancelled),
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }
}

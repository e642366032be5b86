//! Futures: a result that somebody will set.
#![allow(unsafe_code, reason = "reads results of erased type")]

use core::error::Error;
use core::fmt;
use core::marker::PhantomData;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context as PollContext, Poll};

use crate::callback::Callback;
use crate::completion::{Completion, DoneCallback, Passed};
use crate::defect;
use crate::error::{FutureError, InvalidState};
use crate::exception::Exception;
use crate::futures::{FutureValue, State};
use crate::inline::Inline;
use crate::registration::Registration;
use crate::tables::Source;
use crate::wait::Wait;
use crate::{Cancelled, Context, Outcome, Refusal, Refused, Resource, SlotId};

/// Names a future of one loop; never used again for another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FutureId(pub(crate) SlotId);

impl FutureId {
    /// Returns the number of its slot, which is less than the most futures that there ever were at
    /// once, and which a later future may have.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0.index as usize
    }
}

impl fmt::Display for FutureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Future-{}", self.0.seq)
    }
}

/// A result that will be set, once, by whoever holds a handle to it.
///
/// All clones are the same future. The slot is free again when the last of them
/// and the last done callback are gone.
///
/// Awaiting it moves the result out, to the first who asks. To look at a result
/// and leave it there, [`Future::wait`] and then [`Future::result`].
///
/// # Cancellation
/// Awaiting is cancel safe: a result that was not returned stays in the future.
/// A task that is cancelled while it awaits a future by value cancels the
/// future, as in asyncio (contract TK-3); `wait` does not.
///
/// # Python
/// `asyncio.Future`. Differences: awaiting moves the result out; the value is
/// limited to 24 bytes, so larger ones are boxed; an exception that nobody
/// retrieved is reported when the last handle goes, in the same iteration (F-8).
pub struct Future<T: 'static, C: Context> {
    context: C,
    id: SlotId,
    result: PhantomData<fn() -> T>,
}

impl<T: 'static, C: Context> Future<T, C> {
    /// Makes a pending future.
    ///
    /// # Errors
    /// If the future table is full or the loop closed.
    #[track_caller]
    pub fn new(context: &C) -> Result<Self, Refused<()>> {
        Self::new_at(context, Location::caller())
    }

    /// As [`Future::new`], for somebody who was asked to at `location`.
    ///
    /// # Errors
    /// As [`Future::new`].
    pub fn new_at(context: &C, location: &'static Location<'static>) -> Result<Self, Refused<()>> {
        let scheduler = context.scheduler();
        let Some(seq) = scheduler.next_seq() else {
            return Err(Refused::new("create_future", Refusal::Closed, ()));
        };
        let value = FutureValue {
            completion: Completion::new(),
            state: State::Pending,
            // SAFETY: only `State::Result` of this slot is dropped by it.
            drop_result: |result| drop(unsafe { result.read::<T>() }),
            location,
            since: scheduler.time(),
            unread: false,
            remaining: 0,
            failed: None,
        };
        let index = scheduler
            .tables
            .with(|tables| tables.futures.insert(seq, (), value).map_err(|_| tables.futures.capacity()));
        match index {
            Ok(index) => Ok(Self::of(context.clone(), SlotId { index, seq })),
            Err(limit) => {
                let full = scheduler.note_refusal(Refusal::Full { resource: Resource::Future, limit });
                Err(Refused::new("create_future", full, ()))
            }
        }
    }

    pub(crate) const fn of(context: C, id: SlotId) -> Self {
        Self { context, id, result: PhantomData }
    }

    pub(crate) const fn context(&self) -> &C {
        &self.context
    }

    pub(crate) const fn slot(&self) -> SlotId {
        self.id
    }

    /// Returns the future's identity, as reports name it.
    pub fn id(&self) -> FutureId {
        FutureId(self.id)
    }

    const fn source(&self) -> Source {
        Source::Future(self.id)
    }

    pub(crate) fn with<R>(&self, section: impl FnOnce(&mut FutureValue) -> R) -> Option<R> {
        self.context
            .scheduler()
            .tables
            .with(|tables| tables.futures.get_mut(self.id).map(|entry| section(&mut entry.value)))
    }

    /// Sets the result and makes ready whoever waits for it; nothing of theirs
    /// runs before this returns (contract F-4). A value of more than 24 bytes
    /// does not compile.
    ///
    /// # Errors
    /// Gives the value back if the future is done already (F-1), or the loop closed.
    ///
    /// # Python
    /// `future.set_result(value)`, which raises `InvalidStateError`.
    pub fn set_result(&self, value: T) -> Result<(), InvalidState<T>> {
        if self.done() {
            return Err(self.invalid_state(value));
        }
        let result = Inline::store(value);
        self.complete(State::Result(result), false);
        Ok(())
    }

    /// Sets an exception and makes ready whoever waits for it. An error of more
    /// than 24 bytes does not compile.
    ///
    /// # Errors
    /// Gives the error back if the future is done already, or the loop closed.
    ///
    /// # Python
    /// `future.set_exception(exception)`.
    pub fn set_exception<E: Error + 'static>(&self, error: E) -> Result<(), InvalidState<E>> {
        if self.done() {
            return Err(self.invalid_state(error));
        }
        self.complete(State::Exception(Exception::new(error)), true);
        Ok(())
    }

    /// Cancels the future; false if it is done already (F-3). Whoever cancels
    /// doesn't want an exception either: it counts as looked at (F-8).
    ///
    /// # Python
    /// `future.cancel()`.
    pub fn cancel(&self) -> bool {
        if self.done() {
            self.with(|future| future.unread = false);
            return false;
        }
        self.complete(State::Cancelled, false);
        true
    }

    fn complete(&self, state: State, unread: bool) {
        let now = self.context.scheduler().time();
        self.with(|future| {
            future.state = state;
            future.since = now;
            future.unread = unread;
            future.completion.is_done = true;
        });
        self.context.scheduler().call_back_source(&self.context, self.source());
    }

    fn invalid_state<V>(&self, value: V) -> InvalidState<V> {
        InvalidState { state: self.with(|future| future.state.name()).unwrap_or("closed"), value }
    }

    /// Tells whether a result or an exception was set, or the future cancelled.
    ///
    /// # Python
    /// `future.done()`.
    pub fn done(&self) -> bool {
        self.with(|future| future.completion.is_done).unwrap_or(true)
    }

    /// Tells whether the future was cancelled.
    ///
    /// # Python
    /// `future.cancelled()`.
    pub fn cancelled(&self) -> bool {
        self.with(|future| matches!(future.state, State::Cancelled)).unwrap_or(false)
    }

    /// Returns a copy of the result.
    ///
    /// # Errors
    /// [`FutureError::NotReady`] while pending, [`FutureError::Cancelled`],
    /// [`FutureError::Taken`], or the exception, which moves out.
    ///
    /// # Python
    /// `future.result()`, which returns the object itself, and raises the exception as often as it
    /// is called.
    pub fn result(&self) -> Result<T, FutureError>
    where
        T: Clone,
    {
        // The value is cloned outside the tables: `clone` is the user's code.
        let value = self.take()?;
        self.put_back(value.clone());
        Ok(value)
    }

    /// Moves the result out.
    ///
    /// # Errors
    /// As [`Future::result`].
    ///
    /// # Python
    /// `future.result()`, which leaves it there.
    pub fn take(&self) -> Result<T, FutureError> {
        let taken = self.with(|future| match &future.state {
            State::Pending => Err(FutureError::NotReady),
            State::Cancelled => Err(FutureError::Cancelled),
            State::Taken => Err(FutureError::Taken),
            State::Result(_) | State::Exception(_) => {
                future.unread = false;
                Ok(core::mem::replace(&mut future.state, State::Taken))
            }
        });
        match taken {
            None => Err(FutureError::Refused(Refusal::Closed)),
            Some(Err(error)) => Err(error),
            Some(Ok(State::Exception(exception))) => Err(FutureError::Exception(exception)),
            // SAFETY: a `Future<T>` has only ever set a `T`, and the state is
            // `Taken` now: nobody reads it a second time.
            Some(Ok(State::Result(mut result))) => Ok(unsafe { result.read::<T>() }),
            Some(Ok(_)) => Err(FutureError::Taken),
        }
    }

    fn put_back(&self, value: T) {
        let mut result = Some(Inline::store(value));
        self.with(|future| {
            if let (State::Taken, Some(result)) = (&future.state, result.take()) {
                future.state = State::Result(result);
            }
        });
        if let Some(mut unused) = result {
            // SAFETY: it holds the `T` stored above, which nobody took.
            drop(unsafe { unused.read::<T>() });
        }
    }

    /// Calls `look` with the exception, `None` if there is none, and marks it as
    /// looked at.
    ///
    /// # Errors
    /// [`FutureError::NotReady`] while pending, [`FutureError::Cancelled`].
    ///
    /// # Python
    /// `future.exception()`.
    pub fn exception<R>(
        &self,
        look: impl FnOnce(Option<&(dyn Error + 'static)>) -> R,
    ) -> Result<R, FutureError> {
        let taken = self.with(|future| match &future.state {
            State::Pending => Err(FutureError::NotReady),
            State::Cancelled => Err(FutureError::Cancelled),
            State::Result(_) | State::Taken => Ok(None),
            State::Exception(_) => {
                future.unread = false;
                Ok(Some(core::mem::replace(&mut future.state, State::Taken)))
            }
        });
        match taken.unwrap_or(Err(FutureError::Refused(Refusal::Closed)))? {
            Some(State::Exception(exception)) => {
                let result = look(Some(exception.get()));
                let mut kept = Some(exception);
                self.with(|future| {
                    if let Some(exception) = kept.take() {
                        future.state = State::Exception(exception);
                    }
                });
                Ok(result)
            }
            _ => Ok(look(None)),
        }
    }

    /// Schedules `callback` for when the future is done, after those that were
    /// added before; at once if it is done already (F-4).
    ///
    /// # Errors
    /// Gives the callback back if the call table is full or the loop closed.
    ///
    /// # Python
    /// `future.add_done_callback(callback)`.
    #[track_caller]
    pub fn add_done_callback<F, R>(&self, callback: F) -> Result<DoneCallback, Refused<F>>
    where
        F: FnOnce(&C, &Self) -> R + 'static,
        R: Outcome,
    {
        let scheduler = self.context.scheduler();
        let erase = |callback: F| {
            Callback::new(move |context: &C| {
                let future = context.scheduler().source.get().and_then(|id| Self::upgrade(context, id));
                Passed(future.map(|future| callback(context, &future)))
            })
        };
        scheduler.add_done_callback(self.source(), callback, erase, Location::caller())
    }

    /// Takes a done callback out again; false if it ran or is about to.
    ///
    /// # Python
    /// `future.remove_done_callback(callback)`, which takes out all that are equal to it.
    pub fn remove_done_callback(&self, callback: DoneCallback) -> bool {
        self.context.scheduler().remove_done_callback(&self.context, self.source(), callback)
    }

    /// Waits until the future is done and leaves the result in it.
    ///
    /// # Cancellation
    /// Cancelling the waiting task does not cancel the future.
    ///
    /// # Python
    /// `asyncio.shield(future)`, which returns the result too.
    pub fn wait(&self) -> Wait<C> {
        let context = self.context.clone();
        let source = self.source();
        self.with(|future| future.completion.references += 1);
        Wait::new(context, source)
    }

    pub(crate) fn upgrade(context: &C, id: SlotId) -> Option<Self> {
        let future = Self::of(context.clone(), id);
        let alive = future.with(|value| value.completion.references += 1).is_some();
        if alive {
            return Some(future);
        }
        None
    }
}

impl<T: 'static, C: Context> IntoFuture for Future<T, C> {
    type Output = Result<T, FutureError>;
    type IntoFuture = AwaitFuture<T, C>;

    fn into_future(self) -> AwaitFuture<T, C> {
        AwaitFuture { future: self, registration: Registration::None }
    }
}

/// Awaits a future and moves its result out.
///
/// # Cancellation
/// As of [`Future`](crate::Future).
#[must_use = "does nothing until it is awaited"]
#[derive(Debug)]
pub struct AwaitFuture<T: 'static, C: Context> {
    future: Future<T, C>,
    registration: Registration,
}

impl<T: 'static, C: Context> core::future::Future for AwaitFuture<T, C> {
    type Output = Result<T, FutureError>;

    fn poll(self: Pin<&mut Self>, cx: &mut PollContext<'_>) -> Poll<Self::Output> {
        let Self { future, registration } = self.get_mut();
        let context = &future.context;
        let scheduler = context.scheduler();
        if scheduler.take_cancel() {
            // First, or the end of the future would wake this task once more.
            if !defect::WAKE_ONESELF {
                scheduler.stop_waiting(context, Source::Future(future.id), registration);
            }
            future.cancel();
            return Poll::Ready(Err(FutureError::CallerCancelled(Cancelled)));
        }
        if future.done() {
            return Poll::Ready(future.take());
        }
        let location = future.with(|value| value.location).unwrap_or(Location::caller());
        match scheduler.wait_for(context, Source::Future(future.id), registration, cx.waker(), location) {
            Ok(()) => Poll::Pending,
            Err(refusal) => Poll::Ready(Err(FutureError::Refused(refusal))),
        }
    }
}

impl<T: 'static, C: Context> Drop for AwaitFuture<T, C> {
    fn drop(&mut self) {
        let context = &self.future.context;
        let source = Source::Future(self.future.id);
        context.scheduler().stop_waiting(context, source, &mut self.registration);
    }
}

impl<T: 'static, C: Context> Clone for Future<T, C> {
    fn clone(&self) -> Self {
        self.with(|future| future.completion.references += 1);
        Self::of(self.context.clone(), self.id)
    }
}

impl<T: 'static, C: Context> Drop for Future<T, C> {
    fn drop(&mut self) {
        self.context.scheduler().release_future(&self.context, self.id);
    }
}

impl<T: 'static, C: Context> fmt::Debug for Future<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (state, location) =
            self.with(|future| (future.state.name(), Some(future.location))).unwrap_or(("closed", None));
        match location {
            Some(location) => write!(f, "Future({state}, created at {location})"),
            None => write!(f, "Future({state})"),
        }
    }
}

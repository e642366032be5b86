//! The memory in which a task's future runs and its result waits.
#![allow(unsafe_code, reason = "polls futures of erased type in place")]

use core::error::Error;
use core::fmt;
use core::future::Future;
use core::marker::PhantomData;
use core::mem::{MaybeUninit, align_of, size_of};
use core::ops::DerefMut;
use core::pin::Pin;
use core::task::{Context, Poll};

use crate::{Cancelled, Outcome, Refusal, Resource, TaskId};

/// A future, and later its result in the same place.
///
/// A task slot holds one inline. For a future that is too large for the slot,
/// hand the loop a pinned pointer to a cell instead: a `Pin<&'static mut _>`,
/// or with an allocator a `Pin<Box<_>>`.
pub struct TaskCell<F: Future>(Stage<F>);

enum Stage<F: Future> {
    Running(F),
    Done(F::Output),
    Taken,
}

impl<F: Future> TaskCell<F> {
    /// Makes a cell with a future that was not polled yet.
    pub const fn new(future: F) -> Self {
        Self(Stage::Running(future))
    }
}

impl<F: Future> fmt::Debug for TaskCell<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Stage::Running(_) => "TaskCell(running)",
            Stage::Done(_) => "TaskCell(done)",
            Stage::Taken => "TaskCell(taken)",
        })
    }
}

/// What a task slot can hold: a [`TaskCell`], or a pinned pointer to one.
pub trait Body {
    /// Is the result of the task.
    type Output: Outcome + 'static;

    /// Advances the future; at its end the result takes its place.
    fn poll_body(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;

    /// Calls `look` with the result, if there is one.
    fn look(self: Pin<&mut Self>, look: &mut dyn FnMut(&Self::Output));

    /// Moves the result out.
    fn take(self: Pin<&mut Self>) -> Option<Self::Output>;
}

impl<F: Future<Output: Outcome + 'static>> Body for TaskCell<F> {
    type Output = F::Output;

    #[inline]
    fn poll_body(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // SAFETY: the future is pinned as part of `self`: it is not moved from
        // here on, only dropped in place by the assignment below.
        let stage = unsafe { &mut self.as_mut().get_unchecked_mut().0 };
        let Stage::Running(future) = stage else {
            return Poll::Ready(());
        };
        // SAFETY: as above.
        match unsafe { Pin::new_unchecked(future) }.poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(output) => {
                *stage = Stage::Done(output);
                Poll::Ready(())
            }
        }
    }

    fn look(self: Pin<&mut Self>, look: &mut dyn FnMut(&F::Output)) {
        if let Stage::Done(output) = &self.into_ref().get_ref().0 {
            look(output);
        }
    }

    fn take(self: Pin<&mut Self>) -> Option<F::Output> {
        // SAFETY: a running future stays where it is; a result is not pinned.
        let stage = unsafe { &mut self.get_unchecked_mut().0 };
        let Stage::Done(output) = stage else { return None };
        // SAFETY: the result is moved out by this, and forgotten by the next line: a `replace` of
        // the stage would move as many bytes as the future had.
        let output = unsafe { core::ptr::from_mut(output).read() };
        // SAFETY: what is overwritten without a drop was moved out.
        unsafe { core::ptr::from_mut(stage).write(Stage::Taken) };
        Some(output)
    }
}

impl<P: DerefMut<Target: Body>> Body for Pin<P> {
    type Output = <P::Target as Body>::Output;

    fn poll_body(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.as_deref_mut().poll_body(cx)
    }

    fn look(self: Pin<&mut Self>, look: &mut dyn FnMut(&Self::Output)) {
        self.as_deref_mut().look(look);
    }

    fn take(self: Pin<&mut Self>) -> Option<Self::Output> {
        self.as_deref_mut().take()
    }
}

/// What the scheduler can do with a body whose type it doesn't know.
pub(crate) struct BodyTable<C: 'static> {
    poll: unsafe fn(*mut u8, &mut Context<'_>) -> Poll<Ended>,
    /// Is `None` where the output can't be an error.
    failing: Option<Failing<C>>,
    /// Moves the output into the `Option` of its type that the second pointer
    /// points to.
    take: unsafe fn(*mut u8, *mut u8),
    drop: unsafe fn(*mut u8),
}

/// What belongs to a body whose output may be an error; a program whose tasks can't fail is
/// linked without.
struct Failing<C: 'static> {
    look_at_error: unsafe fn(*mut u8, &mut dyn FnMut(&(dyn Error + 'static))),
    /// Reports the error of a task that is done.
    report: fn(&C, TaskId),
}

impl<C: crate::Context> Failing<C> {
    const fn of<B: Body>() -> Option<Self> {
        // An error that can't be made takes no room.
        if size_of::<Option<<B::Output as Outcome>::Error>>() == 0 {
            return None;
        }
        Some(Self { look_at_error: look_at_error::<B>, report: crate::Scheduler::report_error })
    }
}

/// How a future ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    Value,
    Failed,
    Cancelled,
}

impl<C: crate::Context> BodyTable<C> {
    const fn of<B: Body>() -> Self {
        Self { poll: poll::<B>, failing: Failing::of::<B>(), take: take_from::<B>, drop: drop_body::<B> }
    }

    /// Is the table of a body that its owner drops.
    const fn borrowed<B: Body>() -> Self {
        Self { poll: poll::<B>, failing: Failing::of::<B>(), take: take_from::<B>, drop: |_| {} }
    }
}

/// # Safety
/// `body` points to a pinned `B`.
unsafe fn poll<B: Body>(body: *mut u8, cx: &mut Context<'_>) -> Poll<Ended> {
    // SAFETY: the caller's promise.
    let mut body = unsafe { Pin::new_unchecked(&mut *body.cast::<B>()) };
    if body.as_mut().poll_body(cx).is_pending() {
        return Poll::Pending;
    }
    let mut ended = Ended::Value;
    body.look(&mut |output| {
        if let Some(error) = output.error() {
            ended = if Cancelled::is_in(error) { Ended::Cancelled } else { Ended::Failed };
        }
    });
    Poll::Ready(ended)
}

/// # Safety
/// `body` points to a pinned `B`.
unsafe fn look_at_error<B: Body>(body: *mut u8, look: &mut dyn FnMut(&(dyn Error + 'static))) {
    // SAFETY: the caller's promise.
    let body = unsafe { Pin::new_unchecked(&mut *body.cast::<B>()) };
    body.look(&mut |output| {
        if let Some(error) = output.error() {
            look(error);
        }
    });
}

/// # Safety
/// `body` points to a `B` that nobody uses again.
unsafe fn drop_body<B>(body: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe { body.cast::<B>().drop_in_place() };
}

/// A body in its slot: where it is and what can be done with it.
pub(crate) struct BodyRef<C: 'static> {
    memory: *mut u8,
    table: &'static BodyTable<C>,
}

impl<C> Clone for BodyRef<C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for BodyRef<C> {}

impl<C> BodyRef<C> {
    /// Advances the future.
    ///
    /// # Safety
    /// The body is in place, and nobody else polls, reads or drops it meanwhile.
    pub(crate) unsafe fn poll(self, cx: &mut Context<'_>) -> Poll<Ended> {
        // SAFETY: the caller's promise.
        unsafe { (self.table.poll)(self.memory, cx) }
    }

    /// Returns what reports the task's error, if it may end with one.
    pub(crate) fn reporter(self) -> Option<fn(&C, TaskId)> {
        self.table.failing.as_ref().map(|failing| failing.report)
    }

    /// # Safety
    /// As for [`BodyRef::poll`].
    pub(crate) unsafe fn look_at_error(self, look: &mut dyn FnMut(&(dyn Error + 'static))) {
        if let Some(failing) = &self.table.failing {
            // SAFETY: the caller's promise.
            unsafe { (failing.look_at_error)(self.memory, look) };
        }
    }

    /// # Safety
    /// As for [`BodyRef::poll`], and it is the last use of the body.
    pub(crate) unsafe fn drop(self) {
        // SAFETY: the caller's promise.
        unsafe { (self.table.drop)(self.memory) };
    }

    /// Moves the result of a done task out.
    ///
    /// # Safety
    /// As for [`BodyRef::poll`], and the body's output is a `T`.
    pub(crate) unsafe fn take<T>(self) -> Option<T> {
        let mut output: Option<T> = None;
        // SAFETY: the caller's promise; `output` has the type that it names.
        unsafe { (self.table.take)(self.memory, core::ptr::from_mut(&mut output).cast()) };
        output
    }
}

impl<C> fmt::Debug for BodyRef<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BodyRef")
    }
}

/// # Safety
/// `body` points to a pinned `B`, `output` to an `Option<B::Output>`.
unsafe fn take_from<B: Body>(body: *mut u8, output: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe { *output.cast::<Option<B::Output>>() = Pin::new_unchecked(&mut *body.cast::<B>()).take() };
}

/// The memory of all bodies: one stretch of bytes per task slot.
#[derive(Debug)]
pub struct Bodies {
    memory: &'static mut [MaybeUninit<u64>],
    words_each: usize,
    release: fn(&'static mut [MaybeUninit<u64>]),
    /// The bodies in it needn't be `Send`.
    _not_send: PhantomData<*mut ()>,
}

impl Bodies {
    /// Makes the memory of task slots of `words_each` 8-byte words, which is
    /// handed to `release` when the scheduler is dropped.
    #[must_use]
    pub fn new(
        memory: &'static mut [MaybeUninit<u64>],
        words_each: usize,
        release: fn(&'static mut [MaybeUninit<u64>]),
    ) -> Self {
        Self { memory, words_each, release, _not_send: PhantomData }
    }

    /// Returns how many bodies there is room for.
    pub(crate) fn count(&self) -> usize {
        self.memory.len().checked_div(self.words_each).unwrap_or(usize::MAX)
    }

    pub(crate) fn bytes_each(&self) -> usize {
        self.words_each * size_of::<u64>()
    }

    /// Tells whether a `B` fits into a slot.
    pub(crate) fn check<B>(&self) -> Result<(), Refusal> {
        let size = size_of::<B>();
        if size <= self.bytes_each() && align_of::<B>() <= align_of::<u64>() {
            return Ok(());
        }
        // An alignment of 16 would need the slot to be larger than it is.
        let size = size.max(self.bytes_each() + 1);
        Err(Refusal::TooLarge { resource: Resource::TaskBody, size, limit: self.bytes_each() })
    }

    /// Puts `body` into the memory of the slot `index`.
    pub(crate) fn put<C: crate::Context, B: Body>(&mut self, index: u32, body: B) -> Result<BodyRef<C>, B> {
        let first = index as usize * self.words_each;
        let words = self.memory.get_mut(first..first + self.words_each);
        let Some(words) = words
            .filter(|words| size_of::<B>() <= size_of_val(&**words) && align_of::<B>() <= align_of::<u64>())
        else {
            return Err(body);
        };
        let memory = words.as_mut_ptr().cast::<u8>();
        // SAFETY: the words are as large and aligned as a `B`, compared above;
        // the slot is free, so nothing lives in them.
        unsafe { memory.cast::<B>().write(body) };
        Ok(BodyRef { memory, table: const { &BodyTable::of::<B>() } })
    }

    /// Makes a body of something that lives elsewhere, for as long as it does.
    ///
    /// # Safety
    /// The caller removes the task before `body` goes.
    pub(crate) unsafe fn borrow<C: crate::Context, B: Body>(body: Pin<&mut B>) -> BodyRef<C> {
        // SAFETY: the pointee is pinned and used only through `Pin` again.
        let memory = unsafe { core::ptr::from_mut(body.get_unchecked_mut()) };
        BodyRef { memory: memory.cast(), table: const { &BodyTable::borrowed::<B>() } }
    }
}

impl Drop for Bodies {
    fn drop(&mut self) {
        (self.release)(core::mem::take(&mut self.memory));
    }
}

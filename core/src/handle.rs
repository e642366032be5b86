//! Handles of callbacks and timers.

use core::cell::Cell;
use core::fmt;

use crate::{Context, Instant, SlotId};

/// Names a callback or timer of one loop; never used again for another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HandleId(pub(crate) SlotId);

impl From<SlotId> for HandleId {
    fn from(slot: SlotId) -> Self {
        Self(slot)
    }
}

impl fmt::Display for HandleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle-{}", self.0.seq)
    }
}

/// A callback that was scheduled.
///
/// Dropping it does not cancel the callback (contract H-2); see
/// [`Handle::cancel_on_drop`].
///
/// # Python
/// `asyncio.Handle`. It can't be used from another thread (H-4): it is not
/// `Send`.
pub struct Handle<C: Context> {
    context: C,
    // An id in its parts, so that what was cancelled stands in its padding.
    seq: u64,
    index: u32,
    cancelled: Cell<bool>,
}

impl<C: Context> Handle<C> {
    pub(crate) fn new(context: C, id: SlotId) -> Self {
        Self { context, seq: id.seq, index: id.index, cancelled: Cell::new(false) }
    }

    /// Returns the callback's identity, as reports name it.
    pub fn id(&self) -> HandleId {
        HandleId(SlotId { index: self.index, seq: self.seq })
    }

    /// Cancels the callback if it has not run, and drops it at once.
    ///
    /// Has no effect afterwards, and none the second time (H-1).
    ///
    /// # Python
    /// `handle.cancel()`.
    pub fn cancel(&self) {
        if !self.cancelled.replace(true) {
            self.context.scheduler().cancel_call(&self.context, self.id().0);
        }
    }

    /// Tells whether [`Handle::cancel`] was called, as in asyncio also after the
    /// callback ran.
    ///
    /// # Python
    /// `handle.cancelled()`.
    pub fn cancelled(&self) -> bool {
        self.cancelled.get()
    }

    /// Turns the handle into a guard that cancels the callback when dropped.
    pub fn cancel_on_drop(self) -> CancelOnDrop<C> {
        CancelOnDrop(self)
    }
}

impl<C: Context> fmt::Debug for Handle<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.cancelled() { "cancelled" } else { "scheduled" };
        write!(f, "Handle({}, {state})", self.seq)
    }
}

/// A timer that was armed.
///
/// # Python
/// `asyncio.TimerHandle`.
pub struct TimerHandle<C: Context> {
    handle: Handle<C>,
    when: Instant,
}

impl<C: Context> TimerHandle<C> {
    pub(crate) fn new(handle: Handle<C>, when: Instant) -> Self {
        Self { handle, when }
    }

    /// Returns the timer's identity, as reports name it.
    pub fn id(&self) -> HandleId {
        self.handle.id()
    }

    /// Returns the deadline; also after the timer fired or was cancelled (H-3).
    ///
    /// # Python
    /// `timer_handle.when()`, a `float` of seconds.
    pub fn when(&self) -> Instant {
        self.when
    }

    /// Cancels the timer if it has not fired; its slot is free at once (T-7).
    ///
    /// # Python
    /// `timer_handle.cancel()`; there the handle stays in the heap until its deadline, or until more
    /// than half of the heap is cancelled.
    pub fn cancel(&self) {
        self.handle.cancel();
    }

    /// Tells whether [`TimerHandle::cancel`] was called.
    ///
    /// # Python
    /// `timer_handle.cancelled()`.
    pub fn cancelled(&self) -> bool {
        self.handle.cancelled()
    }

    /// Turns the handle into a guard that cancels the timer when dropped.
    pub fn cancel_on_drop(self) -> CancelOnDrop<C> {
        CancelOnDrop(self.handle)
    }
}

impl<C: Context> fmt::Debug for TimerHandle<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TimerHandle({:?}, {:?})", self.when, self.handle)
    }
}

/// Cancels a callback or timer when dropped.
#[derive(Debug)]
#[must_use = "dropping it cancels the callback at once"]
pub struct CancelOnDrop<C: Context>(Handle<C>);

impl<C: Context> Drop for CancelOnDrop<C> {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

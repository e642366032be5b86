//! The call table: everything that the loop will call.

use crate::Instant;
use crate::callback::Place;
use crate::delay::Delay;
use crate::slots::{Entry, Slots, Vacant};

/// Tells in which list a call stands, and so how it is taken out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// In the ready queue: by `call_soon`, or a timer that fell due.
    Soon,
    /// In the ready queue, and came from another thread.
    Threadsafe,
    /// In the timer heap, at the entry's `at`.
    Timer,
    /// In the bucket `at` of the timer wheel.
    FarTimer,
    /// A done callback of the future in the slot `at`, pending or queued.
    FutureDone,
    /// A done callback of the task in the slot `at`, pending or queued.
    TaskDone,
    /// Wakes somebody who awaits the future in the slot `at`.
    FutureWaiter,
    /// Wakes somebody who awaits the task in the slot `at`.
    TaskWaiter,
    /// In no list: wakes somebody who waits for a source outside of the loop.
    Waiter,
    /// A callback for as often as its source is ready.
    Handler,
}

impl Kind {
    /// Tells whether the call asks for the completion of a future or task.
    #[inline]
    pub(crate) const fn asks(self) -> bool {
        matches!(self, Self::FutureDone | Self::TaskDone | Self::FutureWaiter | Self::TaskWaiter)
    }
}

/// What belongs to a call's kind.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    pub(crate) kind: Kind,
    /// Is how long before `when` it was asked for.
    pub(crate) delay: Delay,
}

/// What is to be called.
#[derive(Debug)]
pub struct Call<C: 'static> {
    /// Invariant: empty while the slot is free or the callback runs.
    pub(crate) callback: Place<C>,
    /// Is since when it is there; of a timer that went into the wheel it is the deadline.
    pub(crate) when: Instant,
}

impl Vacant for Head {
    const VACANT: Self = Self { kind: Kind::Soon, delay: Delay::ZERO };
}

impl<C> Vacant for Call<C> {
    const VACANT: Self = Self { callback: Place::EMPTY, when: Instant::ZERO };
}

/// The memory of one call.
pub type CallSlot<C> = Entry<Call<C>, Head>;

pub(crate) type Calls<C> = Slots<Call<C>, Head>;

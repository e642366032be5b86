//! The sides of a watched descriptor, and who listens to each.

use rondel_core::SlotId;

use crate::snapshot::Watcher;
use crate::sys::Interest;

/// A side of a descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    Read,
    Write,
}

impl Direction {
    pub(crate) const fn interest(self) -> Interest {
        match self {
            Self::Read => Interest::READABLE,
            Self::Write => Interest::WRITABLE,
        }
    }
}

/// Who is told when one side of a descriptor is ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Listener {
    #[default]
    None,
    /// A callback for every readiness.
    Handler(SlotId),
    /// Somebody who waits, once.
    Waiter(Waiter),
}

/// Who waits for one event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Waiter {
    /// A task, by its own waker: that takes no slot.
    Task(SlotId),
    /// A call that wakes another waker.
    Call(SlotId),
}

/// Tells the listeners apart, without their slots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ListenerKind {
    None,
    Handler,
    Task,
    Call,
}

/// One side of a watched descriptor. Each idle connection has two.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Side {
    /// Are the parts of the listener's slot, side by side with what follows: 16 bytes in all.
    seq: u64,
    index: u32,
    pub(super) kind: ListenerKind,
    /// Tells that the last operation was not known to exhaust the readiness:
    /// the next one may succeed. Edge-triggered sources only.
    pub(crate) is_ready: bool,
    /// Tells that the peer closed, or an error came: no further event follows,
    /// so a short read does not mean that there is nothing left. Nor does it where
    /// a byte came out of band (FAULTS N-13).
    pub(crate) is_final: bool,
    /// Tells that an operation on the user's socket has this side, from its first
    /// wait to its end.
    pub(super) is_claimed: bool,
}

impl Default for Side {
    fn default() -> Self {
        let (index, seq) = SlotId::NONE.into_parts();
        let kind = ListenerKind::None;
        Self { seq, index, kind, is_ready: false, is_final: false, is_claimed: false }
    }
}

impl Side {
    #[inline]
    pub(super) fn slot(&self) -> SlotId {
        SlotId::from_parts(self.index, self.seq)
    }

    #[inline]
    pub(super) fn set(&mut self, kind: ListenerKind, slot: SlotId) {
        self.kind = kind;
        (self.index, self.seq) = slot.into_parts();
    }

    #[inline]
    pub(super) fn listener(&self) -> Listener {
        match self.kind {
            ListenerKind::None => Listener::None,
            ListenerKind::Handler => Listener::Handler(self.slot()),
            ListenerKind::Task => Listener::Waiter(Waiter::Task(self.slot())),
            ListenerKind::Call => Listener::Waiter(Waiter::Call(self.slot())),
        }
    }

    #[inline]
    pub(super) fn set_listener(&mut self, listener: Listener) {
        match listener {
            Listener::None => self.set(ListenerKind::None, SlotId::NONE),
            Listener::Handler(slot) => self.set(ListenerKind::Handler, slot),
            Listener::Waiter(Waiter::Task(slot)) => self.set(ListenerKind::Task, slot),
            Listener::Waiter(Waiter::Call(slot)) => self.set(ListenerKind::Call, slot),
        }
    }

    /// Tells who listens, for a snapshot.
    pub(super) fn watcher(&self) -> Watcher {
        match self.kind {
            ListenerKind::None => Watcher::None,
            ListenerKind::Handler => Watcher::Callback(self.slot().into()),
            ListenerKind::Task => Watcher::Task(self.slot().into()),
            ListenerKind::Call => Watcher::Waiter(self.slot().into()),
        }
    }

    /// Notes an event, and returns who is to be told.
    #[inline]
    pub(super) fn notice(&mut self, wakes: bool, is_final: bool) -> Listener {
        if !wakes {
            return Listener::None;
        }
        self.is_ready = true;
        self.is_final |= is_final;
        let listener = self.listener();
        if matches!(self.kind, ListenerKind::Task | ListenerKind::Call) {
            self.kind = ListenerKind::None;
        }
        listener
    }

    pub(super) fn is_watched(&self) -> bool {
        self.is_claimed || self.kind != ListenerKind::None
    }
}

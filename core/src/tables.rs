//! All tables together, in the memory that they are given.

use crate::body::Bodies;
use crate::calls::{CallSlot, Calls, Kind};
use crate::futures::{FutureSlot, Futures};
use crate::region::Region;
use crate::slots::Slots;
use crate::tasks::{TaskSlot, Tasks};
use crate::timers::{HeapEntry, Timers, Wheel};
use crate::wake::WakeTable;
use crate::{Context, Refusal, Resource, SlotId};

/// The memory of a scheduler. Its lengths are the scheduler's capacities.
#[derive(Debug)]
pub struct Memory<C: Context> {
    /// Holds callbacks and timers, and the waiters that don't fit into a task.
    pub calls: Region<CallSlot<C>>,
    /// Is how many of `calls` are kept for calls from other threads.
    pub threadsafe_calls: usize,
    /// Holds the timers that are due soon: as long as `calls`, or without a wheel
    /// ([`Context::HAS_WHEEL`]) as long as there shall be timers.
    pub heap: Region<HeapEntry>,
    /// Holds the other timers, in one wheel; without room for that all of them
    /// are in the heap.
    pub wheel: Region<Wheel>,
    /// Holds futures.
    pub futures: Region<FutureSlot>,
    /// Holds tasks.
    pub tasks: Region<TaskSlot<C>>,
    /// Holds the futures that tasks run.
    pub bodies: Bodies,
    /// Holds the ready queue and the wake cells.
    pub wake: &'static WakeTable,
}

/// All tables.
#[derive(Debug)]
pub(crate) struct Tables<C: Context> {
    pub(crate) calls: Calls<C>,
    pub(crate) threadsafe: Threadsafe,
    pub(crate) timers: Timers,
    pub(crate) futures: Futures,
    pub(crate) tasks: Tasks<C>,
}

/// The part of the call table that is kept for calls from other threads, so that
/// neither side can take the other's room.
#[derive(Debug)]
pub(crate) struct Threadsafe {
    pub(crate) live: usize,
    pub(crate) limit: usize,
    /// Is how many calls there may be in all before the loop's own have no room.
    pub(crate) room: usize,
}

impl<C: Context> Tables<C> {
    pub(crate) fn new(memory: Memory<C>) -> Self {
        let calls = Slots::new(memory.calls);
        let limit = memory.threadsafe_calls.min(calls.capacity());
        Self {
            threadsafe: Threadsafe { live: 0, limit, room: calls.capacity() - limit },
            calls,
            timers: Timers::new(memory.heap, memory.wheel),
            futures: Slots::new(memory.futures),
            tasks: Tasks::new(memory.tasks, memory.bodies),
        }
    }

    /// Says why there is no room for another call of this kind.
    #[inline]
    pub(crate) fn check_call(&self, kind: Kind) -> Result<(), Refusal> {
        let Threadsafe { live, limit, room } = self.threadsafe;
        if C::HAS_THREADSAFE_CALLS && kind == Kind::Threadsafe {
            let full = Refusal::Full { resource: Resource::ThreadsafeCall, limit };
            return if live < limit && self.calls.has_room() { Ok(()) } else { Err(full) };
        }
        if self.calls.live() >= room {
            return Err(Refusal::Full { resource: Resource::Call, limit: room - live });
        }
        let limit = self.timers.capacity();
        // With a wheel the heap is as long as the call table.
        if kind == Kind::Timer && !C::HAS_WHEEL && self.timers.len::<C>() >= limit {
            return Err(Refusal::Full { resource: Resource::Timer, limit });
        }
        Ok(())
    }

    /// Frees the slot of a call whose callback was taken out.
    #[inline]
    pub(crate) fn release_call(&mut self, index: u32) {
        let is_threadsafe = |entry: &CallSlot<C>| entry.seq != 0 && entry.head.kind == Kind::Threadsafe;
        if C::HAS_THREADSAFE_CALLS && self.calls.at(index).is_some_and(is_threadsafe) {
            self.threadsafe.live -= 1;
            self.threadsafe.room -= 1;
        }
        self.calls.release(index);
    }
}

/// A future or a task: what can complete, and call back when it does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    Future(SlotId),
    Task(SlotId),
}

impl Source {
    pub(crate) const fn id(self) -> SlotId {
        match self {
            Self::Future(id) | Self::Task(id) => id,
        }
    }
}

//! The scheduler: one set of tables, and every way to put something into them.

use core::cell::Cell;
use core::error::Error;
use core::fmt;
use core::panic::Location;

use crate::body::Bodies;
use crate::callback::Callback;
use crate::calls::{CallSlot, Calls, Kind};
use crate::defect;
use crate::exclusive::Joined;
use crate::finally::Finally;
use crate::futures::{FutureSlot, Futures};
use crate::ready::{Node, Ready};
use crate::region::Region;
use crate::slots::Slots;
use crate::tasks::{TaskSlot, Tasks};
use crate::timers::{HeapEntry, Timers, Wheel};
use crate::wake::WakeTable;
use crate::{
    Context, ExceptionContext, Handle, Instant, Refusal, Refused, Resource, Running, SlotId, TimerHandle,
};

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

/// How much one turn may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Is the most timers that one turn makes ready, one at least. The rest
    /// follows in the next turns, in order, with a look at the outside between
    /// any two (FAULTS C-07).
    pub timers_per_turn: usize,
    /// Is the number of turns after which a loop that is never idle looks at
    /// the outside; 1 is every turn, as in asyncio.
    pub turns_per_poll: u32,
}

impl Limits {
    /// Is 1,024 timers a turn, and a look at the outside between any two turns.
    pub const DEFAULT: Self = Self { timers_per_turn: 1024, turns_per_poll: 1 };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How full the tables are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Usage {
    /// Counts slots in use.
    pub live: usize,
    /// Is the most slots that were ever in use at once.
    pub peak: usize,
    /// Counts slots in all.
    pub capacity: usize,
}

/// What the loop has done and holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Statistics {
    /// Counts iterations.
    pub iterations: u64,
    /// Counts callbacks and task steps that were run.
    pub callbacks: u64,
    /// Counts what is ready to run.
    pub ready: usize,
    /// Counts timers that are armed.
    pub timers: usize,
    /// Is the table of calls: callbacks, timers, handlers, waiters.
    pub calls: Usage,
    /// Is the table of futures.
    pub futures: Usage,
    /// Is the table of tasks.
    pub tasks: Usage,
    /// Counts task slots that wait for the last clone of a former task's waker.
    pub tasks_retired: usize,
}

/// asyncio's scheduler, over a context `C` that callbacks receive.
///
/// This is the engine under both loops: [`EventLoop`](crate::EventLoop) here and
/// rondel's. A program uses those; who builds a loop of their own on this owns
/// a `Scheduler<C>`, gives `C` a way to reach it and calls
/// [`Scheduler::run_forever`].
pub struct Scheduler<C: Context> {
    pub(crate) wake: &'static WakeTable,
    pub(crate) tables: Joined<Tables<C>, Ready>,
    pub(crate) limits: Cell<Limits>,
    /// Numbers creations: the generation of every slot, the order of equal
    /// deadlines. Starts at 1; zero marks a free slot.
    pub(crate) seq: Cell<u64>,
    pub(crate) current: Cell<Option<Running>>,
    /// Is the future or task whose done callback runs.
    pub(crate) source: Cell<Option<SlotId>>,
    /// Is the slot of the task that is cancelled, while its waiters are called.
    pub(crate) poked: Cell<Option<u32>>,
    pub(crate) is_running: Cell<bool>,
    pub(crate) is_stopping: Cell<bool>,
    is_closed: Cell<bool>,
    pub(crate) iterations: Cell<u64>,
    pub(crate) callbacks: Cell<u64>,
    pub(crate) turns_unpolled: Cell<u32>,
    /// Is a reading of the clock, not always the last one. It only decides where
    /// the wheel of the timers begins.
    pub(crate) latest: Cell<Instant>,
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
    live: usize,
    limit: usize,
    /// Is how many calls there may be in all before the loop's own have no room.
    room: usize,
}

impl<C: Context> Tables<C> {
    /// Says why there is no room for another call of this kind.
    #[inline]
    fn check_call(&self, kind: Kind) -> Result<(), Refusal> {
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
        let is_threadsafe = |entry: &CallSlot<C>| entry.seq != 0 && entry.kind == Kind::Threadsafe;
        if C::HAS_THREADSAFE_CALLS && self.calls.at(index).is_some_and(is_threadsafe) {
            self.threadsafe.live -= 1;
            self.threadsafe.room -= 1;
        }
        self.calls.release(index);
    }
}

impl<C: Context> Scheduler<C> {
    /// Makes a scheduler in `memory`.
    #[must_use]
    pub fn new(memory: Memory<C>, limits: Limits) -> Self {
        let calls = Slots::new(memory.calls);
        let limit = memory.threadsafe_calls.min(calls.capacity());
        let tables = Tables {
            threadsafe: Threadsafe { live: 0, limit, room: calls.capacity() - limit },
            calls,
            timers: Timers::new(memory.heap, memory.wheel),
            futures: Slots::new(memory.futures),
            tasks: Tasks::new(memory.tasks, memory.bodies),
        };
        Self {
            wake: memory.wake,
            tables: Joined::new(tables, memory.wake.ready()),
            limits: Cell::new(limits),
            seq: Cell::new(0),
            current: Cell::new(None),
            source: Cell::new(None),
            poked: Cell::new(None),
            is_running: Cell::new(false),
            is_stopping: Cell::new(false),
            is_closed: Cell::new(false),
            iterations: Cell::new(0),
            callbacks: Cell::new(0),
            turns_unpolled: Cell::new(0),
            latest: Cell::new(Instant::ZERO),
        }
    }

    /// Returns what wakers reach of this scheduler.
    pub fn wake_table(&self) -> &'static WakeTable {
        self.wake
    }

    /// Tells whether the loop runs.
    pub fn is_running(&self) -> bool {
        self.is_running.get()
    }

    /// Tells whether the loop was closed.
    pub fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    /// Tells what the loop is running, if user code is.
    pub fn running(&self) -> Option<Running> {
        self.current.get()
    }

    /// Makes the loop return after the iteration that is running, or the next
    /// one if none is (contract ).
    pub fn stop(&self) {
        self.is_stopping.set(true);
    }

    /// Schedules `callback` for the next iteration (CS-1).
    ///
    /// `erase` makes the callback of it, and is called only if there is room: so
    /// a refusal gives back what came in. It must not call the loop.
    ///
    /// # Errors
    /// Gives the callback back if the call table is full or the loop closed.
    #[inline]
    pub fn call_soon<P>(
        &self,
        context: &C,
        callback: P,
        erase: impl FnOnce(P) -> Callback<C>,
        location: &'static Location<'static>,
    ) -> Result<Handle<C>, Refused<P>> {
        let Some(index) = self.reserve_ready(Kind::Soon, location) else {
            return Err(self.refused("call_soon", Kind::Soon, callback));
        };
        let id = self.fill_call(index, erase(callback));
        Ok(Handle::new(context.clone(), id))
    }

    /// Schedules `callback`, which came from another thread.
    ///
    /// # Errors
    /// Gives the callback back if all slots that are kept for these are in use,
    /// or the loop closed.
    #[inline]
    pub fn call_threadsafe<P>(
        &self,
        callback: P,
        erase: impl FnOnce(P) -> Callback<C>,
        location: &'static Location<'static>,
    ) -> Result<(), Refused<P>> {
        let Some(index) = self.reserve_ready(Kind::Threadsafe, location) else {
            return Err(self.refused("call_soon_threadsafe", Kind::Threadsafe, callback));
        };
        self.fill_call(index, erase(callback));
        Ok(())
    }

    /// Schedules `callback` for the first iteration at or after `when`.
    ///
    /// # Errors
    /// Gives the callback back if the call table is full or the loop closed.
    #[inline]
    pub fn call_at<P>(
        &self,
        context: &C,
        when: Instant,
        callback: P,
        erase: impl FnOnce(P) -> Callback<C>,
        location: &'static Location<'static>,
    ) -> Result<TimerHandle<C>, Refused<P>> {
        // An older reading will do: see `latest`.
        let id = self.arm("call_at", when, self.latest.get(), callback, erase, location)?;
        Ok(TimerHandle::new(Handle::new(context.clone(), id), when))
    }

    /// Schedules `callback` for the first iteration at or after `delay` from now.
    ///
    /// # Errors
    /// Gives the callback back if the call table is full or the loop closed.
    #[inline]
    pub fn call_later<P>(
        &self,
        context: &C,
        delay: core::time::Duration,
        callback: P,
        erase: impl FnOnce(P) -> Callback<C>,
        location: &'static Location<'static>,
    ) -> Result<TimerHandle<C>, Refused<P>> {
        let now = context.now();
        self.latest.set(now);
        let when = now + delay;
        let id = self.arm("call_later", when, now, callback, erase, location)?;
        Ok(TimerHandle::new(Handle::new(context.clone(), id), when))
    }

    #[inline]
    pub(crate) fn arm<P>(
        &self,
        operation: &'static str,
        when: Instant,
        now: Instant,
        callback: P,
        erase: impl FnOnce(P) -> Callback<C>,
        location: &'static Location<'static>,
    ) -> Result<SlotId, Refused<P>> {
        let Some(index) = self.reserve_timer(when, now, location) else {
            return Err(self.refused(operation, Kind::Timer, callback));
        };
        Ok(self.fill_call(index, erase(callback)))
    }

    /// Adds a callback that is called each time [`Scheduler::make_ready`] names it.
    ///
    /// Its source is outside: a descriptor, an interrupt, a signal.
    ///
    /// # Errors
    /// Gives the callback back if the call table is full or the loop closed.
    pub fn add_handler<P>(
        &self,
        callback: P,
        erase: impl FnOnce(P) -> Callback<C>,
        location: &'static Location<'static>,
    ) -> Result<SlotId, Refused<P>> {
        self.insert_call("add_handler", Kind::Handler, callback, erase, Instant::ZERO, location)
    }

    /// Makes a handler ready; once is enough. A stale id does nothing.
    #[inline]
    pub fn make_ready(&self, id: SlotId) -> bool {
        self.tables.with_both(|tables, ready| {
            let is_handler = tables.calls.get(id).is_some_and(|entry| entry.kind == Kind::Handler);
            is_handler && ready.push(Node::call(id.index))
        })
    }

    /// Tells whether `id` still names a call that has not run or ended.
    #[inline]
    pub fn is_scheduled(&self, id: SlotId) -> bool {
        self.tables.with(|tables| tables.calls.get(id).is_some())
    }

    /// Cancels the callback or timer with this id; false if it ran or was cancelled.
    pub fn cancel_handle(&self, context: &C, id: crate::HandleId) -> bool {
        self.cancel_call(context, id.0)
    }

    /// Cancels a call: takes it out of its list, frees its slot, and drops its
    /// callback. False if the id is stale.
    pub fn cancel_call(&self, context: &C, id: SlotId) -> bool {
        let Some((callback, source)) = self.take_call(id) else {
            return false;
        };
        // What most cancel has neither.
        if callback.is_some() || source.is_some() {
            self.drop_cancelled(context, callback, source);
        }
        true
    }

    /// Counts what the loop has done and holds.
    pub fn statistics(&self) -> Statistics {
        self.tables.with_both(|tables, ready| Statistics {
            iterations: self.iterations.get(),
            callbacks: self.callbacks.get(),
            ready: ready.len(),
            timers: tables.timers.len::<C>(),
            calls: Usage {
                capacity: tables.calls.capacity() - tables.threadsafe.limit,
                ..tables.calls.usage()
            },
            futures: tables.futures.usage(),
            tasks: tables.tasks.usage(),
            tasks_retired: tables.tasks.retired(),
        })
    }

    /// Changes how much one turn may do.
    pub fn set_limits(&self, limits: Limits) {
        self.limits.set(limits);
    }

    /// Numbers a creation. `None` is the end: a loop that has used up all numbers,
    /// after centuries or because it was closed, takes in nothing more, because
    /// none may come twice.
    #[inline]
    pub(crate) fn next_seq(&self) -> Option<u64> {
        let seq = self.seq.get().checked_add(1)?;
        self.seq.set(seq);
        Some(seq)
    }

    /// Puts a call that is in no list into the call table.
    pub(crate) fn insert_call<P>(
        &self,
        operation: &'static str,
        kind: Kind,
        callback: P,
        erase: impl FnOnce(P) -> Callback<C>,
        when: Instant,
        location: &'static Location<'static>,
    ) -> Result<SlotId, Refused<P>> {
        let Some(index) = self.reserve_call(kind, when, location, |_, _, _| ()) else {
            return Err(self.refused(operation, kind, callback));
        };
        Ok(self.fill_call(index, erase(callback)))
    }

    // A call is put into its slot in two steps: all that doesn't depend on the
    // type of the callback is compiled once, and the callback is written to where
    // it stays. Nothing runs in between but `erase`.

    /// Takes a slot for a call that is ready.
    fn reserve_ready(&self, kind: Kind, location: &'static Location<'static>) -> Option<u32> {
        self.reserve_call(kind, Instant::ZERO, location, |_, ready, index| {
            ready.push(Node::call(index));
        })
    }

    /// Takes a slot for a timer, and arms it.
    fn reserve_timer(
        &self,
        when: Instant,
        now: Instant,
        location: &'static Location<'static>,
    ) -> Option<u32> {
        self.reserve_call(Kind::Timer, when, location, |tables, ready, index| {
            tables.timers.push(&mut ready.links, &mut tables.calls, index, now);
        })
    }

    /// Takes a slot for a call whose callback follows at once.
    #[inline]
    fn reserve_call(
        &self,
        kind: Kind,
        when: Instant,
        location: &'static Location<'static>,
        join: impl FnOnce(&mut Tables<C>, &mut Ready, u32),
    ) -> Option<u32> {
        let seq = self.next_seq()?;
        self.tables.with_both(|tables, ready| {
            tables.check_call(kind).ok()?;
            let (index, entry) = tables.calls.reserve(seq)?;
            entry.kind = kind;
            entry.value.callback.location = location;
            entry.value.when = when;
            if C::HAS_THREADSAFE_CALLS && kind == Kind::Threadsafe {
                tables.threadsafe.live += 1;
                tables.threadsafe.room += 1;
            }
            join(tables, ready, index);
            Some(index)
        })
    }

    /// Writes the callback of the call that was reserved last.
    #[inline]
    fn fill_call(&self, index: u32, callback: Callback<C>) -> SlotId {
        let id = SlotId { index, seq: self.seq.get() };
        self.tables.with(|tables| {
            if let Some(entry) = tables.calls.at_mut(index) {
                debug_assert_eq!(entry.seq, id.seq, "nothing was reserved since");
                entry.value.callback.put(callback);
            }
        });
        id
    }

    /// Says why a call could not be reserved.
    #[cold]
    fn refused<P>(&self, operation: &'static str, kind: Kind, callback: P) -> Refused<P> {
        let full = self.tables.with(|tables| tables.check_call(kind).err());
        Refused::new(operation, full.filter(|_| !self.is_closed()).unwrap_or(Refusal::Closed), callback)
    }

    #[inline(never)]
    fn drop_cancelled(&self, context: &C, callback: Option<Callback<C>>, source: Option<Source>) {
        let _released = Finally(|| self.release_source(context, source));
        drop(callback);
    }

    /// Takes a call out of its list and out of its slot.
    ///
    /// Returns what to drop, and the future or task whose done callback it was.
    #[inline]
    fn take_call(&self, id: SlotId) -> Option<(Option<Callback<C>>, Option<Source>)> {
        self.tables.with_both(|tables, ready| {
            let entry = tables.calls.get_mut(id)?;
            let is_timer = matches!(entry.kind, Kind::Timer | Kind::FarTimer);
            if defect::FIRE_CANCELLED && is_timer {
                return None;
            }
            let callback = entry.value.callback.clear();
            let source = if is_timer {
                tables.timers.remove(&mut ready.links, &mut tables.calls, id.index);
                None
            } else {
                tables.unlink_call(ready, id.index)
            };
            tables.release_call(id.index);
            Some((callback, source))
        })
    }

    /// Reports an error that a callback came back with (contract H-5).
    pub(crate) fn callback_failed(&self, context: &C, error: &(dyn Error + 'static)) {
        let mut report = ExceptionContext::new("Exception in callback").with_exception(error);
        let running = self.current.get();
        report.location = running.map(|running| running.location);
        report.handle = running.and_then(|running| running.handle());
        context.call_exception_handler(&report);
    }

    /// Drops everything unrun and makes all further calls answer `Closed`.
    ///
    /// A task that was not done is reported (TK-10). A second close does nothing
    ///
    ///
    /// # Errors
    /// [`RunError::Running`](crate::RunError) while the loop runs.
    pub fn close(&self, context: &C) -> Result<(), crate::RunError> {
        if self.is_running() {
            return Err(crate::RunError::Running);
        }
        if self.is_closed.replace(true) {
            return Ok(());
        }
        self.seq.set(u64::MAX);
        self.wake.close();
        // In this order, from the last to the first, and each also if a
        // destructor panics through the one before.
        let _futures = Finally(|| self.close_futures(context));
        let _tasks = Finally(|| self.close_tasks(context));
        self.close_calls(context);
        Ok(())
    }

    fn close_calls(&self, context: &C) {
        let rest = Finally(|| self.close_calls(context));
        let mut index = 0;
        while let Some(id) = self.tables.with(|tables| tables.calls.next_live(index)) {
            index = id.index + 1;
            // A destructor that panics is reported, and the others still run.
            let _ = context.guard(|| self.cancel_call(context, id));
        }
        core::mem::forget(rest);
    }
}

impl<C: Context> fmt::Debug for Scheduler<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler")
            .field("running", &self.is_running())
            .field("closed", &self.is_closed())
            .field("statistics", &self.statistics())
            .finish()
    }
}

/// A future or a task: what can complete, and call back when it does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    Future(SlotId),
    Task(SlotId),
}

impl Source {
    /// Returns what a call of this kind belongs to.
    pub(crate) fn of(kind: Kind, owner: SlotId) -> Option<Self> {
        match kind {
            Kind::FutureDone | Kind::FutureWaiter => Some(Self::Future(owner)),
            Kind::TaskDone | Kind::TaskWaiter => Some(Self::Task(owner)),
            _ => None,
        }
    }

    pub(crate) fn id(self) -> SlotId {
        match self {
            Self::Future(id) | Self::Task(id) => id,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::boxed::Box;
    use std::rc::Rc;

    use core::time::Duration;

    use crate::{Context, EventLoop, ManualDriver, Storage};

    #[test]
    fn w07_creations_end_in_a_refusal_and_no_number_comes_twice() {
        let storage: &'static Storage<8, 4, 4, 256> = Box::leak(Box::new(Storage::new()));
        let event_loop = EventLoop::new(storage.take().unwrap(), Box::leak(Box::new(ManualDriver::new())));
        let handle = event_loop.handle();
        let scheduler = handle.scheduler();
        // Two are left: one for the future, one for the task.
        scheduler.seq.set(u64::MAX - 2);
        let future = handle.create_future::<u32>().unwrap();
        let awaited = future.clone();
        let task = handle.create_task(async move { awaited.await.is_err() }).unwrap();

        let kept = Rc::new(());
        let callback = kept.clone();
        let refused = handle.call_soon(move |_| drop(callback)).unwrap_err();
        assert!(refused.is_closed());
        drop(refused.into_value());
        assert_eq!(Rc::strong_count(&kept), 1, "the callback came back");
        assert!(handle.call_later(Duration::ZERO, |_| ()).unwrap_err().is_closed());
        assert!(handle.create_future::<u32>().unwrap_err().is_closed());
        assert!(handle.create_task(async {}).unwrap_err().is_closed());
        assert!(future.add_done_callback(|_, _| ()).unwrap_err().is_closed());

        // What lives goes on; a new wait is refused too.
        event_loop.stop();
        event_loop.run_forever().unwrap();
        assert_eq!(task.take(), Ok(true));
        assert_eq!(future.set_result(7).ok(), Some(()));
        assert_eq!(future.take().ok(), Some(7));
        drop((future, task));
        let statistics = event_loop.statistics();
        assert_eq!((statistics.calls.live, statistics.futures.live, statistics.tasks.live), (0, 0, 0));
        assert_eq!(scheduler.seq.get(), u64::MAX);
    }
}

//! Every way to put a call into the scheduler, and to take it out again.

use core::panic::Location;

use crate::callback::Callback;
use crate::calls::{Head, Kind};
use crate::defect;
use crate::delay::Delay;
use crate::finally::Finally;
use crate::ready::{Node, Ready};
use crate::tables::{Source, Tables};
use crate::{Context, Handle, Instant, Refusal, Refused, Scheduler, SlotId, TimerHandle};

impl<C: Context> Scheduler<C> {
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
        // An older reading will do: it only decides where the wheel begins.
        let id = self.arm("call_at", when, self.time(), callback, erase, location)?;
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
        self.insert_call("add_handler", Kind::Handler, callback, erase, location)
    }

    /// Makes a handler ready; once is enough. A stale id does nothing.
    #[inline]
    pub fn make_ready(&self, id: SlotId) -> bool {
        self.tables.with_both(|tables, ready| {
            let is_handler = tables.calls.get(id).is_some_and(|entry| entry.head.kind == Kind::Handler);
            is_handler && ready.push(Node::call(id.index))
        })
    }

    /// Tells whether `id` still names a call that has not run or ended.
    #[inline]
    pub fn is_scheduled(&self, id: SlotId) -> bool {
        self.tables.with(|tables| tables.calls.get(id).is_some())
    }

    /// Returns where a call was created, as long as it is there.
    pub fn call_location(&self, id: SlotId) -> Option<&'static Location<'static>> {
        self.tables.with(|tables| Some(tables.calls.get(id)?.value.callback.location))
    }

    /// Returns where a task was created, as long as it is there.
    pub fn task_location(&self, id: SlotId) -> Option<&'static Location<'static>> {
        self.with_task(id, |task| task.location)
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

    /// Puts a call that is in no list into the call table.
    pub(crate) fn insert_call<P>(
        &self,
        operation: &'static str,
        kind: Kind,
        callback: P,
        erase: impl FnOnce(P) -> Callback<C>,
        location: &'static Location<'static>,
    ) -> Result<SlotId, Refused<P>> {
        let Some(index) = self.reserve_call(kind, self.time(), location, |_, _, _| ()) else {
            return Err(self.refused(operation, kind, callback));
        };
        Ok(self.fill_call(index, erase(callback)))
    }

    // A call is put into its slot in two steps: all that doesn't depend on the
    // type of the callback is compiled once, and the callback is written to where
    // it stays. Nothing runs in between but `erase`.

    /// Takes a slot for a call that is ready.
    fn reserve_ready(&self, kind: Kind, location: &'static Location<'static>) -> Option<u32> {
        self.reserve_call(kind, self.time(), location, |_, ready, index| {
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
        self.reserve_call(Kind::Timer, now, location, |tables, ready, index| {
            tables.timers.push(&mut ready.links, &mut tables.calls, index, when, now);
        })
    }

    /// Takes a slot for a call whose callback follows at once.
    #[inline]
    fn reserve_call(
        &self,
        kind: Kind,
        now: Instant,
        location: &'static Location<'static>,
        join: impl FnOnce(&mut Tables<C>, &mut Ready, u32),
    ) -> Option<u32> {
        let seq = self.next_seq()?;
        self.tables.with_both(|tables, ready| {
            tables.check_call(kind).ok()?;
            let (index, entry) = tables.calls.reserve(seq)?;
            entry.head = Head { kind, delay: Delay::ZERO };
            entry.value.callback.location = location;
            entry.value.when = now;
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
        Refused::new(operation, self.refusal_of(kind), callback)
    }

    #[cold]
    fn refusal_of(&self, kind: Kind) -> Refusal {
        let full = self.tables.with(|tables| tables.check_call(kind).err());
        let refusal = full.filter(|_| !self.is_closed()).unwrap_or(Refusal::Closed);
        // Whoever keeps the calls of other threads has refused or keeps this one.
        if kind != Kind::Threadsafe {
            self.note_refusal(refusal);
        }
        refusal
    }

    #[inline(never)]
    fn drop_cancelled(&self, context: &C, callback: Option<Callback<C>>, source: Option<Source>) {
        let _released = Finally(|| {
            if let (Some(source), Some(askers)) = (source, self.askers.get()) {
                (askers.release)(self, context, source);
            }
        });
        drop(callback);
    }

    /// Takes a call out of its list and out of its slot.
    ///
    /// Returns what to drop, and the future or task whose done callback it was.
    #[inline]
    fn take_call(&self, id: SlotId) -> Option<(Option<Callback<C>>, Option<Source>)> {
        self.tables.with_both(|tables, ready| {
            let entry = tables.calls.get_mut(id)?;
            let is_timer = matches!(entry.head.kind, Kind::Timer | Kind::FarTimer);
            if defect::FIRE_CANCELLED && is_timer {
                return None;
            }
            let callback = entry.value.callback.clear();
            let source = if is_timer {
                tables.timers.remove(&mut ready.links, &mut tables.calls, id.index);
                None
            } else {
                self.unlink_call(tables, ready, id.index)
            };
            tables.release_call(id.index);
            Some((callback, source))
        })
    }

    /// Takes a call that is no timer out of its list.
    #[inline(never)]
    fn unlink_call(&self, tables: &mut Tables<C>, ready: &mut Ready, index: u32) -> Option<Source> {
        if tables.calls.at(index).is_some_and(|entry| entry.head.kind.asks())
            && let Some(askers) = self.askers.get()
        {
            return (askers.unlink)(tables, ready, index);
        }
        ready.remove(Node::call(index));
        None
    }
}

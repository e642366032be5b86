//! One iteration of the loop.
//!
//! asyncio's `_run_once`, in the same order (contract R-1):
//!
//! 1. wait for the outside, not at all if something is ready;
//! 2. make ready what the outside brought, tasks woken from elsewhere included;
//! 3. make ready the timers that are due;
//! 4. run what is ready now, and nothing that becomes ready meanwhile.

use core::panic::Location;

use crate::callback::Callback;
use crate::calls::Kind;
use crate::defect;
use crate::ready::{Node, Owner};
use crate::slots::SlotId;
use crate::tables::Source;
use crate::{Context, Hooks, Instant, Panicked, Running, Scheduler};

impl<C: Context> Scheduler<C> {
    /// Is the iteration.
    #[inline]
    pub(crate) fn turn(&self, context: &C) {
        self.iterations.set(self.iterations.get() + 1);
        let is_idle = self.wake.with(|ready| ready.is_empty());
        let has_slept = self.wants_poll(is_idle) && self.wait(context, is_idle);
        self.wake.collect();
        let has_timers = self.tables.with_both(|tables, ready| {
            ready.begin_batch();
            !tables.timers.is_empty::<C>()
        });
        if has_timers || has_slept || self.is_time_old() {
            self.read_time(context);
        }
        if has_timers {
            self.fire_timers(context);
        }
        if let Some(hooks) = context.hooks() {
            self.observe_batch(context, hooks);
        }
        while let Some(next) = self.take_next() {
            match next {
                Next::Call(call) => self.call(context, call),
                Next::Step(index) => self.step(context, index),
                Next::Nothing => {}
            }
            if defect::STOP_CUTS && self.is_stopping.get() {
                return;
            }
        }
    }

    /// Takes what is next in the batch, a call out of its slot at once.
    ///
    /// The callback is moved in pieces as small as it was written in: to swap it
    /// with `None` takes fewer instructions and a quarter more time.
    #[inline]
    fn take_next(&self) -> Option<Next<C>> {
        self.tables.with_both(|tables, ready| {
            let index = match ready.pop()?.owner() {
                Owner::Call(index) => index,
                Owner::Task(index) => return Some(Next::Step(index)),
                Owner::Wait(_) => return Some(Next::Nothing),
            };
            let Some(entry) = tables.calls.at_mut(index) else { return Some(Next::Nothing) };
            let Some(callback) = entry.value.callback.take() else { return Some(Next::Nothing) };
            let id = SlotId { index, seq: entry.seq };
            let owner = entry.at;
            let (kind, location) = (entry.head.kind, entry.value.callback.location);
            if kind != Kind::Handler {
                tables.release_call(index);
            }
            Some(Next::Call(Taken { callback, id, kind, owner, location }))
        })
    }

    /// Tells whether this turn looks at the outside.
    #[inline]
    fn wants_poll(&self, is_idle: bool) -> bool {
        let unpolled = self.turns_unpolled.get() + 1;
        let wants = is_idle
            || self.wake.is_pending()
            || unpolled >= self.limits.get().turns_per_poll
            || self.is_stopping.get();
        self.turns_unpolled.set(if wants { 0 } else { unpolled });
        wants
    }

    /// Looks at the outside; tells whether it may have waited for it.
    #[inline]
    fn wait(&self, context: &C, is_idle: bool) -> bool {
        let mut deadline = if is_idle { self.wait_until() } else { Some(Instant::ZERO) };
        let sleeps = deadline != Some(Instant::ZERO);
        context.before_wait(deadline);
        if sleeps {
            // From here on a wake rings; what came before, from the observer
            // above too, is seen by this second look.
            self.wake.sleep();
            let idle = self.wake.with(|ready| ready.is_empty());
            deadline = if idle { self.wait_until() } else { Some(Instant::ZERO) };
        }
        context.wait(deadline);
        context.after_wait();
        if sleeps {
            self.wake.awake();
        }
        sleeps
    }

    /// Returns until when to wait, as nothing is ready; zero is "not at all".
    pub(crate) fn wait_until(&self) -> Option<Instant> {
        if self.is_stopping.get() || self.wake.is_pending() {
            return Some(Instant::ZERO);
        }
        let limit = self.limits.get().timers_per_turn;
        self.tables.with_both(|tables, ready| tables.timers.next(&mut ready.links, &mut tables.calls, limit))
    }

    /// Makes the timers that are due ready, in order, a bounded number a turn.
    fn fire_timers(&self, context: &C) {
        let now = self.time();
        let limit = self.limits.get().timers_per_turn.max(1);
        let hooks = context.hooks();
        let mut lateness = hooks.and_then(|hooks| Some((hooks.record, (hooks.timer_lateness)(context)?)));
        self.tables.with_both(|tables, ready| {
            for _ in 0..limit {
                let due = tables.timers.pop_due(&mut ready.links, &mut tables.calls, now, limit);
                let Some((index, when)) = due else { break };
                if let Some(entry) = tables.calls.at_mut(index) {
                    entry.head.kind = Kind::Soon;
                }
                if let Some((record, lateness)) = &mut lateness {
                    // In nanoseconds: to make a `Duration` takes a division.
                    record(lateness, now.as_nanos().saturating_sub(when.as_nanos()));
                }
                ready.push(Node::call(index));
            }
            if !defect::HOP_TOO_MANY {
                ready.begin_batch();
            }
        });
    }

    /// Runs a call.
    #[inline]
    fn call(&self, context: &C, call: Taken<C>) {
        let Taken { mut callback, id, kind, owner, location } = call;
        if kind == Kind::Handler
            && let Some(handle) = callback.handle()
        {
            return handle(context, id, location, &mut callback);
        }
        let source = if kind.asks() { self.source_of(kind, owner) } else { None };
        let _released = source.map(|source| {
            self.source.set(Some(source.id()));
            ReleaseSource { scheduler: self, context, source }
        });
        let _ = self.run_guarded(context, Running::call(id, location), || callback.call(context));
        // Nothing is left of it.
        core::mem::forget(callback);
    }

    /// Runs a handler outside of its slot and puts it back, if it was not
    /// removed or replaced meanwhile. It stays when it fails or panics (IO-8).
    pub(crate) fn call_handler(
        context: &C,
        id: SlotId,
        location: &'static Location<'static>,
        callback: &mut Callback<C>,
    ) {
        let scheduler = context.scheduler();
        let mut returned = ReturnHandler { scheduler, context, id, callback: Some(callback.take()) };
        let _ = scheduler.run_guarded(context, Running::call(id, location), || {
            if let Some(callback) = &mut returned.callback {
                callback.call_again(context);
            }
        });
    }

    /// Runs a step of user code with everything that belongs around it.
    #[inline]
    pub(crate) fn run_guarded<R>(
        &self,
        context: &C,
        running: Running,
        step: impl FnOnce() -> R,
    ) -> Result<R, Panicked> {
        self.callbacks.set(self.callbacks.get() + 1);
        self.current.set(Some(running));
        let _idle = Idle(self);
        if let Some(hooks) = context.hooks() {
            self.observe(context, hooks.before_callback);
        }
        let result = context.guard(step);
        if let Some(hooks) = context.hooks() {
            self.observe(context, hooks.after_callback);
        }
        result
    }

    #[cold]
    fn observe_batch(&self, context: &C, hooks: &Hooks<C>) {
        (hooks.before_batch)(context, self.wake.with(|ready| ready.len()));
    }

    #[cold]
    fn observe(&self, context: &C, hook: fn(&C, &Running)) {
        if let Some(running) = self.current.get() {
            hook(context, &running);
        }
    }
}

/// What is next in a batch.
enum Next<C: Context> {
    Call(Taken<C>),
    /// A step of the task in this slot.
    Step(u32),
    /// What was there is gone.
    Nothing,
}

/// A call that was taken out of its slot.
struct Taken<C: Context> {
    callback: Callback<C>,
    id: SlotId,
    kind: Kind,
    /// Is the slot of the future or task that a done callback belongs to.
    owner: u32,
    location: &'static Location<'static>,
}

/// Takes note that nothing runs any more, also when a step unwinds.
struct Idle<'a, C: Context>(&'a Scheduler<C>);

impl<C: Context> Drop for Idle<'_, C> {
    #[inline]
    fn drop(&mut self) {
        self.0.current.set(None);
    }
}

/// Gives up the reference that a done callback holds.
struct ReleaseSource<'a, C: Context> {
    scheduler: &'a Scheduler<C>,
    context: &'a C,
    source: Source,
}

impl<C: Context> ReleaseSource<'_, C> {
    /// Is apart, so that a call that has no source takes nothing but a look at that.
    #[inline(never)]
    fn release(&self) {
        self.scheduler.source.set(None);
        if let Some(askers) = self.scheduler.askers.get() {
            // Drops the result with the last reference: foreign code.
            let _ = self.context.guard(|| (askers.release)(self.scheduler, self.context, self.source));
        }
    }
}

impl<C: Context> Drop for ReleaseSource<'_, C> {
    #[inline]
    fn drop(&mut self) {
        self.release();
    }
}

/// Puts a handler back into its slot, also when it unwinds.
struct ReturnHandler<'a, C: Context> {
    scheduler: &'a Scheduler<C>,
    context: &'a C,
    id: SlotId,
    callback: Option<Callback<C>>,
}

impl<C: Context> Drop for ReturnHandler<'_, C> {
    fn drop(&mut self) {
        self.scheduler.tables.with(|tables| {
            if let Some(entry) = tables.calls.get_mut(self.id) {
                entry.value.callback.swap(&mut self.callback);
            }
        });
        if let Some(removed) = self.callback.take() {
            let _ = self.context.guard(|| drop(removed));
        }
    }
}

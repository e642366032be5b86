//! Steps of tasks: how a task runs, is cancelled, and ends.
#![allow(unsafe_code, reason = "polls, reads and drops task bodies through erased pointers")]

use core::task::{Context as PollContext, Poll, Waker};

use crate::body::{BodyRef, Ended};
use crate::calls::Kind;
use crate::defect;
use crate::finally::Finally;
use crate::ready::{Node, Owner};
use crate::slots::SlotId;
use crate::tables::Source;
use crate::tasks::{Status, TaskValue};
use crate::{Context, ExceptionContext, Panicked, Running, Scheduler, TaskId};

impl<C: Context> Scheduler<C> {
    /// Runs one step of the task in the slot `index`.
    pub(crate) fn step(&self, context: &C, index: u32) {
        let now = self.time();
        let begun = self.tables.with(|tables| {
            let entry = tables.tasks.slots.at_mut(index).filter(|entry| entry.seq != 0)?;
            let id = SlotId { index, seq: entry.seq };
            let task = &mut entry.value;
            if task.status != Status::Pending || task.is_running {
                return None;
            }
            let never = task.must_cancel && !task.has_started && !defect::RUN_UNBORN;
            task.has_started = true;
            let body = task.body?;
            task.is_running = !never;
            task.since = now;
            Some((id, body, task.location, never))
        });
        let Some((id, body, location, never)) = begun else {
            return;
        };
        if never {
            // Cancelled before its first step: the body never executes (TK-2).
            return self.discard(context, id);
        }
        let Some(waker) = self.wake.lend(index) else {
            return;
        };
        let ended = self.run_guarded(context, Running::step(id, location), || {
            let settle = SettleStep { scheduler: self, context, id };
            // SAFETY: the body is in its slot, and `is_running` keeps everybody
            // else from it until the step is over.
            let polled = unsafe { body.poll(&mut PollContext::from_waker(&waker)) };
            core::mem::forget(settle);
            polled
        });
        match self.with_task(id, |task| task.settle(ended)) {
            Some(End::Not) | None => {}
            Some(End::Kept(status)) => self.finish(context, id, status),
            Some(End::Dropped(status)) => self.drop_and_finish(context, id, status),
        }
    }

    /// Ends a task whose step unwinds.
    fn end_panicked(&self, context: &C, id: SlotId) {
        self.drop_and_finish(context, id, Status::Panicked);
    }

    /// Drops the future of a task that was not done: the end of the task.
    fn discard(&self, context: &C, id: SlotId) {
        self.drop_and_finish(context, id, Status::Cancelled);
    }

    fn drop_and_finish(&self, context: &C, id: SlotId, status: Status) {
        let _finished = Finally(|| self.finish(context, id, status));
        self.drop_body(context, id);
    }

    /// Drops what is in the body's memory. The destructor may call the loop.
    fn drop_body(&self, context: &C, id: SlotId) {
        let taken = self.with_task(id, |task| {
            let body = task.body.take()?;
            task.is_running = true;
            Some(body)
        });
        let Some(body) = taken.flatten() else { return };
        let _idle = Finally(|| {
            self.with_task(id, |task| task.is_running = false);
        });
        // SAFETY: taken out of the slot, so this is its last use.
        let _ = context.guard(|| unsafe { body.drop() });
    }

    fn finish(&self, context: &C, id: SlotId, status: Status) {
        let ended = self.tables.with_both(|tables, ready| {
            let entry = tables.tasks.slots.get_mut(id)?;
            self.wake.deactivate(id.index);
            entry.value.status = status;
            entry.value.completion.is_done = true;
            let has_waiters = !entry.value.completion.waiters.is_empty();
            let has_handles = entry.value.completion.references != 0;
            let waiting = entry.value.waiting.take();
            ready.remove(Node::task(id.index));
            // Still in line only if an awaitable was forgotten.
            if let Some(waiting) = waiting
                && let Some(askers) = self.askers.get()
            {
                (askers.leave)(tables, ready, id.index, waiting.source());
            }
            Some((has_waiters, has_handles))
        });
        match (ended, self.askers.get()) {
            // With a reference of its own, the last of which frees the task too.
            (Some((true, _)), Some(askers)) => (askers.call_back)(self, context, Source::Task(id)),
            (Some((_, false)), _) => self.free_task(context, id),
            _ => {}
        }
    }

    /// Gives up one reference; the last one frees the slot of a task that is
    /// done. One that isn't goes on, and frees it at its end.
    pub(crate) fn release_task(&self, context: &C, id: SlotId) {
        let last = self.with_task(id, |task| {
            task.completion.references = task.completion.references.saturating_sub(1);
            task.completion.references == 0 && task.completion.is_done && !task.is_running
        });
        if last == Some(true) {
            self.free_task(context, id);
        }
    }

    fn free_task(&self, context: &C, id: SlotId) {
        let _freed = Finally(|| self.free_task_slot(id));
        self.report_unread(context, id);
        self.drop_body(context, id);
    }

    /// Reports the error of a done task, if nobody has looked at it (F-8).
    fn report_unread(&self, context: &C, id: SlotId) {
        let body = self.with_task(id, |task| task.body.filter(|_| core::mem::take(&mut task.unread)));
        if let Some(report) = body.flatten().and_then(BodyRef::reporter) {
            report(context, TaskId(id));
        }
    }

    /// Reports the error of a done task.
    pub(crate) fn report_error(context: &C, TaskId(id): TaskId) {
        let scheduler = context.scheduler();
        let body = scheduler.with_task(id, |task| {
            task.is_running = true;
            task.body.map(|body| (body, task.location))
        });
        if let Some((body, location)) = body.flatten() {
            let _idle = Finally(|| {
                scheduler.with_task(id, |task| task.is_running = false);
            });
            // SAFETY: the task is done, and `is_running` keeps others away.
            let _ = context.guard(|| unsafe {
                body.look_at_error(&mut |error| {
                    let report = ExceptionContext::new("Task exception was never retrieved")
                        .with_exception(error)
                        .with_location(location)
                        .with_task(TaskId(id));
                    context.call_exception_handler(&report);
                });
            });
        }
    }

    /// Ends a task at once; one that runs is ended after its step.
    pub(crate) fn abort_task(&self, context: &C, id: SlotId) -> bool {
        let pending = self.with_task(id, |task| {
            if task.status != Status::Pending {
                return None;
            }
            task.abort_requested = true;
            Some(task.is_running)
        });
        match pending.flatten() {
            None => false,
            Some(true) => true,
            Some(false) => {
                self.discard(context, id);
                true
            }
        }
    }

    /// Asks a task to end (contract TK-3); false if it is done.
    pub(crate) fn cancel_task(&self, context: &C, id: SlotId) -> bool {
        let pending = self.with_task(id, |task| {
            if task.status != Status::Pending {
                // Nobody wants its error (F-8).
                task.unread = false;
                return None;
            }
            task.must_cancel = !defect::LOSE_CANCEL || task.is_running;
            Some((task.is_running, task.has_foreign_waiters))
        });
        let Some((is_running, has_foreign_waiters)) = pending.flatten() else {
            return false;
        };
        if has_foreign_waiters {
            self.poke_all(context, id.index);
        }
        if !is_running {
            self.wake_task(id);
        }
        true
    }

    /// Wakes the wakers that combinators put between the task in the slot `index`
    /// and its pending awaitables. Looks at every call: only for tasks that have
    /// such, and only when one is cancelled.
    fn poke_all(&self, context: &C, index: u32) {
        let mut next = 0;
        while let Some(id) = self.tables.with(|tables| tables.calls.next_live(next)) {
            next = id.index + 1;
            let kind = self.tables.with(|tables| tables.calls.get(id).map(|entry| entry.head.kind));
            if let Some(Kind::FutureWaiter | Kind::TaskWaiter | Kind::Waiter | Kind::Timer | Kind::FarTimer) =
                kind
            {
                self.poke(context, id, index);
            }
        }
    }

    /// Calls a waiter that belongs to the task in the slot `index`: it asks for
    /// `poked` itself. What is called only once stays uncalled.
    fn poke(&self, context: &C, waiter: SlotId, index: u32) {
        let callback = self.tables.with(|tables| tables.calls.get_mut(waiter)?.value.callback.take());
        let Some(mut callback) = callback else { return };
        self.poked.set(Some(index));
        let _ = context.guard(|| callback.call_again(context));
        self.poked.set(None);
        let mut callback = Some(callback);
        self.tables.with(|tables| {
            if let Some(entry) = tables.calls.get_mut(waiter) {
                entry.value.callback.swap(&mut callback);
            }
        });
    }

    /// Makes a task ready, from the loop's own thread.
    pub(crate) fn wake_task(&self, id: SlotId) {
        let pending = self.with_task(id, |task| task.status == Status::Pending);
        if pending == Some(true) {
            self.wake.with(|ready| ready.push(Node::task(id.index)));
        }
    }

    /// Wakes whoever is being polled, to be polled again in the next iteration.
    pub(crate) fn wake_next_turn(&self, waker: &Waker) {
        match self.current_task_of(waker) {
            Some(task) => self.wake_task(task),
            None => waker.wake_by_ref(),
        }
    }

    /// Returns the task that is running, if `waker` is the one lent to it.
    pub(crate) fn current_task_of(&self, waker: &Waker) -> Option<SlotId> {
        let TaskId(id) = self.current.get()?.task()?;
        self.wake.is_waker_of(waker, id.index).then_some(id)
    }

    /// Takes note that the running task waits by wakers of others too, and
    /// returns its slot.
    pub(crate) fn expect_foreign_waiters(&self) -> Option<u32> {
        let TaskId(id) = self.current.get()?.task()?;
        self.with_task(id, |task| task.has_foreign_waiters = true)?;
        Some(id.index)
    }

    /// Takes the request to cancel the running task, if there is one: the
    /// awaitable that asks ends with `Cancelled`.
    #[inline]
    pub fn take_cancel(&self) -> bool {
        let Some(TaskId(id)) = self.current.get().and_then(|running| running.task()) else {
            return false;
        };
        self.with_task(id, |task| {
            let must_cancel = task.must_cancel || task.must_time_out;
            task.must_cancel &= defect::CANCEL_AGAIN;
            task.must_time_out = false;
            must_cancel
        }) == Some(true)
    }

    /// Moves the result of a task out.
    ///
    /// # Safety
    /// The task was made of a body whose output is a `T`.
    pub(crate) unsafe fn take_output<T>(&self, id: SlotId) -> Option<T> {
        let body = self.with_task(id, |task| {
            task.unread = false;
            task.body.filter(|_| task.completion.is_done && !task.is_running)
        })??;
        // SAFETY: the task is done, so nobody polls the body; the type is the
        // caller's promise.
        unsafe { body.take() }
    }

    /// Removes a borrowed task, whatever state it is in.
    pub(crate) fn remove_task(&self, context: &C, id: SlotId) {
        if self.with_task(id, |task| task.status == Status::Pending) == Some(true) {
            self.discard(context, id);
        }
        self.report_unread(context, id);
        self.with_task(id, |task| task.body = None);
        self.release_task(context, id);
    }

    /// Ends all tasks. One that was pending is reported (TK-10).
    pub(crate) fn close_tasks(&self, context: &C) {
        let rest = Finally(|| self.close_tasks(context));
        let mut index = 0;
        while let Some(id) = self.tables.with(|tables| tables.tasks.slots.next_live(index)) {
            index = id.index + 1;
            if let Some((Status::Pending, location)) = self.with_task(id, |task| (task.status, task.location))
            {
                let report = ExceptionContext::new("Task was destroyed but it is pending!")
                    .with_location(location)
                    .with_task(TaskId(id));
                context.call_exception_handler(&report);
                self.discard(context, id);
            }
            self.report_unread(context, id);
            self.drop_body(context, id);
        }
        core::mem::forget(rest);
        while let Some(node) = self.wake.with(|ready| ready.pop_any()) {
            debug_assert!(!matches!(node.owner(), Owner::Call(_)), "all calls were cancelled");
        }
    }
}

/// What a step brings about.
enum End {
    /// The task goes on.
    Not,
    /// It ends, and its result stays.
    Kept(Status),
    /// It ends, and what is in its body's memory goes.
    Dropped(Status),
}

impl<C> TaskValue<C> {
    /// Takes note that a step is over.
    fn settle(&mut self, step: Result<Poll<Ended>, Panicked>) -> End {
        self.is_running = false;
        let ended = match step {
            Ok(Poll::Pending) if self.abort_requested => return End::Dropped(Status::Cancelled),
            Ok(Poll::Pending) => return End::Not,
            Ok(Poll::Ready(ended)) => ended,
            // Unless that was done already while the step was unwinding.
            Err(Panicked) if self.status == Status::Pending => return End::Dropped(Status::Panicked),
            Err(Panicked) => return End::Not,
        };
        self.has_failed = ended == Ended::Failed;
        // Asked for in the very step that returned: still cancelled (TK-5). An
        // error goes before the request, as in asyncio: it would be lost.
        if (self.must_cancel && ended == Ended::Value) || self.abort_requested {
            return End::Dropped(Status::Cancelled);
        }
        self.unread = self.has_failed;
        End::Kept(if ended == Ended::Cancelled { Status::Cancelled } else { Status::Done })
    }
}

/// Marks a task as panicked when its step unwinds through a context that does
/// not catch panics.
struct SettleStep<'a, C: Context> {
    scheduler: &'a Scheduler<C>,
    context: &'a C,
    id: SlotId,
}

impl<C: Context> Drop for SettleStep<'_, C> {
    fn drop(&mut self) {
        self.scheduler.end_panicked(self.context, self.id);
    }
}

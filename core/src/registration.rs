//! How an awaitable waits: for a future or task, and for what is outside of the loop.

use core::panic::Location;
use core::task::Waker;

use crate::callback::{Action, Aim, Callback};
use crate::calls::Kind;
use crate::ready::Node;
use crate::tables::Source;
use crate::{Context, Refusal, Scheduler, SlotId};

/// How an awaitable is registered with what it awaits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Registration {
    #[default]
    None,
    /// By the wait node of the awaiting task; the ticket tells this wait from a
    /// later one of the same task.
    Task { task: SlotId, ticket: u64 },
    /// By a call that wakes.
    Call(SlotId),
}

impl<C: Context> Scheduler<C> {
    /// Lets `waker` be woken when `source`, which is pending, is done.
    ///
    /// A task waits by a node of its own, which can't fail; a second wait of the
    /// same task at the same time, and a waker of somebody else's, take a call.
    pub(crate) fn wait_for(
        &self,
        context: &C,
        source: Source,
        registration: &mut Registration,
        waker: &Waker,
        location: &'static Location<'static>,
    ) -> Result<(), Refusal> {
        let task = self.current_task_of(waker);
        if let (Registration::Task { task: registered, ticket }, Some(current)) = (*registration, task)
            && registered == current
            && self.tables.with(|tables| tables.tasks.waits(current) == Some(ticket))
        {
            return Ok(());
        }
        if let Registration::Call(id) = *registration
            && self.wake_instead(id, waker)
        {
            return Ok(());
        }
        self.stop_waiting(context, source, registration);
        if let Some(task) = task
            && let Some(ticket) = self.wait_by_task(source, task)
        {
            *registration = Registration::Task { task, ticket };
            return Ok(());
        }
        let (kind, owner) = match source {
            Source::Future(id) => (Kind::FutureWaiter, id),
            Source::Task(id) => (Kind::TaskWaiter, id),
        };
        let callback = self.waking(waker);
        let id = self
            .insert_waiter("await", kind, owner, callback, core::convert::identity, location)
            .map_err(|refused| refused.refusal())?;
        self.tables.with_both(|tables, ready| {
            if let Some(completion) = tables.completion(source) {
                completion.waiters.push(&mut ready.links, Node::call(id.index));
            }
        });
        *registration = Registration::Call(id);
        Ok(())
    }

    fn wait_by_task(&self, source: Source, task: SlotId) -> Option<u64> {
        let ticket = self.next_seq()?;
        self.tables.with_both(|tables, ready| {
            let node = Node::wait(task.index);
            if ready.links.is_linked(node) {
                return None;
            }
            tables.completion(source)?.waiters.push(&mut ready.links, node);
            self.link_askers();
            tables.tasks.set_waiting(task, source, ticket);
            Some(ticket)
        })
    }

    /// Takes a registration back. Harmless when it has served its purpose.
    pub(crate) fn stop_waiting(&self, context: &C, source: Source, registration: &mut Registration) {
        match core::mem::take(registration) {
            Registration::None => {}
            Registration::Call(id) => {
                self.cancel_call(context, id);
            }
            Registration::Task { task, ticket } => self.tables.with_both(|tables, ready| {
                if tables.tasks.waits(task) == Some(ticket)
                    && let Some(completion) = tables.completion(source)
                {
                    completion.waiters.remove(&mut ready.links, Node::wait(task.index));
                }
            }),
        }
    }

    /// Lets the waiting call `id` wake `waker` from now on; false if it is gone.
    pub(crate) fn wake_instead(&self, id: SlotId, waker: &Waker) -> bool {
        let mut callback = Some(self.waking(waker));
        self.tables.with(|tables| {
            let Some(entry) = tables.calls.get_mut(id) else { return false };
            entry.value.callback.swap(&mut callback);
            true
        })
    }

    /// Makes a callback that wakes `waker`, as often as it is called.
    pub(crate) fn waking(&self, waker: &Waker) -> Callback<C> {
        if let Some(task) = self.current_task_of(waker) {
            return Callback::action(WakeTask(task));
        }
        Callback::action(WakeOther { waker: waker.clone(), task: self.expect_foreign_waiters() })
    }
}

/// Wakes a task by its own waker.
struct WakeTask(SlotId);

impl<C: Context> Action<C> for WakeTask {
    fn run(&mut self, context: &C) {
        if context.scheduler().poked.take().is_none() {
            context.scheduler().wake_task(self.0);
        }
    }

    fn aim(&self) -> Option<Aim> {
        Some(Aim::Wakes(self.0.index))
    }
}

/// Wakes the waker that a combinator put before that of a task.
struct WakeOther {
    waker: Waker,
    /// Is the slot of the task.
    task: Option<u32>,
}

impl<C: Context> Action<C> for WakeOther {
    fn run(&mut self, context: &C) {
        // Taken before foreign code runs, which may complete other futures.
        let poked = context.scheduler().poked.take();
        if poked.is_none() || poked == self.task {
            self.waker.wake_by_ref();
        }
    }

    fn aim(&self) -> Option<Aim> {
        self.task.map(Aim::Wakes)
    }
}

/// Waits for sources outside of the loop: a descriptor, a signal, a child.
impl<C: Context> Scheduler<C> {
    /// Returns the slot of the task that runs now, if `waker` is its own: it can be woken by
    /// [`Scheduler::wake`], for which it needs no slot and which can't fail. Cancelling
    /// it wakes it too.
    ///
    /// Any other waker is waited with by [`Scheduler::add_waiter`].
    #[inline]
    pub fn task_of(&self, waker: &Waker) -> Option<SlotId> {
        self.current_task_of(waker)
    }

    /// Makes a task ready, on the thread of the loop. A stale id does nothing.
    #[inline]
    pub fn wake(&self, task: SlotId) {
        self.wake_task(task);
    }

    /// Numbers the callbacks and task steps that have begun: another number is
    /// another step.
    #[inline]
    pub fn step_number(&self) -> u64 {
        self.callbacks.get()
    }

    /// Registers `waker` for [`Scheduler::wake_waiter`]; [`Scheduler::cancel_call`]
    /// takes it back. Cancelling the task that runs now wakes it too.
    ///
    /// # Errors
    /// If the call table is full or the loop closed.
    pub fn add_waiter(&self, waker: &Waker, location: &'static Location<'static>) -> Result<SlotId, Refusal> {
        let callback = self.waking(waker);
        let id = self
            .insert_call("wait", Kind::Waiter, callback, core::convert::identity, location)
            .map_err(|refused| refused.refusal())?;
        Ok(id)
    }

    /// Wakes a waiter and frees its slot. A stale id does nothing.
    pub fn wake_waiter(&self, context: &C, id: SlotId) {
        let callback = self.tables.with(|tables| {
            let entry = tables.calls.get_mut(id).filter(|entry| entry.head.kind == Kind::Waiter)?;
            let callback = entry.value.callback.take();
            tables.release_call(id.index);
            callback
        });
        if let Some(callback) = callback {
            let _ = context.guard(|| callback.call_once(context));
        }
    }
}

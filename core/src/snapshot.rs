//! What a loop holds, item by item: tasks and what they wait for, calls, futures.

use core::num::NonZeroU32;
use core::panic::Location;

use crate::callback::Aim;
use crate::calls::Kind;
use crate::ready::{Links, Node};
use crate::slots::SlotId;
use crate::tables::{Source, Tables};
use crate::tasks::Status;
use crate::{Context, FutureId, HandleId, Instant, Scheduler, TaskId};

/// Something that a loop holds. See [`Scheduler::visit`].
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum Item {
    /// A task, also one that is done and whose result somebody may still take.
    Task(TaskItem),
    /// A callback, timer, handler or waiter.
    Call(CallItem),
    /// A future.
    Future(FutureItem),
}

/// A task of a loop.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct TaskItem {
    /// Is who it is.
    pub id: TaskId,
    /// Is its name, if it was given one.
    pub name: Option<&'static str>,
    /// Is where it was created.
    pub location: &'static Location<'static>,
    /// Is how it stands.
    pub state: TaskState,
    /// Is when its last step began: since then it has waited or run, or is done. Before its first
    /// step it is when it was made.
    ///
    /// By the reading of the clock that the loop had then: of that iteration where it had slept, or
    /// a timer was armed, and of at most 64 iterations before where it was busy.
    pub since: Instant,
    /// Is what the layer above said that it waits for, if it waits. See [`Scheduler::visit`].
    pub outside: Option<NonZeroU32>,
    /// Counts who waits for it, callbacks included.
    pub waiters: usize,
}

/// How a task stands.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum TaskState {
    /// Is the one whose step runs now.
    Running,
    /// Its next step is due in the next iteration, or later in this one.
    Ready,
    /// Waits. If for several at once, as with `select`, one of them is named; the
    /// others have waiters ([`CallRole::Waiter`]) that name the task.
    Waiting(WaitsFor),
    /// Is done, with a value or an error.
    Done,
    /// Was cancelled.
    Cancelled,
    /// Ended with a panic.
    Panicked,
}

/// What a task waits for.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum WaitsFor {
    /// A future of this loop.
    Future(FutureId),
    /// Another task.
    Task(TaskId),
    /// Its time: `sleep`, or a `timeout` around something unknown.
    Time(Instant),
    /// Somebody who has its waker: another thread, a channel, an interrupt.
    Waker,
}

/// A call of a loop.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct CallItem {
    /// Is who it is.
    pub id: HandleId,
    /// Is where it was created.
    pub location: &'static Location<'static>,
    /// Is what it is called for.
    pub role: CallRole,
    /// Is when it was asked for: since then it waits, or is ready.
    ///
    /// By the reading of the clock that the loop had then, as for [`TaskItem::since`]. Of a timer whose
    /// deadline is not near it may be late by eight millionths of the time to the deadline.
    pub since: Instant,
    /// Is the task that it wakes, if that is what it does.
    pub wakes: Option<TaskId>,
    /// Is the future that it counts down, as those of a `gather` do.
    pub completes: Option<FutureId>,
}

/// What a call is called for.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum CallRole {
    /// Runs in the next iteration, or later in this one.
    Ready,
    /// As that, and came from another thread.
    Threadsafe,
    /// Runs at its deadline.
    Timer(Instant),
    /// Runs when something is done.
    Done(Awaited),
    /// Wakes somebody when something is done, or when the layer above says so.
    Waiter(Option<Awaited>),
    /// Runs whenever its source is ready: a descriptor, a signal, an interrupt.
    Handler,
}

/// What completes, and can be waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Awaited {
    /// A future.
    Future(FutureId),
    /// A task.
    Task(TaskId),
}

impl From<Source> for Awaited {
    fn from(source: Source) -> Self {
        match source {
            Source::Future(id) => Self::Future(FutureId(id)),
            Source::Task(id) => Self::Task(TaskId(id)),
        }
    }
}

impl From<Awaited> for WaitsFor {
    fn from(awaited: Awaited) -> Self {
        match awaited {
            Awaited::Future(id) => Self::Future(id),
            Awaited::Task(id) => Self::Task(id),
        }
    }
}

/// A future of a loop.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct FutureItem {
    /// Is who it is.
    pub id: FutureId,
    /// Is where it was created.
    pub location: &'static Location<'static>,
    /// Is how it stands: `pending`, `result`, `exception`, `cancelled` or `taken`.
    pub state: &'static str,
    /// Is since when: when it was made while it is pending, else when it was done. By the reading of
    /// the clock that the loop had then, as for [`TaskItem::since`].
    pub since: Instant,
    /// Counts who waits for it, callbacks included.
    pub waiters: usize,
}

impl<C: Context> Scheduler<C> {
    /// Shows everything that the loop holds to `visit`: first all tasks, then all calls, then all
    /// futures, each in the order of their slots.
    ///
    /// Takes time in proportion to the slots that were ever used at once, and no memory: what it
    /// needs to find out what each task waits for, two words a task, is where the links of the task and
    /// of its wait lie when they stand in no list.
    ///
    /// `outside` is called first, with a function that it calls with a task and a word that says what
    /// the task waits for; the last word comes back as [`TaskItem::outside`] if the task waits.
    ///
    /// Both closures may call the loop, and what they change may be shown or not.
    pub fn visit(
        &self,
        outside: impl FnOnce(&mut dyn FnMut(SlotId, NonZeroU32)),
        mut visit: impl FnMut(Item),
    ) {
        let running = self.current.get().and_then(|running| running.task());
        // An earlier visit that unwound may have left notes.
        self.tables.with_both(|tables, ready| {
            for index in 0..tables.tasks.slots.used() {
                ready.links.take_note(Node::wait(index));
                ready.links.take_note(Node::task(index));
            }
        });
        outside(&mut |task, what| {
            self.tables.with_both(|tables, ready| {
                if tables.tasks.slots.get(task).is_some() {
                    ready.links.set_note(Node::task(task.index), what.get());
                }
            });
        });
        self.tables.with_both(|tables, ready| tables.note_waiters(&mut ready.links));
        let (tasks, calls, futures) = self
            .tables
            .with(|tables| (tables.tasks.slots.used(), tables.calls.used(), tables.futures.used()));
        for index in 0..tasks {
            let task =
                self.tables.with_both(|tables, ready| tables.task_item(&mut ready.links, running, index));
            task.map(Item::Task).into_iter().for_each(&mut visit);
        }
        for index in 0..calls {
            let call = self.tables.with(|tables| tables.call_item(index));
            call.map(Item::Call).into_iter().for_each(&mut visit);
        }
        for index in 0..futures {
            let future = self.tables.with_both(|tables, ready| tables.future_item(&ready.links, index));
            future.map(Item::Future).into_iter().for_each(&mut visit);
        }
    }

    /// Returns the task that a waiter of [`add_waiter`](Self::add_waiter) wakes in the end, also through
    /// a combinator's waker.
    #[must_use]
    pub fn task_of_waiter(&self, waiter: SlotId) -> Option<SlotId> {
        self.tables.with(|tables| {
            let aim = tables.calls.get(waiter)?.value.callback.aim()?;
            tables.task_at_aim(aim)
        })
    }
}

impl<C: Context> Tables<C> {
    /// Notes for each task that waits by a call of its own which call that is.
    fn note_waiters(&self, links: &mut Links) {
        for index in 0..self.calls.used() {
            let Some(call) = self.calls.live_at(index) else { continue };
            if let Some(Aim::Wakes(task)) = call.value.callback.aim() {
                let wait = Node::wait(task);
                let note = links.take_note(wait);
                // What completes says more than the timer of a `timeout` around it.
                let is_better = note == 0 || matches!(call.head.kind, Kind::FutureWaiter | Kind::TaskWaiter);
                links.set_note(wait, if is_better { index + 1 } else { note });
            }
        }
    }

    fn task_item(&self, links: &mut Links, running: Option<TaskId>, index: u32) -> Option<TaskItem> {
        let call = links.take_note(Node::wait(index));
        let outside = NonZeroU32::new(links.take_note(Node::task(index)));
        let entry = self.tasks.slots.live_at(index)?;
        let (id, task) = (TaskId(SlotId { index, seq: entry.seq }), &entry.value);
        let state = match task.status {
            Status::Pending if running == Some(id) => TaskState::Running,
            Status::Pending if links.is_linked(Node::task(index)) => TaskState::Ready,
            Status::Pending => TaskState::Waiting(self.waits_for(links, index, call)),
            Status::Done => TaskState::Done,
            Status::Cancelled => TaskState::Cancelled,
            Status::Panicked => TaskState::Panicked,
        };
        let waiters = task.completion.waiters.count(links);
        let (name, location) = (task.name, task.location);
        let outside = outside.filter(|_| matches!(state, TaskState::Waiting(_)));
        Some(TaskItem { id, name, location, state, since: task.since, outside, waiters })
    }

    /// Tells what the task at `index` waits for, which a call wakes if it isn't zero.
    fn waits_for(&self, links: &Links, index: u32, call: u32) -> WaitsFor {
        if links.is_linked(Node::wait(index)) {
            let waiting = self.tasks.slots.at(index).and_then(|entry| entry.value.waiting);
            return waiting.map_or(WaitsFor::Waker, |waiting| Awaited::from(waiting.source()).into());
        }
        let Some(role) = call.checked_sub(1).and_then(|index| self.role_of(index)) else {
            return WaitsFor::Waker;
        };
        match role {
            CallRole::Timer(deadline) => WaitsFor::Time(deadline),
            CallRole::Waiter(Some(awaited)) => awaited.into(),
            _ => WaitsFor::Waker,
        }
    }

    fn call_item(&self, index: u32) -> Option<CallItem> {
        let call = self.calls.live_at(index)?;
        let (wakes, completes) = match call.value.callback.aim() {
            Some(aim @ Aim::Wakes(_)) => (self.task_at_aim(aim).map(TaskId), None),
            Some(Aim::Completes(future)) => (None, Some(FutureId(future))),
            None => (None, None),
        };
        let id = HandleId(SlotId { index, seq: call.seq });
        let (location, role) = (call.value.callback.location, self.role_of(index)?);
        let since = call.head.delay.before(call.value.when);
        Some(CallItem { id, location, role, since, wakes, completes })
    }

    /// Tells what the call at `index` is called for.
    fn role_of(&self, index: u32) -> Option<CallRole> {
        let call = self.calls.live_at(index)?;
        let awaited = self.source_of(call.head.kind, call.at).map(Awaited::from);
        Some(match (call.head.kind, awaited) {
            (Kind::Soon, _) => CallRole::Ready,
            (Kind::Threadsafe, _) => CallRole::Threadsafe,
            (Kind::Timer | Kind::FarTimer, _) => CallRole::Timer(self.timers.deadline_of(call)),
            (Kind::FutureDone | Kind::TaskDone, Some(awaited)) => CallRole::Done(awaited),
            (Kind::Handler, _) => CallRole::Handler,
            (_, awaited) => CallRole::Waiter(awaited),
        })
    }

    /// Returns the task that is woken by what aims so.
    fn task_at_aim(&self, aim: Aim) -> Option<SlotId> {
        let Aim::Wakes(index) = aim else { return None };
        self.tasks.slots.live_at(index).map(|entry| SlotId { index, seq: entry.seq })
    }

    fn future_item(&self, links: &Links, index: u32) -> Option<FutureItem> {
        let entry = self.futures.live_at(index)?;
        let future = &entry.value;
        Some(FutureItem {
            id: FutureId(SlotId { index, seq: entry.seq }),
            location: future.location,
            state: future.state.name(),
            since: future.since,
            waiters: future.completion.waiters.count(links),
        })
    }
}

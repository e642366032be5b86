//! The task table: who is a task, and where its future lies.

use core::fmt;
use core::panic::Location;

use crate::body::{Bodies, Body, BodyRef};
use crate::completion::Completion;
use crate::finally::Finally;
use crate::ready::Node;
use crate::region::Region;
use crate::slots::{Entry, NO_SLOT, NOWHERE, SlotId, Slots, Vacant};
use crate::tables::Source;
use crate::{Context, Instant, Refusal, Refused, Resource, Scheduler, Usage};

/// Names a task of one loop; never used again for another.
///
/// Prints as asyncio's default name of a task does: `Task-17`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TaskId(pub(crate) SlotId);

impl TaskId {
    /// Returns the number of its slot, which is less than the most tasks that there ever were at once,
    /// and which a later task may have.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0.index as usize
    }
}

impl From<SlotId> for TaskId {
    fn from(slot: SlotId) -> Self {
        Self(slot)
    }
}

impl From<TaskId> for SlotId {
    fn from(id: TaskId) -> Self {
        id.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Task-{}", self.0.seq)
    }
}

/// Where a task stands in its life.
///
/// ```text
///               first step
///   Pending ──────────────────> Pending ──> Done        the future returned
///      │ cancelled before it       │  ├───> Cancelled   it ended with `Cancelled`, or abort
///      └──────> Cancelled          │  └───> Panicked    a step panicked
///                                  └ one step per wake
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Status {
    Pending,
    Done,
    Cancelled,
    Panicked,
}

/// What a task's slot holds.
pub struct TaskValue<C: 'static> {
    pub(crate) completion: Completion,
    pub(crate) status: Status,
    /// Invariant: `None` while the slot is free or closing.
    pub(crate) body: Option<BodyRef<C>>,
    pub(crate) name: Option<&'static str>,
    pub(crate) location: &'static Location<'static>,
    /// Tells that a step runs, or that the body is being dropped.
    pub(crate) is_running: bool,
    pub(crate) has_started: bool,
    /// Was asked for by `cancel` and not yet delivered.
    pub(crate) must_cancel: bool,
    /// Was asked for by a `timeout` that expired, and not yet delivered.
    pub(crate) must_time_out: bool,
    pub(crate) abort_requested: bool,
    /// Tells that it ended with an error.
    pub(crate) has_failed: bool,
    /// Tells that an error is still to be looked at.
    pub(crate) unread: bool,
    /// Is what the task's wait node stands in line for.
    pub(crate) waiting: Option<Waiting>,
    /// Tells that an awaitable of this task was polled with another waker.
    pub(crate) has_foreign_waiters: bool,
    /// Is when its last step began, or when it was made, as [`Scheduler::time`] has it.
    pub(crate) since: Instant,
}

/// What a task waits for by its wait node; in its parts, which leave less room unused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    seq: u64,
    /// Tells this wait from a later one of the same task.
    pub(crate) ticket: u64,
    index: u32,
    is_for_task: bool,
}

impl Waiting {
    const fn new(source: Source, ticket: u64) -> Self {
        let SlotId { index, seq } = source.id();
        Self { seq, ticket, index, is_for_task: matches!(source, Source::Task(_)) }
    }

    /// Returns what the task waits for.
    pub(crate) const fn source(self) -> Source {
        let id = SlotId { index: self.index, seq: self.seq };
        if self.is_for_task { Source::Task(id) } else { Source::Future(id) }
    }
}

impl<C> Vacant for TaskValue<C> {
    const VACANT: Self = Self {
        completion: Completion::new(),
        status: Status::Pending,
        body: None,
        name: None,
        location: NOWHERE,
        is_running: false,
        has_started: false,
        must_cancel: false,
        must_time_out: false,
        abort_requested: false,
        has_failed: false,
        unread: false,
        waiting: None,
        has_foreign_waiters: false,
        since: Instant::ZERO,
    };
}

impl<C> fmt::Debug for TaskValue<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.status)
    }
}

/// The memory of one task, without its future.
pub type TaskSlot<C> = Entry<TaskValue<C>, ()>;

/// The task table.
#[derive(Debug)]
pub(crate) struct Tasks<C: Context> {
    pub(crate) slots: Slots<TaskValue<C>>,
    bodies: Bodies,
    /// Is the first of the slots that wait for the last clone of a waker.
    retired: u32,
    retired_count: usize,
    /// Is the most tasks that there ever were at once.
    peak: usize,
}

impl<C: Context> Tasks<C> {
    pub(crate) fn new(slots: Region<TaskSlot<C>>, bodies: Bodies) -> Self {
        Self {
            slots: Slots::with_limit(slots, bodies.count()),
            bodies,
            retired: NO_SLOT,
            retired_count: 0,
            peak: 0,
        }
    }

    pub(crate) fn retired(&self) -> usize {
        self.retired_count
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage { peak: self.peak, ..self.slots.usage() }
    }

    pub(crate) fn waits(&self, task: SlotId) -> Option<u64> {
        self.slots.get(task)?.value.waiting.map(|waiting| waiting.ticket)
    }

    pub(crate) fn set_waiting(&mut self, task: SlotId, source: Source, ticket: u64) {
        if let Some(entry) = self.slots.get_mut(task) {
            entry.value.waiting = Some(Waiting::new(source, ticket));
        }
    }
}

/// A task about to be created, as the task factory sees it.
#[derive(Debug)]
#[non_exhaustive]
pub struct NewTask {
    /// Is the task's identity.
    pub id: TaskId,
    /// Is where it is created.
    pub location: &'static Location<'static>,
    /// Is the size of its future in bytes.
    pub size: usize,
    /// Is its name, which the factory may change.
    pub name: Option<&'static str>,
}

impl<C: Context> Scheduler<C> {
    /// Puts what `into_body` makes of `payload` into a task slot, and its first
    /// step into the ready queue.
    ///
    /// `into_body` is called only if there is room: so a refusal gives back what
    /// came in. It must not call the loop.
    pub(crate) fn insert_task<P, B: Body + 'static>(
        &self,
        context: &C,
        payload: P,
        into_body: impl FnOnce(P) -> B,
        location: &'static Location<'static>,
    ) -> Result<SlotId, Refused<P>> {
        let checked = self.tables.with(|tables| tables.tasks.bodies.check::<B>());
        let inserted = match checked {
            _ if self.is_closed() => Err(Refusal::Closed),
            Err(refusal) => Err(refusal),
            Ok(()) => self.insert_task_slot(context, size_of::<B>(), location),
        };
        let id = match inserted {
            Ok(id) => id,
            Err(refusal) => return Err(Refused::new("create_task", self.note_refusal(refusal), payload)),
        };
        let body = into_body(payload);
        self.start_task(id, |tasks| tasks.bodies.put(id.index, body).ok());
        Ok(id)
    }

    fn start_task(&self, id: SlotId, place: impl FnOnce(&mut Tasks<C>) -> Option<BodyRef<C>>) {
        self.tables.with(|tables| {
            let body = place(&mut tables.tasks);
            if let Some(entry) = tables.tasks.slots.get_mut(id) {
                entry.value.body = body;
            }
        });
        self.wake.activate(id.index);
        self.wake.with(|ready| ready.push(Node::task(id.index)));
    }

    /// Makes a task of a body that lives elsewhere.
    ///
    /// The caller removes the task (`remove_task`) before the body goes; making
    /// the `BodyRef` was where it promised that.
    pub(crate) fn insert_borrowed_task(
        &self,
        context: &C,
        body: BodyRef<C>,
        size: usize,
        location: &'static Location<'static>,
    ) -> Result<SlotId, Refusal> {
        let inserted = self.insert_task_slot(context, size, location);
        let id = inserted.map_err(|refusal| self.note_refusal(refusal))?;
        self.start_task(id, |_| Some(body));
        Ok(id)
    }

    fn insert_task_slot(
        &self,
        context: &C,
        size: usize,
        location: &'static Location<'static>,
    ) -> Result<SlotId, Refusal> {
        let seq = self.next_seq().ok_or(Refusal::Closed)?;
        let now = self.time();
        let index = self.tables.with(|tables| {
            let tasks = &mut tables.tasks;
            self.reclaim_retired(tasks);
            let full = Refusal::Full { resource: Resource::Task, limit: tasks.slots.capacity() };
            let (index, entry) = tasks.slots.reserve(seq).ok_or(full)?;
            entry.value = TaskValue::VACANT;
            entry.value.location = location;
            entry.value.since = now;
            tasks.peak = tasks.peak.max(tasks.slots.live());
            Ok(index)
        })?;
        let id = SlotId { index, seq };
        let mut task = NewTask { id: TaskId(id), location, size, name: None };
        // The factory is user code: if it panics, the slot is free again.
        let unwinding = Finally(|| self.tables.with(|tables| tables.tasks.slots.release(index)));
        context.task_created(&mut task);
        core::mem::forget(unwinding);
        if task.name.is_some() {
            self.with_task(id, |value| value.name = task.name);
        }
        Ok(id)
    }

    /// Frees retired slots whose last waker is gone: one, or if there is no
    /// room otherwise all that can be freed.
    fn reclaim_retired(&self, tasks: &mut Tasks<C>) {
        let mut previous = NO_SLOT;
        let mut next = tasks.retired;
        while let Some(entry) = tasks.slots.at(next) {
            let (index, following) = (next, entry.at);
            if self.wake.is_reusable(index) {
                match tasks.slots.at_mut(previous) {
                    Some(entry) => entry.at = following,
                    None => tasks.retired = following,
                }
                tasks.retired_count -= 1;
                tasks.slots.reuse(index);
            } else {
                previous = index;
            }
            if tasks.slots.has_room() {
                return;
            }
            next = following;
        }
    }

    /// Frees the slot of a task whose body is gone.
    pub(crate) fn free_task_slot(&self, id: SlotId) {
        self.tables.with(|tables| {
            let tasks = &mut tables.tasks;
            if tasks.slots.get(id).is_none() || !tasks.slots.retire(id.index) {
                return;
            }
            if self.wake.is_reusable(id.index) {
                tasks.slots.reuse(id.index);
                return;
            }
            let next = core::mem::replace(&mut tasks.retired, id.index);
            tasks.retired_count += 1;
            if let Some(entry) = tasks.slots.at_mut(id.index) {
                entry.at = next;
            }
        });
    }

    pub(crate) fn with_task<R>(&self, id: SlotId, section: impl FnOnce(&mut TaskValue<C>) -> R) -> Option<R> {
        self.tables.with(|tables| tables.tasks.slots.get_mut(id).map(|entry| section(&mut entry.value)))
    }
}

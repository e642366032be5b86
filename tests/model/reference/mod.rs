//! The reference: what the scheduler promises, in the plainest way there is.
//!
//! Sorted vectors and searches. Only the tables say which slot is used next, as
//! core's do, because closing goes through them in that order, and because the
//! exhaustive run tells states apart by it.

mod awaits;
mod calls;
mod completions;
mod iteration;
mod key;
mod operations;
mod table;
mod tasks;

use alloc::vec::Vec;
use core::hash::Hash;

use self::table::Table;
use crate::ops::{Answer, Capacity, Event, NEWEST, Op, Outcome, Pick, Script, Task, View, picked};

/// A slot and the number of its creation.
type Id = (usize, u64);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Entry {
    Call(usize),
    Task(usize),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    Future(Id),
    Task(Id),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Ready,
    Timer,
    DoneOf(Source),
}

#[derive(Clone)]
enum What {
    Script { label: u32, ops: Script, fails: bool },
    Wake(Id),
}

#[derive(Clone)]
struct Call {
    kind: Kind,
    what: What,
}

/// Waiters and references: what futures and tasks have in common.
#[derive(Clone, Default)]
struct Completion {
    waiters: Vec<Entry>,
    references: usize,
    is_done: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum State {
    Pending,
    Result(u32),
    Exception,
    Cancelled,
    Taken,
}

#[derive(Clone)]
struct FutureSlot {
    completion: Completion,
    state: State,
    unread: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Status {
    Pending,
    Done,
    Cancelled,
}

/// What a task awaits, if it is amid that.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum At {
    Between,
    Future { id: Id, takes: bool },
    Task { id: Id, takes: bool },
    Sleep(Id),
    Yield,
    Timeout { timer: Id, future: Id },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Output {
    Value(u32),
    Failure,
}

#[derive(Clone)]
struct TaskSlot {
    completion: Completion,
    status: Status,
    label: u32,
    script: Task,
    place: usize,
    at: At,
    has_started: bool,
    must_cancel: bool,
    abort_requested: bool,
    is_running: bool,
    output: Option<Output>,
    unread: bool,
}

enum Ended {
    Pending,
    Value,
    Failure,
    Cancelled,
}

#[derive(Clone)]
struct Handle {
    id: Id,
    is_cancelled: bool,
}

#[derive(Clone)]
pub struct Reference {
    now: u64,
    seq: u64,
    creations: u64,
    label: u32,
    calls: Table<Call>,
    futures: Table<FutureSlot>,
    tasks: Table<TaskSlot>,
    /// Runs in this iteration, and then in the next.
    batch: Vec<Entry>,
    next: Vec<Entry>,
    /// Is sorted: deadline, creation, slot.
    timers: Vec<(u64, u64, usize)>,
    is_stopping: bool,
    is_closed: bool,
    iterations: u64,
    callbacks: u64,
    handles: Vec<Handle>,
    held_futures: Vec<Id>,
    held_tasks: Vec<Id>,
    last_done: Option<Id>,
    pub trace: Vec<Event>,
}

impl Reference {
    pub fn new(Capacity(calls, futures, tasks, creations): Capacity) -> Self {
        Self {
            now: 0,
            seq: 0,
            creations,
            label: 0,
            calls: Table::new(calls),
            futures: Table::new(futures),
            tasks: Table::new(tasks),
            batch: Vec::new(),
            next: Vec::new(),
            timers: Vec::new(),
            is_stopping: false,
            is_closed: false,
            iterations: 0,
            callbacks: 0,
            handles: Vec::new(),
            held_futures: Vec::new(),
            held_tasks: Vec::new(),
            last_done: None,
            trace: Vec::new(),
        }
    }

    pub fn view(&self) -> View {
        View {
            iterations: self.iterations,
            callbacks: self.callbacks,
            ready: self.batch.len() + self.next.len(),
            timers: self.timers.len(),
            tables: [
                (self.calls.live(), self.calls.peak),
                (self.futures.live(), self.futures.peak),
                (self.tasks.live(), self.tasks.peak),
            ],
            futures: self
                .held_futures
                .iter()
                .map(|&id| {
                    let state = self.futures.peek(id).map(|future| future.state);
                    (state != Some(State::Pending), state == Some(State::Cancelled))
                })
                .collect(),
            tasks: self
                .held_tasks
                .iter()
                .map(|&id| {
                    let status = self.tasks.peek(id).map(|task| task.status);
                    (status != Some(Status::Pending), status == Some(Status::Cancelled))
                })
                .collect(),
            handles: self.handles.iter().map(|handle| handle.is_cancelled).collect(),
            now: self.now,
        }
    }

    /// Tells whether `op` has something to act on, so that it is worth trying.
    pub fn applies(&self, op: &Op) -> bool {
        match op {
            Op::Cancel(_) | Op::DropHandle(_) => !self.handles.is_empty(),
            Op::SetResult(_)
            | Op::SetException(_)
            | Op::CancelFuture(_)
            | Op::DropFuture(_)
            | Op::AddDone(..)
            | Op::RemoveDone(_) => !self.held_futures.is_empty(),
            Op::CancelTask(_) | Op::Abort(_) | Op::DropTask(_) | Op::AddTaskDone(..) => {
                !self.held_tasks.is_empty()
            }
            Op::Once => !self.next.is_empty() || !self.timers.is_empty(),
            _ => true,
        }
    }

    /// Tells whether `op` is worth trying among all: the newest of one is its
    /// oldest too.
    pub fn tells_apart(&self, op: &Op) -> bool {
        self.applies(op) && !(*op == Op::Cancel(NEWEST) && self.handles.len() == 1)
    }

    fn answer(&mut self, answer: Answer) {
        self.trace.push(Event::Answer(answer));
    }

    /// Numbers a creation, also one that fails then. At the end there is nothing
    /// but refusals.
    fn next_seq(&mut self) -> Option<u64> {
        self.creations = self.creations.checked_sub(1)?;
        self.seq += 1;
        Some(self.seq)
    }

    fn next_label(&mut self) -> u32 {
        self.label += 1;
        self.label
    }
    fn picked_future(&self, pick: Pick) -> Option<Id> {
        picked(pick, self.held_futures.len()).map(|at| self.held_futures[at])
    }

    fn picked_task(&self, pick: Pick) -> Option<Id> {
        picked(pick, self.held_tasks.len()).map(|at| self.held_tasks[at])
    }
}

fn yes(answer: bool) -> Answer {
    if answer { Answer::Yes } else { Answer::No }
}

fn refused(answer: Answer) -> Outcome {
    if answer == Answer::Full { Outcome::Full } else { Outcome::Closed }
}

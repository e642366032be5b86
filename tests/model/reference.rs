//! The reference: what the scheduler promises, in the plainest way there is.
//!
//! Sorted vectors and searches. Only the tables say which slot is used next, as
//! core's do, because closing goes through them in that order, and because the
//! exhaustive run tells states apart by it.

use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use crate::ops::{
    Answer, Capacity, ENDLESS, Event, HANDLES_MAX, NEWEST, Op, Outcome, Pick, REPORTS, Script, Step, Task,
    View, picked,
};

/// A slot and the number of its creation.
type Id = (usize, u64);

#[derive(Clone)]
struct Table<T> {
    slots: Vec<Option<(u64, T)>>,
    free: Vec<usize>,
    capacity: usize,
    peak: usize,
}

impl<T> Table<T> {
    fn new(capacity: usize) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), capacity, peak: 0 }
    }

    fn live(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    fn insert(&mut self, seq: u64, value: T) -> Option<Id> {
        if self.live() == self.capacity {
            return None;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some((seq, value));
        self.peak = self.peak.max(self.live());
        Some((slot, seq))
    }

    fn remove(&mut self, slot: usize) -> Option<T> {
        let (_, value) = self.slots[slot].take()?;
        self.free.push(slot);
        Some(value)
    }

    fn get(&mut self, (slot, seq): Id) -> Option<&mut T> {
        self.slots.get_mut(slot)?.as_mut().filter(|(other, _)| *other == seq).map(|(_, value)| value)
    }

    fn peek(&self, (slot, seq): Id) -> Option<&T> {
        self.slots.get(slot)?.as_ref().filter(|(other, _)| *other == seq).map(|(_, value)| value)
    }

    fn id(&self, slot: usize) -> Option<Id> {
        self.slots.get(slot)?.as_ref().map(|(seq, _)| (slot, *seq))
    }
}

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

    pub fn apply(&mut self, op: &Op) {
        let answer = self.answer_of(op);
        self.answer(answer);
    }

    fn answer_of(&mut self, op: &Op) -> Answer {
        match op {
            Op::Soon(ops) => self.call_soon(ops, false),
            Op::SoonFails(ops) => self.call_soon(ops, true),
            Op::Later(delay, ops) => {
                let what = What::Script { label: self.next_label(), ops: ops.clone(), fails: false };
                let armed = self.arm(self.now + delay, what);
                self.keep_handle(armed)
            }
            Op::Cancel(pick) => {
                let Some(at) = picked(*pick, self.handles.len()) else { return Answer::Nothing };
                let handle = &mut self.handles[at];
                let id = handle.id;
                if !core::mem::replace(&mut handle.is_cancelled, true) {
                    self.cancel_call(id);
                }
                Answer::Ok
            }
            Op::DropHandle(pick) => {
                let Some(at) = picked(*pick, self.handles.len()) else { return Answer::Nothing };
                self.handles.remove(at);
                Answer::Ok
            }
            Op::NewFuture => {
                if self.is_closed {
                    return Answer::Closed;
                }
                let Some(seq) = self.next_seq() else { return Answer::Closed };
                let completion = Completion { references: 1, ..Completion::default() };
                let future = FutureSlot { completion, state: State::Pending, unread: false };
                match self.futures.insert(seq, future) {
                    Some(id) => {
                        self.held_futures.push(id);
                        Answer::Ok
                    }
                    None => Answer::Full,
                }
            }
            Op::SetResult(pick) => {
                let value = self.next_label();
                let Some(id) = self.picked_future(*pick) else { return Answer::Nothing };
                if self.complete(id, State::Result(value)) { Answer::Ok } else { Answer::InvalidState }
            }
            Op::SetException(pick) => {
                let Some(id) = self.picked_future(*pick) else { return Answer::Nothing };
                if self.complete(id, State::Exception) { Answer::Ok } else { Answer::InvalidState }
            }
            Op::CancelFuture(pick) => {
                let Some(id) = self.picked_future(*pick) else { return Answer::Nothing };
                yes(self.cancel_future(id))
            }
            Op::DropFuture(pick) => {
                let Some(at) = picked(*pick, self.held_futures.len()) else { return Answer::Nothing };
                let id = self.held_futures.remove(at);
                self.release(Source::Future(id));
                Answer::Ok
            }
            Op::AddDone(pick, ops) => {
                let label = self.next_label();
                let Some(id) = self.picked_future(*pick) else { return Answer::Nothing };
                self.add_done(Source::Future(id), label, ops)
            }
            Op::RemoveDone(pick) => {
                let Some(id) = self.picked_future(*pick) else { return Answer::Nothing };
                let Some(call) = self.last_done else { return Answer::Nothing };
                let kind = self.calls.get(call).map(|call| call.kind);
                let belongs = kind == Some(Kind::DoneOf(Source::Future(id)));
                let is_pending = self.futures.get(id).is_some_and(|it| it.state == State::Pending);
                yes(belongs && is_pending && self.cancel_call(call))
            }
            Op::Spawn(script) => self.spawn(script),
            Op::CancelTask(pick) => match self.picked_task(*pick) {
                Some(id) => yes(self.cancel_task(id)),
                None => Answer::Nothing,
            },
            Op::Abort(pick) => {
                let Some(id) = self.picked_task(*pick) else { return Answer::Nothing };
                let Some(task) = self.tasks.get(id).filter(|task| task.status == Status::Pending) else {
                    return Answer::No;
                };
                task.abort_requested = true;
                if !task.is_running {
                    self.discard(id);
                }
                Answer::Yes
            }
            Op::DropTask(pick) => {
                let Some(at) = picked(*pick, self.held_tasks.len()) else { return Answer::Nothing };
                let id = self.held_tasks.remove(at);
                self.release(Source::Task(id));
                Answer::Ok
            }
            Op::AddTaskDone(pick, ops) => {
                let label = self.next_label();
                let Some(id) = self.picked_task(*pick) else { return Answer::Nothing };
                self.add_done(Source::Task(id), label, ops)
            }
            Op::Stop => {
                self.is_stopping = true;
                Answer::Ok
            }
            Op::Advance(nanos) => {
                self.now += nanos;
                Answer::Ok
            }
            Op::Turn => self.turn(),
            Op::Once => {
                if !self.applies(op) {
                    return Answer::Nothing;
                }
                if self.next.is_empty() && !self.is_closed && !self.is_stopping {
                    self.now = self.now.max(self.timers[0].0);
                }
                self.turn()
            }
            Op::Close => {
                self.close();
                Answer::Ok
            }
        }
    }

    fn picked_future(&self, pick: Pick) -> Option<Id> {
        picked(pick, self.held_futures.len()).map(|at| self.held_futures[at])
    }

    fn picked_task(&self, pick: Pick) -> Option<Id> {
        picked(pick, self.held_tasks.len()).map(|at| self.held_tasks[at])
    }

    // Calls.

    fn insert_call(&mut self, kind: Kind, what: What) -> Result<Id, Answer> {
        if self.is_closed {
            return Err(Answer::Closed);
        }
        match self.next_seq() {
            Some(seq) => self.calls.insert(seq, Call { kind, what }).ok_or(Answer::Full),
            None => Err(self.end_of_calls()),
        }
    }

    /// Returns what is answered when there is no number left for a call.
    fn end_of_calls(&self) -> Answer {
        if self.calls.live() == self.calls.capacity { Answer::Full } else { Answer::Closed }
    }

    fn call_soon(&mut self, ops: &Script, fails: bool) -> Answer {
        let what = What::Script { label: self.next_label(), ops: ops.clone(), fails };
        let inserted = self.insert_call(Kind::Ready, what.clone());
        match inserted {
            Ok(id) => self.next.push(Entry::Call(id.0)),
            Err(_) => self.drop_unrun(&what),
        }
        self.keep_handle(inserted)
    }

    fn arm(&mut self, when: u64, what: What) -> Result<Id, Answer> {
        let inserted = self.insert_call(Kind::Timer, what.clone());
        match inserted {
            Ok((slot, seq)) => {
                self.timers.push((when, seq, slot));
                self.timers.sort_unstable();
            }
            Err(_) => self.drop_unrun(&what),
        }
        inserted
    }

    fn keep_handle(&mut self, inserted: Result<Id, Answer>) -> Answer {
        match inserted {
            Ok(id) => {
                if self.handles.len() == HANDLES_MAX {
                    self.handles.remove(0);
                }
                self.handles.push(Handle { id, is_cancelled: false });
                Answer::Ok
            }
            Err(answer) => answer,
        }
    }

    fn drop_unrun(&mut self, what: &What) {
        if let What::Script { label, .. } = what {
            self.trace.push(Event::Dropped(*label));
        }
    }

    fn cancel_call(&mut self, id: Id) -> bool {
        if self.calls.get(id).is_none() {
            return false;
        }
        let entry = Entry::Call(id.0);
        self.batch.retain(|other| *other != entry);
        self.next.retain(|other| *other != entry);
        self.timers.retain(|(_, _, slot)| *slot != id.0);
        let Some(call) = self.calls.remove(id.0) else { return false };
        let mut held = None;
        if let Kind::DoneOf(source) = call.kind
            && let Some(completion) = self.completion(source)
        {
            completion.waiters.retain(|other| *other != entry);
            held = completion.is_done.then_some(source);
        }
        self.drop_unrun(&call.what);
        if let Some(source) = held {
            self.release(source);
        }
        true
    }

    // Completion.

    fn completion(&mut self, source: Source) -> Option<&mut Completion> {
        match source {
            Source::Future(id) => self.futures.get(id).map(|future| &mut future.completion),
            Source::Task(id) => self.tasks.get(id).map(|task| &mut task.completion),
        }
    }

    fn add_done(&mut self, source: Source, label: u32, ops: &Script) -> Answer {
        let what = What::Script { label, ops: ops.clone(), fails: false };
        let id = match self.insert_call(Kind::DoneOf(source), what.clone()) {
            Ok(id) => id,
            Err(answer) => {
                self.drop_unrun(&what);
                return answer;
            }
        };
        self.last_done = Some(id);
        let entry = Entry::Call(id.0);
        if let Some(completion) = self.completion(source) {
            if completion.is_done {
                completion.references += 1;
                self.next.push(entry);
            } else {
                completion.waiters.push(entry);
            }
        }
        Answer::Ok
    }

    fn complete(&mut self, id: Id, state: State) -> bool {
        let Some(future) = self.futures.get(id).filter(|future| future.state == State::Pending) else {
            return false;
        };
        future.state = state;
        future.unread = state == State::Exception;
        future.completion.is_done = true;
        self.call_back(Source::Future(id));
        true
    }

    fn cancel_future(&mut self, id: Id) -> bool {
        // Whoever cancels doesn't want an exception either.
        if let Some(future) = self.futures.get(id) {
            future.unread = false;
        }
        self.complete(id, State::Cancelled)
    }

    fn call_back(&mut self, source: Source) {
        let Some(completion) = self.completion(source) else { return };
        let waiters = core::mem::take(&mut completion.waiters);
        let callbacks = waiters.iter().filter(|entry| matches!(entry, Entry::Call(_))).count();
        completion.references += callbacks;
        for entry in waiters {
            self.make_ready(entry);
        }
    }

    fn make_ready(&mut self, entry: Entry) {
        if !self.batch.contains(&entry) && !self.next.contains(&entry) {
            self.next.push(entry);
        }
    }

    fn release(&mut self, source: Source) {
        let Some(completion) = self.completion(source) else { return };
        completion.references = completion.references.saturating_sub(1);
        if completion.references > 0 {
            return;
        }
        match source {
            Source::Future(id) => self.free_future(id),
            Source::Task(id) => {
                if self.tasks.get(id).is_some_and(|task| task.completion.is_done && !task.is_running) {
                    self.free_task(id);
                }
            }
        }
    }

    fn free_future(&mut self, id: Id) {
        let waiters = self.completion(Source::Future(id)).map(|it| core::mem::take(&mut it.waiters));
        for entry in waiters.unwrap_or_default() {
            if let Entry::Call(slot) = entry
                && let Some(call) = self.calls.remove(slot)
            {
                self.drop_unrun(&call.what);
            }
        }
        if let Some(future) = self.futures.remove(id.0)
            && future.unread
        {
            self.trace.push(Event::Reported(REPORTS[1]));
        }
    }

    fn take_future(&mut self, id: Id) -> Outcome {
        let Some(future) = self.futures.get(id) else { return Outcome::Closed };
        match future.state {
            State::Pending => Outcome::Strange,
            State::Cancelled => Outcome::Cancelled,
            State::Taken => Outcome::Taken,
            state @ (State::Result(_) | State::Exception) => {
                future.unread = false;
                future.state = State::Taken;
                if let State::Result(value) = state { Outcome::Value(value) } else { Outcome::Exception }
            }
        }
    }

    // Tasks.

    fn spawn(&mut self, script: &Task) -> Answer {
        let label = self.next_label();
        let task = TaskSlot {
            completion: Completion { references: 1, ..Completion::default() },
            status: Status::Pending,
            label,
            script: script.clone(),
            place: 0,
            at: At::Between,
            has_started: false,
            must_cancel: false,
            abort_requested: false,
            is_running: false,
            output: None,
            unread: false,
        };
        let inserted = match self.next_seq().filter(|_| !self.is_closed) {
            Some(seq) => self.tasks.insert(seq, task).ok_or(Answer::Full),
            None => Err(Answer::Closed),
        };
        match inserted {
            Ok(id) => {
                self.next.push(Entry::Task(id.0));
                self.held_tasks.push(id);
                Answer::Ok
            }
            Err(answer) => {
                self.trace.push(Event::TaskDropped(label));
                answer
            }
        }
    }

    fn cancel_task(&mut self, id: Id) -> bool {
        let Some(task) = self.tasks.get(id) else { return false };
        if task.status != Status::Pending {
            task.unread = false;
            return false;
        }
        task.must_cancel = true;
        if !task.is_running {
            self.make_ready(Entry::Task(id.0));
        }
        true
    }

    fn discard(&mut self, id: Id) {
        self.drop_await(id);
        if let Some(task) = self.tasks.get(id) {
            let label = task.label;
            self.trace.push(Event::TaskDropped(label));
        }
        self.finish(id, Status::Cancelled);
    }

    fn finish(&mut self, id: Id, status: Status) {
        let Some(task) = self.tasks.get(id) else { return };
        task.status = status;
        task.completion.is_done = true;
        let entry = Entry::Task(id.0);
        self.batch.retain(|other| *other != entry);
        self.next.retain(|other| *other != entry);
        self.call_back(Source::Task(id));
        if self.tasks.get(id).is_some_and(|task| task.completion.references == 0) {
            self.free_task(id);
        }
    }

    fn free_task(&mut self, id: Id) {
        if let Some(task) = self.tasks.remove(id.0)
            && task.unread
        {
            self.trace.push(Event::Reported(REPORTS[2]));
        }
    }

    fn step(&mut self, slot: usize) {
        let Some(id) = self.tasks.id(slot) else { return };
        let Some(task) = self.tasks.get(id).filter(|task| task.status == Status::Pending) else { return };
        let never = task.must_cancel && !task.has_started;
        task.has_started = true;
        if never {
            self.discard(id);
            return;
        }
        task.is_running = true;
        self.callbacks += 1;
        let ended = self.poll(id);
        let Some(task) = self.tasks.get(id) else { return };
        task.is_running = false;
        let is_aborted = task.abort_requested;
        let status = match ended {
            Ended::Pending => {
                if is_aborted {
                    self.discard(id);
                }
                return;
            }
            Ended::Value if task.must_cancel || is_aborted => Status::Cancelled,
            Ended::Value => {
                task.output = Some(Output::Value(task.label));
                Status::Done
            }
            Ended::Failure if is_aborted => Status::Cancelled,
            Ended::Failure => {
                task.output = Some(Output::Failure);
                task.unread = true;
                Status::Done
            }
            Ended::Cancelled => Status::Cancelled,
        };
        self.finish(id, status);
    }

    fn poll(&mut self, id: Id) -> Ended {
        loop {
            let Some(task) = self.tasks.get(id) else { return Ended::Value };
            let (label, place, swallows) = (task.label, task.place, task.script.swallows);
            let Some(step) = task.script.steps.get(place).cloned() else { return Ended::Value };
            let outcome = match step {
                Step::Fail => return Ended::Failure,
                Step::Do(op) => {
                    self.apply(&op);
                    Outcome::Done
                }
                step => match self.poll_await(id, &step) {
                    Some(outcome) => {
                        self.drop_await(id);
                        outcome
                    }
                    None => return Ended::Pending,
                },
            };
            self.trace.push(Event::Woke(label, place, outcome));
            if let Some(task) = self.tasks.get(id) {
                task.place += 1;
            }
            if outcome == Outcome::CallerCancelled && !swallows {
                return Ended::Cancelled;
            }
        }
    }

    fn at(&mut self, id: Id) -> At {
        self.tasks.get(id).map_or(At::Between, |task| task.at)
    }

    fn set_at(&mut self, id: Id, at: At) {
        if let Some(task) = self.tasks.get(id) {
            task.at = at;
        }
    }

    fn take_cancel(&mut self, id: Id) -> bool {
        self.tasks.get(id).is_some_and(|task| core::mem::take(&mut task.must_cancel))
    }

    fn poll_await(&mut self, id: Id, step: &Step) -> Option<Outcome> {
        if self.at(id) == At::Between
            && let Some(outcome) = self.begin_await(id, step)
        {
            return Some(outcome);
        }
        if let At::Timeout { timer, future } = self.at(id) {
            let expires = self.calls.get(timer).is_none();
            let asked = self.take_cancel(id);
            if asked || expires {
                self.stop_waiting(id, Source::Future(future));
                self.cancel_future(future);
                return Some(if asked { Outcome::CallerCancelled } else { Outcome::TimedOut });
            }
            return self.poll_source(id, Source::Future(future), true);
        }
        if self.take_cancel(id) {
            // By value: what is awaited is cancelled too.
            match self.at(id) {
                At::Future { id: future, takes: true } => {
                    self.stop_waiting(id, Source::Future(future));
                    self.cancel_future(future);
                }
                At::Task { id: task, takes: true } => {
                    self.cancel_task(task);
                }
                _ => {}
            }
            return Some(Outcome::CallerCancelled);
        }
        match self.at(id) {
            At::Future { id: future, takes } => self.poll_source(id, Source::Future(future), takes),
            At::Task { id: task, takes } => self.poll_source(id, Source::Task(task), takes),
            At::Sleep(timer) => self.calls.get(timer).is_none().then_some(Outcome::Done),
            At::Yield => Some(Outcome::Done),
            At::Between => self.begin_sleep(id, step),
            At::Timeout { .. } => Some(Outcome::Strange),
        }
    }

    fn begin_sleep(&mut self, id: Id, step: &Step) -> Option<Outcome> {
        match *step {
            Step::Sleep(delay) if delay > 0 => match self.arm(self.now + delay, What::Wake(id)) {
                Ok(timer) => self.set_at(id, At::Sleep(timer)),
                Err(answer) => return Some(refused(answer)),
            },
            _ => {
                self.set_at(id, At::Yield);
                self.make_ready(Entry::Task(id.0));
            }
        }
        None
    }

    /// Makes the awaitable, and says so if it ends here or waits by itself.
    fn begin_await(&mut self, id: Id, step: &Step) -> Option<Outcome> {
        match *step {
            Step::Await(pick) | Step::Wait(pick) => {
                let Some(future) = self.picked_future(pick) else { return Some(Outcome::Nothing) };
                self.hold(Source::Future(future));
                self.set_at(id, At::Future { id: future, takes: matches!(step, Step::Await(_)) });
            }
            Step::AwaitTask(pick) | Step::WaitTask(pick) => {
                let Some(task) = self.picked_task(pick) else { return Some(Outcome::Nothing) };
                self.hold(Source::Task(task));
                self.set_at(id, At::Task { id: task, takes: matches!(step, Step::AwaitTask(_)) });
            }
            Step::Timeout(limit, pick) => {
                let Some(future) = self.picked_future(pick) else { return Some(Outcome::Nothing) };
                match self.arm(self.now + limit, What::Wake(id)) {
                    Ok(timer) => {
                        self.hold(Source::Future(future));
                        self.set_at(id, At::Timeout { timer, future });
                    }
                    Err(answer) => return Some(refused(answer)),
                }
            }
            _ => {}
        }
        None
    }

    fn hold(&mut self, source: Source) {
        if let Some(completion) = self.completion(source) {
            completion.references += 1;
        }
    }

    fn poll_source(&mut self, id: Id, source: Source, takes: bool) -> Option<Outcome> {
        if source == Source::Task(id) {
            return Some(Outcome::AwaitsItself);
        }
        let entry = Entry::Task(id.0);
        if let Some(completion) = self.completion(source).filter(|it| !it.is_done) {
            if completion.waiters.contains(&entry) {
                return None;
            }
            if self.next_seq().is_none() {
                return Some(refused(self.end_of_calls()));
            }
            if let Some(completion) = self.completion(source) {
                completion.waiters.push(entry);
            }
            return None;
        }
        Some(match source {
            _ if !takes => Outcome::Done,
            Source::Future(future) => self.take_future(future),
            Source::Task(task) => match self.tasks.get(task) {
                Some(task) if task.status == Status::Cancelled => Outcome::Cancelled,
                Some(task) => {
                    task.unread = false;
                    match task.output.take() {
                        Some(Output::Value(value)) => Outcome::Value(value),
                        Some(Output::Failure) => Outcome::Exception,
                        None => Outcome::Taken,
                    }
                }
                None => Outcome::Closed,
            },
        })
    }

    fn stop_waiting(&mut self, id: Id, source: Source) {
        if let Some(completion) = self.completion(source) {
            completion.waiters.retain(|other| *other != Entry::Task(id.0));
        }
    }

    fn drop_await(&mut self, id: Id) {
        let at = self.at(id);
        self.set_at(id, At::Between);
        let (timer, source) = match at {
            At::Between | At::Yield => (None, None),
            At::Future { id: future, .. } => (None, Some(Source::Future(future))),
            At::Task { id: task, .. } => (None, Some(Source::Task(task))),
            At::Sleep(timer) => (Some(timer), None),
            At::Timeout { timer, future } => (Some(timer), Some(Source::Future(future))),
        };
        if let Some(timer) = timer {
            self.cancel_call(timer);
        }
        if let Some(source) = source {
            self.stop_waiting(id, source);
            self.release(source);
        }
    }

    // The iteration.

    fn turn(&mut self) -> Answer {
        if self.is_closed {
            return Answer::Closed;
        }
        self.iterations += 1;
        while let Some(&(when, _, slot)) = self.timers.first()
            && when <= self.now
        {
            self.timers.remove(0);
            if let Some((_, call)) = &mut self.calls.slots[slot] {
                call.kind = Kind::Ready;
            }
            self.next.push(Entry::Call(slot));
        }
        self.batch = core::mem::take(&mut self.next);
        while !self.batch.is_empty() {
            match self.batch.remove(0) {
                Entry::Task(slot) => self.step(slot),
                Entry::Call(slot) => self.call(slot),
            }
        }
        // Every run here is one iteration long, and takes the request with it.
        self.is_stopping = false;
        Answer::Ok
    }

    fn call(&mut self, slot: usize) {
        let Some(call) = self.calls.remove(slot) else { return };
        self.callbacks += 1;
        match call.what {
            What::Wake(task) => {
                if self.tasks.get(task).is_some_and(|task| task.status == Status::Pending) {
                    self.make_ready(Entry::Task(task.0));
                }
            }
            What::Script { label, ops, fails } => {
                self.trace.push(Event::Ran(label));
                for op in &ops {
                    self.apply(op);
                }
                if fails {
                    self.trace.push(Event::Reported(REPORTS[0]));
                }
            }
        }
        if let Kind::DoneOf(source) = call.kind {
            self.release(source);
        }
    }

    fn close(&mut self) {
        if core::mem::replace(&mut self.is_closed, true) {
            return;
        }
        for slot in 0..self.calls.slots.len() {
            if let Some(id) = self.calls.id(slot) {
                self.cancel_call(id);
            }
        }
        for slot in 0..self.tasks.slots.len() {
            let Some(id) = self.tasks.id(slot) else { continue };
            if self.tasks.get(id).is_some_and(|task| task.status == Status::Pending) {
                self.trace.push(Event::Reported(REPORTS[3]));
                self.discard(id);
            }
            if let Some(task) = self.tasks.get(id) {
                task.output = None;
                if core::mem::take(&mut task.unread) {
                    self.trace.push(Event::Reported(REPORTS[2]));
                }
            }
        }
        self.next.clear();
        for slot in 0..self.futures.slots.len() {
            if let Some(id) = self.futures.id(slot) {
                self.free_future(id);
            }
        }
    }
}

/// The size of the smallest bucket of core's timer wheel, as a power of two.
const BUCKET_BITS: u32 = 16;

/// What is the same for two states that go on alike: everything but the labels,
/// the counters and the numbers of creations. Two things of which nothing tells
/// the order, like a future and a call, may have been made in either. Deadlines
/// count by how far away they are, and by their bucket.
impl Reference {
    pub fn key(&self) -> u128 {
        let mut key = Key::default();
        for handle in &self.handles {
            // A stale one is as good as any other, and as several in a row.
            match self.calls.id(handle.id.0) {
                Some(id) if id == handle.id => key.name(Named::Call(id.0)),
                _ if key.last == u64::MAX => {}
                _ => key.add(u64::MAX),
            }
        }
        key.add(self.held_futures.len() as u64);
        for id in &self.held_futures {
            key.name(Named::Future(id.0));
        }
        key.add(self.held_tasks.len() as u64);
        for id in &self.held_tasks {
            key.name(Named::Task(id.0));
        }
        key.entries(&self.next);
        key.add(self.timers.len() as u64);
        for &(when, _, slot) in &self.timers {
            key.add(when.saturating_sub(self.now));
            key.add(when >> BUCKET_BITS);
            key.name(Named::Call(slot));
        }
        // With no timer, nothing depends on the time.
        key.add(if self.timers.is_empty() { 0 } else { self.now >> BUCKET_BITS });
        let mut next = 0;
        while let Some(&named) = key.names.get(next) {
            match named {
                Named::Call(slot) => self.key_of_call(&mut key, slot),
                Named::Future(slot) => self.key_of_future(&mut key, slot),
                Named::Task(slot) => self.key_of_task(&mut key, slot),
            }
            next += 1;
        }
        match self.last_done {
            None => key.add(0),
            Some(id) if self.calls.id(id.0) == Some(id) => key.named(2, Named::Call(id.0)),
            Some(_) => key.add(1),
        }
        if self.creations < ENDLESS / 2 {
            key.add(self.creations);
        }
        // Which slots are used next.
        for free in [&self.calls.free, &self.futures.free, &self.tasks.free] {
            free.hash(&mut key);
        }
        for used in [self.calls.slots.len(), self.futures.slots.len(), self.tasks.slots.len()] {
            key.add(used as u64);
        }
        (self.is_stopping, self.is_closed).hash(&mut key);
        key.digest
    }

    fn key_of_call(&self, key: &mut Key, slot: usize) {
        let Some((_, call)) = &self.calls.slots[slot] else { return };
        match call.kind {
            Kind::Ready => key.add(0),
            Kind::Timer => key.add(1),
            Kind::DoneOf(Source::Future(id)) => key.named(2, Named::Future(id.0)),
            Kind::DoneOf(Source::Task(id)) => key.named(3, Named::Task(id.0)),
        }
        match &call.what {
            What::Wake(task) => key.named(0, Named::Task(task.0)),
            What::Script { ops, fails, .. } => (1_u64, ops, fails).hash(key),
        }
    }

    fn key_of_future(&self, key: &mut Key, slot: usize) {
        let Some((_, future)) = &self.futures.slots[slot] else { return };
        key.add(match future.state {
            State::Pending => 0,
            State::Result(_) => 1,
            State::Exception => 2 + u64::from(future.unread),
            State::Cancelled => 4,
            State::Taken => 5,
        });
        key.completion(&future.completion);
    }

    fn key_of_task(&self, key: &mut Key, slot: usize) {
        let Some((_, task)) = &self.tasks.slots[slot] else { return };
        let flags = [task.has_started, task.must_cancel, task.output.is_some(), task.unread];
        (task.status as u64, &task.script, task.place, flags).hash(key);
        key.completion(&task.completion);
        match task.at {
            At::Between => key.add(0),
            At::Yield => key.add(1),
            At::Sleep(timer) => key.named(2, Named::Call(timer.0)),
            At::Future { id, takes } => key.named(3 + u64::from(takes), Named::Future(id.0)),
            At::Task { id, takes } => key.named(5 + u64::from(takes), Named::Task(id.0)),
            At::Timeout { timer, future } => {
                key.named(7, Named::Call(timer.0));
                key.name(Named::Future(future.0));
            }
        }
    }
}

/// A slot of a table.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Named {
    Call(usize),
    Future(usize),
    Task(usize),
}

/// Digests words, and collects the slots that they name.
#[derive(Default)]
struct Key {
    digest: u128,
    last: u64,
    names: Vec<Named>,
}

impl Key {
    /// Of millions of states no two are taken for one by 128 bits.
    fn add(&mut self, word: u64) {
        const ODD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
        self.last = word;
        self.digest = (self.digest ^ u128::from(word)).wrapping_add(1).wrapping_mul(ODD);
        self.digest ^= self.digest >> 67;
    }

    fn name(&mut self, named: Named) {
        if !self.names.contains(&named) {
            self.names.push(named);
        }
        named.hash(self);
    }

    fn named(&mut self, what: u64, named: Named) {
        self.add(what);
        self.name(named);
    }

    fn entries(&mut self, entries: &[Entry]) {
        self.add(entries.len() as u64);
        for entry in entries {
            self.name(match *entry {
                Entry::Call(slot) => Named::Call(slot),
                Entry::Task(slot) => Named::Task(slot),
            });
        }
    }

    fn completion(&mut self, completion: &Completion) {
        self.add(completion.references as u64 * 2 + u64::from(completion.is_done));
        self.entries(&completion.waiters);
    }
}

impl Hasher for Key {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.add(u64::from_ne_bytes(word));
        }
    }

    fn finish(&self) -> u64 {
        self.digest as u64
    }
}

fn yes(answer: bool) -> Answer {
    if answer { Answer::Yes } else { Answer::No }
}

fn refused(answer: Answer) -> Outcome {
    if answer == Answer::Full { Outcome::Full } else { Outcome::Closed }
}

//! Tasks: their steps and their ends.

use super::{At, Completion, Ended, Entry, Id, Output, Reference, Source, Status, TaskSlot};
use crate::ops::{Answer, Event, Outcome, REPORTS, Step, Task};

impl Reference {
    pub(super) fn spawn(&mut self, script: &Task) -> Answer {
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

    pub(super) fn cancel_task(&mut self, id: Id) -> bool {
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

    pub(super) fn discard(&mut self, id: Id) {
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

    pub(super) fn free_task(&mut self, id: Id) {
        if let Some(task) = self.tasks.remove(id.0)
            && task.unread
        {
            self.trace.push(Event::Reported(REPORTS[2]));
        }
    }

    pub(super) fn step(&mut self, slot: usize) {
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

    pub(super) fn at(&mut self, id: Id) -> At {
        self.tasks.get(id).map_or(At::Between, |task| task.at)
    }

    pub(super) fn set_at(&mut self, id: Id, at: At) {
        if let Some(task) = self.tasks.get(id) {
            task.at = at;
        }
    }

    pub(super) fn take_cancel(&mut self, id: Id) -> bool {
        self.tasks.get(id).is_some_and(|task| core::mem::take(&mut task.must_cancel))
    }
}

//! What completes: waiting for it, calling back, and what futures come back with.

use super::{Completion, Entry, Id, Kind, Reference, Source, State, What};
use crate::ops::{Answer, Event, Outcome, REPORTS, Script};

impl Reference {
    pub(super) fn completion(&mut self, source: Source) -> Option<&mut Completion> {
        match source {
            Source::Future(id) => self.futures.get(id).map(|future| &mut future.completion),
            Source::Task(id) => self.tasks.get(id).map(|task| &mut task.completion),
        }
    }

    pub(super) fn add_done(&mut self, source: Source, label: u32, ops: &Script) -> Answer {
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

    pub(super) fn complete(&mut self, id: Id, state: State) -> bool {
        let Some(future) = self.futures.get(id).filter(|future| future.state == State::Pending) else {
            return false;
        };
        future.state = state;
        future.unread = state == State::Exception;
        future.completion.is_done = true;
        self.call_back(Source::Future(id));
        true
    }

    pub(super) fn cancel_future(&mut self, id: Id) -> bool {
        // Whoever cancels doesn't want an exception either.
        if let Some(future) = self.futures.get(id) {
            future.unread = false;
        }
        self.complete(id, State::Cancelled)
    }

    pub(super) fn call_back(&mut self, source: Source) {
        let Some(completion) = self.completion(source) else { return };
        let waiters = core::mem::take(&mut completion.waiters);
        let callbacks = waiters.iter().filter(|entry| matches!(entry, Entry::Call(_))).count();
        completion.references += callbacks;
        for entry in waiters {
            self.make_ready(entry);
        }
    }

    pub(super) fn make_ready(&mut self, entry: Entry) {
        if !self.batch.contains(&entry) && !self.next.contains(&entry) {
            self.next.push(entry);
        }
    }

    pub(super) fn release(&mut self, source: Source) {
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

    pub(super) fn free_future(&mut self, id: Id) {
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

    pub(super) fn take_future(&mut self, id: Id) -> Outcome {
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
}

//! What a task awaits.

use super::{At, Entry, Id, Output, Reference, Source, Status, What, refused};
use crate::ops::{Outcome, Step};

impl Reference {
    pub(super) fn poll_await(&mut self, id: Id, step: &Step) -> Option<Outcome> {
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

    pub(super) fn drop_await(&mut self, id: Id) {
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
}

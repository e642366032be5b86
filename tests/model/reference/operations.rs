//! What each operation does, and what it answers.

use super::{Completion, FutureSlot, Kind, Reference, Source, State, Status, What, yes};
use crate::ops::{Answer, Op, picked};

impl Reference {
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
}

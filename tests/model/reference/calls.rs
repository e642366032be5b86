//! Callbacks and timers.

use super::{Call, Entry, Handle, Id, Kind, Reference, What};
use crate::ops::{Answer, Event, HANDLES_MAX, Script};

impl Reference {
    pub(super) fn insert_call(&mut self, kind: Kind, what: What) -> Result<Id, Answer> {
        if self.is_closed {
            return Err(Answer::Closed);
        }
        match self.next_seq() {
            Some(seq) => self.calls.insert(seq, Call { kind, what }).ok_or(Answer::Full),
            None => Err(self.end_of_calls()),
        }
    }

    /// Returns what is answered when there is no number left for a call.
    pub(super) fn end_of_calls(&self) -> Answer {
        if self.calls.live() == self.calls.capacity { Answer::Full } else { Answer::Closed }
    }

    pub(super) fn call_soon(&mut self, ops: &Script, fails: bool) -> Answer {
        let what = What::Script { label: self.next_label(), ops: ops.clone(), fails };
        let inserted = self.insert_call(Kind::Ready, what.clone());
        match inserted {
            Ok(id) => self.next.push(Entry::Call(id.0)),
            Err(_) => self.drop_unrun(&what),
        }
        self.keep_handle(inserted)
    }

    pub(super) fn arm(&mut self, when: u64, what: What) -> Result<Id, Answer> {
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

    pub(super) fn keep_handle(&mut self, inserted: Result<Id, Answer>) -> Answer {
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

    pub(super) fn drop_unrun(&mut self, what: &What) {
        if let What::Script { label, .. } = what {
            self.trace.push(Event::Dropped(*label));
        }
    }

    pub(super) fn cancel_call(&mut self, id: Id) -> bool {
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
}

//! A turn, and the end of all.

use super::{Entry, Kind, Reference, Status, What};
use crate::ops::{Answer, Event, REPORTS};

impl Reference {
    pub(super) fn turn(&mut self) -> Answer {
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

    pub(super) fn close(&mut self) {
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

//! When two states go on alike.

use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use super::{At, Completion, Entry, Kind, Reference, Source, State, What};
use crate::ops::ENDLESS;

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

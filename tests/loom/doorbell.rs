//! Rings against the closing of the descriptor, and against the opening of the next.

use core::sync::atomic::Ordering::SeqCst;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread::{self, JoinHandle};

use crate::fixture::explore;
use crate::gate::Gate;
use crate::sync::AtomicBool;

/// A gate, and the descriptors 0 and 1: who strikes one reads it, and who gives
/// its number to somebody else writes.
struct Bell {
    gate: Gate,
    descriptors: [UnsafeCell<()>; 2],
    /// What each ringer has to say, and whether a strike came after that.
    said: [AtomicBool; 2],
    heard: [AtomicBool; 2],
}

// SAFETY: there is nothing in the cells.
unsafe impl Sync for Bell {}
// SAFETY: as above.
unsafe impl Send for Bell {}

impl Bell {
    fn new() -> Arc<Self> {
        let flags = || [const { AtomicBool::new(false) }; 2];
        let descriptors = [UnsafeCell::new(()), UnsafeCell::new(())];
        let bell = Self { gate: Gate::new(), descriptors, said: flags(), heard: flags() };
        assert!(bell.open(0));
        bell.gate.ring(|fd| bell.strike(fd));
        assert!(!bell.gate.take_missed() && !bell.is_heard(0) && !bell.is_heard(1));
        Arc::new(bell)
    }

    fn open(&self, fd: i32) -> bool {
        self.gate.open(fd, |fd| self.strike(fd))
    }

    fn ring(&self, ringer: usize) {
        self.said[ringer].store(true, SeqCst);
        self.gate.ring(|fd| self.strike(fd));
    }

    fn strike(&self, fd: i32) {
        self.descriptors[fd as usize].with(|_| ());
        for (said, heard) in self.said.iter().zip(&self.heard) {
            if said.load(SeqCst) {
                heard.store(true, SeqCst);
            }
        }
    }

    fn is_heard(&self, ringer: usize) -> bool {
        self.heard[ringer].load(SeqCst)
    }

    fn close(&self) {
        if let Some(fd) = self.gate.close() {
            self.descriptors[fd as usize].with_mut(|_| ());
        }
    }
}

fn spawn(bell: &Arc<Bell>, body: impl FnOnce(&Bell) + 'static) -> JoinHandle<()> {
    let bell = Arc::clone(bell);
    thread::spawn(move || body(&bell))
}

fn spawn_ringers(bell: &Arc<Bell>) -> [JoinHandle<()>; 2] {
    [0, 1].map(|ringer| spawn(bell, move |bell| bell.ring(ringer)))
}

#[test]
fn nobody_strikes_a_descriptor_that_was_given_away() {
    explore(|| {
        let bell = Bell::new();
        let ringers = spawn_ringers(&bell);
        bell.close();
        ringers.into_iter().for_each(|ringer| ringer.join().unwrap());
        assert!(bell.gate.take_missed() || (bell.is_heard(0) && bell.is_heard(1)));
    });
}

#[test]
fn a_descriptor_is_given_to_one_of_those_who_close() {
    explore(|| {
        let bell = Bell::new();
        let others = [spawn(&bell, |bell| bell.ring(0)), spawn(&bell, Bell::close)];
        bell.close();
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}

#[test]
fn a_ring_between_two_loops_is_heard_by_the_next() {
    explore(|| {
        let bell = Bell::new();
        let ringers = spawn_ringers(&bell);
        bell.close();
        assert!(bell.open(1));
        ringers.into_iter().for_each(|ringer| ringer.join().unwrap());
        assert!(bell.is_heard(0) && bell.is_heard(1));
    });
}

//! Wakers that outlive their task: a slot with live clones is not used again, and
//! no waker wakes the task that comes next.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use crate::fixture::{Loop, explore};

/// Stands for a slot's former task: those who hold a waker of it read, and who
/// gives the slot to another writes.
#[derive(Default)]
struct Former(UnsafeCell<()>);

impl Former {
    fn is_still_there(&self) {
        self.0.with(|_| ());
    }

    fn is_gone(&self) {
        self.0.with_mut(|_| ());
    }
}

// SAFETY: there is nothing in it.
unsafe impl Sync for Former {}
// SAFETY: as above.
unsafe impl Send for Former {}

fn stale_wakers(is_free: impl FnOnce(&Loop) -> bool) {
    let event_loop = Loop::new(1);
    let former = Arc::new(Former::default());
    let (first, second) = (event_loop.waker(0), event_loop.waker(0));
    let seen = Arc::clone(&former);
    let wakes = thread::spawn(move || {
        seen.is_still_there();
        first.wake();
    });
    let seen = Arc::clone(&former);
    let clones = thread::spawn(move || {
        let third = second.clone();
        drop(second);
        third.wake_by_ref();
        seen.is_still_there();
        drop(third);
    });
    event_loop.table.deactivate(0);
    if is_free(&event_loop) {
        former.is_gone();
        event_loop.table.reopen();
        event_loop.table.activate(0);
    }
    event_loop.table.collect();
    assert!(event_loop.table.with(|ready| ready.is_empty()), "a stranger was woken");
    wakes.join().unwrap();
    clones.join().unwrap();
    event_loop.table.collect();
    assert!(event_loop.table.with(|ready| ready.is_empty()), "a stranger was woken");
    assert!(event_loop.table.is_reusable(0), "the last waker is gone");
}

#[test]
fn the_next_task_of_a_slot_is_not_woken_by_a_waker_of_the_last() {
    explore(|| stale_wakers(|event_loop| event_loop.table.is_reusable(0)));
}

#[test]
fn the_next_loop_of_a_table_is_not_woken_by_a_waker_of_the_last() {
    explore(|| {
        stale_wakers(|event_loop| {
            event_loop.table.close();
            !event_loop.table.has_wakers()
        });
    });
}

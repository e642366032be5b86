//! Wakes from elsewhere against a loop that goes to sleep: none is lost. A loop
//! that nobody wakes waits for ever, and loom reports that.

use core::sync::atomic::Ordering::Relaxed;

use loom::sync::Arc;
use loom::sync::atomic::AtomicU32;
use loom::thread;

use crate::fixture::{Loop, explore};

/// Wakes tasks from two threads, after counting in what the tasks look at, and
/// turns until each task has seen the last count.
fn wake_and_wait(tasks: usize, threads: [&'static [u32]; 2]) {
    let counts: Arc<Vec<[AtomicU32; 2]>> =
        Arc::new((0..tasks).map(|_| [AtomicU32::new(0), AtomicU32::new(0)]).collect());
    let event_loop = Loop::new(tasks);
    let mut wanted = vec![[0; 2]; tasks];
    let mut running = Vec::new();
    for (me, wakes) in threads.into_iter().enumerate() {
        wakes.iter().for_each(|&task| wanted[task as usize][me] += 1);
        let wakers: Vec<_> = wakes.iter().map(|&task| (task, event_loop.waker(task))).collect();
        let counts = Arc::clone(&counts);
        running.push(thread::spawn(move || {
            for (number, (task, waker)) in wakers.into_iter().enumerate() {
                let before = threads[me][..number].iter().filter(|&&other| other == task).count();
                counts[task as usize][me].store(before as u32 + 1, Relaxed);
                waker.wake();
            }
        }));
    }
    let mut seen = vec![[0; 2]; tasks];
    while seen != wanted {
        for task in event_loop.turn(|| false, || ()) {
            let counts = &counts[task as usize];
            seen[task as usize] = [counts[0].load(Relaxed), counts[1].load(Relaxed)];
        }
    }
    running.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(!event_loop.table.has_wakers());
}

#[test]
fn wakes_of_two_tasks_are_both_seen() {
    explore(|| wake_and_wait(2, [&[0], &[1]]));
}

#[test]
fn a_task_that_two_threads_wake_sees_what_both_did_before() {
    explore(|| wake_and_wait(1, [&[0], &[0]]));
}

#[test]
fn a_wake_during_the_poll_of_an_earlier_one_is_a_wake_of_its_own() {
    explore(|| wake_and_wait(2, [&[0, 0], &[1]]));
}

#[test]
fn tasks_of_two_groups_are_both_seen() {
    explore(|| wake_and_wait(65, [&[0], &[64]]));
}

#[test]
fn the_loops_own_wakes_join_those_of_other_threads() {
    explore(|| {
        let event_loop = Loop::new(2);
        let waker = event_loop.waker(0);
        let thread = thread::spawn(move || waker.wake());
        event_loop.lent(1).wake_by_ref();
        let mut woken = Vec::new();
        while woken.len() < 2 {
            woken.extend(event_loop.turn(|| false, || ()));
        }
        woken.sort_unstable();
        assert_eq!(woken, [0, 1]);
        thread.join().unwrap();
    });
}

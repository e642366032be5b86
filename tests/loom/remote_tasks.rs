//! The result of a task on its way to another thread.

use core::time::Duration;
use std::collections::VecDeque;

use loom::sync::Arc;
use loom::thread;

use crate::fixture::{Loop, explore};
use crate::handover::{Handover, Promise};
use crate::inbox::Inbox;
use crate::{TaskError, TaskId};

#[test]
fn of_two_threads_that_wait_one_gets_the_result() {
    explore(|| {
        let (promise, handover) = Handover::begin();
        let waiters = [false, true].map(|is_timed| {
            let handover = Arc::clone(&handover);
            thread::spawn(move || match is_timed {
                true => handover.wait_timeout(Duration::MAX).expect("time has no end"),
                false => handover.wait(),
            })
        });
        assert!(!handover.created(TaskId(7)));
        promise.settle(Ok(42));
        let results = waiters.map(|waiter| waiter.join().unwrap());
        let [first, second] = &results;
        assert!(matches!((first, second), (Ok(42), Err(TaskError::Taken)) | (Err(TaskError::Taken), Ok(42))));
    });
}

/// What a thread puts into the inbox of a loop that makes tasks.
enum Call {
    Create(Promise<u32>),
    Cancel,
}

#[test]
fn a_task_is_settled_whether_its_loop_runs_it_cancels_it_or_closes() {
    explore(|| {
        let event_loop = Loop::new(0);
        let inbox = Arc::new(Inbox::new(VecDeque::new(), 2, event_loop.table));
        assert!(!inbox.is_used());
        let (promise, handover) = Handover::begin();
        let waits = {
            let (inbox, handover) = (Arc::clone(&inbox), Arc::clone(&handover));
            thread::spawn(move || {
                // A call that is refused comes back and breaks its promise.
                drop(inbox.push(promise, Call::Create));
                handover.wait()
            })
        };
        let cancels = {
            let inbox = Arc::clone(&inbox);
            thread::spawn(move || inbox.push((), |()| Call::Cancel).is_ok())
        };
        let mut ran = false;
        let mut calls = VecDeque::new();
        inbox.exchange(&mut calls);
        let mut running = None;
        let mut is_cancelled = false;
        for (_, call) in calls {
            match call {
                Call::Create(promise) => {
                    is_cancelled = promise.handover().created(TaskId(7));
                    running = Some(promise);
                }
                Call::Cancel => {
                    if let Some(id) = handover.ask_to_end() {
                        assert_eq!(id, TaskId(7));
                        is_cancelled = true;
                    }
                }
            }
        }
        if let Some(promise) = running.filter(|_| !is_cancelled) {
            promise.settle(Ok(42));
            ran = true;
        }
        drop(inbox.close());
        let result = waits.join().unwrap();
        cancels.join().unwrap();
        match result {
            Ok(value) => assert!(ran && value == 42),
            Err(error) => assert!(!ran && matches!(error, TaskError::Cancelled)),
        }
    });
}

#[test]
fn a_promise_that_is_broken_is_told() {
    explore(|| {
        let (promise, handover) = Handover::<u32>::begin();
        let breaks = thread::spawn(move || drop(promise));
        let asks = {
            let handover = Arc::clone(&handover);
            thread::spawn(move || handover.ask_to_end().is_some() || handover.is_done())
        };
        assert!(matches!(handover.wait(), Err(TaskError::Cancelled)));
        assert!(handover.is_done());
        breaks.join().unwrap();
        asks.join().unwrap();
    });
}

//! Calls of other threads against a loop that receives, sleeps, stops and closes.

use core::cell::RefCell;
use std::collections::VecDeque;

use loom::sync::Arc;
use loom::thread::{self, JoinHandle};

use crate::fixture::{Loop, explore};
use crate::inbox::Inbox;

/// An inbox and the loop's end of it.
struct Office {
    event_loop: Loop,
    inbox: Arc<Inbox<u32>>,
    received: RefCell<Vec<u32>>,
    has_stopped: RefCell<bool>,
}

impl Office {
    fn new(limit: usize) -> Self {
        let event_loop = Loop::new(0);
        let inbox = Arc::new(Inbox::new(VecDeque::new(), limit, event_loop.table));
        assert!(!inbox.is_used());
        Self { event_loop, inbox, received: RefCell::default(), has_stopped: RefCell::default() }
    }

    /// As `EventLoopHandle::receive_threadsafe_calls`.
    fn receive(&self) {
        if !self.inbox.is_used() {
            return;
        }
        if self.inbox.take_stop() {
            self.has_stopped.replace(true);
        }
        if self.inbox.take_used() {
            let mut values = VecDeque::new();
            self.inbox.exchange(&mut values);
            self.received.borrow_mut().extend(values.into_iter().map(|value| value.1));
        }
    }

    fn turn(&self) {
        self.event_loop.turn(|| self.inbox.is_used(), || self.receive());
    }

    fn spawn<T: 'static>(&self, body: impl FnOnce(&Inbox<u32>) -> T + 'static) -> JoinHandle<T> {
        let inbox = Arc::clone(&self.inbox);
        thread::spawn(move || body(&inbox))
    }
}

#[test]
fn a_loop_that_sleeps_receives_every_value_once_and_those_of_a_thread_in_order() {
    explore(|| {
        let office = Office::new(3);
        let others = [&[1, 2][..], &[3]].map(|values| {
            office.spawn(move |inbox| {
                for &value in values {
                    inbox.push(value, |value| value).unwrap();
                }
            })
        });
        while office.received.borrow().len() < 3 {
            office.turn();
        }
        others.into_iter().for_each(|other| other.join().unwrap());
        let mut received = office.received.take();
        let (one, two) =
            (received.iter().position(|&value| value == 1), received.iter().position(|&value| value == 2));
        assert!(one < two);
        received.sort_unstable();
        assert_eq!(received, [1, 2, 3]);
    });
}

#[test]
fn a_stop_reaches_a_loop_that_sleeps() {
    explore(|| {
        let office = Office::new(1);
        let others = [
            office.spawn(|inbox| inbox.stop()),
            office.spawn(|inbox| assert!(inbox.push(1, |value| value).is_ok())),
        ];
        while !*office.has_stopped.borrow() || office.received.borrow().is_empty() {
            office.turn();
        }
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}

#[test]
fn a_value_is_received_or_taken_back_and_never_both() {
    explore(|| {
        let office = Office::new(2);
        let cancels = office.spawn(|inbox| {
            let number = inbox.push(1, |value| value).unwrap();
            inbox.cancel(number)
        });
        let pushes = office.spawn(|inbox| inbox.push(2, |value| value).unwrap());
        while !office.received.borrow().contains(&2) {
            office.turn();
        }
        let was_cancelled = cancels.join().unwrap();
        pushes.join().unwrap();
        office.receive();
        let count = office.received.borrow().iter().filter(|&&value| value == 1).count();
        assert_eq!(count, usize::from(!was_cancelled));
    });
}

#[test]
fn closing_loses_nothing_that_was_accepted_and_nobody_rings_afterwards() {
    explore(|| {
        let office = Office::new(1);
        let others = [1, 2].map(|number| {
            office.spawn(move |inbox| {
                let accepted = inbox.push(number, |value| value).is_ok();
                if number == 2 {
                    inbox.stop();
                }
                usize::from(accepted)
            })
        });
        office.receive();
        // As if it slept: who notifies it now, rings.
        office.event_loop.table.sleep();
        let left = office.inbox.close();
        office.event_loop.expect_silence();
        let accepted: usize = others.into_iter().map(|other| other.join().unwrap()).sum();
        assert_eq!(accepted, office.received.borrow().len() + left.len());
        assert!(office.inbox.is_closed());
        assert!(office.inbox.push(3, |value| value).is_err());
        assert!(office.inbox.close().is_empty());
    });
}

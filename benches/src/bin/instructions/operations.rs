//! The operations, each for any loop.

use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Poll, Waker};
use core::time::Duration;
use std::rc::Rc;
use std::thread;

use rondel_core::{Context, ContextExt};

use crate::echoes;
use crate::subject::{Rondel, Subject};

/// Does something so many times.
pub(crate) type Operation<S> = fn(&S, usize);

/// Is what can be counted of every loop.
pub(crate) const fn of_every_loop<S: Subject>() -> &'static [(&'static str, Operation<S>)] {
    &[
        ("call_soon+run", call_soon),
        ("turn", turn),
        ("arm+cancel", arm_and_cancel),
        ("arm+fire", arm_and_fire),
        ("wake+poll", wake_and_poll),
        ("yield_now+poll", yield_now),
        ("create_task+run", create_task),
    ]
}

/// Is what can be counted of rondel besides.
pub(crate) const OF_RONDEL: &[(&str, Operation<Rondel>)] = &[
    ("threadsafe+run", call_soon_threadsafe),
    ("protocol-echo", echoes::by_protocols),
    ("stream-echo", echoes::by_streams),
];

/// Is how much there is to do in one turn.
const BATCH: usize = 100;

thread_local!(static DONE: Cell<usize> = const { Cell::new(0) });

fn done() {
    DONE.set(DONE.get() + 1);
}

/// Makes `count` of something, a batch a turn.
fn in_batches(subject: &impl Subject, count: usize, mut each: impl FnMut()) {
    assert_eq!(count % BATCH, 0, "whole batches");
    for _ in 0..count / BATCH {
        (0..BATCH).for_each(|_| each());
        subject.turn();
    }
    assert_eq!(DONE.get(), count);
}

/// A callback is scheduled and runs.
fn call_soon<S: Subject>(subject: &S, count: usize) {
    in_batches(subject, count, || {
        subject.context().call_soon(|_| done()).expect("has room");
    });
}

/// A whole iteration, with one callback that is scheduled for it.
fn turn<S: Subject>(subject: &S, count: usize) {
    for _ in 0..count {
        subject.context().call_soon(|_| done()).expect("has room");
        subject.turn();
    }
    assert_eq!(DONE.get(), count);
}

/// Any one of 1,000 timers is cancelled, after another was armed.
fn arm_and_cancel<S: Subject>(subject: &S, count: usize) {
    let mut random = Random::new();
    let begun = subject.context().now();
    let arm = |delay| subject.context().call_at(begun + delay, |_| done()).expect("has room");
    let far = |random: &mut Random| Duration::from_nanos(10_000_000_000 + random.below(1 << 40));
    let mut timers: Vec<_> = (0..1_000).map(|_| arm(far(&mut random))).collect();
    for _ in 0..count {
        let place = random.below(timers.len() as u64) as usize;
        let armed = arm(far(&mut random));
        core::mem::replace(&mut timers[place], armed).cancel();
    }
    assert_eq!(DONE.get(), 0);
}

/// A timer is armed and fires, in a turn in which others fire too.
fn arm_and_fire<S: Subject>(subject: &S, count: usize) {
    let mut random = Random::new();
    for _ in 0..count / BATCH {
        let begun = subject.context().now();
        for _ in 0..BATCH {
            let delay = Duration::from_nanos(20_000_000 + random.below(20_000_000));
            subject.context().call_at(begun + delay, |_| done()).expect("has room");
        }
        subject.advance(Duration::from_millis(40));
        subject.turn();
    }
    assert_eq!(DONE.get(), count);
}

/// A task is woken by a waker that it had left behind, and polled.
fn wake_and_poll<S: Subject>(subject: &S, count: usize) {
    let wakers: Rc<RefCell<Vec<Waker>>> = Rc::default();
    for _ in 0..BATCH {
        let wakers = Rc::clone(&wakers);
        let mut polls_left = count / BATCH;
        let future = poll_fn(move |context| {
            if polls_left == 0 {
                return Poll::Ready(());
            }
            if polls_left == count / BATCH {
                wakers.borrow_mut().push(context.waker().clone());
            }
            polls_left -= 1;
            done();
            Poll::Pending
        });
        drop(subject.context().create_task(future).expect("has room"));
    }
    subject.turn();
    for _ in 0..count / BATCH {
        wakers.borrow().iter().for_each(Waker::wake_by_ref);
        subject.turn();
    }
    assert_eq!(DONE.get(), count);
}

/// A task gives up the rest of the turn, and is polled again.
fn yield_now<S: Subject>(subject: &S, count: usize) {
    for _ in 0..BATCH {
        let context = subject.context().clone();
        let task = subject.context().create_task(async move {
            for _ in 0..count / BATCH {
                context.yield_now().await.expect("is not cancelled");
                done();
            }
        });
        drop(task.expect("has room"));
    }
    for _ in 0..=count / BATCH {
        subject.turn();
    }
    assert_eq!(DONE.get(), count);
}

/// A task is made, runs and ends.
fn create_task<S: Subject>(subject: &S, count: usize) {
    in_batches(subject, count, || {
        drop(subject.context().create_task(async { done() }).expect("has room"));
    });
}

/// Another thread makes a call, and the loop runs it. The loop looks only when
/// the thread has ended, so that there is one order of events.
fn call_soon_threadsafe(subject: &Rondel, count: usize) {
    let remote = subject.event_loop.remote();
    let thread = thread::spawn(move || {
        for _ in 0..count {
            remote.call_soon_threadsafe(|_| done()).expect("has room");
        }
    });
    thread.join().expect("doesn't panic");
    subject.turn();
    assert_eq!(DONE.get(), count);
}

/// Pseudo-random numbers, the same in each run.
struct Random(u64);

impl Random {
    const fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    /// Returns a number below `limit`.
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

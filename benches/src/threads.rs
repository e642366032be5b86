//! Calls from other threads: as many as possible, and one from sleep.

use core::sync::atomic::{AtomicBool, Ordering::SeqCst};
use core::time::Duration;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Instant;

use crate::bare;
use crate::calls::work;
use crate::case::{Case, median};
use crate::peers::{calloop, libuv, rondel, smol, tokio};

/// Compares calls from `producers` threads that never pause. None is refused:
/// there is room for all.
pub(crate) fn flood(case: &mut Case<'_>, producers: usize) {
    case.name(format!("calls from {producers} flooding thread(s)"));
    let flood = Flood { producers, each: case.scaled(200_000) / producers };
    case.add("bare queue, eventfd each", || bare::os::flood(flood));
    case.try_add("libuv queue, async_send each", || libuv::flood(flood));
    case.add("calloop channel", || calloop::flood(flood));
    case.add("smol channel", || smol::flood(flood));
    case.add("smol spawn", || smol::flood_of_tasks(flood));
    case.add("tokio mpsc unbounded", || tokio::flood(flood));
    case.add("tokio spawn", || tokio::flood_of_tasks(flood));
    case.add("rondel", || rondel::flood(flood));
    case.goal_times("rondel", 80.0 / 270.0, "bare queue, eventfd each");
    case.goal_times("rondel", 80.0 / 385.0, "tokio mpsc unbounded");
    case.goal_times("rondel", 80.0 / 1_555.0, "tokio spawn");
}

/// Is who calls, and how often.
#[derive(Clone, Copy)]
pub(crate) struct Flood {
    pub(crate) producers: usize,
    pub(crate) each: usize,
}

/// Is a call as it is put into a queue: what to do, and with what.
#[derive(Debug)]
pub(crate) struct Call(fn(u64), u64);

impl Call {
    /// Makes a call that does the least.
    pub(crate) fn new() -> Self {
        Self(core::hint::black_box(work), 1)
    }

    pub(crate) fn run(self) {
        self.0(self.1);
    }
}

impl Flood {
    /// Returns how many calls there are in all.
    pub(crate) const fn total(self) -> usize {
        self.producers * self.each
    }

    /// Lets the producers call at once, and returns the ns per call until
    /// `receive` has seen the last. `call` is what a producer repeats.
    pub(crate) fn measure<C: FnMut() + Send + 'static>(
        self,
        make_call: impl Fn() -> C,
        receive: impl FnOnce(),
    ) -> f64 {
        let start = Arc::new(Barrier::new(self.producers + 1));
        let threads: Vec<_> = (0..self.producers)
            .map(|_| {
                let (start, mut call) = (Arc::clone(&start), make_call());
                thread::spawn(move || {
                    start.wait();
                    (0..self.each).for_each(|_| call());
                })
            })
            .collect();
        // With it goes the last sender that isn't a producer's.
        drop(make_call);
        start.wait();
        let begun = Instant::now();
        receive();
        let ns = begun.elapsed().as_nanos() as f64;
        for thread in threads {
            thread.join().expect("doesn't panic");
        }
        ns / self.total() as f64
    }
}

/// Compares a call to a sleeping loop and the answer.
pub(crate) fn round_trip(case: &mut Case<'_>) {
    case.name("thread -> sleeping loop -> thread, p50");
    let count = case.scaled(2_000);
    case.add("bare epoll + eventfd", || bare::os::round_trip(count));
    case.try_add("libuv queue, async_send", || libuv::round_trip(count));
    case.add("calloop channel", || calloop::round_trip(count));
    case.add("smol channel", || smol::round_trip(count));
    case.add("tokio mpsc unbounded", || tokio::round_trip(count));
    case.add("rondel", || rondel::round_trip(count, Duration::ZERO));
    case.add("rondel, spinning", || rondel::round_trip(count, Duration::from_micros(50)));
    case.goal_times("rondel", 1.10, "bare epoll + eventfd");
    case.goal_times("rondel, spinning", 1.2 / 6.2, "bare epoll + eventfd");
}

/// Is how a thread that asked learns of the answer: the same for all.
#[derive(Clone)]
pub(crate) struct Answer {
    is_there: Arc<AtomicBool>,
    asker: thread::Thread,
}

impl Answer {
    pub(crate) fn give(&self) {
        self.is_there.store(true, SeqCst);
        self.asker.unpark();
    }

    /// Waits for the answer: looks for it until `patience` is over, and sleeps
    /// then.
    fn wait(&self, patience: Duration) {
        let asked = Instant::now();
        while !self.is_there.swap(false, SeqCst) {
            if patience.is_zero() || asked.elapsed() > patience {
                thread::park();
            } else {
                core::hint::spin_loop();
            }
        }
    }
}

/// Asks `count` times in a thread of its own, and returns what half of the
/// answers took at most. `ask` is called with the way to answer; the thread looks
/// for the answer for as long as `patience` before it sleeps.
pub(crate) fn asking(
    count: usize,
    patience: Duration,
    ask: impl Fn(&Answer) + Send + 'static,
    stop: impl FnOnce() + Send + 'static,
) -> Asking {
    Asking(thread::spawn(move || {
        let answer = Answer { is_there: Arc::new(AtomicBool::new(false)), asker: thread::current() };
        let mut took: Vec<f64> = Vec::with_capacity(count);
        for _ in 0..count {
            let begun = Instant::now();
            ask(&answer);
            answer.wait(patience);
            took.push(begun.elapsed().as_nanos() as f64);
        }
        stop();
        median(took.into_iter())
    }))
}

pub(crate) struct Asking(thread::JoinHandle<f64>);

impl Asking {
    pub(crate) fn median(self) -> f64 {
        self.0.join().expect("doesn't panic")
    }
}

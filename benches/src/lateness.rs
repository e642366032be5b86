//! How late a short timer fires on an idle loop.

use core::cell::RefCell;
use core::time::Duration;
use std::rc::Rc;
use std::time::Instant;

use rondel::{EventLoop, EventLoopHandle};

use crate::calls::tokio_runtime;
use crate::case::{Case, Random, median};
use crate::os::Alarm;

fn short(random: &mut Random) -> Duration {
    Duration::from_micros(300 + random.below(600))
}

/// Notes how late it is.
struct Log {
    random: Random,
    due: Instant,
    late_ns: Vec<f64>,
}

impl Log {
    const fn new(due: Instant) -> Self {
        Self { random: Random::new(), due, late_ns: Vec::new() }
    }

    /// Returns the delay until the next deadline.
    fn begin(&mut self) -> Duration {
        let delay = short(&mut self.random);
        self.due = Instant::now() + delay;
        delay
    }

    fn end(&mut self) {
        self.late_ns.push(self.due.elapsed().as_nanos() as f64);
    }

    fn median(&self) -> f64 {
        median(self.late_ns.iter().copied())
    }
}

/// Compares timers of 0.3 to 0.9 ms, one at a time.
pub(crate) fn lateness(case: &mut Case<'_>) {
    case.name("lateness of a timer of 0.3 to 0.9 ms");
    let count = case.scaled(40);
    case.add("bare timerfd", || {
        let alarm = Alarm::new();
        move || {
            let mut log = Log::new(Instant::now());
            for _ in 0..count {
                alarm.sleep(log.begin());
                log.end();
            }
            log.median()
        }
    });
    case.add("tokio sleep", || {
        let runtime = tokio_runtime();
        move || {
            let mut log = Log::new(Instant::now());
            runtime.block_on(async {
                for _ in 0..count {
                    tokio::time::sleep(log.begin()).await;
                    log.end();
                }
            });
            log.median()
        }
    });
    case.add("rondel", || {
        let event_loop = EventLoop::new().expect("opens");
        move || {
            let log = Rc::new(RefCell::new(Log::new(Instant::now())));
            next(&event_loop, Rc::clone(&log), count);
            event_loop.run_forever().expect("is open");
            log.borrow().median()
        }
    });
    case.goal_plus("rondel", Duration::from_micros(20), "bare timerfd");
}

fn next(event_loop: &EventLoopHandle, log: Rc<RefCell<Log>>, left: usize) {
    let delay = log.borrow_mut().begin();
    let fire = move |event_loop: &EventLoopHandle| {
        log.borrow_mut().end();
        if left == 1 {
            event_loop.stop();
        } else {
            next(event_loop, log, left - 1);
        }
    };
    event_loop.call_later(delay, fire).expect("has room");
}

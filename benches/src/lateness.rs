//! How late a short timer fires on an idle loop.

use core::time::Duration;
use std::time::Instant;

use crate::bare;
use crate::case::{Case, Random, median};
use crate::peers::{calloop, libuv, monoio, rondel, smol, tokio};

fn short(random: &mut Random) -> Duration {
    Duration::from_micros(300 + random.below(600))
}

/// Notes how late it is.
pub(crate) struct Log {
    random: Random,
    due: Instant,
    late_ns: Vec<f64>,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self { random: Random::new(), due: Instant::now(), late_ns: Vec::new() }
    }

    /// Returns the delay until the next deadline.
    pub(crate) fn begin(&mut self) -> Duration {
        let delay = short(&mut self.random);
        self.due = Instant::now() + delay;
        delay
    }

    /// Notes that the deadline came.
    pub(crate) fn end(&mut self) {
        self.late_ns.push(self.due.elapsed().as_nanos() as f64);
    }

    /// Returns how many came.
    pub(crate) const fn len(&self) -> usize {
        self.late_ns.len()
    }

    /// Returns how late half of them were at most, in ns.
    pub(crate) fn median(&self) -> f64 {
        median(self.late_ns.iter().copied())
    }
}

/// Compares timers of 0.3 to 0.9 ms, one at a time.
pub(crate) fn lateness(case: &mut Case<'_>) {
    case.name("lateness of a timer of 0.3 to 0.9 ms");
    let count = case.scaled(40);
    case.add("bare timerfd", || bare::os::lateness(count));
    case.try_add("libuv timer", || libuv::lateness(count));
    case.add("calloop Timer", || calloop::lateness(count));
    case.try_add("monoio sleep", || monoio::lateness(count));
    case.add("smol Timer", || smol::lateness(count));
    case.add("tokio sleep", || tokio::lateness(count));
    case.add("rondel", || rondel::lateness(count));
    case.goal_plus("rondel", Duration::from_micros(20), "bare timerfd");
}

//! Who says what blocks the loop, while it blocks.

use core::fmt;
use core::panic::{AssertUnwindSafe, Location};
use core::time::Duration;
use std::panic::catch_unwind;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use rondel_core::{HandleId, TaskId};

use crate::exception::discard;
use crate::exception::method::Doing;
use crate::exception::reporter::write_line;
use crate::observers::debug::Thousandths;
use crate::observers::pulse::{Activity, Seen};
use crate::{Error, EventLoopHandle, Result};

/// Is the shortest time between two looks at the loop.
const PERIOD_MIN: Duration = Duration::from_millis(1);

/// Is how often the watchdog looks in the time from which it speaks up.
const LOOKS: u32 = 4;

/// What holds the loop up at this moment, as the watchdog sees it (contract DB-2).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Blocked {
    /// Is for how long it has been running, at least.
    pub duration: Duration,
    /// Is where the callback, timer or task was created.
    pub location: &'static Location<'static>,
    /// Is the task whose step runs, if it is one.
    pub task: Option<TaskId>,
    /// Is the callback or timer that runs, if it is one.
    pub handle: Option<HandleId>,
    /// Is the name of the type of the protocol, one of whose methods runs within.
    pub protocol: Option<&'static str>,
    /// Is the name of that method.
    pub method: Option<&'static str>,
    /// Is the descriptor of the protocol's transport, if that has one.
    pub socket: Option<i32>,
    doing: Doing,
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = Thousandths::of_seconds(self.duration);
        write!(f, "The loop is blocked, for {secs} seconds by now, by {}", self.doing)
    }
}

impl EventLoopHandle {
    /// Watches the loop from a thread of its own: tells `on_blocked` what it runs when one
    /// callback, task step or method of a protocol has run for `limit`, while it still
    /// does; and again when that time has doubled, and so on. Takes the place of an
    /// earlier watchdog.
    ///
    /// `limit` is a millisecond at least; it is noticed up to a quarter of `limit` and a
    /// millisecond later. A callback costs some ten nanoseconds more.
    /// [`Config::watchdog`](crate::Config::watchdog) logs by itself.
    ///
    /// ```
    /// # use core::time::Duration;
    /// # rondel::run(async |event_loop| {
    /// event_loop.start_watchdog(Duration::from_millis(500), |blocked| eprintln!("{blocked}"))?;
    /// # Ok(())
    /// # })?;
    /// # Ok::<(), rondel::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the system refuses another thread; `Closed`.
    ///
    /// # Panics
    /// A panic of `on_blocked`, which runs in the watchdog's thread, ends there.
    ///
    /// # Python
    /// Debug mode names slow callbacks when they have returned, as here; asyncio has
    /// nothing for those that don't return.
    pub fn start_watchdog(
        &self,
        limit: Duration,
        on_blocked: impl Fn(&Blocked) + Send + 'static,
    ) -> Result<()> {
        if self.is_closed() {
            return Err(rondel_core::Refusal::Closed.into());
        }
        let observers = &self.inner.observers;
        let watchdog = Watchdog::default();
        let (stopped, seen) = (Arc::clone(&watchdog.stopped), Arc::clone(observers.seen()));
        let body = Box::new(move || watch(&stopped, &seen, Checker::new(limit), on_blocked));
        let threads = self.inner.kernel.threads().threads();
        let started = threads.start("rondel-watchdog".into(), None, body);
        started.map_err(|error| Error::from(error).during("starting the watchdog"))?;
        observers.set_watchdog(Some(watchdog));
        Ok(())
    }

    /// As [`start_watchdog`](Self::start_watchdog), with the log.
    pub(crate) fn start_logging_watchdog(&self, limit: Duration) -> Result<()> {
        self.start_watchdog(limit, |blocked| write_line(log::Level::Warn, format_args!("{blocked}")))
    }

    /// Ends the watchdog, if there is one; the end of the loop does as well.
    pub fn stop_watchdog(&self) {
        self.inner.observers.set_watchdog(None);
    }
}

/// A thread that watches a loop; dropped, it tells it to end, and doesn't wait.
#[derive(Debug, Default)]
pub(crate) struct Watchdog {
    stopped: Arc<(Mutex<bool>, Condvar)>,
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let (stopped, changed) = &*self.stopped;
        *stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_all();
    }
}

/// Is the thread: looks at the loop in regular intervals, until it is stopped.
fn watch(stopped: &(Mutex<bool>, Condvar), seen: &Seen, mut checker: Checker, on_blocked: impl Fn(&Blocked)) {
    let (stopped, changed) = stopped;
    loop {
        let guard = stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = changed.wait_timeout_while(guard, checker.period, |stopped| !*stopped);
        let (is_stopped, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if *is_stopped {
            return;
        }
        drop(is_stopped);
        if let Some(blocked) = checker.look(&seen.activity())
            && let Err(payload) = catch_unwind(AssertUnwindSafe(|| on_blocked(&blocked)))
        {
            discard(payload);
        }
    }
}

/// Decides, look by look, when to speak up. It counts looks, and reads no clock: they
/// are a period apart at least.
#[derive(Debug)]
struct Checker {
    period: Duration,
    limit: Duration,
    /// Is what was seen, and for how long.
    steps: u64,
    duration: Duration,
    /// Is from when on it is told the next time, if that ever comes.
    next: Option<Duration>,
}

impl Checker {
    fn new(limit: Duration) -> Self {
        let limit = limit.max(PERIOD_MIN);
        let period = (limit / LOOKS).max(PERIOD_MIN);
        Self { period, limit, steps: 0, duration: Duration::ZERO, next: Some(limit) }
    }

    fn look(&mut self, activity: &Activity) -> Option<Blocked> {
        let is_new = activity.steps != self.steps;
        let Some(running) = activity.running.filter(|_| !is_new) else {
            (self.steps, self.duration, self.next) = (activity.steps, Duration::ZERO, Some(self.limit));
            return None;
        };
        self.duration = self.duration.saturating_add(self.period);
        let due = self.next.filter(|&next| next <= self.duration)?;
        self.next = due.checked_mul(2);
        let method = activity.method;
        Some(Blocked {
            duration: self.duration,
            location: running.location,
            task: running.task(),
            handle: running.handle(),
            protocol: method.and_then(|method| method.protocol),
            method: method.map(|method| method.name),
            socket: method.and_then(|method| method.socket),
            doing: Doing { running, method },
        })
    }
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;
    use std::rc::Rc;

    use super::*;
    use crate::EventLoop;

    /// Returns what a running callback looks like, the `steps`th of its loop.
    fn activity(steps: u64) -> Activity {
        let event_loop = EventLoop::without_descriptors(crate::Config::default()).unwrap();
        let seen = Rc::new(Cell::new(None));
        let noted = Rc::clone(&seen);
        event_loop.call_soon(move |event_loop| noted.set(event_loop.inner.scheduler.running())).unwrap();
        event_loop.stop();
        event_loop.run_forever().unwrap();
        Activity { steps, running: seen.get(), method: None }
    }

    /// Looks so often; returns for how long the loop was blocked, in milliseconds, at each
    /// look that told so.
    fn told(checker: &mut Checker, activity: &Activity, looks: u32) -> Vec<u128> {
        (0..looks).filter_map(|_| Some(checker.look(activity)?.duration.as_millis())).collect()
    }

    #[test]
    fn db2_a_blocking_is_told_at_the_limit_and_when_it_has_doubled() {
        let mut checker = Checker::new(Duration::from_millis(400));
        assert_eq!(checker.period, Duration::from_millis(100));
        assert_eq!(told(&mut checker, &activity(1), 4), [], "seen for 300 ms");
        assert_eq!(told(&mut checker, &activity(1), 100), [400, 800, 1600, 3200, 6400]);
        // Another one begins anew.
        assert_eq!(told(&mut checker, &activity(2), 9), [400, 800]);
    }

    #[test]
    fn db2_a_loop_that_waits_or_turns_is_not_blocked() {
        let mut checker = Checker::new(Duration::from_millis(4));
        let waits = Activity { running: None, ..activity(1) };
        assert_eq!(told(&mut checker, &waits, 1000), []);
        for steps in 2..1000 {
            assert_eq!(told(&mut checker, &activity(steps), 4), []);
        }
    }

    #[test]
    fn db2_extreme_limits_are_kept() {
        let mut checker = Checker::new(Duration::ZERO);
        assert_eq!((checker.limit, checker.period), (PERIOD_MIN, PERIOD_MIN));
        assert_eq!(told(&mut checker, &activity(1), 9), [1, 2, 4, 8]);
        let mut checker = Checker::new(Duration::MAX);
        assert_eq!(told(&mut checker, &activity(1), 9).len(), 1, "in a fifth of all time");
    }
}

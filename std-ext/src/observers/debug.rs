//! Debug mode: who holds the loop up.

use core::cell::Cell;
use core::fmt;
use core::time::Duration;

use rondel_core::{Instant, Running};

use crate::EventLoopHandle;
use crate::exception::method::{Doing, RunningMethod};
use crate::exception::reporter::write_line;
use crate::observers::DEBUG;

/// Is the wait from which debug mode speaks up (contract DB-5).
const SLOW_WAIT: Duration = Duration::from_secs(1);

/// The state of debug mode.
#[derive(Debug)]
pub(crate) struct Debug {
    is_on: Cell<bool>,
    slow_callback_duration: Cell<Duration>,
    /// Is when the callback or wait that runs began, if debug mode was on then.
    begun: Cell<Option<Instant>>,
    /// Is the method that has held the callback up which runs.
    slow_method: Cell<Option<RunningMethod>>,
}

impl Debug {
    pub(crate) fn new(is_on: bool, slow_callback_duration: Duration) -> Self {
        Self {
            is_on: Cell::new(is_on),
            slow_callback_duration: Cell::new(slow_callback_duration),
            begun: Cell::new(None),
            slow_method: Cell::new(None),
        }
    }

    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.is_on.get()
    }

    pub(crate) fn slow_callback_duration(&self) -> Duration {
        self.slow_callback_duration.get()
    }

    pub(crate) fn begin(&self, now: Instant) {
        if self.is_on() {
            self.begun.set(Some(now));
        }
    }

    /// Names a callback or step that took long, after it ended (DB-2).
    pub(crate) fn end_callback(&self, now: Instant, running: &Running) {
        let method = self.slow_method.take();
        let Some(begun) = self.begun.take() else { return };
        let took = now - begun;
        if took < self.slow_callback_duration.get() {
            return;
        }
        let secs = Thousandths::of_seconds(took);
        let doing = Doing { running: *running, method };
        write_line(log::Level::Warn, format_args!("Executing {doing} took {secs} seconds"));
    }

    /// Notes a method that took long, to be named when the callback or step has ended in which it ran: the
    /// first of them, which is the innermost.
    pub(crate) fn end_method(&self, took: Duration, method: RunningMethod) {
        if took >= self.slow_callback_duration.get() && self.slow_method.get().is_none() {
            self.slow_method.set(Some(method));
        }
    }

    /// Says how long a look-up took; louder if that was long (DB-5).
    pub(crate) fn end_lookup(&self, took: Duration, host: &str, is_answered: bool) {
        let level =
            if took >= self.slow_callback_duration.get() { log::Level::Info } else { log::Level::Debug };
        if log::max_level() >= level {
            let end = if is_answered { "took" } else { "failed in" };
            let millis = Thousandths::of_millis(took);
            write_line(level, format_args!("getaddrinfo({host:?}) {end} {millis} ms"));
        }
    }

    pub(crate) fn end_wait(&self, now: Instant) {
        let Some(begun) = self.begun.take() else { return };
        let took = now - begun;
        let level = if took >= SLOW_WAIT { log::Level::Info } else { log::Level::Debug };
        if log::max_level() >= level {
            write_line(level, format_args!("poll took {} ms", Thousandths::of_millis(took)));
        }
    }
}

/// Prints a number with three places behind its point, from whole ones: what prints those with a point is
/// 14 KB that every program would link.
pub(crate) struct Thousandths(u64);

impl Thousandths {
    pub(crate) fn of_seconds(duration: Duration) -> Self {
        Self(duration.saturating_add(Duration::from_micros(500)).as_millis() as u64)
    }

    fn of_millis(duration: Duration) -> Self {
        Self(duration.saturating_add(Duration::from_nanos(500)).as_micros() as u64)
    }
}

impl fmt::Display for Thousandths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1_000, self.0 % 1_000)
    }
}

impl EventLoopHandle {
    /// Turns debug mode on or off, also while the loop runs (contract DB-1).
    ///
    /// It measures every callback, task step and wait, and reports the slow ones
    /// with the place where they were created. It never changes what runs when.
    ///
    /// # Python
    /// `loop.set_debug(enabled)`. Calls from a wrong thread don't compile here,
    /// so there is nothing to check for.
    pub fn set_debug(&self, enabled: bool) {
        self.inner.debug.is_on.set(enabled);
        self.inner.observers.set(DEBUG, enabled);
        self.inner.debug.begun.set(None);
    }

    /// Tells whether debug mode is on.
    ///
    /// # Python
    /// `loop.get_debug()`.
    #[must_use]
    pub fn debug(&self) -> bool {
        self.inner.debug.is_on()
    }

    /// Sets the duration from which debug mode reports a callback as slow.
    ///
    /// # Python
    /// `loop.slow_callback_duration = duration`.
    pub fn set_slow_callback_duration(&self, duration: Duration) {
        self.inner.debug.slow_callback_duration.set(duration);
    }
}

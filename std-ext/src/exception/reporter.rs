//! What the loop says by itself: lines of the log, a bounded number of each kind.

use core::cell::{Cell, RefCell};
use core::fmt::{self, Write};
use core::hash::{Hash, Hasher};
use core::panic::{AssertUnwindSafe, Location};
use core::time::Duration;
use std::hash::DefaultHasher;
use std::io::{self, Write as _};
use std::panic::catch_unwind;

use log::Level;
use rondel_core::Instant;

use crate::exception::discard;
use crate::{Config, EventLoopHandle};

/// Is the most kinds that are told apart at once; all others are one more.
const KINDS_MAX: usize = 32;

/// Is the most bytes of a kind's name.
const NAME_MAX: usize = 80;

/// Is what kinds are called that are one too many.
const OTHERS: &str = "Reports of other kinds";

/// Writes reports, and counts those that are too many (FAULTS K-07).
///
/// A kind is what happened, and where the thing it happened to was created. Of each
/// kind a number of reports is written, and when the interval that began with the
/// first of them is over, one line says how many more there were. Who says that is
/// whatever comes first: a timer, a report of the same kind, or the end of the loop.
pub(crate) struct Reporter {
    limit: u32,
    interval: Duration,
    kinds: RefCell<Vec<Kind>>,
    others: Cell<Option<Kind>>,
    /// Tells that the timer is armed which ends intervals.
    is_armed: Cell<bool>,
}

/// What is to be reported, before it is known whether it will be.
#[derive(Clone, Copy)]
pub(crate) struct Report<'a> {
    pub(crate) level: Level,
    pub(crate) what: &'a str,
    pub(crate) location: Option<&'static Location<'static>>,
}

/// What became of a report.
struct Admitted {
    is_written: bool,
    /// Is what there is to say about the interval before.
    summary: Option<Kind>,
}

impl Reporter {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            limit: config.reports_per_interval,
            interval: config.report_interval,
            kinds: RefCell::new(Vec::new()),
            others: Cell::new(None),
            is_armed: Cell::new(false),
        }
    }

    fn admit(&self, now: Instant, report: Report<'_>) -> Admitted {
        let mut kinds = self.kinds.borrow_mut();
        let hash = hash_of(report.what);
        let known = kinds.iter().position(|kind| kind.is(hash, report));
        // The place of a kind whose interval is over may be taken.
        let place = known.or_else(|| kinds.iter().position(|kind| kind.is_over(now, self.interval)));
        let new = || Kind::new(hash, report, now);
        let (kind, summary) = match place {
            Some(place) if kinds[place].is_over(now, self.interval) => {
                let former = core::mem::replace(&mut kinds[place], new());
                (&mut kinds[place], former.has_more())
            }
            Some(place) => (&mut kinds[place], None),
            None if kinds.len() < KINDS_MAX => {
                kinds.push(new());
                let last = kinds.len() - 1;
                (&mut kinds[last], None)
            }
            None => return self.admit_other(now, report.level),
        };
        Admitted { is_written: kind.count(self.limit), summary }
    }

    fn admit_other(&self, now: Instant, level: Level) -> Admitted {
        let former = self.others.take();
        let (former, ended) = match former {
            Some(others) if others.is_over(now, self.interval) => (None, others.has_more()),
            others => (others, None),
        };
        let report = Report { level, what: OTHERS, location: None };
        let mut others = former.unwrap_or_else(|| Kind::new(0, report, now));
        others.level = others.level.min(level);
        let is_written = others.count(self.limit);
        self.others.set(Some(others));
        Admitted { is_written, summary: ended }
    }

    /// Takes out a kind of which there were more reports than were written, and
    /// whose interval is over.
    fn take_ended(&self, now: Instant) -> Option<Kind> {
        let mut kinds = self.kinds.borrow_mut();
        let is_ended = |kind: &Kind| kind.suppressed > 0 && kind.is_over(now, self.interval);
        if let Some(place) = kinds.iter().position(is_ended) {
            return Some(kinds.swap_remove(place));
        }
        let others = self.others.take();
        if others.is_some_and(|others| is_ended(&others)) {
            return others;
        }
        self.others.set(others);
        None
    }

    /// Says of all kinds how many reports were not written.
    pub(crate) fn finish(&self) {
        let kinds = self.kinds.take();
        for kind in kinds.into_iter().chain(self.others.take()) {
            kind.summarize(self.interval);
        }
    }

    /// Tells whether something is left to be said when its interval is over.
    fn has_suppressed(&self) -> bool {
        let has = |kind: &Kind| kind.suppressed > 0;
        self.kinds.borrow().iter().any(has) || self.others.get().as_ref().is_some_and(has)
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.finish();
    }
}

/// What is counted together.
#[derive(Clone, Copy)]
struct Kind {
    hash: u64,
    location: Option<&'static Location<'static>>,
    name: Name,
    level: Level,
    begun: Instant,
    written: u32,
    suppressed: u64,
}

impl Kind {
    fn new(hash: u64, report: Report<'_>, now: Instant) -> Self {
        let Report { level, what, location } = report;
        Self { hash, location, name: Name::new(what), level, begun: now, written: 0, suppressed: 0 }
    }

    fn is(&self, hash: u64, report: Report<'_>) -> bool {
        self.hash == hash && self.location == report.location
    }

    fn is_over(&self, now: Instant, interval: Duration) -> bool {
        now - self.begun >= interval
    }

    /// Counts a report; tells whether it is to be written.
    fn count(&mut self, limit: u32) -> bool {
        let is_written = self.written < limit;
        if is_written {
            self.written += 1;
        } else {
            self.suppressed += 1;
        }
        is_written
    }

    fn has_more(self) -> Option<Self> {
        (self.suppressed > 0).then_some(self)
    }

    /// Says how many reports were not written, if there were any.
    fn summarize(&self, interval: Duration) {
        let Self { suppressed: count @ 1.., name, level, .. } = *self else { return };
        match self.location {
            Some(location) => write_line(
                level,
                format_args!("{name} (created at {location}): suppressed {count} more within {interval:?}"),
            ),
            None => write_line(level, format_args!("{name}: suppressed {count} more within {interval:?}")),
        }
    }
}

/// The begin of a text, without memory of its own.
#[derive(Clone, Copy)]
struct Name {
    bytes: [u8; NAME_MAX],
    len: usize,
}

impl Name {
    fn new(text: &str) -> Self {
        let mut name = Self { bytes: [0; NAME_MAX], len: 0 };
        // Fails when it is full.
        let _ = name.write_str(text);
        name
    }
}

impl Write for Name {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            let end = self.len + character.len_utf8();
            let room = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
            character.encode_utf8(room);
            self.len = end;
        }
        Ok(())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(core::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default())
    }
}

fn hash_of(what: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

impl EventLoopHandle {
    /// Writes `line` to the log, or counts it if there were many of its kind.
    pub(crate) fn report(&self, report: Report<'_>, line: fmt::Arguments<'_>) {
        let reporter = &self.inner.reporter;
        let admitted = reporter.admit(self.time(), report);
        if let Some(kind) = admitted.summary {
            kind.summarize(reporter.interval);
        }
        if admitted.is_written {
            write_line(report.level, line);
        } else {
            self.arm_end_of_intervals();
        }
    }

    /// Has a timer say what was not written. Without room for one, or on a loop
    /// that doesn't run, the next report or the end of the loop does.
    fn arm_end_of_intervals(&self) {
        let reporter = &self.inner.reporter;
        if reporter.is_armed.get() {
            return;
        }
        let timer = self.call_later(reporter.interval, |event_loop| event_loop.end_intervals());
        reporter.is_armed.set(timer.is_ok());
    }

    fn end_intervals(&self) {
        let reporter = &self.inner.reporter;
        reporter.is_armed.set(false);
        while let Some(kind) = reporter.take_ended(self.time()) {
            kind.summarize(reporter.interval);
        }
        if reporter.has_suppressed() {
            self.arm_end_of_intervals();
        }
    }
}

/// Writes one line to the log, or to standard error if there is no logger. What
/// goes wrong in it, a panic of the logger included, ends here (EH-5).
pub(crate) fn write_line(level: Level, line: fmt::Arguments<'_>) {
    let written = catch_unwind(AssertUnwindSafe(|| {
        if log::max_level() == log::LevelFilter::Off {
            // Not `eprintln`, which panics where nobody reads any more: a program without unwinding would end.
            let _ = writeln!(io::stderr(), "{line}");
        } else {
            log::log!(target: "rondel", level, "{line}");
        }
    }));
    if let Err(payload) = written {
        discard(payload);
    }
}

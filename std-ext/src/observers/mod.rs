//! Who looks on while the loop runs.

pub(crate) mod debug;
pub(crate) mod metrics;
pub(crate) mod pulse;
pub(crate) mod watchdog;

use core::cell::{Cell, RefCell};
use std::sync::Arc;

use rondel_core::Running;

use crate::exception::method::RunningMethod;
use crate::observers::pulse::{Pulse, Seen};
use crate::observers::watchdog::Watchdog;

/// Debug mode measures.
pub(crate) const DEBUG: u8 = 1;
/// Another thread counts the turns.
const COUNTED: u8 = 1 << 1;
/// A watchdog wants to know what runs.
const WATCHED: u8 = 1 << 2;
/// Metrics measure.
pub(crate) const METRICS: u8 = 1 << 3;

/// Who looks on, in one byte, so that a callback that nobody looks at pays for one
/// look at that; and what the loop lets other threads see.
#[derive(Debug)]
pub(crate) struct Observers {
    on: Cell<u8>,
    seen: Arc<Seen>,
    watchdog: RefCell<Option<Watchdog>>,
}

impl Observers {
    pub(crate) fn new(is_debug: bool, is_metrics: bool) -> Self {
        let on = Cell::new(if is_debug { DEBUG } else { 0 } | if is_metrics { METRICS } else { 0 });
        Self { on, seen: Arc::default(), watchdog: RefCell::default() }
    }

    #[inline]
    pub(crate) fn is_any(&self) -> bool {
        self.on.get() != 0
    }

    /// Tells whether somebody wants to know how long things take.
    #[inline]
    pub(crate) fn are_measuring(&self) -> bool {
        self.has(DEBUG | METRICS)
    }

    #[inline]
    fn has(&self, observer: u8) -> bool {
        self.on.get() & observer != 0
    }

    pub(crate) fn set(&self, observer: u8, is_on: bool) {
        let others = self.on.get() & !observer;
        self.on.set(if is_on { others | observer } else { others });
    }

    pub(crate) fn seen(&self) -> &Arc<Seen> {
        &self.seen
    }

    pub(crate) fn begin_pulse(&self) -> Pulse {
        self.set(COUNTED, true);
        Pulse { seen: Arc::clone(&self.seen) }
    }

    pub(crate) fn set_watchdog(&self, watchdog: Option<Watchdog>) {
        self.set(WATCHED, watchdog.is_some());
        self.seen.rest();
        let former = self.watchdog.replace(watchdog);
        drop(former);
    }

    pub(crate) fn begin_callback(&self, running: &Running) {
        if self.has(WATCHED) {
            self.seen.begin(*running);
        }
    }

    /// Notes that the loop looks at the outside, and may wait there.
    pub(crate) fn begin_wait(&self) {
        if self.has(COUNTED) {
            self.seen.turn();
        }
        self.rest();
    }

    /// Notes that nothing of the user's runs.
    pub(crate) fn rest(&self) {
        if self.has(WATCHED) {
            self.seen.rest();
        }
    }

    /// Tells whether somebody wants to know which methods run.
    #[inline]
    pub(crate) fn look_at_methods(&self) -> bool {
        self.has(DEBUG | WATCHED)
    }

    /// Notes which method runs, and returns which did.
    pub(crate) fn replace_method(&self, method: Option<RunningMethod>) -> Option<RunningMethod> {
        if self.has(WATCHED) { self.seen.replace_method(method) } else { None }
    }
}

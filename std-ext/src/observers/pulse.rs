//! What other threads can see of a running loop.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rondel_core::Running;

use crate::EventLoopHandle;
use crate::exception::method::RunningMethod;

/// Tells other threads whether a loop turns: what feeds a watchdog outside of the
/// process only while it does.
///
/// ```
/// # rondel::run(async |event_loop| {
/// let pulse = event_loop.pulse();
/// let before = pulse.turns();
/// event_loop.sleep(core::time::Duration::from_millis(1)).await?;
/// assert!(std::thread::spawn(move || pulse.turns()).join().unwrap() > before);
/// # Ok(())
/// # })?;
/// # Ok::<(), rondel::Error>(())
/// ```
#[derive(Clone)]
pub struct Pulse {
    pub(crate) seen: Arc<Seen>,
}

impl Pulse {
    /// Counts how often the loop has looked at the outside since the first pulse was
    /// taken. A loop with nothing to do sleeps and doesn't turn: who expects it to
    /// gives it a timer.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.seen.turns.load(Relaxed)
    }
}

impl fmt::Debug for Pulse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pulse {{ turns: {} }}", self.turns())
    }
}

impl EventLoopHandle {
    /// Returns what other threads can ask whether this loop turns.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        self.inner.observers.begin_pulse()
    }
}

/// What a loop lets other threads see.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    turns: AtomicU64,
    activity: Mutex<Activity>,
}

/// What the loop does.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Activity {
    /// Counts what the loop has run.
    pub(crate) steps: u64,
    /// Is what it runs, `None` while it waits or stands.
    pub(crate) running: Option<Running>,
    /// Is which method of whose protocol runs within that.
    pub(crate) method: Option<RunningMethod>,
}

impl Seen {
    /// The lock is held for as long as it takes to copy what is in it.
    fn lock(&self) -> MutexGuard<'_, Activity> {
        self.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn activity(&self) -> Activity {
        *self.lock()
    }

    pub(crate) fn turn(&self) {
        self.turns.fetch_add(1, Relaxed);
    }

    /// Notes what begins. Its end needs no note: the next thing follows at once, or
    /// the loop waits.
    pub(crate) fn begin(&self, running: Running) {
        let mut activity = self.lock();
        *activity = Activity { steps: activity.steps + 1, running: Some(running), method: None };
    }

    pub(crate) fn replace_method(&self, method: Option<RunningMethod>) -> Option<RunningMethod> {
        core::mem::replace(&mut self.lock().method, method)
    }

    /// Notes that nothing runs.
    pub(crate) fn rest(&self) {
        let mut activity = self.lock();
        activity.running = None;
        activity.method = None;
    }
}

//! The children that are waited for here: those of all loops of the process, in any thread.
//!
//! Who reaps orphans takes none of these. So who starts a child holds a lock until it is noted, and who
//! reaps orphans waits for that: in between a child that ends at once would look like an orphan.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

/// Counts how many children have a number: one that was reaped may be gone, and its number another's,
/// before it is forgotten.
type Numbers = BTreeMap<libc::pid_t, usize>;

/// Several threads may start children at the same time, and nobody does while orphans are reaped.
static AWAITED: RwLock<Mutex<Numbers>> = RwLock::new(Mutex::new(BTreeMap::new()));

/// Keeps orphans from being reaped while a child is started.
pub(super) struct Starting(RwLockReadGuard<'static, Mutex<Numbers>>);

impl Starting {
    pub(super) fn new() -> Self {
        Self(AWAITED.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes a child that will be waited for.
    pub(super) fn note(&self, pid: libc::pid_t) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(pid).or_default() += 1;
    }
}

/// Forgets a child that was reaped, or that nobody will wait for.
pub(super) fn forget(pid: libc::pid_t) {
    let starting = Starting::new();
    let mut numbers = starting.0.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(count) = numbers.get_mut(&pid) {
        *count -= 1;
        if *count == 0 {
            numbers.remove(&pid);
        }
    }
}

/// Calls `reap` with what tells whether a child is waited for; none is started meanwhile.
pub(super) fn while_none_is_started<R>(reap: impl FnOnce(&dyn Fn(libc::pid_t) -> bool) -> R) -> R {
    let mut awaited = AWAITED.write().unwrap_or_else(PoisonError::into_inner);
    let numbers = awaited.get_mut().unwrap_or_else(PoisonError::into_inner);
    reap(&|pid| numbers.contains_key(&pid))
}

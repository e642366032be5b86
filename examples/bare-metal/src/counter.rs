//! A count that every processor can keep, also one that can only load and store.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Counts what happens in thread mode: an addition in a handler may be lost.
#[derive(Debug)]
pub struct Counter(AtomicU32);

impl Counter {
    /// Makes a counter that stands at zero, for a `static`.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Returns the count.
    #[must_use]
    pub fn get(&self) -> u32 {
        self.0.load(Relaxed)
    }

    /// Adds to the count, and returns what it was.
    pub fn add(&self, what: u32) -> u32 {
        let before = self.get();
        self.0.store(before.wrapping_add(what), Relaxed);
        before
    }

    /// Returns the count, and begins anew.
    pub fn take(&self) -> u32 {
        let before = self.get();
        self.0.store(0, Relaxed);
        before
    }
}

impl Default for Counter {
    fn default() -> Self {
        Self::new()
    }
}

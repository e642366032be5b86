//! The gate between those who ring and the one who closes.
//!
//! ```text
//!  ring:   ringers += 1  ->  fd?  -- open --> strike(fd)  ->  ringers -= 1
//!                             '---- closed --> missed = true
//!  close:  fd = CLOSED   ->  wait until ringers == 0      ->  it is the caller's again
//! ```
//!
//! With sequentially consistent atomics, either the ringer sees `CLOSED` or `close` sees the ringer.

use core::sync::atomic::Ordering::SeqCst;

use crate::sync::{AtomicBool, AtomicI32, AtomicU32, yield_now};

/// Stands for "no descriptor".
const CLOSED: i32 = -1;

/// Lends a descriptor to whoever rings, and takes it back when it closes.
#[derive(Debug)]
pub(super) struct Gate {
    /// The descriptor, or [`CLOSED`].
    /// Invariant: the gate's own for as long as `ringers` isn't 0.
    fd: AtomicI32,
    /// How many ringers may be holding a copy of `fd`.
    ringers: AtomicU32,
    /// Set by a ring that found no descriptor.
    missed: AtomicBool,
}

impl Gate {
    /// Makes a gate without a descriptor, fit for a `static`.
    pub(super) const fn new() -> Self {
        Self { fd: AtomicI32::new(CLOSED), ringers: AtomicU32::new(0), missed: AtomicBool::new(false) }
    }

    /// Calls `strike` with the descriptor, or remembers that there was none.
    pub(super) fn ring(&self, strike: impl Fn(i32)) {
        while !self.try_ring(&strike) {}
    }

    /// Passes once; answers false if the gate was closed or opened at that very moment, and the ring
    /// must begin anew.
    fn try_ring(&self, strike: impl Fn(i32)) -> bool {
        if self.fd.load(SeqCst) == CLOSED {
            self.missed.store(true, SeqCst);
            // Who opens stores the descriptor and then looks at `missed`, so one of us sees the other.
            // Not counted among the ringers until here, so that `close` needn't wait for latecomers.
            return self.fd.load(SeqCst) == CLOSED;
        }
        self.ringers.fetch_add(1, SeqCst);
        let fd = self.fd.load(SeqCst);
        if fd != CLOSED {
            strike(fd);
        }
        self.ringers.fetch_sub(1, SeqCst);
        fd != CLOSED
    }

    /// Tells, once, that somebody rang while there was no descriptor.
    pub(super) fn take_missed(&self) -> bool {
        // The load spares the line of memory when there is nothing, and must be as strong as the swap.
        self.missed.load(SeqCst) && self.missed.swap(false, SeqCst)
    }

    /// Takes `fd` over, and rings if somebody did before; false if there is one already.
    pub(super) fn open(&self, fd: i32, strike: impl Fn(i32)) -> bool {
        if self.fd.compare_exchange(CLOSED, fd, SeqCst, SeqCst).is_err() {
            return false;
        }
        if self.take_missed() {
            self.ring(strike);
        }
        true
    }

    /// Gives the descriptor back, if there is one, to this caller alone.
    ///
    /// Waits for the ringers that are between reading it and striking; those that come later don't
    /// count, so the wait is as long as one strike.
    pub(super) fn close(&self) -> Option<i32> {
        let fd = self.fd.swap(CLOSED, SeqCst);
        if fd == CLOSED {
            return None;
        }
        while self.ringers.load(SeqCst) != 0 {
            yield_now();
        }
        Some(fd)
    }
}

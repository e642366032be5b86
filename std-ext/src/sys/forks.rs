//! Forks of the process, as far as libc knows of them: a loop belongs to the process that made it.
#![allow(unsafe_code, reason = "registers a handler with libc")]

use core::sync::atomic::{AtomicU32, Ordering};
use std::io;
use std::sync::Once;

/// Counts the forks that lie between the process and the first one with a loop.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// Tells in which process a loop was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Birthplace(u32);

impl Birthplace {
    /// Is this process.
    pub(super) fn here() -> Self {
        static WATCHED: Once = Once::new();
        WATCHED.call_once(|| {
            // SAFETY: `count` lives for ever, and does what is allowed between a fork and an exec. Without
            // memory for the handler forks are not noticed, and nothing else happens.
            unsafe { libc::pthread_atfork(None, None, Some(count)) };
        });
        Self(FORKS.load(Ordering::Relaxed))
    }

    /// Tells whether this is the process.
    #[inline]
    pub(super) fn is_here(self) -> bool {
        self.0 == FORKS.load(Ordering::Relaxed)
    }

    /// Refuses any other process: what it did to the loop's descriptors, it would do to the parent's.
    ///
    /// # Errors
    /// `PermissionDenied`.
    #[inline]
    pub(super) fn check(self) -> io::Result<()> {
        if self.is_here() { Ok(()) } else { Err(elsewhere()) }
    }
}

#[cold]
fn elsewhere() -> io::Error {
    let message = "the process has forked: the loop belongs to the parent, and a child makes its own";
    io::Error::new(io::ErrorKind::PermissionDenied, message)
}

/// Is called in a child.
extern "C" fn count() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

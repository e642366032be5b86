//! Assertions that don't panic, and a trace of what ran.

use core::panic::Location;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

/// What a scenario comes back with: where it went wrong.
pub type Checked = Result<(), &'static Location<'static>>;

#[track_caller]
pub fn check(holds: bool) -> Checked {
    if holds { Ok(()) } else { Err(Location::caller()) }
}

/// Is the value, if there is one.
pub trait OrFail<T> {
    #[track_caller]
    fn or_fail(self) -> Result<T, &'static Location<'static>>;
}

impl<T> OrFail<T> for Option<T> {
    #[track_caller]
    fn or_fail(self) -> Result<T, &'static Location<'static>> {
        let location = Location::caller();
        self.ok_or(location)
    }
}

impl<T, E> OrFail<T> for Result<T, E> {
    #[track_caller]
    fn or_fail(self) -> Result<T, &'static Location<'static>> {
        let location = Location::caller();
        self.map_err(|_| location)
    }
}

/// Holds the digits that were traced, the last one lowest.
static TRACE: AtomicU64 = AtomicU64::new(0);

/// Appends a digit to the trace.
pub fn trace(digit: u64) {
    TRACE.store(TRACE.load(Ordering::Relaxed) * 10 + digit, Ordering::Relaxed);
}

/// Compares the trace, and begins a new one.
#[track_caller]
pub fn check_trace(expected: u64) -> Checked {
    check(TRACE.swap(0, Ordering::Relaxed) == expected)
}

pub const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

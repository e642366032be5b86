//! Points in time as the loop's clock counts them.

use core::fmt;
use core::ops::{Add, Sub};
use core::time::Duration;

/// Counts nanoseconds since an origin that the driver chose.
///
/// The clock is monotonic and unrelated to the wall clock. All arithmetic
/// saturates: what would lie beyond [`Instant::MAX`] (584 years) is
/// `Instant::MAX`, which as a deadline means "never"; what would lie before the
/// origin is the origin (FAULTS T-02).
///
/// # Python
/// The value of `loop.time()`, there a float of seconds. There is no NaN here
/// (contract T-9), and no rounding.
///
/// ```
/// use core::time::Duration;
/// use rondel_core::Instant;
///
/// let noon = Instant::from_nanos(1_000);
/// assert_eq!(noon + Duration::from_nanos(5), Instant::from_nanos(1_005));
/// assert_eq!(noon + Duration::MAX, Instant::MAX);
/// assert_eq!(noon - (noon + Duration::from_secs(1)), Duration::ZERO);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// Is the origin of the clock.
    pub const ZERO: Self = Self(0);

    /// Is the last instant; as a deadline it means "never".
    pub const MAX: Self = Self(u64::MAX);

    /// Makes an instant from nanoseconds since the clock's origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Returns the nanoseconds since the clock's origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Returns the seconds since the clock's origin, as `loop.time()` would.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a float is what is asked for")]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// Returns the time from `earlier` to `self`, zero if `earlier` is later.
    #[must_use]
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Returns the instant `duration` after this one, [`Instant::MAX`] at most.
    #[must_use]
    pub const fn saturating_add(self, duration: Duration) -> Self {
        // `as_nanos` of `Duration::MAX` needs 94 bits.
        let nanos = duration.as_nanos();
        if nanos > u64::MAX as u128 {
            return Self::MAX;
        }
        Self(self.0.saturating_add(nanos as u64))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        self.saturating_add(duration)
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}s", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

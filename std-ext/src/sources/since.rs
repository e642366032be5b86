//! When something last happened to a descriptor, in four bytes.

use rondel_core::Instant;

/// Is the logarithm of the nanoseconds that are counted as one: 67 ms.
const SHIFT: u32 = 26;

/// An instant of the last nine years, to the fifteenth of a second before it.
#[derive(Clone, Copy)]
pub(super) struct Since(u32);

impl Since {
    #[inline]
    pub(super) const fn new(instant: Instant) -> Self {
        Self((instant.as_nanos() >> SHIFT) as u32)
    }

    /// Returns the instant, which is not after `now`.
    pub(super) const fn instant(self, now: Instant) -> Instant {
        let now = now.as_nanos() >> SHIFT;
        let age = (now as u32).wrapping_sub(self.0);
        Instant::from_nanos(now.saturating_sub(age as u64) << SHIFT)
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[test]
    fn it_is_known_to_a_fifteenth_of_a_second_for_nine_years() {
        const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
        for age in [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(3), YEAR, 9 * YEAR] {
            for then in [Instant::ZERO, Instant::ZERO + Duration::from_millis(100), Instant::ZERO + 30 * YEAR]
            {
                let shown = Since::new(then).instant(then + age);
                assert!(
                    shown <= then && then - shown < Duration::from_secs(1) / 14,
                    "{shown:?} for {then:?}"
                );
            }
        }
    }
}

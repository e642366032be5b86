//! How long before its deadline a timer was armed, in three bytes.

use crate::Instant;

/// Is how many of the leading bits are kept.
const DIGITS: u32 = 18;

/// A duration in three bytes: its leading bits, and by how many places they are shifted. It is short
/// by less than eight millionths.
///
/// The slot of a call is a line of the cache, and has no room for an instant beside the deadline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delay([u8; 3]);

impl Delay {
    pub(crate) const ZERO: Self = Self([0; 3]);

    /// Returns the time from `now` to `when`, zero if that has passed.
    #[inline]
    pub(crate) const fn between(now: Instant, when: Instant) -> Self {
        let nanos = when.as_nanos().saturating_sub(now.as_nanos());
        let shift = u64::BITS - DIGITS - (nanos | 1 << (DIGITS - 1)).leading_zeros();
        let digits = (nanos >> shift) as u32;
        let [low, middle, high, _] = (shift << DIGITS | digits).to_le_bytes();
        Self([low, middle, high])
    }

    /// Returns the instant that is this much before `when`.
    pub(crate) const fn before(self, when: Instant) -> Instant {
        let [low, middle, high] = self.0;
        let bits = u32::from_le_bytes([low, middle, high, 0]);
        let nanos = ((bits & ((1 << DIGITS) - 1)) as u64) << (bits >> DIGITS);
        Instant::from_nanos(when.as_nanos().saturating_sub(nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_short_by_less_than_eight_millionths() {
        let when = Instant::MAX;
        for shift in 0..63 {
            for nanos in [1 << shift, (1 << shift) + 1, (2 << shift) - 1, 3 << shift >> 1] {
                let now = Instant::from_nanos(when.as_nanos() - nanos);
                let found = Delay::between(now, when).before(when);
                assert!(found >= now, "not before it was armed");
                let short = found.as_nanos() - now.as_nanos();
                assert!(u128::from(short) * 1_000_000 < u128::from(nanos) * 8, "{nanos}: {short}");
            }
        }
    }

    #[test]
    fn short_delays_are_exact() {
        for nanos in [0, 1, 1000, (1 << DIGITS) - 1] {
            let (now, when) = (Instant::from_nanos(5), Instant::from_nanos(5 + nanos));
            assert_eq!(Delay::between(now, when).before(when), now);
        }
    }

    #[test]
    fn what_is_due_has_no_delay() {
        let now = Instant::from_nanos(1_000_000);
        for when in [Instant::ZERO, Instant::from_nanos(999_999), now] {
            assert_eq!(Delay::between(now, when).before(when), when);
        }
    }
}

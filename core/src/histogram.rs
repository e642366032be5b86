//! How values are distributed, in memory of a fixed size.

use core::fmt;
use core::time::Duration;

/// Divides each power of two into four buckets: the error of a quantile is a quarter at most.
const STEP_BITS: u32 = 2;
const STEPS: usize = 1 << STEP_BITS;

/// Counts values, durations for one, in buckets of fixed bounds.
///
/// Each of the values 0 to 3 has a bucket of its own; from there on four buckets
/// of equal width divide each power of two, and the last one takes all that is
/// beyond. The 160 buckets that there are by default tell values below 2⁴¹ apart: in
/// nanoseconds those are 36 minutes, in 1.3 KB. A microcontroller may do with
/// fewer: `Histogram<96>` tells values below 2²⁵ apart.
///
/// All counts saturate. Nothing is ever allocated.
///
/// ```
/// use rondel_core::Histogram;
///
/// let mut latencies = Histogram::<160>::new();
/// for latency in 1..=1000 {
///     latencies.record(latency);
/// }
/// assert_eq!((latencies.count(), latencies.sum(), latencies.max()), (1000, 500_500, 1000));
/// // The median is 500; what comes out is at most a quarter more.
/// assert_eq!(latencies.quantile(0.5), Some(511));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Histogram<const BUCKETS: usize = 160> {
    counts: [u64; BUCKETS],
    sum: u64,
    max: u64,
}

impl<const BUCKETS: usize> Histogram<BUCKETS> {
    /// Makes a histogram without values. One without buckets doesn't compile.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(BUCKETS > 0, "a histogram has a bucket for what is beyond the others") };
        Self { counts: [0; BUCKETS], sum: 0, max: 0 }
    }

    /// Counts `value`.
    #[inline]
    pub fn record(&mut self, value: u64) {
        if let Some(count) = self.counts.get_mut(bucket_of(value).min(BUCKETS - 1)) {
            *count = count.saturating_add(1);
        }
        self.sum = self.sum.saturating_add(value);
        self.max = self.max.max(value);
    }

    /// Counts `duration` in nanoseconds.
    #[inline]
    pub fn record_duration(&mut self, duration: Duration) {
        self.record(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Adds the values of another histogram: that of another loop.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*more);
        }
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
    }

    /// Counts the values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Returns the sum of the values, exactly.
    #[must_use]
    pub const fn sum(&self) -> u64 {
        self.sum
    }

    /// Returns the largest value, exactly; zero without values.
    #[must_use]
    pub const fn max(&self) -> u64 {
        self.max
    }

    /// Returns a bound that the share `q` of the values is at or below, `None`
    /// without values: the median for 0.5, [`max`](Self::max) for 1.
    ///
    /// With `v` the smallest value of which that is true, the bound is at least `v`
    /// and at most 5/4 of it, and `v` itself below 4; for a `v` in the last bucket it
    /// is the largest of all values. A `q` below zero counts as zero, which asks for
    /// the least value, and one above one as one.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "beyond 2⁵³ values one more or less is no matter")]
    pub fn quantile(&self, q: f64) -> Option<u64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let wanted = q.clamp(0.0, 1.0) * count as f64;
        let below = wanted as u64;
        let rank = if (below as f64) < wanted { below + 1 } else { below };
        let rank = rank.clamp(1, count);
        let mut seen: u64 = 0;
        let reached = self.buckets().find(|(_, count)| {
            seen = seen.saturating_add(*count);
            seen >= rank
        });
        reached.map(|(bound, _)| bound.min(self.max))
    }

    /// Returns, from the lowest bucket to the highest, the largest value that it
    /// takes, and how many it has taken. That of the last is `u64::MAX`.
    ///
    /// Summed up on the way the counts are what Prometheus calls buckets.
    pub fn buckets(&self) -> impl ExactSizeIterator<Item = (u64, u64)> {
        self.counts.iter().enumerate().map(|(index, count)| {
            let bound = if index + 1 == BUCKETS { u64::MAX } else { bound_of(index) };
            (bound, *count)
        })
    }
}

/// Returns the bucket of `value`, where there is no end of buckets.
#[inline]
const fn bucket_of(value: u64) -> usize {
    if value < STEPS as u64 {
        return value as usize;
    }
    let exponent = u64::BITS - 1 - value.leading_zeros();
    let step = (value >> (exponent - STEP_BITS)) as usize & (STEPS - 1);
    (exponent - STEP_BITS + 1) as usize * STEPS + step
}

/// Returns the largest value of a bucket.
const fn bound_of(index: usize) -> u64 {
    if index < STEPS {
        return index as u64;
    }
    let shift = index / STEPS - 1;
    let first = (STEPS + index % STEPS) as u128;
    let next = (first + 1) << if shift < u64::BITS as usize { shift } else { u64::BITS as usize };
    if next > u64::MAX as u128 { u64::MAX } else { next as u64 - 1 }
}

impl<const BUCKETS: usize> Default for Histogram<BUCKETS> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const BUCKETS: usize> fmt::Debug for Histogram<BUCKETS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [half, most] = [0.5, 0.99].map(|q| self.quantile(q).unwrap_or(0));
        let (count, max) = (self.count(), self.max);
        write!(f, "Histogram {{ count: {count}, p50: {half}, p99: {most}, max: {max} }}")
    }
}

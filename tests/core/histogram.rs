//! Histograms, against the values themselves.

use core::time::Duration;

use rondel_core::Histogram;

/// Returns values of all magnitudes below `bits` bits.
fn values(seed: u64, bits: u32) -> Vec<u64> {
    let mut random = fastrand::Rng::with_seed(seed);
    let count = random.usize(1..400);
    (0..count).map(|_| random.u64(..) >> random.u32(64 - bits..64)).collect()
}

fn recorded<const BUCKETS: usize>(values: &[u64]) -> Histogram<BUCKETS> {
    let mut histogram = Histogram::new();
    values.iter().for_each(|value| histogram.record(*value));
    histogram
}

#[test]
fn quantiles_are_at_most_a_quarter_above_the_exact_ones_and_never_below() {
    for seed in 0..100 {
        let mut values = values(seed, 41);
        let histogram = recorded::<160>(&values);
        values.sort_unstable();
        for permille in 0..=1000 {
            let rank = (values.len() * permille).div_ceil(1000).max(1);
            let exact = values[rank - 1];
            let bound = histogram.quantile(permille as f64 / 1000.0).unwrap();
            // A share that no float is exactly may be the next rank's.
            let next = values[rank.min(values.len() - 1)];
            assert!(exact <= bound && bound <= next + next / 4, "seed {seed}, {permille} ‰: {exact} {bound}");
            assert!(exact >= 4 || next >= 4 || bound <= next, "small values are exact: {exact} {bound}");
        }
        assert_eq!(histogram.quantile(1.0), values.last().copied());
    }
}

#[test]
fn counts_sums_and_maxima_are_exact() {
    for seed in 0..200 {
        let values = values(seed, 41);
        let histogram = recorded::<160>(&values);
        assert_eq!(histogram.count(), values.len() as u64);
        assert_eq!(histogram.sum(), values.iter().sum::<u64>());
        assert_eq!(histogram.max(), *values.iter().max().unwrap());
    }
}

#[test]
fn each_value_is_in_the_first_bucket_whose_bound_is_not_below_it() {
    for seed in 0..100 {
        let values = values(seed, 64);
        let histogram = recorded::<160>(&values);
        let mut below = None;
        for (bound, count) in histogram.buckets() {
            let is_in = |value: &&u64| **value <= bound && below.is_none_or(|below| **value > below);
            assert_eq!(count, values.iter().filter(is_in).count() as u64, "seed {seed}, up to {bound}");
            assert!(below.is_none_or(|below| below < bound), "bounds rise");
            below = Some(bound);
        }
        assert_eq!(below, Some(u64::MAX));
    }
}

#[test]
fn bounds_are_where_they_are_said_to_be() {
    let bounds: Vec<u64> = Histogram::<14>::new().buckets().map(|(bound, _)| bound).collect();
    assert_eq!(bounds, [0, 1, 2, 3, 4, 5, 6, 7, 9, 11, 13, 15, 19, u64::MAX]);
    let bound_before_last = |bounds: Vec<(u64, u64)>| bounds[bounds.len() - 2].0;
    assert_eq!(bound_before_last(Histogram::<161>::new().buckets().collect()), (1 << 41) - 1);
    assert_eq!(bound_before_last(Histogram::<97>::new().buckets().collect()), (1 << 25) - 1);
    // More than there are values for: all are told apart by then.
    assert_eq!(bound_before_last(Histogram::<500>::new().buckets().collect()), u64::MAX);
}

#[test]
fn what_is_beyond_the_buckets_is_in_the_last() {
    let mut histogram = recorded::<8>(&[1, 100, u64::MAX]);
    assert_eq!(histogram.buckets().last(), Some((u64::MAX, 2)));
    assert_eq!((histogram.quantile(0.3), histogram.quantile(0.5)), (Some(1), Some(u64::MAX)));
    // Saturates: a sum never steps back.
    assert_eq!((histogram.sum(), histogram.max(), histogram.count()), (u64::MAX, u64::MAX, 3));
    histogram.record_duration(Duration::MAX);
    assert_eq!((histogram.sum(), histogram.count()), (u64::MAX, 4));
    let mut only = recorded::<1>(&[7]);
    only.record(9);
    assert_eq!((only.quantile(0.0), only.buckets().len()), (Some(9), 1));
}

#[test]
fn shares_that_are_none_are_taken_for_the_nearest() {
    assert_eq!(Histogram::<160>::new().quantile(0.5), None);
    let histogram = recorded::<160>(&[1, 2, 3]);
    assert_eq!(histogram.quantile(-1.0), Some(1));
    assert_eq!(histogram.quantile(f64::NAN), Some(1));
    assert_eq!(histogram.quantile(2.0), Some(3));
    assert_eq!(histogram.quantile(f64::INFINITY), Some(3));
}

#[test]
fn merged_is_as_if_recorded_in_one() {
    for seed in 0..100 {
        let (some, more) = (values(seed, 64), values(seed + 1000, 64));
        let mut merged = recorded::<160>(&some);
        merged.merge(&recorded(&more));
        assert_eq!(merged, recorded(&[some, more].concat()));
    }
}

#[test]
fn shows_what_matters() {
    let histogram = recorded::<160>(&[1, 2, 3, 100]);
    assert_eq!(format!("{histogram:?}"), "Histogram { count: 4, p50: 2, p99: 100, max: 100 }");
}

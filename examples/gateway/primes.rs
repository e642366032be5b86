//! Something that takes long: it must not run in the loop.

/// Is the highest limit: one byte of memory for each number below.
pub(crate) const LIMIT_MAX: usize = 20_000_000;

/// Counts the primes below `limit`.
pub(crate) fn count(limit: usize) -> usize {
    let mut is_composite = vec![false; limit.max(2)];
    let mut count = 0;
    for number in 2..limit {
        if is_composite[number] {
            continue;
        }
        count += 1;
        for multiple in (number * number..limit).step_by(number) {
            is_composite[multiple] = true;
        }
    }
    count
}

//! W-07: the numbers of creations come to their end, amid everything else. From
//! then on all that would be created is refused and given back, what was accepted
//! goes on, and a stale handle names nothing.

use fastrand::Rng;

use crate::exhaustive::search_with;
use crate::generate;
use crate::lockstep::check;
use crate::ops::{Capacity, Op};
use crate::random::{OPS, SIZES, seeds};

/// Are the numbers that two bits tell apart.
const FEW: u64 = 4;

fn every_sequence(size: usize) {
    for creations in 0..=FEW {
        search_with::<true>(size, creations);
        search_with::<false>(size, creations);
    }
}

#[test]
fn w07_every_sequence_around_the_end_of_all_creations_at_capacity_1() {
    every_sequence(1);
}

#[test]
fn w07_every_sequence_around_the_end_of_all_creations_at_capacity_2() {
    every_sequence(2);
}

#[test]
fn w07_every_sequence_around_the_end_of_all_creations_at_capacity_3() {
    every_sequence(3);
}

#[test]
fn w07_random_scripts_around_the_end_of_all_creations() {
    for seed in seeds() {
        let mut rng = Rng::with_seed(seed);
        let Capacity(calls, futures, tasks, _) = generate::capacity(&mut rng, &SIZES);
        let ops: Vec<Op> = generate::ops(&mut rng, OPS).collect();
        let name = format!("RONDEL_MODEL_SEEDS=={seed}");
        let capacity = Capacity(calls, futures, tasks, rng.u64(..400));
        check::<true>(capacity, &ops, &name);
        check::<false>(capacity, &ops, &name);
    }
}

//! Every sequence of operations up to a length, at capacities 1, 2 and 3.
//!
//! Two sequences after which the reference is in the same state, down to which
//! slot of which table is used next, go on alike: only the first is continued, and
//! `Reference::key` says what is the same. An operation that has nothing to act on
//! is left out. `RONDEL_MODEL_DEPTH` is the length; `.ci/run deep` asks for 9.

use std::collections::HashSet;

use crate::generate::alphabet;
use crate::lockstep::check;
use crate::ops::{Capacity, ENDLESS, Op};
use crate::real::Real;
use crate::reference::Reference;

/// Is the length in a plain `cargo test`, by capacity.
const DEPTHS: [usize; 3] = [6, 5, 5];

/// Is the longest that there is memory for, and time.
const LENGTH_MAX: usize = 12;

/// Applies `last` after `path` and tells whether core and `model` agree on it.
fn agrees<const WHEEL: bool>(capacity: Capacity, path: &[Op], last: &Op, model: &mut Reference) -> bool {
    let real = Real::<WHEEL>::new(capacity);
    for op in path {
        real.apply(op);
    }
    real.take_trace();
    model.trace.clear();
    real.apply(last);
    model.apply(last);
    real.take_trace() == model.trace && real.view() == model.view()
}

fn search<const WHEEL: bool>(size: usize) {
    search_with::<WHEEL>(size, ENDLESS);
}

/// Searches with room for `size` calls, futures and tasks, and for `creations`.
pub fn search_with<const WHEEL: bool>(size: usize, creations: u64) {
    let depth = match std::env::var("RONDEL_MODEL_DEPTH") {
        Ok(depth) => depth.parse().expect("a number"),
        Err(_) => DEPTHS[size - 1],
    };
    let capacity = Capacity(size, size, size, creations);
    let alphabet = alphabet(size);
    let mut seen = HashSet::from([Reference::new(capacity).key()]);
    assert!(depth <= LENGTH_MAX, "RONDEL_MODEL_DEPTH is {LENGTH_MAX} at most");
    let mut paths = vec![[0; LENGTH_MAX]];
    let mut steps = 0_u64;
    for length in 1..=depth {
        let mut longer = Vec::new();
        for path in &paths {
            let mut ops: Vec<Op> =
                path[..length - 1].iter().map(|&op| alphabet[usize::from(op)].clone()).collect();
            let mut model = Reference::new(capacity);
            for op in &ops {
                model.apply(op);
            }
            for (index, op) in alphabet.iter().enumerate().filter(|(_, op)| model.tells_apart(op)) {
                let mut next = model.clone();
                steps += 1;
                if !agrees::<WHEEL>(capacity, &ops, op, &mut next) {
                    ops.push(op.clone());
                    check::<WHEEL>(capacity, &ops, "every sequence");
                    panic!("core and reference differ, but not from the start: {ops:?}");
                }
                if length < depth && seen.insert(next.key()) {
                    let mut path = *path;
                    path[length - 1] = index as u8;
                    longer.push(path);
                }
            }
        }
        paths = longer;
    }
    println!(
        "capacity {size}, creations {creations}, wheel {WHEEL}, length {depth}: {} states, {steps} steps",
        seen.len()
    );
}

#[test]
fn every_sequence_at_capacity_1() {
    search::<true>(1);
    search::<false>(1);
}

#[test]
fn every_sequence_at_capacity_2_with_a_wheel() {
    search::<true>(2);
}

#[test]
fn every_sequence_at_capacity_2_without_a_wheel() {
    search::<false>(2);
}

#[test]
fn every_sequence_at_capacity_3_with_a_wheel() {
    search::<true>(3);
}

#[test]
fn every_sequence_at_capacity_3_without_a_wheel() {
    search::<false>(3);
}

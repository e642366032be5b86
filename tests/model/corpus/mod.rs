//! The smallest scripts of what the model has found, each with what it found.
//! They run before anything else is tried.

use crate::lockstep::check;
use crate::ops::{Capacity, Op};

fn scripts() -> Vec<(&'static str, Capacity, Vec<Op>)> {
    vec![]
}

#[test]
fn a_corpus_of_former_differences() {
    for (name, capacity, ops) in scripts() {
        check::<true>(capacity, &ops, name);
        check::<false>(capacity, &ops, name);
    }
}

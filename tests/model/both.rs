//! The two schedulers in lock-step.

use alloc::format;
use alloc::string::String;
use core::fmt::Debug;

use crate::ops::{Capacity, Op};
use crate::real::Real;
use crate::reference::Reference;

pub struct Both<const WHEEL: bool> {
    real: Real<WHEEL>,
    model: Reference,
    applied: usize,
}

impl<const WHEEL: bool> Both<WHEEL> {
    pub fn new(capacity: Capacity) -> Self {
        Self { real: Real::new(capacity), model: Reference::new(capacity), applied: 0 }
    }

    /// Applies `op` to both and says where they differ afterwards.
    pub fn apply(&mut self, op: &Op) -> Result<(), String> {
        self.real.apply(op);
        self.model.apply(op);
        let place = self.applied;
        self.applied += 1;
        let expected = core::mem::take(&mut self.model.trace);
        same(place, &self.real.take_trace(), &expected)?;
        same(place, &self.real.view(), &self.model.view())
    }
}

fn same<T: PartialEq + Debug>(place: usize, found: &T, expected: &T) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!("after operation {place}\n  core:      {found:?}\n  reference: {expected:?}"))
}

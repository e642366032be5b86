//! Models of what threads share with a loop, checked by loom: every interleaving
//! of three threads, with every value that a weak memory may show them.
//!
//! The models run the real code. Its files are modules here a second time, and the
//! two `sync` modules that they take their atomics and locks from are this crate's
//! [`sync`] instead, which is loom's.
//!
//! `.ci/run loom` runs them; without `--cfg loom` there is nothing here.
#![cfg(loom)]
#![allow(missing_docs, reason = "tests are sentences; nobody imports them")]
#![allow(unreachable_pub, reason = "the files belong to other crates too")]
#![allow(dead_code, reason = "no model needs all of a file")]
#![allow(unsafe_code, reason = "the files have their reasons; the models share raw memory")]

// What the files of `rondel` import from `rondel_core`, they find in this crate.
extern crate rondel_core as real_core;
extern crate self as rondel_core;

mod sync;

mod exclusive;

#[path = "../../core/src/defect.rs"]
mod defect;
#[path = "../../core/src/driver.rs"]
mod driver;
#[path = "../../core/src/ready.rs"]
mod ready;
#[path = "../../core/src/wake.rs"]
mod wake;

#[path = "../../std-ext/src/sys/gate.rs"]
mod gate;
#[path = "../../std-ext/src/threadsafe/handover.rs"]
mod handover;
#[path = "../../std-ext/src/threadsafe/inbox.rs"]
mod inbox;

mod fixture;

mod doorbell;
mod remote_calls;
mod remote_tasks;
mod wakers;
mod wakes;

pub use real_core::{Instant, Refusal, Resource, TaskError};

/// Names a task, whose loop is not modelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TaskId(u32);

pub mod raw {
    pub use crate::wake::WakeTable;
}

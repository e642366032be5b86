//! Puts the scheduler of `rondel-core` to the test, one module a noun.
#![allow(missing_docs, reason = "tests are sentences; nobody imports them")]
#![allow(unreachable_pub, reason = "the modules of one test binary share their items")]
#![allow(unsafe_code, reason = "the fixture implements a doorbell, the allocator counts")]
#![allow(clippy::std_instead_of_core, reason = "tests have std")]

mod fixture;

mod allocation;
mod base_events;
mod cancellation;
mod capacity;
mod closing;
mod exceptions;
mod futures;
mod gather;
mod handles;
mod histogram;
mod instrument;
mod panics;
mod snapshot;
mod storage;
mod tasks;
mod timeout;
mod timers;
mod wakes;

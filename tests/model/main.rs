//! Holds the scheduler of `rondel-core` against a reference that is too simple
//! to be wrong in the same way.
#![allow(missing_docs, reason = "tests are sentences; nobody imports them")]
#![allow(unreachable_pub, reason = "the modules of one test binary share their items")]
#![allow(unsafe_code, reason = "the loops under test are freed with their memory")]
#![allow(clippy::std_instead_of_core, reason = "tests have std")]

extern crate alloc;

// These five have no std: examples/bare-metal runs them too.
mod both;
mod generate;
mod ops;
mod real;
mod reference;

mod lockstep;

mod corpus;
#[cfg(rondel_few_creations)]
mod creations;
mod exhaustive;
mod races;
mod random;

fn is_panicking() -> bool {
    std::thread::panicking()
}

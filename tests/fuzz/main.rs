//! Feeds TLS with what no peer would send (FAULTS L-08).
//!
//! `RONDEL_FUZZ` is how many records are tried in each state, or one of them as
//! `=17`; rustls draws numbers of its own, so the same one isn't quite the same again.
#![allow(missing_docs, reason = "tests are sentences; nobody imports them")]
#![allow(unreachable_pub, reason = "the modules of one test binary share their items")]
#![allow(unsafe_code, reason = "the allocator counts")]
#![allow(clippy::std_instead_of_core, reason = "tests have std")]

mod live;
mod mutate;
#[path = "../conformance/tls_fixture.rs"]
mod tls_fixture;

mod pem;
mod records;

use core::ops::Range;

/// Are the seeds to try, of which a run by the way has `few`.
fn seeds(few: u64) -> Range<u64> {
    let setting = std::env::var("RONDEL_FUZZ").unwrap_or_default();
    match setting.strip_prefix('=') {
        Some(seed) => {
            let seed = seed.parse().expect("a seed");
            seed..seed + 1
        }
        None if setting.is_empty() => 0..few,
        None => 0..setting.parse().expect("a number"),
    }
}

/// Says by which seed a panic can be had again.
struct Blame<'a>(&'a str, u64);

impl Drop for Blame<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}: RONDEL_FUZZ=={}", self.0, self.1);
        }
    }
}

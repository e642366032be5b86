//! Measures rondel beside its peers, and prints one table.
//!
//! ```text
//! cargo run --release -p rondel-benches [-- --quick | --rounds N | --only TEXT]
//! ```
//!
//! See `benches/README.md`.

mod case;

mod calls;
mod lateness;
mod tasks;
mod threads;
mod timers;

mod bare;
mod bare_core;
mod os;

use crate::case::{Case, Options};

fn main() {
    let options = Options::from_args(std::env::args().skip(1)).unwrap_or_else(|message| {
        eprintln!("{message}\noptions: --quick, --rounds N, --only TEXT");
        std::process::exit(2);
    });
    let cases: &[fn(&mut Case)] = &[
        calls::burst,
        calls::chain,
        calls::chain_unpolled,
        |case| timers::rearm(case, 1_000),
        |case| timers::rearm(case, 10_000),
        |case| timers::rearm(case, 100_000),
        |case| timers::rearm(case, 1_000_000),
        timers::fire,
        lateness::lateness,
        tasks::yields,
        tasks::create,
        |case| threads::flood(case, 1),
        |case| threads::flood(case, 2),
        threads::round_trip,
    ];
    println!("{:<34} {:>11}  ratio (goal)", "ns each, median", "ns");
    for build in cases {
        let mut case = Case::new(&options);
        build(&mut case);
        case.run();
    }
}

//! Measures rondel beside its peers, and prints one table.
//!
//! ```text
//! cargo run --release -p rondel-benches [-- --quick | --rounds N | --only TEXT]
//! ```
//!
//! See `benches/README.md`.

mod case;
mod memory;

mod calls;
mod lateness;
mod snapshots;
mod tasks;
mod threads;
mod timers;

mod bare;
mod peers;

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
        |case| threads::flood(case, 8),
        threads::round_trip,
        snapshots::snapshot,
    ];
    println!(
        "monoio waits with {}; a goal that is met has a +, one that is missed a -",
        peers::monoio::driver()
    );
    println!(
        "{:<34} {:>11}  {:<26}  rondel takes (goal)",
        "ns each, median", "ns", "rondel-core takes (goal)"
    );
    let mut missed = Vec::new();
    for build in cases {
        let mut case = Case::new(&options);
        build(&mut case);
        missed.extend(case.run());
    }
    println!("\n{} goals missed", missed.len());
    for goal in missed {
        println!("  {goal}");
    }
}

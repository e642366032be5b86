//! Measures what rondel does with the operating system beside its peers, and
//! prints one table: a module for each subject.
//!
//! ```text
//! cargo run --release -p rondel-benches --bin os [-- --quick | --rounds N | --only TEXT]
//! ```
//!
//! See `benches/README.md`.

#[path = "../../case.rs"]
#[allow(dead_code, reason = "the main benchmark uses all of it")]
mod case;
#[path = "../../memory.rs"]
mod memory;

mod executors;
mod python;
mod signals;
mod spawn;

use crate::case::{Case, Options};

fn main() {
    rondel::process_worker(executors::FUNCTIONS);
    let options = Options::from_args(std::env::args().skip(1)).unwrap_or_else(|message| {
        eprintln!("{message}\noptions: --quick, --rounds N, --only TEXT");
        std::process::exit(2);
    });
    let cases: &[fn(&mut Case)] =
        &[signals::round_trip, executors::round_trip, executors::process_round_trip, spawn::spawn_and_wait];
    println!("{:<34} {:>11}  {:<26}  rondel takes", "ns each, median", "ns", "");
    for build in cases {
        let mut case = Case::new(&options);
        build(&mut case);
        case.run();
    }
}

//! Measures rondel's transports beside its peers: servers that send back what
//! they receive, each a process of its own, and one load for all.
//!
//! ```text
//! cargo run --release -p rondel-benches --bin echo [-- --quick | --only TEXT | --rounds N]
//! ```
//!
//! See `benches/README.md`.

mod counts;
mod datagrams;
mod echoes;
mod idle;
mod load;
mod matrix;
mod options;
mod peers;
mod process;
mod server;
mod serving;
mod socket;
mod statistics;
mod sys;

use crate::options::Options;
use crate::serving::serve;

#[global_allocator]
static ALLOCATIONS: serving::Counting = serving::Counting;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["--serve", peer, transport, address] => serve(peer, transport, address, peers::BUFFER),
        ["--serve", peer, transport, address, buffer] => buffer
            .parse()
            .map_err(|_| format!("{buffer} is no size"))
            .and_then(|buffer| serve(peer, transport, address, buffer)),
        _ => compare(&args),
    };
    if let Err(message) = done {
        eprintln!("echo: {message}");
        std::process::exit(2);
    }
}

fn compare(args: &[&str]) -> Result<(), String> {
    let options = Options::from_args(args)?;
    let cores = process::Cores::choose();
    cores.load();
    sys::raise_descriptor_limit();
    println!("{cores}");
    let sections: [(&str, fn(&Options, &process::Cores)); 4] =
        [("matrix", matrix::run), ("udp", datagrams::run), ("idle", idle::run), ("counts", counts::run)];
    for (name, section) in sections {
        if options.wants_section(name) {
            section(&options, &cores);
        }
    }
    Ok(())
}

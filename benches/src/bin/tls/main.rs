//! Measures rondel's TLS beside its peers': servers that send back what they
//! receive, each a process of its own, one load for all, and rustls alone.
//!
//! ```text
//! cargo run --release -p rondel-benches --bin tls [-- --quick | --only TEXT | --rounds N]
//! ```
//!
//! See `benches/README.md`.

mod alone;
#[path = "../echo/echoes.rs"]
mod echoes;
mod heap;
mod load;
mod options;
mod peers;
#[path = "../echo/process.rs"]
#[allow(dead_code, reason = "the echoes use all of it")]
mod process;
mod report;
mod server;
#[path = "../echo/statistics.rs"]
#[allow(dead_code, reason = "the echoes use all of it")]
mod statistics;
#[path = "../echo/sys.rs"]
#[allow(dead_code, reason = "the echoes use all of it")]
mod sys;

use crate::options::Options;
use crate::server::Certificate;

#[global_allocator]
static LIVE: heap::Counting = heap::Counting;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["--serve", peer, buffer, cert, key] => peers::serve(peer, buffer, cert, key),
        _ => compare(&args),
    };
    if let Err(message) = done {
        eprintln!("tls: {message}");
        std::process::exit(2);
    }
}

fn compare(args: &[&str]) -> Result<(), String> {
    let options = Options::from_args(args)?;
    let cores = process::Cores::choose();
    cores.load();
    sys::raise_descriptor_limit();
    println!("{cores}; TLS 1.3, P-256, ring");
    let certificate = Certificate::make()?;
    report::run(&options, &certificate, &cores)
}

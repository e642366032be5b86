//! Connections on which nothing happens: memory, and whether anybody wakes.

use core::time::Duration;
use std::thread;

use crate::load::{Load, Until};
use crate::options::Options;
use crate::peers::Peer;
use crate::process::{Cores, resident_bytes, sleeps};
use crate::server::Server;
use crate::socket::Transport;
use crate::sys;

const SIZE: usize = 1024;

pub(crate) fn run(options: &Options, cores: &Cores) {
    let count = if options.is_quick { 200 } else { 10_000 };
    let rest = Duration::from_millis(if options.is_quick { 100 } else { 2_000 });
    println!(
        "\nidle TCP connections: {count}, after one echo of 1 KiB each, with buffers of 1 KiB where each has one"
    );
    println!("  {:<16} {:>12} {:>10} {:>10}", "", "bytes each", "wakes/s", "CPU us/s");
    for peer in options.peers() {
        match measure(peer, count, rest, cores) {
            Ok(line) => println!("  {:<16} {line}", peer.name),
            Err(reason) => println!("  {:<16} {reason}", peer.name),
        }
    }
}

fn measure(peer: &Peer, count: usize, rest: Duration, cores: &Cores) -> Result<String, String> {
    let server = Server::start_within(&[], peer, Transport::Tcp, SIZE, cores)?;
    let text = |error: std::io::Error| error.to_string();
    // What the first connection brings about is not each one's.
    Load::open(&server, 1, SIZE).and_then(|mut load| load.run(Until::Rounds(10))).map_err(text)?;
    let before = resident_bytes(server.process);
    let load = Load::open(&server, count, SIZE).map_err(text)?;
    let each = resident_bytes(server.process).saturating_sub(before) as f64 / count as f64;
    thread::sleep(Duration::from_millis(200));
    let (sleeps_before, cpu_before) = (sleeps(server.process), sys::cpu_time(server.process));
    thread::sleep(rest);
    let wakes = (sleeps(server.process) - sleeps_before) as f64 / rest.as_secs_f64();
    let cpu = (sys::cpu_time(server.process) - cpu_before).as_secs_f64() * 1e6 / rest.as_secs_f64();
    drop(load);
    Ok(format!("{each:>12.0} {wakes:>10.1} {cpu:>10.0}"))
}

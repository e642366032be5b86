//! What carries no noise: system calls, allocations and instructions in user
//! space, of each message of 1 KiB over TCP.

use crate::load::{Load, Until};
use crate::options::Options;
use crate::peers::Peer;
use crate::process::Cores;
use crate::server::{Ended, Server};
use crate::socket::Transport;

const SIZE: usize = 1024;

/// What a count is made with: the program that runs the server, and the count in
/// what is left of both.
struct Count {
    runner: &'static [&'static str],
    read: fn(&Ended) -> Option<f64>,
    /// Has so many messages on all connections between two counts.
    messages: usize,
    /// Tells that it counts only what Rust's allocator gives.
    of_rust_memory: bool,
}

const ALLOCATIONS: Count = Count {
    runner: &[],
    read: |ended| Some(ended.allocations? as f64),
    messages: 20_000,
    of_rust_memory: true,
};

const SYSTEM_CALLS: Count = Count {
    runner: &["strace", "--follow-forks", "--summary-only", "--quiet=all"],
    read: |ended| system_calls(&ended.errors),
    messages: 2_000,
    of_rust_memory: false,
};

const INSTRUCTIONS: Count = Count {
    runner: &["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"],
    read: |ended| instructions(&ended.errors),
    messages: 2_000,
    of_rust_memory: false,
};

/// Is who is counted to show that all runs.
const OF_QUICK: [&str; 3] = ["epoll", "rondel", "rondel-streams"];

pub(crate) fn run(options: &Options, cores: &Cores) {
    println!("\ncounts of a message of 1 KiB over TCP, of so many connections");
    println!(
        "  {:<16} {:>14} {:>14} {:>16} {:>18}",
        "", "syscalls of 1", "syscalls of 10", "allocations of 10", "instructions of 10"
    );
    let columns = [(&SYSTEM_CALLS, 1), (&SYSTEM_CALLS, 10), (&ALLOCATIONS, 10), (&INSTRUCTIONS, 10)];
    let mut reasons = Vec::new();
    // An interpreter starts slowly under callgrind.
    let wanted = |peer: &&Peer| !options.is_quick || OF_QUICK.contains(&peer.name);
    for peer in options.peers().into_iter().filter(wanted) {
        let mut cells = Vec::new();
        for (count, connections) in columns {
            if count.of_rust_memory && !peer.has_rust_memory {
                cells.push("-".into());
                continue;
            }
            cells.push(match of_peer(count, peer, connections, options, cores) {
                // One allocation more in the longer run is none of the messages' own.
                Ok(each) => format!("{:.2}", each.max(0.0)),
                Err(reason) => {
                    let reason = format!("{}: {reason}", peer.name);
                    if !reasons.contains(&reason) {
                        reasons.push(reason);
                    }
                    "-".into()
                }
            });
        }
        println!("  {:<16} {:>14} {:>14} {:>16} {:>18}", peer.name, cells[0], cells[1], cells[2], cells[3]);
    }
    reasons.iter().for_each(|reason| println!("  {reason}"));
}

/// Counts twice, with few and with many messages: what lies between the two
/// counts is the messages' own.
fn of_peer(
    count: &Count,
    peer: &Peer,
    connections: usize,
    options: &Options,
    cores: &Cores,
) -> Result<f64, String> {
    let messages = if options.is_quick { count.messages / 20 } else { count.messages };
    let rounds = messages / connections;
    let counted = |rounds| {
        let server = Server::start_within(count.runner, peer, Transport::Tcp, crate::peers::BUFFER, cores)?;
        let load =
            Load::open(&server, connections, SIZE).and_then(|mut load| load.run(Until::Rounds(rounds)));
        load.map_err(|error| error.to_string())?;
        (count.read)(&server.end()).ok_or_else(|| "nothing was counted".to_string())
    };
    Ok((counted(2 * rounds)? - counted(rounds)?) / (rounds * connections) as f64)
}

/// Reads the last line of strace's table: `100.00 SECONDS USECS CALLS [ERRORS] total`.
fn system_calls(table: &str) -> Option<f64> {
    let total = table.lines().rfind(|line| line.ends_with(" total"))?;
    total.split_whitespace().nth(3)?.parse().ok()
}

/// Reads callgrind's last line but some: `==PROCESS== Collected : INSTRUCTIONS`.
fn instructions(log: &str) -> Option<f64> {
    log.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
}

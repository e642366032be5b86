//! Streams: TCP and UNIX, by the number of connections and the size of messages.

use crate::load::{Load, Slice, Until};
use crate::options::Options;
use crate::peers::Peer;
use crate::process::Cores;
use crate::server::Server;
use crate::socket::Transport;
use crate::statistics::{geometric_mean, median};

const CONNECTIONS: [usize; 4] = [1, 10, 100, 1_000];
const SIZES: [usize; 4] = [64, 1 << 10, 10 << 10, 100 << 10];

/// Is the width of a peer's column.
const WIDTH: usize = 16;

/// What one peer made of the cells, beside the reference.
#[derive(Default)]
struct Means {
    rates: Vec<f64>,
    cpu: Vec<f64>,
}

pub(crate) fn run(options: &Options, cores: &Cores) {
    println!("\nstreams: requests a second and CPU of the server in us each, of the reference;");
    println!("of the others, what they make of its rate, and (of its CPU)");
    for transport in [Transport::Tcp, Transport::Unix] {
        if options.wants_transport(transport.name()) {
            of_transport(transport, options, cores);
        }
    }
}

fn of_transport(transport: Transport, options: &Options, cores: &Cores) {
    let mut servers = Vec::new();
    let mut absent = Vec::new();
    for peer in options.peers() {
        match Server::start(peer, transport, cores) {
            Ok(server) => servers.push((peer, server)),
            Err(reason) => absent.push(format!("{}: {reason}", peer.name)),
        }
    }
    println!();
    for line in absent {
        println!("{line}");
    }
    print!("{:<20}", transport.name());
    servers.iter().for_each(|(peer, _)| print!("{:>WIDTH$}", peer.name));
    println!();
    let mut means: Vec<Means> = servers.iter().map(|_| Means::default()).collect();
    for count in CONNECTIONS {
        for size in SIZES {
            // Some show that all runs.
            if options.is_quick && !matches!((count, size), (1, 64) | (10, 1024) | (100, 102_400)) {
                continue;
            }
            let rounds = cell(&servers, count, size, options);
            print!("{count:>5} x {:<12}", human(size));
            for (number, mean) in means.iter_mut().enumerate() {
                print!("{:>WIDTH$}", compare(&rounds, number, mean));
            }
            println!();
        }
    }
    print!("{:<20}", "geometric mean");
    for Means { rates, cpu } in &means {
        let [rate, cpu] = [rates, cpu].map(|values| geometric_mean(values).unwrap_or(f64::NAN));
        print!("{:>WIDTH$}", format!("{rate:.3} ({cpu:.3})"));
    }
    println!();
}

fn human(size: usize) -> String {
    if size < 1024 { format!("{size} B") } else { format!("{} KiB", size >> 10) }
}

type Round = Vec<Option<Slice>>;

/// Lets the servers take turns, each with as many connections.
fn cell(servers: &[(&Peer, Server)], count: usize, size: usize, options: &Options) -> Vec<Round> {
    let mut loads: Vec<Option<Load>> = servers
        .iter()
        .map(|(peer, server)| {
            let load = Load::open(server, count, size);
            load.inspect_err(|error| eprintln!("{}: {error}", peer.name)).ok()
        })
        .collect();
    let mut rounds = Vec::new();
    // The first warms up.
    for round in 0..=options.rounds {
        let mut slices: Round = vec![None; servers.len()];
        for turn in 0..servers.len() {
            let number = (round + turn) % servers.len();
            let Some(load) = &mut loads[number] else { continue };
            match load.run(Until::Over(options.slice())) {
                Ok(slice) => slices[number] = Some(slice),
                Err(error) => {
                    eprintln!("{}: {error}", servers[number].0.name);
                    loads[number] = None;
                }
            }
        }
        if round > 0 {
            rounds.push(slices);
        }
    }
    rounds
}

/// Tells what a peer makes of the cell, and notes it.
fn compare(rounds: &[Round], number: usize, means: &mut Means) -> String {
    let ratios = |of: fn(&Slice) -> f64| {
        median(rounds.iter().filter_map(|round| Some(of(round[number].as_ref()?) / of(round[0].as_ref()?))))
    };
    let (Some(rate), Some(cpu)) = (ratios(Slice::per_second), ratios(Slice::cpu_us_each)) else {
        return "-".into();
    };
    means.rates.push(rate);
    means.cpu.push(cpu);
    if number > 0 {
        return format!("{rate:.2} ({cpu:.2})");
    }
    let of_reference = |of: fn(&Slice) -> f64| {
        median(rounds.iter().filter_map(|round| round[0].as_ref().map(of))).unwrap_or(f64::NAN)
    };
    format!("{:.0} ({:.1})", of_reference(Slice::per_second), of_reference(Slice::cpu_us_each))
}

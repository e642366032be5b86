//! Datagrams: UDP, 1 KiB.

use crate::load::{Load, Slice, Until};
use crate::options::Options;
use crate::process::Cores;
use crate::server::Server;
use crate::socket::Transport;
use crate::statistics::median;

const SIZE: usize = 1024;

pub(crate) fn run(options: &Options, cores: &Cores) {
    for peers in [1, 10, 50] {
        println!("\nUDP, 1 KiB, {peers} at once");
        of_peers(peers, options, cores);
    }
}

fn of_peers(peers: usize, options: &Options, cores: &Cores) {
    let mut contenders = Vec::new();
    for peer in options.peers().into_iter().filter(|peer| peer.has_datagrams) {
        let started = Server::start(peer, Transport::Udp, cores).and_then(|server| {
            let load = Load::open(&server, peers, SIZE).map_err(|error| error.to_string())?;
            Ok((server, load))
        });
        match started {
            Ok((server, load)) => contenders.push((peer, server, load, Vec::new())),
            Err(reason) => println!("  {:<16} {reason}", peer.name),
        }
    }
    for round in 0..=options.rounds {
        for (peer, _, load, slices) in &mut contenders {
            match load.run(Until::Over(options.slice())) {
                Ok(slice) if round > 0 => slices.push(slice),
                Ok(_) => {}
                Err(error) => eprintln!("{}: {error}", peer.name),
            }
        }
    }
    println!("  {:<16} {:>10} {:>10} {:>8} {:>8}", "", "requests/s", "CPU us", "rate x", "CPU x");
    let Some((_, _, _, reference)) = contenders.first() else { return };
    for (peer, _, _, slices) in &contenders {
        let absolute = |of: fn(&Slice) -> f64| median(slices.iter().map(of)).unwrap_or(f64::NAN);
        let ratio = |of: fn(&Slice) -> f64| {
            median(slices.iter().zip(reference).map(|(own, other)| of(own) / of(other))).unwrap_or(f64::NAN)
        };
        println!(
            "  {:<16} {:>10.0} {:>10.2} {:>8.2} {:>8.2}",
            peer.name,
            absolute(Slice::per_second),
            absolute(Slice::cpu_us_each),
            ratio(Slice::per_second),
            ratio(Slice::cpu_us_each)
        );
    }
}

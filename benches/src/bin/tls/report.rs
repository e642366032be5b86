//! Runs all, in turns, and prints the tables.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;

use rustls::ServerConfig;

use crate::alone::{self, Buffered, Unbuffered};
use crate::load::{Echoes, Handshakes, Slice};
use crate::options::Options;
use crate::peers::{self, Peer, REFERENCE};
use crate::process::{Cores, resident_bytes};
use crate::server::{Certificate, Server};
use crate::statistics::median;

/// Is the buffer of each connection, for those that have one.
const BUFFER: usize = 64 * 1024;
const CONNECTIONS: usize = 10;
const SIZES: [(usize, &str); 2] = [(1 << 10, "1 KiB"), (10 << 10, "10 KiB")];
const HANDSHAKES: [(bool, &str); 2] = [(false, "full"), (true, "resumed")];
const AT_ONCE: usize = 4;

/// What a connection of rondel's may have beside rustls's own state.
const BYTES_ALLOWED: f64 = 512.0;

/// Is a goal: what, the least of the reference's rate, and whose.
const GOALS: [(&str, f64); 3] = [("1 KiB", 1.10), ("10 KiB", 1.05), ("full", 1.05)];
const OF_GOALS: &str = "rondel";

struct Contender {
    peer: &'static Peer,
    server: Server,
    /// Has what was measured, by what.
    slices: BTreeMap<&'static str, Vec<Slice>>,
}

pub(crate) fn run(options: &Options, certificate: &Certificate, cores: &Cores) -> Result<(), String> {
    let path = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    let config = peers::config(&path(certificate.cert()), &path(certificate.key()))?;
    let mut contenders = Vec::new();
    for peer in options.peers() {
        match Server::start(peer, certificate, BUFFER, cores) {
            Ok(server) => contenders.push(Contender { peer, server, slices: BTreeMap::new() }),
            Err(reason) => println!("  {}: {reason}", peer.name),
        }
    }
    for (size, name) in SIZES {
        measure_echoes(options, &mut contenders, size, name)?;
    }
    for (resumes, name) in HANDSHAKES {
        measure_handshakes(options, &mut contenders, resumes, name)?;
    }
    println!("\nechoes of {CONNECTIONS} connections, and handshakes with one byte; x: of {REFERENCE}");
    println!("  {:<16} {:<8} {:>10} {:>10} {:>8} {:>8}", "", "", "each s", "CPU us", "rate x", "CPU x");
    let names = SIZES.map(|(_, name)| name).into_iter().chain(HANDSHAKES.map(|(_, name)| name));
    for name in names.clone() {
        contenders.iter().for_each(|contender| contender.print(name, &contenders[0]));
    }
    let alone = Alone::measure(options, &config);
    alone.print(names);
    let idle = measure_idle(options, certificate, cores, &alone);
    print_goals(&contenders, &idle, &alone);
    Ok(())
}

fn measure_echoes(
    options: &Options,
    contenders: &mut [Contender],
    size: usize,
    name: &'static str,
) -> Result<(), String> {
    let open = |contender: &Contender| Echoes::open(&contender.server, CONNECTIONS, size);
    let loads: Result<Vec<_>, _> = contenders.iter().map(open).collect();
    let mut loads = loads.map_err(|error| error.to_string())?;
    take_turns(options, contenders, name, |number| loads[number].run(options.slice()))
}

fn measure_handshakes(
    options: &Options,
    contenders: &mut [Contender],
    resumes: bool,
    name: &'static str,
) -> Result<(), String> {
    let servers: Vec<_> =
        contenders.iter_mut().map(|contender| (&contender.server, &mut contender.slices)).collect();
    let mut loads = Vec::new();
    let mut slices = Vec::new();
    for (server, of_server) in servers {
        loads.push(Handshakes::open(server, resumes).map_err(|error| error.to_string())?);
        slices.push(of_server);
    }
    for round in 0..=options.rounds {
        for (load, slices) in loads.iter_mut().zip(&mut slices) {
            let slice = load.run(options.slice(), usize::MAX, AT_ONCE).map_err(|error| error.to_string())?;
            if round > 0 {
                slices.entry(name).or_default().push(slice);
            }
        }
    }
    Ok(())
}

/// Runs the contenders in turns; the first round is to warm up.
fn take_turns(
    options: &Options,
    contenders: &mut [Contender],
    name: &'static str,
    mut run: impl FnMut(usize) -> std::io::Result<Slice>,
) -> Result<(), String> {
    for round in 0..=options.rounds {
        for (number, contender) in contenders.iter_mut().enumerate() {
            let slice = run(number).map_err(|error| format!("{}: {error}", contender.peer.name))?;
            if round > 0 {
                contender.slices.entry(name).or_default().push(slice);
            }
        }
    }
    Ok(())
}

impl Contender {
    fn absolute(&self, name: &str, of: fn(&Slice) -> f64) -> f64 {
        median(self.slices[name].iter().map(of)).unwrap_or(f64::NAN)
    }

    /// Is the median of the ratios of each round.
    fn ratio(&self, other: &Self, name: &str, of: fn(&Slice) -> f64) -> f64 {
        let pairs = self.slices[name].iter().zip(&other.slices[name]);
        median(pairs.map(|(own, other)| of(own) / of(other))).unwrap_or(f64::NAN)
    }

    fn print(&self, name: &str, reference: &Self) {
        println!(
            "  {:<16} {name:<8} {:>10.0} {:>10.2} {:>8.2} {:>8.2}",
            self.peer.name,
            self.absolute(name, Slice::per_second),
            self.absolute(name, Slice::cpu_us_each),
            self.ratio(reference, name, Slice::per_second),
            self.ratio(reference, name, Slice::cpu_us_each),
        );
    }
}

/// rustls in memory: microseconds in the order of the tables, and bytes; of the
/// interface with buffers, and of the one without.
struct Alone {
    times: [[f64; 4]; 2],
    bytes: [f64; 2],
}

impl Alone {
    fn measure(options: &Options, config: &Arc<ServerConfig>) -> Self {
        let work: [[fn(&Arc<ServerConfig>) -> f64; 4]; 2] = [
            [
                |config| alone::echo::<Buffered>(config, SIZES[0].0),
                |config| alone::echo::<Buffered>(config, SIZES[1].0),
                |config| alone::handshake::<Buffered>(config, false),
                |config| alone::handshake::<Buffered>(config, true),
            ],
            [
                |config| alone::echo::<Unbuffered>(config, SIZES[0].0),
                |config| alone::echo::<Unbuffered>(config, SIZES[1].0),
                |config| alone::handshake::<Unbuffered>(config, false),
                |config| alone::handshake::<Unbuffered>(config, true),
            ],
        ];
        let mut taken = vec![[[0.0; 4]; 2]; options.rounds];
        for round in &mut taken {
            for number in 0..4 {
                round[0][number] = work[0][number](config);
                round[1][number] = work[1][number](config);
            }
        }
        let mut times = [[0.0; 4]; 2];
        for (interface, times) in times.iter_mut().enumerate() {
            for (number, time) in times.iter_mut().enumerate() {
                *time = median(taken.iter().map(|round| round[interface][number])).unwrap_or(f64::NAN);
            }
        }
        Self { times, bytes: [alone::bytes::<Buffered>(config), alone::bytes::<Unbuffered>(config)] }
    }

    fn print(&self, names: impl Iterator<Item = &'static str>) {
        println!("\nrustls alone, in memory, the server's half in us");
        println!("  {:<16} {:>10} {:>10}", "", "buffered", "unbuffered");
        for (number, name) in names.enumerate() {
            println!("  {name:<16} {:>10.2} {:>10.2}", self.times[0][number], self.times[1][number]);
        }
    }
}

/// Returns the bytes of an idle connection, by peer.
fn measure_idle(
    options: &Options,
    certificate: &Certificate,
    cores: &Cores,
    alone: &Alone,
) -> BTreeMap<&'static str, f64> {
    const SIZE: usize = 1 << 10;
    println!(
        "\nbytes of each of {} idle connections, after one echo of 1 KiB, with buffers of 1 KiB where each has one",
        options.idle()
    );
    let mut idle = BTreeMap::new();
    for peer in options.peers() {
        let measure = || -> Result<f64, String> {
            let server = Server::start(peer, certificate, SIZE, cores)?;
            let text = |error: std::io::Error| error.to_string();
            // What sessions leave in caches is not a connection's.
            let warm_up = if options.is_quick { 50 } else { 600 };
            Handshakes::open(&server, false)
                .and_then(|mut load| load.run(Duration::from_secs(60), warm_up, 1))
                .map_err(text)?;
            let before = resident_bytes(server.process);
            let load = Echoes::open(&server, options.idle(), SIZE).map_err(text)?;
            thread::sleep(Duration::from_millis(100));
            let each = resident_bytes(server.process).saturating_sub(before) as f64 / options.idle() as f64;
            drop(load);
            Ok(each)
        };
        match measure() {
            Ok(each) => {
                println!("  {:<16} {each:>10.0}", peer.name);
                idle.insert(peer.name, each);
            }
            Err(reason) => println!("  {:<16} {reason}", peer.name),
        }
    }
    println!("  {:<16} {:>10.0} buffered", "rustls's own", alone.bytes[0]);
    println!("  {:<16} {:>10.0} unbuffered", "", alone.bytes[1]);
    idle
}

fn print_goals(contenders: &[Contender], idle: &BTreeMap<&'static str, f64>, alone: &Alone) {
    println!("\ngoals, of what the server does in a second of its CPU");
    let line = |what: &str, goal: String, measured: String, is_met: bool| {
        println!("  {what:<28} {goal:>8} {measured:>8}  {}", if is_met { "met" } else { "MISSED" });
    };
    for contender in contenders.iter().filter(|contender| contender.peer.name.starts_with(OF_GOALS)) {
        let name = contender.peer.name;
        for (what, goal) in GOALS {
            let ratio = 1.0 / contender.ratio(&contenders[0], what, Slice::cpu_us_each);
            line(&format!("{name}, {what}"), format!("{goal:.2}"), format!("{ratio:.2}"), ratio >= goal);
        }
        if let Some(bytes) = idle.get(name) {
            let more = bytes - alone.bytes[1];
            let (goal, measured) = (format!("{BYTES_ALLOWED:.0}"), format!("{more:.0}"));
            line(&format!("{name}, idle bytes beside"), goal, measured, more <= BYTES_ALLOWED);
        }
    }
}

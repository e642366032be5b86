//! The demonstration: clients of the gateway's own, in a thread and a loop of their own.

use core::cell::{Cell, RefCell};
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::rc::Rc;

use hdrhistogram::Histogram;
use rondel::{
    EventLoop, EventLoopHandle, Future, Instant, NonBlocking, Pem, StreamReader, StreamWriter,
    TlsClientConfig,
};

use crate::options::Options;
use crate::output::say;

/// Is how long it lasts.
const DURATION: Duration = Duration::from_secs(10);

/// Is how many clients there are of each kind.
const CLIENTS: [(Kind, usize); 4] = [(Kind::Tcp, 16), (Kind::Tls, 4), (Kind::Unix, 2), (Kind::Udp, 2)];

/// How a client talks to the gateway.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    Tcp,
    Tls,
    Unix,
    Udp,
}

/// Chooses where to listen, beside what the options say: on ports that are free, and in a directory
/// that goes with what is returned.
pub(crate) fn choose_addresses(options: &mut Options) -> rondel::Result<Directory> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let directory = Directory::make()?;
    options.tls.get_or_insert(any);
    options.udp.get_or_insert(any);
    options.http.get_or_insert(any);
    options.unix.get_or_insert_with(|| directory.0.join("gateway.sock"));
    Ok(directory)
}

/// The clients, and what they have done.
pub(crate) struct Demo {
    /// Is what became of it, once that is known.
    outcome: Rc<RefCell<Option<Result<Summary, String>>>>,
    loops: usize,
    _directory: Directory,
}

impl Demo {
    /// Starts the clients, as a job beside the loop; when they are done the gateway stops.
    pub(crate) fn start(
        event_loop: &EventLoopHandle,
        options: &Options,
        directory: Directory,
        stop: &Future<()>,
    ) -> rondel::Result<Self> {
        let (targets, stop) = (Targets::of(options)?, stop.clone());
        let count: usize = CLIENTS.iter().map(|(_, count)| count).sum();
        say!("{count} clients for {} seconds; stop with Ctrl+C", DURATION.as_secs());
        let job = event_loop
            .run_in_executor(move || drive(targets).map_err(|error| error.to_string()))
            .map_err(|refused| refused.to_string())?;
        let outcome = Rc::new(RefCell::new(None));
        let place = Rc::clone(&outcome);
        event_loop.create_task(async move {
            let driven = job.await.unwrap_or_else(|error| Err(error.to_string()));
            // If somebody else has said so before, the clients were disturbed.
            if stop.set_result(()).is_ok() {
                place.replace(Some(driven));
            }
        })?;
        Ok(Self { outcome, loops: options.loops, _directory: directory })
    }

    /// Prints what was done.
    ///
    /// # Errors
    /// If a client failed.
    pub(crate) fn print_summary(self) -> rondel::Result<()> {
        match self.outcome.take() {
            Some(Ok(summary)) => summary.print(self.loops),
            Some(Err(error)) => return Err(format!("the demonstration failed: {error}").into()),
            None => say!("the demonstration was stopped"),
        }
        Ok(())
    }
}

/// Where the clients find the gateway.
struct Targets {
    tcp: SocketAddr,
    tls: SocketAddr,
    udp: SocketAddr,
    unix: PathBuf,
    trust: TlsClientConfig,
}

impl Targets {
    fn of(options: &Options) -> rondel::Result<Self> {
        let Options {
            tcp, tls: Some(tls), udp: Some(udp), unix: Some(unix), authority: Some(authority), ..
        } = options
        else {
            return Err("the demonstration needs all addresses".into());
        };
        let (tcp, tls, udp, unix) = (*tcp, *tls, *udp, unix.clone());
        Ok(Self { tcp, tls, udp, unix, trust: trust(authority.clone())? })
    }
}

fn trust(authority: Pem) -> rondel::Result<TlsClientConfig> {
    TlsClientConfig::builder().load_verify_locations(authority).build()
}

/// Runs all clients to the end.
///
/// # Errors
/// The first that one of them had.
fn drive(targets: Targets) -> rondel::Result<Summary> {
    let event_loop = EventLoop::new()?;
    let (targets, measured) = (Rc::new(targets), Rc::new(Measured::new()));
    let end = Rc::new(Cell::new(event_loop.time() + DURATION));
    let mut clients = Vec::new();
    for (kind, count) in CLIENTS {
        for _ in 0..count {
            let client = Client {
                event_loop: event_loop.handle(),
                targets: Rc::clone(&targets),
                measured: Rc::clone(&measured),
                end: Rc::clone(&end),
                kind,
            };
            clients.push(event_loop.create_task(client.run())?);
        }
    }
    event_loop.run_until_complete(async {
        let mut result = Ok(());
        for client in clients {
            result = result.and(client.await?);
        }
        result
    })?;
    Ok(measured.summarize())
}

/// One client.
struct Client {
    event_loop: EventLoopHandle,
    targets: Rc<Targets>,
    measured: Rc<Measured>,
    /// Is when all of them end.
    end: Rc<Cell<Instant>>,
    kind: Kind,
}

impl Client {
    /// Talks to the gateway until the end; where it fails, that is now.
    async fn run(self) -> rondel::Result<()> {
        let result = match self.kind {
            Kind::Udp => self.exchange_datagrams().await,
            _ => self.exchange_lines().await,
        };
        if result.is_err() {
            self.end.set(self.event_loop.time());
        }
        result
    }

    async fn connect(&self) -> rondel::Result<(StreamReader, StreamWriter)> {
        let (event_loop, targets) = (&self.event_loop, &self.targets);
        match self.kind {
            Kind::Unix => event_loop.open_unix_connection(&targets.unix).await,
            Kind::Tls => event_loop.open_connection(targets.tls).tls(&targets.trust).await,
            _ => event_loop.open_connection(targets.tcp).await,
        }
    }

    /// Asks for one line after another.
    async fn exchange_lines(&self) -> rondel::Result<()> {
        let (mut reader, mut writer) = self.connect().await?;
        for number in 0_u64.. {
            let asked = self.event_loop.time();
            if asked >= self.end.get() {
                break;
            }
            let line = format!("echo {number}\n");
            writer.write_all(line.as_bytes()).await?;
            let answer = reader.read_line().await?;
            if answer.is_empty() {
                // The gateway stops.
                break;
            }
            if answer != &line.as_bytes()["echo ".len()..] {
                return Err(format!("asked for {line:?}, got {:?}", String::from_utf8_lossy(answer)).into());
            }
            self.measured.record(self.kind, self.event_loop.time() - asked);
        }
        Ok(())
    }

    /// Sends one datagram after another, and waits for each to come back; for a while only, since one
    /// may be lost.
    async fn exchange_datagrams(&self) -> rondel::Result<()> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(self.targets.udp)?;
        let socket = NonBlocking::new(socket)?;
        let mut buffer = [0; 64];
        for number in 0_u64.. {
            let asked = self.event_loop.time();
            let end = self.end.get();
            if asked >= end {
                break;
            }
            let patience = end - asked;
            self.event_loop.sock_sendall(&socket, &number.to_be_bytes()).await?;
            let answer = self.event_loop.sock_recv_into(&socket, &mut buffer);
            match self.event_loop.timeout(patience, answer).await {
                Ok(received) => {
                    if buffer[..received?] != number.to_be_bytes() {
                        return Err("another datagram came back".into());
                    }
                    self.measured.record(self.kind, self.event_loop.time() - asked);
                }
                // Lost, and so is the rest of the time.
                Err(_) => break,
            }
        }
        Ok(())
    }
}

/// How long each answer took, in nanoseconds.
struct Measured(RefCell<[Histogram<u64>; CLIENTS.len()]>);

impl Measured {
    fn new() -> Self {
        // Two digits are enough for the eye; the bounds are constants, and good.
        let histogram = Histogram::new_with_bounds(1, 60_000_000_000, 2).expect("good bounds");
        Self(RefCell::new(core::array::from_fn(|_| histogram.clone())))
    }

    fn record(&self, kind: Kind, took: Duration) {
        let mut histograms = self.0.borrow_mut();
        let mut all = CLIENTS.iter().zip(&mut *histograms);
        if let Some((_, histogram)) = all.find(|((other, _), _)| *other == kind) {
            histogram.saturating_record(took.as_nanos() as u64);
        }
    }

    fn summarize(&self) -> Summary {
        Summary(self.0.borrow().clone())
    }
}

/// What the clients have measured.
struct Summary([Histogram<u64>; CLIENTS.len()]);

impl Summary {
    fn print(&self, loops: usize) {
        say!("\n      clients   answers   a second    median       99 %   longest");
        for ((kind, clients), times) in CLIENTS.iter().zip(&self.0) {
            let micros = |nanos: u64| format!("{:.0} µs", nanos as f64 / 1e3);
            say!(
                "{:>4} {clients:>8} {:>9} {:>10.0} {:>9} {:>10} {:>9}",
                format!("{kind:?}").to_uppercase(),
                times.len(),
                times.len() as f64 / DURATION.as_secs_f64(),
                micros(times.value_at_quantile(0.5)),
                micros(times.value_at_quantile(0.99)),
                micros(times.max()),
            );
        }
        let all: u64 = self.0.iter().map(Histogram::len).sum();
        let by = match loops {
            1 => String::from("one loop in one thread"),
            _ => format!("{loops} loops, each in a thread of its own"),
        };
        say!("{all} answers, each of them right, by {by}");
    }
}

/// A directory of its own, until it is dropped.
pub(crate) struct Directory(PathBuf);

impl Directory {
    fn make() -> rondel::Result<Self> {
        let path = std::env::temp_dir().join(format!("rondel-gateway-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Left behind only if somebody has put something into it.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

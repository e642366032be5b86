//! What the gateway counts, beside what its loop counts.

use core::cell::{Cell, OnceCell, RefCell};
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::rc::Rc;
use std::sync::Arc;

use jiff::Zoned;
use serde_json::{Value, json};

use rondel::{DatagramTransport, EventLoopHandle, Instant, Server, Statistics, Usage};

use crate::output::say;
use crate::sensor::Reading;

const SECOND: Duration = Duration::from_secs(1);

/// Is how often the loop's latency is looked at.
const PULSE: Duration = Duration::from_millis(100);

/// What all loops of the gateway count together.
#[derive(Default)]
pub(crate) struct Totals {
    clients: AtomicU64,
    connections: AtomicU64,
    commands: AtomicU64,
}

/// What one loop counts.
pub(crate) struct Figures {
    totals: Arc<Totals>,
    server: OnceCell<Server>,
    datagrams: Cell<u64>,
    endpoint: OnceCell<DatagramTransport>,
    tls_server: OnceCell<Server>,
    reading: RefCell<Reading>,
    /// Is by how much the latest pulse was too late, at worst, in this second.
    latency: Cell<Duration>,
    /// Is what had been counted a second ago, and when.
    last: Cell<(Counted, Instant)>,
    second: Cell<Second>,
}

/// What is counted up.
#[derive(Clone, Copy)]
struct Counted {
    of_loop: Statistics,
    commands: u64,
}

/// What went on in the last whole second.
#[derive(Clone, Copy, Default)]
pub(crate) struct Second {
    pub(crate) commands: f64,
    pub(crate) iterations: f64,
    pub(crate) callbacks: f64,
    pub(crate) latency: Duration,
}

impl Figures {
    pub(crate) fn new(event_loop: &EventLoopHandle, totals: Arc<Totals>) -> Self {
        let counted = Counted { of_loop: event_loop.statistics(), commands: 0 };
        Self {
            totals,
            server: OnceCell::new(),
            datagrams: Cell::new(0),
            endpoint: OnceCell::new(),
            tls_server: OnceCell::new(),
            reading: RefCell::default(),
            latency: Cell::default(),
            last: Cell::new((counted, event_loop.time())),
            second: Cell::default(),
        }
    }

    /// Looks at a server from now on.
    pub(crate) fn watch(&self, server: &Server) {
        let _ = self.server.set(server.clone());
    }

    /// Looks at a server with TLS, too.
    pub(crate) fn watch_tls(&self, server: &Server) {
        let _ = self.tls_server.set(server.clone());
    }

    /// Looks at an endpoint from now on.
    pub(crate) fn watch_datagrams(&self, endpoint: &DatagramTransport) {
        let _ = self.endpoint.set(endpoint.clone());
    }

    pub(crate) fn datagram_received(&self) {
        self.datagrams.set(self.datagrams.get() + 1);
    }

    /// Counts the datagrams that were not received or not answered.
    fn dropped_datagrams(&self) -> u64 {
        self.endpoint.get().map_or(0, |endpoint| {
            // Unknown once the endpoint is closed.
            endpoint.dropped_sends() + endpoint.dropped_receives().map_or(0, u64::from)
        })
    }

    pub(crate) fn client_connected(&self) {
        self.totals.clients.fetch_add(1, Ordering::Relaxed);
        self.totals.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn client_left(&self) {
        self.totals.clients.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn command_received(&self) {
        self.totals.commands.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes down what the sensor says.
    pub(crate) fn set_reading(&self, reading: Reading) {
        self.reading.replace(reading);
    }

    /// Tells whether the sensor that runs has said something.
    pub(crate) fn has_reading(&self) -> bool {
        self.reading.borrow().is_known()
    }

    /// Describes what the sensor said last.
    pub(crate) fn describe_reading(&self) -> String {
        self.reading.borrow().to_string()
    }

    /// Describes the present, in a line.
    pub(crate) fn describe(&self, event_loop: &EventLoopHandle) -> String {
        self.parts(event_loop).join("; ")
    }

    /// Describes each part of the present.
    fn parts(&self, event_loop: &EventLoopHandle) -> [String; 8] {
        let now = event_loop.statistics();
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let of_server = |count: fn(&Server) -> u64| self.server.get().map_or(0, count);
        let of_tls = |count: fn(&Server) -> u64| self.tls_server.get().map_or(0, count);
        let usage = |usage: Usage| format!("{}/{} (peak {})", usage.live, usage.capacity, usage.peak);
        [
            format!(
                "clients {} (ever {}), commands {}",
                count(&self.totals.clients),
                count(&self.totals.connections),
                count(&self.totals.commands),
            ),
            format!("accepted {}, refused {}", of_server(Server::accepted), of_server(Server::refused)),
            format!("with TLS {}, refused {}", of_tls(Server::accepted), of_tls(Server::refused)),
            format!("datagrams {} (dropped {})", self.datagrams.get(), self.dropped_datagrams()),
            format!("sensor {}", self.describe_reading()),
            format!(
                "tasks {}, calls {}, timers {}, ready {}",
                usage(now.tasks),
                usage(now.calls),
                now.timers,
                now.ready,
            ),
            format!(
                "descriptors {}, to be sent {} bytes",
                event_loop.watched_descriptors(),
                event_loop.write_buffers_size(),
            ),
            format!("iterations {}, callbacks {}", now.iterations, now.callbacks),
        ]
    }

    /// Describes the present for the status page.
    pub(crate) fn to_json(&self, event_loop: &EventLoopHandle) -> Value {
        let (now, second) = (event_loop.statistics(), self.second.get());
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let usage =
            |usage: Usage| json!({ "live": usage.live, "capacity": usage.capacity, "peak": usage.peak });
        json!({
            "time": Zoned::now().strftime("%Y-%m-%d %H:%M:%S").to_string(),
            "uptime": event_loop.time().as_secs_f64(),
            "clients": count(&self.totals.clients),
            "connections": count(&self.totals.connections),
            "commands": count(&self.totals.commands),
            "commands_per_second": second.commands,
            "iterations_per_second": second.iterations,
            "callbacks_per_second": second.callbacks,
            "latency_us": second.latency.as_secs_f64() * 1e6,
            "datagrams": self.datagrams.get(),
            "dropped_datagrams": self.dropped_datagrams(),
            "tasks": usage(now.tasks),
            "calls": usage(now.calls),
            "timers": now.timers,
            "descriptors": event_loop.watched_descriptors(),
            "unsent_bytes": event_loop.write_buffers_size(),
            "sensor": self.reading.borrow().to_json(),
        })
    }

    /// Ends a second and begins the next one.
    fn turn_over(&self, event_loop: &EventLoopHandle) {
        let commands = self.totals.commands.load(Ordering::Relaxed);
        let now = Counted { of_loop: event_loop.statistics(), commands };
        let time = event_loop.time();
        let (then, since) = self.last.replace((now, time));
        let seconds = (time - since).as_secs_f64().max(1e-9);
        let rate = |now: u64, then: u64| (now - then) as f64 / seconds;
        self.second.set(Second {
            commands: rate(now.commands, then.commands),
            iterations: rate(now.of_loop.iterations, then.of_loop.iterations),
            callbacks: rate(now.of_loop.callbacks, then.of_loop.callbacks),
            latency: self.latency.take(),
        });
    }

    /// Prints the present, in a line for each part.
    pub(crate) fn print(&self, event_loop: &EventLoopHandle) {
        for part in self.parts(event_loop) {
            say!("  {part}");
        }
    }

    /// Prints how fast the last second was.
    pub(crate) fn print_pace(&self, event_loop: &EventLoopHandle) {
        let second = self.second.get();
        say!(
            "{:8.1} s  {} clients, {:.0} commands/s, {:.0} callbacks/s, at most {:.1?} late; sensor {}",
            event_loop.time().as_secs_f64(),
            self.totals.clients.load(Ordering::Relaxed),
            second.commands,
            second.callbacks,
            second.latency,
            self.describe_reading(),
        );
    }
}

/// Tells the time of day, and of the loop.
pub(crate) fn time(event_loop: &EventLoopHandle) -> String {
    let now = Zoned::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
    format!("{now}, the loop is at {:.3} s", event_loop.time().as_secs_f64())
}

/// Counts in seconds, for as long as the loop runs, and calls `each` after each one.
pub(crate) fn count_seconds(
    event_loop: &EventLoopHandle,
    figures: Rc<Figures>,
    each: fn(&Figures, &EventLoopHandle),
) -> rondel::Result<()> {
    let due = event_loop.time() + SECOND;
    event_loop.call_at(due, move |event_loop| {
        figures.turn_over(event_loop);
        each(&figures, event_loop);
        count_seconds(event_loop, figures, each)
    })?;
    Ok(())
}

/// Looks from now on how late the loop is for its timers.
pub(crate) fn feel_pulse(event_loop: &EventLoopHandle, figures: Rc<Figures>) -> rondel::Result<()> {
    let due = event_loop.time() + PULSE;
    event_loop.call_at(due, move |event_loop| {
        let late = event_loop.time() - due;
        figures.latency.set(figures.latency.get().max(late));
        feel_pulse(event_loop, figures)
    })?;
    Ok(())
}

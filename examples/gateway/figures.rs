//! What the gateway counts, beside what its loop counts.

use core::cell::{Cell, OnceCell};
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::rc::Rc;
use std::sync::Arc;

use jiff::Zoned;

use rondel::{DatagramTransport, EventLoopHandle, Instant, Server, Statistics};

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
    /// Is what the loop had counted when the last line was printed, and when.
    last: Cell<(Statistics, Instant)>,
}

impl Figures {
    pub(crate) fn new(event_loop: &EventLoopHandle, totals: Arc<Totals>) -> Self {
        let last = Cell::new((event_loop.statistics(), event_loop.time()));
        let (server, tls_server, endpoint) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        Self { totals, server, tls_server, datagrams: Cell::new(0), endpoint, last }
    }

    /// Looks at a server from now on.
    pub(crate) fn watch(&self, server: &Server) {
        let _ = self.server.set(server.clone());
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

    /// Looks at a server with TLS, too.
    pub(crate) fn watch_tls(&self, server: &Server) {
        let _ = self.tls_server.set(server.clone());
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

    /// Describes the present.
    pub(crate) fn describe(&self, event_loop: &EventLoopHandle) -> String {
        let now = event_loop.statistics();
        let of_server = |count: fn(&Server) -> u64| self.server.get().map_or(0, count);
        let of_tls = |count: fn(&Server) -> u64| self.tls_server.get().map_or(0, count);
        format!(
            "clients {} (ever {}), commands {}; this loop: accepted {}, refused {}, TLS accepted {} \
             (handshakes refused {}), datagrams {} (dropped {}), \
             to be sent {} bytes, descriptors {}, iterations {}, callbacks {}, ready {}, timers {}, tasks {}/{} (peak {}), \
             calls {}/{} (peak {})",
            self.totals.clients.load(Ordering::Relaxed),
            self.totals.connections.load(Ordering::Relaxed),
            self.totals.commands.load(Ordering::Relaxed),
            of_server(Server::accepted),
            of_server(Server::refused),
            of_tls(Server::accepted),
            of_tls(Server::refused),
            self.datagrams.get(),
            self.dropped_datagrams(),
            event_loop.write_buffers_size(),
            event_loop.watched_descriptors(),
            now.iterations,
            now.callbacks,
            now.ready,
            now.timers,
            now.tasks.live,
            now.tasks.capacity,
            now.tasks.peak,
            now.calls.live,
            now.calls.capacity,
            now.calls.peak,
        )
    }

    /// Prints the present, and the speed since the last time.
    pub(crate) fn print(&self, event_loop: &EventLoopHandle) {
        let (now, time) = (event_loop.statistics(), event_loop.time());
        let (then, since) = self.last.replace((now, time));
        let secs = (time - since).as_secs_f64().max(1e-9);
        let rate = |now: u64, then: u64| (now - then) as f64 / secs;
        println!(
            "{:8.1} s  {}; {:.0} iterations/s, {:.0} callbacks/s",
            time.as_secs_f64(),
            self.describe(event_loop),
            rate(now.iterations, then.iterations),
            rate(now.callbacks, then.callbacks),
        );
    }
}

/// Tells the time of day, and of the loop.
pub(crate) fn time(event_loop: &EventLoopHandle) -> String {
    let now = Zoned::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
    format!("{now}, the loop is at {:.3} s", event_loop.time().as_secs_f64())
}

/// Prints the figures each second, for as long as the loop runs.
pub(crate) fn print_each_second(event_loop: &EventLoopHandle, figures: Rc<Figures>) -> rondel::Result<()> {
    event_loop.call_later(Duration::from_secs(1), move |event_loop| {
        figures.print(event_loop);
        print_each_second(event_loop, figures)
    })?;
    Ok(())
}

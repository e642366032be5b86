//! What the gateway counts, beside what its loop counts.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use rondel::{EventLoopHandle, Instant, Statistics};

/// The gateway's counters.
pub(crate) struct Figures {
    clients: Cell<u64>,
    connections: Cell<u64>,
    commands: Cell<u64>,
    /// Is what the loop had counted when the last line was printed, and when.
    last: Cell<(Statistics, Instant)>,
}

impl Figures {
    pub(crate) fn new(event_loop: &EventLoopHandle) -> Self {
        let (clients, connections, commands) = (Cell::new(0), Cell::new(0), Cell::new(0));
        Self { clients, connections, commands, last: Cell::new((event_loop.statistics(), event_loop.time())) }
    }

    pub(crate) fn client_connected(&self) {
        self.clients.set(self.clients.get() + 1);
        self.connections.set(self.connections.get() + 1);
    }

    pub(crate) fn client_left(&self) {
        self.clients.set(self.clients.get() - 1);
    }

    pub(crate) fn command_received(&self) {
        self.commands.set(self.commands.get() + 1);
    }

    /// Describes the present.
    pub(crate) fn describe(&self, event_loop: &EventLoopHandle) -> String {
        let now = event_loop.statistics();
        format!(
            "clients {} (ever {}), commands {}; iterations {}, callbacks {}, ready {}, timers {}, \
             tasks {}/{} (peak {}), calls {}/{} (peak {})",
            self.clients.get(),
            self.connections.get(),
            self.commands.get(),
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

/// Prints the figures each second, for as long as the loop runs.
pub(crate) fn print_each_second(event_loop: &EventLoopHandle, figures: Rc<Figures>) -> rondel::Result<()> {
    event_loop.call_later(Duration::from_secs(1), move |event_loop| {
        figures.print(event_loop);
        print_each_second(event_loop, figures)
    })?;
    Ok(())
}

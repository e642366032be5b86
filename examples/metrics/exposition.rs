//! Figures as Prometheus reads them, in its text format 0.0.4.

use core::fmt::{Display, Write};
use core::ops::RangeInclusive;

use rondel::{Histogram, Metrics, Usage};

/// Are the bounds that are published, in powers of two of the unit: of durations
/// about 1 µs to 17 s, of lengths 1 to 4,095.
const DURATION_BITS: RangeInclusive<u32> = 10..=34;
const LENGTH_BITS: RangeInclusive<u32> = 1..=12;

/// Writes all figures of a loop down.
pub(crate) fn of(metrics: &Metrics) -> String {
    let mut text = Exposition(String::new());
    text.scheduler(metrics);
    text.network(metrics);
    text.usages(metrics);
    text.histograms(metrics);
    text.0
}

/// Figures in the text format: per name a line of help, one of its type, and samples.
struct Exposition(String);

impl Exposition {
    fn scheduler(&mut self, metrics: &Metrics) {
        let statistics = &metrics.statistics;
        self.counter("iterations", "Iterations of the loop.", statistics.iterations);
        self.counter("callbacks", "Callbacks and steps of tasks that were run.", statistics.callbacks);
        self.gauge("ready", "Callbacks and tasks that are ready to run.", statistics.ready);
        self.gauge("timers", "Timers that are armed.", statistics.timers);
        self.gauge("timers_peak", "The most timers that ever were armed at once.", statistics.timers_peak);
        self.head("refusals_total", "Calls that were refused for want of room.", "counter");
        for (resource, count) in statistics.refusals.iter() {
            self.sample(format_args!("refusals_total{{resource=\"{resource}\"}}"), count);
        }
        self.counter(
            "jobs_refused",
            "Jobs that found the queue of their executor full.",
            metrics.jobs_refused,
        );
    }

    fn network(&mut self, metrics: &Metrics) {
        for (name, help, count) in [
            ("connections_accepted", "Connections that servers took on.", metrics.connections_accepted),
            ("connections_refused", "Connections that could not be served.", metrics.connections_refused),
            ("connections_opened", "Connections that began.", metrics.connections_opened),
            ("connections_closed", "Connections that ended.", metrics.connections_closed),
            ("received_bytes", "Bytes received from sockets.", metrics.bytes_received),
            ("sent_bytes", "Bytes sent to sockets.", metrics.bytes_sent),
            ("datagrams_received", "Datagrams received.", metrics.datagrams_received),
            ("datagrams_sent", "Datagrams sent.", metrics.datagrams_sent),
            ("datagrams_dropped", "Datagrams that were not sent.", metrics.datagrams_dropped),
            ("writes_dropped", "Writes to connections that had ended.", metrics.writes_dropped),
        ] {
            self.counter(name, help, count);
        }
        self.gauge("write_buffer_peak_bytes", "The most that one transport kept.", metrics.write_buffer_peak);
        self.gauge(
            "read_buffer_peak_bytes",
            "The most that one stream kept unread.",
            metrics.read_buffer_peak,
        );
        self.gauge(
            "datagram_batch_peak",
            "The most datagrams received at once.",
            metrics.datagram_batch_peak,
        );
    }

    /// Writes how full everything is, was, and may be.
    fn usages(&mut self, metrics: &Metrics) {
        let statistics = &metrics.statistics;
        let usages = [
            ("calls", statistics.calls),
            ("futures", statistics.futures),
            ("tasks", statistics.tasks),
            ("descriptors", metrics.descriptors),
            ("children", metrics.children),
            ("threadsafe_calls", metrics.threadsafe_calls),
            ("write_buffer_bytes", metrics.write_buffers),
            ("jobs", metrics.jobs),
            ("lookups", metrics.lookups),
        ];
        let columns: [(&str, &str, fn(&Usage) -> usize); 3] = [
            ("in_use", "What of a table or buffer is in use.", |usage| usage.live),
            ("in_use_peak", "The most that ever was in use at once.", |usage| usage.peak),
            ("capacity", "What there is room for.", |usage| usage.capacity),
        ];
        for (name, help, column) in columns {
            self.head(name, help, "gauge");
            for (table, usage) in &usages {
                self.sample(format_args!("{name}{{table=\"{table}\"}}"), column(usage));
            }
        }
    }

    fn histograms(&mut self, metrics: &Metrics) {
        let callbacks = "How long callbacks and steps of tasks ran.";
        self.durations("callback_seconds", callbacks, &metrics.callback_time);
        self.durations("wait_seconds", "How long the loop waited for the outside.", &metrics.wait_time);
        self.durations("timer_lateness_seconds", "How late timers were.", &metrics.timer_lateness);
        self.head("ready_length", "What was ready at the begin of an iteration.", "histogram");
        let ready = &metrics.ready;
        self.histogram("ready_length", ready, LENGTH_BITS, |length| length as f64);
    }

    fn durations(&mut self, name: &str, help: &str, nanos: &Histogram) {
        self.head(name, help, "histogram");
        self.histogram(name, nanos, DURATION_BITS, |nanos| nanos as f64 / 1e9);
    }

    /// Writes the buckets, each with all that is below it. The bounds of a
    /// `Histogram` are the largest values of their buckets, as an `le` is.
    fn histogram(
        &mut self,
        name: &str,
        histogram: &Histogram,
        bits: RangeInclusive<u32>,
        to_unit: impl Fn(u64) -> f64,
    ) {
        let mut sum = 0;
        for (bound, count) in histogram.buckets() {
            sum += count;
            if bound.count_ones() == bound.trailing_ones() && bits.contains(&bound.trailing_ones()) {
                self.sample(format_args!("{name}_bucket{{le=\"{}\"}}", to_unit(bound)), sum);
            }
        }
        self.sample(format_args!("{name}_bucket{{le=\"+Inf\"}}"), sum);
        self.sample(format_args!("{name}_sum"), to_unit(histogram.sum()));
        self.sample(format_args!("{name}_count"), sum);
    }

    fn counter(&mut self, name: &str, help: &str, count: u64) {
        let name = format!("{name}_total");
        self.head(&name, help, "counter");
        self.sample(format_args!("{name}"), count);
    }

    fn gauge(&mut self, name: &str, help: &str, value: usize) {
        self.head(name, help, "gauge");
        self.sample(format_args!("{name}"), value);
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        self.line(format_args!("# HELP rondel_{name} {help}\n# TYPE rondel_{name} {kind}"));
    }

    fn sample(&mut self, name: impl Display, value: impl Display) {
        self.line(format_args!("rondel_{name} {value}"));
    }

    fn line(&mut self, line: impl Display) {
        writeln!(self.0, "{line}").expect("a string takes everything");
    }
}

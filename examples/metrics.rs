//! The figures of a loop as Prometheus scrapes them, in its text format 0.0.4.
//!
//! ```text
//! $ cargo run --release --example metrics -- --addr 127.0.0.1:9464
//! $ curl http://127.0.0.1:9464/metrics
//! $ curl --request POST http://127.0.0.1:9464/stop
//! ```
//!
//! rondel knows nothing of Prometheus: `EventLoopHandle::metrics` returns plain
//! numbers, and this program writes them down. A program with several loops would
//! give each a label, or sum up their histograms by `Histogram::merge`.

use core::convert::Infallible;
use core::fmt::{Display, Write};
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::time::Duration;
use std::process::ExitCode;
use std::rc::Rc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rondel::{Config, Error, EventLoop, EventLoopHandle, Histogram, Metrics, Stream, Usage};

const HELP: &str = "\
Serves the figures of its own loop over HTTP/1.1: GET /metrics for Prometheus,
POST /stop ends the server.

Usage: metrics [--addr ADDR]

  --addr ADDR   where to listen: an address and a port; 127.0.0.1:9464 if not given
  --help        print this";

const TEXT_FORMAT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// Is how often the loop has something to do of its own.
const TICK: Duration = Duration::from_millis(10);

/// Are the bounds that are published, in powers of two of the unit: of durations
/// about 1 µs to 17 s, of lengths 1 to 4,095.
const DURATION_BITS: core::ops::RangeInclusive<u32> = 10..=34;
const LENGTH_BITS: core::ops::RangeInclusive<u32> = 1..=12;

fn main() -> ExitCode {
    let addr = match parse_addr() {
        Ok(Some(addr)) => addr,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("metrics: {error}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match run(addr) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("metrics: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Reads the command line; `None` if only help is wanted.
fn parse_addr() -> Result<Option<String>, lexopt::Error> {
    use lexopt::prelude::{Long, Short, ValueExt};
    let mut addr = "127.0.0.1:9464".to_owned();
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("addr") => addr = parser.value()?.string()?,
            Short('h') | Long("help") => return Ok(None),
            unexpected => return Err(unexpected.unexpected()),
        }
    }
    Ok(Some(addr))
}

fn run(addr: String) -> Result<(), Error> {
    let event_loop = EventLoop::with_config(Config { metrics: true, ..Config::default() })?;
    let handle = event_loop.handle();
    event_loop.create_task(async move {
        // Its lateness is that of a busy loop's timers.
        while handle.sleep(TICK).await.is_ok() {}
    })?;
    event_loop.run_until_complete(serve(event_loop.handle(), addr))
}

async fn serve(event_loop: EventLoopHandle, addr: String) -> Result<(), Error> {
    let stop = Rc::new(event_loop.create_future::<()>()?);
    let (stops, handle) = (Rc::clone(&stop), event_loop.clone());
    let server = event_loop.start_server(addr, move |reader, writer| {
        connection(handle.clone(), Stream::new(reader, writer), Rc::clone(&stops))
    });
    let server = server.await?;
    println!("READY, listening on http://{}/metrics", server.local_addr());
    stop.wait().await?;
    server.close();
    server.wait_closed().await
}

/// Serves one connection until its end, or gracefully to the end of its request
/// when the server stops.
async fn connection(
    event_loop: EventLoopHandle,
    stream: Stream,
    stop: Rc<rondel::Future<()>>,
) -> Result<(), hyper::Error> {
    let service = service_fn(|request| {
        let answer = answer(&event_loop, &request, &stop);
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut serves = pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    let mut stopped = pin!(stop.wait());
    let mut is_stopping = false;
    poll_fn(move |cx| {
        if !is_stopping && stopped.as_mut().poll(cx).is_ready() {
            is_stopping = true;
            serves.as_mut().graceful_shutdown();
        }
        serves.as_mut().poll(cx)
    })
    .await
}

fn answer(
    event_loop: &EventLoopHandle,
    request: &Request<Incoming>,
    stop: &rondel::Future<()>,
) -> Response<Full<Bytes>> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => {
            let mut figures = Response::new(Full::from(Exposition::of(&event_loop.metrics())));
            figures.headers_mut().insert(CONTENT_TYPE, TEXT_FORMAT);
            figures
        }
        (&Method::POST, "/stop") => {
            // The second one finds it set.
            let _ = stop.set_result(());
            Response::new(Full::from("stopping\n"))
        }
        _ => {
            let mut missing = Response::new(Full::from("there is nothing here\n"));
            *missing.status_mut() = StatusCode::NOT_FOUND;
            missing
        }
    }
}

/// Figures in the text format: per name a line of help, one of its type, and samples.
struct Exposition(String);

impl Exposition {
    fn of(metrics: &Metrics) -> String {
        let mut text = Self(String::new());
        text.scheduler(metrics);
        text.network(metrics);
        text.usages(metrics);
        text.histograms(metrics);
        text.0
    }

    fn scheduler(&mut self, metrics: &Metrics) {
        let statistics = &metrics.statistics;
        self.counter("iterations", "Iterations of the loop.", statistics.iterations);
        self.counter("callbacks", "Callbacks and steps of tasks that were run.", statistics.callbacks);
        self.gauge("ready", "Callbacks and tasks that are ready to run.", statistics.ready);
        self.gauge("timers", "Timers that are armed.", statistics.timers);
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
        bits: core::ops::RangeInclusive<u32>,
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

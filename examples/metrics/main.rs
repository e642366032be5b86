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

#[path = "../command_line.rs"]
mod command_line;
mod exposition;
#[path = "../http.rs"]
mod http;

use core::time::Duration;
use std::process::ExitCode;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use rondel::{Config, Error, EventLoop, EventLoopHandle};

use crate::http::Stop;

const HELP: &str = "\
Serves the figures of its own loop over HTTP/1.1: GET /metrics for Prometheus,
POST /stop ends the server.

Usage: metrics [--addr ADDR]

  --addr ADDR   where to listen: an address and a port; 127.0.0.1:9464 if not given
  --help        print this";

const TEXT_FORMAT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// Is how often the loop has something to do of its own.
const TICK: Duration = Duration::from_millis(10);

/// Is how long what is left has to end.
const GRACE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    command_line::serve_at("127.0.0.1:9464", HELP, run)
}

fn run(addr: String) -> Result<(), Error> {
    let event_loop = EventLoop::with_config(Config { metrics: true, ..Config::default() })?;
    let handle = event_loop.handle();
    event_loop.create_task(async move {
        // Its lateness is that of a busy loop's timers.
        while handle.sleep(TICK).await.is_ok() {}
    })?;
    let measured = event_loop.handle();
    let answer = move |request: Request<Incoming>, stop: &Stop| answer(&measured, &request, stop);
    let served = event_loop.run_until_complete(http::serve(&event_loop, addr, answer));
    event_loop.close_within(GRACE)?;
    served
}

fn answer(event_loop: &EventLoopHandle, request: &Request<Incoming>, stop: &Stop) -> Response<Full<Bytes>> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => {
            let mut figures = Response::new(Full::from(exposition::of(&event_loop.metrics())));
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

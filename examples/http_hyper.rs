//! HTTP/1.1 with hyper: its parsers and its state machine, on rondel's loop.
//!
//! ```text
//! $ cargo run --release --example http_hyper -- --addr 127.0.0.1:8080
//! $ curl http://127.0.0.1:8080/
//! $ curl --data-binary @README.md http://127.0.0.1:8080/echo
//! $ curl http://127.0.0.1:8080/large --output /dev/null
//! $ curl --request POST http://127.0.0.1:8080/stop
//! ```
//!
//! The server is in `http.rs`; here is what it answers.

#[path = "command_line.rs"]
mod command_line;
#[path = "http.rs"]
mod http;

use std::process::ExitCode;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};

use crate::http::Stop;

const HELP: &str = "\
Serves HTTP/1.1: GET / greets, POST /echo sends the body back, GET /large sends
8 MiB, POST /stop ends the server.

Usage: http_hyper [--addr ADDR]

  --addr ADDR   where to listen: an address and a port; 127.0.0.1:8080 if not given
  --help        print this";

const LARGE_BYTES: usize = 8 << 20;

fn main() -> ExitCode {
    command_line::serve_at("127.0.0.1:8080", HELP, |addr| {
        rondel::run(async |event_loop| http::serve(&event_loop, addr, answer).await)
    })
}

type Body = UnsyncBoxBody<Bytes, hyper::Error>;

fn answer(request: Request<Incoming>, stop: &Stop) -> Response<Body> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/") => Response::new(text("Hello from a loop of one thread.\n")),
        (&Method::POST, "/echo") => Response::new(request.into_body().boxed_unsync()),
        (&Method::GET, "/large") => Response::new(text(vec![b'x'; LARGE_BYTES])),
        (&Method::POST, "/stop") => {
            // The second one finds it set.
            let _ = stop.set_result(());
            Response::new(text("stopping\n"))
        }
        _ => {
            let mut missing = Response::new(text("there is nothing here\n"));
            *missing.status_mut() = StatusCode::NOT_FOUND;
            missing
        }
    }
}

fn text(data: impl Into<Bytes>) -> Body {
    Full::new(data.into()).map_err(|never| match never {}).boxed_unsync()
}

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
//! Each connection is a task. hyper wants something that reads and writes as
//! tokio's streams do: a [`Stream`] is that with the feature `tokio`, and brings
//! nothing of tokio's runtime along. A stop lets each connection end the request
//! that it answers, and the idle ones at once.

use core::convert::Infallible;
use core::future::{Future, poll_fn};
use core::pin::pin;
use std::process::ExitCode;
use std::rc::Rc;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rondel::{Error, EventLoopHandle, Stream};

const HELP: &str = "\
Serves HTTP/1.1: GET / greets, POST /echo sends the body back, GET /large sends
8 MiB, POST /stop ends the server.

Usage: http_hyper [--addr ADDR]

  --addr ADDR   where to listen: an address and a port; 127.0.0.1:8080 if not given
  --help        print this";

const LARGE_BYTES: usize = 8 << 20;

fn main() -> ExitCode {
    let addr = match parse_addr() {
        Ok(Some(addr)) => addr,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("http_hyper: {error}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match rondel::run(async |event_loop| serve(event_loop, addr).await) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("http_hyper: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Reads the command line; `None` if only help is wanted.
fn parse_addr() -> Result<Option<String>, lexopt::Error> {
    use lexopt::prelude::{Long, Short, ValueExt};
    let mut addr = "127.0.0.1:8080".to_owned();
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

async fn serve(event_loop: EventLoopHandle, addr: String) -> Result<(), Error> {
    let stop = Rc::new(event_loop.create_future::<()>()?);
    let stops = Rc::clone(&stop);
    let server = event_loop
        .start_server(addr, move |reader, writer| connection(Stream::new(reader, writer), Rc::clone(&stops)));
    let server = server.backlog(1024).await?;
    println!("READY, listening on http://{}", server.local_addr());
    stop.wait().await?;
    server.close();
    server.wait_closed().await
}

/// Serves one connection until its end, or gracefully to the end of its request
/// when the server stops.
async fn connection(stream: Stream, stop: Rc<rondel::Future<()>>) -> Result<(), hyper::Error> {
    let service = service_fn(|request| {
        let stop = Rc::clone(&stop);
        async move { Ok::<_, Infallible>(answer(request, &stop)) }
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

type Body = UnsyncBoxBody<Bytes, hyper::Error>;

fn answer(request: Request<Incoming>, stop: &rondel::Future<()>) -> Response<Body> {
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

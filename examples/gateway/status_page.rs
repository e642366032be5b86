//! The status page: what the loop does, in a browser.
//!
//! `/` is the page, which reads `/events`, the figures of each second as server-sent events, and
//! `/snapshot.json`, everything that the loop holds.

use core::cell::Cell;
use core::convert::Infallible;
use core::future::{Future, poll_fn};
use core::net::SocketAddr;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use core::time::Duration;
use std::rc::Rc;

use http_body_util::{Either, Full};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rondel::{EventLoopHandle, Server, SnapshotRow, Stream, TlsServerConfig};
use serde_json::json;

use crate::figures::Figures;

const PAGE: &str = include_str!("page.html");

/// Is the most connections at once: a browser has up to six.
const CONNECTIONS_MAX: usize = 64;

/// Is the longest time without a request.
const PATIENCE: Duration = Duration::from_secs(20);

/// Is the most rows of the page's table.
const ROWS_MAX: usize = 500;

const PERIOD: Duration = Duration::from_secs(1);

/// Listens for browsers.
pub(crate) async fn listen(
    event_loop: &EventLoopHandle,
    addr: SocketAddr,
    tls: Option<&TlsServerConfig>,
    figures: &Rc<Figures>,
) -> rondel::Result<Server> {
    let (on, figures) = (event_loop.clone(), Rc::clone(figures));
    let server = event_loop.start_server(addr, move |reader, writer| {
        serve(on.clone(), Stream::new(reader, writer), Rc::clone(&figures))
    });
    let server = server.max_connections(CONNECTIONS_MAX);
    match tls {
        None => server.await,
        Some(tls) => server.tls(tls).on_refused(|_, _| {}).await,
    }
}

/// Serves one connection; what happens to it is no error of the gateway.
async fn serve(event_loop: EventLoopHandle, stream: Stream, figures: Rc<Figures>) {
    let viewer = Rc::new(Viewer { event_loop: event_loop.clone(), figures });
    let requests = Cell::new(0_u64);
    let service = service_fn(|request| {
        requests.set(requests.get() + 1);
        let answer = answer(&viewer, &request);
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut serves = pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    let mut patience = pin!(event_loop.sleep(PATIENCE));
    poll_fn(|cx| {
        if serves.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        while let Poll::Ready(slept) = patience.as_mut().poll(cx) {
            // Events are sent for as long as somebody reads them.
            let is_used = requests.replace(0) > 0 || Rc::strong_count(&viewer) > 1;
            if slept.is_err() || !is_used {
                return Poll::Ready(());
            }
            patience.set(event_loop.sleep(PATIENCE));
        }
        Poll::Pending
    })
    .await;
}

/// What the requests of a connection look at.
struct Viewer {
    event_loop: EventLoopHandle,
    figures: Rc<Figures>,
}

type Content = Either<Full<Bytes>, Events>;
type Answer = Response<Content>;

fn answer(viewer: &Rc<Viewer>, request: &Request<Incoming>) -> Answer {
    let (content_type, body) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/") => ("text/html; charset=utf-8", full(PAGE)),
        (&Method::GET | &Method::HEAD, "/events") => {
            let events = Events { viewer: Rc::clone(viewer), next: None };
            ("text/event-stream", Either::Right(events))
        }
        (&Method::GET | &Method::HEAD, "/snapshot.json") => {
            ("application/json", full(snapshot(&viewer.event_loop)))
        }
        (&Method::GET | &Method::HEAD, _) => return refused(StatusCode::NOT_FOUND),
        _ => return refused(StatusCode::METHOD_NOT_ALLOWED),
    };
    let mut answer = Response::new(body);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'self' 'unsafe-inline'; img-src data:; frame-ancestors 'none'"),
    );
    answer
}

fn refused(status: StatusCode) -> Answer {
    let mut answer = Response::new(full(format!("{status}\n")));
    *answer.status_mut() = status;
    if status == StatusCode::METHOD_NOT_ALLOWED {
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    answer
}

fn full(data: impl Into<Bytes>) -> Content {
    Either::Left(Full::new(data.into()))
}

/// Shows what the loop holds, a row for each thing.
fn snapshot(event_loop: &EventLoopHandle) -> String {
    let mut rows = vec![SnapshotRow::default(); event_loop.snapshot_len().min(ROWS_MAX)];
    let snapshot = event_loop.snapshot(&mut rows);
    let text = snapshot.to_string();
    // The first line counts, and the last one may.
    let lines = text.lines().skip(1).take(snapshot.rows().len());
    let rows: Vec<_> = snapshot
        .rows()
        .iter()
        .zip(lines)
        .map(|(row, line)| {
            let (what, created_at) = line.split_once("; created at ").unwrap_or((line, ""));
            json!({ "kind": kind(row), "what": what, "created_at": created_at })
        })
        .collect();
    json!({ "rows": rows, "missing": snapshot.missing() }).to_string()
}

fn kind(row: &SnapshotRow) -> &'static str {
    match row {
        SnapshotRow::Task(_) => "task",
        SnapshotRow::Call(_) => "call",
        SnapshotRow::Future(_) => "future",
        SnapshotRow::Descriptor(_) => "descriptor",
        SnapshotRow::Job(_) => "job",
        _ => "",
    }
}

/// The figures of each second, as server-sent events.
struct Events {
    viewer: Rc<Viewer>,
    /// Is when the next event is due; at once at first.
    next: Option<Pin<Box<dyn Future<Output = bool>>>>,
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let is_due = match &mut self.next {
            None => true,
            Some(next) => match next.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(is_due) => is_due,
            },
        };
        if !is_due {
            // The gateway stops.
            return Poll::Ready(None);
        }
        let Viewer { event_loop, figures } = &*self.viewer;
        let event = format!("data: {}\n\n", figures.to_json(event_loop));
        let sleep = event_loop.sleep(PERIOD);
        self.next = Some(Box::pin(async move { sleep.await.is_ok() }));
        Poll::Ready(Some(Ok(Frame::data(event.into()))))
    }
}

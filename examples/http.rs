//! A server of HTTP/1.1 by hyper, whose connections are tasks of the loop.
//!
//! hyper wants something that reads and writes as tokio's streams do: a [`Stream`]
//! is that with the feature `tokio`, and brings nothing of tokio's runtime along.

use core::convert::Infallible;
use core::error::Error as StdError;
use core::future::{Future, poll_fn};
use core::pin::pin;
use std::rc::Rc;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rondel::{Error, EventLoopHandle, Stream};

/// Tells the server to stop; any answer may.
pub(crate) type Stop = rondel::Future<()>;

/// Serves at `addr`, until an answer sets `Stop`: then each connection ends the
/// request that it answers, and the idle ones end at once.
pub(crate) async fn serve<B>(
    event_loop: &EventLoopHandle,
    addr: String,
    answer: impl Fn(Request<Incoming>, &Stop) -> Response<B> + Clone + 'static,
) -> Result<(), Error>
where
    B: Body + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let stop = Rc::new(event_loop.create_future::<()>()?);
    let stops = Rc::clone(&stop);
    let server = event_loop.start_server(addr, move |reader, writer| {
        connection(Stream::new(reader, writer), answer.clone(), Rc::clone(&stops))
    });
    let server = server.backlog(1024).await?;
    println!("READY, listening on http://{}", server.local_addr());
    stop.wait().await?;
    server.close();
    server.wait_closed().await
}

/// Serves one connection until its end.
async fn connection<B>(
    stream: Stream,
    answer: impl Fn(Request<Incoming>, &Stop) -> Response<B>,
    stop: Rc<Stop>,
) -> Result<(), hyper::Error>
where
    B: Body + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let service = service_fn(|request| {
        let answer = answer(request, &stop);
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

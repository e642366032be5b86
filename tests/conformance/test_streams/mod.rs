//! Servers, readers and writers.

mod cancelling;
mod reading;
mod resets;
mod serving;
mod writing;

use core::future::{Future, poll_fn};
use core::task::Poll;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use rondel::{Error, EventLoopHandle, Stream, StreamReader, StreamWriter};

use crate::fixture::{accept_one, peer, real};

/// Serves one connection with `serve` and talks to it with `talk` in a thread.
fn serve_one<F, Fut, T, R, V>(limit: usize, talk: T, serve: F) -> (R, V)
where
    F: FnOnce(EventLoopHandle, StreamReader, StreamWriter) -> Fut + 'static,
    Fut: Future<Output = Result<V, Error>> + 'static,
    T: FnOnce(TcpStream) -> R + Send + 'static,
    R: Send + 'static,
    V: 'static,
{
    let event_loop = real();
    let handle = event_loop.handle();
    let (thread, value) = event_loop
        .run_until_complete(async move {
            let (thread, reader, writer) = accept_one(&handle, limit, |addr| peer(addr, talk)).await?;
            let value = serve(handle.clone(), reader, writer).await?;
            Ok::<_, Error>((thread, value))
        })
        .unwrap();
    drop(event_loop);
    (thread.join().unwrap(), value)
}

/// Gives both ends of a connection to `test`, in one loop: no thread decides when
/// something comes.
fn with_ends<F, Fut>(limit: usize, test: F)
where
    F: FnOnce(EventLoopHandle, Stream, Stream) -> Fut + 'static,
    Fut: Future<Output = Result<(), Error>> + 'static,
{
    let event_loop = real();
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async move {
            let (ours, theirs) = UnixStream::pair()?;
            let ours = handle.open_connection_with_sock(ours).limit(limit).await?;
            let theirs = handle.open_connection_with_sock(theirs).limit(limit).await?;
            test(handle.clone(), ours.into(), theirs.into()).await
        })
        .unwrap();
    assert_eq!(event_loop.watched_descriptors(), 0);
    assert_eq!(event_loop.statistics().calls.live, 0);
}

/// Polls `future` once, and drops it: a cancellation at its first await.
async fn poll_and_drop<F: Future>(future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    poll_fn(move |cx| {
        Poll::Ready(match future.as_mut().poll(cx) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        })
    })
    .await
}

/// Waits until what was sent to a reader in this loop can be read.
async fn arrived(event_loop: &EventLoopHandle) {
    event_loop.yield_now().await.unwrap();
    event_loop.yield_now().await.unwrap();
}

//! Streams as the `AsyncRead` and `AsyncWrite` of others.

use std::io::{ErrorKind as Kind, IoSlice};
use std::os::unix::net::UnixStream;

use rondel::{
    Error, ErrorKind, EventLoop, EventLoopHandle, Faults, Operation, Stream, TlsClientOptions, TlsError,
};

use crate::fixture::{real, small};
use crate::tls_fixture::{client, server};

/// Gives both ends of a connection to `test`, in one loop.
fn with_ends(test: impl AsyncFnOnce(EventLoopHandle, Stream, Stream) -> Result<(), Error> + 'static) {
    let event_loop = real();
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async move {
            let (ours, theirs) = UnixStream::pair()?;
            let ours = handle.open_connection_with_sock(ours).limit(1000).await?;
            let theirs = handle.open_connection_with_sock(theirs).limit(1000).await?;
            test(handle.clone(), ours.into(), theirs.into()).await
        })
        .unwrap();
    assert_eq!(event_loop.watched_descriptors(), 0);
    assert_eq!(event_loop.statistics().calls.live, 0, "no wait is left behind");
}

/// Gives both ends of a connection to `test`, in one loop that fails on request.
fn with_faults(
    test: impl AsyncFnOnce(EventLoopHandle, Faults, Stream, Stream) -> Result<(), Error> + 'static,
) {
    let (event_loop, _clock, faults) = EventLoop::with_faults(small()).unwrap();
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async move {
            let (ours, theirs) = UnixStream::pair()?;
            let ours = handle.open_connection_with_sock(ours).await?;
            let theirs = handle.open_connection_with_sock(theirs).await?;
            test(handle.clone(), faults, ours.into(), theirs.into()).await
        })
        .unwrap();
    assert_eq!(event_loop.watched_descriptors(), 0);
    assert_eq!(event_loop.statistics().calls.live, 0, "no wait is left behind");
}

/// Gives both ends of a connection by TLS to `test`, in one loop.
fn with_tls_ends(test: impl AsyncFnOnce(Stream, Stream) -> Result<(), Error> + 'static) {
    let event_loop = real();
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async move {
            let (ours, theirs) = UnixStream::pair()?;
            let client = TlsClientOptions::from(client().build()?).server_hostname("localhost");
            // Sends nothing that is not read: that would make a reset of an end.
            let server = server().tickets_per_handshake(0).build()?;
            let connecting = handle.open_connection_with_sock(ours).tls(client);
            let accepting = handle.open_connection_with_sock(theirs).tls_server(server);
            let (ours, theirs) =
                futures_lite::future::zip(connecting.into_future(), accepting.into_future()).await;
            test(ours?.into(), theirs?.into()).await
        })
        .unwrap();
}

fn pattern() -> Vec<u8> {
    (0..=250).cycle().take(3 << 20).collect()
}

macro_rules! bridge {
    ($end:ident) => {
        #[test]
        fn an_echo_of_more_than_any_buffer_holds_arrives_whole() {
            with_ends(async |event_loop, ours, mut theirs| {
                let echo = event_loop.create_task(async move {
                    let mut buffer = [0; 5000];
                    loop {
                        match AsyncReadExt::read(&mut theirs, &mut buffer).await? {
                            0 => break,
                            count => {
                                let (head, tail) = buffer[..count].split_at(count / 2);
                                let slices = [IoSlice::new(b""), IoSlice::new(head), IoSlice::new(tail)];
                                let sent = theirs.write_vectored(&slices).await?;
                                AsyncWriteExt::write_all(&mut theirs, &buffer[sent..count]).await?;
                            }
                        }
                    }
                    theirs.flush().await?;
                    theirs.$end().await?;
                    Ok::<_, Error>(())
                })?;
                let (mut reader, mut writer) = ours.into_halves();
                let receives = event_loop.create_task(async move {
                    let mut all = Vec::new();
                    AsyncReadExt::read_to_end(&mut reader, &mut all).await?;
                    Ok::<_, Error>(all)
                })?;
                AsyncWriteExt::write_all(&mut writer, &pattern()).await?;
                AsyncWriteExt::$end(&mut writer).await?;
                // A second time does no harm.
                AsyncWriteExt::$end(&mut writer).await?;
                echo.await??;
                assert!(receives.await?? == pattern());
                Ok(())
            });
        }

        #[test]
        fn flush_and_the_end_wait_for_what_was_queued() {
            with_ends(async |event_loop, ours, mut theirs| {
                let (_reader, mut writer) = ours.into_halves();
                let data = pattern();
                writer.write(&data[..data.len() / 2])?;
                assert!(writer.write_buffer_size() > 0);
                let receives = event_loop.create_task(async move {
                    let mut all = Vec::new();
                    AsyncReadExt::read_to_end(&mut theirs, &mut all).await?;
                    Ok::<_, Error>(all)
                })?;
                AsyncWriteExt::flush(&mut writer).await?;
                assert_eq!(writer.write_buffer_size(), 0);
                AsyncWriteExt::write_all(&mut writer, &data[data.len() / 2..]).await?;
                AsyncWriteExt::$end(&mut writer).await?;
                assert!(receives.await?? == data);
                Ok(())
            });
        }

        #[test]
        fn n07_what_the_system_refuses_arrives_as_it_is() {
            with_faults(async |_, faults, mut ours, mut theirs| {
                for (errno, kind) in [
                    (libc::ECONNRESET, Kind::ConnectionReset),
                    (libc::ETIMEDOUT, Kind::TimedOut),
                    (libc::ENOMEM, Kind::OutOfMemory),
                ] {
                    AsyncWriteExt::write_all(&mut theirs, b"x").await?;
                    faults.fail(Operation::Recv, errno);
                    let error = AsyncReadExt::read(&mut ours, &mut [0; 8]).await.unwrap_err();
                    assert_eq!(error.kind(), kind, "{error}");
                    // The byte is still there.
                    assert_eq!(AsyncReadExt::read(&mut ours, &mut [0; 8]).await?, 1);
                }
                faults.fail(Operation::Send, libc::EPIPE);
                let error = AsyncWriteExt::write_all(&mut ours, b"x").await.unwrap_err();
                assert_eq!(error.kind(), Kind::BrokenPipe, "{error}");
                Ok(())
            });
        }

        #[test]
        fn n02_short_transfers_and_false_readiness_lose_nothing() {
            with_faults(async |event_loop, faults, mut ours, mut theirs| {
                let data = (0..=255).collect::<Vec<u8>>();
                faults.limit(Operation::Send, 3);
                faults.limit(Operation::Recv, 2);
                let receives = event_loop.create_task(async move {
                    let mut all = Vec::new();
                    AsyncReadExt::read_to_end(&mut theirs, &mut all).await?;
                    Ok::<_, Error>(all)
                })?;
                for chunk in data.chunks(64) {
                    faults.block(Operation::Send);
                    faults.block(Operation::Recv);
                    faults.wake_all();
                    AsyncWriteExt::write_all(&mut ours, chunk).await?;
                }
                AsyncWriteExt::$end(&mut ours).await?;
                assert_eq!(receives.await??, data);
                Ok(())
            });
        }

        #[test]
        fn l01_a_tls_stream_that_is_cut_off_is_an_unexpected_end_of_file() {
            with_tls_ends(async |ours, mut theirs| {
                AsyncWriteExt::write_all(&mut theirs, b"a part").await?;
                theirs.writer.abort();
                let (mut reader, _writer) = ours.into_halves();
                let mut all = Vec::new();
                let error = AsyncReadExt::read_to_end(&mut reader, &mut all).await.unwrap_err();
                assert_eq!((&all[..], error.kind()), (&b"a part"[..], Kind::UnexpectedEof));
                let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
                assert_eq!(inner, Some(&TlsError::Truncated));
                let error = Error::from(error);
                assert_eq!((error.kind(), error.as_tls()), (ErrorKind::Tls, Some(&TlsError::Truncated)));
                Ok(())
            });
        }

        #[test]
        fn a_pending_poll_keeps_no_byte_and_a_cancelled_one_says_so() {
            with_ends(async |event_loop, ours, mut theirs| {
                let (mut reader, _writer) = ours.into_halves();
                let reads = event_loop.create_task(async move {
                    let error = AsyncReadExt::read(&mut reader, &mut [0; 8]).await.unwrap_err();
                    assert_eq!(error.kind(), Kind::Other);
                    assert!(Error::from(error).is_cancelled());
                    // Pending, and left so: the next reader takes the wait over.
                    let dropped = poll_and_drop(AsyncReadExt::read(&mut reader, &mut [0; 8])).await;
                    assert!(dropped.is_none());
                    let mut data = [0; 4];
                    reader.read_exactly(&mut data).await?;
                    Ok::<_, Error>(data)
                })?;
                event_loop.yield_now().await?;
                reads.cancel();
                event_loop.yield_now().await?;
                event_loop.yield_now().await?;
                theirs.writer.write_all(b"late").await?;
                assert_eq!(&reads.await??, b"late");
                Ok(())
            });
        }
    };
}

/// Polls `future` once, and drops it.
async fn poll_and_drop<F: Future>(future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    core::future::poll_fn(move |cx| match future.as_mut().poll(cx) {
        core::task::Poll::Ready(value) => core::task::Poll::Ready(Some(value)),
        core::task::Poll::Pending => core::task::Poll::Ready(None),
    })
    .await
}

mod tokio_io {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    bridge!(shutdown);
}

mod futures_io {
    use futures_lite::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

    use super::*;

    bridge!(close);

    #[test]
    fn lines_come_out_of_the_readers_own_buffer() {
        with_ends(async |_, mut ours, mut theirs| {
            AsyncWriteExt::write_all(&mut theirs, b"one\ntwo\nrest").await?;
            theirs.close().await?;
            let mut line = String::new();
            ours.read_line(&mut line).await?;
            assert_eq!(line, "one\n");
            // The reader's own methods go on at the same place.
            assert_eq!(ours.reader.read_until("\n").await?, b"two\n");
            let mut rest = Vec::new();
            AsyncReadExt::read_to_end(&mut ours, &mut rest).await?;
            assert_eq!(rest, b"rest");
            Ok(())
        });
    }
}

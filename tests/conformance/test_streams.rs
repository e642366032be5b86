//! Servers, readers and writers.

use core::future::{Future, poll_fn};
use core::net::SocketAddr;
use core::task::Poll;
use core::time::Duration;
use std::fs::File;
use std::io::{IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::channel;
use std::thread;

use rondel::{
    Config, Error, ErrorKind, EventLoop, EventLoopHandle, Stream, StreamReader, StreamWriter,
    WriteBufferLimits,
};

use crate::fixture::{
    self, Counter, Oops, Trace, any_port, brought, log_lines, logged, peer, quietly, real, reports,
    reset_at_close, send_out_of_band, sends, turns,
};

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
            let accepted = handle.create_future::<Box<(StreamReader, StreamWriter)>>()?;
            let give = accepted.clone();
            let server = handle
                .start_server(any_port(), move |reader, writer| {
                    let _ = give.set_result(Box::new((reader, writer)));
                    core::future::ready(())
                })
                .limit(limit)
                .await?;
            let thread = peer(server.local_addr(), talk);
            let (reader, writer) = *accepted.await?;
            let value = serve(handle.clone(), reader, writer).await?;
            Ok::<_, Error>((thread, value))
        })
        .unwrap();
    drop(event_loop);
    (thread.join().unwrap(), value)
}

fn talks(data: &[u8]) -> impl FnOnce(TcpStream) + Send + 'static + use<> {
    let data = data.to_vec();
    move |mut stream| {
        stream.write_all(&data).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
}

#[test]
fn a_line_echo_serves_many_clients_and_ends_when_they_do() {
    let event_loop = real();
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async move {
            let server = handle
                .start_server(any_port(), async |mut reader: StreamReader, mut writer: StreamWriter| {
                    while !reader.at_eof() {
                        writer.write_all(reader.read_line().await?).await?;
                    }
                    Ok::<(), Error>(())
                })
                .await?;
            let clients: Vec<_> =
                (0..10).map(|n| sends(server.local_addr(), format!("hello {n}\n").repeat(50))).collect();
            let (sent, received) = channel();
            let remote = handle.remote();
            let joins = thread::spawn(move || {
                for (n, client) in clients.into_iter().enumerate() {
                    assert_eq!(client.join().unwrap(), format!("hello {n}\n").repeat(50).into_bytes());
                }
                sent.send(()).unwrap();
                remote.call_soon_threadsafe(|_| ()).map(drop).map_err(|_| ())
            });
            while received.try_recv().is_err() {
                handle.sleep(Duration::from_micros(500)).await?;
            }
            joins.join().unwrap().unwrap();
            server.close();
            server.wait_closed().await?;
            assert_eq!((server.connections(), server.refused()), (0, 0));
            Ok::<(), Error>(())
        })
        .unwrap();
    assert_eq!(event_loop.watched_descriptors(), 0);
}

#[test]
fn lines_at_below_and_above_the_limit() {
    // FAULTS N-12
    for limit in [1_usize, 2, 8, 1500] {
        for length in [1, limit.saturating_sub(1).max(1), limit] {
            let line = [vec![b'x'; length - 1], vec![b'\n']].concat();
            let data = [line.clone(), b"\n".to_vec()].concat();
            serve_one(limit, talks(&data), async move |_, mut reader, _writer| {
                assert_eq!(reader.read_line().await?, line);
                assert_eq!(reader.read_line().await?, b"\n");
                assert_eq!(reader.read_line().await?, b"", "the end");
                assert!(reader.at_eof());
                Ok(())
            });
        }
        // One byte too long: nothing is lost, and what is behind it neither.
        let long = [vec![b'x'; limit], b"\nnext\n".to_vec()].concat();
        let expected = long.clone();
        serve_one(limit, talks(&long), async move |_, mut reader, _writer| {
            for _ in 0..2 {
                assert_eq!(reader.read_line().await.unwrap_err().kind(), ErrorKind::TooLarge);
            }
            let mut all = Vec::new();
            let mut buffer = [0; 3];
            loop {
                match reader.read(&mut buffer).await? {
                    0 => break,
                    count => all.extend_from_slice(&buffer[..count]),
                }
            }
            assert_eq!(all, expected);
            Ok(())
        });
    }
}

#[test]
fn the_end_of_the_stream_without_a_separator_gives_what_was_left() {
    serve_one(64, talks(b"one\ntwo"), async |_, mut reader: StreamReader, _writer| {
        assert_eq!(reader.read_line().await?, b"one\n");
        assert!(!reader.at_eof());
        assert_eq!(reader.read_line().await?, b"two");
        assert!(reader.at_eof());
        assert_eq!(reader.read_line().await?, b"");
        assert_eq!(reader.read_until("x").await.unwrap_err().as_incomplete_read().unwrap().partial(), 0);
        assert_eq!(reader.read(&mut [0; 4]).await?, 0);
        reader.readable().await?;
        assert_eq!(reader.try_read_with(<[u8]>::len)?, Some(0));
        Ok(())
    });
}

#[test]
fn reads_of_any_size_lose_no_byte() {
    // FAULTS N-12
    let data: Vec<u8> = (0..=255).cycle().take(5000).collect();
    for size in [1, 2, 1023, 1024, 1025, 4999, 5000, 5001] {
        let (expected, sent) = (data.clone(), data.clone());
        serve_one(1024, talks(&sent), async move |_, mut reader, _writer| {
            let mut all = Vec::new();
            let mut buffer = vec![0; size];
            assert_eq!(reader.read(&mut []).await?, 0, "an empty read is no end");
            loop {
                let count = reader.read(&mut buffer).await?;
                if count == 0 {
                    break;
                }
                all.extend_from_slice(&buffer[..count]);
            }
            assert_eq!(all, expected);
            assert!(reader.at_eof());
            Ok(())
        });
    }
}

#[test]
fn read_exactly_fills_or_says_that_the_stream_ended() {
    // FAULTS N-12
    serve_one(16, talks(&[7; 100]), async |_, mut reader: StreamReader, _writer| {
        let mut buffer = [0; 60];
        reader.read_exactly(&mut []).await?;
        reader.read_exactly(&mut buffer).await?;
        assert_eq!(buffer, [7; 60], "longer than the limit");
        reader.read_exactly(&mut buffer[..30]).await?;
        let ended = reader.read_exactly(&mut buffer[..12]).await.unwrap_err();
        assert_eq!(ended.as_io().unwrap().kind(), std::io::ErrorKind::UnexpectedEof);
        reader.read_exactly(&mut buffer[..10]).await?;
        assert!(reader.at_eof(), "the ten that came were kept");
        Ok(())
    });
}

#[test]
fn frames_split_at_each_byte_arrive_whole() {
    // FAULTS N-12
    let (sent, next) = channel::<()>();
    serve_one(
        64,
        move |mut stream| {
            stream.set_nodelay(true).unwrap();
            for byte in b"one\ntwo\n" {
                stream.write_all(&[*byte]).unwrap();
                next.recv().unwrap();
            }
        },
        async move |_, mut reader, _writer| {
            let mut got = Vec::new();
            for _ in 0..8 {
                let mut byte = [0];
                reader.read_exactly(&mut byte).await?;
                got.push(byte[0]);
                sent.send(()).unwrap();
            }
            assert_eq!(got, b"one\ntwo\n");
            Ok(())
        },
    );
}

#[test]
fn a_reader_lends_the_loops_buffer_and_survives_a_panic_in_between() {
    serve_one(64, talks(b"hello"), async |_, mut reader: StreamReader, _writer| {
        reader.readable().await?;
        assert!(quietly(|| crate::fixture::panics(|| reader.try_read_with(|_| panic!("look away")))));
        loop {
            reader.readable().await?;
            if reader.try_read_with(<[u8]>::len)? == Some(0) {
                break;
            }
        }
        assert!(reader.at_eof());
        Ok(())
    });
}

#[test]
fn half_close_by_us_lets_the_peer_go_on_writing() {
    // FAULTS N-03
    let (answer, ()) = serve_one(
        64,
        |mut stream| {
            let mut request = Vec::new();
            stream.read_to_end(&mut request).unwrap();
            stream.write_all(b"reply").unwrap();
            request
        },
        async |_, mut reader: StreamReader, mut writer: StreamWriter| {
            writer.write_all(b"request").await?;
            writer.write_eof()?;
            assert!(writer.write_all(b"more").await.is_err(), "our side is over");
            let mut reply = [0; 5];
            reader.read_exactly(&mut reply).await?;
            assert_eq!(&reply, b"reply");
            assert_eq!(reader.read(&mut reply).await?, 0);
            Ok(())
        },
    );
    assert_eq!(answer, b"request");
}

#[test]
fn half_close_by_the_peer_lets_us_go_on_writing() {
    // FAULTS N-03
    let (answer, ()) = serve_one(
        64,
        |mut stream| {
            stream.write_all(b"request").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            answer
        },
        async |event_loop: EventLoopHandle, mut reader: StreamReader, mut writer: StreamWriter| {
            let mut request = [0; 7];
            reader.read_exactly(&mut request).await?;
            assert_eq!(reader.read(&mut request).await?, 0);
            for _ in 0..3 {
                event_loop.yield_now().await?;
                writer.write_all(b"reply").await?;
            }
            writer.close();
            Ok(())
        },
    );
    assert_eq!(answer, b"replyreplyreply");
}

#[test]
fn a_large_write_then_close_delivers_every_byte_to_a_slow_reader() {
    // FAULTS N-05
    const SIZE: usize = 4 << 20;
    let (received, ()) = serve_one(
        64,
        |mut stream| {
            let (mut total, mut buffer) = (0, vec![0; 4096]);
            loop {
                match stream.read(&mut buffer).unwrap() {
                    0 => return total,
                    count => total += count,
                }
                thread::yield_now();
            }
        },
        async |_, _reader, mut writer: StreamWriter| {
            writer.write_all(&vec![1; SIZE]).await?;
            writer.close();
            writer.close();
            assert_eq!(writer.write_all(b"x").await.unwrap_err().kind(), ErrorKind::Closed);
            assert_eq!(writer.write_eof().unwrap_err().kind(), ErrorKind::Closed);
            Ok(())
        },
    );
    assert_eq!(received, SIZE);
}

#[test]
fn closing_a_connection_tells_the_task_that_waits_on_its_other_half() {
    let (sent, hold) = channel::<()>();
    serve_one(
        64,
        move |stream| {
            let _ = hold.recv();
            drop(stream);
        },
        async move |event_loop, mut reader, mut writer| {
            let waits = event_loop.create_task(async move { reader.read_line().await.map(drop) })?;
            event_loop.yield_now().await?;
            event_loop.yield_now().await?;
            writer.close();
            assert_eq!(waits.await?.unwrap_err().kind(), ErrorKind::Closed);
            drop(sent);
            Ok(())
        },
    );
}

#[test]
fn cancelling_a_read_loses_no_byte() {
    // FAULTS W-13
    let (sent, next) = channel::<()>();
    serve_one(
        64,
        move |mut stream| {
            next.recv().unwrap();
            stream.write_all(b"late\n").unwrap();
            let _ = stream.read(&mut [0]);
        },
        async move |event_loop, mut reader, _writer| {
            let before = event_loop.statistics().calls.live;
            for _ in 0..10 {
                let ended = event_loop.timeout(Duration::from_micros(50), reader.read_line()).await;
                assert!(matches!(ended, Err(rondel::TimeoutError::TimedOut)));
            }
            assert_eq!(event_loop.statistics().calls.live, before, "no wait is left behind");
            sent.send(()).unwrap();
            assert_eq!(reader.read_line().await?, b"late\n");
            Ok(())
        },
    );
}

#[test]
fn a_reset_by_the_peer_is_an_error_and_closes_only_that_connection() {
    // FAULTS N-07
    serve_one(
        64,
        |mut stream| {
            // Unread data at the close makes it a reset.
            let _ = stream.read(&mut [0]);
        },
        async |_, mut reader: StreamReader, mut writer: StreamWriter| {
            writer.write_all(&[0; 4096]).await?;
            let ended = reader.read(&mut [0; 8]).await;
            if let Err(error) = ended {
                assert_eq!(error.kind(), ErrorKind::Io);
            }
            let mut failed = false;
            for _ in 0..1000 {
                failed |= writer.write_all(&[0; 65536]).await.is_err();
            }
            assert!(failed, "broken, without a signal");
            Ok(())
        },
    );
}

/// Resets a connection to an address.
async fn reset(event_loop: &EventLoopHandle, addr: SocketAddr) -> Result<(), Error> {
    let (_reader, mut writer) = event_loop.open_connection(addr).await?;
    writer.socket_options()?.set_linger(Some(Duration::ZERO))?;
    writer.abort();
    Ok(())
}

/// Serves one client that resets its connection by a handler that passes its errors
/// on; returns what was reported.
fn reports_of_a_reset<Fut, E>(handler: impl FnMut(StreamReader, StreamWriter) -> Fut + 'static) -> Vec<String>
where
    Fut: Future<Output = Result<(), E>> + 'static,
    E: core::error::Error + 'static,
{
    let event_loop = real();
    let told = reports(&event_loop);
    let handle = event_loop.handle();
    log_lines();
    event_loop
        .run_until_complete(async {
            let server = handle.start_server(any_port(), handler).await?;
            reset(&handle, server.local_addr()).await?;
            while server.accepted() == 0 || server.connections() > 0 {
                handle.sleep(Duration::from_millis(1)).await?;
            }
            Ok::<(), Error>(())
        })
        .unwrap();
    turns(&event_loop, 2);
    told.take()
}

#[test]
fn tr8_a_handler_that_ends_with_the_reset_of_its_own_peer_is_logged_and_not_reported() {
    let ended = "the handler of a connection ended with it";
    let told = reports_of_a_reset(async |mut reader: StreamReader, _writer| {
        reader.read_line().await?;
        Ok::<(), Error>(())
    });
    assert_eq!(told, Vec::<String>::new());
    assert_eq!(logged(log::Level::Debug).iter().filter(|line| line.contains(ended)).count(), 1);
    // Also where it is within another.
    let told = reports_of_a_reset(async |mut reader: StreamReader, _writer| {
        reader.read_line().await.map_err(Error::new).map(drop)
    });
    assert_eq!(told, Vec::<String>::new());
    let told = reports_of_a_reset(async |mut reader: StreamReader, _writer| {
        reader.read_line().await.map_err(std::io::Error::from).map(drop)
    });
    assert_eq!(told, Vec::<String>::new());
    assert_eq!(logged(log::Level::Debug).iter().filter(|line| line.contains(ended)).count(), 1);
}

#[test]
fn a_handler_that_ends_with_an_error_of_its_own_is_reported_though_its_peer_is_gone() {
    let told = reports_of_a_reset(async |mut reader: StreamReader, _writer| {
        reader.read_line().await.map(drop).map_err(|_| Oops(7))
    });
    assert_eq!(told, ["Unhandled exception in client_connected: oops 7"]);
}

#[test]
fn a_handler_that_ends_with_the_reset_of_another_connection_is_reported() {
    let event_loop = real();
    let told = reports(&event_loop);
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async {
            let listener = std::net::TcpListener::bind(any_port()).unwrap();
            let elsewhere = listener.local_addr().unwrap();
            let inner = handle.clone();
            let server = handle
                .start_server(any_port(), move |_reader, _writer| {
                    let inner = inner.clone();
                    async move {
                        let (mut reader, _writer) = inner.open_connection(elsewhere).await?;
                        reader.read_line().await?;
                        Ok::<(), Error>(())
                    }
                })
                .await?;
            let client = handle.open_connection(server.local_addr()).await?;
            let gone = handle.run_in_executor(move || {
                let (stream, _) = listener.accept().unwrap();
                reset_at_close(&stream);
            });
            gone.unwrap().await.unwrap();
            while told.count() == 0 {
                handle.sleep(Duration::from_millis(1)).await?;
            }
            drop(client);
            Ok::<(), Error>(())
        })
        .unwrap();
    let told = told.take();
    assert!(told[0].starts_with("Unhandled exception in client_connected: "), "{told:?}");
    assert_eq!(told.len(), 1);
}

#[test]
fn halves_that_a_server_drops_at_once_end_their_connection_though_its_task_goes_on() {
    let event_loop = real();
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async {
            let server = handle
                .start_server(any_port(), |reader, writer| {
                    drop((reader, writer));
                    core::future::pending::<()>()
                })
                .await?;
            let (mut reader, _writer) = handle.open_connection(server.local_addr()).await?;
            assert_eq!(reader.read_line().await?, b"");
            assert_eq!(server.connections(), 0);
            Ok::<(), Error>(())
        })
        .unwrap();
}

#[test]
fn an_error_of_a_connections_task_is_reported_and_the_server_lives() {
    let event_loop = real();
    let told = reports(&event_loop);
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async move {
            let server =
                handle.start_server(any_port(), async |_reader, _writer| Err::<(), _>(Oops(1))).await?;
            for _ in 0..3 {
                let client = sends(server.local_addr(), b"x");
                while !client.is_finished() {
                    handle.sleep(Duration::from_micros(200)).await?;
                }
                let _ = client.join();
            }
            assert!(server.is_serving());
            assert_eq!(server.connections(), 0);
            Ok::<(), Error>(())
        })
        .unwrap();
    assert_eq!(told.take(), ["Unhandled exception in client_connected: oops 1"; 3]);
}

#[test]
fn closing_a_server_is_at_once_and_leaves_connections_alone() {
    // FAULTS A-10
    let event_loop = real();
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async move {
            let accepted = handle.create_future::<()>()?;
            let tell = accepted.clone();
            let server = handle
                .start_server(any_port(), move |mut reader: StreamReader, mut writer: StreamWriter| {
                    let _ = tell.set_result(());
                    async move {
                        let line = reader.read_line().await?;
                        writer.write_all(line).await
                    }
                })
                .await?;
            let (go, wait) = channel::<()>();
            let client = peer(server.local_addr(), move |mut stream| {
                wait.recv().unwrap();
                stream.write_all(b"still here\n").unwrap();
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).unwrap();
                answer
            });
            accepted.await?;
            server.close();
            server.close();
            assert!(!server.is_serving());
            assert!(TcpStream::connect(server.local_addr()).is_err());
            assert_eq!(server.connections(), 1);
            // Any number of waiters; one that gives up leaves nothing behind.
            let futures = handle.statistics().futures.live;
            for _ in 0..5 {
                let ended = handle.timeout(Duration::from_micros(10), server.wait_closed()).await;
                assert!(matches!(ended, Err(rondel::TimeoutError::TimedOut)));
                let waits = server.clone();
                let task = handle.create_task(async move { waits.wait_closed().await })?;
                handle.yield_now().await?;
                task.abort();
            }
            assert!(handle.statistics().futures.live <= futures + 1);
            let (first, second) = (server.clone(), server.clone());
            let first = handle.create_task(async move { first.wait_closed().await })?;
            let second = handle.create_task(async move { second.wait_closed().await })?;
            assert!(server.serve_forever().await.unwrap_err().is_closed());
            handle.yield_now().await?;
            go.send(()).unwrap();
            first.await??;
            second.await??;
            assert_eq!(client.join().unwrap(), b"still here\n");
            server.wait_closed().await?;
            Ok::<(), Error>(())
        })
        .unwrap();
}

#[test]
fn serve_forever_closes_the_server_when_cancelled() {
    let event_loop = real();
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async move {
            let server = handle.start_server(any_port(), async |_, _| {}).await?;
            let serves = server.clone();
            let task = handle.create_task(async move { serves.serve_forever().await })?;
            handle.yield_now().await?;
            task.cancel();
            task.wait().await?;
            assert!(task.cancelled() && !server.is_serving());
            Ok::<(), Error>(())
        })
        .unwrap();
}

#[test]
fn a_server_lives_without_its_handle_and_may_be_closed_while_accepting() {
    let event_loop = real();
    let handle = event_loop.handle();
    let trace = Trace::new();
    let noted = trace.clone();
    event_loop
        .run_until_complete(async move {
            let kept = std::rc::Rc::new(core::cell::RefCell::new(None::<rondel::Server>));
            let closes = std::rc::Rc::clone(&kept);
            let done = handle.create_future::<()>()?;
            let tell = done.clone();
            let server = handle
                .start_server(any_port(), move |_reader, _writer| {
                    noted.push("accepted");
                    closes.borrow().as_ref().unwrap().close();
                    let _ = tell.set_result(());
                    core::future::ready(())
                })
                .await?;
            let clients = [sends(server.local_addr(), b"a"), sends(server.local_addr(), b"b")];
            kept.replace(Some(server));
            done.await?;
            handle.yield_now().await?;
            handle.sleep(Duration::from_millis(1)).await?;
            drop(kept);
            for client in clients {
                let _ = client.join();
            }
            Ok::<(), Error>(())
        })
        .unwrap();
    assert_eq!(trace.take(), ["accepted"], "the rest of the backlog is reset");
}

#[test]
fn a_stream_of_a_closed_loop_answers_closed_wherever_it_is_polled() {
    //
    let event_loop = real();
    let handle = event_loop.handle();
    let (client, (mut reader, mut writer)) = event_loop
        .run_until_complete(async move {
            let accepted = handle.create_future::<Box<(StreamReader, StreamWriter)>>()?;
            let give = accepted.clone();
            let server = handle
                .start_server(any_port(), move |reader, writer| {
                    let _ = give.set_result(Box::new((reader, writer)));
                    core::future::ready(())
                })
                .await?;
            let client = TcpStream::connect(server.local_addr())?;
            Ok::<_, Error>((client, *accepted.await?))
        })
        .unwrap();
    event_loop.close().unwrap();
    let other = real();
    other
        .run_until_complete(async move {
            assert_eq!(reader.read_line().await.unwrap_err().kind(), ErrorKind::Closed);
            assert_eq!(reader.readable().await.unwrap_err().kind(), ErrorKind::Closed);
            assert_eq!(writer.write_all(b"x").await.unwrap_err().kind(), ErrorKind::Closed);
            Ok::<(), Error>(())
        })
        .unwrap();
    drop(client);
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

#[test]
fn a_separator_of_several_bytes_is_found_however_it_was_split() {
    // FAULTS N-12
    const DATA: &[u8] = b"a\r\r\n--b\r\n--\r\n--tail";
    for piece in 1..=DATA.len() {
        with_ends(64, async move |event_loop: EventLoopHandle, mut ours: Stream, mut theirs: Stream| {
            let sends = event_loop.create_task({
                let event_loop = event_loop.clone();
                async move {
                    for piece in DATA.chunks(piece) {
                        theirs.writer.write_all(piece).await?;
                        arrived(&event_loop).await;
                    }
                    drop(theirs);
                    Ok::<(), Error>(())
                }
            })?;
            assert_eq!(ours.reader.read_until(b"\r\n--").await?, b"a\r\r\n--");
            assert_eq!(ours.reader.read_until("\r\n--").await?, b"b\r\n--");
            assert_eq!(ours.reader.read_until("\r\n--").await?, b"\r\n--");
            let ended = ours.reader.read_until("\r\n--").await.unwrap_err();
            assert_eq!(ended.as_io().unwrap().kind(), std::io::ErrorKind::UnexpectedEof);
            let incomplete = ended.as_incomplete_read().unwrap();
            assert_eq!((incomplete.partial(), incomplete.expected()), (4, None));
            assert!(ended.to_string().contains("4 bytes"), "{ended}");
            assert_eq!(ours.reader.buffered(), b"tail", "nothing is lost");
            assert!(!ours.reader.at_eof());
            assert_eq!(ours.reader.read_line().await?, b"tail");
            assert_eq!(ours.reader.next_line().await?, None);
            let empty = ours.reader.read_until(b"").await.unwrap_err();
            assert_eq!(empty.as_io().unwrap().kind(), std::io::ErrorKind::InvalidInput);
            sends.await?
        });
    }
}

#[test]
fn an_overrun_of_a_long_separator_keeps_everything() {
    // FAULTS N-12
    for limit in 3..12_usize {
        with_ends(limit, async move |event_loop: EventLoopHandle, mut ours: Stream, mut theirs: Stream| {
            let data = [vec![b'x'; limit - 2], b"<->behind".to_vec()].concat();
            theirs.writer.write_all(&data).await?;
            theirs.writer.close();
            arrived(&event_loop).await;
            for _ in 0..2 {
                let overrun = ours.reader.read_until("<->").await.unwrap_err();
                assert_eq!(overrun.kind(), ErrorKind::TooLarge);
                assert_eq!(ours.reader.buffered(), &data[..limit]);
            }
            let mut all = Vec::new();
            assert_eq!(ours.reader.read_to_end(&mut all, 100).await?, data.len());
            assert_eq!(all, data);
            Ok(())
        });
    }
}

#[test]
fn reading_to_the_end_takes_no_more_than_the_limit() {
    // FAULTS N-12
    for (limit, taken) in [(0, 0), (1, 1), (9, 9), (10, 10), (11, 10), (usize::MAX, 10)] {
        with_ends(4, async move |event_loop: EventLoopHandle, mut ours: Stream, mut theirs: Stream| {
            theirs.writer.write_all(b"0123456789").await?;
            theirs.writer.write_eof()?;
            arrived(&event_loop).await;
            let mut data = b"> ".to_vec();
            let read = ours.reader.read_to_end(&mut data, limit).await;
            if limit < 10 {
                assert_eq!(read.unwrap_err().kind(), ErrorKind::TooLarge);
                // The rest is still to be read.
                ours.reader.read_to_end(&mut data, 10 - taken).await?;
            } else {
                assert_eq!(read?, taken);
            }
            assert_eq!(data, b"> 0123456789");
            assert!(ours.reader.at_eof());
            assert_eq!(ours.reader.read_to_end(&mut data, 0).await?, 0);
            Ok(())
        });
    }
}

#[test]
fn exact_reads_around_the_buffers_size_say_how_much_there_was() {
    // FAULTS N-12
    const LIMIT: usize = 16;
    for size in [0, 1, LIMIT - 1, LIMIT, LIMIT + 1, 3 * LIMIT] {
        with_ends(LIMIT, async move |event_loop: EventLoopHandle, mut ours: Stream, mut theirs: Stream| {
            theirs.writer.write_all(&vec![1; size]).await?;
            theirs.writer.write_all(&[2; 5]).await?;
            theirs.writer.close();
            arrived(&event_loop).await;
            let mut buffer = vec![0; size];
            ours.reader.read_exactly(&mut buffer).await?;
            assert_eq!(buffer, vec![1; size]);
            let ended = ours.reader.read_exactly(&mut [0; 6]).await.unwrap_err();
            let incomplete = ended.as_incomplete_read().unwrap();
            assert_eq!((incomplete.partial(), incomplete.expected()), (5, Some(6)));
            assert_eq!(ours.reader.buffered(), [2; 5]);
            let mut rest = [0; 5];
            ours.reader.read_exactly(&mut rest).await?;
            assert_eq!((rest, ours.reader.at_eof()), ([2; 5], true));
            Ok(())
        });
    }
}

#[test]
fn dropping_a_read_at_each_of_its_awaits_loses_no_byte() {
    // FAULTS W-13, N-12
    with_ends(64, async |event_loop: EventLoopHandle, mut ours: Stream, mut theirs: Stream| {
        let calls = event_loop.statistics().calls.live;
        let mut into_vec = Vec::new();
        let sent = b"0123456789".repeat(2);
        for byte in &sent {
            let reader = &mut ours.reader;
            let mut exact = [0; 40];
            assert!(poll_and_drop(reader.read_line()).await.is_none());
            assert!(poll_and_drop(reader.read_until("ab")).await.is_none());
            assert!(poll_and_drop(reader.next_line()).await.is_none());
            assert!(poll_and_drop(reader.read_exactly(&mut exact)).await.is_none());
            if reader.buffered().is_empty() {
                assert!(poll_and_drop(reader.read(&mut exact)).await.is_none());
                assert!(poll_and_drop(reader.readable()).await.is_none());
            }
            assert_eq!(event_loop.statistics().calls.live, calls, "no wait is left behind");
            theirs.writer.write_all(&[*byte]).await?;
            arrived(&event_loop).await;
            if *byte == b'9' {
                assert!(poll_and_drop(reader.read_to_end(&mut into_vec, 100)).await.is_none());
            }
        }
        drop(theirs);
        ours.reader.read_to_end(&mut into_vec, 100).await?;
        assert_eq!(into_vec, sent);
        Ok(())
    });
}

#[test]
fn a_cancelled_reader_keeps_what_comes_with_the_cancellation() {
    // FAULTS W-13
    with_ends(64, async |event_loop: EventLoopHandle, mut ours: Stream, mut theirs: Stream| {
        let reads = event_loop.create_task(async move {
            let cut = ours.reader.read(&mut [0; 8]).await.unwrap_err();
            assert!(cut.is_cancelled());
            Ok::<_, Error>(ours)
        })?;
        arrived(&event_loop).await;
        theirs.writer.write_all(b"raced").await?;
        reads.cancel();
        let mut ours = reads.await??;
        let mut data = [0; 5];
        ours.reader.read_exactly(&mut data).await?;
        assert_eq!(&data, b"raced");
        Ok(())
    });
}

#[test]
fn a_task_that_reads_and_reads_lets_others_run_and_its_own_timers_fire() {
    // FAULTS C-09
    with_ends(64, async |event_loop: EventLoopHandle, mut ours: Stream, mut theirs: Stream| {
        assert_eq!(theirs.writer.try_write(&[7; 10_000])?, 10_000);
        arrived(&event_loop).await;
        // Always ready: a byte of many at a time.
        let read = Counter::new();
        let counts = read.clone();
        let reads = async {
            loop {
                assert_eq!(ours.reader.read(&mut [0]).await?, 1);
                counts.add();
            }
        };
        let ended: Result<rondel::Result<()>, _> = event_loop.timeout(Duration::ZERO, reads).await;
        assert!(matches!(ended, Err(rondel::TimeoutError::TimedOut)));
        assert!((1..1000).contains(&read.get()), "{} reads before a timer that was due", read.get());

        // The same for lines out of the buffer, and for a task beside it.
        let turns = Counter::new();
        let others = turns.clone();
        let handle = event_loop.clone();
        let beside = event_loop.create_task(async move {
            while handle.yield_now().await.is_ok() {
                others.add();
            }
        })?;
        let left = 10_000 - read.get();
        for _ in 0..left {
            ours.reader.read_exactly(&mut [0]).await?;
        }
        assert!(turns.get() >= left / 64, "{}", turns.get());
        let before = turns.get();
        for _ in 0..200 {
            ours.writer.write_all(b"x").await?;
        }
        assert!(turns.get() - before >= 200 / 64, "{}", turns.get());
        beside.abort();
        Ok(())
    });
}

#[test]
fn no_way_to_write_takes_memory_without_a_bound() {
    // FAULTS N-01
    let event_loop =
        EventLoop::with_config(Config { write_buffer_bytes: 200_000, ..fixture::small() }).unwrap();
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async move {
            let (ours, _theirs) = UnixStream::pair()?;
            let (_reader, mut writer) = handle.open_connection_with_sock(ours).await?;
            // Waits, and has taken nothing into memory.
            let data = vec![1; 4 << 20];
            assert!(poll_and_drop(writer.write_all(&data)).await.is_none());
            assert_eq!(writer.write_buffer_size(), 0);
            assert_eq!(writer.try_write(b"x")?, 0);
            // One and many, up to the ceiling, and then not at all.
            let piece = vec![2; 50_000];
            let slices = [IoSlice::new(&piece[..25_000]), IoSlice::new(&piece[25_000..])];
            while writer.write_buffer_size() < 200_000 {
                writer.write(&piece)?;
                writer.writelines(&slices)?;
            }
            assert!(writer.write(b"x").unwrap_err().is_full());
            assert!(writer.writelines(&slices).unwrap_err().is_full());
            assert_eq!(writer.try_write(b"x").unwrap_err().kind(), ErrorKind::Busy);
            assert!(poll_and_drop(writer.drain()).await.is_none(), "above the mark");
            assert!(poll_and_drop(writer.write_all(&piece)).await.is_none());
            let file = File::open("/proc/self/exe")?;
            assert!(poll_and_drop(writer.sendfile(&file, 0, None).into_future()).await.is_none());
            assert_eq!(writer.write_buffer_size(), 200_000);
            assert_eq!(handle.write_buffers_size(), 200_000);
            Ok::<(), Error>(())
        })
        .unwrap();
    assert_eq!(event_loop.write_buffers_size(), 0);
}

#[test]
fn a_writer_queues_drains_and_closes_as_asyncios() {
    // TR-15, TR-16, TR-17
    with_ends(64, async |event_loop: EventLoopHandle, mut ours: Stream, mut theirs: Stream| {
        ours.writer.set_write_buffer_limits(WriteBufferLimits::new(Some(1000), None)?);
        assert_eq!(ours.writer.write_buffer_limits().low(), 250);
        assert!(ours.writer.can_write_eof() && !ours.writer.is_closing());
        let mut sent = 0;
        while ours.writer.write_buffer_size() <= 1000 {
            let lines = [IoSlice::new(b"one\n"), IoSlice::new(b""), IoSlice::new(&[b'2'; 996])];
            ours.writer.writelines(&lines)?;
            sent += 1000;
        }
        ours.writer.write_eof()?;
        assert_eq!(ours.writer.write(b"x").unwrap_err().kind(), ErrorKind::InvalidState);
        let receives = event_loop.create_task(async move {
            let mut all = Vec::new();
            theirs.reader.read_to_end(&mut all, usize::MAX).await?;
            Ok::<_, Error>((all, theirs))
        })?;
        ours.writer.drain().await?;
        assert!(ours.writer.write_buffer_size() <= 250);
        let (all, _theirs) = receives.await??;
        assert_eq!(all.len(), sent);
        assert!(all.chunks(1000).all(|line| line.starts_with(b"one\n2")));
        ours.writer.close();
        assert!(ours.writer.is_closing());
        ours.writer.wait_closed().await?;
        assert_eq!(ours.reader.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::Closed);
        Ok(())
    });
}

#[test]
fn n13_what_follows_a_byte_out_of_band_does_not_wait_for_more() {
    let event_loop = real();
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async move {
            let listener = std::net::TcpListener::bind(any_port())?;
            let ours = TcpStream::connect(listener.local_addr()?)?;
            let mut theirs = listener.accept()?.0;
            let (mut reader, _writer) = handle.open_connection_with_sock(ours).await?;
            theirs.write_all(b"ab")?;
            send_out_of_band(&theirs, b'!');
            theirs.write_all(b"cd")?;
            brought(&theirs);
            let reads = handle.create_task(async move {
                let mut data = [0; 4];
                reader.read_exactly(&mut data).await?;
                Ok::<_, Error>(data)
            })?;
            for _ in 0..10 {
                handle.yield_now().await?;
            }
            assert!(reads.done(), "all of it has come");
            assert_eq!(&reads.await??, b"abcd");
            Ok::<_, Error>(())
        })
        .unwrap();
}

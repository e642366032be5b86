//! Servers, readers and writers.

use core::future::Future;
use core::time::Duration;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::channel;
use std::thread;

use rondel::{Error, ErrorKind, EventLoopHandle, StreamReader, StreamWriter};

use crate::fixture::{Oops, Trace, any_port, peer, quietly, real, reports, sends};

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
        assert_eq!(reader.read_until(b'x').await?, b"");
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
    assert_eq!(told.take(), ["Task exception was never retrieved: oops 1"; 3]);
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

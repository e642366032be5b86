//! Servers whose connections are streams.

use core::time::Duration;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::channel;
use std::thread;

use rondel::{Error, StreamReader, StreamWriter};

use crate::fixture::{Oops, Trace, any_port, peer, real, reports, sends, settle, until_refused};

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
            until_refused(|| TcpStream::connect(server.local_addr()).map(drop));
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
            let [_accepted, mut waits] =
                [server.local_addr(); 2].map(|addr| TcpStream::connect(addr).unwrap());
            kept.replace(Some(server));
            done.await?;
            drop(kept);
            settle(&handle).await;
            // A child that another test starts has the listening socket until it is its program.
            waits.set_read_timeout(Some(Duration::from_secs(10)))?;
            let reset = waits.read(&mut [0]).unwrap_err();
            assert_eq!(reset.kind(), ErrorKind::ConnectionReset, "the rest of the backlog");
            Ok::<(), Error>(())
        })
        .unwrap();
    assert_eq!(trace.take(), ["accepted"]);
}

//! Peers that reset, and which of it is reported.

use core::future::Future;
use core::net::SocketAddr;
use core::time::Duration;
use std::io::Read;

use rondel::{Error, ErrorKind, EventLoopHandle, StreamReader, StreamWriter};

use super::serve_one;
use crate::fixture::{Oops, any_port, log_lines, logged, real, reports, reset_at_close, turns};

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

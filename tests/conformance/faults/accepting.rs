//! Rows A: connections that can't be accepted or served.

use core::net::SocketAddr;
use core::time::Duration;
use std::net::{Shutdown, TcpStream};
use std::os::fd::FromRawFd;

use rondel::{Config, Error, StreamReader, StreamWriter};

use crate::fixture::{
    Counter, alone, any_port, manual, manual_with, quietly, real, reports, sends, small, turns,
};

fn out_of_descriptors() {
    let event_loop = manual();
    let told = reports(&event_loop);
    let handle = event_loop.handle();
    let served = Counter::new();
    let counted = served.clone();
    event_loop
        .run_until_complete(async move {
            let server = handle
                .start_server(any_port(), move |_reader, _writer| {
                    counted.add();
                    core::future::ready(())
                })
                .await?;
            let clients: Vec<_> = (0..5).map(|_| TcpStream::connect(server.local_addr()).unwrap()).collect();
            let mut kept: Vec<_> = (0..).map_while(|_| std::fs::File::open("/proc/self/exe").ok()).collect();
            for _ in 0..20 {
                handle.yield_now().await?;
            }
            kept.truncate(kept.len() - 3);
            // Half a second is too early, a second is enough.
            handle.sleep(Duration::from_millis(500)).await?;
            let early = server.connections();
            handle.sleep(Duration::from_millis(600)).await?;
            for _ in 0..20 {
                handle.yield_now().await?;
            }
            assert_eq!(early, 0);
            drop((clients, kept, server));
            Ok::<(), Error>(())
        })
        .unwrap();
    assert_eq!(served.get(), 5, "accepting resumed by itself");
    let told = told.take();
    assert_eq!(told.len(), 1, "one report: {told:?}");
    assert!(told[0].starts_with("accept is out of system resources"));
}

#[test]
fn a01_a_server_out_of_descriptors_reports_once_and_resumes_by_itself() {
    alone(
        "faults::accepting::a01_a_server_out_of_descriptors_reports_once_and_resumes_by_itself",
        32,
        out_of_descriptors,
    );
}

#[test]
fn a02_an_unexpected_accept_error_is_reported_once_and_backs_off() {
    let event_loop = manual();
    let told = reports(&event_loop);
    let handle = event_loop.handle();
    let server = event_loop
        .run_until_complete(async move { handle.start_server(any_port(), async |_, _| {}).await })
        .unwrap();
    let text = format!("{server:?}");
    let number = text.split("fd=").nth(1).unwrap().split(',').next().unwrap();
    // SAFETY: the server's own, lent for one call and not closed.
    let lent = core::mem::ManuallyDrop::new(unsafe { TcpStream::from_raw_fd(number.parse().unwrap()) });
    lent.shutdown(Shutdown::Both).unwrap();
    turns(&event_loop, 20);
    let told = told.take();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("accept failed: "));
    server.close();
}

#[test]
fn a03_a_factory_that_panics_costs_its_connection_only() {
    for propagate in [false, true] {
        let event_loop = if propagate { crate::fixture::propagating() } else { manual() };
        let told = reports(&event_loop);
        let handle = event_loop.handle();
        let calls = Counter::new();
        let counted = calls.clone();
        let server = event_loop
            .run_until_complete(async move {
                handle
                    .start_server(any_port(), move |_reader, _writer| {
                        assert!(counted.add() != 1, "the first");
                        core::future::ready(())
                    })
                    .await
            })
            .unwrap();
        // All wait already: the kernel reports them once.
        let clients: Vec<_> = (0..5).map(|_| TcpStream::connect(server.local_addr()).unwrap()).collect();
        quietly(|| {
            for _ in 0..5 {
                event_loop.stop();
                let _ = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| event_loop.run_forever()));
            }
        });
        assert_eq!((calls.get(), server.connections(), server.is_serving()), (5, 0, true));
        assert_eq!(told.count(), usize::from(!propagate));
        drop(clients);
    }
}

#[test]
fn a03_connections_beyond_the_tables_are_closed_counted_and_reported() {
    for config in [
        Config { tasks: 1, ..small() },
        Config { descriptors: 1, ..small() },
        Config { descriptors: 2, tasks: 2, ..small() },
    ] {
        let (event_loop, _clock) = manual_with(config);
        let told = reports(&event_loop);
        let handle = event_loop.handle();
        let server = event_loop
            .run_until_complete(async move {
                handle
                    .start_server(any_port(), async |reader: StreamReader, writer: StreamWriter| {
                        let _kept = (reader, writer);
                        core::future::pending::<()>().await;
                    })
                    .await
            })
            .unwrap();
        let clients: Vec<_> = (0..4).map(|_| TcpStream::connect(server.local_addr()).unwrap()).collect();
        turns(&event_loop, 5);
        assert_eq!(server.connections() as u64 + server.refused(), 4);
        assert!(server.refused() >= 2 && server.is_serving());
        let told = told.take();
        assert_eq!(told.len() as u64, server.refused());
        assert!(told[0].starts_with("connection refused: ") && told[0].contains("limit"), "{}", told[0]);
        drop(clients);
    }
}

#[test]
fn a09_a_port_with_lingering_connections_can_be_bound_again() {
    // An address of its own: no other test takes the port while nobody listens on it.
    let mut addr = SocketAddr::from(([127, 0, 9, 9], 0));
    for _ in 0..3 {
        let event_loop = real();
        let handle = event_loop.handle();
        addr = event_loop
            .run_until_complete(async move {
                let done = handle.create_future::<()>()?;
                let tell = done.clone();
                let server = handle
                    .start_server(addr, move |reader, mut writer: StreamWriter| {
                        let _ = tell.set_result(());
                        async move {
                            // We close first, so that our side lingers.
                            writer.close();
                            drop(reader);
                        }
                    })
                    .await?;
                let client = sends(server.local_addr(), b"");
                done.await?;
                handle.yield_now().await?;
                handle.yield_now().await?;
                let _ = client.join();
                Ok::<_, Error>(server.local_addr())
            })
            .unwrap();
    }
}

#[test]
fn a10_wait_closed_with_idle_clients_is_bounded_by_a_timeout() {
    let event_loop = manual();
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async move {
            let served = handle.create_future::<()>()?;
            let tell = served.clone();
            let server = handle
                .start_server(any_port(), move |mut reader: StreamReader, _writer| {
                    let _ = tell.set_result(());
                    async move { reader.read_line().await.map(drop) }
                })
                .await?;
            let idle = TcpStream::connect(server.local_addr())?;
            served.await?;
            server.close();
            let ended = handle.timeout(Duration::from_secs(5), server.wait_closed()).await;
            assert!(matches!(ended, Err(rondel::TimeoutError::TimedOut)));
            assert_eq!(server.connections(), 1);
            drop(idle);
            server.wait_closed().await?;
            Ok::<(), Error>(())
        })
        .unwrap();
}

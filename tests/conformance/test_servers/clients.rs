//! The connections of a server: counted, limited and ended together.

use core::cell::RefCell;
use core::time::Duration;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::rc::Rc;
use std::thread;

use rondel::{AfterEof, Operation, Protocol, StreamReader, StreamWriter, TaskError, Transport};

use super::{Hall, SECOND, byte, knock};
use crate::fixture::{Counter, any_port, end, reports, run_with_faults, scenarios, settle};

scenarios! {
    a10_shutdown_lets_the_others_end_and_returns_those_that_it_aborted
    a10_a_cancelled_shutdown_has_closed_the_server
    connections_beyond_the_limit_wait_in_the_backlog_until_one_goes
    streams_are_limited_counted_and_ended_alike
}

/// Ends a connection at once: a process that another test is starting may hold the
/// socket for a moment, so that a drop alone doesn't.
fn hang_up(client: TcpStream) {
    client.shutdown(std::net::Shutdown::Both).unwrap();
}

/// Writes much when it is there, and goes on when its peer has ended.
struct Flood(usize);

impl Protocol for Flood {
    fn connection_made(&mut self, transport: &Transport) -> rondel::Result<()> {
        transport.write(&vec![7; self.0])
    }

    fn data_received(&mut self, _: &Transport, _: &[u8]) -> rondel::Result<()> {
        Ok(())
    }

    fn eof_received(&mut self, _: &Transport) -> rondel::Result<AfterEof> {
        Ok(AfterEof::KeepWriting)
    }
}

#[test]
fn close_clients_sends_what_was_written_and_abort_clients_does_not() {
    // SV-14
    run_with_faults(async |event_loop, _| {
        const BYTES: usize = 8 << 20;
        for aborts in [false, true] {
            let server = event_loop.create_server(|| Flood(BYTES), any_port()).await?;
            let mut client = knock(&server);
            settle(&event_loop).await;
            server.close();
            if aborts {
                server.abort_clients();
            } else {
                server.close_clients();
            }
            let reader = thread::spawn(move || {
                let mut all = Vec::new();
                let ended = client.read_to_end(&mut all);
                (all.len(), ended.is_ok())
            });
            server.wait_closed().await?;
            let (count, is_clean) = reader.join().unwrap();
            assert_eq!(count == BYTES && is_clean, !aborts, "{count}");
        }
        Ok(())
    });
}

fn a10_shutdown_lets_the_others_end_and_returns_those_that_it_aborted() {
    // SV-14
    run_with_faults(async |event_loop, _| {
        let bytes = Rc::new(RefCell::new(vec![0, 0, 8 << 20]));
        let sizes = Rc::clone(&bytes);
        let factory = move || Flood(sizes.borrow_mut().remove(0));
        let server = event_loop.create_server(factory, any_port()).await?;
        let idle = knock(&server);
        let half_open = knock(&server);
        half_open.shutdown(Shutdown::Write)?;
        // Never reads what it is sent.
        let slow = knock(&server);
        settle(&event_loop).await;
        assert_eq!(server.connections(), 3);
        let before = event_loop.time();
        let late = server.shutdown(5 * SECOND).await?;
        assert_eq!(late, [slow.local_addr()?.into()]);
        assert_eq!(event_loop.time() - before, 5 * SECOND);
        assert_eq!((server.connections(), server.is_serving()), (0, false));
        assert_eq!((&idle).read(&mut [0])?, 0, "closed, not reset");
        assert_eq!((&half_open).read(&mut [0])?, 0);
        // Nobody is left: at once, and with nothing to tell.
        assert_eq!(server.shutdown(Duration::ZERO).await?, []);
        Ok(())
    });
}

fn a10_a_cancelled_shutdown_has_closed_the_server() {
    run_with_faults(async |event_loop, _| {
        let server = event_loop.create_server(|| Flood(8 << 20), any_port()).await?;
        let client = knock(&server);
        settle(&event_loop).await;
        let own = server.clone();
        let task = event_loop.create_task(async move { own.shutdown(SECOND).await.map(drop) })?;
        event_loop.yield_now().await?;
        event_loop.yield_now().await?;
        task.cancel();
        assert!(matches!(task.await, Err(TaskError::Cancelled)));
        assert_eq!((server.sockets().len(), server.connections()), (0, 1));
        drop(client);
        end(&server).await
    });
}

fn connections_beyond_the_limit_wait_in_the_backlog_until_one_goes() {
    run_with_faults(async |event_loop, faults| {
        let hall = Hall::default();
        let server = event_loop.create_server(hall.guests(), any_port()).max_connections(2).await?;
        let mut clients: Vec<_> = (0..5).map(|_| knock(&server)).collect();
        settle(&event_loop).await;
        assert_eq!((server.connections(), server.accepted(), server.refused()), (2, 2, 0));
        for client in &mut clients {
            client.write_all(b"x")?;
        }
        let calls = faults.calls(Operation::Accept);
        settle(&event_loop).await;
        assert_eq!(faults.calls(Operation::Accept), calls, "nobody asks in vain");
        for served in 2..5 {
            hang_up(clients.remove(0));
            settle(&event_loop).await;
            assert_eq!((server.connections(), server.accepted()), (2.min(5 - served + 1), served as u64 + 1));
        }
        // What they sent meanwhile was kept by the kernel.
        assert_eq!((byte(&clients[0])?, byte(&clients[1])?), (b'x', b'x'));
        // One that can't be served makes room too.
        faults.fail(Operation::Register, libc::ENOSPC);
        hang_up(clients.remove(0));
        clients.push(knock(&server));
        clients.push(knock(&server));
        let told = reports(&event_loop);
        settle(&event_loop).await;
        assert_eq!((server.connections(), server.refused(), told.count()), (2, 1, 1));
        drop(clients);
        end(&server).await
    });
}

fn streams_are_limited_counted_and_ended_alike() {
    // SV-14
    run_with_faults(async |event_loop, _| {
        let served = Counter::new();
        let counted = served.clone();
        let server = event_loop
            .start_server(any_port(), move |mut reader: StreamReader, writer: StreamWriter| {
                counted.add();
                async move {
                    let _kept = writer;
                    let ended = reader.read_line().await;
                    assert!(ended.is_err() || ended.is_ok_and(<[u8]>::is_empty));
                }
            })
            .max_connections(2)
            .await?;
        let mut clients: Vec<_> = (0..3).map(|_| knock(&server)).collect();
        settle(&event_loop).await;
        assert_eq!((served.get(), server.connections()), (2, 2));
        hang_up(clients.remove(0));
        settle(&event_loop).await;
        assert_eq!((served.get(), server.connections()), (3, 2));
        assert_eq!(server.shutdown(SECOND).await?, []);
        assert!(byte(&clients[0]).is_err());
        settle(&event_loop).await;
        Ok(())
    });
}

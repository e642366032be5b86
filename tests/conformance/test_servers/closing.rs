//! How a server starts and ends.

use core::cell::RefCell;
use std::io::{ErrorKind as Kind, Write};
use std::net::TcpStream;
use std::rc::Rc;

use rondel::{ErrorKind, EventLoop, Operation, Protocol, Server, TaskError, Transport};

use super::{Hall, SECOND, byte, knock};
use crate::fixture::{Trace, any_port, end, run_with_faults, scenarios, settle, small, turns};
use crate::protocols::Silent;

scenarios! {
    close_stops_accepting_at_once_and_leaves_connections_alone
    wait_closed_returns_when_closed_and_empty_in_either_order_for_any_number
    a_transport_that_outlives_its_connection_leaves_the_next_one_its_place
    a_server_without_its_handle_serves_until_the_loop_is_closed
    closing_a_loop_closes_its_servers_and_drops_their_factories
    closing_from_within_the_factory_ends_the_batch
    closing_from_connection_made_accepts_no_more
    a_delayed_start_binds_and_refuses_until_it_serves
    serve_forever_starts_serves_and_closes_when_cancelled
}

fn close_stops_accepting_at_once_and_leaves_connections_alone() {
    // SV-10
    run_with_faults(async |event_loop, _| {
        let hall = Hall::default();
        let server = event_loop.create_server(hall.guests(), any_port()).await?;
        let mut client = knock(&server);
        settle(&event_loop).await;
        let late = knock(&server);
        server.close();
        server.close();
        assert!(!server.is_serving() && server.sockets().is_empty());
        let refused = TcpStream::connect(server.local_addr()).unwrap_err();
        assert_eq!(refused.kind(), Kind::ConnectionRefused);
        // FAULTS A-10: what waited in the backlog is reset.
        assert!(byte(&late).is_err());
        client.write_all(b"x")?;
        settle(&event_loop).await;
        assert_eq!((byte(&client)?, server.connections()), (b'x', 1));
        let again = server.start_serving().unwrap_err();
        assert_eq!(
            (again.kind(), server.serve_forever().await.unwrap_err().kind()),
            (again.kind(), ErrorKind::Closed)
        );
        drop(client);
        server.wait_closed().await?;
        assert_eq!(hall.trace.take(), ["made", "lost"]);
        Ok(())
    });
}

fn wait_closed_returns_when_closed_and_empty_in_either_order_for_any_number() {
    // SV-11
    run_with_faults(async |event_loop, _| {
        for client_first in [false, true] {
            let server = event_loop.create_server(|| Silent, any_port()).await?;
            let client = knock(&server);
            settle(&event_loop).await;
            let mut waiters = Vec::new();
            for _ in 0..4 {
                let server = server.clone();
                waiters.push(event_loop.create_task(async move { server.wait_closed().await })?);
            }
            settle(&event_loop).await;
            let done = |waiters: &[rondel::Task<_>]| waiters.iter().filter(|waiter| waiter.done()).count();
            assert_eq!(done(&waiters), 0);
            waiters[1].cancel();
            settle(&event_loop).await;
            assert_eq!(done(&waiters), 1, "a waiter that is cancelled takes no other with it");
            let mut steps: [Box<dyn FnOnce()>; 2] =
                [Box::new(|| server.close()), Box::new(move || drop(client))];
            if client_first {
                steps.reverse();
            }
            let [first, second] = steps;
            first();
            settle(&event_loop).await;
            assert_eq!(done(&waiters), 1);
            second();
            settle(&event_loop).await;
            assert_eq!(done(&waiters), 4);
            server.wait_closed().await?;
        }
        Ok(())
    });
}

fn a_transport_that_outlives_its_connection_leaves_the_next_one_its_place() {
    // SV-11
    run_with_faults(async |event_loop, _| {
        let hall = Hall::default();
        let server = event_loop.create_server(hall.guests(), any_port()).await?;
        drop(knock(&server));
        settle(&event_loop).await;
        let client = knock(&server);
        settle(&event_loop).await;
        assert_eq!((hall.trace.take().len(), server.connections()), (3, 1));
        hall.transports.borrow_mut().remove(0);
        assert_eq!(server.connections(), 1);
        server.close();
        let task_of = server.clone();
        let waiter = event_loop.create_task(async move { task_of.wait_closed().await })?;
        settle(&event_loop).await;
        assert!(!waiter.done());
        server.abort_clients();
        waiter.await??;
        assert!(byte(&client).is_err());
        Ok(())
    });
}

fn a_server_without_its_handle_serves_until_the_loop_is_closed() {
    // SV-12
    let (event_loop, _clock, _faults) = EventLoop::with_faults(small()).unwrap();
    let hall = Hall::default();
    let server = event_loop.create_server(hall.guests(), any_port());
    let addr = event_loop.run_until_complete(server).unwrap().local_addr();
    let client = TcpStream::connect(addr).unwrap();
    turns(&event_loop, 5);
    assert_eq!(hall.trace.take(), ["made"]);
    event_loop.close().unwrap();
    assert_eq!(hall.trace.take(), ["broken"], "R-15");
    assert!(TcpStream::connect(addr).is_err());
    drop(client);
}

fn closing_a_loop_closes_its_servers_and_drops_their_factories() {
    // SV-12
    let (event_loop, _clock, _faults) = EventLoop::with_faults(small()).unwrap();
    let trace = Trace::new();
    let slot = Rc::new(RefCell::new(None::<Server>));
    let (own, dropped) = (Rc::clone(&slot), trace.on_drop("factory"));
    let factory = move || {
        let _kept = (&own, &dropped);
        Silent
    };
    let server = event_loop.run_until_complete(event_loop.create_server(factory, any_port())).unwrap();
    slot.replace(Some(server));
    event_loop.close().unwrap();
    assert_eq!(trace.take(), ["factory"], "though it holds its own server");
    assert!(slot.borrow().as_ref().unwrap().sockets().is_empty());
}

fn closing_from_within_the_factory_ends_the_batch() {
    // SV-13
    run_with_faults(async |event_loop, _| {
        let trace = Trace::new();
        let slot = Rc::new(RefCell::new(None::<Server>));
        let (own, noted, dropped) = (Rc::clone(&slot), trace.clone(), trace.on_drop("factory dropped"));
        let factory = move || {
            let _kept = &dropped;
            noted.push("factory");
            own.borrow().as_ref().unwrap().close();
            noted.push("closed");
            Silent
        };
        let server = event_loop.create_server(factory, any_port()).await?;
        slot.replace(Some(server.clone()));
        let clients = [knock(&server), knock(&server), knock(&server)];
        settle(&event_loop).await;
        assert_eq!(trace.take(), ["factory", "closed", "factory dropped"]);
        assert_eq!((server.accepted(), server.refused(), server.connections()), (1, 0, 1));
        assert!(byte(&clients[1]).is_err() && byte(&clients[2]).is_err());
        server.close_clients();
        server.wait_closed().await
    });
}

/// Closes its server as soon as it is there.
struct Last(Rc<RefCell<Option<Server>>>, Trace);

impl Protocol for Last {
    fn connection_made(&mut self, _: &Transport) -> rondel::Result<()> {
        self.1.push("made");
        self.0.borrow().as_ref().unwrap().close();
        Ok(())
    }

    fn data_received(&mut self, _: &Transport, _: &[u8]) -> rondel::Result<()> {
        Ok(())
    }
}

fn closing_from_connection_made_accepts_no_more() {
    // SV-13
    run_with_faults(async |event_loop, _| {
        let (slot, trace) = (Rc::new(RefCell::new(None)), Trace::new());
        let (own, noted) = (Rc::clone(&slot), trace.clone());
        let factory = move || Last(Rc::clone(&own), noted.clone());
        let server = event_loop.create_server(factory, any_port()).backlog(3).await?;
        slot.replace(Some(server.clone()));
        let clients: Vec<_> = (0..4).map(|_| knock(&server)).collect();
        settle(&event_loop).await;
        assert!(trace.count() >= 3 && server.accepted() == trace.count() as u64);
        assert!(server.sockets().is_empty());
        drop(clients);
        end(&server).await?;
        slot.take();
        Ok(())
    });
}

fn a_delayed_start_binds_and_refuses_until_it_serves() {
    // SV-14
    run_with_faults(async |event_loop, faults| {
        let server = event_loop.create_server(|| Silent, any_port()).start_serving(false).await?;
        assert!(!server.is_serving() && server.local_addr().port() != 0);
        assert_eq!(TcpStream::connect(server.local_addr()).unwrap_err().kind(), Kind::ConnectionRefused);
        // A start that fails can be tried again.
        faults.fail(Operation::Listen, libc::EADDRINUSE);
        let failed = server.start_serving().unwrap_err();
        assert!(failed.to_string().contains(&server.local_addr().to_string()), "{failed}");
        faults.fail(Operation::Register, libc::ENOSPC);
        assert!(server.start_serving().is_err() && !server.is_serving());
        let mut calls = Vec::new();
        while let Ok(call) = event_loop.call_later(SECOND, |_| ()) {
            calls.push(call);
        }
        assert!(server.start_serving().unwrap_err().is_full() && !server.is_serving());
        calls.iter().for_each(rondel::TimerHandle::cancel);
        for _ in 0..3 {
            server.start_serving()?;
            assert!(server.is_serving());
        }
        let client = knock(&server);
        settle(&event_loop).await;
        assert_eq!(server.connections(), 1);
        drop(client);
        end(&server).await?;
        // One that never serves is gone with its handle.
        drop(event_loop.create_server(|| Silent, any_port()).start_serving(false).await?);
        Ok(())
    });
}

fn serve_forever_starts_serves_and_closes_when_cancelled() {
    // SV-14
    run_with_faults(async |event_loop, _| {
        let hall = Hall::default();
        let server = event_loop.create_server(hall.guests(), any_port()).start_serving(false).await?;
        let own = server.clone();
        let serving = event_loop.create_task(async move { own.serve_forever().await })?;
        settle(&event_loop).await;
        let client = knock(&server);
        settle(&event_loop).await;
        serving.cancel();
        assert!(matches!(serving.await, Err(TaskError::Cancelled)));
        assert!(!server.is_serving() && server.sockets().is_empty());
        assert_eq!(server.connections(), 1, "the connection is left alone");
        drop(client);
        server.wait_closed().await
    });
}

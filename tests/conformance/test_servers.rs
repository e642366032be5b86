//! Servers and their listeners: SV, and the rows A of the faults.

use core::cell::RefCell;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::io::{BufRead, BufReader, ErrorKind as Kind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;

use rondel::{
    AfterEof, Config, Error, ErrorKind, EventLoop, EventLoopHandle, Faults, Operation, Protocol, Server,
    StreamReader, StreamWriter, TaskError, Transport,
};

use crate::fixture::{Counter, Trace, alone, any_port, descriptors, quietly, real, reports, small, turns};

const SECOND: Duration = Duration::from_secs(1);

/// Runs `test` on a loop that fails on request, and has nothing left in the end.
#[track_caller]
fn run(test: impl AsyncFnOnce(EventLoopHandle, Faults) -> Result<(), Error>) {
    let (event_loop, _clock, faults) = EventLoop::with_faults(small()).unwrap();
    event_loop.run_until_complete(test(event_loop.handle(), faults)).unwrap();
    turns(&event_loop, 3);
    let statistics = event_loop.statistics();
    let left = (event_loop.watched_descriptors(), statistics.calls.live, statistics.tasks.live);
    assert_eq!(left, (0, 0, 0), "descriptors, calls, tasks");
}

/// What the connections of a server have been through.
#[derive(Clone, Default)]
struct Hall {
    trace: Trace,
    transports: Rc<RefCell<Vec<Transport>>>,
}

impl Hall {
    /// Makes the factory of its protocols.
    fn guests(&self) -> impl Fn() -> Guest + 'static + use<> {
        let hall = self.clone();
        move || Guest(hall.clone())
    }
}

/// Echoes.
struct Guest(Hall);

impl Protocol for Guest {
    fn connection_made(&mut self, transport: &Transport) -> rondel::Result<()> {
        self.0.trace.push("made");
        self.0.transports.borrow_mut().push(transport.clone());
        Ok(())
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> rondel::Result<()> {
        transport.write(data)
    }

    fn connection_lost(&mut self, _: &Transport, error: Option<&Error>) -> rondel::Result<()> {
        self.0.trace.push(if error.is_some() { "broken" } else { "lost" });
        Ok(())
    }
}

/// Ignores what comes.
struct Idle;

impl Protocol for Idle {
    fn data_received(&mut self, _: &Transport, _: &[u8]) -> rondel::Result<()> {
        Ok(())
    }
}

fn knock(server: &Server) -> TcpStream {
    TcpStream::connect(server.local_addr()).unwrap()
}

/// Ends a connection at once: a process that another test is starting may hold the
/// socket for a moment, so that a drop alone doesn't.
fn hang_up(client: TcpStream) {
    client.shutdown(std::net::Shutdown::Both).unwrap();
}

/// Gives the loop some turns.
async fn settle(event_loop: &EventLoopHandle) {
    for _ in 0..12 {
        event_loop.yield_now().await.unwrap();
    }
}

/// Ends a server and whatever it has.
async fn end(server: &Server) -> Result<(), Error> {
    server.close();
    server.abort_clients();
    server.wait_closed().await
}

/// Reads one byte, which is there or comes without the loop.
fn byte(mut client: &TcpStream) -> std::io::Result<u8> {
    let mut buffer = [0];
    client.read_exact(&mut buffer)?;
    Ok(buffer[0])
}

fn inet(server: &Server) -> Vec<SocketAddr> {
    server.sockets().iter().map(|addr| addr.as_inet().unwrap()).collect()
}

#[test]
fn a_socket_from_elsewhere_serves_and_one_of_another_kind_is_closed() {
    // SV-1
    run(async |event_loop, _| {
        let listener = TcpListener::bind(any_port())?;
        let (addr, hall) = (listener.local_addr()?, Hall::default());
        let server = event_loop.create_server_with_sock(hall.guests(), listener).await?;
        assert_eq!(server.local_addr(), addr);
        let client = TcpStream::connect(addr)?;
        settle(&event_loop).await;
        assert_eq!(hall.trace.take(), ["made"]);
        drop(client);
        end(&server).await?;
        let (ours, theirs) = UnixDatagram::pair()?;
        let refused = event_loop.create_server_with_sock(hall.guests(), ours).await.unwrap_err();
        assert_eq!(refused.as_io().unwrap().kind(), Kind::InvalidInput);
        assert!(theirs.send(b"x").is_err(), "the other end is closed");
        let file = OwnedFd::from(std::fs::File::open("/dev/null")?);
        let refused = event_loop.start_server_with_sock(file, async |_, _| ()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Io);
        assert!(refused.to_string().starts_with("start_server: "));
        Ok(())
    });
}

#[test]
fn a_list_of_addresses_gets_a_socket_each_and_the_same_one_once() {
    // SV-2, SV-3
    run(async |event_loop, _| {
        let (first, second) = (any_port(), SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0)));
        let hosts = [first, second, first];
        let hall = Hall::default();
        let server = event_loop.create_server(hall.guests(), hosts.as_slice()).await?;
        let bound = inet(&server);
        assert_eq!(bound.iter().map(SocketAddr::ip).collect::<Vec<_>>(), [first.ip(), second.ip()]);
        assert!(bound.iter().all(|addr| addr.port() != 0), "a port for each socket");
        assert_eq!(server.local_addr(), bound[0]);
        let clients: Vec<_> = bound.iter().map(|addr| TcpStream::connect(addr).unwrap()).collect();
        settle(&event_loop).await;
        assert_eq!((server.connections(), server.accepted()), (2, 2));
        drop(clients);
        end(&server).await
    });
}

#[test]
fn an_empty_host_is_every_interface() {
    // SV-2
    run(async |event_loop, _| {
        for only_v4 in [true, false] {
            let hall = Hall::default();
            let server = event_loop.create_server(hall.guests(), ("", 0));
            let server = if only_v4 { server.ipv4_only() } else { server };
            let server = server.await?;
            let bound = inet(&server);
            assert!(bound.iter().all(|addr| addr.ip().is_unspecified()));
            let v4 = bound.iter().find(|addr| addr.is_ipv4()).unwrap();
            let client = TcpStream::connect((Ipv4Addr::LOCALHOST, v4.port()))?;
            settle(&event_loop).await;
            assert_eq!(hall.trace.take(), ["made"]);
            assert!(only_v4 || bound.len() == 2 || TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err());
            drop(client);
            end(&server).await?;
        }
        Ok(())
    });
}

#[test]
fn one_port_serves_both_families() {
    // SV-3
    run(async |event_loop, _| {
        // The port may be taken in the other family, by somebody else.
        for _ in 0..20 {
            let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
            let Ok(taken) = TcpListener::bind(v6) else { return Ok(()) };
            let port = taken.local_addr()?.port();
            drop(taken);
            let both = [(IpAddr::from(Ipv6Addr::UNSPECIFIED), port), (Ipv4Addr::UNSPECIFIED.into(), port)];
            let both = both.map(SocketAddr::from);
            let server = match event_loop.create_server(|| Idle, both).await {
                Err(error) if error.as_io().is_some_and(|error| error.kind() == Kind::AddrInUse) => continue,
                server => server?,
            };
            assert_eq!(inet(&server), both);
            let v4 = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
            let v6 = TcpStream::connect((Ipv6Addr::LOCALHOST, port))?;
            settle(&event_loop).await;
            assert_eq!(server.connections(), 2);
            drop((v4, v6));
            return end(&server).await;
        }
        panic!("no port was free in both families");
    });
}

#[test]
fn an_address_that_this_machine_does_not_have_is_skipped_unless_no_other_is_left() {
    // SV-4, FAULTS A-11
    run(async |event_loop, faults| {
        let here = any_port();
        let nowhere = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 0));
        let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
        // There is no such family.
        for errno in [libc::EAFNOSUPPORT, libc::EPFNOSUPPORT, libc::EPROTONOSUPPORT] {
            faults.fail(Operation::Socket, errno);
            let server = event_loop.create_server(|| Idle, [v6, here]).await?;
            assert_eq!(inet(&server).len(), 1);
            end(&server).await?;
            faults.fail(Operation::Socket, errno);
            let failed = event_loop.create_server(|| Idle, v6).await.unwrap_err();
            assert!(failed.to_string().contains("[::1]:0: "), "{failed}");
        }
        // The loopback of IPv6 is disabled.
        faults.fail(Operation::Bind, libc::EADDRNOTAVAIL);
        let server = event_loop.create_server(|| Idle, [v6, here]).await?;
        assert_eq!(inet(&server), [server.local_addr()]);
        let client = knock(&server);
        settle(&event_loop).await;
        assert_eq!(server.connections(), 1, "IPv4 is served");
        drop(client);
        end(&server).await?;
        let server = event_loop.create_server(|| Idle, [nowhere, here]).await?;
        assert_eq!(inet(&server).len(), 1);
        end(&server).await?;
        let failed = event_loop.create_server(|| Idle, [nowhere]).await.unwrap_err();
        assert_eq!(failed.as_io().unwrap().kind(), Kind::AddrNotAvailable);
        assert!(failed.to_string().starts_with("create_server: 192.0.2.1:0: "), "{failed}");
        // A scope that does not exist is an error, and no other address hides it.
        let scoped: SocketAddr = "[fe80::1%4000000]:0".parse()?;
        let failed = event_loop.create_server(|| Idle, [here, scoped]).await.unwrap_err();
        assert!(failed.to_string().contains("fe80::1%4000000"), "{failed}");
        Ok(())
    });
}

#[test]
fn a_failed_bind_closes_every_socket_and_names_the_address() {
    // SV-5
    run(async |event_loop, faults| {
        let taken = TcpListener::bind(any_port())?;
        let addrs = [any_port(), taken.local_addr()?];
        for (operation, errno, kind) in [
            (Operation::Bind, None, Kind::AddrInUse),
            (Operation::Socket, Some(libc::ENOMEM), Kind::OutOfMemory),
            (Operation::SetOption, Some(libc::EPERM), Kind::PermissionDenied),
            (Operation::LocalAddr, Some(libc::ENOMEM), Kind::OutOfMemory),
            (Operation::Listen, Some(libc::EADDRINUSE), Kind::AddrInUse),
        ] {
            if let Some(errno) = errno {
                faults.fail_nth(operation, 2, errno);
            }
            let before = descriptors_of_this_thread();
            let addrs =
                if errno.is_some() { [any_port(), (Ipv4Addr::new(127, 0, 0, 3), 0).into()] } else { addrs };
            let failed = event_loop.create_server(|| Idle, addrs).await.unwrap_err();
            assert_eq!(failed.as_io().unwrap().kind(), kind, "{operation:?}");
            faults.heal(operation);
            assert!(failed.to_string().contains(&addrs[1].ip().to_string()), "{failed}");
            assert_eq!((event_loop.watched_descriptors(), descriptors_of_this_thread()), (0, before));
        }
        Ok(())
    });
}

/// Counts descriptors where no other thread opens any, in a process of its own.
fn descriptors_of_this_thread() -> usize {
    if is_alone() { descriptors() } else { 0 }
}

fn is_alone() -> bool {
    std::env::var_os(crate::fixture::ALONE).is_some()
}

#[test]
fn a_port_is_shared_on_request_only() {
    // SV-6
    run(async |event_loop, _| {
        let first = event_loop.create_server(|| Idle, any_port()).reuse_port(true).await?;
        let addr = first.local_addr();
        let second = event_loop.create_server(|| Idle, addr).reuse_port(true).await?;
        assert_eq!(second.local_addr(), addr);
        let third = event_loop.create_server(|| Idle, addr).await.unwrap_err();
        assert_eq!(third.as_io().unwrap().kind(), Kind::AddrInUse);
        end(&first).await?;
        end(&second).await
    });
}

#[test]
fn a_turn_accepts_as_many_as_the_backlog_and_the_next_one_the_rest() {
    // SV-6, SV-7; FAULTS A-04
    run(async |event_loop, faults| {
        let server = event_loop.create_server(|| Idle, any_port()).backlog(2).await?;
        let clients: Vec<_> = (0..3).map(|_| knock(&server)).collect();
        let mut counts = Vec::new();
        for _ in 0..4 {
            event_loop.yield_now().await?;
            counts.push(server.accepted());
        }
        counts.dedup();
        counts.retain(|&count| count != 0);
        assert_eq!(counts, [2, 3]);
        // Two, one, and what was not there; nothing is asked any more.
        let calls = faults.calls(Operation::Accept);
        settle(&event_loop).await;
        assert_eq!(faults.calls(Operation::Accept), calls);
        drop(clients);
        end(&server).await
    });
}

#[test]
fn a_readiness_without_a_connection_ends_quietly() {
    // SV-7
    run(async |event_loop, faults| {
        let told = reports(&event_loop);
        let server = event_loop.create_server(|| Idle, any_port()).await?;
        settle(&event_loop).await;
        faults.wake_all();
        settle(&event_loop).await;
        faults.block(Operation::Accept);
        let client = knock(&server);
        settle(&event_loop).await;
        assert_eq!((server.connections(), told.count()), (1, 0));
        drop(client);
        end(&server).await
    });
}

#[test]
fn a01_out_of_descriptors_is_one_report_and_one_timer_and_accepting_resumes() {
    // SV-8
    run(async |event_loop, faults| {
        let (told, hall) = (reports(&event_loop), Hall::default());
        let server = event_loop.create_server(hall.guests(), any_port()).await?;
        let mut old = knock(&server);
        settle(&event_loop).await;
        let timers = event_loop.statistics().timers;
        faults.fail_every(Operation::Accept, libc::EMFILE);
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(knock(&server));
            settle(&event_loop).await;
        }
        assert_eq!(told.count(), 1);
        assert_eq!(event_loop.statistics().timers, timers + 1);
        let calls = faults.calls(Operation::Accept);
        // An existing connection goes on, and nothing asks meanwhile.
        old.write_all(b"x")?;
        settle(&event_loop).await;
        assert_eq!(byte(&old)?, b'x');
        event_loop.sleep(SECOND / 2).await?;
        assert_eq!(faults.calls(Operation::Accept), calls);
        // A second later once more, and no more than that.
        event_loop.sleep(SECOND).await?;
        settle(&event_loop).await;
        assert_eq!((faults.calls(Operation::Accept), told.count()), (calls + 1, 2));
        faults.heal(Operation::Accept);
        event_loop.sleep(SECOND).await?;
        settle(&event_loop).await;
        assert_eq!((server.connections(), told.count()), (4, 2));
        assert_eq!(event_loop.statistics().timers, timers);
        // A server that is closed while it rests leaves no timer.
        faults.fail(Operation::Accept, libc::ENFILE);
        clients.push(knock(&server));
        settle(&event_loop).await;
        server.close();
        assert_eq!(event_loop.statistics().timers, timers);
        assert_eq!(told.take()[2].split(": ").next(), Some("accept is out of system resources"));
        drop(clients);
        end(&server).await
    });
}

#[test]
fn a02_every_error_of_accept_skips_or_rests_and_the_listener_goes_on() {
    // SV-7
    run(async |event_loop, faults| {
        let (told, hall) = (reports(&event_loop), Hall::default());
        let server = event_loop.create_server(hall.guests(), any_port()).await?;
        settle(&event_loop).await;
        // The connection in question is gone: the next one follows at once.
        for errno in [
            libc::ECONNABORTED,
            libc::ECONNRESET,
            libc::EPERM,
            libc::EPROTO,
            libc::ENOPROTOOPT,
            libc::ENETDOWN,
            libc::ENETUNREACH,
            libc::EHOSTDOWN,
            libc::EHOSTUNREACH,
            libc::ENONET,
            libc::EOPNOTSUPP,
            libc::ETIMEDOUT,
        ] {
            faults.fail(Operation::Accept, errno);
            let client = knock(&server);
            settle(&event_loop).await;
            assert_eq!((hall.trace.take(), told.count()), (vec!["made".to_owned()], 0), "{errno}");
            drop(client);
            settle(&event_loop).await;
            hall.trace.take();
        }
        // Something is wrong with the process or the listener: a report and a rest.
        for (errno, message) in [
            (libc::EMFILE, "accept is out of system resources: "),
            (libc::ENFILE, "accept is out of system resources: "),
            (libc::ENOBUFS, "accept is out of system resources: "),
            (libc::ENOMEM, "accept is out of system resources: "),
            (libc::EBADF, "accept failed: "),
            (libc::EFAULT, "accept failed: "),
            (libc::EINVAL, "accept failed: "),
            (libc::ENOTSOCK, "accept failed: "),
            (libc::ENOSYS, "accept failed: "),
        ] {
            faults.fail(Operation::Accept, errno);
            let client = knock(&server);
            settle(&event_loop).await;
            let told = told.take();
            assert!(told.len() == 1 && told[0].starts_with(message), "{errno}: {told:?}");
            assert_eq!(hall.trace.count(), 0);
            event_loop.sleep(SECOND).await?;
            settle(&event_loop).await;
            assert_eq!(hall.trace.take(), ["made"], "{errno}");
            drop(client);
            settle(&event_loop).await;
            hall.trace.take();
        }
        // However often: the other callbacks of the loop run.
        faults.fail_every(Operation::Accept, libc::ECONNABORTED);
        let client = knock(&server);
        settle(&event_loop).await;
        faults.heal(Operation::Accept);
        settle(&event_loop).await;
        assert_eq!(hall.trace.take(), ["made"]);
        drop(client);
        end(&server).await
    });
}

#[test]
fn a03_what_could_not_be_served_is_closed_counted_and_told_to_the_hook() {
    // SV-9; FAULTS P-12
    quietly(|| {
        run(async |event_loop, faults| {
            let (told, hooked, calls) = (reports(&event_loop), Trace::new(), Counter::new());
            let (noted, counted) = (hooked.clone(), calls.clone());
            let factory = move || {
                assert!(counted.add() != 2, "the second");
                Idle
            };
            let server = event_loop
                .create_server(factory, any_port())
                .on_refused(move |_, error| noted.push(error.to_string()))
                .await?;
            let mut clients = Vec::new();
            for _ in 0..3 {
                clients.push(knock(&server));
                settle(&event_loop).await;
            }
            // The kernel has no room for one more registration.
            for errno in [libc::ENOSPC, libc::ENOMEM] {
                faults.fail(Operation::Register, errno);
                clients.push(knock(&server));
                settle(&event_loop).await;
            }
            assert_eq!((server.accepted(), server.refused(), server.connections()), (2, 3, 2));
            let hooked = hooked.take();
            assert_eq!(hooked.len(), 3);
            assert_eq!(hooked[0], "the factory panicked");
            assert!(hooked[1].contains("space"), "{hooked:?}");
            assert_eq!(told.take(), ["Callback panicked: panicked: the second"], "the panic itself");
            for refused in [1, 3, 4] {
                assert!(matches!((&clients[refused]).read(&mut [0]), Ok(0) | Err(_)), "closed");
            }
            clients.push(knock(&server));
            settle(&event_loop).await;
            assert_eq!(server.connections(), 3);
            end(&server).await
        });
    });
}

#[test]
fn a03_a_hook_that_panics_costs_a_report() {
    quietly(|| {
        run(async |event_loop, faults| {
            let told = reports(&event_loop);
            let server =
                event_loop.create_server(|| Idle, any_port()).on_refused(|_, _| panic!("hook")).await?;
            faults.fail(Operation::Register, libc::ENOSPC);
            let clients = [knock(&server), knock(&server)];
            settle(&event_loop).await;
            assert_eq!((server.refused(), server.connections(), told.count()), (1, 1, 1));
            drop(clients);
            end(&server).await
        });
    });
}

#[test]
fn close_stops_accepting_at_once_and_leaves_connections_alone() {
    // SV-10
    run(async |event_loop, _| {
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

#[test]
fn wait_closed_returns_when_closed_and_empty_in_either_order_for_any_number() {
    // SV-11
    run(async |event_loop, _| {
        for client_first in [false, true] {
            let server = event_loop.create_server(|| Idle, any_port()).await?;
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

#[test]
fn a_transport_that_outlives_its_connection_leaves_the_next_one_its_place() {
    // SV-11
    run(async |event_loop, _| {
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

#[test]
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

#[test]
fn closing_a_loop_closes_its_servers_and_drops_their_factories() {
    // SV-12
    let (event_loop, _clock, _faults) = EventLoop::with_faults(small()).unwrap();
    let trace = Trace::new();
    let slot = Rc::new(RefCell::new(None::<Server>));
    let (own, dropped) = (Rc::clone(&slot), trace.on_drop("factory"));
    let factory = move || {
        let _kept = (&own, &dropped);
        Idle
    };
    let server = event_loop.run_until_complete(event_loop.create_server(factory, any_port())).unwrap();
    slot.replace(Some(server));
    event_loop.close().unwrap();
    assert_eq!(trace.take(), ["factory"], "though it holds its own server");
    assert!(slot.borrow().as_ref().unwrap().sockets().is_empty());
}

#[test]
fn closing_from_within_the_factory_ends_the_batch() {
    // SV-13
    run(async |event_loop, _| {
        let trace = Trace::new();
        let slot = Rc::new(RefCell::new(None::<Server>));
        let (own, noted, dropped) = (Rc::clone(&slot), trace.clone(), trace.on_drop("factory dropped"));
        let factory = move || {
            let _kept = &dropped;
            noted.push("factory");
            own.borrow().as_ref().unwrap().close();
            noted.push("closed");
            Idle
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

#[test]
fn closing_from_connection_made_accepts_no_more() {
    // SV-13
    run(async |event_loop, _| {
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

#[test]
fn a_delayed_start_binds_and_refuses_until_it_serves() {
    // SV-14
    run(async |event_loop, faults| {
        let server = event_loop.create_server(|| Idle, any_port()).start_serving(false).await?;
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
        drop(event_loop.create_server(|| Idle, any_port()).start_serving(false).await?);
        Ok(())
    });
}

#[test]
fn serve_forever_starts_serves_and_closes_when_cancelled() {
    // SV-14
    run(async |event_loop, _| {
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
    run(async |event_loop, _| {
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

#[test]
fn a10_shutdown_lets_the_others_end_and_returns_those_that_it_aborted() {
    // SV-14
    run(async |event_loop, _| {
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

#[test]
fn a10_a_cancelled_shutdown_has_closed_the_server() {
    run(async |event_loop, _| {
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

#[test]
fn connections_beyond_the_limit_wait_in_the_backlog_until_one_goes() {
    run(async |event_loop, faults| {
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

#[test]
fn streams_are_limited_counted_and_ended_alike() {
    // SV-14
    run(async |event_loop, _| {
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

#[test]
fn an_address_may_be_borrowed_from_something_that_ends_before_the_call_does() {
    // SV-1
    run(async |event_loop, _| {
        let server = {
            let (host, addrs) = ("127.0.0.1".to_owned(), vec![any_port()]);
            end(&event_loop.create_server(|| Idle, addrs.as_slice()).await?).await?;
            let by_name = event_loop.create_server(|| Idle, (host.as_str(), 0));
            by_name.await?
        };
        let client = {
            let text = server.local_addr().to_string();
            let connecting = event_loop.open_connection(text.as_str()).into_future();
            drop(text);
            connecting.await?
        };
        drop(client);
        end(&server).await
    });
}

#[test]
fn a_server_on_a_kernel_without_descriptors_is_refused() {
    let event_loop = EventLoop::without_descriptors(small()).unwrap();
    let refused = event_loop.run_until_complete(event_loop.create_server(|| Idle, any_port())).unwrap_err();
    assert!(refused.to_string().contains("no descriptors"), "{refused}");
    let listener = TcpListener::bind(any_port()).unwrap();
    let addr = listener.local_addr().unwrap();
    let server = event_loop.create_server_with_sock(|| Idle, listener);
    assert!(event_loop.run_until_complete(server).is_err());
    assert!(TcpStream::connect(addr).is_err(), "the socket is closed");
}

/// Connects `count` times, and has one byte echoed each time.
fn greet(addr: SocketAddr, count: usize) {
    for _ in 0..count {
        let mut client = TcpStream::connect(addr).unwrap();
        client.write_all(b"x").unwrap();
        assert_eq!(byte(&client).unwrap(), b'x');
    }
}

#[test]
fn a04_a_storm_of_connects_takes_a_bounded_share_of_each_turn() {
    const CLIENTS: usize = 2_000;
    const BACKLOG: u32 = 4;
    let event_loop = EventLoop::with_config(Config { descriptors: 64, ..small() }).unwrap();
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async move {
            let path = std::env::temp_dir().join(format!("rondel-storm-{}", std::process::id()));
            let server = handle.create_unix_server(|| Idle, &path).backlog(BACKLOG).await?;
            // A UNIX socket lets its clients wait where TCP has them try again.
            let clients: Vec<_> = (0..4)
                .map(|_| {
                    let path = path.clone();
                    thread::spawn(move || {
                        for _ in 0..CLIENTS / 4 {
                            drop(std::os::unix::net::UnixStream::connect(&path).unwrap());
                        }
                    })
                })
                .collect();
            while (server.accepted() as usize) < CLIENTS {
                let before = server.accepted();
                handle.yield_now().await?;
                assert!(server.accepted() - before <= u64::from(BACKLOG));
                assert_eq!(server.refused(), 0);
            }
            clients.into_iter().for_each(|client| client.join().unwrap());
            end(&server).await
        })
        .unwrap();
}

#[test]
fn a05_loops_in_two_threads_share_a_port_or_a_listener() {
    for shares_listener in [false, true] {
        let listener = TcpListener::bind(any_port()).unwrap();
        let mut addr = if shares_listener { listener.local_addr().unwrap() } else { any_port() };
        let (ready, started) = channel();
        let accepted = Arc::new(AtomicUsize::new(0));
        let mut threads = Vec::new();
        let mut remotes = Vec::new();
        for _ in 0..2 {
            let (ready, counted) = (ready.clone(), Arc::clone(&accepted));
            let listener = shares_listener.then(|| listener.try_clone().unwrap());
            threads.push(thread::spawn(move || {
                let event_loop = real();
                let told = reports(&event_loop);
                let guests = Hall::default().guests();
                let factory = move || {
                    counted.fetch_add(1, Ordering::Relaxed);
                    guests()
                };
                let server = match listener {
                    Some(listener) => {
                        event_loop.run_until_complete(event_loop.create_server_with_sock(factory, listener))
                    }
                    None => event_loop
                        .run_until_complete(event_loop.create_server(factory, addr).reuse_port(true)),
                };
                let server = server.unwrap();
                ready.send((server.local_addr(), event_loop.remote())).unwrap();
                event_loop.run_forever().unwrap();
                assert_eq!((server.refused(), told.count()), (0, 0));
            }));
            let (bound, remote) = started.recv().unwrap();
            addr = bound;
            remotes.push(remote);
        }
        let clients: Vec<_> = (0..4).map(|_| thread::spawn(move || greet(addr, 50))).collect();
        clients.into_iter().for_each(|client| client.join().unwrap());
        remotes.iter().for_each(|remote| remote.stop());
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(accepted.load(Ordering::Relaxed), 200);
    }
}

const KILLED: &str = "RONDEL_TEST_KILLED";

/// Is the server that gets killed: it tells its port and then how many it has.
fn serve_until_killed(clients: usize) {
    let event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async move {
            let server = handle.create_server(|| Idle, any_port()).backlog(1024).await?;
            println!("port {}", server.local_addr().port());
            while server.connections() < clients {
                handle.sleep(Duration::from_millis(1)).await?;
            }
            println!("port 0");
            core::future::pending::<Result<(), Error>>().await
        })
        .unwrap();
}

#[test]
fn a09_a_server_killed_with_a_thousand_connections_is_restarted_at_once() {
    const CLIENTS: usize = 1_000;
    if std::env::var_os(KILLED).is_some() {
        return serve_until_killed(CLIENTS);
    }
    let name = "test_servers::a09_a_server_killed_with_a_thousand_connections_is_restarted_at_once";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--test-threads=1", "--nocapture"])
        .env(KILLED, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut ports = lines.filter_map(|line| {
        let line = line.unwrap();
        line.rsplit_once("port ").and_then(|(_, port)| port.parse::<u16>().ok())
    });
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.next().unwrap()));
    let clients: Vec<_> = (0..CLIENTS).map(|_| TcpStream::connect(addr).unwrap()).collect();
    assert_eq!(ports.next(), Some(0), "all are served");
    child.kill().unwrap();
    child.wait().unwrap();
    let event_loop = real();
    let server = event_loop.run_until_complete(event_loop.create_server(|| Idle, addr)).unwrap();
    assert_eq!(server.local_addr(), addr);
    drop(clients);
}

/// Are all scenarios that leave nothing behind in their loop.
const SCENARIOS: &[fn()] = &[
    a_socket_from_elsewhere_serves_and_one_of_another_kind_is_closed,
    a_list_of_addresses_gets_a_socket_each_and_the_same_one_once,
    one_port_serves_both_families,
    an_address_that_this_machine_does_not_have_is_skipped_unless_no_other_is_left,
    a_failed_bind_closes_every_socket_and_names_the_address,
    a_port_is_shared_on_request_only,
    a_turn_accepts_as_many_as_the_backlog_and_the_next_one_the_rest,
    a_readiness_without_a_connection_ends_quietly,
    a01_out_of_descriptors_is_one_report_and_one_timer_and_accepting_resumes,
    a02_every_error_of_accept_skips_or_rests_and_the_listener_goes_on,
    a03_what_could_not_be_served_is_closed_counted_and_told_to_the_hook,
    a03_a_hook_that_panics_costs_a_report,
    close_stops_accepting_at_once_and_leaves_connections_alone,
    wait_closed_returns_when_closed_and_empty_in_either_order_for_any_number,
    a_transport_that_outlives_its_connection_leaves_the_next_one_its_place,
    a_server_without_its_handle_serves_until_the_loop_is_closed,
    closing_a_loop_closes_its_servers_and_drops_their_factories,
    closing_from_within_the_factory_ends_the_batch,
    closing_from_connection_made_accepts_no_more,
    a_delayed_start_binds_and_refuses_until_it_serves,
    serve_forever_starts_serves_and_closes_when_cancelled,
    a10_shutdown_lets_the_others_end_and_returns_those_that_it_aborted,
    a10_a_cancelled_shutdown_has_closed_the_server,
    connections_beyond_the_limit_wait_in_the_backlog_until_one_goes,
    streams_are_limited_counted_and_ended_alike,
    an_address_may_be_borrowed_from_something_that_ends_before_the_call_does,
    a_server_on_a_kernel_without_descriptors_is_refused,
];

#[test]
fn no_scenario_leaks_a_descriptor() {
    // SV-5
    alone("test_servers::no_scenario_leaks_a_descriptor", 128, || {
        for (index, scenario) in SCENARIOS.iter().enumerate() {
            let before = descriptors();
            scenario();
            assert_eq!(descriptors(), before, "scenario {index}");
        }
    });
}

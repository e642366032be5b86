//! Client connections: CC and CA.

use core::cell::RefCell;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::io::{ErrorKind as Kind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::rc::Rc;
use std::thread;

use rondel::{
    AddrInfoFlags, Address, AfterEof, Config, ConnectError, Error, ErrorKind, EventLoop, EventLoopHandle,
    Operation, Result,
};

use crate::fixture::{
    Counter, Oops, Trace, any_port, assert_nothing_left, manual, manual_with, pair, real, reports, scenarios,
    small, turns,
};
use crate::probe::{Probe, Told, until};
use crate::protocols::Silent;

scenarios! {
    cc2_stream_sockets_of_each_family_are_taken_and_others_refused
    cc2_a_socket_that_was_reset_before_says_so
    cc4_addresses_are_tried_in_order_until_one_connects
    cc4_no_address_is_an_error
    cc5_local_addresses_are_tried_in_order_and_a_refused_one_is_named
    cc6_the_error_names_every_attempt_and_equal_texts_once
    cc7_a_literal_needs_no_look_up_and_a_name_does
    cc8_the_factory_is_called_once_when_the_connection_stands
    cc9_connection_made_ran_before_the_call_returns
    cc9_what_goes_wrong_in_connection_made_does_not_fail_the_call
    cc10_cancelled_at_any_point_nothing_is_left
    cc10_a_full_table_refuses_and_closes
    cc10_a_socket_that_was_passed_in_is_closed_on_every_way
    cc11_nodelay_is_on
    ca1_an_accepted_socket_is_taken_over_and_made_nonblocking
    a06_a_connection_to_itself_is_refused_and_its_port_is_free
    a07_an_address_that_is_not_available_works_again_later
    a08_the_systems_errors_arrive_as_they_are
    a08_a_connect_that_nobody_answers_ends_by_a_timeout
    happy_eyeballs_begins_the_next_attempt_after_the_delay
    happy_eyeballs_goes_on_at_once_when_the_last_attempt_fails
    happy_eyeballs_lets_the_families_take_turns
    without_happy_eyeballs_an_attempt_waits_for_the_one_before
    w12_a_cancellation_beside_the_end_closes_the_connection
}

/// Runs `test` on a loop that has nothing left of it in the end.
#[track_caller]
fn run(event_loop: EventLoop, test: impl AsyncFnOnce(EventLoopHandle) -> Result<()>) {
    event_loop.run_until_complete(test(event_loop.handle())).unwrap();
    turns(&event_loop, 3);
    assert_nothing_left(&event_loop);
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(any_port()).unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

/// Returns an address where nobody listens.
fn nobody() -> SocketAddr {
    listener().1
}

/// Makes a listener that answers nobody: its backlog is full.
fn blackhole() -> (TcpListener, TcpStream, SocketAddr) {
    let (listener, addr) = listener();
    // SAFETY: no pointers.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    let filled = TcpStream::connect(addr).unwrap();
    (listener, filled, addr)
}

fn io_kind(error: &Error) -> Kind {
    error.as_io().unwrap_or_else(|| panic!("{error:?}")).kind()
}

fn attempts(error: &Error) -> &[(SocketAddr, std::io::Error)] {
    let inner = error.as_io().and_then(std::io::Error::get_ref);
    inner.and_then(|inner| inner.downcast_ref::<ConnectError>()).expect("a list of attempts").attempts()
}

fn cc2_stream_sockets_of_each_family_are_taken_and_others_refused() {
    run(manual(), async |event_loop| {
        let (server, addr) = listener();
        let mut sockets: Vec<OwnedFd> = vec![TcpStream::connect(addr)?.into(), UnixStream::pair()?.0.into()];
        let other_server = TcpListener::bind((Ipv6Addr::LOCALHOST, 0));
        if let Ok(server) = &other_server {
            sockets.push(TcpStream::connect(server.local_addr()?)?.into());
        }
        for socket in sockets {
            let (transport, _) = event_loop.create_connection_with_sock(|| Silent, socket).await?;
            transport.abort();
        }
        // One whose peer is gone already has still something to say.
        let (ours, mut peer) = pair();
        peer.write_all(b"last words")?;
        drop(peer);
        let trace = Trace::new();
        let probe = Probe::quiet(&trace);
        let (transport, _) = event_loop.create_connection_with_sock(|| probe, ours).await?;
        assert!(matches!(transport.peer_addr(), Address::Unix(addr) if addr.is_unnamed()));
        while trace.count() < 4 {
            event_loop.yield_now().await?;
        }
        assert_eq!(trace.take(), ["made", "data last words", "eof", "lost"]);
        // Of the wrong kind, or not connected.
        let wrong: [(OwnedFd, Kind); 4] = [
            (UdpSocket::bind(any_port())?.into(), Kind::InvalidInput),
            (UnixDatagram::unbound()?.into(), Kind::InvalidInput),
            (server.into(), Kind::NotConnected),
            (std::fs::File::open("/dev/null")?.into(), Kind::Other),
        ];
        for (socket, kind) in wrong {
            let never = || -> Silent { unreachable!("there is no connection") };
            let error = event_loop.create_connection_with_sock(never, socket).await.unwrap_err();
            // "Not a socket" has no name in `std`.
            let found = io_kind(&error);
            assert!(found == kind || kind == Kind::Other && error.to_string().contains("ocket"), "{error}");
            assert!(error.to_string().starts_with("create_connection: "), "{error}");
        }
        Ok(())
    });
}

fn cc2_a_socket_that_was_reset_before_says_so() {
    run(manual(), async |event_loop| {
        for accepted in [false, true] {
            let (server, addr) = listener();
            let mut ours = TcpStream::connect(addr)?;
            let theirs = server.accept()?.0;
            // Closed with something unread, it resets.
            ours.write_all(b"unread")?;
            theirs.peek(&mut [0])?;
            drop(theirs);
            while ours.peer_addr().is_ok() {
                thread::yield_now();
            }
            let never = || -> Silent { unreachable!("there is no connection") };
            let taken = if accepted {
                event_loop.connect_accepted_socket(never, ours).await
            } else {
                event_loop.create_connection_with_sock(never, ours).await
            };
            assert_eq!(io_kind(&taken.unwrap_err()), Kind::ConnectionReset);
        }
        Ok(())
    });
}

fn cc4_addresses_are_tried_in_order_until_one_connects() {
    for delay in [None, Some(Duration::from_millis(250))] {
        run(manual(), async |event_loop| {
            let (server, addr) = listener();
            let (untried, later) = listener();
            let addrs = [nobody(), nobody(), addr, later];
            let connecting = event_loop.create_connection(|| Silent, addrs).happy_eyeballs_delay(delay);
            let (transport, _) = connecting.await?;
            assert_eq!(transport.peer_addr().as_inet(), Some(addr));
            let (_accepted, peer) = server.accept()?;
            assert_eq!(transport.local_addr().and_then(|addr| addr.as_inet()), Some(peer));
            untried.set_nonblocking(true)?;
            assert_eq!(untried.accept().unwrap_err().kind(), Kind::WouldBlock);
            transport.close();
            Ok(())
        });
    }
}

fn cc4_no_address_is_an_error() {
    run(manual(), async |event_loop| {
        let none: &[SocketAddr] = &[];
        let error = event_loop.create_connection(|| Silent, none).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NameResolution, "{error}");
        let v4 = event_loop.create_connection(|| Silent, any_port()).ipv6_only();
        assert_eq!(v4.await.unwrap_err().kind(), ErrorKind::NameResolution);
        let error = event_loop.create_connection(|| Silent, ("", 80)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NameResolution);
        Ok(())
    });
}

fn cc5_local_addresses_are_tried_in_order_and_a_refused_one_is_named() {
    run(manual(), async |event_loop| {
        let (server, addr) = listener();
        let (_taken, busy) = listener();
        let free = nobody();
        // The first is refused, the second works; one of another family is not tried.
        let locals = [SocketAddr::from((Ipv6Addr::LOCALHOST, 1)), busy, free];
        let (transport, _) = event_loop.create_connection(|| Silent, addr).local_addr(locals).await?;
        assert_eq!(transport.local_addr().and_then(|addr| addr.as_inet()), Some(free));
        assert_eq!(server.accept()?.1, free);
        transport.abort();
        // None works: the error names it, for every address that was tried.
        let (_other, second) = listener();
        let error =
            event_loop.create_connection(|| Silent, [addr, second]).local_addr(busy).await.unwrap_err();
        assert_eq!(io_kind(&error), Kind::AddrInUse);
        let tried: Vec<_> = attempts(&error).iter().map(|attempt| attempt.0).collect();
        assert_eq!(tried, [addr, second]);
        assert!(attempts(&error).iter().all(|(_, error)| error.to_string().contains(&busy.to_string())));
        // Of the wrong family only.
        let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
        let error = event_loop.create_connection(|| Silent, addr).local_addr(v6).await.unwrap_err();
        assert_eq!(io_kind(&error), Kind::InvalidInput);
        Ok(())
    });
}

fn cc6_the_error_names_every_attempt_and_equal_texts_once() {
    run(manual(), async |event_loop| {
        let (one, two) = (nobody(), nobody());
        let refused = "Connection refused (os error 111)";
        let error = event_loop.create_connection(|| Silent, one).await.unwrap_err();
        assert_eq!(error.to_string(), format!("create_connection: {one}: {refused}"));
        assert_eq!((io_kind(&error), attempts(&error).len()), (Kind::ConnectionRefused, 1));
        let error = event_loop.create_connection(|| Silent, [one, one, one]).await.unwrap_err();
        assert_eq!(error.to_string(), format!("create_connection: {one}: {refused}"), "all the same");
        assert_eq!(attempts(&error).len(), 3);
        let error = event_loop.create_connection(|| Silent, [one, two]).await.unwrap_err();
        let text = format!("create_connection: 2 attempts failed: {one}: {refused}; {two}: {refused}");
        assert_eq!(error.to_string(), text);
        let error = event_loop.open_connection([one, two]).await.unwrap_err();
        assert_eq!(error.to_string(), text.replace("create", "open"));
        Ok(())
    });
}

fn cc7_a_literal_needs_no_look_up_and_a_name_does() {
    // No look-up has room.
    let event_loop = manual_with(Config { lookups: 0, lookup_threads: 0, ..small() }).0;
    run(event_loop, async |event_loop| {
        let (_server, addr) = listener();
        let port = addr.port();
        for transport in [
            event_loop.create_connection(|| Silent, addr).await?.0,
            event_loop.create_connection(|| Silent, ("127.0.0.1", port)).await?.0,
            event_loop.create_connection(|| Silent, format!("127.0.0.1:{port}")).await?.0,
            event_loop.create_connection(|| Silent, (IpAddr::from(Ipv4Addr::LOCALHOST), port)).await?.0,
        ] {
            transport.abort();
        }
        Ok(())
    });
    run(real(), async |event_loop| {
        let (_server, addr) = listener();
        let connecting = event_loop.create_connection(|| Silent, ("localhost", addr.port())).ipv4_only();
        connecting.await?.0.abort();
        Ok(())
    });
}

fn cc8_the_factory_is_called_once_when_the_connection_stands() {
    let trace = Trace::new();
    let noted = trace.clone();
    run(manual(), async move |event_loop| {
        let (_server, addr) = listener();
        let factory = noted.clone();
        let connecting = event_loop.create_connection(
            move || {
                factory.push("factory");
                Probe::quiet(&factory)
            },
            addr,
        );
        noted.push("before");
        let (transport, protocol) = connecting.await?;
        noted.push("after");
        transport.abort();
        drop(protocol);
        let never = || -> Silent { unreachable!("there is no connection") };
        event_loop.create_connection(never, nobody()).await.unwrap_err();
        Ok(())
    });
    assert_eq!(trace.take(), ["before", "factory", "made", "after", "lost"]);
}

fn cc9_connection_made_ran_before_the_call_returns() {
    // TR-2: and the task goes on before data is delivered.
    let trace = Trace::new();
    let noted = trace.clone();
    run(manual(), async move |event_loop| {
        let (server, addr) = listener();
        let greets = std::thread::spawn(move || {
            let mut client = server.accept().unwrap().0;
            client.write_all(b"hello").unwrap();
        });
        let probe = Probe::quiet(&noted);
        let (transport, protocol) = event_loop.create_connection(|| probe, addr).await?;
        noted.push("connected");
        assert!(protocol.with(|_| ()).is_ok());
        greets.join().unwrap();
        while !transport.is_closing() {
            event_loop.yield_now().await?;
        }
        Ok(())
    });
    assert_eq!(trace.take(), ["made", "connected", "data hello", "eof", "lost"]);
}

fn cc9_what_goes_wrong_in_connection_made_does_not_fail_the_call() {
    let event_loop = manual();
    let told = reports(&event_loop);
    for deed in 0..4 {
        let (trace, (ours, peer)) = (Trace::new(), pair());
        let mut peer = Some(peer);
        let probe = Probe::new(&trace, move |told, transport| {
            if matches!(told, Told::Made) {
                match deed {
                    0 => return Err(Error::new(Oops(1))),
                    1 => transport.close(),
                    2 => transport.abort(),
                    // The error of a write is the protocol's to hear.
                    _ => {
                        peer.take();
                        transport.write(b"x")?;
                    }
                }
            }
            Ok(AfterEof::Close)
        });
        let connecting = event_loop.create_connection_with_sock(|| probe, ours);
        let (transport, _) = event_loop.run_until_complete(connecting).unwrap();
        assert_eq!(transport.is_closing(), deed > 0);
        turns(&event_loop, 3);
        transport.abort();
        turns(&event_loop, 3);
        let ended = trace.take();
        let expected: &[_] = match deed {
            3 => &["made", "lost: Broken pipe (os error 32)"],
            _ => &["made", "lost"],
        };
        assert_eq!(ended, expected);
    }
    assert_eq!(told.take(), ["protocol.connection_made() failed: oops 1"]);
    assert_nothing_left(&event_loop);
}

fn cc10_cancelled_at_any_point_nothing_is_left() {
    // FAULTS W-13, A-08
    let (_server, addr) = listener();
    let (_full, _filled, silent) = blackhole();
    let ways: [fn(&EventLoopHandle, [SocketAddr; 2]) -> rondel::Task<Result<()>>; 4] = [
        |event_loop, [addr, _]| {
            let connecting = event_loop.create_connection(|| Silent, addr);
            event_loop.create_task(async { connecting.await.map(|made| made.0.abort()) }).unwrap()
        },
        |event_loop, [_, silent]| {
            let connecting = event_loop.create_connection(|| Silent, [silent, silent, silent]);
            event_loop.create_task(async { connecting.await.map(|made| made.0.abort()) }).unwrap()
        },
        |event_loop, _| {
            let connecting = event_loop.create_connection_with_sock(|| Silent, pair().0);
            event_loop.create_task(async { connecting.await.map(|made| made.0.abort()) }).unwrap()
        },
        |event_loop, [addr, silent]| {
            let connecting = event_loop.open_connection([silent, addr]);
            event_loop.create_task(async { connecting.await.map(drop) }).unwrap()
        },
    ];
    for way in ways {
        for aborts in [false, true] {
            for steps in 0..8 {
                let (event_loop, clock) = manual_with(small());
                let task = way(&event_loop, [addr, silent]);
                for _ in 0..steps {
                    turns(&event_loop, 1);
                    clock.advance(Duration::from_millis(100));
                }
                if aborts {
                    task.abort();
                } else {
                    task.cancel();
                }
                drop(task);
                turns(&event_loop, 6);
                assert_nothing_left(&event_loop);
                assert_eq!(event_loop.statistics().timers, 0);
            }
        }
    }
}

fn cc10_a_full_table_refuses_and_closes() {
    let (_server, addr) = listener();
    let (_full, _filled, silent) = blackhole();
    // Descriptors, then calls.
    for config in [Config { descriptors: 0, ..small() }, Config { calls: 0, ..small() }] {
        let event_loop = manual_with(config).0;
        for addr in [addr, silent] {
            let error =
                event_loop.run_until_complete(event_loop.create_connection(|| Silent, addr)).unwrap_err();
            assert!(error.is_full(), "{error}");
            let error =
                event_loop.run_until_complete(event_loop.create_connection_with_sock(|| Silent, pair().0));
            assert!(error.unwrap_err().is_full());
        }
        assert_nothing_left(&event_loop);
    }
}

fn cc10_a_socket_that_was_passed_in_is_closed_on_every_way() {
    let is_closed = |mut peer: UnixStream| matches!(peer.read(&mut [0]), Ok(0));
    let event_loop = manual();
    // Never awaited.
    let (ours, peer) = pair();
    drop(event_loop.create_connection_with_sock(|| Silent, ours));
    assert!(is_closed(peer));
    // Awaited, and never polled.
    let (ours, peer) = pair();
    drop(event_loop.create_connection_with_sock(|| Silent, ours).into_future());
    assert!(is_closed(peer));
    // The loop is closed before.
    let (ours, peer) = pair();
    let closed = manual();
    let connecting = closed.create_connection_with_sock(|| Silent, ours);
    closed.close().unwrap();
    let error = event_loop.run_until_complete(connecting).map(drop).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Closed | ErrorKind::Io), "{error}");
    assert!(is_closed(peer));
    // The factory panics.
    let _told = reports(&event_loop);
    let (ours, peer) = pair();
    let connecting = event_loop.create_connection_with_sock(|| -> Silent { panic!("no protocol") }, ours);
    let ended = crate::fixture::quietly(|| event_loop.run_until_complete(connecting)).map(drop);
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Panicked);
    assert!(is_closed(peer));
    assert_nothing_left(&event_loop);
}

fn cc11_nodelay_is_on() {
    run(manual(), async |event_loop| {
        let servers = [listener().0].into_iter().chain(TcpListener::bind((Ipv6Addr::LOCALHOST, 0)));
        for server in servers {
            let (transport, _) = event_loop.create_connection(|| Silent, server.local_addr()?).await?;
            assert!(transport.socket_options()?.nodelay()?);
            transport.abort();
            let (_reader, writer) = event_loop.open_connection(server.local_addr()?).await?;
            assert!(writer.socket_options()?.nodelay()?);
        }
        Ok(())
    });
}

fn ca1_an_accepted_socket_is_taken_over_and_made_nonblocking() {
    run(manual(), async |event_loop| {
        let (server, addr) = listener();
        let trace = Trace::new();
        let client = TcpStream::connect(addr)?;
        let (accepted, peer) = server.accept()?;
        let looks = accepted.try_clone()?;
        let probe = Probe::quiet(&trace);
        let (transport, _) = event_loop.connect_accepted_socket(|| probe, accepted).await?;
        assert_eq!(transport.peer_addr().as_inet(), Some(peer));
        assert_eq!((&looks).read(&mut [0]).unwrap_err().kind(), Kind::WouldBlock);
        transport.close();
        event_loop.yield_now().await?;
        event_loop.yield_now().await?;
        assert_eq!(trace.take(), ["made", "lost"]);
        drop((client, looks));
        let socket = UdpSocket::bind(any_port())?;
        let refused = event_loop.connect_accepted_socket(|| Silent, socket).await.unwrap_err();
        assert_eq!(io_kind(&refused), Kind::InvalidInput);
        let directory = std::env::temp_dir().join(format!("rondel-ca1-{}", std::process::id()));
        let server = UnixListener::bind(&directory)?;
        let client = UnixStream::connect(&directory)?;
        std::fs::remove_file(&directory)?;
        let (transport, _) = event_loop.connect_accepted_socket(|| Silent, server.accept()?.0).await?;
        assert!(matches!(transport.peer_addr(), Address::Unix(_)));
        transport.abort();
        drop(client);
        Ok(())
    });
}

fn a06_a_connection_to_itself_is_refused_and_its_port_is_free() {
    run(manual(), async |event_loop| {
        let addr = nobody();
        let never = || -> Silent { unreachable!("there is no connection") };
        for _ in 0..3 {
            let error = event_loop.create_connection(never, addr).local_addr(addr).await.unwrap_err();
            assert_eq!(io_kind(&error), Kind::ConnectionRefused, "{error}");
            let error = event_loop.open_connection(addr).local_addr(addr).await.unwrap_err();
            assert_eq!(io_kind(&error), Kind::ConnectionRefused, "{error}");
        }
        // Bound without the option that overlooks lingering connections.
        let socket = event_loop.stream_socket(addr)?;
        let raw = libc::sockaddr_in {
            sin_family: libc::AF_INET as _,
            sin_port: addr.port().to_be(),
            sin_addr: libc::in_addr { s_addr: u32::from(Ipv4Addr::LOCALHOST).to_be() },
            sin_zero: [0; 8],
        };
        let size = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        let fd = socket.into_inner();
        // SAFETY: a valid address and its length.
        let bound = unsafe { libc::bind(fd.as_raw_fd(), (&raw const raw).cast(), size) };
        assert_eq!(bound, 0, "{}", std::io::Error::last_os_error());
        Ok(())
    });
}

fn a07_an_address_that_is_not_available_works_again_later() {
    let (event_loop, _clock, faults) = EventLoop::with_faults(small()).unwrap();
    run(event_loop, async move |event_loop| {
        let (_server, addr) = listener();
        faults.fail(Operation::Connect, libc::EADDRNOTAVAIL);
        let error = event_loop.create_connection(|| Silent, addr).await.unwrap_err();
        assert_eq!(io_kind(&error), Kind::AddrNotAvailable);
        event_loop.create_connection(|| Silent, addr).await?.0.abort();
        Ok(())
    });
}

fn a08_the_systems_errors_arrive_as_they_are() {
    let (event_loop, _clock, faults) = EventLoop::with_faults(small()).unwrap();
    run(event_loop, async move |event_loop| {
        let (_server, addr) = listener();
        for errno in
            [libc::ENETUNREACH, libc::EHOSTUNREACH, libc::ECONNREFUSED, libc::EACCES, libc::ECONNRESET]
        {
            for operation in [Operation::Connect, Operation::Socket] {
                faults.fail(operation, errno);
                let error = event_loop.create_connection(|| Silent, addr).await.unwrap_err();
                assert_eq!(attempts(&error)[0].1.raw_os_error(), Some(errno));
                // The next address is tried all the same.
                faults.fail(operation, errno);
                event_loop.create_connection(|| Silent, [addr, addr]).await?.0.abort();
            }
        }
        // No room in the kernel's table of watched descriptors.
        for operation in [Operation::Register, Operation::Reregister] {
            faults.fail(operation, libc::ENOSPC);
            let connected = event_loop.create_connection(|| Silent, addr).await;
            assert!(connected.is_err(), "{operation:?}");
        }
        Ok(())
    });
}

fn a08_a_connect_that_nobody_answers_ends_by_a_timeout() {
    let (event_loop, clock) = manual_with(small());
    run(event_loop, async move |event_loop| {
        let (_full, _filled, silent) = blackhole();
        let connecting = event_loop.create_connection(|| Silent, [silent, silent]);
        let ended = event_loop.timeout(Duration::from_secs(7), connecting.into_future()).await;
        assert!(matches!(ended, Err(rondel::TimeoutError::TimedOut)));
        assert_eq!(clock.now().as_nanos(), 7_000_000_000);
        Ok(())
    });
}

fn happy_eyeballs_begins_the_next_attempt_after_the_delay() {
    let (event_loop, clock) = manual_with(small());
    run(event_loop, async move |event_loop| {
        let (_full, _filled, silent) = blackhole();
        let (server, addr) = listener();
        let connecting = event_loop.create_connection(|| Silent, [silent, silent, addr]);
        let connecting = connecting.happy_eyeballs_delay(Some(Duration::from_millis(300)));
        let (transport, _) = connecting.await?;
        assert_eq!(transport.peer_addr().as_inet(), Some(addr));
        assert_eq!(clock.now().as_nanos(), 600_000_000, "a delay for each attempt before");
        assert_eq!(event_loop.watched_descriptors(), 1, "the losers are gone");
        let _accepted = server.accept()?;
        transport.close();
        // A quarter of a second at first.
        let (transport, _) = event_loop.create_connection(|| Silent, [silent, addr]).await?;
        assert_eq!(clock.now().as_nanos(), 850_000_000);
        transport.close();
        Ok(())
    });
}

fn happy_eyeballs_goes_on_at_once_when_the_last_attempt_fails() {
    let (event_loop, clock) = manual_with(small());
    run(event_loop, async move |event_loop| {
        let (_full, _filled, silent) = blackhole();
        let (_server, addr) = listener();
        let addrs = [silent, nobody(), nobody(), addr];
        let (transport, _) = event_loop.create_connection(|| Silent, addrs).await?;
        assert_eq!(transport.peer_addr().as_inet(), Some(addr));
        assert_eq!(clock.now().as_nanos(), 250_000_000, "one delay, for the silent one");
        transport.close();
        Ok(())
    });
}

fn happy_eyeballs_lets_the_families_take_turns() {
    // RFC 8305, section 4
    let v4 = |n| SocketAddr::from((Ipv4Addr::LOCALHOST, n));
    let v6 = |n| SocketAddr::from((Ipv6Addr::LOCALHOST, n));
    let addrs = [v6(1), v6(2), v6(3), v4(4), v4(5)];
    for (interleave, order) in
        [(0, [1, 2, 3, 4, 5]), (1, [1, 4, 2, 5, 3]), (2, [1, 2, 4, 3, 5]), (9, [1, 2, 3, 4, 5])]
    {
        let (event_loop, _clock, faults) = EventLoop::with_faults(small()).unwrap();
        run(event_loop, async move |event_loop| {
            for _ in 0..addrs.len() {
                faults.fail(Operation::Socket, libc::EAFNOSUPPORT);
            }
            let connecting = event_loop.create_connection(|| Silent, addrs).interleave(interleave);
            let error = connecting.await.unwrap_err();
            let tried: Vec<_> = attempts(&error).iter().map(|(addr, _)| addr.port()).collect();
            assert_eq!(tried, order);
            Ok(())
        });
    }
}

fn without_happy_eyeballs_an_attempt_waits_for_the_one_before() {
    let (event_loop, clock) = manual_with(small());
    run(event_loop, async move |event_loop| {
        let (_full, _filled, silent) = blackhole();
        let (server, addr) = listener();
        let connecting = event_loop.create_connection(|| Silent, [silent, addr]).happy_eyeballs_delay(None);
        let ended = event_loop.timeout(Duration::from_secs(60), connecting.into_future()).await;
        assert!(matches!(ended, Err(rondel::TimeoutError::TimedOut)));
        assert_eq!(clock.now().as_nanos(), 60_000_000_000);
        server.set_nonblocking(true)?;
        assert_eq!(server.accept().unwrap_err().kind(), Kind::WouldBlock);
        Ok(())
    });
}

fn w12_a_cancellation_beside_the_end_closes_the_connection() {
    let event_loop = manual();
    let trace = Trace::new();
    let (ours, mut peer) = pair();
    let task = Rc::new(RefCell::new(None::<rondel::Task<Result<()>>>));
    let (cancels, counter) = (Rc::clone(&task), Counter::new());
    let counted = counter.clone();
    let probe = Probe::new(&trace, move |told, _| {
        if matches!(told, Told::Made)
            && let Some(task) = &*cancels.borrow()
        {
            // The call is about to return.
            task.cancel();
            counted.add();
        }
        Ok(AfterEof::Close)
    });
    let connecting = event_loop.create_connection_with_sock(|| probe, ours);
    let connects = event_loop.create_task(async { connecting.await.map(drop) }).unwrap();
    task.replace(Some(connects.clone()));
    until(&event_loop, || connects.done());
    assert!(connects.cancelled() && counter.get() == 1);
    turns(&event_loop, 3);
    assert_eq!(trace.take(), ["made", "lost"]);
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    task.take();
    drop(connects);
    assert_nothing_left(&event_loop);
}

#[test]
fn proto_and_flags_reach_the_socket_and_the_look_up() {
    let event_loop = real();
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async {
            let numeric = AddrInfoFlags::NUMERIC_HOST;
            let server = handle.start_server("127.0.0.1:0", async |_, _| ()).flags(numeric).await?;
            let port = server.local_addr().port();
            let connect = |host: &'static str| handle.open_connection((host, port)).flags(numeric);
            let _connected = connect("127.0.0.1").proto(libc::IPPROTO_TCP).await?;
            let named = connect("localhost").await.unwrap_err();
            assert_eq!(named.kind(), ErrorKind::NameResolution);
            let foreign = connect("127.0.0.1").proto(libc::IPPROTO_UDP).await;
            assert!(foreign.is_err(), "a stream is no protocol of datagrams");
            let endpoint = handle.create_datagram_endpoint(|| Silent).flags(numeric);
            let named = endpoint.local_addr(("localhost", 0)).await.unwrap_err();
            assert_eq!(named.kind(), ErrorKind::NameResolution);
            let endpoint = handle.create_datagram_endpoint(|| Silent).proto(libc::IPPROTO_UDP);
            endpoint.local_addr(("127.0.0.1", 0)).await?;
            let foreign = handle.create_datagram_endpoint(|| Silent).proto(libc::IPPROTO_TCP);
            assert!(foreign.local_addr((Ipv4Addr::LOCALHOST, 0)).await.is_err());
            Ok::<(), Error>(())
        })
        .unwrap();
}

//! Where a server listens: SV-1 to SV-4.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::io::ErrorKind as Kind;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;

use rondel::{ErrorKind, EventLoop, Operation, Server};

use super::{Hall, knock};
use crate::fixture::{any_port, end, own_descriptors, run_with_faults, scenarios, settle, small};
use crate::protocols::Silent;

scenarios! {
    a_socket_from_elsewhere_serves_and_one_of_another_kind_is_closed
    a_list_of_addresses_gets_a_socket_each_and_the_same_one_once
    one_port_serves_both_families
    an_address_that_this_machine_does_not_have_is_skipped_unless_no_other_is_left
    a_failed_bind_closes_every_socket_and_names_the_address
    a_port_is_shared_on_request_only
    an_address_may_be_borrowed_from_something_that_ends_before_the_call_does
    a_server_on_a_kernel_without_descriptors_is_refused
}

fn inet(server: &Server) -> Vec<SocketAddr> {
    server.sockets().iter().map(|addr| addr.as_inet().unwrap()).collect()
}

fn a_socket_from_elsewhere_serves_and_one_of_another_kind_is_closed() {
    // SV-1
    run_with_faults(async |event_loop, _| {
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

fn a_list_of_addresses_gets_a_socket_each_and_the_same_one_once() {
    // SV-2, SV-3
    run_with_faults(async |event_loop, _| {
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
    run_with_faults(async |event_loop, _| {
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

fn one_port_serves_both_families() {
    // SV-3
    run_with_faults(async |event_loop, _| {
        // The port may be taken in the other family, by somebody else.
        for _ in 0..20 {
            let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
            let Ok(taken) = TcpListener::bind(v6) else { return Ok(()) };
            let port = taken.local_addr()?.port();
            drop(taken);
            let both = [(IpAddr::from(Ipv6Addr::UNSPECIFIED), port), (Ipv4Addr::UNSPECIFIED.into(), port)];
            let both = both.map(SocketAddr::from);
            let server = match event_loop.create_server(|| Silent, both).await {
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

fn an_address_that_this_machine_does_not_have_is_skipped_unless_no_other_is_left() {
    // SV-4, FAULTS A-11
    run_with_faults(async |event_loop, faults| {
        let here = any_port();
        let nowhere = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 0));
        let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
        // There is no such family.
        for errno in [libc::EAFNOSUPPORT, libc::EPFNOSUPPORT, libc::EPROTONOSUPPORT] {
            faults.fail(Operation::Socket, errno);
            let server = event_loop.create_server(|| Silent, [v6, here]).await?;
            assert_eq!(inet(&server).len(), 1);
            end(&server).await?;
            faults.fail(Operation::Socket, errno);
            let failed = event_loop.create_server(|| Silent, v6).await.unwrap_err();
            assert!(failed.to_string().contains("[::1]:0: "), "{failed}");
        }
        // The loopback of IPv6 is disabled.
        faults.fail(Operation::Bind, libc::EADDRNOTAVAIL);
        let server = event_loop.create_server(|| Silent, [v6, here]).await?;
        assert_eq!(inet(&server), [server.local_addr()]);
        let client = knock(&server);
        settle(&event_loop).await;
        assert_eq!(server.connections(), 1, "IPv4 is served");
        drop(client);
        end(&server).await?;
        let server = event_loop.create_server(|| Silent, [nowhere, here]).await?;
        assert_eq!(inet(&server).len(), 1);
        end(&server).await?;
        let failed = event_loop.create_server(|| Silent, [nowhere]).await.unwrap_err();
        assert_eq!(failed.as_io().unwrap().kind(), Kind::AddrNotAvailable);
        assert!(failed.to_string().starts_with("create_server: 192.0.2.1:0: "), "{failed}");
        // A scope that does not exist is an error, and no other address hides it.
        let scoped: SocketAddr = "[fe80::1%4000000]:0".parse()?;
        let failed = event_loop.create_server(|| Silent, [here, scoped]).await.unwrap_err();
        assert!(failed.to_string().contains("fe80::1%4000000"), "{failed}");
        Ok(())
    });
}

fn a_failed_bind_closes_every_socket_and_names_the_address() {
    // SV-5
    run_with_faults(async |event_loop, faults| {
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
            let before = own_descriptors();
            let addrs =
                if errno.is_some() { [any_port(), (Ipv4Addr::new(127, 0, 0, 3), 0).into()] } else { addrs };
            let failed = event_loop.create_server(|| Silent, addrs).await.unwrap_err();
            assert_eq!(failed.as_io().unwrap().kind(), kind, "{operation:?}");
            faults.heal(operation);
            assert!(failed.to_string().contains(&addrs[1].ip().to_string()), "{failed}");
            assert_eq!((event_loop.watched_descriptors(), own_descriptors()), (0, before));
        }
        Ok(())
    });
}

fn a_port_is_shared_on_request_only() {
    // SV-6
    run_with_faults(async |event_loop, _| {
        let first = event_loop.create_server(|| Silent, any_port()).reuse_port(true).await?;
        let addr = first.local_addr();
        let second = event_loop.create_server(|| Silent, addr).reuse_port(true).await?;
        assert_eq!(second.local_addr(), addr);
        let third = event_loop.create_server(|| Silent, addr).await.unwrap_err();
        assert_eq!(third.as_io().unwrap().kind(), Kind::AddrInUse);
        end(&first).await?;
        end(&second).await
    });
}

fn an_address_may_be_borrowed_from_something_that_ends_before_the_call_does() {
    // SV-1
    run_with_faults(async |event_loop, _| {
        let server = {
            let (host, addrs) = ("127.0.0.1".to_owned(), vec![any_port()]);
            end(&event_loop.create_server(|| Silent, addrs.as_slice()).await?).await?;
            let by_name = event_loop.create_server(|| Silent, (host.as_str(), 0));
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

fn a_server_on_a_kernel_without_descriptors_is_refused() {
    let event_loop = EventLoop::without_descriptors(small()).unwrap();
    let refused = event_loop.run_until_complete(event_loop.create_server(|| Silent, any_port())).unwrap_err();
    assert!(refused.to_string().contains("no descriptors"), "{refused}");
    let listener = TcpListener::bind(any_port()).unwrap();
    let addr = listener.local_addr().unwrap();
    let server = event_loop.create_server_with_sock(|| Silent, listener);
    assert!(event_loop.run_until_complete(server).is_err());
    assert!(TcpStream::connect(addr).is_err(), "the socket is closed");
}

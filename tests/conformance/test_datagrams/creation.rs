//! How an endpoint comes to be: DG-1 to DG-4.

use core::net::{Ipv4Addr, SocketAddr};
use core::task::{Context, Poll, Waker};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;

use rondel::{Config, Operation};

use super::{
    Bare, Recorder, bound, inet, kind_of, libc_errno, pass, peer_socket, received, run, run_with,
    run_with_faults,
};
use crate::fixture::{Counter, any_port, scenarios, small};

scenarios! {
    dg1_a_socket_from_elsewhere_has_to_be_one_of_datagrams
    dg1_a_connected_socket_from_elsewhere_knows_its_peer
    dg2_without_an_address_there_has_to_be_a_family
    dg3_addresses_are_paired_by_family_and_tried_in_order
    dg4_port_reuse_and_broadcast_are_set_before_the_address
    dg4_a_broadcast_endpoint_with_a_remote_address_hears_everybody
    dg3_a_socket_that_fails_half_way_is_closed
    cancelling_the_creation_closes_the_socket
    full_tables_refuse_an_endpoint_and_close_its_socket
    the_owner_of_a_descriptor_is_named
    multicast_groups_are_joined_and_left
}

fn dg1_a_socket_from_elsewhere_has_to_be_one_of_datagrams() {
    run(async |event_loop, trace| {
        let (stream, _other) = UnixStream::pair()?;
        let refused = event_loop.create_datagram_endpoint_with_sock(|| Bare, stream).await.unwrap_err();
        assert!(refused.to_string().contains("create_datagram_endpoint: not a datagram socket"), "{refused}");
        let socket = UdpSocket::bind(any_port())?;
        let addr = socket.local_addr()?;
        let recorder = Recorder::new(&trace);
        let (transport, _) = event_loop.create_datagram_endpoint_with_sock(|| recorder, socket).await?;
        assert_eq!((inet(transport.local_addr()), transport.peer_addr()), (addr, None));
        peer_socket().0.send_to(b"hello", addr)?;
        pass(&event_loop, 2).await?;
        transport.close();
        pass(&event_loop, 2).await?;
        assert_eq!(trace.take(), ["made", "got hello", "lost"]);
        Ok(())
    });
}

fn dg1_a_connected_socket_from_elsewhere_knows_its_peer() {
    run(async |event_loop, _| {
        let (peer, addr) = peer_socket();
        let socket = UdpSocket::bind(any_port())?;
        socket.connect(addr)?;
        let (transport, _) = event_loop.create_datagram_endpoint_with_sock(|| Bare, socket).await?;
        assert_eq!(transport.peer_addr(), Some(&addr.into()));
        transport.send(b"hello")?;
        assert_eq!(received(&peer), ["hello"]);
        transport.close();
        Ok(())
    });
}

fn dg2_without_an_address_there_has_to_be_a_family() {
    run(async |event_loop, _| {
        let refused = event_loop.create_datagram_endpoint(|| Bare).await.unwrap_err();
        assert_eq!(kind_of(&refused), "InvalidInput", "{refused}");
        for is_ipv4 in [true, false] {
            let endpoint = event_loop.create_datagram_endpoint(|| Bare);
            let endpoint = if is_ipv4 { endpoint.ipv4_only() } else { endpoint.ipv6_only() };
            let (transport, _) = endpoint.await?;
            let addr = inet(transport.local_addr());
            assert_eq!((addr.is_ipv4(), addr.port()), (is_ipv4, 0), "not bound");
            transport.close();
        }
        let (transport, _) = event_loop.create_datagram_endpoint(|| Bare).ipv4_only().await?;
        let (peer, addr) = peer_socket();
        transport.sendto(b"hello", &addr.into())?;
        assert_eq!(received(&peer), ["hello"]);
        assert_ne!(inet(transport.local_addr()).port(), 0, "the first datagram chose a port");
        transport.close();
        Ok(())
    });
}

fn dg3_addresses_are_paired_by_family_and_tried_in_order() {
    run(async |event_loop, _| {
        let (_taken, taken) = peer_socket();
        let v6: SocketAddr = "[::1]:0".parse()?;
        let make = || event_loop.create_datagram_endpoint(|| Bare);
        // No pair.
        let refused = make().local_addr(any_port()).remote_addr(v6).await.unwrap_err();
        assert_eq!(kind_of(&refused), "InvalidInput", "{refused}");
        let refused = make().local_addr(any_port()).ipv6_only().await.unwrap_err();
        assert_eq!(kind_of(&refused), "InvalidInput", "{refused}");
        // The first that works.
        let (transport, _) = make().local_addr([taken, any_port()]).await?;
        assert_ne!(inet(transport.local_addr()), taken);
        transport.close();
        // The first error, if none does.
        let nowhere: SocketAddr = "192.0.2.1:0".parse()?;
        let refused = make().local_addr([taken, nowhere]).await.unwrap_err();
        assert_eq!(kind_of(&refused), "AddrInUse", "{refused}");
        assert!(refused.to_string().contains(&taken.to_string()), "{refused}");
        // A text needs no resolver if it is an address.
        let (transport, _) =
            make().local_addr("127.0.0.1:0").remote_addr(("127.0.0.1", taken.port())).await?;
        assert_eq!(transport.peer_addr(), Some(&taken.into()));
        transport.close();
        Ok(())
    });
}

fn dg4_port_reuse_and_broadcast_are_set_before_the_address() {
    run(async |event_loop, _| {
        let make = || event_loop.create_datagram_endpoint(|| Bare);
        let (first, _) = make().local_addr(any_port()).reuse_port(true).await?;
        let addr = inet(first.local_addr());
        let (second, _) = make().local_addr(addr).reuse_port(true).allow_broadcast(true).await?;
        assert_eq!(inet(second.local_addr()), addr);
        let refused = make().local_addr(addr).await.unwrap_err();
        assert_eq!(kind_of(&refused), "AddrInUse");
        assert!(!first.socket_options()?.broadcast()? && second.socket_options()?.broadcast()?);
        first.socket_options()?.set_broadcast(true)?;
        assert!(first.socket_options()?.broadcast()?);
        first.close();
        second.abort();
        Ok(())
    });
}

fn dg4_a_broadcast_endpoint_with_a_remote_address_hears_everybody() {
    run(async |event_loop, trace| {
        let (peer, addr) = peer_socket();
        let recorder = Recorder::new(&trace);
        let endpoint = event_loop.create_datagram_endpoint(|| recorder).local_addr(any_port());
        let (transport, _) = endpoint.remote_addr(addr).allow_broadcast(true).await?;
        transport.send(b"anybody?")?;
        assert_eq!(received(&peer), ["anybody?"]);
        peer_socket().0.send_to(b"I am", inet(transport.local_addr()))?;
        pass(&event_loop, 2).await?;
        assert_eq!(trace.take(), ["made", "got I am"]);
        assert_eq!(transport.peer_addr(), Some(&addr.into()));
        transport.close();
        Ok(())
    });
}

fn dg3_a_socket_that_fails_half_way_is_closed() {
    use Operation::{Bind, Connect, Register, SetOption, Socket};

    run_with_faults(async |event_loop, _, faults| {
        let (_peer, addr) = peer_socket();
        for operation in [Socket, SetOption, Bind, Connect, Register] {
            faults.fail(operation, libc_errno::ENOMEM);
            let endpoint = event_loop.create_datagram_endpoint(|| Bare).local_addr(any_port());
            let refused = endpoint.remote_addr(addr).reuse_port(true).await.unwrap_err();
            assert_eq!(kind_of(&refused), "OutOfMemory", "{operation:?}: {refused}");
        }
        Ok(())
    });
}

fn cancelling_the_creation_closes_the_socket() {
    run(async |event_loop, trace| {
        let recorder = Recorder::new(&trace);
        let mut creation =
            event_loop.create_datagram_endpoint(|| recorder).local_addr(any_port()).into_future();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(creation.as_mut().poll(&mut cx), Poll::Pending));
        assert_eq!(event_loop.watched_descriptors(), 1);
        drop(creation);
        pass(&event_loop, 3).await?;
        assert_eq!(
            (event_loop.watched_descriptors(), trace.take()),
            (0, vec!["made".to_owned(), "lost".to_owned()])
        );
        Ok(())
    });
}

fn full_tables_refuse_an_endpoint_and_close_its_socket() {
    for config in [Config { descriptors: 0, ..small() }, Config { futures: 0, ..small() }] {
        run_with(config, async |event_loop, _| {
            let before = Counter::new();
            let counted = before.clone();
            let factory = move || {
                counted.add();
                Bare
            };
            let refused = event_loop.create_datagram_endpoint(factory).ipv4_only().await.unwrap_err();
            assert!(refused.is_full(), "{refused}");
            Ok(())
        });
    }
}

fn the_owner_of_a_descriptor_is_named() {
    use std::os::fd::BorrowedFd;

    run(async |event_loop, trace| {
        let (transport, _) = bound(&event_loop, Recorder::new(&trace)).await?;
        let text = format!("{transport:?}");
        let number = text.split("fd=").nth(1).and_then(|rest| rest.split(',').next()).unwrap();
        // SAFETY: open for as long as the endpoint is.
        let borrowed = unsafe { BorrowedFd::borrow_raw(number.parse()?) };
        let refused = event_loop.add_reader(borrowed, |_| ()).unwrap_err();
        assert!(refused.to_string().contains("in use by a datagram endpoint"), "{refused}");
        transport.close();
        Ok(())
    });
}

fn multicast_groups_are_joined_and_left() {
    run(async |event_loop, trace| {
        let (transport, _) = bound(&event_loop, Recorder::new(&trace)).await?;
        let options = transport.socket_options()?;
        let (group, loopback) = (Ipv4Addr::new(239, 1, 2, 3).into(), 1);
        options.set_multicast_ttl(3)?;
        options.set_multicast_loop(false)?;
        options.join_multicast(group, loopback)?;
        assert_eq!(kind_of(&options.join_multicast(group, loopback).unwrap_err()), "AddrInUse");
        options.leave_multicast(group, loopback)?;
        assert_eq!(kind_of(&options.leave_multicast(group, loopback).unwrap_err()), "AddrNotAvailable");
        assert!(options.join_multicast(Ipv4Addr::LOCALHOST.into(), loopback).is_err());
        transport.close();
        Ok(())
    });
}

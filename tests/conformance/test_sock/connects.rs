//! Connecting and accepting: SK-4 to SK-6.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::io::{ErrorKind as Kind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixListener;
use std::rc::Rc;

use rondel::{Address, Error, ErrorKind, NonBlocking, UnixAddr};

use super::{bind_to, full_listener, io_kind, listen, run, waiting};
use crate::fixture::{any_port, scenarios};

scenarios! {
    sk4_a_connection_in_progress_is_waited_for_and_its_error_is_the_sockets
    sk4_a_socket_that_was_refused_can_try_again
    sk4_connect_to_a_unix_path_and_to_an_abstract_name
    sk5_a_name_is_resolved_for_the_family_and_kind_of_the_socket
    sk6_accept_gives_a_nonblocking_connection_and_the_peers_address
    a06_a_socket_that_meets_itself_is_refused_and_its_port_is_free
    a08_a_refused_connection_is_an_error_and_the_loop_has_nothing_left
    a08_a_timeout_ends_a_connect_that_nobody_answers
    u01_an_unreachable_datagram_is_an_error_once
}

fn sk4_a_connection_in_progress_is_waited_for_and_its_error_is_the_sockets() {
    run(async |event_loop| {
        for addr in [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), SocketAddr::from((Ipv6Addr::LOCALHOST, 0))] {
            let Ok(listener) = TcpListener::bind(addr) else { continue };
            let addr = listener.local_addr()?;
            let socket = event_loop.stream_socket(addr)?;
            event_loop.sock_connect(&socket, addr).await?;
            let (mut accepted, peer) = listener.accept()?;
            let stream = TcpStream::from(socket.into_inner());
            assert_eq!((stream.peer_addr()?, stream.local_addr()?), (addr, peer));
            let stream = NonBlocking::new(stream)?;
            accepted.write_all(b"hello")?;
            assert_eq!(event_loop.sock_recv(&stream, 10).await?, b"hello");
            // Connected already: the system's own error.
            let accepted = NonBlocking::new(accepted)?;
            let again = event_loop.sock_connect(&accepted, addr).await.unwrap_err();
            assert_eq!(again.as_io().unwrap().raw_os_error(), Some(106), "EISCONN: {again}");
            drop(listener);
            let socket = event_loop.stream_socket(addr)?;
            let refused = event_loop.sock_connect(&socket, addr).await.unwrap_err();
            assert_eq!(io_kind(&refused), Kind::ConnectionRefused);
            assert!(refused.to_string().starts_with("sock_connect: "), "{refused}");
        }
        Ok(())
    });
}

fn sk4_a_socket_that_was_refused_can_try_again() {
    run(async |event_loop| {
        let holder = event_loop.stream_socket(any_port())?;
        let addr = bind_to(&holder, 0);
        let socket = event_loop.stream_socket(addr)?;
        for _ in 0..3 {
            let refused = event_loop.sock_connect(&socket, addr).await.unwrap_err();
            assert_eq!(io_kind(&refused), Kind::ConnectionRefused);
        }
        assert_eq!(event_loop.watched_descriptors(), 1, "registered before the next attempt");
        // SAFETY: no pointers.
        assert_eq!(unsafe { listen(holder.as_fd().as_raw_fd(), 1) }, 0);
        event_loop.sock_connect(&socket, addr).await?;
        let (accepted, _) = event_loop.sock_accept(&holder).await?;
        event_loop.sock_sendall(&accepted, b"hello").await?;
        assert_eq!(event_loop.sock_recv(&socket, 10).await?, b"hello");
        Ok(())
    });
}

fn sk4_connect_to_a_unix_path_and_to_an_abstract_name() {
    run(async |event_loop| {
        let path = std::env::temp_dir().join(format!("rondel-sk4-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = NonBlocking::new(UnixListener::bind(&path)?)?;
        let addr = UnixAddr::from_path(&path).unwrap();
        let socket = event_loop.stream_socket(addr.clone())?;
        event_loop.sock_connect(&socket, addr.clone()).await?;
        let (accepted, peer) = event_loop.sock_accept(&listener).await?;
        assert!(peer.as_unix().unwrap().is_unnamed());
        event_loop.sock_sendall(&accepted, b"hello").await?;
        assert_eq!(event_loop.sock_recv(&socket, 10).await?, b"hello");
        std::fs::remove_file(&path)?;
        let socket = event_loop.stream_socket(addr.clone())?;
        let refused = event_loop.sock_connect(&socket, addr).await.unwrap_err();
        assert_eq!(io_kind(&refused), Kind::NotFound);
        let nobody = UnixAddr::from_abstract_name(path.to_str().unwrap()).unwrap();
        let refused = event_loop.sock_connect(&socket, nobody).await.unwrap_err();
        assert_eq!(io_kind(&refused), Kind::ConnectionRefused);
        Ok(())
    });
}

fn sk5_a_name_is_resolved_for_the_family_and_kind_of_the_socket() {
    run(async |event_loop| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let text = format!("localhost:{port}");
        // Of "localhost", the address that an IPv4 socket can connect to.
        let socket = event_loop.stream_socket(any_port())?;
        event_loop.sock_connect(&socket, ("localhost", port)).await?;
        assert_eq!(listener.accept()?.1.ip(), Ipv4Addr::LOCALHOST);
        for literal in ["127.0.0.1", "localhost"] {
            let socket = event_loop.stream_socket(any_port())?;
            event_loop.sock_connect(&socket, format!("{literal}:{port}")).await?;
            listener.accept()?;
        }
        // A datagram socket takes the same name, and any port answers.
        let socket = event_loop.datagram_socket(any_port())?;
        event_loop.sock_connect(&socket, &*text).await?;
        let socket = event_loop.stream_socket(SocketAddr::from((Ipv6Addr::LOCALHOST, 0)))?;
        let refused = event_loop.sock_connect(&socket, "127.0.0.1:1").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NameResolution, "{refused}");
        let refused = event_loop.sock_connect(&socket, ("", 1)).await.unwrap_err();
        assert!(refused.to_string().starts_with("sock_connect: "), "{refused}");
        Ok(())
    });
}

fn sk6_accept_gives_a_nonblocking_connection_and_the_peers_address() {
    run(async |event_loop| {
        let listener = Rc::new(NonBlocking::new(TcpListener::bind(any_port())?)?);
        let addr = listener.get_ref().local_addr()?;
        let (handle, shared) = (event_loop.clone(), Rc::clone(&listener));
        let first = waiting(&event_loop, async move { handle.sock_accept(&shared).await }).await;
        let clients = [TcpStream::connect(addr)?, TcpStream::connect(addr)?, TcpStream::connect(addr)?];
        let (one, from) = first.await??;
        assert_eq!(from, Address::from(clients[0].local_addr()?));
        // The others wait in the backlog, and no event comes for them.
        let (two, from) = event_loop.sock_accept(&listener).await?;
        assert_eq!(from, Address::from(clients[1].local_addr()?));
        let (three, _) = event_loop.sock_accept(&listener).await?;
        let three = TcpStream::from(three.into_inner());
        assert_eq!((&three).read(&mut [0]).unwrap_err().kind(), Kind::WouldBlock);
        event_loop.sock_sendall(&two, b"hello").await?;
        let mut got = [0; 5];
        { &clients[1] }.read_exact(&mut got)?;
        drop(one);
        assert_eq!({ &clients[0] }.read(&mut got)?, 0, "closed with its wrapper");
        Ok(())
    });
}

fn a06_a_socket_that_meets_itself_is_refused_and_its_port_is_free() {
    run(async |event_loop| {
        let socket = event_loop.stream_socket(any_port())?;
        let addr = bind_to(&socket, 0);
        let refused = event_loop.sock_connect(&socket, addr).await.unwrap_err();
        assert_eq!(io_kind(&refused), Kind::ConnectionRefused, "{refused}");
        drop(socket);
        let again = event_loop.stream_socket(any_port())?;
        assert_eq!(bind_to(&again, addr.port()), addr, "it lingers nowhere");
        Ok(())
    });
}

fn a08_a_refused_connection_is_an_error_and_the_loop_has_nothing_left() {
    run(async |event_loop| {
        let socket = event_loop.stream_socket(any_port())?;
        let addr = bind_to(&socket, 0);
        for _ in 0..20 {
            let client = event_loop.stream_socket(addr)?;
            let refused = event_loop.sock_connect(&client, addr).await.unwrap_err();
            assert_eq!(io_kind(&refused), Kind::ConnectionRefused);
        }
        let client = event_loop.stream_socket(addr)?;
        let wrong = SocketAddr::from((Ipv6Addr::LOCALHOST, addr.port()));
        let refused = event_loop.sock_connect(&client, wrong).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NameResolution, "the family is not the socket's: {refused}");
        Ok(())
    });
}

fn a08_a_timeout_ends_a_connect_that_nobody_answers() {
    run(async |event_loop| {
        let (listener, filler) = full_listener(&event_loop);
        let addr = listener.local_addr()?;
        let socket = event_loop.stream_socket(addr)?;
        let limit = Duration::from_secs(5);
        let over = event_loop.timeout(limit, event_loop.sock_connect(&socket, addr)).await;
        assert!(Error::from(over.unwrap_err()).is_timed_out());
        drop((filler, listener));
        Ok(())
    });
}

fn u01_an_unreachable_datagram_is_an_error_once() {
    run(async |event_loop| {
        let socket = NonBlocking::new(UdpSocket::bind(any_port())?)?;
        let peer = UdpSocket::bind(any_port())?;
        let addr = peer.local_addr()?;
        drop(peer);
        event_loop.sock_connect(&socket, addr).await?;
        event_loop.sock_sendall(&socket, b"lost").await?;
        let refused = event_loop.sock_recvfrom(&socket, 10).await.unwrap_err();
        assert_eq!(io_kind(&refused), Kind::ConnectionRefused);
        let peer = UdpSocket::bind(addr)?;
        event_loop.sock_sendall(&socket, b"found").await?;
        peer.send_to(b"answer", socket.get_ref().local_addr()?)?;
        assert_eq!(event_loop.sock_recv(&socket, 10).await?, b"answer");
        Ok(())
    });
}

//! Sockets of the real kernel.

use core::net::{Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::IntoRawFd;

use super::{LOOPBACK, TOKEN, events, look, real};
use crate::net::address::{Address, UnixAddr};
use crate::sys::kernel::{Files, Kernel, Sockets, Time, Watching};
use crate::sys::{Event, Family, Fd, Interest, RealKernel, SocketKind, SocketOption, Token, socket};

fn inet(addr: io::Result<Address>) -> SocketAddr {
    addr.unwrap().as_inet().unwrap()
}

fn listen_tcp(kernel: &dyn Kernel, addr: SocketAddr, backlog: i32) -> io::Result<Fd> {
    let addr = Address::from(addr);
    let fd = kernel.socket(Family::of(&addr), SocketKind::Stream, 0)?;
    kernel.set_option(fd, SocketOption::ReuseAddress, 1)?;
    kernel.bind(fd, &addr)?;
    kernel.listen(fd, backlog)?;
    Ok(fd)
}

fn connect_tcp(kernel: &dyn Kernel, addr: SocketAddr) -> io::Result<Fd> {
    let addr = Address::from(addr);
    let fd = kernel.socket(Family::of(&addr), SocketKind::Stream, 0)?;
    kernel.connect(fd, &addr)?;
    Ok(fd)
}

/// Waits for one event; the peer is this process, so it comes at once.
fn wait_one(kernel: &RealKernel) -> Event {
    let mut events = events();
    while events.is_empty() {
        kernel.wait(Some(kernel.now() + Duration::from_secs(10)), &mut events).unwrap();
    }
    events.iter().next().unwrap()
}

fn converse(address: SocketAddr) {
    let kernel = real();
    let listener = listen_tcp(&kernel, address, 16).unwrap();
    let address = inet(kernel.local_addr(listener));
    assert_ne!(address.port(), 0);
    assert_eq!(kernel.accept(listener).unwrap_err().kind(), ErrorKind::WouldBlock);
    kernel.register(listener, TOKEN, Interest::READABLE).unwrap();

    let client = connect_tcp(&kernel, address).unwrap();
    assert!(wait_one(&kernel).readiness.reader_wakes());
    let (server, peer) = kernel.accept(listener).unwrap();
    kernel.register(client, Token(8), Interest::BOTH).unwrap();
    assert!(wait_one(&kernel).readiness.writer_wakes());
    assert!(kernel.take_error(client).unwrap().is_none());
    assert_eq!(kernel.local_addr(client).unwrap(), peer);
    assert_eq!(inet(kernel.peer_addr(client)), address);
    assert_eq!(kernel.peer_addr(server).unwrap(), peer);
    kernel.set_option(client, SocketOption::NoDelay, 1).unwrap();
    assert_eq!(kernel.option(client, SocketOption::NoDelay).unwrap(), 1);

    let mut buf = [0; 32];
    assert_eq!(kernel.recv(client, &mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(kernel.send(server, b"hello").unwrap(), 5);
    assert!(wait_one(&kernel).readiness.readable);
    assert_eq!(kernel.recv(client, &mut buf).unwrap(), 5);
    assert_eq!(&buf[..5], b"hello");

    let parts = [IoSlice::new(b"one, "), IoSlice::new(b""), IoSlice::new(b"two")];
    assert_eq!(kernel.send_vectored(client, &parts).unwrap(), 8);
    kernel.shutdown_write(client).unwrap();
    assert_eq!(kernel.recv(server, &mut buf).unwrap(), 8);
    assert_eq!(&buf[..8], b"one, two");
    assert_eq!(kernel.recv(server, &mut buf).unwrap(), 0);
    for fd in [client, listener] {
        kernel.deregister(fd).unwrap();
    }
    for fd in [client, server, listener] {
        kernel.close(fd);
    }
}

#[test]
fn two_ends_converse_over_ipv4() {
    converse(LOOPBACK);
}

#[test]
fn two_ends_converse_over_ipv6() {
    let address = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    // Some machines have no IPv6.
    match listen_tcp(&real(), address, 1) {
        Ok(fd) => {
            socket::close(fd);
            converse(address);
        }
        Err(error) => {
            assert!(matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)));
        }
    }
}

#[test]
fn refused_connection_is_told_by_take_error() {
    let kernel = real();
    let listener = listen_tcp(&kernel, LOOPBACK, 1).unwrap();
    let address = inet(kernel.local_addr(listener));
    kernel.close(listener);
    let refused = match connect_tcp(&kernel, address) {
        Err(error) => error,
        Ok(client) => {
            kernel.register(client, TOKEN, Interest::WRITABLE).unwrap();
            let readiness = wait_one(&kernel).readiness;
            assert!(readiness.writer_wakes() && readiness.reader_wakes());
            let error = kernel.take_error(client).unwrap().unwrap();
            kernel.close(client);
            error
        }
    };
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn more_slices_than_the_system_takes_are_sent_in_part() {
    let kernel = real();
    let (left, right) = kernel.socket_pair().unwrap();
    let parts = vec![IoSlice::new(b"x"); 3_000];
    assert_eq!(kernel.send_vectored(left, &parts).unwrap(), 1_024);
    kernel.close(left);
    kernel.close(right);
}

#[test]
fn sockets_do_not_block_and_do_not_survive_exec() {
    let kernel = real();
    let listener = listen_tcp(&kernel, LOOPBACK, 1).unwrap();
    let client = connect_tcp(&kernel, inet(kernel.local_addr(listener))).unwrap();
    kernel.register(listener, TOKEN, Interest::READABLE).unwrap();
    wait_one(&kernel);
    let (server, _) = kernel.accept(listener).unwrap();
    let (left, right) = kernel.socket_pair().unwrap();
    for fd in [listener, client, server, left, right] {
        // SAFETY: no pointers.
        let (status, flags) =
            unsafe { (libc::fcntl(fd.as_raw(), libc::F_GETFL), libc::fcntl(fd.as_raw(), libc::F_GETFD)) };
        assert_ne!(status & libc::O_NONBLOCK, 0);
        assert_ne!(flags & libc::FD_CLOEXEC, 0);
        kernel.close(fd);
    }
}

#[test]
fn ends_of_a_socket_pair_have_no_name() {
    let kernel = real();
    let (left, right) = kernel.socket_pair().unwrap();
    assert_eq!(kernel.local_addr(left).unwrap(), UnixAddr::default().into());
    assert_eq!(kernel.socket_kind(left).unwrap(), (Family::Unix, SocketKind::Stream));
    kernel.close(left);
    kernel.close(right);
}

#[test]
fn full_socket_would_block_and_turns_writable_again() {
    let kernel = real();
    let (left, right) = kernel.socket_pair().unwrap();
    kernel.register(left, TOKEN, Interest::WRITABLE).unwrap();
    wait_one(&kernel);
    let chunk = vec![1; 65_536];
    let error = loop {
        if let Err(error) = kernel.send(left, &chunk) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    assert_eq!(look(&kernel), []);
    let mut buf = vec![0; 65_536];
    while kernel.recv(right, &mut buf).is_ok() {}
    assert!(wait_one(&kernel).readiness.writable);
    kernel.close(left);
    kernel.close(right);
}

#[test]
fn descriptor_made_elsewhere_can_be_used() {
    let kernel = real();
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let ours = Fd::from_raw(ours.into_raw_fd());
    kernel.send(ours, b"x").unwrap();
    drop(theirs);
    kernel.close(ours);
}

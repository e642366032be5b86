//! The kernel without a world.

use std::io::{self, ErrorKind};
use std::path::Path;

use rondel_core::Instant;

use super::{LOOPBACK, NOW, TOKEN, events, is_open, leaked_bell};
use crate::sys::kernel::{Datagrams, Files, Sockets, Time, Watching};
use crate::sys::{Family, Interest, NullKernel, SocketKind, SocketOption, doorbell, socket};

fn is_unsupported<T>(result: io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == ErrorKind::Unsupported)
}

#[test]
fn every_descriptor_operation_is_unsupported() {
    let kernel = NullKernel::new();
    let fd = doorbell::eventfd().unwrap();
    assert!(is_unsupported(kernel.register(fd, TOKEN, Interest::BOTH)));
    assert!(is_unsupported(kernel.reregister(fd, TOKEN, Interest::BOTH)));
    assert!(is_unsupported(kernel.deregister(fd)));
    assert!(is_unsupported(kernel.socket(Family::Ipv4, SocketKind::Stream, 0)));
    assert!(is_unsupported(kernel.bind(fd, &LOOPBACK.into())));
    assert!(is_unsupported(kernel.listen(fd, 1)));
    assert!(is_unsupported(kernel.accept(fd)));
    assert!(is_unsupported(kernel.connect(fd, &LOOPBACK.into())));
    assert!(is_unsupported(kernel.take_error(fd)));
    assert!(is_unsupported(kernel.recv(fd, &mut [0])));
    assert!(is_unsupported(kernel.send(fd, b"x")));
    assert!(is_unsupported(kernel.send_vectored(fd, &[])));
    assert!(is_unsupported(kernel.shutdown_write(fd)));
    assert!(is_unsupported(kernel.local_addr(fd)));
    assert!(is_unsupported(kernel.peer_addr(fd)));
    assert!(is_unsupported(kernel.set_option(fd, SocketOption::NoDelay, 1)));
    assert!(is_unsupported(kernel.option(fd, SocketOption::NoDelay)));
    assert!(is_unsupported(kernel.set_linger(fd, None)));
    assert!(is_unsupported(kernel.socket_kind(fd)));
    assert!(is_unsupported(kernel.set_nonblocking(fd)));
    assert!(is_unsupported(kernel.recv_from(fd, &mut [0])));
    assert!(is_unsupported(kernel.send_to(fd, b"x", &LOOPBACK.into())));
    assert!(is_unsupported(kernel.sendfile(fd, fd, 0, 1)));
    assert!(is_unsupported(kernel.file_at(Path::new("/"))));
    assert!(is_unsupported(kernel.unlink(Path::new("/nowhere/at/all"))));
    assert!(is_unsupported(kernel.socket_pair()));
    kernel.close(fd);
    assert!(is_open(fd), "the process's own descriptor isn't touched");
    socket::close(fd);
}

#[test]
fn wait_moves_the_clock_or_is_a_deadlock() {
    let kernel = NullKernel::new();
    let later = Instant::from_nanos(5);
    kernel.wait(Some(later), &mut events()).unwrap();
    assert_eq!(kernel.now(), later);
    kernel.wait(NOW, &mut events()).unwrap();
    assert_eq!(kernel.now(), later);
    for deadline in [None, Some(Instant::MAX)] {
        let error = kernel.wait(deadline, &mut events()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Deadlock);
    }
}

#[test]
fn bell_that_has_rung_ends_a_wait_before_the_clock_moves() {
    let kernel = NullKernel::new();
    let bell = leaked_bell();
    kernel.attach_doorbell(bell).unwrap();
    bell.enter_thread();
    bell.ring();
    kernel.wait(None, &mut events()).unwrap();
    bell.ring();
    kernel.wait(Some(Instant::from_nanos(5)), &mut events()).unwrap();
    assert_eq!(kernel.now(), Instant::ZERO);
    kernel.detach_doorbell(bell);
    assert!(!bell.is_loop_thread());
    kernel.wait(None, &mut events()).unwrap_err();
}

//! What a poller reports.

use core::cell::Cell;
use std::fs;
use std::io::ErrorKind;
use std::os::fd::AsRawFd;

use super::{NOW, TOKEN, look, real};
use crate::sys::kernel::{Files, Kernel, Sockets, Time, Watching};
use crate::sys::{Event, Events, Fd, Interest, ManualKernel, RealKernel, Token};

struct Pair {
    kernel: RealKernel,
    near: Fd,
    far: Cell<Option<Fd>>,
}

impl Pair {
    fn watched(interest: Interest) -> Self {
        let kernel = real();
        let (near, far) = kernel.socket_pair().unwrap();
        kernel.register(near, TOKEN, interest).unwrap();
        Self { kernel, near, far: Cell::new(Some(far)) }
    }

    fn far(&self) -> Fd {
        self.far.get().unwrap()
    }

    fn close_far(&self) {
        self.kernel.close(self.far.take().unwrap());
    }

    fn one(&self) -> Event {
        let found = look(&self.kernel);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].token, TOKEN);
        found[0]
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = self.kernel.deregister(self.near);
        self.kernel.close(self.near);
        if let Some(far) = self.far.take() {
            self.kernel.close(far);
        }
    }
}

#[test]
fn data_is_readable_once_per_edge_and_again_after_reregister() {
    let pair = Pair::watched(Interest::READABLE);
    assert_eq!(look(&pair.kernel), []);
    pair.kernel.send(pair.far(), b"x").unwrap();
    let readiness = pair.one().readiness;
    assert!(readiness.readable && readiness.reader_wakes());
    assert!(!readiness.writer_wakes() && !readiness.read_closed);
    assert_eq!(look(&pair.kernel), []);
    pair.kernel.reregister(pair.near, TOKEN, Interest::READABLE).unwrap();
    assert!(pair.one().readiness.readable);
}

#[test]
fn half_close_is_the_readers_business_alone() {
    let pair = Pair::watched(Interest::BOTH);
    assert!(pair.one().readiness.writable);
    pair.kernel.shutdown_write(pair.far()).unwrap();
    let readiness = pair.one().readiness;
    assert!(readiness.read_closed && readiness.reader_wakes());
    assert!(!readiness.write_closed && !readiness.error);
    assert_eq!(pair.kernel.recv(pair.near, &mut [0; 8]).unwrap(), 0);
}

#[test]
fn hang_up_wakes_both() {
    // Watched for one direction only: the other learns of it all the same.
    for interest in [Interest::READABLE, Interest::WRITABLE, Interest::BOTH] {
        let pair = Pair::watched(interest);
        pair.close_far();
        let readiness = pair.one().readiness;
        assert!(readiness.read_closed && readiness.write_closed, "{readiness:?}");
        assert!(readiness.reader_wakes() && readiness.writer_wakes());
        let error = pair.kernel.send(pair.near, b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }
}

#[test]
fn deregistered_descriptor_reports_nothing() {
    let pair = Pair::watched(Interest::READABLE);
    pair.kernel.send(pair.far(), b"x").unwrap();
    pair.kernel.deregister(pair.near).unwrap();
    assert_eq!(look(&pair.kernel), []);
    let error = pair.kernel.deregister(pair.near).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
}

#[test]
fn second_registration_and_reserved_tokens_are_refused() {
    let pair = Pair::watched(Interest::READABLE);
    let error = pair.kernel.register(pair.near, TOKEN, Interest::READABLE).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EEXIST));
    for token in [Token::DOORBELL, Token::ALARM] {
        let error = pair.kernel.register(pair.far(), token, Interest::READABLE).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let error = pair.kernel.reregister(pair.near, token, Interest::READABLE).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn regular_file_is_refused() {
    let file = fs::File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    let fd = Fd::from_raw(file.as_raw_fd());
    for kernel in [Box::new(real()) as Box<dyn Kernel>, Box::new(ManualKernel::new().unwrap())] {
        let error = kernel.register(fd, TOKEN, Interest::READABLE).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EPERM));
    }
}

#[test]
fn more_events_than_room_come_with_the_next_wait() {
    let kernel = real();
    let pairs: Vec<_> = (0..10).map(|_| kernel.socket_pair().unwrap()).collect();
    for (index, pair) in pairs.iter().enumerate() {
        kernel.register(pair.0, Token(index), Interest::READABLE).unwrap();
        kernel.send(pair.1, b"x").unwrap();
    }
    let mut events = Events::with_capacity(0);
    let mut seen = Vec::new();
    for _ in 0..10 {
        kernel.wait(NOW, &mut events).unwrap();
        assert!(events.iter().len() <= 3);
        seen.extend(events.iter().map(|event| event.token.0));
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..10).collect::<Vec<_>>());
    for (left, right) in pairs {
        kernel.close(left);
        kernel.close(right);
    }
}

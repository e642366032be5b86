//! Bare system calls: epoll, eventfd and timerfd by libc.
#![allow(unsafe_code, reason = "calls the operating system")]

use core::mem::MaybeUninit;
use core::ptr;
use core::time::Duration;
use std::io::Error;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Fails the benchmark if the system refused.
fn check(answer: i32) -> i32 {
    assert!(answer >= 0, "{}", Error::last_os_error());
    answer
}

/// An epoll instance that watches one descriptor, edge-triggered.
struct Epoll {
    epoll: OwnedFd,
    watched: OwnedFd,
}

impl Epoll {
    fn new(watched: i32) -> Self {
        // SAFETY: no pointers; both descriptors are new and nobody else's.
        let (epoll, watched) = unsafe {
            (
                OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))),
                OwnedFd::from_raw_fd(watched),
            )
        };
        let mut event = libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLET) as u32, u64: 0 };
        let (epoll_fd, fd) = (epoll.as_raw_fd(), watched.as_raw_fd());
        // SAFETY: the event outlives the call.
        check(unsafe { libc::epoll_ctl(epoll_fd, libc::EPOLL_CTL_ADD, fd, &raw mut event) });
        Self { epoll, watched }
    }

    fn wait(&self) {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 16];
        // SAFETY: there is room for so many events.
        check(unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), events.as_mut_ptr(), 16, -1) });
    }
}

/// Sleeps by a timerfd in an epoll, as exactly as the system can.
pub(crate) struct Alarm(Epoll);

impl Alarm {
    pub(crate) fn new() -> Self {
        let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
        // SAFETY: no pointers.
        Self(Epoll::new(check(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) })))
    }

    pub(crate) fn sleep(&self, delay: Duration) {
        // SAFETY: zeros are a valid setting.
        let mut setting: libc::itimerspec = unsafe { MaybeUninit::zeroed().assume_init() };
        setting.it_value.tv_sec = delay.as_secs() as libc::time_t;
        setting.it_value.tv_nsec = delay.subsec_nanos().into();
        let fd = self.0.watched.as_raw_fd();
        // SAFETY: the setting outlives the call; the old one isn't asked for.
        check(unsafe { libc::timerfd_settime(fd, 0, &raw const setting, ptr::null_mut()) });
        self.0.wait();
    }
}

/// Wakes a thread that waits in an epoll.
pub(crate) struct Doorbell(Epoll);

impl Doorbell {
    pub(crate) fn new() -> Self {
        // SAFETY: no pointers.
        Self(Epoll::new(check(unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) })))
    }

    pub(crate) fn wait(&self) {
        self.0.wait();
    }

    pub(crate) fn ring(&self) {
        let one = 1_u64;
        // SAFETY: the pointer is good for reading 8 bytes.
        let written = unsafe { libc::write(self.0.watched.as_raw_fd(), ptr::from_ref(&one).cast(), 8) };
        assert_eq!(written, 8, "{}", Error::last_os_error());
    }
}

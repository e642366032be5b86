//! Bare system calls: epoll, eventfd and timerfd by libc.
#![allow(unsafe_code, reason = "calls the operating system")]

use core::mem::MaybeUninit;
use core::ptr;
use core::time::Duration;
use std::io::{Error, ErrorKind};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::{Arc, Mutex};

use crate::lateness::Log;
use crate::threads::{Answer, Call, Flood, asking};

/// Sleeps by a timerfd.
pub(crate) fn lateness(count: usize) -> impl FnMut() -> f64 {
    let alarm = Alarm::new();
    move || {
        let mut log = Log::new();
        for _ in 0..count {
            alarm.sleep(log.begin());
            log.end();
        }
        log.median()
    }
}

/// Puts each call into a queue, and rings for each.
pub(crate) fn flood(flood: Flood) -> impl FnMut() -> f64 {
    move || {
        let shared: Arc<Shared<Call>> = Arc::default();
        let others = Arc::clone(&shared);
        let make_call = move || {
            let shared = Arc::clone(&others);
            move || shared.push(Call::new())
        };
        flood.measure(make_call, || {
            let (mut received, mut batch) = (0, Vec::new());
            while received < flood.total() {
                shared.bell.wait();
                shared.take(&mut batch);
                received += batch.len();
                batch.drain(..).for_each(Call::run);
            }
        })
    }
}

/// Wakes a thread by an eventfd, which answers.
pub(crate) fn round_trip(count: usize) -> impl FnMut() -> f64 {
    move || {
        let shared: Arc<Shared<Option<Answer>>> = Arc::default();
        let (asker, stopper) = (Arc::clone(&shared), Arc::clone(&shared));
        let asking = asking(
            count,
            Duration::ZERO,
            move |answer| asker.push(Some(answer.clone())),
            move || stopper.push(None),
        );
        let (mut is_over, mut batch) = (false, Vec::new());
        while !is_over {
            shared.bell.wait();
            shared.take(&mut batch);
            for answer in batch.drain(..) {
                match answer {
                    Some(answer) => answer.give(),
                    None => is_over = true,
                }
            }
        }
        asking.median()
    }
}

/// Is a queue, and a bell for each that is pushed.
struct Shared<T> {
    queue: Mutex<Vec<T>>,
    bell: Doorbell,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self { queue: Mutex::default(), bell: Doorbell::new() }
    }
}

impl<T> Shared<T> {
    fn push(&self, item: T) {
        self.queue.lock().expect("isn't poisoned").push(item);
        self.bell.ring();
    }

    /// Moves all into a batch that is empty.
    fn take(&self, batch: &mut Vec<T>) {
        core::mem::swap(&mut *self.queue.lock().expect("isn't poisoned"), batch);
    }
}

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
        loop {
            // SAFETY: there is room for so many events.
            let ready = unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), events.as_mut_ptr(), 16, -1) };
            // A process that was stopped and goes on is interrupted.
            if ready >= 0 || Error::last_os_error().kind() != ErrorKind::Interrupted {
                check(ready);
                return;
            }
        }
    }
}

/// Sleeps by a timerfd in an epoll, as exactly as the system can.
struct Alarm(Epoll);

impl Alarm {
    fn new() -> Self {
        let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
        // SAFETY: no pointers.
        Self(Epoll::new(check(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) })))
    }

    fn sleep(&self, delay: Duration) {
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
struct Doorbell(Epoll);

impl Doorbell {
    fn new() -> Self {
        // SAFETY: no pointers.
        Self(Epoll::new(check(unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) })))
    }

    fn wait(&self) {
        self.0.wait();
    }

    fn ring(&self) {
        let one = 1_u64;
        // SAFETY: the pointer is good for reading 8 bytes.
        let written = unsafe { libc::write(self.0.watched.as_raw_fd(), ptr::from_ref(&one).cast(), 8) };
        assert_eq!(written, 8, "{}", Error::last_os_error());
    }
}

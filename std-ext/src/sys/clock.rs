//! The real clock and the alarm that ends a wait exactly on time.
//!
//! Which of the system's clocks that is, is the loop's choice ([`crate::Clock`], FAULTS T-06). What is
//! read and what the alarm sleeps by is always the same one; `epoll`, which knows no other than
//! `CLOCK_MONOTONIC`, never gets a timeout.

#![allow(unsafe_code, reason = "clock_gettime and timerfd")]

use core::cell::Cell;
use core::mem::MaybeUninit;
use core::ptr;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rondel_core::Instant;

use super::syscall::syscall;
use crate::Clock;

const NANOS_PER_SEC: u64 = 1_000_000_000;

/// Makes a clock's readings monotone: a reading earlier than the one before counts as that one
/// (FAULTS T-05).
#[derive(Debug, Default)]
pub(super) struct Monotone {
    latest: Cell<Instant>,
}

impl Monotone {
    /// Takes a reading and returns it, or the latest one if that was later.
    pub(super) fn observe(&self, reading: Instant) -> Instant {
        let latest = self.latest.get().max(reading);
        self.latest.set(latest);
        latest
    }

    /// Returns the latest reading without taking another.
    pub(super) fn latest(&self) -> Instant {
        self.latest.get()
    }
}

/// The clock of a loop: a clock of the system, counted from its construction.
#[derive(Debug)]
pub(super) struct LoopClock {
    thread_clock: ThreadClock,
    monotone: Monotone,
}

impl LoopClock {
    /// Starts counting now.
    ///
    /// # Errors
    /// `EINVAL` where the system has no such clock.
    pub(super) fn new(clock: Clock) -> io::Result<Self> {
        Ok(Self { thread_clock: ThreadClock::new(clock)?, monotone: Monotone::default() })
    }

    /// Returns which of the system's clocks it is.
    pub(super) fn id(&self) -> libc::clockid_t {
        self.thread_clock.id
    }

    /// Reads the clock.
    pub(super) fn now(&self) -> Instant {
        self.monotone.observe(self.thread_clock.now())
    }

    /// Returns what was read last: a lower bound of now that costs nothing.
    pub(super) fn latest(&self) -> Instant {
        self.monotone.latest()
    }

    /// Returns what other threads read it by.
    pub(super) fn for_threads(&self) -> ThreadClock {
        self.thread_clock
    }

    /// Translates an instant back to the system's own count.
    pub(super) fn to_system_ns(&self, instant: Instant) -> u64 {
        self.thread_clock.origin_ns.saturating_add(instant.as_nanos())
    }
}

/// The clock of a loop, as other threads read it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThreadClock {
    id: libc::clockid_t,
    origin_ns: u64,
}

impl ThreadClock {
    fn new(clock: Clock) -> io::Result<Self> {
        let id = match clock {
            Clock::Monotonic => libc::CLOCK_MONOTONIC,
            Clock::Boottime => libc::CLOCK_BOOTTIME,
        };
        Ok(Self { id, origin_ns: read_ns(id)? })
    }

    /// Reads the clock.
    pub(crate) fn now(self) -> Instant {
        Instant::from_nanos(known_ns(self.id).saturating_sub(self.origin_ns))
    }
}

/// A timerfd: carries the exact deadline that `epoll_wait`, which counts in milliseconds, can't.
///
/// ```text
///            arm(d): timerfd_settime             its event: expire()
///  silent ---------------------------> armed(a) ---------------------> silent
///                                      |      ^
///                                      '------'
///                     arm(d), d >= a: nothing;  d < a: settime
/// ```
///
/// An alarm that is armed already and not too late is left alone: it ends the wait too early, at
/// most once, and the wait then arms the right one. So a deadline which moves back again and again,
/// as a connection's idle timeout does, costs no system call each time. It is never read either:
/// arming clears the count of expirations, and each expiration is an edge to epoll.
#[derive(Debug)]
pub(super) struct Alarm {
    fd: OwnedFd,
    pub(super) armed: Cell<Option<Instant>>,
}

impl Alarm {
    /// Makes a silent alarm that sleeps by the clock `id` of the system.
    pub(super) fn new(id: libc::clockid_t) -> io::Result<Self> {
        let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
        // SAFETY: no pointers.
        let fd = unsafe { syscall!(timerfd_create(id, flags)) }?;
        // SAFETY: made above and nobody else's.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd, armed: Cell::new(None) })
    }

    /// Returns the descriptor to be polled.
    pub(super) fn as_raw_fd(&self) -> i32 {
        self.fd.as_raw_fd()
    }

    /// Makes the alarm go off at `deadline` of `clock`, which is the one it sleeps by, or before; at
    /// once if that has passed.
    /// Answers whether it took a system call.
    pub(super) fn arm(&self, clock: &LoopClock, deadline: Instant) -> io::Result<bool> {
        if self.armed.get().is_some_and(|armed| armed <= deadline) {
            return Ok(false);
        }
        // All zeros would disarm it.
        let at = timespec(clock.to_system_ns(deadline).max(1));
        // SAFETY: all zeros is a valid `itimerspec`: no repetition.
        let mut setting: libc::itimerspec = unsafe { MaybeUninit::zeroed().assume_init() };
        setting.it_value = at;
        let fd = self.fd.as_raw_fd();
        // SAFETY: `setting` outlives the call; the old setting isn't asked for.
        unsafe {
            syscall!(timerfd_settime(fd, libc::TFD_TIMER_ABSTIME, &raw const setting, ptr::null_mut()))
        }?;
        self.armed.set(Some(deadline));
        Ok(true)
    }

    /// Takes note that the alarm went off and returns what it was armed for.
    pub(super) fn expire(&self) -> Option<Instant> {
        self.armed.take()
    }
}

/// Writes nanoseconds as a `timespec`. Where `time_t` is too narrow the result is earlier, which
/// ends a wait early and does no other harm (FAULTS T-02, T-03).
pub(super) fn timespec(nanos: u64) -> libc::timespec {
    // SAFETY: all zeros is a valid `timespec`; some targets have padding fields.
    let mut spec: libc::timespec = unsafe { MaybeUninit::zeroed().assume_init() };
    spec.tv_sec = (nanos / NANOS_PER_SEC).try_into().unwrap_or(i32::MAX.into());
    spec.tv_nsec = (nanos % NANOS_PER_SEC) as _;
    spec
}

/// Reads `CLOCK_MONOTONIC` in microseconds, from where all programs count.
pub(super) fn monotonic_micros() -> u64 {
    known_ns(libc::CLOCK_MONOTONIC) / 1000
}

/// Reads a clock that has been read before.
fn known_ns(id: libc::clockid_t) -> u64 {
    read_ns(id).expect("a clock does not cease to exist")
}

fn read_ns(id: libc::clockid_t) -> io::Result<u64> {
    let mut spec = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: `spec` is good for writing.
    unsafe { syscall!(clock_gettime(id, spec.as_mut_ptr())) }?;
    // SAFETY: written by the call; zeros would be valid too.
    let spec = unsafe { spec.assume_init() };
    Ok((spec.tv_sec as u64).saturating_mul(NANOS_PER_SEC).saturating_add(spec.tv_nsec as u64))
}

//! The kernel without a world: it keeps the seam honest, since whatever runs on it can't have gone
//! round the seam.

use core::cell::Cell;
use core::time::Duration;
use std::io;
use std::time::SystemTime;

use rondel_core::Instant;

use super::doorbell::Doorbell;
use super::fd::Events;
use super::kernel::{Datagrams, Files, Kernel, Sockets, Time, Watching};

/// When a virtual clock stands at zero it is 2000-01-01 00:00 UTC, in every run.
const WALL_CLOCK_ORIGIN: Duration = Duration::from_secs(946_684_800);

/// Has timers, callbacks and a doorbell, and no descriptor at all.
///
/// A wait moves the clock to its deadline. One without a deadline could only end by a doorbell that
/// has rung already; otherwise it would be for ever, and that is an error instead of a hang.
#[derive(Debug, Default)]
pub(crate) struct NullKernel {
    time: Cell<Instant>,
    bell: Cell<Option<&'static Doorbell>>,
}

impl NullKernel {
    /// Makes a kernel whose clock stands at zero.
    pub(crate) fn new() -> Self {
        Self::default()
    }
}

impl Time for NullKernel {
    fn now(&self) -> Instant {
        self.time.get()
    }

    fn wall_clock(&self) -> SystemTime {
        wall_clock_at(self.now())
    }

    fn wait(&self, deadline: Option<Instant>, events: &mut Events) -> io::Result<()> {
        events.clear();
        if self.bell.get().is_some_and(Doorbell::take_missed) {
            return Ok(());
        }
        match deadline {
            Some(Instant::MAX) | None => {
                Err(io::Error::new(io::ErrorKind::Deadlock, "deadlock: nothing can end this wait"))
            }
            Some(deadline) => {
                self.time.set(self.time.get().max(deadline));
                Ok(())
            }
        }
    }
}

impl Watching for NullKernel {
    fn attach_doorbell(&self, bell: &'static Doorbell) -> io::Result<()> {
        if self.bell.get().is_some() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the kernel has a doorbell already"));
        }
        self.bell.set(Some(bell));
        Ok(())
    }

    fn detach_doorbell(&self, bell: &'static Doorbell) {
        if self.bell.get().is_some_and(|attached| core::ptr::eq(attached, bell)) {
            self.bell.set(None);
            bell.close();
        }
    }
}

impl Files for NullKernel {}

impl Sockets for NullKernel {}

impl Datagrams for NullKernel {}

impl Kernel for NullKernel {}

/// Returns the wall clock that belongs to a virtual instant.
pub(super) fn wall_clock_at(now: Instant) -> SystemTime {
    let origin = SystemTime::UNIX_EPOCH + WALL_CLOCK_ORIGIN;
    origin.checked_add(Duration::from_nanos(now.as_nanos())).unwrap_or(origin)
}

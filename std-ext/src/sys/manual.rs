//! The kernel that a test runs on: real descriptors, and a clock that only the test moves.

use core::cell::Cell;
use core::time::Duration;
use std::io;
use std::time::SystemTime;

use rondel_core::Instant;

use super::clock::Monotone;
use super::descriptors::RealDescriptors;
use super::fd::Events;
use super::kernel::{Time, remaining};
use super::null::wall_clock_at;
use super::poller::Poller;

/// Sleeps no time: a wait in which nothing is ready moves the clock to its deadline instead.
///
/// A wait without a deadline has nowhere to jump to; it really blocks, until a descriptor is ready
/// or somebody rings. Where another thread is at work while timers run, the jump would overtake it:
/// [`set_autojump_threshold`](Self::set_autojump_threshold) holds it back.
#[derive(Debug)]
pub(crate) struct ManualKernel {
    poller: Poller,
    time: Cell<Instant>,
    monotone: Monotone,
    autojump_threshold: Cell<Duration>,
    waits: Cell<usize>,
    last_deadline: Cell<Option<Instant>>,
}

impl ManualKernel {
    /// Makes a kernel whose clock stands at zero.
    ///
    /// # Errors
    /// When the process has no descriptor left, or the system denies one.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            poller: Poller::new()?,
            time: Cell::new(Instant::ZERO),
            monotone: Monotone::default(),
            autojump_threshold: Cell::new(Duration::ZERO),
            waits: Cell::new(0),
            last_deadline: Cell::new(None),
        })
    }

    /// Moves the clock forward.
    pub(crate) fn advance(&self, duration: Duration) {
        self.time.set(self.time.get() + duration);
    }

    /// Sets the clock, backwards too; `now` stands still then until the clock has caught up.
    pub(crate) fn set_time(&self, time: Instant) {
        self.time.set(time);
    }

    /// Makes a wait look for so much real time, and not only for a moment, before the clock jumps.
    pub(crate) fn set_autojump_threshold(&self, threshold: Duration) {
        self.autojump_threshold.set(threshold);
    }

    /// Returns how often the loop has asked to wait, looks without waiting included.
    pub(crate) fn waits(&self) -> usize {
        self.waits.get()
    }

    /// Returns the deadline of the last wait: none if it had none, or if nobody has waited.
    pub(crate) fn last_deadline(&self) -> Option<Instant> {
        self.last_deadline.get()
    }
}

impl Time for ManualKernel {
    fn now(&self) -> Instant {
        self.monotone.observe(self.time.get())
    }

    fn wall_clock(&self) -> SystemTime {
        wall_clock_at(self.now())
    }

    fn wait(&self, deadline: Option<Instant>, events: &mut Events) -> io::Result<()> {
        self.poller.check_birthplace()?;
        self.waits.set(self.waits.get() + 1);
        self.last_deadline.set(deadline);
        let Some(deadline) = deadline.filter(|&deadline| deadline != Instant::MAX) else {
            return self.poller.poll(None, events).map(drop);
        };
        let jumps = deadline > self.now();
        let patience = if jumps { self.autojump_threshold.get() } else { Duration::ZERO };
        let woken = self.poller.poll(Some(patience), events)?;
        if jumps && !woken.by_bell && events.is_empty() {
            self.time.set(self.time.get().max(deadline));
        }
        Ok(())
    }

    fn prepare(&self, deadline: Option<Instant>) -> io::Result<Option<Duration>> {
        self.poller.check_birthplace()?;
        Ok(remaining(self.now(), deadline))
    }
}

impl RealDescriptors for ManualKernel {
    fn poller(&self) -> &Poller {
        &self.poller
    }
}

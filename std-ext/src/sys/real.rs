//! The kernel that a program runs on.

use core::time::Duration;
use std::io;
use std::time::SystemTime;

use rondel_core::Instant;

use super::clock::{Alarm, LoopClock, ThreadClock};
use super::descriptors::RealDescriptors;
use super::fd::{Events, Fd};
use super::kernel::Time;
use super::poller::Poller;
use crate::Clock;

/// Linux: epoll through mio, a clock of choice and a timerfd for its exact deadlines, sockets by `libc`.
///
/// Owns two descriptors, and a third while a doorbell is attached.
#[derive(Debug)]
pub(crate) struct RealKernel {
    poller: Poller,
    clock: LoopClock,
    alarm: Alarm,
}

impl RealKernel {
    /// Makes a kernel whose clock begins now.
    ///
    /// # Errors
    /// When the process has no descriptor left, or the system denies one or has no such clock.
    pub(crate) fn new(clock: Clock) -> io::Result<Self> {
        let clock = LoopClock::new(clock)?;
        let poller = Poller::new()?;
        let alarm = Alarm::new(clock.id())?;
        poller.watch_alarm(Fd::from_raw(alarm.as_raw_fd()))?;
        Ok(Self { poller, clock, alarm })
    }

    /// Looks without sleeping.
    #[inline(always)]
    fn look(&self, events: &mut Events) -> io::Result<()> {
        if self.poller.poll(Some(Duration::ZERO), events)?.by_alarm {
            self.alarm.expire();
        }
        Ok(())
    }

    /// Sleeps; all timeouts are the alarm's, so an interrupted wait begins anew without stretching.
    #[inline(never)]
    fn sleep(&self, deadline: Option<Instant>, events: &mut Events) -> io::Result<()> {
        // Twice at most when nothing happens: an alarm left over from an earlier wait goes off, and
        // then the one that this wait has armed.
        loop {
            if let Some(deadline) = deadline {
                self.alarm.arm(&self.clock, deadline)?;
            }
            let woken = self.poller.poll(None, events)?;
            let expired = if woken.by_alarm { self.alarm.expire() } else { None };
            let too_early = woken.by_alarm && deadline.is_none_or(|deadline| expired < Some(deadline));
            if !too_early || woken.by_bell || !events.is_empty() {
                return Ok(());
            }
        }
    }
}

impl Time for RealKernel {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn thread_clock(&self) -> Option<ThreadClock> {
        Some(self.clock.for_threads())
    }

    fn wall_clock(&self) -> SystemTime {
        SystemTime::now()
    }

    fn wait(&self, deadline: Option<Instant>, events: &mut Events) -> io::Result<()> {
        self.poller.check_birthplace()?;
        match deadline {
            // No clock read: an earlier reading is proof enough, and `Instant::ZERO` needs none.
            Some(deadline) if deadline <= self.clock.latest() => self.look(events),
            Some(Instant::MAX) | None => self.sleep(None, events),
            deadline => self.sleep(deadline, events),
        }
    }

    fn prepare(&self, deadline: Option<Instant>) -> io::Result<Option<Duration>> {
        self.poller.check_birthplace()?;
        match deadline {
            Some(Instant::MAX) | None => Ok(None),
            Some(deadline) if deadline <= self.now() => Ok(Some(Duration::ZERO)),
            // One that is armed already goes off too early, and then the sleeper asks again.
            Some(deadline) => self.alarm.arm(&self.clock, deadline).map(|_| None),
        }
    }

    fn spin(&self, end: Instant, is_over: &dyn Fn() -> bool) {
        while !is_over() && self.now() < end {
            core::hint::spin_loop();
        }
    }
}

impl RealDescriptors for RealKernel {
    fn poller(&self) -> &Poller {
        &self.poller
    }
}

//! Feeding the supervisor's watchdog from the loop, so that it bites when the loop stands still.

use core::cell::{Cell, RefCell};
use core::fmt;
use core::panic::Location;
use core::time::Duration;
use std::ffi::OsString;
use std::rc::Rc;

use super::{Notifier, NotifyError, number, variable};
use crate::exception::subject::Subject;
use crate::sys::inherited;
use crate::{EventLoopHandle, Result, TimerHandle};

impl Notifier {
    /// Returns how long the supervisor puts up with silence, if it listens for this process
    /// (`WATCHDOG_USEC` and `WATCHDOG_PID`, as
    /// [sd_watchdog_enabled(3)](https://www.freedesktop.org/software/systemd/man/latest/sd_watchdog_enabled.html)).
    ///
    /// # Errors
    /// [`NotifyError::NotANumber`].
    pub fn watchdog_interval() -> Result<Option<Duration>, NotifyError> {
        read_interval(variable, inherited::process_id())
    }

    /// Feeds the watchdog now and then at every half of its interval, from a timer of the loop: so it
    /// is fed while the loop turns, and not while a callback or a step of a task holds it up. Without
    /// a watchdog it does nothing.
    ///
    /// A meal that the supervisor has no room for is reported to the exception handler, and the next
    /// is on time.
    ///
    /// ```
    /// # rondel::run(async |event_loop| {
    /// let supervisor = rondel::Notifier::from_env(&event_loop)?;
    /// let _feeding = supervisor.feed_watchdog()?;
    /// supervisor.ready()?;
    /// # Ok(())
    /// # })?;
    /// # Ok::<(), rondel::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`watchdog_interval`](Self::watchdog_interval); if the call table is full.
    #[track_caller]
    pub fn feed_watchdog(&self) -> Result<WatchdogFeeding> {
        match Self::watchdog_interval()? {
            Some(interval) => self.feed_watchdog_within(interval),
            None => Ok(WatchdogFeeding(None)),
        }
    }

    /// As [`feed_watchdog`](Self::feed_watchdog), with an interval of one's own: for another
    /// supervisor, or after [`set_watchdog_interval`](Self::set_watchdog_interval).
    ///
    /// # Errors
    /// If the call table is full.
    #[track_caller]
    pub fn feed_watchdog_within(&self, interval: Duration) -> Result<WatchdogFeeding> {
        let feeding = Rc::new(Feeding {
            supervisor: self.clone(),
            // Without a pause the loop would do nothing else.
            pause: (interval / 2).max(Duration::from_millis(1)),
            timer: RefCell::new(None),
            is_over: Cell::new(false),
            location: Location::caller(),
        });
        feeding.feed();
        Rc::clone(&feeding).arm()?;
        Ok(WatchdogFeeding(Some(feeding)))
    }
}

/// Feeds a watchdog until it is dropped. See [`Notifier::feed_watchdog`].
#[must_use = "feeds until it is dropped"]
pub struct WatchdogFeeding(Option<Rc<Feeding>>);

impl WatchdogFeeding {
    /// Returns how long the supervisor puts up with silence, to within a nanosecond; `None` without a
    /// watchdog.
    #[must_use]
    pub fn interval(&self) -> Option<Duration> {
        self.0.as_ref().map(|feeding| feeding.pause * 2)
    }
}

impl Drop for WatchdogFeeding {
    fn drop(&mut self) {
        if let Some(feeding) = &self.0 {
            feeding.is_over.set(true);
            if let Some(timer) = feeding.timer.take() {
                timer.cancel();
            }
        }
    }
}

impl fmt::Debug for WatchdogFeeding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WatchdogFeeding({:?})", self.interval())
    }
}

struct Feeding {
    supervisor: Notifier,
    pause: Duration,
    timer: RefCell<Option<TimerHandle>>,
    /// Also between a drop from within the exception handler and the next timer.
    is_over: Cell<bool>,
    /// Is where it was begun.
    location: &'static Location<'static>,
}

impl Feeding {
    fn feed(&self) {
        if let Err(error) = self.supervisor.watchdog() {
            let subject = Subject { location: Some(self.location), ..Subject::default() };
            let event_loop = self.supervisor.event_loop();
            event_loop.report_about(&subject, "the watchdog was not fed", Some(&error));
        }
    }

    fn arm(self: Rc<Self>) -> Result<()> {
        if self.is_over.get() {
            return Ok(());
        }
        let next = Rc::clone(&self);
        let feed = move |_: &EventLoopHandle| {
            next.feed();
            next.arm()
        };
        let timer = self.supervisor.event_loop().call_later_from(self.pause, feed, self.location);
        *self.timer.borrow_mut() = Some(timer?);
        Ok(())
    }
}

/// Reads the interval that is meant for the process `pid`.
fn read_interval(
    variable: impl Fn(&str) -> Option<OsString>,
    pid: u32,
) -> Result<Option<Duration>, NotifyError> {
    let Some(interval) = variable("WATCHDOG_USEC") else { return Ok(None) };
    let positive = |text: &OsString, variable| {
        number(text).filter(|&number| number > 0).ok_or(NotifyError::NotANumber { variable })
    };
    if let Some(watched) = variable("WATCHDOG_PID")
        && positive(&watched, "WATCHDOG_PID")? != u64::from(pid)
    {
        return Ok(None);
    }
    let micros = positive(&interval, "WATCHDOG_USEC")?;
    // The highest number is systemd's "never".
    Ok((micros != u64::MAX).then(|| Duration::from_micros(micros)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(usec: Option<&str>, pid: Option<&str>) -> Result<Option<Duration>, NotifyError> {
        let look_up = |name: &str| match name {
            "WATCHDOG_USEC" => usec.map(OsString::from),
            "WATCHDOG_PID" => pid.map(OsString::from),
            _ => None,
        };
        read_interval(look_up, 77)
    }

    #[test]
    fn a_watchdog_listens_for_one_process() {
        let second = Duration::from_secs(1);
        assert_eq!(interval(None, Some("77")).unwrap(), None);
        assert_eq!(interval(Some("1000000"), None).unwrap(), Some(second));
        assert_eq!(interval(Some("1000000"), Some("77")).unwrap(), Some(second));
        assert_eq!(interval(Some("1000000"), Some("78")).unwrap(), None);
        assert_eq!(interval(Some(&u64::MAX.to_string()), None).unwrap(), None);
    }

    #[test]
    fn an_interval_that_makes_no_sense_is_a_typed_error() {
        for text in ["", "0", "-1", "1s", "18446744073709551616"] {
            let bad = |result, name: &str| matches!(result, Err(NotifyError::NotANumber { variable }) if variable == name);
            assert!(bad(interval(Some(text), None), "WATCHDOG_USEC"), "{text:?}");
            assert!(bad(interval(Some("1"), Some(text)), "WATCHDOG_PID"), "{text:?}");
        }
    }
}

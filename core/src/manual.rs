//! A driver for tests: a clock that only the test moves, and scripted events.
#![allow(unsafe_code, reason = "implements the doorbell, which promises where it is called")]

use core::cell::{Cell, RefCell};
use core::fmt;
use core::task::Waker;
use core::time::Duration;

use crate::Instant;
use crate::driver::{Doorbell, Driver};

/// Is the number of events that can be scripted at once.
pub const EVENTS_MAX: usize = 16;

/// A driver whose clock jumps: a wait ends at once, at its deadline or at the
/// next scripted event, whichever is earlier. No test with it sleeps.
///
/// A wait that nothing could end would hang on a real driver. Here it returns at
/// once, is counted, and calls what [`ManualDriver::set_idle_hook`] set: a test
/// panics there, or stops its loop.
///
/// ```
/// use core::time::Duration;
/// use rondel_core::{EventLoop, Instant, ManualDriver, Storage};
///
/// static STORAGE: Storage<4, 0, 0, 0> = Storage::new();
/// let driver: &'static ManualDriver = Box::leak(Box::new(ManualDriver::new()));
/// let event_loop = EventLoop::new(STORAGE.take().unwrap(), driver);
///
/// event_loop.call_later(Duration::from_secs(3600), |event_loop| event_loop.stop()).unwrap();
/// event_loop.run_forever().unwrap();
/// assert_eq!(event_loop.time(), Instant::ZERO + Duration::from_secs(3600));
/// ```
///
/// # Python
/// The `TestLoop` of CPython's own `test_asyncio`.
pub struct ManualDriver {
    now: Cell<Instant>,
    jumps: Cell<bool>,
    waits: Cell<u64>,
    idle_waits: Cell<u64>,
    last_deadline: Cell<Option<Instant>>,
    idle_hook: Cell<Option<fn(&Self)>>,
    /// Invariant: sorted by instant, equal ones in the order of scripting.
    script: RefCell<heapless::Vec<(Instant, Event), EVENTS_MAX>>,
}

/// Something that happens outside of the loop.
#[derive(Clone, Debug)]
pub enum Event {
    /// Wakes a task, as an interrupt or another thread does.
    Wake(Waker),
    /// Calls a function with a number, from within the wait.
    Call(fn(usize), usize),
}

impl ManualDriver {
    /// Makes a driver at the origin of time.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            now: Cell::new(Instant::ZERO),
            jumps: Cell::new(true),
            waits: Cell::new(0),
            idle_waits: Cell::new(0),
            last_deadline: Cell::new(None),
            idle_hook: Cell::new(None),
            script: RefCell::new(heapless::Vec::new()),
        }
    }

    /// Moves the clock on.
    pub fn advance(&self, duration: Duration) {
        self.now.set(self.now.get() + duration);
    }

    /// Sets the clock; also back, to see what a broken clock does.
    pub fn set_time(&self, now: Instant) {
        self.now.set(now);
    }

    /// Chooses whether a wait moves the clock to its deadline, as it does by
    /// default, or returns at once and leaves the clock to the test.
    pub fn set_jumps(&self, jumps: bool) {
        self.jumps.set(jumps);
    }

    /// Sets what is called by a wait that nothing can end.
    pub fn set_idle_hook(&self, hook: Option<fn(&Self)>) {
        self.idle_hook.set(hook);
    }

    /// Lets `event` happen at `when`, within a wait.
    ///
    /// # Errors
    /// Gives the event back if [`EVENTS_MAX`] are scripted already.
    pub fn script(&self, when: Instant, event: Event) -> Result<(), Event> {
        let Ok(mut script) = self.script.try_borrow_mut() else {
            return Err(event);
        };
        let place = script.iter().take_while(|(other, _)| *other <= when).count();
        script.push((when, event)).map_err(|(_, event)| event)?;
        if let Some(moved @ [_, ..]) = script.get_mut(place..) {
            moved.rotate_right(1);
        }
        Ok(())
    }

    /// Counts the waits, those with a deadline in the past included.
    #[must_use]
    pub fn waits(&self) -> u64 {
        self.waits.get()
    }

    /// Counts the waits that nothing could end.
    #[must_use]
    pub fn idle_waits(&self) -> u64 {
        self.idle_waits.get()
    }

    /// Returns the deadline of the last wait.
    #[must_use]
    pub fn last_deadline(&self) -> Option<Instant> {
        self.last_deadline.get()
    }

    fn next_event(&self) -> Option<Instant> {
        self.script.try_borrow().ok()?.first().map(|(when, _)| *when)
    }

    /// Lets everything happen that is due.
    fn happen(&self) {
        while self.next_event().is_some_and(|when| when <= self.now.get()) {
            let event = self.script.try_borrow_mut().ok().filter(|script| !script.is_empty());
            let Some((_, event)) = event.map(|mut script| script.remove(0)) else {
                return;
            };
            match event {
                Event::Wake(waker) => waker.wake(),
                Event::Call(function, argument) => function(argument),
            }
        }
    }
}

impl Default for ManualDriver {
    fn default() -> Self {
        Self::new()
    }
}

impl Driver for ManualDriver {
    fn now(&self) -> Instant {
        self.now.get()
    }

    fn wait(&self, deadline: Option<Instant>) {
        self.waits.set(self.waits.get() + 1);
        self.last_deadline.set(deadline);
        let now = self.now.get();
        let until =
            [deadline.filter(|&when| when != Instant::MAX), self.next_event()].into_iter().flatten().min();
        match until {
            Some(when) if when > now && self.jumps.get() => self.now.set(when),
            Some(_) => {}
            None => {
                self.idle_waits.set(self.idle_waits.get() + 1);
                if let Some(hook) = self.idle_hook.get() {
                    hook(self);
                }
            }
        }
        self.happen();
    }

    fn doorbell(&self) -> &'static dyn Doorbell {
        &ManualDoorbell
    }
}

impl fmt::Debug for ManualDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ManualDriver({:?}, {} waits)", self.now.get(), self.waits.get())
    }
}

/// Needs no ringing: a manual wait never blocks. Can't tell one thread from
/// another, so wakes by `Waker` queue in the order of the tasks' slots.
struct ManualDoorbell;

// SAFETY: never claims to be called in the loop's thread.
unsafe impl Doorbell for ManualDoorbell {
    fn ring(&self) {}

    fn is_loop_thread(&self) -> bool {
        false
    }
}

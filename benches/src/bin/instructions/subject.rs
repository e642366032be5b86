//! The two loops whose operations are counted, each with a clock that stands
//! still until it is moved.
#![allow(unsafe_code, reason = "implements the doorbell, which promises where it is called")]

use core::cell::Cell;
use core::time::Duration;

use rondel_core::{Context, Doorbell, Driver, Instant, Storage};

/// A loop, and what its owner can do.
pub(crate) trait Subject {
    /// Is the handle of the loop.
    type Context: Context;

    fn context(&self) -> &Self::Context;

    /// Runs one iteration.
    fn turn(&self);

    /// Moves the clock on.
    fn advance(&self, duration: Duration);
}

/// The loop of a microcontroller: core and nothing else.
pub(crate) struct Core {
    event_loop: rondel_core::EventLoop,
    driver: &'static NoOutside,
}

impl Core {
    pub(crate) fn new() -> Self {
        static STORAGE: Storage<2048, 0, 128, 128> = Storage::new();
        let driver: &NoOutside = Box::leak(Box::default());
        Self { event_loop: rondel_core::EventLoop::new(STORAGE.take().expect("taken once"), driver), driver }
    }
}

impl Subject for Core {
    type Context = rondel_core::EventLoopHandle;

    fn context(&self) -> &Self::Context {
        &self.event_loop
    }

    fn turn(&self) {
        self.event_loop.run_once().expect("is open");
    }

    fn advance(&self, duration: Duration) {
        self.driver.0.set(self.driver.0.get() + duration);
    }
}

/// The loop on Linux, with a real epoll.
pub(crate) struct Rondel {
    pub(crate) event_loop: rondel::EventLoop,
    clock: rondel::ManualClock,
}

impl Rondel {
    pub(crate) fn new() -> Self {
        let config = rondel::Config { threadsafe_calls: 1 << 15, debug: false, ..rondel::Config::default() };
        let (event_loop, clock) = rondel::EventLoop::with_manual_clock(config).expect("opens");
        Self { event_loop, clock }
    }
}

impl Subject for Rondel {
    type Context = rondel::EventLoopHandle;

    fn context(&self) -> &Self::Context {
        &self.event_loop
    }

    fn turn(&self) {
        self.event_loop.run_once().expect("is open");
    }

    fn advance(&self, duration: Duration) {
        self.clock.advance(duration);
    }
}

/// A driver without an outside: its waits end at once.
#[derive(Default)]
struct NoOutside(Cell<Instant>);

impl Driver for NoOutside {
    fn now(&self) -> Instant {
        self.0.get()
    }

    fn wait(&self, _deadline: Option<Instant>) {}

    fn doorbell(&self) -> &'static dyn Doorbell {
        &OwnThread
    }
}

struct OwnThread;

// SAFETY: no waker of this loop leaves its thread, and no signal handler is
// installed.
unsafe impl Doorbell for OwnThread {
    fn ring(&self) {}

    fn is_loop_thread(&self) -> bool {
        true
    }
}

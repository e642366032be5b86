//! The loops that scripts run on, under a clock that jumps.

use core::cell::Cell;
use core::mem::MaybeUninit;
use std::thread::ThreadId;

use rondel_core::raw::{Bodies, Memory, Region, WakeCell, WakeTable, Wheel};
use rondel_core::{
    Context, Doorbell, Driver, EventLoop, EventLoopHandle, ExceptionContext, Instant, Instrument, Limits,
    ManualDriver, Running, Scheduler, Storage,
};

use crate::replay::{idle, report};

/// Is as many as asyncio was granted, and far more than any script takes.
const ITERATIONS_MAX: u64 = 10_000;

const CALLS: usize = 256;
const FUTURES: usize = 96;
const TASKS: usize = 96;
const BYTES: usize = 64;

/// Counts the iterations in which something ran.
#[derive(Default)]
pub struct Busy {
    last: Cell<u64>,
    count: Cell<u64>,
}

impl Busy {
    fn note(&self, iteration: u64) {
        assert!(iteration < ITERATIONS_MAX, "the loop does not come to rest");
        if self.last.replace(iteration) != iteration {
            self.count.set(self.count.get() + 1);
        }
    }

    pub fn count(&self) -> u64 {
        self.count.get()
    }
}

/// A loop to run one script on.
pub struct Machine<C: Context> {
    pub context: C,
    pub driver: &'static ManualDriver,
    pub busy: &'static Busy,
    /// Closes the loop when dropped.
    #[allow(dead_code, reason = "is held")]
    pub owner: Option<EventLoop>,
}

fn leak<T>(value: T) -> &'static mut T {
    Box::leak(Box::new(value))
}

fn driver() -> &'static ManualDriver {
    let driver = leak(ManualDriver::new());
    driver.set_idle_hook(Some(|_| idle()));
    driver
}

struct CountBusy {
    event_loop: EventLoopHandle,
    busy: &'static Busy,
}

impl Instrument for CountBusy {
    fn before_callback(&self, _running: &Running) {
        self.busy.note(self.event_loop.statistics().iterations);
    }
}

/// Makes core's own loop: all timers in a heap.
pub fn core_loop() -> Machine<EventLoopHandle> {
    let storage: &'static Storage<CALLS, FUTURES, TASKS, BYTES> = leak(Storage::new());
    let driver = driver();
    let owner = EventLoop::new(storage.take().expect("a new storage"), driver);
    owner.set_exception_handler(Some(|_, context| report(context)));
    let busy = leak(Busy::default());
    owner.set_instrument(Some(leak(CountBusy { event_loop: owner.handle(), busy })));
    Machine { context: owner.handle(), driver, busy, owner: Some(owner) }
}

/// A context like that of `rondel`: a wheel, and a doorbell that knows its thread.
#[derive(Clone, Copy)]
pub struct Wheeled(&'static WheeledShared);

struct WheeledShared {
    scheduler: Scheduler<Wheeled>,
    driver: &'static ManualDriver,
    busy: &'static Busy,
}

impl Context for Wheeled {
    fn scheduler(&self) -> &Scheduler<Self> {
        &self.0.scheduler
    }

    fn now(&self) -> Instant {
        Driver::now(self.0.driver)
    }

    fn wait(&self, deadline: Option<Instant>) {
        Driver::wait(self.0.driver, deadline);
    }

    fn call_exception_handler(&self, context: &ExceptionContext<'_>) {
        report(context);
    }

    fn before_callback(&self, _running: &Running) {
        self.0.busy.note(self.0.scheduler.statistics().iterations);
    }
}

struct ThreadDoorbell(ThreadId);

// SAFETY: compares the threads; there are no interrupts or signal handlers here.
unsafe impl Doorbell for ThreadDoorbell {
    fn ring(&self) {}

    fn is_loop_thread(&self) -> bool {
        std::thread::current().id() == self.0
    }
}

fn uninit<T>(len: usize) -> &'static mut [MaybeUninit<T>] {
    Box::leak(Box::new_uninit_slice(len))
}

/// Makes a loop of the raw parts.
pub fn wheel_loop() -> Machine<Wheeled> {
    let (driver, busy) = (driver(), &*leak(Busy::default()));
    let wake = leak(WakeTable::new(
        Box::leak((0..TASKS).map(|_| WakeCell::new()).collect()),
        leak([[0; 2]; CALLS]),
        leak([[[0; 2]; 2]; TASKS]),
        leak(ThreadDoorbell(std::thread::current().id())),
    ));
    let words = BYTES / size_of::<usize>();
    let memory = Memory {
        calls: Region::new(uninit(CALLS)),
        threadsafe_calls: 0,
        heap: Region::new(uninit(CALLS)),
        wheel: Region::new(uninit::<Wheel>(1)),
        futures: Region::new(uninit(FUTURES)),
        tasks: Region::new(uninit(TASKS)),
        bodies: Bodies::new(uninit(TASKS * words), words, |_| {}),
        wake,
    };
    let scheduler = Scheduler::new(memory, Limits::DEFAULT);
    Machine { context: Wheeled(leak(WheeledShared { scheduler, driver, busy })), driver, busy, owner: None }
}

//! The loops that scripts run on, under a clock that jumps.

use core::cell::Cell;
use core::error::Error;
use core::future::Future;
use core::mem::MaybeUninit;
use core::pin::Pin;
use core::time::Duration;
use std::rc::Rc;
use std::thread::ThreadId;

use rondel::ErrorKind;
use rondel_core::raw::{Bodies, Memory, Region, WakeCell, WakeTable, Wheel};
use rondel_core::{
    Context, Doorbell, Driver, EventLoop, EventLoopHandle, ExceptionContext, Instant, Instrument, Limits,
    ManualDriver, RunError, Running, Scheduler, Storage, WaitError,
};

use crate::replay::{Fail, idle, report, was_idle};

/// Is as many as asyncio was granted, and far more than any script takes.
const ITERATIONS_MAX: u64 = 10_000;

/// Is said of a loop that takes more.
pub const RESTLESS: &str = "the loop does not come to rest";

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
        assert!(iteration < ITERATIONS_MAX, "{RESTLESS}");
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
    pub owner: Rc<dyn Owner>,
}

/// What a script asks of the owner of its loop.
pub trait Owner {
    /// Runs until it is stopped, or until nothing is left to wait for.
    fn run_forever(&self);

    /// Tries to run, and tells whether it did; within a run it does not.
    fn can_run_now(&self) -> bool;

    /// Runs a body, and gives it up then.
    fn run_body(&self, body: Boxed<Result<u32, Fail>>) -> Result<Result<u32, Fail>, RunError>;

    fn run_wait(&self, wait: Boxed<Result<(), WaitError>>) -> Result<Result<(), WaitError>, RunError>;

    /// Lets time pass.
    fn work(&self, duration: Duration);

    /// Counts iterations: those in which something ran, or all.
    fn iterations(&self) -> u64;
}

pub type Boxed<T> = Pin<Box<dyn Future<Output = T>>>;

/// A loop under a clock that jumps.
struct Core<C: Context> {
    context: C,
    driver: &'static ManualDriver,
    busy: &'static Busy,
    /// Closes the loop when dropped.
    _owner: Option<EventLoop>,
}

impl<C: Context> Owner for Core<C> {
    fn run_forever(&self) {
        self.context.scheduler().run_forever(&self.context).expect("a run");
    }

    fn can_run_now(&self) -> bool {
        self.context.scheduler().run_forever(&self.context) != Err(RunError::Running)
    }

    fn run_body(&self, body: Boxed<Result<u32, Fail>>) -> Result<Result<u32, Fail>, RunError> {
        self.context.scheduler().run_until_complete(&self.context, body)
    }

    fn run_wait(&self, wait: Boxed<Result<(), WaitError>>) -> Result<Result<(), WaitError>, RunError> {
        self.context.scheduler().run_until_complete(&self.context, wait)
    }

    fn work(&self, duration: Duration) {
        self.driver.advance(duration);
    }

    fn iterations(&self) -> u64 {
        self.busy.count()
    }
}

impl<C: Context> Machine<C> {
    fn new(context: C, driver: &'static ManualDriver, busy: &'static Busy, owner: Option<EventLoop>) -> Self {
        let owner = Rc::new(Core { context: context.clone(), driver, busy, _owner: owner });
        Self { context, owner }
    }
}

/// Counts all iterations, and lets no time pass, as on [`rondel_loop`].
struct Plain<C: Context>(Rc<dyn Owner>, C);

impl<C: Context> Owner for Plain<C> {
    fn run_forever(&self) {
        self.0.run_forever();
    }

    fn can_run_now(&self) -> bool {
        self.0.can_run_now()
    }

    fn run_body(&self, body: Boxed<Result<u32, Fail>>) -> Result<Result<u32, Fail>, RunError> {
        self.0.run_body(body)
    }

    fn run_wait(&self, wait: Boxed<Result<(), WaitError>>) -> Result<Result<(), WaitError>, RunError> {
        self.0.run_wait(wait)
    }

    fn work(&self, _duration: Duration) {}

    fn iterations(&self) -> u64 {
        self.1.scheduler().statistics().iterations
    }
}

/// Makes the loop with which `rondel`'s is compared.
pub fn plain_loop() -> Machine<Wheeled> {
    let machine = wheel_loop();
    Machine { owner: Rc::new(Plain(machine.owner, machine.context)), context: machine.context }
}

/// The loop of `rondel`, on the kernel that has no descriptors. Nothing can move
/// its clock but its waits, and one that nothing can end is an error there.
struct Rondel(rondel::EventLoop);

impl Rondel {
    fn ended<T>(ended: rondel::Result<T>) -> Result<T, RunError> {
        ended.map_err(|error| match error.kind() {
            ErrorKind::Stopped => RunError::Stopped,
            ErrorKind::AwaitedCancelled => RunError::Cancelled,
            ErrorKind::Io => {
                was_idle();
                RunError::Stopped
            }
            _ => panic!("{error}"),
        })
    }
}

impl From<Fail> for rondel::Error {
    fn from(failure: Fail) -> Self {
        Self::new(failure)
    }
}

impl Owner for Rondel {
    fn run_forever(&self) {
        if let Err(error) = Self::ended(self.0.run_forever()) {
            assert_eq!(error, RunError::Stopped);
        }
    }

    fn can_run_now(&self) -> bool {
        self.0.run_forever().map_err(|error| error.kind()) != Err(ErrorKind::Running)
    }

    fn run_body(&self, body: Boxed<Result<u32, Fail>>) -> Result<Result<u32, Fail>, RunError> {
        let ended = self.0.run_until_complete(body);
        // An error of the script is not one of the run.
        let failure = ended.as_ref().err().and_then(|error| error.source()?.downcast_ref::<Fail>().copied());
        failure.map_or_else(|| Self::ended(ended).map(Ok), |failure| Ok(Err(failure)))
    }

    fn run_wait(&self, wait: Boxed<Result<(), WaitError>>) -> Result<Result<(), WaitError>, RunError> {
        Self::ended(self.0.run_until_complete(async { Ok::<_, rondel::Error>(wait.await) }))
    }

    fn work(&self, _duration: Duration) {}

    fn iterations(&self) -> u64 {
        self.0.statistics().iterations
    }
}

/// Makes a loop of `rondel`.
pub fn rondel_loop() -> Machine<rondel::EventLoopHandle> {
    let config = rondel::Config { calls: CALLS, futures: FUTURES, tasks: TASKS, ..Default::default() };
    let event_loop = rondel::EventLoop::without_descriptors(config).expect("memory");
    let context = event_loop.handle();
    context.set_exception_handler(|_, context| report(context));
    Machine { context, owner: Rc::new(Rondel(event_loop)) }
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
    Machine::new(owner.handle(), driver, busy, Some(owner))
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
    Machine::new(Wheeled(leak(WheeledShared { scheduler, driver, busy })), driver, busy, None)
}

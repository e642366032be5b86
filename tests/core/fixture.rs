//! What every test stands on: a loop of any capacity, a clock that only the
//! test moves, a trace, and the reports that the exception handler got.

use core::cell::{Cell, RefCell};
use core::future::Future as StdFuture;
use core::mem::MaybeUninit;
use core::panic::{AssertUnwindSafe, Location};
use core::time::Duration;
use std::panic::catch_unwind;
use std::rc::Rc;
use std::thread::ThreadId;

use rondel_core::raw::{Bodies, Memory, Region, WakeCell, WakeTable, Wheel};
use rondel_core::{
    Callback, Context, Doorbell, Driver, EventLoop, EventLoopHandle, ExceptionContext, Future, Handle,
    Instant, Limits, ManualDriver, Outcome, Panicked, Refused, RunError, Scheduler, Statistics, Storage,
    Task, TaskCell, TimerHandle,
};

/// Records what happened, in order.
#[derive(Clone, Default)]
pub struct Trace(Rc<RefCell<Vec<&'static str>>>);

impl Trace {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn push(&self, what: &'static str) {
        self.0.borrow_mut().push(what);
    }

    /// Returns the record and empties it.
    pub fn take(&self) -> Vec<&'static str> {
        self.0.take()
    }

    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Makes a callback that records `what`.
    pub fn note<C>(&self, what: &'static str) -> impl FnOnce(&C) + 'static {
        let trace = self.clone();
        move |_| trace.push(what)
    }

    /// Makes a value that records `what` when it is dropped.
    pub fn on_drop(&self, what: &'static str) -> OnDrop {
        OnDrop(Box::new((self.clone(), what)))
    }
}

/// Records its own drop.
pub struct OnDrop(Box<(Trace, &'static str)>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        let (trace, what) = &*self.0;
        trace.push(what);
    }
}

/// Runs a closure when dropped: the hostile destructor.
pub struct Defer<F: FnOnce()>(Option<F>);

pub fn defer<F: FnOnce()>(f: F) -> Defer<F> {
    Defer(Some(f))
}

impl<F: FnOnce()> Drop for Defer<F> {
    fn drop(&mut self) {
        if let Some(f) = self.0.take() {
            f();
        }
    }
}

/// An error to fail with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Oops(pub u32);

impl core::fmt::Display for Oops {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "oops {}", self.0)
    }
}

impl core::error::Error for Oops {}

thread_local! {
    static REPORTS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Returns what the exception handler was told in this thread: message, error.
pub fn reports() -> Vec<String> {
    REPORTS.take()
}

pub fn report(context: &ExceptionContext<'_>) {
    let error = context.exception.map_or_else(String::new, |error| format!(": {error}"));
    REPORTS.with_borrow_mut(|reports| reports.push(format!("{}{error}", context.message)));
}

pub fn leak<T>(value: T) -> &'static mut T {
    Box::leak(Box::new(value))
}

fn leak_slice<T>(len: usize, mut make: impl FnMut() -> T) -> &'static mut [T] {
    Box::leak((0..len).map(|_| make()).collect())
}

/// Makes a driver on which a wait that nothing can end fails the test.
pub fn driver() -> &'static ManualDriver {
    let driver = leak(ManualDriver::new());
    driver.set_idle_hook(Some(|_| panic!("the loop waits for something that never comes")));
    driver
}

/// A loop and its clock, whichever context it has.
pub struct Fixture<C: Context> {
    pub context: C,
    pub driver: &'static ManualDriver,
    pub owner: Option<EventLoop>,
}

/// Makes core's own loop.
pub fn event_loop<const CALLS: usize, const FUTURES: usize, const TASKS: usize, const BYTES: usize>()
-> Fixture<EventLoopHandle> {
    let storage: &'static Storage<CALLS, FUTURES, TASKS, BYTES> = leak(Storage::new());
    let driver = driver();
    let owner = EventLoop::new(storage.take().expect("a new storage"), driver);
    owner.set_exception_handler(Some(|_, context| report(context)));
    Fixture { context: owner.handle(), driver, owner: Some(owner) }
}

/// Makes core's own loop with room for most tests.
pub fn core_loop() -> Fixture<EventLoopHandle> {
    event_loop::<32, 16, 16, 1024>()
}

/// Tells which thread runs the loop, and wakes it.
pub struct ThreadDoorbell {
    thread: std::thread::Thread,
    id: ThreadId,
}

// SAFETY: compares the threads; there are no interrupts or signal handlers here.
unsafe impl Doorbell for ThreadDoorbell {
    fn ring(&self) {
        self.thread.unpark();
    }

    fn is_loop_thread(&self) -> bool {
        std::thread::current().id() == self.id
    }
}

/// A context like that of a layer above: a wheel, a doorbell that knows its
/// thread, and a guard that catches panics if it is asked to.
#[derive(Clone, Copy)]
pub struct Own(pub &'static OwnShared);

pub struct OwnShared {
    scheduler: Scheduler<Own>,
    driver: &'static ManualDriver,
    pub catches: Cell<bool>,
    /// Blocks in `wait` until another thread rings, if nothing else is to come.
    pub blocks: Cell<bool>,
    /// Is called when a panic was caught, before the scheduler knows.
    pub on_panic: Cell<Option<fn(&Own)>>,
}

impl Context for Own {
    fn scheduler(&self) -> &Scheduler<Self> {
        &self.0.scheduler
    }

    fn now(&self) -> Instant {
        Driver::now(self.0.driver)
    }

    fn wait(&self, deadline: Option<Instant>) {
        if self.0.blocks.get() && deadline.is_none() {
            std::thread::park();
        } else {
            Driver::wait(self.0.driver, deadline);
        }
    }

    fn call_exception_handler(&self, context: &ExceptionContext<'_>) {
        report(context);
    }

    fn guard<R>(&self, step: impl FnOnce() -> R) -> Result<R, Panicked> {
        if !self.0.catches.get() {
            return Ok(step());
        }
        catch_unwind(AssertUnwindSafe(step)).map_err(|_| {
            report(&ExceptionContext::new("panicked"));
            if let Some(hook) = self.0.on_panic.get() {
                hook(self);
            }
            Panicked
        })
    }
}

/// Makes a loop of run-time capacities on the raw parts.
pub fn own(calls: usize, futures: usize, tasks: usize, words: usize) -> Fixture<Own> {
    let driver = driver();
    let doorbell = leak(ThreadDoorbell { thread: std::thread::current(), id: std::thread::current().id() });
    let wake = leak(WakeTable::new(
        leak_slice(tasks, WakeCell::new),
        leak_slice(calls, || [0; 2]),
        leak_slice(tasks, || [[0; 2]; 2]),
        doorbell,
    ));
    let memory = Memory {
        calls: Region::new(leak_slice(calls, MaybeUninit::uninit)),
        threadsafe_calls: 0,
        heap: Region::new(leak_slice(calls, MaybeUninit::uninit)),
        wheel: Region::new(leak_slice(1, MaybeUninit::<Wheel>::uninit)),
        futures: Region::new(leak_slice(futures, MaybeUninit::uninit)),
        tasks: Region::new(leak_slice(tasks, MaybeUninit::uninit)),
        bodies: Bodies::new(leak_slice(tasks * words, MaybeUninit::uninit), words, |_| {}),
        wake,
    };
    let shared = leak(OwnShared {
        scheduler: Scheduler::new(memory, Limits::DEFAULT),
        driver,
        catches: Cell::new(false),
        blocks: Cell::new(false),
        on_panic: Cell::new(None),
    });
    Fixture { context: Own(shared), driver, owner: None }
}

/// Makes the loop on the raw parts with room for most tests.
pub fn own_loop() -> Fixture<Own> {
    own(32, 16, 16, 128)
}

impl<C: Context> Fixture<C> {
    pub fn scheduler(&self) -> &Scheduler<C> {
        self.context.scheduler()
    }

    pub fn statistics(&self) -> Statistics {
        self.scheduler().statistics()
    }

    pub fn run_forever(&self) -> Result<(), RunError> {
        self.scheduler().run_forever(&self.context)
    }

    /// Runs one iteration that does not wait.
    pub fn turn(&self) {
        self.scheduler().stop();
        self.run_forever().expect("an iteration");
    }

    /// Runs iterations until nothing is ready, nor woken from elsewhere.
    pub fn settle(&self) {
        let mut quiet = 0;
        for _ in 0..10_000 {
            self.turn();
            quiet = if self.statistics().ready == 0 { quiet + 1 } else { 0 };
            if quiet == 2 {
                return;
            }
        }
        panic!("the loop does not come to rest");
    }

    pub fn block_on<F>(&self, future: F) -> Result<F::Output, RunError>
    where
        F: StdFuture<Output: Outcome + 'static>,
    {
        self.scheduler().run_until_complete(&self.context, future)
    }

    pub fn close(&self) -> Result<(), RunError> {
        self.scheduler().close(&self.context)
    }
}

impl<C: Context> Drop for Fixture<C> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = self.close();
        }
    }
}

/// The calls of the loop, for every context.
pub trait Calls: Context {
    #[track_caller]
    fn soon<F, R>(&self, callback: F) -> Result<Handle<Self>, Refused<F>>
    where
        F: FnOnce(&Self) -> R + 'static,
        R: Outcome,
    {
        self.scheduler().call_soon(self, callback, Callback::new, Location::caller())
    }

    #[track_caller]
    fn later<F, R>(&self, nanos: u64, callback: F) -> Result<TimerHandle<Self>, Refused<F>>
    where
        F: FnOnce(&Self) -> R + 'static,
        R: Outcome,
    {
        let delay = Duration::from_nanos(nanos);
        self.scheduler().call_later(self, delay, callback, Callback::new, Location::caller())
    }

    #[track_caller]
    fn at<F, R>(&self, nanos: u64, callback: F) -> Result<TimerHandle<Self>, Refused<F>>
    where
        F: FnOnce(&Self) -> R + 'static,
        R: Outcome,
    {
        let when = Instant::from_nanos(nanos);
        self.scheduler().call_at(self, when, callback, Callback::new, Location::caller())
    }

    #[track_caller]
    fn future<T: 'static>(&self) -> Future<T, Self> {
        Future::new(self).expect("room for a future")
    }

    #[track_caller]
    fn task<F>(&self, future: F) -> Task<F::Output, Self>
    where
        F: StdFuture<Output: Outcome + 'static> + 'static,
    {
        Task::new(self, future, TaskCell::new).expect("room for a task")
    }

    fn stop(&self) {
        self.scheduler().stop();
    }
}

impl<C: Context> Calls for C {}

/// Runs each test on core's own loop (a heap, wakes by flag) and on a loop
/// made of the raw parts (a wheel, wakes straight into the queue).
macro_rules! on_both_loops {
    ($($(#[$attribute:meta])* $name:ident),* $(,)?) => {
        mod on_core_loop {
            $($(#[$attribute])* #[test] fn $name() { super::$name(&crate::fixture::core_loop()); })*
        }
        mod on_own_loop {
            $($(#[$attribute])* #[test] fn $name() { super::$name(&crate::fixture::own_loop()); })*
        }
    };
}
pub(crate) use on_both_loops;

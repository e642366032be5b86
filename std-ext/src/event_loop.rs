//! The event loop: its owner, and the handle that callbacks and tasks hold.

use core::cell::RefCell;
use core::fmt;
use core::ops::Deref;
use core::time::Duration;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use rondel_core::{Context, Instant, Outcome, Resource, RunError, Statistics};

use crate::faults::Faults;
use crate::inner::Inner;
use crate::process::Ending;
use crate::sys::{FaultyKernel, Kernel, ManualKernel, NullKernel, RealKernel, Time};
use crate::threadsafe::Inbox;
use crate::{Config, Error, Result};

/// Owns a loop: runs it, and closes it when dropped.
///
/// All methods of [`EventLoopHandle`] are here too.
///
/// ```
/// use rondel::EventLoop;
///
/// let event_loop = EventLoop::new()?;
/// event_loop.call_soon(|event_loop| {
///     println!("Hello World");
///     event_loop.stop();
/// })?;
/// event_loop.run_forever()?;
/// # Ok::<(), rondel::Error>(())
/// ```
///
/// # Python
/// `asyncio.BaseEventLoop`.
#[derive(Debug)]
pub struct EventLoop(EventLoopHandle);

impl EventLoop {
    /// Makes a loop with the default [`Config`].
    ///
    /// # Errors
    /// If the operating system refuses what a loop needs: descriptors for epoll,
    /// an eventfd and a timerfd, and address space.
    ///
    /// # Python
    /// `asyncio.new_event_loop()`.
    pub fn new() -> Result<Self> {
        Self::with_config(Config::default())
    }

    /// Makes a loop with capacities and choices of its own.
    ///
    /// # Errors
    /// As [`EventLoop::new`]; an `Io` with `EINVAL` if the system has no such clock as
    /// [`Config::clock`] names.
    pub fn with_config(config: Config) -> Result<Self> {
        Self::on_kernel(&config, Rc::new(RealKernel::new(config.clock).map_err(not_made)?))
    }

    /// Makes a loop for tests: real descriptors, and a clock that jumps to the
    /// next deadline instead of letting the loop sleep.
    ///
    /// # Errors
    /// As [`EventLoop::new`].
    pub fn with_manual_clock(config: Config) -> Result<(Self, ManualClock)> {
        let kernel = Rc::new(ManualKernel::new().map_err(not_made)?);
        let event_loop = Self::on_kernel(&config, Rc::<ManualKernel>::clone(&kernel))?;
        Ok((event_loop, ManualClock { kernel }))
    }

    /// As [`with_manual_clock`](Self::with_manual_clock), on an operating system
    /// that fails on request.
    ///
    /// # Errors
    /// As [`EventLoop::new`].
    pub fn with_faults(config: Config) -> Result<(Self, ManualClock, Faults)> {
        let kernel = Rc::new(ManualKernel::new().map_err(not_made)?);
        let faults = Faults::default();
        let faulty = FaultyKernel::new(Rc::clone(&kernel), faults.clone());
        let event_loop = Self::on_kernel(&config, Rc::new(faulty))?;
        Ok((event_loop, ManualClock { kernel }, faults))
    }

    /// Makes a loop without any operating system: its clock jumps, and whatever
    /// needs a descriptor is refused with a typed error.
    ///
    /// # Errors
    /// If there is not enough address space.
    pub fn without_descriptors(config: Config) -> Result<Self> {
        Self::on_kernel(&config, Rc::new(NullKernel::new()))
    }

    fn on_kernel(config: &Config, kernel: Rc<dyn Kernel>) -> Result<Self> {
        let inner = Rc::new(Inner::new(config, kernel).map_err(not_made)?);
        // Gone only at the end of a thread, and nobody misses it then.
        let _ = LOOPS.try_with(|loops| loops.borrow_mut().push(Rc::downgrade(&inner)));
        let event_loop = Self(EventLoopHandle { inner });
        if let Some(limit) = config.watchdog {
            event_loop.start_logging_watchdog(limit).map_err(not_made)?;
        }
        Ok(event_loop)
    }

    /// Returns a handle for callbacks and tasks.
    #[must_use]
    pub fn handle(&self) -> EventLoopHandle {
        self.0.clone()
    }

    /// Runs until [`EventLoopHandle::stop`] is called.
    ///
    /// # Errors
    /// `Running` inside a callback, or while another loop runs in this thread
    /// (contract R-10); `Closed`; `Io` if the kernel's wait fails.
    ///
    /// # Python
    /// `loop.run_forever()`.
    pub fn run_forever(&self) -> Result<()> {
        let _running = self.enter()?;
        self.0.inner.scheduler.run_forever(&self.0)?;
        self.waited()
    }

    /// Runs one iteration, which waits if nothing is ready. In the loop of somebody
    /// else who waits: [`EventLoop::run_nowait`].
    ///
    /// # Errors
    /// As [`EventLoop::run_forever`].
    ///
    /// # Python
    /// `loop._run_once()`.
    pub fn run_once(&self) -> Result<()> {
        let _running = self.enter()?;
        self.0.inner.scheduler.run_once(&self.0)?;
        self.waited()
    }

    /// Runs `future` as a task until it is done, and returns its value.
    ///
    /// The future needn't be `'static`. If the loop is stopped before, it is
    /// dropped; to let it run on later, make it a task and pass a clone of that.
    ///
    /// # Errors
    /// The future's own error; `Stopped` (R-6); as [`EventLoop::run_forever`].
    ///
    /// # Python
    /// `loop.run_until_complete(future)`.
    #[track_caller]
    pub fn run_until_complete<F>(&self, future: F) -> Result<<F::Output as Outcome>::Value>
    where
        F: IntoFuture<Output: Outcome<Error: Into<Error>> + 'static>,
    {
        let _running = self.enter()?;
        let output = self.0.inner.scheduler.run_until_complete(&self.0, future.into_future());
        if let Err(RunError::Stopped) = output {
            self.waited()?;
        }
        output?.into_result().map_err(Into::into)
    }

    /// Drops everything unrun, stops watching descriptors and gives them back;
    /// handles and remotes answer `Closed` from then on. A second close does
    /// nothing.
    ///
    /// # Errors
    /// `Running` inside a callback (R-12).
    ///
    /// # Python
    /// `loop.close()`.
    pub fn close(&self) -> Result<()> {
        if self.is_closed() {
            return Ok(());
        }
        if self.is_running() {
            return Err(RunError::Running.into());
        }
        // Its second half happens also if a destructor unwinds through the first.
        let _closing = Closing(&self.0);
        Ok(self.0.inner.scheduler.close(&self.0)?)
    }

    pub(crate) fn enter(&self) -> Result<Entered> {
        let entered = RUNNING.try_with(|running| -> Result<Entered> {
            let mut running = running.borrow_mut();
            if running.is_some() {
                return Err(RunError::Running.into());
            }
            *running = Some(self.0.clone());
            Ok(Entered)
        });
        let entered = entered.unwrap_or_else(|_| Ok(Entered))?;
        // What an earlier run had no chance to report is stale by now.
        self.0.inner.wait_error.set(None);
        Ok(entered)
    }

    pub(crate) fn waited(&self) -> Result<()> {
        match self.0.inner.wait_error.take() {
            Some(error) => Err(Error::from(error).during("waiting for events")),
            None => Ok(()),
        }
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        // Refused only while the loop runs, and then its owner is borrowed.
        let _ = self.close();
    }
}

impl Deref for EventLoop {
    type Target = EventLoopHandle;

    fn deref(&self) -> &EventLoopHandle {
        &self.0
    }
}

/// Makes a loop, runs the future that `main` makes of its handle, cancels the
/// tasks that are left, waits for their end, and closes the loop.
///
/// ```
/// # use core::time::Duration;
/// rondel::run(async |event_loop| {
///     event_loop.sleep(Duration::from_millis(1)).await?;
///     println!("Hello World");
///     Ok(())
/// })?;
/// # Ok::<(), rondel::Error>(())
/// ```
///
/// # Errors
/// The future's own error, or the loop's.
///
/// # Python
/// `asyncio.run(main())`.
#[track_caller]
pub fn run<F, T>(main: F) -> Result<T>
where
    F: AsyncFnOnce(EventLoopHandle) -> Result<T>,
    T: 'static,
{
    let event_loop = EventLoop::new()?;
    let result = event_loop.run_until_complete(main(event_loop.handle()));
    let cancelled = event_loop.cancel_all_tasks();
    event_loop.close()?;
    let value = result?;
    cancelled?;
    Ok(value)
}

impl EventLoop {
    /// Cancels all tasks and runs the loop until they are done.
    fn cancel_all_tasks(&self) -> Result<()> {
        let tasks: Vec<_> = self.all_tasks().collect();
        for task in &tasks {
            task.cancel();
        }
        self.run_until_complete(async {
            for task in &tasks {
                task.wait().await?;
            }
            Ok::<(), Error>(())
        })
    }
}

/// Returns the loop that runs in this thread.
///
/// # Python
/// `asyncio.get_running_loop()`, which raises where this is `None`.
#[must_use]
pub fn running_loop() -> Option<EventLoopHandle> {
    RUNNING.try_with(|running| running.try_borrow().ok()?.clone()).ok().flatten()
}

thread_local! {
    /// Is the loop that runs in this thread (contract R-10).
    static RUNNING: RefCell<Option<EventLoopHandle>> = const { RefCell::new(None) };

    /// Are the open loops of this thread.
    static LOOPS: RefCell<Vec<Weak<Inner>>> = const { RefCell::new(Vec::new()) };
}

/// The second half of a close: what the scheduler doesn't know of.
struct Closing<'a>(&'a EventLoopHandle);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        let Self(event_loop) = self;
        let inner = &event_loop.inner;
        event_loop.close_signals();
        event_loop.end_children(Ending::Close);
        event_loop.close_sources();
        let calls = inner.close();
        let _ = LOOPS.try_with(|loops| {
            loops.borrow_mut().retain(|other| !core::ptr::eq(other.as_ptr(), Rc::as_ptr(inner)));
        });
        // Foreign destructors come last, when nothing is left to be skipped.
        for call in calls {
            let _ = event_loop.guard(|| drop(call));
        }
        inner.lookups.close();
        let _ = event_loop.guard(|| drop(inner.executor.take()));
        let _ = event_loop.guard(|| drop(inner.task_factory.take()));
        let _ = event_loop.guard(|| drop(inner.exception_handler.take()));
        inner.observers.set_watchdog(None);
        inner.reporter.finish();
    }
}

/// Ends the run of this thread's loop.
pub(crate) struct Entered;

impl Drop for Entered {
    fn drop(&mut self) {
        let left = RUNNING.try_with(RefCell::take);
        if let Ok(Some(event_loop)) = &left {
            event_loop.inner.observers.rest();
        }
        drop(left);
    }
}

/// Returns the loop with this inbox, if it belongs to this thread.
pub(crate) fn loop_of_this_thread(inbox: &Arc<Inbox>) -> Option<EventLoopHandle> {
    let inner = find_in_this_thread(|inner| Arc::ptr_eq(&inner.inbox, inbox))?;
    Some(EventLoopHandle { inner })
}

/// Returns the first open loop of this thread that is meant.
pub(crate) fn find_in_this_thread(is_meant: impl Fn(&Inner) -> bool) -> Option<Rc<Inner>> {
    let found = LOOPS.try_with(|loops| {
        let loops = loops.try_borrow().ok()?;
        let mut open = loops.iter().filter_map(Weak::upgrade);
        open.find(|inner| is_meant(inner))
    });
    found.ok().flatten()
}

/// Refers to a loop: what callbacks receive and tasks hold.
///
/// Cheap to clone, and not `Send`: from another thread, [`EventLoopHandle::remote`].
/// It does not keep the loop open; after the close it answers `Closed`.
#[derive(Clone)]
pub struct EventLoopHandle {
    pub(crate) inner: Rc<Inner>,
}

impl EventLoopHandle {
    /// Reads the loop's clock, of [`Config::clock`]: monotonic, fresh at each call (contract T-1).
    ///
    /// # Python
    /// `loop.time()`.
    #[must_use]
    pub fn time(&self) -> Instant {
        self.now()
    }

    /// Makes the loop return after the iteration that is running, or after one
    /// if none is (R-2, R-3).
    ///
    /// # Python
    /// `loop.stop()`.
    pub fn stop(&self) {
        self.inner.scheduler.stop();
    }

    /// Tells whether the loop runs.
    ///
    /// # Python
    /// `loop.is_running()`.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.inner.scheduler.is_running()
    }

    /// Tells whether the loop was closed.
    ///
    /// # Python
    /// `loop.is_closed()`.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.scheduler.is_closed()
    }

    /// Counts what the loop has done and holds.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let mut statistics = self.inner.scheduler.statistics();
        statistics.refusals.add(Resource::ThreadsafeCall, self.inner.inbox.refused());
        statistics.refusals.add(Resource::Descriptor, self.inner.sources.borrow().refused());
        statistics
    }

    /// Counts the descriptors that the loop watches.
    #[must_use]
    pub fn watched_descriptors(&self) -> usize {
        self.inner.sources.borrow().len()
    }
}

impl fmt::Debug for EventLoopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// Says what could not be done: make a loop.
fn not_made(error: impl Into<Error>) -> Error {
    error.into().during("EventLoop::new")
}

/// Moves the clock of a loop made by [`EventLoop::with_manual_clock`] or
/// [`EventLoop::with_faults`].
#[derive(Clone, Debug)]
pub struct ManualClock {
    kernel: Rc<ManualKernel>,
}

impl ManualClock {
    /// Moves the clock on.
    pub fn advance(&self, duration: Duration) {
        self.kernel.advance(duration);
    }

    /// Returns the time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.kernel.now()
    }

    /// Counts the waits of the loop.
    #[must_use]
    pub fn waits(&self) -> usize {
        self.kernel.waits()
    }

    /// Returns the deadline of the last wait.
    #[must_use]
    pub fn last_deadline(&self) -> Option<Instant> {
        self.kernel.last_deadline()
    }

    /// Sets for how long, in real time, a wait looks for what other threads do
    /// before the clock jumps; zero at first.
    pub fn set_autojump_threshold(&self, threshold: Duration) {
        self.kernel.set_autojump_threshold(threshold);
    }
}

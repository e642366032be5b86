//! The event loop, as its owner has it.

mod closing;
mod handle;
mod manual_clock;
mod run;
mod this_thread;

use core::ops::Deref;
use std::rc::Rc;

use rondel_core::{Outcome, RunError};

use self::closing::Closing;
pub use self::handle::EventLoopHandle;
pub use self::manual_clock::ManualClock;
pub use self::run::run;
pub use self::this_thread::running_loop;
pub(crate) use self::this_thread::{Entered, find_in_this_thread, loop_of_this_thread};
use crate::faults::Faults;
use crate::inner::Inner;
use crate::sys::{FaultyKernel, Kernel, ManualKernel, NullKernel, RealKernel};
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
        Ok((event_loop, ManualClock::of(kernel)))
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
        Ok((event_loop, ManualClock::of(kernel), faults))
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
        this_thread::add(&inner);
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
        let entered = Entered::enter(&self.0)?;
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

/// Says what could not be done: make a loop.
fn not_made(error: impl Into<Error>) -> Error {
    error.into().during("EventLoop::new")
}

//! The loop of a microcontroller: its owner, and what its handles share.
#![allow(unsafe_code, reason = "lets the handle alone decide about threads")]

use core::cell::Cell;
use core::ops::Deref;

use crate::driver::Driver;
use crate::region::Region;
use crate::storage::StorageMemory;
use crate::tables::Memory;
use crate::wake::WakeTable;
use crate::{
    EventLoopHandle, ExceptionHandler, Hooks, Instrument, Limits, Outcome, RunError, Scheduler, TaskFactory,
};

/// What all handles of a loop refer to.
pub(crate) struct Shared {
    pub(crate) scheduler: Scheduler<EventLoopHandle>,
    pub(crate) driver: &'static dyn Driver,
    pub(crate) exception_handler: Cell<Option<ExceptionHandler>>,
    pub(crate) unhandled: Cell<u64>,
    pub(crate) task_factory: Cell<Option<TaskFactory>>,
    pub(crate) instrument: Cell<Option<&'static dyn Instrument>>,
    /// Is `None` while there is no instrument.
    pub(crate) hooks: Cell<Option<&'static Hooks<EventLoopHandle>>>,
}

// SAFETY: it is reached only through a handle, and a handle stays in its thread.
// So the compiler names the handle where one is sent, and not each cell in here.
unsafe impl Sync for Shared {}

/// Owns a loop: runs it, and closes it when dropped.
///
/// All methods of [`EventLoopHandle`] are here too.
///
/// # Python
/// `asyncio.BaseEventLoop`.
#[derive(Debug)]
pub struct EventLoop(EventLoopHandle);

impl EventLoop {
    /// Makes a loop in the memory of a [`Storage`](crate::Storage).
    #[must_use]
    pub fn new(memory: StorageMemory, driver: &'static dyn Driver) -> Self {
        let doorbell = driver.doorbell();
        let wake =
            memory.wake.write(WakeTable::new(memory.cells, memory.call_links, memory.task_links, doorbell));
        let memory_of_scheduler = Memory {
            calls: memory.calls,
            threadsafe_calls: 0,
            heap: memory.heap,
            wheel: Region::new(&mut []),
            futures: memory.futures,
            tasks: memory.tasks,
            bodies: memory.bodies,
            wake,
        };
        let shared = memory.shared.write(Shared {
            scheduler: Scheduler::new(memory_of_scheduler, Limits::DEFAULT),
            driver,
            exception_handler: Cell::new(None),
            unhandled: Cell::new(0),
            task_factory: Cell::new(None),
            instrument: Cell::new(None),
            hooks: Cell::new(None),
        });
        Self(EventLoopHandle::new(shared))
    }

    /// Returns a handle for callbacks and tasks.
    #[must_use]
    pub fn handle(&self) -> EventLoopHandle {
        self.0
    }

    /// Runs until [`EventLoopHandle::stop`] is called.
    ///
    /// # Errors
    /// [`RunError::Running`] inside a callback, [`RunError::Closed`].
    ///
    /// # Python
    /// `loop.run_forever()`.
    pub fn run_forever(&self) -> Result<(), RunError> {
        self.0.shared().scheduler.run_forever(&self.0)
    }

    /// Runs one iteration, which waits if nothing is ready.
    ///
    /// # Errors
    /// As [`EventLoop::run_forever`].
    ///
    /// # Python
    /// `loop._run_once()`.
    pub fn run_once(&self) -> Result<(), RunError> {
        self.0.shared().scheduler.run_once(&self.0)
    }

    /// Runs `future` as a task until it is done.
    ///
    /// # Errors
    /// [`RunError::Stopped`] if the loop was stopped before; the future is
    /// dropped then. To let it run on, make it a task and pass a clone of that.
    ///
    /// # Python
    /// `loop.run_until_complete(future)`.
    #[track_caller]
    pub fn run_until_complete<F>(&self, future: F) -> Result<F::Output, RunError>
    where
        F: IntoFuture<Output: Outcome + 'static>,
    {
        self.0.shared().scheduler.run_until_complete(&self.0, future.into_future())
    }

    /// Drops everything unrun; handles answer `Closed` from then on.
    ///
    /// # Errors
    /// [`RunError::Running`] inside a callback.
    ///
    /// # Python
    /// `loop.close()`.
    pub fn close(&self) -> Result<(), RunError> {
        self.0.shared().scheduler.close(&self.0)
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

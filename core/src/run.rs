//! How iterations follow each other: the runs of a loop.
#![allow(unsafe_code, reason = "runs a borrowed future as a task")]

use core::future::Future;
use core::panic::Location;
use core::pin::pin;

use crate::body::{Bodies, TaskCell};
use crate::callback::Callback;
use crate::completion::DoneCallback;
use crate::defect;
use crate::finally::Finally;
use crate::slots::SlotId;
use crate::tables::Source;
use crate::tasks::Status;
use crate::{Context, Instant, Outcome, RunError, Scheduler};

impl<C: Context> Scheduler<C> {
    /// Runs until [`Scheduler::stop`] is called.
    ///
    /// # Errors
    /// [`RunError::Running`] inside a callback, [`RunError::Closed`].
    pub fn run_forever(&self, context: &C) -> Result<(), RunError> {
        let _running = self.start()?;
        self.turn_until_stopped(context);
        Ok(())
    }

    /// Runs one iteration, which waits if nothing is ready.
    ///
    /// # Errors
    /// [`RunError::Running`] inside a callback, [`RunError::Closed`].
    pub fn run_once(&self, context: &C) -> Result<(), RunError> {
        let _running = self.start()?;
        self.turn(context);
        Ok(())
    }

    /// Runs one iteration, which doesn't wait.
    ///
    /// # Errors
    /// [`RunError::Running`] inside a callback, [`RunError::Closed`].
    pub fn run_nowait(&self, context: &C) -> Result<(), RunError> {
        let _running = self.start()?;
        // What `prepare` has announced is over.
        self.wake.awake();
        self.stop();
        self.turn(context);
        Ok(())
    }

    /// Prepares for somebody else's wait in place of the loop's own: from here on a
    /// wake rings the doorbell. Returns until when to wait, as [`Context::wait`] is
    /// told; zero is "not at all".
    ///
    /// It has to be called anew after whatever was asked of the loop in its thread,
    /// which rings for nobody. [`Scheduler::run_nowait`] ends the wait.
    ///
    /// # Errors
    /// [`RunError::Running`] inside a callback, [`RunError::Closed`].
    pub fn prepare(&self) -> Result<Option<Instant>, RunError> {
        if self.is_closed() {
            return Err(RunError::Closed);
        }
        if self.is_running() {
            return Err(RunError::Running);
        }
        // The order is that of a wait of our own: announced, and then looked for.
        self.wake.sleep();
        let is_idle = self.wake.with(|ready| ready.is_empty());
        Ok(if is_idle { self.wait_until() } else { Some(Instant::ZERO) })
    }

    /// Runs `future` as a task, and the loop until it is done.
    ///
    /// The future needn't be `'static`: it lives on this call's stack, and on
    /// every way out the task is gone.
    ///
    /// # Errors
    /// [`RunError::Stopped`] if the loop was stopped before; what
    /// [`Scheduler::run_forever`] refuses; [`RunError::Refused`] if the task
    /// table is full; [`RunError::Panicked`].
    #[track_caller]
    pub fn run_until_complete<F>(&self, context: &C, future: F) -> Result<F::Output, RunError>
    where
        F: Future<Output: Outcome + 'static>,
    {
        let location = Location::caller();
        let _running = self.start()?;
        let mut cell = pin!(TaskCell::new(future));
        // SAFETY: `borrowed` removes the task before `cell` goes, also when the
        // run unwinds: it is declared later and so dropped earlier.
        let body = unsafe { Bodies::borrow(cell.as_mut()) };
        let id =
            self.insert_borrowed_task(context, body, size_of::<F>(), location).map_err(RunError::Refused)?;
        let mut borrowed = Borrowed { scheduler: self, context, id, hook: None };
        let hook = self
            .add_done_callback(
                Source::Task(id),
                (),
                |()| Callback::new(|context: &C| context.scheduler().stop()),
                location,
            )
            .map_err(|refused| RunError::Refused(refused.refusal()))?;
        borrowed.hook = Some(hook);
        self.turn_until_stopped(context);
        borrowed.result()
    }

    fn start(&self) -> Result<StopRunning<'_, C>, RunError> {
        if self.is_closed() {
            return Err(RunError::Closed);
        }
        if self.is_running.replace(true) {
            return Err(RunError::Running);
        }
        self.forget_time();
        Ok(StopRunning(self))
    }

    fn turn_until_stopped(&self, context: &C) {
        loop {
            self.turn(context);
            if self.is_stopping.get() {
                break;
            }
        }
    }
}

/// Ends a run. The request to stop is consumed on every way out.
struct StopRunning<'a, C: Context>(&'a Scheduler<C>);

impl<C: Context> Drop for StopRunning<'_, C> {
    fn drop(&mut self) {
        self.0.is_stopping.set(defect::STOP_STAYS && self.0.is_stopping.get());
        self.0.is_running.set(false);
    }
}

/// Removes the task of a borrowed future on every way out.
struct Borrowed<'a, C: Context> {
    scheduler: &'a Scheduler<C>,
    context: &'a C,
    id: SlotId,
    /// Stops the loop when the task is done.
    hook: Option<DoneCallback>,
}

impl<C: Context> Borrowed<'_, C> {
    /// Takes the result, or says why there is none.
    fn result<T: 'static>(&self) -> Result<T, RunError> {
        let status = self.scheduler.with_task(self.id, |task| task.status);
        match status {
            Some(Status::Pending) | None => Err(RunError::Stopped),
            Some(Status::Panicked) => Err(RunError::Panicked),
            Some(Status::Done | Status::Cancelled) => {
                // SAFETY: `run_until_complete` made the body and asks for its type.
                unsafe { self.scheduler.take_output(self.id) }.ok_or(RunError::Cancelled)
            }
        }
    }
}

impl<C: Context> Drop for Borrowed<'_, C> {
    fn drop(&mut self) {
        // Pending or about to run: in neither case may the hook stop a later run
        //
        let _removed = Finally(|| self.scheduler.remove_task(self.context, self.id));
        if let Some(hook) = self.hook {
            self.scheduler.cancel_call(self.context, hook.0);
        }
    }
}

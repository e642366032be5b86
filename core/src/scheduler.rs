//! The scheduler: one set of tables, and the state of the loop over them.

use core::cell::Cell;
use core::error::Error;
use core::fmt;

use crate::completion::Askers;
use crate::exclusive::Joined;
use crate::finally::Finally;
use crate::ready::Ready;
use crate::refusals::RefusalCounts;
use crate::tables::{Memory, Tables};
use crate::wake::WakeTable;
use crate::{Context, ExceptionContext, Instant, Limits, RunError, Running, SlotId};

/// Is how many iterations old the loop's idea of the time may be.
const TURNS_PER_READING: u32 = 64;

/// asyncio's scheduler, over a context `C` that callbacks receive.
///
/// This is the engine under both loops: [`EventLoop`](crate::EventLoop) here and
/// rondel's. A program uses those; who builds a loop of their own on this owns
/// a `Scheduler<C>`, gives `C` a way to reach it and calls
/// [`Scheduler::run_forever`].
pub struct Scheduler<C: Context> {
    pub(crate) wake: &'static WakeTable,
    pub(crate) tables: Joined<Tables<C>, Ready>,
    pub(crate) limits: Cell<Limits>,
    /// Numbers creations: the generation of every slot, the order of equal
    /// deadlines. Starts at 1; zero marks a free slot.
    pub(crate) seq: Cell<u64>,
    pub(crate) current: Cell<Option<Running>>,
    /// Is the future or task whose done callback runs.
    pub(crate) source: Cell<Option<SlotId>>,
    /// Is `None` until somebody asks for the completion of a future or task.
    pub(crate) askers: Cell<Option<&'static Askers<C>>>,
    /// Is the slot of the task that is cancelled, while its waiters are called.
    pub(crate) poked: Cell<Option<u32>>,
    pub(crate) is_running: Cell<bool>,
    pub(crate) is_stopping: Cell<bool>,
    is_closed: Cell<bool>,
    pub(crate) iterations: Cell<u64>,
    pub(crate) callbacks: Cell<u64>,
    pub(crate) refusals: RefusalCounts,
    pub(crate) turns_unpolled: Cell<u32>,
    /// Is the last reading of the clock that the scheduler knows of.
    pub(crate) latest: Cell<Instant>,
    /// Is the low half of the number of the iteration that took a reading last.
    read_in: Cell<u32>,
}

impl<C: Context> Scheduler<C> {
    /// Makes a scheduler in `memory`.
    #[must_use]
    pub fn new(memory: Memory<C>, limits: Limits) -> Self {
        let wake = memory.wake;
        Self {
            wake,
            tables: Joined::new(Tables::new(memory), wake.ready()),
            limits: Cell::new(limits),
            seq: Cell::new(0),
            current: Cell::new(None),
            source: Cell::new(None),
            askers: Cell::new(None),
            poked: Cell::new(None),
            is_running: Cell::new(false),
            is_stopping: Cell::new(false),
            is_closed: Cell::new(false),
            iterations: Cell::new(0),
            callbacks: Cell::new(0),
            refusals: RefusalCounts::default(),
            turns_unpolled: Cell::new(0),
            latest: Cell::new(Instant::ZERO),
            read_in: Cell::new(0),
        }
    }

    /// Returns what wakers reach of this scheduler.
    pub fn wake_table(&self) -> &'static WakeTable {
        self.wake
    }

    /// Tells whether the loop runs.
    pub fn is_running(&self) -> bool {
        self.is_running.get()
    }

    /// Tells whether the loop was closed.
    pub fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    /// Tells what the loop is running, if user code is.
    pub fn running(&self) -> Option<Running> {
        self.current.get()
    }

    /// Makes the loop return after the iteration that is running, or the next
    /// one if none is (contract ).
    pub fn stop(&self) {
        self.is_stopping.set(true);
    }

    /// Changes how much one turn may do.
    pub fn set_limits(&self, limits: Limits) {
        self.limits.set(limits);
    }

    /// Returns a reading of the clock: of this iteration, or of one of the 64 before.
    ///
    /// Each iteration that slept takes one, and so does the first of a run. It costs nobody anything,
    /// and is what a snapshot says of since when tasks wait.
    #[inline]
    pub fn time(&self) -> Instant {
        self.latest.get()
    }

    /// Reads the clock for this iteration, unless its context did.
    #[inline]
    pub(crate) fn read_time(&self, context: &C) {
        if self.turns_since_reading() > 0 {
            self.note_time(context.now());
        }
    }

    /// Takes over a reading of the clock for this iteration: of a context that notes when what it waited
    /// for came.
    #[inline]
    pub fn note_time(&self, now: Instant) {
        self.latest.set(now);
        self.read_in.set(self.iterations.get() as u32);
    }

    /// Tells whether the clock was read too long ago.
    #[inline]
    pub(crate) fn is_time_old(&self) -> bool {
        self.turns_since_reading() >= TURNS_PER_READING
    }

    /// Makes the next iteration read the clock: nobody knows how long ago the last one was.
    pub(crate) fn forget_time(&self) {
        self.read_in.set((self.iterations.get() as u32).wrapping_sub(TURNS_PER_READING));
    }

    #[inline]
    fn turns_since_reading(&self) -> u32 {
        (self.iterations.get() as u32).wrapping_sub(self.read_in.get())
    }

    /// Numbers a creation. `None` is the end: a loop that has used up all numbers,
    /// after centuries or because it was closed, takes in nothing more, because
    /// none may come twice.
    #[inline]
    pub(crate) fn next_seq(&self) -> Option<u64> {
        let seq = self.seq.get().checked_add(1)?;
        self.seq.set(seq);
        Some(seq)
    }

    /// Reports an error that a callback came back with (contract H-5).
    pub(crate) fn callback_failed(&self, context: &C, error: &(dyn Error + 'static)) {
        let mut report = ExceptionContext::new("Exception in callback").with_exception(error);
        let running = self.current.get();
        report.location = running.map(|running| running.location);
        report.handle = running.and_then(|running| running.handle());
        context.call_exception_handler(&report);
    }

    /// Drops everything unrun and makes all further calls answer `Closed`.
    ///
    /// A task that was not done is reported (TK-10). A second close does nothing
    ///
    ///
    /// # Errors
    /// [`RunError::Running`] while the loop runs.
    pub fn close(&self, context: &C) -> Result<(), RunError> {
        if self.is_running() {
            return Err(RunError::Running);
        }
        if self.is_closed.replace(true) {
            return Ok(());
        }
        self.seq.set(u64::MAX);
        self.wake.close();
        // In this order, from the last to the first, and each also if a
        // destructor panics through the one before.
        let _futures = Finally(|| self.close_futures(context));
        let _tasks = Finally(|| self.close_tasks(context));
        self.close_calls(context);
        Ok(())
    }

    fn close_calls(&self, context: &C) {
        let rest = Finally(|| self.close_calls(context));
        let mut index = 0;
        while let Some(id) = self.tables.with(|tables| tables.calls.next_live(index)) {
            index = id.index + 1;
            // A destructor that panics is reported, and the others still run.
            let _ = context.guard(|| self.cancel_call(context, id));
        }
        core::mem::forget(rest);
    }
}

impl<C: Context> fmt::Debug for Scheduler<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler")
            .field("running", &self.is_running())
            .field("closed", &self.is_closed())
            .field("statistics", &self.statistics())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::boxed::Box;
    use std::rc::Rc;

    use core::time::Duration;

    use crate::{Context, EventLoop, ManualDriver, Storage};

    #[test]
    fn w07_creations_end_in_a_refusal_and_no_number_comes_twice() {
        let storage: &'static Storage<8, 4, 4, 256> = Box::leak(Box::new(Storage::new()));
        let event_loop = EventLoop::new(storage.take().unwrap(), Box::leak(Box::new(ManualDriver::new())));
        let handle = event_loop.handle();
        let scheduler = handle.scheduler();
        // Two are left: one for the future, one for the task.
        scheduler.seq.set(u64::MAX - 2);
        let future = handle.create_future::<u32>().unwrap();
        let awaited = future.clone();
        let task = handle.create_task(async move { awaited.await.is_err() }).unwrap();

        let kept = Rc::new(());
        let callback = kept.clone();
        let refused = handle.call_soon(move |_| drop(callback)).unwrap_err();
        assert!(refused.is_closed());
        drop(refused.into_value());
        assert_eq!(Rc::strong_count(&kept), 1, "the callback came back");
        assert!(handle.call_later(Duration::ZERO, |_| ()).unwrap_err().is_closed());
        assert!(handle.create_future::<u32>().unwrap_err().is_closed());
        assert!(handle.create_task(async {}).unwrap_err().is_closed());
        assert!(future.add_done_callback(|_, _| ()).unwrap_err().is_closed());

        // What lives goes on; a new wait is refused too.
        event_loop.stop();
        event_loop.run_forever().unwrap();
        assert_eq!(task.take(), Ok(true));
        assert_eq!(future.set_result(7).ok(), Some(()));
        assert_eq!(future.take().ok(), Some(7));
        drop((future, task));
        let statistics = event_loop.statistics();
        assert_eq!((statistics.calls.live, statistics.futures.live, statistics.tasks.live), (0, 0, 0));
        assert_eq!(scheduler.seq.get(), u64::MAX);
    }
}

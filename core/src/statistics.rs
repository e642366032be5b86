//! What a loop has done and holds, in numbers.

use crate::{Context, Refusal, Refusals, Scheduler};

/// How full the tables are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Usage {
    /// Counts slots in use.
    pub live: usize,
    /// Is the most slots that were ever in use at once.
    pub peak: usize,
    /// Counts slots in all.
    pub capacity: usize,
}

/// What the loop has done and holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Statistics {
    /// Counts iterations.
    pub iterations: u64,
    /// Counts callbacks and task steps that were run.
    pub callbacks: u64,
    /// Counts what is ready to run.
    pub ready: usize,
    /// Counts timers that are armed.
    pub timers: usize,
    /// Is the most timers that were ever armed at once.
    pub timers_peak: usize,
    /// Is the table of calls: callbacks, timers, handlers, waiters.
    pub calls: Usage,
    /// Is the table of futures.
    pub futures: Usage,
    /// Is the table of tasks.
    pub tasks: Usage,
    /// Counts task slots that wait for the last clone of a former task's waker.
    pub tasks_retired: usize,
    /// Counts what was refused, by resource.
    pub refusals: Refusals,
}

impl<C: Context> Scheduler<C> {
    /// Counts what the loop has done and holds.
    pub fn statistics(&self) -> Statistics {
        self.tables.with_both(|tables, ready| Statistics {
            iterations: self.iterations.get(),
            callbacks: self.callbacks.get(),
            ready: ready.len(),
            timers: tables.timers.len::<C>(),
            timers_peak: tables.timers.peak::<C>(),
            calls: Usage {
                capacity: tables.calls.capacity() - tables.threadsafe.limit,
                ..tables.calls.usage()
            },
            futures: tables.futures.usage(),
            tasks: tables.tasks.usage(),
            tasks_retired: tables.tasks.retired(),
            refusals: self.refusals.get(),
        })
    }

    /// Counts a refusal and returns it. A layer above counts so what it refuses itself.
    #[cold]
    pub fn note_refusal(&self, refusal: Refusal) -> Refusal {
        self.refusals.note(refusal);
        refusal
    }
}

//! The jobs that a loop has handed in, for its snapshots.
//!
//! ```text
//!            result taken, or job taken back
//!  awaited -----------------------------------> gone
//!     |                                          ^
//!     | future dropped while the job runs        | noticed by later jobs
//!     '------------> abandoned ------------> ended
//! ```
//!
//! Each has its entry as long as somebody awaits it or it takes a thread or a process. The thread of an
//! abandoned job can't tell the loop of its end: so each new job looks after two of these, and of those
//! that have ended there are never more than of those that run, and one.

use core::cell::RefCell;
use core::panic::Location;
use std::collections::VecDeque;
use std::{rc, sync};

use rondel_core::{Instant, SlotId};
use slab::Slab;

use crate::snapshot::{JobExecutor, JobRow, JobState, ShortText};

/// Is how many abandoned jobs a new one looks after.
const LOOKS: usize = 2;

/// A job that can be looked at from the thread of its loop.
pub(super) trait Look {
    /// Names it to people.
    fn name(&self) -> &str;

    /// Tells how it stands; `None` if it is over.
    fn state(&self) -> Option<JobState>;
}

/// Where a job is, as long as anybody has it.
pub(super) enum Place {
    /// It is shared with other threads.
    Threads(sync::Weak<dyn Look>),
    /// It belongs to the loop's thread.
    Loop(rc::Weak<dyn Look>),
}

impl Place {
    fn is_gone(&self) -> bool {
        match self {
            Self::Threads(job) => job.strong_count() == 0,
            Self::Loop(job) => job.strong_count() == 0,
        }
    }

    fn with<R>(&self, look: impl FnOnce(&dyn Look) -> R) -> Option<R> {
        Some(match self {
            Self::Threads(job) => look(&*job.upgrade()?),
            Self::Loop(job) => look(&*job.upgrade()?),
        })
    }

    fn state(&self) -> Option<JobState> {
        self.with(|job| job.state()).flatten()
    }
}

/// What a loop knows of a job from its begin.
pub(super) struct Listed {
    pub(super) number: u64,
    pub(super) executor: JobExecutor,
    pub(super) place: Place,
    pub(super) location: &'static Location<'static>,
    pub(super) handed_in: Instant,
}

struct Entry {
    job: Listed,
    /// Is the task whose step has polled it last.
    task: Option<SlotId>,
    is_abandoned: bool,
}

impl Entry {
    fn row(&self) -> Option<JobRow> {
        let Listed { number, executor, ref place, location, handed_in } = self.job;
        let (name, state) = place.with(|job| Some((ShortText::end_of(job.name()), job.state()?)))??;
        let (task, is_abandoned) = (self.task.map(Into::into), self.is_abandoned);
        Some(JobRow { number, name, executor, state, handed_in, task, is_abandoned, location })
    }
}

/// Is the key of a job in the list of its loop.
#[derive(Clone, Copy)]
pub(super) struct JobKey(usize);

/// The jobs of a loop.
#[derive(Default)]
pub(crate) struct ListedJobs {
    entries: RefCell<Slab<Entry>>,
    abandoned: RefCell<VecDeque<JobKey>>,
}

impl ListedJobs {
    pub(super) fn add(&self, job: Listed) -> JobKey {
        self.look_after_abandoned();
        JobKey(self.entries.borrow_mut().insert(Entry { job, task: None, is_abandoned: false }))
    }

    /// Notes who waits for a job.
    pub(super) fn set_task(&self, key: JobKey, task: Option<SlotId>) {
        if let Some(entry) = self.entries.borrow_mut().get_mut(key.0) {
            entry.task = task;
        }
    }

    pub(super) fn remove(&self, key: JobKey) {
        self.entries.borrow_mut().try_remove(key.0);
    }

    /// Notes that nobody waits for a job any more, which may run on.
    pub(super) fn leave(&self, key: JobKey) {
        let runs_on = self.entries.borrow().get(key.0).is_some_and(|entry| entry.job.place.state().is_some());
        if !runs_on {
            return self.remove(key);
        }
        if let Some(entry) = self.entries.borrow_mut().get_mut(key.0) {
            (entry.task, entry.is_abandoned) = (None, true);
            // What belongs to the loop's thread tells its end itself.
            if let Place::Threads(_) = entry.job.place {
                self.abandoned.borrow_mut().push_back(key);
            }
        }
    }

    fn look_after_abandoned(&self) {
        let mut abandoned = self.abandoned.borrow_mut();
        for _ in 0..abandoned.len().min(LOOKS) {
            let Some(key) = abandoned.pop_front() else { return };
            let has_ended = self.entries.borrow().get(key.0).is_none_or(|entry| entry.job.place.is_gone());
            if has_ended { self.remove(key) } else { abandoned.push_back(key) }
        }
    }
}

#[cfg(test)]
impl ListedJobs {
    pub(super) fn len(&self) -> usize {
        self.entries.borrow().len()
    }
}

/// What snapshots ask.
impl ListedJobs {
    /// Calls `note` with each task that waits for a job, and the job's key.
    pub(crate) fn note_waiting(&self, mut note: impl FnMut(SlotId, usize)) {
        for (key, entry) in &*self.entries.borrow() {
            if let Some(task) = entry.task {
                note(task, key);
            }
        }
    }

    /// Returns the number of a job.
    pub(crate) fn number(&self, key: usize) -> Option<u64> {
        self.entries.borrow().get(key).map(|entry| entry.job.number)
    }

    /// Calls `show` with each job, in the order of their places.
    pub(crate) fn show(&self, show: impl FnMut(JobRow)) {
        self.entries.borrow().iter().filter_map(|(_, entry)| entry.row()).for_each(show);
    }
}

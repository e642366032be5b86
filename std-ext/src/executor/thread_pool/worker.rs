//! A thread of a pool.

use core::cell::Cell;
use std::sync::Arc;

use super::pool::Pool;
use crate::executor::job::run_and_drop;

thread_local! {
    /// Is the pool that this thread works for, as an address to compare.
    static POOL: Cell<*const ()> = const { Cell::new(core::ptr::null()) };
}

/// Tells whether this thread is one of the pool's.
pub(super) fn is_thread_of(pool: &Arc<Pool>) -> bool {
    core::ptr::eq(POOL.get(), Arc::as_ptr(pool).cast())
}

/// A thread of a pool, from its first moment to its last.
pub(super) struct Worker {
    pool: Arc<Pool>,
    /// Says where it is, for people.
    place: Arc<str>,
    /// Tells that it has no job and is counted as coming.
    is_coming: Cell<bool>,
}

impl Worker {
    pub(super) fn new(pool: &Arc<Pool>, thread: &str) -> Self {
        let place = format!("thread {thread}").into();
        Self { pool: Arc::clone(pool), place, is_coming: Cell::new(true) }
    }

    pub(super) fn work(self) {
        POOL.set(Arc::as_ptr(&self.pool).cast());
        while let Some(job) = self.pool.next_job(&self.place) {
            self.is_coming.set(false);
            let id = job.id();
            // Who gets the result may have another job at once: no further thread is made for that.
            run_and_drop(job, &|| self.come(id));
            self.come(id);
        }
    }

    /// Notes that the job is done, if that wasn't noted.
    fn come(&self, id: u64) {
        if !self.is_coming.replace(true) {
            self.pool.done(id);
        }
    }
}

//! The handle of a loop, which callbacks and tasks hold.

use core::fmt;
use std::rc::Rc;

use rondel_core::{Context, Instant, Resource, Statistics};

use crate::inner::Inner;

/// Refers to a loop: what callbacks receive and tasks hold.
///
/// Cheap to clone, and not `Send`: from another thread, [`EventLoopHandle::remote`].
/// It does not keep the loop open; after the close it answers `Closed`.
#[derive(Clone)]
pub struct EventLoopHandle {
    pub(crate) inner: Rc<Inner>,
}

impl EventLoopHandle {
    /// Reads the loop's clock, of [`Config::clock`](crate::Config::clock): monotonic, fresh at each
    /// call (contract T-1).
    ///
    /// # Python
    /// `loop.time()`.
    #[must_use]
    pub fn time(&self) -> Instant {
        self.now()
    }

    /// Makes the loop return after the iteration that is running, or after one
    /// if none is.
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

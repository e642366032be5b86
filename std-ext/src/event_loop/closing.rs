//! The close of a loop, beyond its scheduler.

use rondel_core::Context;

use super::{EventLoopHandle, this_thread};
use crate::process::Ending;

/// The second half of a close: what the scheduler doesn't know of.
pub(super) struct Closing<'a>(pub(super) &'a EventLoopHandle);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        let Self(event_loop) = self;
        let inner = &event_loop.inner;
        event_loop.close_signals();
        event_loop.end_children(Ending::Close);
        event_loop.close_sources();
        let calls = inner.close();
        this_thread::remove(inner);
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

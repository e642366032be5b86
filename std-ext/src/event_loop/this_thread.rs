//! The loops of this thread, and which of them runs.

use core::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use rondel_core::RunError;

use super::EventLoopHandle;
use crate::Result;
use crate::inner::Inner;
use crate::threadsafe::Inbox;

thread_local! {
    /// Is the loop that runs in this thread (contract R-10).
    static RUNNING: RefCell<Option<EventLoopHandle>> = const { RefCell::new(None) };

    /// Are the open loops of this thread.
    static LOOPS: RefCell<Vec<Weak<Inner>>> = const { RefCell::new(Vec::new()) };
}

/// Returns the loop that runs in this thread.
///
/// # Python
/// `asyncio.get_running_loop()`, which raises where this is `None`.
#[must_use]
pub fn running_loop() -> Option<EventLoopHandle> {
    RUNNING.try_with(|running| running.try_borrow().ok()?.clone()).ok().flatten()
}

/// Ends the run of this thread's loop.
pub(crate) struct Entered;

impl Entered {
    /// Makes a loop the one that runs in this thread.
    ///
    /// # Errors
    /// `Running` if there is one.
    pub(super) fn enter(event_loop: &EventLoopHandle) -> Result<Self> {
        let entered = RUNNING.try_with(|running| {
            let mut running = running.borrow_mut();
            if running.is_some() {
                return Err(RunError::Running.into());
            }
            *running = Some(event_loop.clone());
            Ok(Self)
        });
        // Not made before it is needed: dropped, it would end the run that there is.
        entered.unwrap_or_else(|_| Ok(Self))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let left = RUNNING.try_with(RefCell::take);
        if let Ok(Some(event_loop)) = &left {
            event_loop.inner.observers.rest();
        }
        drop(left);
    }
}

/// Notes an open loop.
pub(super) fn add(inner: &Rc<Inner>) {
    // Gone only at the end of a thread, and nobody misses it then.
    let _ = LOOPS.try_with(|loops| loops.borrow_mut().push(Rc::downgrade(inner)));
}

/// Forgets a loop that closes.
pub(super) fn remove(inner: &Rc<Inner>) {
    let _ = LOOPS.try_with(|loops| {
        loops.borrow_mut().retain(|other| !core::ptr::eq(other.as_ptr(), Rc::as_ptr(inner)));
    });
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

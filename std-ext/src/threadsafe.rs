//! Calls from other threads.

use core::fmt;
use core::panic::Location;
use core::sync::atomic::{AtomicBool, Ordering};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rondel_core::raw::{SendCallback, WakeTable};
use rondel_core::{Outcome, Refusal, Refused, Resource};

use crate::event_loop::loop_of_this_thread;
use crate::tables::too_large;
use crate::{EventLoopHandle, Result};

/// A call with its number and where it was made.
pub(crate) type Call = (u64, SendCallback<EventLoopHandle>, &'static Location<'static>);

/// The calls that wait for the loop's next turn: a ring that the loop exchanges
/// for an empty one once a turn, under a lock that is held for a few instructions.
pub(crate) struct Inbox {
    queue: Mutex<Queue>,
    /// Tells, without the lock, that there may be something.
    is_used: AtomicBool,
    wants_stop: AtomicBool,
    table: &'static WakeTable,
    limit: usize,
}

struct Queue {
    calls: VecDeque<Call>,
    sequence: u64,
    is_closed: bool,
}

impl Inbox {
    pub(crate) fn new(limit: usize, table: &'static WakeTable) -> Result<Self> {
        let queue = Mutex::new(Queue { calls: ring(limit)?, sequence: 0, is_closed: false });
        let (is_used, wants_stop) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Self { queue, is_used, wants_stop, table, limit })
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push<F>(
        &self,
        callback: F,
        erase: impl FnOnce(F) -> SendCallback<EventLoopHandle>,
        location: &'static Location<'static>,
    ) -> Result<u64, Refused<F>> {
        let refuse = |refusal, callback| Err(Refused::new("call_soon_threadsafe", refusal, callback));
        let mut queue = self.lock();
        if queue.is_closed {
            return refuse(Refusal::Closed, callback);
        }
        if queue.calls.len() >= self.limit {
            return refuse(Refusal::Full { resource: Resource::ThreadsafeCall, limit: self.limit }, callback);
        }
        queue.sequence += 1;
        let sequence = queue.sequence;
        let is_first = queue.calls.is_empty();
        queue.calls.push_back((sequence, erase(callback), location));
        // Who made the first of the calls that wait has told the loop.
        if is_first {
            self.is_used.store(true, Ordering::SeqCst);
            // Under the lock, so that it never reaches the next loop of the table.
            self.table.notify();
        }
        Ok(sequence)
    }

    fn stop(&self) {
        let queue = self.lock();
        if !queue.is_closed {
            self.wants_stop.store(true, Ordering::SeqCst);
            self.table.notify();
        }
    }

    fn cancel(&self, sequence: u64) -> bool {
        let mut queue = self.lock();
        let place = queue.calls.binary_search_by_key(&sequence, |call| call.0);
        let cancelled = place.ok().and_then(|place| queue.calls.remove(place));
        drop(queue);
        cancelled.is_some()
    }

    /// Refuses everything from now on and returns what was not received.
    pub(crate) fn close(&self) -> VecDeque<Call> {
        let mut queue = self.lock();
        queue.is_closed = true;
        core::mem::take(&mut queue.calls)
    }

    fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Tells whether there may be something to receive. As strong as what it may
    /// see: a loop that looks here after it announced its sleep misses nothing.
    #[inline]
    pub(crate) fn is_used(&self) -> bool {
        self.is_used.load(Ordering::SeqCst) || self.wants_stop.load(Ordering::SeqCst)
    }
}

/// Makes room for `limit` calls.
pub(crate) fn ring(limit: usize) -> Result<VecDeque<Call>> {
    let mut calls = VecDeque::new();
    calls.try_reserve_exact(limit).map_err(too_large)?;
    Ok(calls)
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Inbox {{ limit: {} }}", self.limit)
    }
}

impl EventLoopHandle {
    /// Returns what other threads use to reach this loop.
    #[must_use]
    pub fn remote(&self) -> Remote {
        Remote { inbox: Arc::clone(&self.inner.inbox) }
    }

    /// Schedules `callback` as [`EventLoopHandle::call_soon`] does. From another
    /// thread: [`Remote::call_soon_threadsafe`].
    ///
    /// # Errors
    /// As [`EventLoopHandle::call_soon`].
    ///
    /// # Python
    /// `loop.call_soon_threadsafe(callback)`, from the loop's own thread.
    #[track_caller]
    pub fn call_soon_threadsafe<F, R>(&self, callback: F) -> Result<crate::Handle, Refused<F>>
    where
        F: FnOnce(&Self) -> R + Send + 'static,
        R: Outcome,
    {
        self.call_soon(callback)
    }

    /// Makes what came from other threads ready.
    pub(crate) fn receive_threadsafe_calls(&self) {
        let inbox = &self.inner.inbox;
        if inbox.wants_stop.swap(false, Ordering::SeqCst) {
            self.stop();
        }
        if !inbox.is_used.swap(false, Ordering::SeqCst) {
            return;
        }
        // What a panic left of an earlier turn, and then what has come since. The
        // lock is held to exchange the rings, so nobody waits while we walk one.
        let mut received = self.inner.received.borrow_mut();
        self.schedule_received(&mut received);
        if received.is_empty() {
            core::mem::swap(&mut inbox.lock().calls, &mut *received);
            self.schedule_received(&mut received);
        }
        if !received.is_empty() {
            inbox.is_used.store(true, Ordering::SeqCst);
        }
    }

    /// Schedules calls as long as there are slots for them. There are fewer than
    /// calls only if a panic left some of the last turn's unrun.
    fn schedule_received(&self, received: &mut VecDeque<Call>) {
        while let Some((sequence, callback, location)) = received.pop_front() {
            let scheduled =
                self.inner.scheduler.call_threadsafe(callback, SendCallback::into_callback, location);
            if let Err(refused) = scheduled {
                received.push_front((sequence, refused.into_value(), location));
                return;
            }
        }
    }
}

/// Reaches a loop from any thread.
///
/// It stays valid after the loop was closed, and then answers `Closed`.
///
/// # Python
/// What `loop.call_soon_threadsafe` and `asyncio.run_coroutine_threadsafe` are
/// for. There all methods of a loop can be called, by mistake, from any thread;
/// here the others don't compile.
#[derive(Clone, Debug)]
pub struct Remote {
    inbox: Arc<Inbox>,
}

impl Remote {
    /// Schedules `callback` for the loop's next turn and wakes the loop (contract
    /// TS-1).
    ///
    /// Calls from one thread run in their order; those from the loop's own thread
    /// in order with `call_soon` too (TS-2).
    ///
    /// # Errors
    /// Gives the closure back if `threadsafe_calls` of them wait already (from
    /// the loop's own thread: if the call table is full), or the loop is closed.
    ///
    /// # Python
    /// `loop.call_soon_threadsafe(callback)`.
    #[track_caller]
    pub fn call_soon_threadsafe<F, R>(&self, callback: F) -> Result<RemoteHandle, Refused<F>>
    where
        F: FnOnce(&EventLoopHandle) -> R + Send + 'static,
        R: Outcome,
    {
        let inbox = Arc::clone(&self.inbox);
        if let Some(event_loop) = loop_of_this_thread(&self.inbox) {
            event_loop.call_soon(callback)?;
            return Ok(RemoteHandle { inbox, sequence: 0 });
        }
        let erase = |callback: F| match SendCallback::try_inline(callback) {
            Ok(callback) => callback,
            Err(callback) => boxed(Box::new(callback)),
        };
        let sequence = self.inbox.push(callback, erase, Location::caller())?;
        Ok(RemoteHandle { inbox, sequence })
    }

    /// Makes the loop return after the iteration that is running, or the next.
    ///
    /// # Python
    /// `loop.call_soon_threadsafe(loop.stop)`; this can't be refused.
    pub fn stop(&self) {
        self.inbox.stop();
    }

    /// Tells whether this is the thread of the loop.
    pub(crate) fn is_own_thread(&self) -> bool {
        loop_of_this_thread(&self.inbox).is_some()
    }

    /// Tells whether the loop was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inbox.is_closed()
    }
}

fn boxed<F, R>(callback: Box<F>) -> SendCallback<EventLoopHandle>
where
    F: FnOnce(&EventLoopHandle) -> R + Send + 'static,
    R: Outcome,
{
    SendCallback::new(move |event_loop: &EventLoopHandle| callback(event_loop))
}

/// Cancels a call that was made from another thread.
#[derive(Clone, Debug)]
pub struct RemoteHandle {
    inbox: Arc<Inbox>,
    /// Is zero for a call that never was in the inbox.
    sequence: u64,
}

impl RemoteHandle {
    /// Takes the call back and drops it; false if the loop has received it, and
    /// so runs it in the turn that is running (contract H-4).
    pub fn cancel(&self) -> bool {
        self.sequence != 0 && self.inbox.cancel(self.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_is_send_and_sync() {
        fn assert<T: Send + Sync>() {}
        assert::<Remote>();
        assert::<RemoteHandle>();
        assert::<crate::RemoteTask<u8>>();
    }
}

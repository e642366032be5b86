//! Calls from other threads.

pub(crate) mod handover;
pub(crate) mod inbox;
pub(crate) mod remote_task;

use core::panic::Location;
use std::collections::VecDeque;
use std::sync::Arc;

use rondel_core::raw::SendCallback;
use rondel_core::{HandleId, Outcome, Refused};

use crate::event_loop::loop_of_this_thread;
use crate::tables::too_large;
use crate::{EventLoopHandle, Result};

/// A call, and where it was made.
pub(crate) type Call = (SendCallback<EventLoopHandle>, &'static Location<'static>);

/// The calls of other threads that wait for the loop's next turn.
pub(crate) type Inbox = inbox::Inbox<Call>;

/// Makes room for `limit` calls.
pub(crate) fn ring(limit: usize) -> Result<VecDeque<(u64, Call)>> {
    let mut calls = VecDeque::new();
    calls.try_reserve_exact(limit).map_err(too_large)?;
    Ok(calls)
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
        if inbox.take_stop() {
            self.stop();
        }
        if !inbox.take_used() {
            return;
        }
        // What a panic left of an earlier turn, and then what has come since.
        let mut received = self.inner.received.borrow_mut();
        self.schedule_received(&mut received);
        if received.is_empty() {
            inbox.exchange(&mut received);
            self.inner.meters.threadsafe_calls.note(received.len());
            self.schedule_received(&mut received);
        }
        if !received.is_empty() {
            inbox.keep_used();
        }
    }

    /// Schedules calls as long as there are slots for them. There are fewer than
    /// calls only if a panic left some of the last turn's unrun.
    fn schedule_received(&self, received: &mut VecDeque<(u64, Call)>) {
        while let Some((sequence, (callback, location))) = received.pop_front() {
            let scheduled =
                self.inner.scheduler.call_threadsafe(callback, SendCallback::into_callback, location);
            if let Err(refused) = scheduled {
                received.push_front((sequence, (refused.into_value(), location)));
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
            let handle = event_loop.call_soon(callback)?;
            return Ok(RemoteHandle { inbox, place: Place::Ready(handle.id()) });
        }
        let location = Location::caller();
        let erase = |callback: F| match SendCallback::try_inline(callback) {
            Ok(callback) => (callback, location),
            Err(callback) => (boxed(Box::new(callback)), location),
        };
        match self.inbox.push(callback, erase) {
            Ok(sequence) => Ok(RemoteHandle { inbox, place: Place::Inbox(sequence) }),
            Err((refusal, callback)) => Err(Refused::new("call_soon_threadsafe", refusal, callback)),
        }
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
    ///
    /// # Python
    /// `loop.is_closed()`.
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
    place: Place,
}

/// Where a call went.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Into the inbox, with this number.
    Inbox(u64),
    /// Into the ready queue at once: it was made in the loop's own thread.
    Ready(HandleId),
}

impl RemoteHandle {
    /// Takes the call back and drops it; false if the loop has received it, and
    /// so runs it in the turn that is running (contract H-4).
    ///
    /// A call that was made in the loop's own thread can be taken back there.
    ///
    /// # Python
    /// `cancel()` of the handle that `loop.call_soon_threadsafe` returns; there it isn't safe from another
    /// thread.
    pub fn cancel(&self) -> bool {
        match self.place {
            Place::Inbox(sequence) => self.inbox.cancel(sequence),
            Place::Ready(handle) => loop_of_this_thread(&self.inbox)
                .is_some_and(|event_loop| event_loop.inner.scheduler.cancel_handle(&event_loop, handle)),
        }
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

//! The inbox: what other threads want the loop to do.

use core::fmt;
use core::sync::atomic::Ordering::SeqCst;
use std::collections::VecDeque;
use std::sync::PoisonError;

use rondel_core::raw::WakeTable;
use rondel_core::{Refusal, Resource};

use crate::sync::{AtomicBool, Mutex, MutexGuard};

/// The values that wait for the loop's next turn: a ring that the loop exchanges
/// for an empty one once a turn, under a lock that is held for a few instructions.
pub(crate) struct Inbox<T> {
    queue: Mutex<Queue<T>>,
    /// Tells, without the lock, that there may be something.
    is_used: AtomicBool,
    wants_stop: AtomicBool,
    table: &'static WakeTable,
    limit: usize,
}

struct Queue<T> {
    /// Their numbers rise.
    values: VecDeque<(u64, T)>,
    sequence: u64,
    refused: u64,
    is_closed: bool,
}

impl<T> Inbox<T> {
    /// Makes an inbox for `limit` values, for which `ring` has room.
    pub(crate) fn new(ring: VecDeque<(u64, T)>, limit: usize, table: &'static WakeTable) -> Self {
        let queue = Mutex::new(Queue { values: ring, sequence: 0, refused: 0, is_closed: false });
        let (is_used, wants_stop) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { queue, is_used, wants_stop, table, limit }
    }

    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts in what `convert` makes of `value`, wakes the loop and returns the
    /// value's number; or gives `value` back.
    pub(crate) fn push<V>(&self, value: V, convert: impl FnOnce(V) -> T) -> Result<u64, (Refusal, V)> {
        let mut queue = self.lock();
        if queue.is_closed {
            return Err((Refusal::Closed, value));
        }
        if queue.values.len() >= self.limit {
            queue.refused += 1;
            return Err((Refusal::Full { resource: Resource::ThreadsafeCall, limit: self.limit }, value));
        }
        queue.sequence += 1;
        let sequence = queue.sequence;
        let is_first = queue.values.is_empty();
        queue.values.push_back((sequence, convert(value)));
        // Who put in the first of those that wait has told the loop.
        if is_first {
            self.is_used.swap(true, SeqCst);
            // Under the lock, so that it never reaches the next loop of the table.
            self.table.notify();
        }
        Ok(sequence)
    }

    /// Asks the loop to stop.
    pub(crate) fn stop(&self) {
        let queue = self.lock();
        if !queue.is_closed {
            self.wants_stop.swap(true, SeqCst);
            self.table.notify();
        }
    }

    /// Takes a value back and drops it; false if the loop has it.
    pub(crate) fn cancel(&self, sequence: u64) -> bool {
        let mut queue = self.lock();
        let place = queue.values.binary_search_by_key(&sequence, |value| value.0);
        let cancelled = place.ok().and_then(|place| queue.values.remove(place));
        drop(queue);
        cancelled.is_some()
    }

    /// Refuses everything from now on and returns what was not received.
    pub(crate) fn close(&self) -> VecDeque<(u64, T)> {
        let mut queue = self.lock();
        queue.is_closed = true;
        core::mem::take(&mut queue.values)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Counts the values that there was no room for.
    pub(crate) fn refused(&self) -> u64 {
        self.lock().refused
    }

    /// Counts the values that wait, and those that may.
    pub(crate) fn len_and_limit(&self) -> (usize, usize) {
        (self.lock().values.len(), self.limit)
    }

    /// Tells whether there may be something to receive. As strong as what it may
    /// see: a loop that looks here after it announced its sleep misses nothing.
    #[inline]
    pub(crate) fn is_used(&self) -> bool {
        self.is_used.load(SeqCst) || self.wants_stop.load(SeqCst)
    }

    /// Tells, once, that somebody asked for a stop.
    #[inline]
    pub(crate) fn take_stop(&self) -> bool {
        self.wants_stop.swap(false, SeqCst)
    }

    /// Tells, once, that there may be values; called before they are received.
    #[inline]
    pub(crate) fn take_used(&self) -> bool {
        self.is_used.swap(false, SeqCst)
    }

    /// Makes the next look find the inbox in use.
    pub(crate) fn keep_used(&self) {
        self.is_used.store(true, SeqCst);
    }

    /// Takes all values and leaves an empty ring for the next. The lock is held
    /// to exchange the two, so nobody waits while the loop walks one.
    #[inline]
    pub(crate) fn exchange(&self, empty: &mut VecDeque<(u64, T)>) {
        core::mem::swap(&mut self.lock().values, empty);
    }
}

impl<T> fmt::Debug for Inbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Inbox {{ limit: {} }}", self.limit)
    }
}

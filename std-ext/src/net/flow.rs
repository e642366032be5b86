//! What a connection has to send and the kernel has not taken yet, and how much
//! of that there may be.

use core::cell::Cell;
use core::fmt;

use rondel_core::{Refusal, Resource, SlotId, Usage};

use crate::Error;
use crate::observers::metrics::{Peak, usage};

/// The marks between which the buffer of a transport swings, in bytes.
///
/// # Python
/// The arguments of `transport.set_write_buffer_limits(high, low)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WriteBufferLimits {
    high: usize,
    low: usize,
}

impl WriteBufferLimits {
    /// Makes marks: above `high` the protocol is paused, at or below `low` it is
    /// resumed. A missing one follows from the other: `low` is a quarter of
    /// `high`, `high` four times `low`; both missing are 64 and 16 KiB (contract
    /// TR-17).
    ///
    /// # Errors
    /// If `low` is more than `high`.
    pub fn new(high: Option<usize>, low: Option<usize>) -> Result<Self, LimitsError> {
        let high = high.unwrap_or_else(|| low.map_or(64 * 1024, |low| low.saturating_mul(4)));
        let low = low.unwrap_or(high / 4);
        if low > high {
            return Err(LimitsError { high, low });
        }
        Ok(Self { high, low })
    }

    /// Returns the high-water mark.
    #[must_use]
    pub fn high(self) -> usize {
        self.high
    }

    /// Returns the low-water mark.
    #[must_use]
    pub fn low(self) -> usize {
        self.low
    }
}

impl Default for WriteBufferLimits {
    fn default() -> Self {
        Self { high: 64 * 1024, low: 16 * 1024 }
    }
}

/// The low-water mark lies above the high one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitsError {
    high: usize,
    low: usize,
}

impl fmt::Display for LimitsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the low-water mark {} is above the high-water mark {}", self.low, self.high)
    }
}

impl core::error::Error for LimitsError {}

/// Counts the bytes that all connections of a loop have to send, against a
/// ceiling.
#[derive(Debug)]
pub(crate) struct WriteBudget {
    used: Cell<usize>,
    peak: Peak,
    peak_of_transport: Peak,
    per_loop: usize,
    per_transport: usize,
}

impl WriteBudget {
    pub(crate) fn new(per_loop: usize, per_transport: usize) -> Self {
        Self {
            used: Cell::new(0),
            peak: Peak::default(),
            peak_of_transport: Peak::default(),
            per_loop,
            per_transport,
        }
    }

    /// Returns how many bytes wait to be sent.
    pub(crate) fn used(&self) -> usize {
        self.used.get()
    }

    pub(crate) fn usage(&self) -> Usage {
        usage(self.used(), self.peak.get(), self.per_loop)
    }

    /// Returns the most bytes that waited in a single transport.
    pub(crate) fn peak_of_transport(&self) -> usize {
        self.peak_of_transport.get()
    }

    /// Notes how many bytes wait in a transport.
    pub(crate) fn note_transport(&self, queued: usize) {
        self.peak_of_transport.note(queued);
    }

    /// Tells whether a transport that has `queued` bytes may have `more`.
    pub(crate) fn check(&self, queued: usize, more: usize) -> Result<(), Refusal> {
        let resource = Resource::WriteBuffer;
        if queued.saturating_add(more) > self.per_transport {
            return Err(Refusal::Full { resource, limit: self.per_transport });
        }
        if self.used.get().saturating_add(more) > self.per_loop {
            return Err(Refusal::Full { resource, limit: self.per_loop });
        }
        Ok(())
    }

    pub(crate) fn add(&self, count: usize) {
        self.used.set(self.used.get() + count);
        self.peak.note(self.used.get());
    }

    pub(crate) fn remove(&self, count: usize) {
        self.used.set(self.used.get() - count);
    }
}

/// The bytes that a connection has to send, in order.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    /// Invariant: `bytes[start..]` is still to be sent; empty of capacity when
    /// nothing is.
    bytes: Vec<u8>,
    start: usize,
    pub(crate) limits: WriteBufferLimits,
    /// Is who waits for it to shrink: a task.
    pub(crate) waiter: Option<SlotId>,
    /// Is why the connection ends; `connection_lost` or the stream's next call
    /// takes it.
    pub(crate) error: Option<Error>,
    /// Counts the bytes that are sent before a file, which goes before all others.
    pub(crate) before_file: Option<usize>,
    /// Counts the writes that were dropped, up to where that is worth a warning.
    pub(crate) dropped_writes: u8,
}

/// Is the room that is kept in front, at least, before bytes are moved.
const COMPACT_MIN: usize = 64 * 1024;

impl Flow {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Returns what can be sent now.
    pub(crate) fn as_slice(&self) -> &[u8] {
        let count = self.before_file.unwrap_or(self.len());
        &self.bytes[self.start..self.start + count]
    }

    /// Tells whether nothing can be sent, because a file is.
    pub(crate) fn is_files_turn(&self) -> bool {
        self.before_file == Some(0)
    }

    /// Tells whether there is nothing to send, and no file either.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0 && self.before_file.is_none()
    }

    /// Appends bytes, for which the budget has room.
    pub(crate) fn push(&mut self, data: &[u8], budget: &WriteBudget) {
        if self.start > COMPACT_MIN && self.start > self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(data);
        budget.add(data.len());
        budget.note_transport(self.len());
    }

    /// Removes bytes that were sent.
    pub(crate) fn consume(&mut self, count: usize, budget: &WriteBudget) {
        self.start += count;
        self.before_file = self.before_file.map(|before| before.saturating_sub(count));
        budget.remove(count);
        if self.start == self.bytes.len() {
            self.bytes = Vec::new();
            self.start = 0;
        }
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self, budget: &WriteBudget) {
        self.consume(self.len(), budget);
    }
}

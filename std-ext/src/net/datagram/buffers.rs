//! The memory that all datagram endpoints of a loop share.

use core::cell::{OnceCell, RefCell};

use crate::sys::{ReceiveBatch, SendBatch};
use crate::{EventLoopHandle, Result, tables};

/// Is how many bytes of replies one batch gathers.
const REPLIES_BYTES: usize = 64 * 1024;

/// Room for a batch of received datagrams and one of replies; made by the first
/// endpoint.
pub(crate) struct DatagramBuffers {
    /// Is the most datagrams of a turn.
    pub(crate) per_turn: usize,
    /// Is empty while an endpoint reads.
    received: RefCell<Option<Box<ReceiveBatch>>>,
    /// Holds datagrams only while an endpoint delivers a batch, and only its own.
    /// Invariant: no user code runs while it is borrowed.
    replies: OnceCell<RefCell<SendBatch>>,
}

impl DatagramBuffers {
    pub(crate) fn new(per_turn: usize) -> Self {
        Self { per_turn: per_turn.max(1), received: RefCell::new(None), replies: OnceCell::new() }
    }

    /// Reserves the memory, if that was not done yet.
    ///
    /// # Errors
    /// `TooLarge` if there is not so much.
    pub(crate) fn reserve(&self, room: usize) -> Result<()> {
        if self.replies.get().is_none() {
            let received = ReceiveBatch::new(self.per_turn, room).map_err(tables::too_large)?;
            self.received.replace(Some(Box::new(received)));
            let _ = self.replies.set(RefCell::new(SendBatch::new(self.per_turn, REPLIES_BYTES)));
        }
        Ok(())
    }

    /// Returns the batch of replies, if an endpoint was ever made.
    pub(crate) fn replies(&self) -> Option<&RefCell<SendBatch>> {
        self.replies.get()
    }
}

/// The batch of a loop, lent to the endpoint that reads.
pub(crate) struct Lent<'a> {
    event_loop: &'a EventLoopHandle,
    /// Invariant: there until dropped.
    batch: Option<Box<ReceiveBatch>>,
}

impl<'a> Lent<'a> {
    /// Takes the batch; `None` while another endpoint has it.
    pub(crate) fn take(event_loop: &'a EventLoopHandle) -> Option<Self> {
        let batch = event_loop.inner.datagrams.received.take()?;
        Some(Self { event_loop, batch: Some(batch) })
    }

    pub(crate) fn batch(&mut self) -> Option<&mut ReceiveBatch> {
        self.batch.as_deref_mut()
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.event_loop.inner.datagrams.received.replace(self.batch.take());
    }
}

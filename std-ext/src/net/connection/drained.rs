//! What tasks wait for that have written.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context as PollContext, Poll};

use rondel_core::{Cancelled, Refusal, SlotId};

use super::Connection;
use super::state::State;
use crate::Result;
use crate::sources::Direction;

impl Connection {
    /// Waits until what is queued is down to the low-water mark, or gone, or the
    /// connection is.
    pub(crate) fn until(&self, until: Until) -> Drained<'_> {
        Drained { connection: self, until, waiter: None }
    }

    pub(super) fn wake_waiter(&self) {
        let waiter = self.with_flow(|flow| flow.waiter.take()).flatten();
        if let Some(waiter) = waiter {
            self.event_loop().inner.scheduler.wake_waiter(self.event_loop(), waiter);
        }
    }
}

/// What a task waits for that has written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Until {
    /// The buffer is down to the low-water mark.
    Resumed,
    /// The buffer is empty.
    Empty,
    /// What was queued before a file is sent.
    FilesTurn,
    /// The next part of a file may find room.
    Writable,
    /// The connection is gone.
    Closed,
    /// `connection_made` has returned.
    Made,
    /// The handshake of TLS is over.
    Open,
}

/// Waits for what is queued to be sent.
#[must_use = "does nothing until it is awaited"]
pub(crate) struct Drained<'a> {
    connection: &'a Connection,
    until: Until,
    waiter: Option<SlotId>,
}

impl Drained<'_> {
    /// Goes on with the wait that was suspended.
    pub(crate) fn resume(mut self) -> Self {
        self.waiter = self.connection.with_flow(|flow| flow.waiter).flatten();
        self
    }

    /// Leaves the wait to be resumed; tells whether there is one.
    pub(crate) fn suspend(mut self) -> bool {
        self.waiter.take().is_some()
    }

    fn stop_waiting(&mut self) {
        let Some(waiter) = self.waiter.take() else { return };
        self.connection.with_flow(|flow| {
            if flow.waiter == Some(waiter) {
                flow.waiter = None;
            }
        });
        self.connection.event_loop().inner.scheduler.cancel_call(self.connection.event_loop(), waiter);
    }

    fn is_over(&self) -> Result<bool> {
        let connection = self.connection;
        if self.until == Until::Closed {
            return Ok(connection.is_closed());
        }
        // An error that came of it is the protocol's to hear (CC-9).
        if self.until == Until::Made && !connection.has(State::STARTING) {
            return Ok(true);
        }
        if self.until == Until::Open && connection.has(State::ENDING | State::CLOSED) {
            let failure = connection.with_tls(|tls| tls.failure()).flatten();
            let failure = failure.or_else(|| connection.take_error());
            return Err(failure.unwrap_or_else(|| Refusal::Closed.into()));
        }
        connection.check()?;
        Ok(match self.until {
            Until::Open => !connection.is_shaking_hands(),
            Until::Made => false,
            Until::Empty => !connection.has(State::QUEUED),
            Until::FilesTurn => connection.with_flow(|flow| flow.is_files_turn()) == Some(true),
            Until::Writable => connection.is_ready(Direction::Write),
            _ => !connection.is_writing_paused(),
        })
    }
}

impl Future for Drained<'_> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut PollContext<'_>) -> Poll<Result<()>> {
        self.stop_waiting();
        let connection = self.connection;
        let event_loop = connection.event_loop();
        if event_loop.inner.scheduler.take_cancel() {
            return Poll::Ready(Err(Cancelled.into()));
        }
        if self.is_over()? {
            return Poll::Ready(Ok(()));
        }
        let waiter = event_loop.inner.scheduler.add_waiter(cx.waker(), connection.location())?;
        connection.with_new_flow(|flow| flow.waiter = Some(waiter));
        self.waiter = Some(waiter);
        Poll::Pending
    }
}

impl Drop for Drained<'_> {
    fn drop(&mut self) {
        self.stop_waiting();
    }
}

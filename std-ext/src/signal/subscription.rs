//! A handler of the library's own for a signal, which leaves that of its user alone.

use std::rc::Rc;

use rondel_core::SlotId;

use super::Signal;
use super::stream::Listener;
use crate::{EventLoopHandle, Result};

/// Makes a handler ready whenever a signal has come, until it is dropped.
pub(crate) struct Subscription {
    event_loop: EventLoopHandle,
    listener: Rc<Listener>,
}

impl Subscription {
    /// Listens to `signal`, beside whoever else does, for `handler`.
    ///
    /// # Errors
    /// `Closed`; as `sigaction`.
    pub(crate) fn new(event_loop: &EventLoopHandle, signal: Signal, handler: SlotId) -> Result<Self> {
        let subscription =
            Self { event_loop: event_loop.clone(), listener: Rc::new(Listener::of_handler(handler)) };
        event_loop.add_signal_listener(&subscription.listener, signal)?;
        Ok(subscription)
    }

    pub(crate) fn event_loop(&self) -> &EventLoopHandle {
        &self.event_loop
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.event_loop.remove_signal_listener(&self.listener);
    }
}

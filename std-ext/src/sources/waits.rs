//! Waits for one side of a watched descriptor.

use core::task::Waker;

use rondel_core::Refusal;

use super::side::ListenerKind;
use super::{Direction, Listener, Waiter, busy};
use crate::sys::Token;
use crate::{EventLoopHandle, Result};

impl EventLoopHandle {
    /// Lets `waker` be woken when a side is ready.
    ///
    /// # Errors
    /// `Busy` if another task waits for the same side (contract SK-9), or if
    /// there is no room.
    #[inline]
    pub(crate) fn wait_ready(&self, token: Token, direction: Direction, waker: &Waker) -> Result<Waiter> {
        let task = self.inner.scheduler.task_of(waker);
        let location = {
            let mut sources = self.inner.sources.borrow_mut();
            let Some(source) = sources.get(token) else { return Err(Refusal::Closed.into()) };
            let (fd, owner) = (source.fd, source.owner);
            let side = source.side(direction);
            if side.kind != ListenerKind::None {
                return Err(busy(fd, owner).during("wait"));
            }
            if let Some(task) = task {
                side.set(ListenerKind::Task, task);
                return Ok(Waiter::Task(task));
            }
            source.description.location().ok_or(Refusal::Closed)?
        };
        let waiter = Waiter::Call(self.inner.scheduler.add_waiter(waker, location)?);
        if let Some(source) = self.inner.sources.borrow_mut().get(token) {
            source.side(direction).set_listener(Listener::Waiter(waiter));
        }
        Ok(waiter)
    }

    /// Takes a wait back.
    #[inline]
    pub(crate) fn stop_waiting(&self, token: Token, direction: Direction, waiter: Waiter) {
        if let Some(source) = self.inner.sources.borrow_mut().get(token) {
            let side = source.side(direction);
            if side.listener() == Listener::Waiter(waiter) {
                side.set_listener(Listener::None);
            }
        }
        if let Waiter::Call(call) = waiter {
            self.inner.scheduler.cancel_call(self, call);
        }
    }

    /// Takes back whoever waits for a side.
    #[inline]
    pub(crate) fn stop_waiter(&self, token: Token, direction: Direction) {
        let call = {
            let mut sources = self.inner.sources.borrow_mut();
            let Some(source) = sources.get(token) else { return };
            let side = source.side(direction);
            match side.kind {
                ListenerKind::None | ListenerKind::Handler => return,
                ListenerKind::Task => return side.kind = ListenerKind::None,
                ListenerKind::Call => side.kind = ListenerKind::None,
            }
            side.slot()
        };
        self.inner.scheduler.cancel_call(self, call);
    }

    #[inline]
    pub(crate) fn wake_waiter(&self, waiter: Waiter) {
        match waiter {
            Waiter::Task(task) => self.inner.scheduler.wake(task),
            Waiter::Call(call) => self.inner.scheduler.wake_waiter(self, call),
        }
    }
}

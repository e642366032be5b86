//! The handlers of the user's descriptors.

use core::panic::Location;
use std::io;

use rondel_core::{Context, ExceptionContext, Refusal, SlotId};

use super::described::Description;
use super::{Direction, Listener, Owner, Waiter, busy, claims};
use crate::sys::{Fd, Token};
use crate::{EventLoopHandle, Result};

impl EventLoopHandle {
    /// Sets the handler of one side of the user's descriptor, and returns the
    /// one it replaces, for the caller to cancel.
    pub(crate) fn set_handler(
        &self,
        fd: Fd,
        direction: Direction,
        handler: SlotId,
        location: &'static Location<'static>,
    ) -> Result<Option<SlotId>> {
        let found = self.inner.sources.borrow().find(fd);
        let (token, is_new) = match found {
            Some((_, owner)) if owner != Owner::Callbacks => return Err(busy(fd, owner)),
            Some((token, _)) => (token, false),
            None => (self.add_source(fd, Owner::Callbacks, location)?, true),
        };
        let (previous, interest) = {
            let mut sources = self.inner.sources.borrow_mut();
            let Some(source) = sources.get(token) else { return Err(Refusal::Closed.into()) };
            if source.side(direction).is_claimed {
                return Err(claims::busy_side(fd, direction));
            }
            let previous = source.side(direction).listener();
            source.side(direction).set_listener(Listener::Handler(handler));
            (previous, source.interest().unwrap_or(direction.interest()))
        };
        let kernel = &self.inner.kernel;
        let asked = if is_new {
            kernel.register(fd, token, interest)
        } else {
            kernel.reregister(fd, token, interest)
        };
        if let Err(error) = asked {
            if let Some(source) = self.inner.sources.borrow_mut().get(token) {
                source.side(direction).set_listener(previous);
            }
            if is_new {
                self.inner.sources.borrow_mut().remove(token);
            } else if error.kind() == io::ErrorKind::NotFound {
                // Closed, and opened again under the same number (FAULTS P-02).
                self.abandon(token);
                return self.set_handler(fd, direction, handler, location);
            }
            return Err(error.into());
        }
        if let Some(source) = self.inner.sources.borrow_mut().get(token) {
            source.description = Description::At(location);
        }
        match previous {
            Listener::Handler(previous) => Ok(Some(previous)),
            _ => Ok(None),
        }
    }

    /// Lets go of a descriptor that was closed while it was watched, and says so
    /// (FAULTS P-02).
    pub(crate) fn abandon(&self, token: Token) {
        let source = self.inner.sources.borrow_mut().remove(token);
        let Some(source) = source else { return };
        let socket = source.fd.as_raw();
        let listeners = [source.reader, source.writer].map(|side| side.listener());
        let mut context = ExceptionContext::new("a watched descriptor was closed before it was removed");
        context.socket = Some(&socket);
        if let Some(&listener) = listeners.iter().find(|&&listener| listener != Listener::None) {
            self.name_listener(&mut context, listener);
        }
        for listener in listeners {
            match listener {
                Listener::None => {}
                Listener::Handler(handler) => {
                    let _ = self.guard(|| self.inner.scheduler.cancel_call(self, handler));
                }
                // Finds its source gone, and asks the system itself.
                Listener::Waiter(waiter) => {
                    let _ = self.guard(|| self.wake_waiter(waiter));
                }
            }
        }
        self.call_exception_handler(&context);
    }

    /// Names who watched a descriptor.
    fn name_listener(&self, context: &mut ExceptionContext<'_>, listener: Listener) {
        let scheduler = &self.inner.scheduler;
        match listener {
            Listener::None => {}
            Listener::Handler(call) | Listener::Waiter(Waiter::Call(call)) => {
                context.handle = Some(call.into());
                context.location = scheduler.call_location(call);
            }
            Listener::Waiter(Waiter::Task(task)) => {
                context.task = Some(task.into());
                context.location = scheduler.task_location(task);
            }
        }
    }

    /// Removes the handler of one side; tells whether there was one (IO-3). The
    /// kernel is told before this returns (IO-5).
    pub(crate) fn remove_handler(&self, fd: Fd, direction: Direction) -> bool {
        let found = self.inner.sources.borrow().find(fd);
        let Some((token, Owner::Callbacks)) = found else { return false };
        let (handler, interest) = {
            let mut sources = self.inner.sources.borrow_mut();
            let Some(source) = sources.get(token) else { return false };
            let side = source.side(direction);
            let Listener::Handler(handler) = side.listener() else { return false };
            side.set_listener(Listener::None);
            (handler, source.interest())
        };
        match interest {
            Some(interest) => {
                if self.inner.kernel.reregister(fd, token, interest).is_err() {
                    // Fails only if the descriptor was closed meanwhile.
                    self.abandon(token);
                }
            }
            None => self.unwatch(token),
        }
        self.inner.scheduler.cancel_call(self, handler)
    }

    /// Looks again at a descriptor after its handler ran, so that what is left
    /// is reported by the next poll: the level of `add_reader` from the edges of
    /// the kernel (IO-1).
    pub(crate) fn rearm(&self, fd: Fd, direction: Direction, handler: SlotId) {
        let found = self.inner.sources.borrow().find(fd);
        let Some((token, _)) = found else { return };
        let interest = {
            let mut sources = self.inner.sources.borrow_mut();
            let Some(source) = sources.get(token) else { return };
            if source.side(direction).listener() != Listener::Handler(handler) {
                return;
            }
            source.interest().unwrap_or(direction.interest())
        };
        if self.inner.kernel.reregister(fd, token, interest).is_err() {
            // Fails only if the descriptor is gone.
            self.abandon(token);
        }
    }
}

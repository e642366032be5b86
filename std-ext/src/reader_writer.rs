//! Watching descriptors: `add_reader` and `add_writer`.

use core::cell::{Cell, RefCell};
use core::fmt;
use core::panic::Location;
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;

use rondel_core::{Callback, Outcome, Refused, SlotId};

use crate::sources::Direction;
use crate::sys::Fd;
use crate::{Error, ErrorKind, EventLoopHandle, Result};

impl EventLoopHandle {
    /// Calls `callback` in every iteration in which `descriptor` is readable, or
    /// closed by its peer, or broken, until [`EventLoopHandle::remove_reader`].
    ///
    /// Level-triggered: a callback that reads only a part is called again
    /// (contract IO-1). A second call for the same descriptor replaces the
    /// callback (IO-2). The descriptor stays the caller's, who removes it before
    /// closing it. A callback that fails or panics is reported and stays (IO-8);
    /// it must tolerate that there is nothing to read after all (IO-9).
    ///
    /// # Errors
    /// Gives the callback back: if the call table or the descriptor table is
    /// full, the loop closed, the descriptor in use by a stream or server
    /// (`Busy`), or one that can't be watched, as a regular file.
    ///
    /// # Python
    /// `loop.add_reader(fd, callback)`.
    #[track_caller]
    pub fn add_reader<F, R>(&self, descriptor: impl AsFd, callback: F) -> Result<(), WatchError<F>>
    where
        F: FnMut(&Self) -> R + 'static,
        R: Outcome,
    {
        self.watch_side("add_reader", Direction::Read, descriptor, callback, Location::caller())
    }

    /// Calls `callback` in every iteration in which `descriptor` is writable.
    /// See [`EventLoopHandle::add_reader`].
    ///
    /// # Errors
    /// As [`EventLoopHandle::add_reader`].
    ///
    /// # Python
    /// `loop.add_writer(fd, callback)`.
    #[track_caller]
    pub fn add_writer<F, R>(&self, descriptor: impl AsFd, callback: F) -> Result<(), WatchError<F>>
    where
        F: FnMut(&Self) -> R + 'static,
        R: Outcome,
    {
        self.watch_side("add_writer", Direction::Write, descriptor, callback, Location::caller())
    }

    /// Stops watching for readability; tells whether there was a callback. The
    /// kernel has forgotten it when this returns (IO-5).
    ///
    /// # Python
    /// `loop.remove_reader(fd)`.
    pub fn remove_reader(&self, descriptor: impl AsFd) -> bool {
        self.remove_handler(number(&descriptor), Direction::Read)
    }

    /// Stops watching for writability; tells whether there was a callback.
    ///
    /// # Python
    /// `loop.remove_writer(fd)`.
    pub fn remove_writer(&self, descriptor: impl AsFd) -> bool {
        self.remove_handler(number(&descriptor), Direction::Write)
    }

    fn watch_side<F, R>(
        &self,
        operation: &'static str,
        direction: Direction,
        descriptor: impl AsFd,
        callback: F,
        location: &'static Location<'static>,
    ) -> Result<(), WatchError<F>>
    where
        F: FnMut(&Self) -> R + 'static,
        R: Outcome,
    {
        if !self.inner.kernel.has_real_descriptors() {
            let error = Error::of(ErrorKind::Io, "this kernel has no descriptors").during(operation);
            return Err(WatchError { error, callback });
        }
        let fd = number(&descriptor);
        let watched = Rc::new(Watched { callback: RefCell::new(None), handler: Cell::new(None) });
        let added = self.inner.scheduler.add_handler(
            Rc::clone(&watched),
            |watched| Callback::handler(move |event_loop: &Self| watched.run(event_loop, fd, direction)),
            location,
        );
        let handler = match added {
            Ok(handler) => handler,
            Err(refused) => {
                let error = Error::from(Refused::new(operation, refused.refusal(), ()));
                return Err(WatchError { error, callback });
            }
        };
        watched.handler.set(Some(handler));
        let previous = match self.set_handler(fd, direction, handler, location) {
            Ok(previous) => previous,
            Err(error) => {
                self.inner.scheduler.cancel_call(self, handler);
                return Err(WatchError { error: error.during(operation), callback });
            }
        };
        *watched.callback.borrow_mut() = Some(callback);
        // Last, since its destructor is foreign code.
        if let Some(previous) = previous {
            self.inner.scheduler.cancel_call(self, previous);
        }
        Ok(())
    }
}

/// A callback that watches a descriptor. It moves in last, when nothing can
/// refuse it any more.
struct Watched<F> {
    /// Invariant: borrowed only while the callback runs, which is never entered
    /// twice.
    callback: RefCell<Option<F>>,
    handler: Cell<Option<SlotId>>,
}

impl<F> Watched<F> {
    fn run<R>(&self, event_loop: &EventLoopHandle, fd: Fd, direction: Direction) -> Reported<R>
    where
        F: FnMut(&EventLoopHandle) -> R,
    {
        let _rearm = Rearm { event_loop, fd, direction, handler: self.handler.get() };
        let mut callback = self.callback.borrow_mut();
        Reported(callback.as_mut().map(|callback| callback(event_loop)))
    }
}

fn number(descriptor: &impl AsFd) -> Fd {
    Fd::from_raw(descriptor.as_fd().as_raw_fd())
}

/// Looks again at the descriptor after its handler ran, also when it panicked.
struct Rearm<'a> {
    event_loop: &'a EventLoopHandle,
    fd: Fd,
    direction: Direction,
    handler: Option<SlotId>,
}

impl Drop for Rearm<'_> {
    fn drop(&mut self) {
        if let Some(handler) = self.handler {
            self.event_loop.rearm(self.fd, self.direction, handler);
        }
    }
}

/// The outcome of a callback that may not have been there.
pub(crate) struct Reported<R>(pub(crate) Option<R>);

impl<R: Outcome> Outcome for Reported<R> {
    type Value = Option<R::Value>;
    type Error = R::Error;

    fn error(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.0.as_ref().and_then(R::error)
    }

    fn into_result(self) -> Result<Self::Value, R::Error> {
        self.0.map(R::into_result).transpose()
    }
}

/// The error of a call that watches a descriptor or a signal: gives the callback back.
pub struct WatchError<F> {
    error: Error,
    callback: F,
}

impl<F> WatchError<F> {
    pub(crate) fn new(error: Error, callback: F) -> Self {
        Self { error, callback }
    }

    /// Returns the reason.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// Returns the callback that was not taken.
    pub fn into_callback(self) -> F {
        self.callback
    }
}

impl<F> fmt::Display for WatchError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<F> fmt::Debug for WatchError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<F> core::error::Error for WatchError<F> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl<F> From<WatchError<F>> for Error {
    fn from(error: WatchError<F>) -> Self {
        error.error
    }
}

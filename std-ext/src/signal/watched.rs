//! The signals that one loop listens to, and what becomes of one that arrives.

use core::cell::{Cell, RefCell};
use core::fmt;
use std::rc::Rc;

use rondel_core::{Refusal, SlotId};

use super::stream::Listener;
use super::{Signal, SignalSet};
use crate::event_loop::find_in_this_thread;
use crate::sources::Waiter;
use crate::sys::signals::{Mailbox, bit};
use crate::{EventLoopHandle, Result};

/// The signals of a loop.
#[derive(Default)]
pub(crate) struct WatchedSignals {
    /// Is where those that arrive are put: from the first that is watched to the close.
    mailbox: Cell<Option<&'static Mailbox>>,
    watched: RefCell<Vec<Watched>>,
    listeners: RefCell<Vec<Rc<Listener>>>,
}

/// A signal, and who wants to hear of it.
#[derive(Debug)]
struct Watched {
    signal: Signal,
    /// Tells that the signal was blocked in this thread, and is to be again.
    was_blocked: bool,
    handler: Option<SlotId>,
    /// Tells that the signal came and the handler has not run since.
    is_due: bool,
    /// Counts the streams that listen to it.
    listeners: usize,
}

impl WatchedSignals {
    /// Tells whether a signal has come. Asked twice a turn.
    #[inline]
    pub(crate) fn is_used(&self) -> bool {
        self.mailbox.get().is_some_and(Mailbox::is_used)
    }

    fn all(&self) -> Vec<Signal> {
        self.watched.borrow().iter().map(|watched| watched.signal).collect()
    }

    fn with<R>(&self, signal: Signal, change: impl FnOnce(&mut Watched) -> R) -> Option<R> {
        self.watched.borrow_mut().iter_mut().find(|watched| watched.signal == signal).map(change)
    }

    /// Calls `note` with each who waits for a stream, and the stream's key.
    pub(crate) fn note_waiting(&self, mut note: impl FnMut(Waiter, usize)) {
        for (key, listener) in self.listeners.borrow().iter().enumerate() {
            if let Some(waiter) = listener.waiter() {
                note(waiter, key);
            }
        }
    }

    /// Returns what the stream with this key listens to.
    pub(crate) fn awaited(&self, key: usize) -> Option<SignalSet> {
        self.listeners.borrow().get(key).map(|listener| listener.wanted())
    }

    /// Takes one of those who wait for what has come.
    fn next_waiter(&self) -> Option<Waiter> {
        self.listeners.borrow().iter().find_map(|listener| listener.take_waiter_of_arrived())
    }

    /// Takes over that another loop has found the signal blocked; false if this one doesn't listen to it.
    fn inherit_blocked(&self, signal: Signal) -> bool {
        self.with(signal, |watched| watched.was_blocked = true).is_some()
    }
}

impl EventLoopHandle {
    /// Makes that a signal is heard, unless it is already. What has wanted it so far says so by
    /// [`unwatch_signal`](Self::unwatch_signal).
    ///
    /// # Errors
    /// `Closed`; as the system, and then everything is as it was (contract SG-5).
    fn watch_signal(&self, signal: Signal) -> Result<()> {
        let inner = &*self.inner;
        if self.is_closed() {
            return Err(Refusal::Closed.into());
        }
        if inner.signals.with(signal, |_| ()).is_some() {
            return Ok(());
        }
        let taken = || Mailbox::take(inner.scheduler.wake_table());
        let mailbox = inner.signals.mailbox.get().unwrap_or_else(taken);
        inner.signals.mailbox.set(Some(mailbox));
        let raw = signal.as_raw();
        // First, so that none is caught that nobody wants.
        mailbox.accept(raw);
        let caught = inner.kernel.catch_signal(raw).and_then(|()| {
            inner.kernel.unblock_signal(raw).inspect_err(|_| inner.kernel.release_signal(raw))
        });
        match caught {
            Ok(was_blocked) => {
                let watched = Watched { signal, was_blocked, handler: None, is_due: false, listeners: 0 };
                inner.signals.watched.borrow_mut().push(watched);
                Ok(())
            }
            Err(error) => {
                mailbox.refuse(raw);
                Err(error.into())
            }
        }
    }

    /// Leaves a signal to what was before, if nobody here wants it any more (SG-4).
    fn unwatch_signal(&self, signal: Signal) {
        let inner = &*self.inner;
        let unwanted = {
            let mut watched = inner.signals.watched.borrow_mut();
            let is_unwanted = |watched: &Watched| {
                watched.signal == signal && watched.handler.is_none() && watched.listeners == 0
            };
            watched.iter().position(is_unwanted).map(|place| watched.swap_remove(place))
        };
        let Some(Watched { was_blocked, .. }) = unwanted else { return };
        // Before its handler goes: what comes in between has to wait, as it would have.
        if was_blocked && find_in_this_thread(|other| other.signals.inherit_blocked(signal)).is_none() {
            let _ = inner.kernel.block_signal(signal.as_raw());
        }
        inner.kernel.release_signal(signal.as_raw());
        if let Some(mailbox) = inner.signals.mailbox.get() {
            mailbox.refuse(signal.as_raw());
        }
    }

    /// Sets the handler of a signal, and returns the one it replaces, for the caller to cancel. A signal
    /// that has come and was not handled is for the new one (SG-8).
    ///
    /// # Errors
    /// As [`watch_signal`](Self::watch_signal).
    pub(super) fn set_signal_handler(&self, signal: Signal, handler: SlotId) -> Result<Option<SlotId>> {
        self.watch_signal(signal)?;
        let replaced = self.inner.signals.with(signal, |watched| {
            if watched.is_due {
                self.inner.scheduler.make_ready(handler);
            }
            watched.handler.replace(handler)
        });
        Ok(replaced.flatten())
    }

    /// Takes the handler of a signal away, if `is_meant`, and returns it for the caller to cancel.
    pub(super) fn take_signal_handler(
        &self,
        signal: Signal,
        is_meant: impl FnOnce(SlotId) -> bool,
    ) -> Option<SlotId> {
        let taken = self.inner.signals.with(signal, |watched| {
            watched.handler.filter(|&handler| is_meant(handler))?;
            watched.is_due = false;
            watched.handler.take()
        });
        let handler = taken.flatten()?;
        self.unwatch_signal(signal);
        Some(handler)
    }

    /// Notes that the handler of a signal begins to run: one that comes from here on calls it again.
    pub(super) fn signal_is_handled(&self, signal: Signal) {
        self.inner.signals.with(signal, |watched| watched.is_due = false);
    }

    /// Lets a stream listen to one more signal.
    ///
    /// # Errors
    /// As [`watch_signal`](Self::watch_signal).
    pub(super) fn add_signal_listener(&self, listener: &Rc<Listener>, signal: Signal) -> Result<()> {
        if listener.wants(signal) {
            return Ok(());
        }
        self.watch_signal(signal)?;
        self.inner.signals.with(signal, |watched| watched.listeners += 1);
        let mut listeners = self.inner.signals.listeners.borrow_mut();
        if listener.is_empty() {
            listeners.push(Rc::clone(listener));
        }
        listener.add(signal);
        Ok(())
    }

    /// Lets a stream listen no more.
    pub(super) fn remove_signal_listener(&self, listener: &Rc<Listener>) {
        self.inner.signals.listeners.borrow_mut().retain(|other| !Rc::ptr_eq(other, listener));
        for signal in listener.signals() {
            self.inner.signals.with(signal, |watched| watched.listeners -= 1);
            self.unwatch_signal(signal);
        }
    }

    /// Tells all who listen of the signals that have come.
    #[cold]
    pub(crate) fn receive_signals(&self) {
        let signals = &self.inner.signals;
        let arrived = signals.mailbox.get().map_or(0, Mailbox::take_arrived);
        for signal in signals_of(arrived) {
            signals.with(signal, |watched| {
                if let Some(handler) = watched.handler {
                    watched.is_due = true;
                    self.inner.scheduler.make_ready(handler);
                }
            });
        }
        for listener in signals.listeners.borrow().iter() {
            listener.put(arrived);
            if let Some(handler) = listener.take_for_handler() {
                self.inner.scheduler.make_ready(handler);
            }
        }
        drop(WakeListeners(self));
    }

    /// Lets go of all signals, for the close of the loop.
    pub(crate) fn close_signals(&self) {
        let signals = &self.inner.signals;
        signals.listeners.take();
        for signal in signals.all() {
            signals.with(signal, |watched| (watched.handler, watched.listeners) = (None, 0));
            self.unwatch_signal(signal);
        }
        if let Some(mailbox) = signals.mailbox.take() {
            mailbox.give_back();
        }
    }
}

/// Wakes all who wait for what has come, when dropped: also if a foreign waker unwinds.
struct WakeListeners<'a>(&'a EventLoopHandle);

impl Drop for WakeListeners<'_> {
    fn drop(&mut self) {
        while let Some(waiter) = self.0.inner.signals.next_waiter() {
            let rest = WakeListeners(self.0);
            self.0.wake_waiter(waiter);
            core::mem::forget(rest);
        }
    }
}

impl fmt::Debug for WatchedSignals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let watched = self.watched.borrow();
        f.debug_set().entries(watched.iter().map(|watched| watched.signal)).finish()
    }
}

/// Returns the signals of a set, in the order of their numbers.
pub(super) fn signals_of(bits: u64) -> impl Iterator<Item = Signal> {
    (0..u64::BITS).filter(move |index| bits & (1 << index) != 0).map(Signal::from_bit)
}

/// Is the set of one signal.
pub(super) fn set_of(signal: Signal) -> u64 {
    bit(signal.as_raw())
}

//! Handlers of signals: `add_signal_handler`.

use core::cell::RefCell;
use core::fmt;
use core::panic::Location;
use std::rc::Rc;

use rondel_core::{Callback, Outcome, Refused, SlotId};

use super::Signal;
use crate::reader_writer::Reported;
use crate::{Error, EventLoopHandle, Result, WatchError};

impl EventLoopHandle {
    /// Calls `callback` in the loop when `signal` has come, until
    /// [`remove_signal_handler`](Self::remove_signal_handler) or the loop's close. The handle that
    /// it returns needn't be kept.
    ///
    /// The callback is one like any other: it may call everything (contract SG-1). A signal that
    /// comes again before it has run is the same call; one that comes later is another, and no
    /// signal hides another (SG-7). What comes while the loop doesn't run is for the next run
    /// (SG-6). A second call for the same signal replaces the callback (SG-8); one that fails or
    /// panics is reported and stays. System calls that the signal interrupts begin anew (SG-9).
    ///
    /// Any loop may listen, in any thread, and several to the same signal: each gets it (SG-3). What
    /// the process did with the signal before comes back when the last of them ceases: exactly that,
    /// with flags and mask, an ignored signal included (SG-4). A handler that somebody else has
    /// installed meanwhile is left alone. A signal that is blocked in the loop's thread is unblocked
    /// there, and blocked again in the end. In a process that was forked off, loops made before the
    /// fork get no signals (FAULTS G-06).
    ///
    /// ```
    /// use rondel::{EventLoop, Signal};
    ///
    /// let event_loop = EventLoop::new()?;
    /// for signal in [Signal::SIGINT, Signal::SIGTERM] {
    ///     event_loop.add_signal_handler(signal, move |event_loop| {
    ///         println!("got signal {signal}: exit");
    ///         event_loop.stop();
    ///     })?;
    /// }
    /// # event_loop.stop();
    /// event_loop.run_forever()?;
    /// # Ok::<(), rondel::Error>(())
    /// ```
    ///
    /// # Errors
    /// Gives the callback back: if the call table is full, the loop closed, or as `sigaction`; then
    /// everything is as it was (SG-5).
    ///
    /// # Python
    /// `loop.add_signal_handler(signum, callback, *args)`: only in the main thread, for one loop at a
    /// time, and its removal brings back the default action, whatever was before. It calls as often
    /// as the signal came, as long as a pipe has room.
    #[track_caller]
    pub fn add_signal_handler<F, R>(&self, signal: Signal, callback: F) -> Result<SignalHandle, WatchError<F>>
    where
        F: FnMut(&Self) -> R + 'static,
        R: Outcome,
    {
        const OPERATION: &str = "add_signal_handler";
        let handling = Rc::new(Handling { signal, callback: RefCell::new(None) });
        let added = self.inner.scheduler.add_handler(
            Rc::clone(&handling),
            |handling| Callback::handler(move |event_loop: &Self| handling.run(event_loop)),
            Location::caller(),
        );
        let handler = match added {
            Ok(handler) => handler,
            Err(refused) => {
                let error = Error::from(Refused::new(OPERATION, refused.refusal(), ()));
                return Err(WatchError::new(error, callback));
            }
        };
        let previous = match self.set_signal_handler(signal, handler) {
            Ok(previous) => previous,
            Err(error) => {
                self.inner.scheduler.cancel_call(self, handler);
                return Err(WatchError::new(error.during(OPERATION), callback));
            }
        };
        *handling.callback.borrow_mut() = Some(callback);
        // Last, since its destructor is foreign code.
        if let Some(previous) = previous {
            self.inner.scheduler.cancel_call(self, previous);
        }
        Ok(SignalHandle { event_loop: self.clone(), signal, handler })
    }

    /// Takes the handler of a signal away; tells whether there was one. A signal that came and was
    /// not handled yet is dropped with it (SG-8).
    ///
    /// # Python
    /// `loop.remove_signal_handler(signum)`.
    pub fn remove_signal_handler(&self, signal: Signal) -> bool {
        self.cancel_signal_handler(signal, |_| true)
    }

    fn cancel_signal_handler(&self, signal: Signal, is_meant: impl FnOnce(SlotId) -> bool) -> bool {
        let handler = self.take_signal_handler(signal, is_meant);
        handler.is_some_and(|handler| self.inner.scheduler.cancel_call(self, handler))
    }
}

/// A callback for a signal. It moves in last, when nothing can refuse it any more.
struct Handling<F> {
    signal: Signal,
    /// Invariant: borrowed only while the callback runs, which is never entered twice.
    callback: RefCell<Option<F>>,
}

impl<F> Handling<F> {
    fn run<R>(&self, event_loop: &EventLoopHandle) -> Reported<R>
    where
        F: FnMut(&EventLoopHandle) -> R,
    {
        event_loop.signal_is_handled(self.signal);
        let mut callback = self.callback.borrow_mut();
        Reported(callback.as_mut().map(|callback| callback(event_loop)))
    }
}

/// Names the handler of a signal.
///
/// # Python
/// asyncio has none: `add_signal_handler` returns nothing.
#[derive(Clone)]
pub struct SignalHandle {
    event_loop: EventLoopHandle,
    signal: Signal,
    handler: SlotId,
}

impl SignalHandle {
    /// Returns the signal.
    #[must_use]
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// Takes the handler away; tells whether it was still there. Another that has replaced it stays.
    pub fn remove(&self) -> bool {
        self.event_loop.cancel_signal_handler(self.signal, |handler| handler == self.handler)
    }

    /// Turns the handle into a guard that takes the handler away when dropped.
    pub fn remove_on_drop(self) -> RemoveOnDrop {
        RemoveOnDrop(self)
    }
}

impl fmt::Debug for SignalHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignalHandle({})", self.signal)
    }
}

/// Takes the handler of a signal away when dropped.
#[derive(Debug)]
#[must_use = "dropping it takes the handler away at once"]
pub struct RemoveOnDrop(SignalHandle);

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        self.0.remove();
    }
}

//! Signals for tasks: a stream of them, and waiting for one of a set.

use core::cell::Cell;
use core::fmt;
use core::future::poll_fn;
use core::panic::Location;
use core::task::{Context as PollContext, Poll};
use std::rc::Rc;

use rondel_core::{Cancelled, Refusal, SlotId};

use super::watched::{set_of, signals_of};
use super::{Signal, SignalSet};
use crate::sources::Waiter;
use crate::{Error, EventLoopHandle, Result};

impl EventLoopHandle {
    /// Listens to the signals of a set, from here on until the stream is dropped.
    ///
    /// Several streams and a handler may listen to the same signal, also in several loops; each
    /// gets it. What else is said of [`add_signal_handler`](Self::add_signal_handler) is true here
    /// too. An empty set never brings anything.
    ///
    /// ```
    /// use rondel::Signal;
    ///
    /// rondel::run(async |event_loop| {
    ///     let mut signals = event_loop.signals([Signal::SIGHUP, Signal::SIGTERM])?;
    ///     # std::process::Command::new("kill").arg(std::process::id().to_string()).status()?;
    ///     while signals.next().await? == Signal::SIGHUP {
    ///         println!("reading the configuration again");
    ///     }
    ///     Ok(())
    /// })?;
    /// # Ok::<(), rondel::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Closed`, or as `sigaction`; then no signal of the set is listened to (contract SG-5).
    ///
    /// # Python
    /// asyncio has none; `loop.add_signal_handler(sig, queue.put_nowait, sig)` for each comes near.
    #[track_caller]
    pub fn signals(&self, set: impl IntoIterator<Item = Signal>) -> Result<Signals> {
        if self.is_closed() {
            return Err(Error::from(Refusal::Closed).during("signals"));
        }
        let signals =
            Signals { event_loop: self.clone(), listener: Rc::default(), location: Location::caller() };
        for signal in set {
            // A failure drops the stream, and with it what was added before.
            self.add_signal_listener(&signals.listener, signal).map_err(|error| error.during("signals"))?;
        }
        Ok(signals)
    }

    /// Waits for one signal of a set, which is listened to from the first poll until the end of the wait.
    ///
    /// Between two of these waits a signal does what it did before, which may be to end the program:
    /// for more than one, [`signals`](Self::signals).
    ///
    /// # Errors
    /// As [`signals`](Self::signals) and [`Signals::next`].
    ///
    /// # Cancellation
    /// A signal that has come and was not returned is lost, where [`signals`](Self::signals) keeps it.
    ///
    /// # Python
    /// `signal.sigwait(set)`, which blocks the thread.
    pub async fn wait_signal(&self, set: impl IntoIterator<Item = Signal>) -> Result<Signal> {
        self.signals(set)?.next().await
    }
}

/// A stream of signals. Made by [`EventLoopHandle::signals`].
///
/// A signal that comes again before it was taken is not counted twice, and it hides no other; of
/// several that have come the lowest number is first. The last who listens brings back what the
/// process did with the signal before (contract SG-4): dropping the stream is enough.
pub struct Signals {
    event_loop: EventLoopHandle,
    listener: Rc<Listener>,
    location: &'static Location<'static>,
}

impl Signals {
    /// Waits for the next signal.
    ///
    /// # Errors
    /// `Cancelled`; `Closed` if the loop was closed; `Full` if there is no room for the wait, which
    /// can't be where a task awaits it directly.
    ///
    /// # Cancellation
    /// Safe: a signal that was not returned is there for the next call.
    pub async fn next(&mut self) -> Result<Signal> {
        let waiting = StopWaiting(self);
        poll_fn(|cx| waiting.0.poll(cx)).await
    }

    /// As [`next`](Self::next), for those who poll: the waker of the last call is the one that counts.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    ///
    /// # Cancellation
    /// As [`next`](Self::next).
    pub fn poll_next(&mut self, cx: &mut PollContext<'_>) -> Poll<Result<Signal>> {
        self.poll(cx)
    }

    fn poll(&self, cx: &PollContext<'_>) -> Poll<Result<Signal>> {
        self.stop_waiting();
        let scheduler = &self.event_loop.inner.scheduler;
        if scheduler.take_cancel() {
            return Poll::Ready(Err(Cancelled.into()));
        }
        if self.event_loop.is_closed() {
            return Poll::Ready(Err(Refusal::Closed.into()));
        }
        if let Some(signal) = self.listener.take() {
            return Poll::Ready(Ok(signal));
        }
        let waiter = match scheduler.task_of(cx.waker()) {
            Some(task) => Waiter::Task(task),
            None => Waiter::Call(scheduler.add_waiter(cx.waker(), self.location)?),
        };
        self.listener.waiter.set(Some(waiter));
        Poll::Pending
    }

    fn stop_waiting(&self) {
        if let Some(Waiter::Call(call)) = self.listener.waiter.take() {
            self.event_loop.inner.scheduler.cancel_call(&self.event_loop, call);
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.event_loop.remove_signal_listener(&self.listener);
        self.stop_waiting();
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.listener.signals()).finish()
    }
}

/// Takes a wait back when its future goes.
struct StopWaiting<'a>(&'a Signals);

impl Drop for StopWaiting<'_> {
    fn drop(&mut self) {
        self.0.stop_waiting();
    }
}

/// What the loop knows of a stream, or of a handler of its own.
#[derive(Default)]
pub(super) struct Listener {
    wanted: Cell<u64>,
    /// Are the signals that came and were not taken.
    arrived: Cell<u64>,
    waiter: Cell<Option<Waiter>>,
    /// Becomes ready when something has come.
    handler: Option<SlotId>,
}

impl Listener {
    pub(super) fn of_handler(handler: SlotId) -> Self {
        Self { handler: Some(handler), ..Self::default() }
    }

    pub(super) fn wants(&self, signal: Signal) -> bool {
        self.wanted.get() & set_of(signal) != 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.wanted.get() == 0
    }

    pub(super) fn add(&self, signal: Signal) {
        self.wanted.set(self.wanted.get() | set_of(signal));
    }

    pub(super) fn wanted(&self) -> SignalSet {
        SignalSet::of_bits(self.wanted.get())
    }

    pub(super) fn waiter(&self) -> Option<Waiter> {
        self.waiter.get()
    }

    pub(super) fn signals(&self) -> impl Iterator<Item = Signal> + use<> {
        signals_of(self.wanted.get())
    }

    /// Takes note of those of the signals that are wanted.
    pub(super) fn put(&self, signals: u64) {
        self.arrived.set(self.arrived.get() | (signals & self.wanted.get()));
    }

    /// Takes the lowest of the signals that have come.
    fn take(&self) -> Option<Signal> {
        let signal = signals_of(self.arrived.get()).next()?;
        self.arrived.set(self.arrived.get() & !set_of(signal));
        Some(signal)
    }

    /// Takes all that has come, for a handler, which becomes ready by that.
    pub(super) fn take_for_handler(&self) -> Option<SlotId> {
        let handler = self.handler?;
        (self.arrived.take() != 0).then_some(handler)
    }

    /// Takes who waits, if what it waits for has come.
    pub(super) fn take_waiter_of_arrived(&self) -> Option<Waiter> {
        if self.arrived.get() == 0 { None } else { self.waiter.take() }
    }
}

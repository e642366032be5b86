//! From an interrupt handler to a task.

use core::cell::Cell;
use core::fmt;
use core::future::poll_fn;
use core::task::{Poll, Waker};

use cortex_m::interrupt::{Mutex, free};

/// Tells a task that something happened: a flag that is awaited.
///
/// One task at a time may wait. What is signalled while nobody waits is kept,
/// once.
pub struct Signal(Mutex<Cell<State>>);

enum State {
    Quiet,
    Awaited(Waker),
    Signalled,
}

impl Signal {
    /// Makes a quiet signal, for a `static`.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(Cell::new(State::Quiet)))
    }

    /// Wakes the task that waits; for interrupt handlers.
    pub fn signal(&self) {
        let before = free(|section| self.0.borrow(section).replace(State::Signalled));
        if let State::Awaited(waker) = before {
            waker.wake();
        }
    }

    /// Waits for the next signal.
    pub async fn wait(&self) {
        poll_fn(|cx| {
            // Cloned and dropped outside of the section, which stays short.
            let awaited = State::Awaited(cx.waker().clone());
            let before = free(|section| {
                let state = self.0.borrow(section);
                match state.replace(State::Quiet) {
                    State::Signalled => (State::Signalled, Some(awaited)),
                    other => {
                        state.set(awaited);
                        (other, None)
                    }
                }
            });
            if matches!(before.0, State::Signalled) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Default for Signal {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signal")
    }
}

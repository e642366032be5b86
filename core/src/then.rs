//! A future, and what is made of its output.
#![allow(unsafe_code, reason = "projects a pin onto the future")]

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

/// Runs a future, and passes its output on to a closure.
///
/// Is no larger than the two together, where an `async` block would keep the
/// future twice.
///
/// # Cancellation
/// The future is dropped, and then the closure, which is not called.
#[must_use = "does nothing until it is awaited"]
pub struct Then<F, G> {
    /// Invariant: pinned as part of `self`.
    future: F,
    then: Option<G>,
}

impl<F: Future, R, G: FnOnce(F::Output) -> R> Then<F, G> {
    /// Makes one of a future that was not polled yet.
    pub const fn new(future: F, then: G) -> Self {
        Self { future, then: Some(then) }
    }
}

impl<F: Future, R, G: FnOnce(F::Output) -> R> Future for Then<F, G> {
    type Output = R;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<R> {
        // SAFETY: `future` is not moved from here on; `then` is never pinned.
        let this = unsafe { self.get_unchecked_mut() };
        if this.then.is_none() {
            // It has ended.
            return Poll::Pending;
        }
        // SAFETY: as above.
        let output = ready!(unsafe { Pin::new_unchecked(&mut this.future) }.poll(cx));
        this.then.take().map_or(Poll::Pending, |then| Poll::Ready(then(output)))
    }
}

impl<F, G> fmt::Debug for Then<F, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Then")
    }
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;
    use core::future::{pending, poll_fn};
    use core::pin::pin;
    use core::task::Waker;

    use super::*;

    #[test]
    fn an_output_is_passed_on_once() {
        let mut cx = Context::from_waker(Waker::noop());
        let polls = Cell::new(0);
        let future = poll_fn(|_| {
            polls.set(polls.get() + 1);
            if polls.get() < 2 { Poll::Pending } else { Poll::Ready(20) }
        });
        let mut then = pin!(Then::new(future, |number| number + 1));
        assert!(then.as_mut().poll(&mut cx).is_pending());
        assert_eq!(then.as_mut().poll(&mut cx), Poll::Ready(21));
        assert!(then.as_mut().poll(&mut cx).is_pending());
        assert_eq!(polls.get(), 2, "a future that has ended is left alone");
    }

    #[test]
    fn it_is_no_larger_than_its_parts() {
        let (held, seen) = ([0_u64; 16], Cell::new(0));
        let future = async move {
            pending::<()>().await;
            held
        };
        let parts = size_of_val(&future) + size_of::<&Cell<u64>>();
        assert_eq!(size_of_val(&Then::new(future, |held: [u64; 16]| seen.set(held[0]))), parts);
    }
}

//! A bare look at the outside, by mio.

use core::time::Duration;

use crate::case::ns_each;

/// Polls without waiting.
pub(crate) fn chain(count: usize) -> impl FnMut() -> f64 {
    let mut poll = mio::Poll::new().expect("opens");
    let mut events = mio::Events::with_capacity(256);
    move || {
        ns_each(count, || {
            for _ in 0..count {
                poll.poll(&mut events, Some(Duration::ZERO)).expect("polls");
            }
        })
    }
}

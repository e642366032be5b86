//! A queue of boxed closures, as one would write it in a minute.

use std::collections::VecDeque;

use crate::calls::{BURST, work};
use crate::case::ns_each;

/// Pushes and runs so many closures a turn.
pub(crate) fn burst(turns: usize) -> impl FnMut() -> f64 {
    let mut queue: VecDeque<Box<dyn FnOnce()>> = VecDeque::new();
    move || {
        ns_each(turns * BURST, || {
            for _ in 0..turns {
                for number in 0..BURST as u64 {
                    queue.push_back(Box::new(move || work(number)));
                }
                while let Some(call) = queue.pop_front() {
                    call();
                }
            }
        })
    }
}

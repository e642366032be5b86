//! A bare queue of closures.

use crate::calls::{BURST, work};
use crate::case::ns_each;

/// Pushes and runs so many closures a turn.
pub(crate) fn burst(turns: usize) -> impl FnMut() -> f64 {
    let mut ring = Ring::new(BURST.next_power_of_two());
    move || {
        ns_each(turns * BURST, || {
            for _ in 0..turns {
                for number in 0..BURST as u64 {
                    ring.push([number, 0, 0], |captures| work(captures[0]));
                }
                ring.run();
            }
        })
    }
}

/// A ring of closures of up to three words, and nothing else.
struct Ring {
    entries: Box<[Entry]>,
    head: usize,
    tail: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    call: fn(&[u64; 3]),
    captures: [u64; 3],
}

impl Ring {
    /// Makes a ring for `capacity` closures, a power of two.
    fn new(capacity: usize) -> Self {
        assert!(capacity.is_power_of_two());
        Self { entries: vec![Entry { call: |_| (), captures: [0; 3] }; capacity].into(), head: 0, tail: 0 }
    }

    fn push(&mut self, captures: [u64; 3], call: fn(&[u64; 3])) {
        assert!(self.tail - self.head < self.entries.len());
        let place = self.tail & (self.entries.len() - 1);
        self.entries[place] = Entry { call, captures };
        self.tail += 1;
    }

    /// Calls all closures and returns how many there were.
    fn run(&mut self) -> usize {
        let count = self.tail - self.head;
        for _ in 0..count {
            let entry = self.entries[self.head & (self.entries.len() - 1)];
            self.head += 1;
            (entry.call)(&entry.captures);
        }
        count
    }
}

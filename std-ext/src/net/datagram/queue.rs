//! The datagrams that the kernel has not taken yet.

use std::collections::VecDeque;

use crate::net::address::Address;

/// Is the room that is kept in front, at least, before bytes are moved.
const COMPACT_MIN: usize = 64 * 1024;

/// Whole datagrams, in order.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// Invariant: `bytes[start..]` are those of `datagrams`, one after the other.
    bytes: Vec<u8>,
    start: usize,
    /// Is how long each is, and where it goes; to the peer without an address.
    datagrams: VecDeque<(usize, Option<Address>)>,
}

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.datagrams.len()
    }

    pub(crate) fn push(&mut self, data: &[u8], to: Option<&Address>) {
        if self.start > COMPACT_MIN && self.start > self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(data);
        self.datagrams.push_back((data.len(), to.cloned()));
    }

    pub(crate) fn first(&self) -> Option<(&[u8], Option<&Address>)> {
        let (length, to) = self.datagrams.front()?;
        Some((&self.bytes[self.start..][..*length], to.as_ref()))
    }

    /// Removes the first, and returns how long it was.
    pub(crate) fn pop(&mut self) -> Option<usize> {
        let (length, _) = self.datagrams.pop_front()?;
        self.start += length;
        if self.datagrams.is_empty() {
            *self = Self::default();
        }
        Some(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // DG-6
    #[test]
    fn dg6_datagrams_come_out_whole_and_in_order_also_when_bytes_are_moved() {
        let mut queue = Queue::default();
        let datagram = |number: usize| vec![number as u8; number * 97 % 3000];
        let mut next = 0;
        for number in 0..500 {
            queue.push(&datagram(number), None);
            if number % 3 > 0 {
                assert_eq!(queue.first().unwrap().0, datagram(next));
                assert_eq!(queue.pop(), Some(datagram(next).len()));
                next += 1;
            }
        }
        while let Some((data, _)) = queue.first() {
            assert_eq!(data, datagram(next));
            queue.pop();
            next += 1;
        }
        assert_eq!((next, queue.pop(), queue.bytes.capacity()), (500, None, 0));
    }
}

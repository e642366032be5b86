//! Slots, and which of them is used next.

use alloc::vec::Vec;

use super::Id;

#[derive(Clone)]
pub(super) struct Table<T> {
    pub(super) slots: Vec<Option<(u64, T)>>,
    pub(super) free: Vec<usize>,
    pub(super) capacity: usize,
    pub(super) peak: usize,
}

impl<T> Table<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), capacity, peak: 0 }
    }

    pub(super) fn live(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    pub(super) fn insert(&mut self, seq: u64, value: T) -> Option<Id> {
        if self.live() == self.capacity {
            return None;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some((seq, value));
        self.peak = self.peak.max(self.live());
        Some((slot, seq))
    }

    pub(super) fn remove(&mut self, slot: usize) -> Option<T> {
        let (_, value) = self.slots[slot].take()?;
        self.free.push(slot);
        Some(value)
    }

    pub(super) fn get(&mut self, (slot, seq): Id) -> Option<&mut T> {
        self.slots.get_mut(slot)?.as_mut().filter(|(other, _)| *other == seq).map(|(_, value)| value)
    }

    pub(super) fn peek(&self, (slot, seq): Id) -> Option<&T> {
        self.slots.get(slot)?.as_ref().filter(|(other, _)| *other == seq).map(|(_, value)| value)
    }

    pub(super) fn id(&self, slot: usize) -> Option<Id> {
        self.slots.get(slot)?.as_ref().map(|(seq, _)| (slot, *seq))
    }
}

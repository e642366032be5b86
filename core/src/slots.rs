//! Generational slots: a table whose stale keys are inert.

use core::panic::Location;

use crate::Usage;
use crate::region::Region;

/// Names one use of one slot.
///
/// The generation is the number of the creation in this loop, 64 bits wide: at
/// a billion creations a second it wraps after 584 years, so a stale id never
/// becomes valid again (FAULTS W-07), and no slot is ever retired for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlotId {
    pub(crate) index: u32,
    pub(crate) seq: u64,
}

impl SlotId {
    /// Names no slot, and never will.
    pub const NONE: Self = Self { index: NO_SLOT, seq: 0 };

    /// Returns the number of the slot and that of the creation, which can be kept in 12 bytes.
    #[must_use]
    #[inline]
    pub const fn into_parts(self) -> (u32, u64) {
        (self.index, self.seq)
    }

    /// Makes an id of its parts again.
    #[must_use]
    #[inline]
    pub const fn from_parts(index: u32, seq: u64) -> Self {
        Self { index, seq }
    }
}

/// Is the end of a list of slots.
pub(crate) const NO_SLOT: u32 = u32::MAX;

/// One slot: the header that every table needs, and the table's own value.
///
/// Where pointers have 64 bits it begins with a line of the cache, and a call is
/// exactly that line: memory from an allocator would begin in the middle of one.
#[derive(Debug)]
#[cfg_attr(target_pointer_width = "64", repr(align(64)))]
pub struct Entry<T, H> {
    /// Invariant: zero while the slot is free.
    pub(crate) seq: u64,
    /// Is the next free slot while free; afterwards the table's own.
    pub(crate) at: u32,
    pub(crate) head: H,
    /// Invariant: owns nothing of the user's while the slot is free.
    pub(crate) value: T,
}

/// A table of slots with a fixed capacity.
#[derive(Debug)]
pub(crate) struct Slots<T: 'static, H: 'static = ()> {
    entries: Region<Entry<T, H>>,
    capacity: usize,
    free: u32,
    live: u32,
}

/// What a slot holds that was never used; it owns nothing.
pub(crate) trait Vacant {
    const VACANT: Self;
}

/// Is the location of what was never used; one for all tables, because each has
/// the name of its file with it.
pub(crate) const NOWHERE: &Location<'static> = Location::caller();

impl Vacant for () {
    const VACANT: Self = ();
}

impl<T: Vacant, H: Vacant> Slots<T, H> {
    pub(crate) fn new(entries: Region<Entry<T, H>>) -> Self {
        Self::with_limit(entries, crate::ready::NODES_MAX)
    }

    /// Makes an empty table that uses `limit` of its slots at most.
    pub(crate) fn with_limit(entries: Region<Entry<T, H>>, limit: usize) -> Self {
        // Ids are 30 bits wide.
        let capacity = entries.capacity().min(limit).min(crate::ready::NODES_MAX);
        Self { entries, capacity, free: NO_SLOT, live: 0 }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(crate) fn live(&self) -> usize {
        self.live as usize
    }

    /// Tells how full the table is. A slot is used for the first time only when all
    /// others are live, unless some were retired.
    pub(crate) fn usage(&self) -> Usage {
        Usage { live: self.live(), peak: self.entries.len(), capacity: self.capacity }
    }

    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.free != NO_SLOT || self.entries.len() < self.capacity()
    }

    /// Takes a free slot; its head, `at` and value are for the caller to write.
    #[inline]
    pub(crate) fn reserve(&mut self, seq: u64) -> Option<(u32, &mut Entry<T, H>)> {
        if self.free == NO_SLOT && !self.grow() {
            return None;
        }
        let index = self.free;
        let entry = self.entries.get_mut(index as usize)?;
        self.free = entry.at;
        entry.seq = seq;
        self.live += 1;
        Some((index, entry))
    }

    /// Makes a slot that was never used the only free one.
    #[inline(never)]
    fn grow(&mut self) -> bool {
        let vacant = Entry { seq: 0, at: NO_SLOT, head: H::VACANT, value: T::VACANT };
        match self.entries.push_below(self.capacity, vacant) {
            Some(index) => self.free = index as u32,
            None => return false,
        }
        true
    }

    /// Puts `value` into a free slot and returns its index, or gives it back.
    #[inline]
    pub(crate) fn insert(&mut self, seq: u64, head: H, value: T) -> Result<u32, T> {
        match self.reserve(seq) {
            Some((index, entry)) => {
                entry.head = head;
                // Has nothing to drop.
                core::mem::forget(core::mem::replace(&mut entry.value, value));
                Ok(index)
            }
            None => Err(value),
        }
    }

    /// Frees the slot. Its value must own nothing of the user's any more.
    #[inline]
    pub(crate) fn release(&mut self, index: u32) {
        if let Some(entry) = self.entries.get_mut(index as usize)
            && entry.seq != 0
        {
            entry.seq = 0;
            entry.at = core::mem::replace(&mut self.free, index);
            self.live -= 1;
        }
    }

    /// Makes all ids of the slot stale, but keeps it out of use.
    pub(crate) fn retire(&mut self, index: u32) -> bool {
        match self.entries.get_mut(index as usize) {
            Some(entry) if entry.seq != 0 => {
                entry.seq = 0;
                self.live -= 1;
                true
            }
            _ => false,
        }
    }

    /// Gives a retired slot back for use.
    pub(crate) fn reuse(&mut self, index: u32) {
        if let Some(entry) = self.entries.get_mut(index as usize) {
            entry.at = self.free;
            self.free = index;
        }
    }

    /// Returns the slot if `id` still names it.
    #[inline]
    pub(crate) fn get(&self, id: SlotId) -> Option<&Entry<T, H>> {
        self.entries.get(id.index as usize).filter(|entry| entry.seq == id.seq)
    }

    /// Returns the slot if `id` still names it.
    // Most of what the scheduler does begins with it: where code is scarce, once is enough.
    #[cfg_attr(target_pointer_width = "64", inline)]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub(crate) fn get_mut(&mut self, id: SlotId) -> Option<&mut Entry<T, H>> {
        self.entries.get_mut(id.index as usize).filter(|entry| entry.seq == id.seq)
    }

    /// Returns the slot at `index`, live or not.
    #[inline]
    pub(crate) fn at(&self, index: u32) -> Option<&Entry<T, H>> {
        self.entries.get(index as usize)
    }

    /// Returns the slot at `index`, live or not.
    #[inline]
    pub(crate) fn at_mut(&mut self, index: u32) -> Option<&mut Entry<T, H>> {
        self.entries.get_mut(index as usize)
    }

    /// Returns how many slots were ever used: all live ones are below.
    pub(crate) fn used(&self) -> u32 {
        self.entries.len() as u32
    }

    /// Returns the slot at `index` if it is live.
    pub(crate) fn live_at(&self, index: u32) -> Option<&Entry<T, H>> {
        self.at(index).filter(|entry| entry.seq != 0)
    }

    /// Returns the id of the first live slot at `index` or behind it.
    pub(crate) fn next_live(&self, index: u32) -> Option<SlotId> {
        let entries = self.entries.as_slice().get(index as usize..)?;
        let ahead = entries.iter().position(|entry| entry.seq != 0)?;
        let index = index + ahead as u32;
        Some(SlotId { index, seq: self.at(index)?.seq })
    }
}

#[cfg(test)]
mod tests {
    use std::boxed::Box;

    use super::*;

    impl Vacant for char {
        const VACANT: Self = ' ';
    }

    #[test]
    fn w07_a_stale_id_never_names_the_next_use_of_its_slot() {
        let memory = Box::leak(Box::new([const { core::mem::MaybeUninit::uninit() }; 1]));
        let mut slots: Slots<char> = Slots::new(Region::new(memory));
        let index = slots.insert(1, (), 'a').unwrap();
        let old = SlotId { index, seq: 1 };
        assert_eq!(slots.insert(2, (), 'b'), Err('b'), "capacity 1 is full with one");
        slots.release(index);
        assert!(slots.get(old).is_none());
        assert_eq!(slots.insert(3, (), 'c'), Ok(index), "the slot is used again");
        assert!(slots.get(old).is_none(), "the old id stays inert");
        slots.release(index);
        slots.release(index);
        assert_eq!((slots.live(), slots.usage().peak), (0, 1), "a second release does nothing");
    }
}

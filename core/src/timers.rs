//! Timers: exact order, ties first in first out, cancelled without a trace.
//!
//! What is due soon lies in a 4-ary heap, ordered by deadline and creation.
//! What is far away lies in the buckets of a hierarchical wheel, in no order at
//! all, until its bucket is the next one; then the bucket moves into the heap.
//! So arming and cancelling cost O(1) for most timers, and the order is exact.
//! Without memory for buckets everything lies in the heap: O(log n), and the
//! right choice for a few dozen timers on a microcontroller.

use core::fmt;

use crate::calls::{CallSlot, Calls, Kind};
use crate::defect;
use crate::delay::Delay;
use crate::ready::{Links, List, Node, Owner};
use crate::region::Region;
use crate::{Context, Instant};

/// Is the children of a heap node.
const ARITY: usize = 4;

/// Is the width of a bucket of the lowest level: 2^16 ns, 65.5 µs.
const TICK_BITS: u32 = 16;

/// Is the buckets of a level.
const LEVEL_BITS: u32 = 6;
const BUCKETS: usize = 1 << LEVEL_BITS;

/// Is the levels that span 64 bits of nanoseconds.
const LEVELS: usize = ((u64::BITS - TICK_BITS) / LEVEL_BITS) as usize;

/// One timer in the heap. All children of one lie in 64 bytes; where memory is scarce, in 48.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(target_pointer_width = "32", repr(C, packed(4)))]
pub struct HeapEntry {
    when: u64,
    index: u32,
}

impl HeapEntry {
    #[inline]
    fn is_before<C>(&self, other: &Self, calls: &Calls<C>) -> bool {
        if defect::TIMERS_REVERSED {
            return self.when > other.when;
        }
        if self.when == other.when {
            return was_armed_before(calls, self.index, other.index);
        }
        self.when < other.when
    }
}

/// Tells which of two timers with one deadline was armed first.
#[inline(never)]
fn was_armed_before<C>(calls: &Calls<C>, one: u32, other: u32) -> bool {
    let seq = |index| calls.at(index).map_or(0, |entry| entry.seq);
    seq(one) < seq(other)
}

/// The buckets of the far timers; 4 KiB.
pub struct Wheel {
    buckets: [[List; BUCKETS]; LEVELS],
    /// Has a bit for each bucket that isn't empty.
    occupied: [u64; LEVELS],
    len: u32,
    /// Is the most timers that there ever were at once, those in the heap included.
    peak: u32,
    /// Is its start: a deadline before it lies in the heap.
    ///
    /// Invariant: no bucket starts before it.
    horizon: u64,
    /// Is the bucket that a turn left half moved. Until the last of it has
    /// moved, the heap is not complete.
    unfinished: Option<Bucket>,
}

impl Wheel {
    /// Makes an empty wheel.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            buckets: [[List::EMPTY; BUCKETS]; LEVELS],
            occupied: [0; LEVELS],
            len: 0,
            peak: 0,
            horizon: 0,
            unfinished: None,
        }
    }

    /// Returns the place of deadline `when` as seen from `horizon`.
    #[inline]
    const fn place(when: u64, horizon: u64) -> (usize, usize) {
        let differing = (when ^ horizon) >> TICK_BITS;
        let level = if differing == 0 { 0 } else { (u64::BITS - 1 - differing.leading_zeros()) / LEVEL_BITS };
        let bucket = (when >> (TICK_BITS + level * LEVEL_BITS)) as usize & (BUCKETS - 1);
        (level as usize % LEVELS, bucket)
    }

    /// Begins anew, empty as it is, at `now`.
    #[inline]
    fn begin(&mut self, now: Instant) {
        self.horizon = now.as_nanos() >> TICK_BITS << TICK_BITS;
        // A bucket whose rest was cancelled is of the old horizon.
        self.unfinished = None;
    }

    #[inline]
    fn push<C>(
        &mut self,
        links: &mut Links,
        calls: &mut Calls<C>,
        index: u32,
        when: u64,
        note: impl FnOnce(&mut CallSlot<C>),
    ) {
        let (level, bucket) = Self::place(when, self.horizon);
        if let Some(entry) = calls.at_mut(index) {
            note(entry);
            entry.head.kind = Kind::FarTimer;
            entry.at = (level * BUCKETS + bucket) as u32;
        }
        self.buckets[level][bucket].push(links, Node::call(index));
        self.occupied[level] |= 1 << bucket;
        self.len += 1;
    }

    /// Notes how many timers there are, `near` of them in the heap.
    #[inline]
    fn note_armed(&mut self, near: usize) {
        let armed = self.len + near as u32;
        if armed > self.peak {
            self.peak = armed;
        }
    }

    #[inline]
    fn remove(&mut self, links: &mut Links, index: u32, at: u32) {
        let (level, bucket) = (at as usize / BUCKETS % LEVELS, at as usize % BUCKETS);
        if self.buckets[level][bucket].remove(links, Node::call(index)) {
            self.len -= 1;
        }
        if self.buckets[level][bucket].is_empty() {
            self.occupied[level] &= !(1 << bucket);
        }
    }

    /// Takes a timer out of `bucket`.
    #[inline]
    fn pop(&mut self, links: &mut Links, bucket: Bucket) -> Option<Node> {
        let list = self.buckets.get_mut(bucket.level)?.get_mut(bucket.index)?;
        let node = list.pop(links)?;
        self.len -= 1;
        if list.is_empty() {
            *self.occupied.get_mut(bucket.level)? &= !(1 << bucket.index);
        }
        Some(node)
    }

    fn is_occupied(&self, bucket: Bucket) -> bool {
        let occupied = self.occupied.get(bucket.level);
        occupied.is_some_and(|occupied| occupied & (1 << bucket.index) != 0)
    }

    /// Returns the bucket that starts first; of two, the wider, which is to be
    /// spread over the narrower ones.
    fn first(&self) -> Option<Bucket> {
        let mut first: Option<Bucket> = None;
        for (level, &occupied) in self.occupied.iter().enumerate() {
            if occupied == 0 {
                continue;
            }
            let index = occupied.trailing_zeros() as usize & (BUCKETS - 1);
            let shift = TICK_BITS + level as u32 * LEVEL_BITS;
            // The digits above this level's are the horizon's.
            let above = self.horizon.checked_shr(shift + LEVEL_BITS).unwrap_or(0);
            let start = above.checked_shl(shift + LEVEL_BITS).unwrap_or(0) | ((index as u64) << shift);
            if first.is_none_or(|first| start <= first.start) {
                first = Some(Bucket { level, index, start });
            }
        }
        first
    }
}

/// A bucket of the wheel and the earliest deadline that it can hold.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    level: usize,
    index: usize,
    start: u64,
}

impl Default for Wheel {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Wheel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wheel {{ len: {} }}", self.len)
    }
}

/// All timers that are armed.
#[derive(Debug)]
pub(crate) struct Timers {
    /// Invariant: a heap, and all of it comes before all of the wheel.
    heap: Region<HeapEntry>,
    len: usize,
    /// Holds one wheel or none.
    wheel: Region<Wheel>,
}

impl Timers {
    pub(crate) fn new(heap: Region<HeapEntry>, mut wheel: Region<Wheel>) -> Self {
        wheel.push(Wheel::new());
        Self { heap, len: 0, wheel }
    }

    #[inline]
    pub(crate) fn is_empty<C: Context>(&self) -> bool {
        self.len::<C>() == 0
    }

    #[inline]
    pub(crate) fn len<C: Context>(&self) -> usize {
        let far = self.wheel.get(0).filter(|_| C::HAS_WHEEL).map_or(0, |wheel| wheel.len as usize);
        self.len + far
    }

    /// Returns the most timers that there ever were at once.
    #[inline]
    pub(crate) fn peak<C: Context>(&self) -> usize {
        // Without a wheel all of them were in the heap, whose memory is used from its start on.
        self.wheel.get(0).filter(|_| C::HAS_WHEEL).map_or(self.heap.len(), |wheel| wheel.peak as usize)
    }

    /// Returns how many timers there may be: all of them may be due soon.
    #[inline]
    pub(crate) fn capacity(&self) -> usize {
        self.heap.capacity()
    }

    /// Arms the call at `index`.
    #[inline]
    pub(crate) fn push<C: Context>(
        &mut self,
        links: &mut Links,
        calls: &mut Calls<C>,
        index: u32,
        when: Instant,
        now: Instant,
    ) {
        if let Some(wheel) = self.wheel.get_mut(0).filter(|_| C::HAS_WHEEL) {
            if self.len == 0 && wheel.len == 0 {
                wheel.begin(now);
            }
            if when.as_nanos() >= wheel.horizon {
                wheel.push(links, calls, index, when.as_nanos(), |entry| {
                    entry.value.when = when;
                    entry.head.delay = Delay::between(now, when);
                });
                wheel.note_armed(self.len);
                return;
            }
            wheel.note_armed(self.len + 1);
        }
        self.push_heap(calls, HeapEntry { when: when.as_nanos(), index });
    }

    /// Disarms the call at `index`, which must be armed.
    #[inline]
    pub(crate) fn remove<C: Context>(&mut self, links: &mut Links, calls: &mut Calls<C>, index: u32) {
        let Some(entry) = calls.at(index) else { return };
        let at = entry.at;
        match (entry.head.kind, self.wheel.get_mut(0).filter(|_| C::HAS_WHEEL)) {
            (Kind::FarTimer, Some(wheel)) => wheel.remove(links, index, at),
            (Kind::Timer, _) => self.remove_heap(calls, at as usize),
            _ => {}
        }
    }

    /// Returns the deadline of a timer.
    pub(crate) fn deadline_of<C>(&self, timer: &CallSlot<C>) -> Instant {
        let place = self.heap.get(timer.at as usize).filter(|_| timer.head.kind == Kind::Timer);
        place.map_or(timer.value.when, |place| Instant::from_nanos(place.when))
    }

    /// Returns the earliest deadline, or an earlier instant at which there is
    /// more to sort. Sorts at most `limit` timers.
    pub(crate) fn next<C: Context>(
        &mut self,
        links: &mut Links,
        calls: &mut Calls<C>,
        limit: usize,
    ) -> Option<Instant> {
        if C::HAS_WHEEL && self.wants_refill() && !self.refill(links, calls, u64::MAX, limit) {
            return Some(Instant::ZERO);
        }
        let earliest = self.entries().first()?;
        Some(Instant::from_nanos(earliest.when))
    }

    /// Takes the earliest timer if it is due at `now`, and tells when it was due.
    #[inline]
    pub(crate) fn pop_due<C: Context>(
        &mut self,
        links: &mut Links,
        calls: &mut Calls<C>,
        now: Instant,
        limit: usize,
    ) -> Option<(u32, Instant)> {
        if C::HAS_WHEEL && self.wants_refill() && !self.refill(links, calls, now.as_nanos(), limit) {
            return None;
        }
        let earliest = *self.entries().first()?;
        if earliest.when > now.as_nanos() {
            return None;
        }
        self.remove_heap(calls, 0);
        Some((earliest.index, Instant::from_nanos(earliest.when)))
    }

    #[inline]
    fn wants_refill(&self) -> bool {
        let heap_is_empty = self.len == 0;
        self.wheel.get(0).is_some_and(|wheel| wheel.unfinished.is_some() || (heap_is_empty && wheel.len > 0))
    }

    /// Moves the wheel's first bucket into the heap if it starts by `until`.
    ///
    /// Moves about `limit` timers; false means that there is more to move before
    /// the heap is complete.
    fn refill<C: Context>(
        &mut self,
        links: &mut Links,
        calls: &mut Calls<C>,
        until: u64,
        limit: usize,
    ) -> bool {
        let mut moved = 0;
        loop {
            let Some(wheel) = self.wheel.get_mut(0) else { return true };
            let Some(bucket) = wheel.unfinished.or_else(|| wheel.first()) else {
                return true;
            };
            // Also if half of it was moved, by a clock that has stepped back since:
            // what is due is before the bucket, and that part of the heap is complete.
            if bucket.start > until {
                return true;
            }
            wheel.unfinished = None;
            moved += self.spread(links, calls, bucket, limit.saturating_sub(moved).max(1));
            let Some(wheel) = self.wheel.get_mut(0) else { return true };
            if wheel.unfinished.is_some() {
                return false;
            }
            if bucket.level == 0 {
                wheel.horizon = bucket.start.saturating_add(1 << TICK_BITS);
                return true;
            }
        }
    }

    /// Moves up to `limit` timers of a bucket to lower levels, those of the
    /// lowest into the heap, and returns how many it moved.
    fn spread<C: Context>(
        &mut self,
        links: &mut Links,
        calls: &mut Calls<C>,
        bucket: Bucket,
        limit: usize,
    ) -> usize {
        let Some(wheel) = self.wheel.get_mut(0) else { return 0 };
        // A timer of this bucket that is armed meanwhile goes to a lower level.
        wheel.horizon = bucket.start;
        let mut moved = 0;
        while moved < limit {
            let Some(node) = wheel.pop(links, bucket) else {
                break;
            };
            moved += 1;
            let Owner::Call(index) = node.owner() else {
                continue;
            };
            let Some(entry) = calls.at(index) else { continue };
            let when = entry.value.when.as_nanos();
            if bucket.level == 0 {
                push_heap(&mut self.heap, &mut self.len, calls, HeapEntry { when, index });
            } else {
                wheel.push(links, calls, index, when, |_| ());
            }
        }
        if wheel.is_occupied(bucket) {
            wheel.unfinished = Some(bucket);
        }
        moved
    }

    fn entries(&self) -> &[HeapEntry] {
        self.heap.as_slice().get(..self.len).unwrap_or(&[])
    }

    #[inline]
    fn push_heap<C>(&mut self, calls: &mut Calls<C>, entry: HeapEntry) {
        push_heap(&mut self.heap, &mut self.len, calls, entry);
    }

    fn remove_heap<C>(&mut self, calls: &mut Calls<C>, at: usize) {
        let Some(last) = self.len.checked_sub(1) else {
            return;
        };
        let entries = self.heap.as_mut_slice();
        let Some(&moved) = entries.get(last) else { return };
        self.len = last;
        if at >= last {
            return;
        }
        let entries = &mut entries[..last];
        let at = sift_down(entries, calls, at, moved);
        sift_up(entries, calls, at, moved);
    }
}

fn push_heap<C>(heap: &mut Region<HeapEntry>, len: &mut usize, calls: &mut Calls<C>, entry: HeapEntry) {
    let at = *len;
    // It has room for all timers that are let in, and each is in it once.
    if at == heap.len() && heap.push(entry).is_none() {
        return;
    }
    *len += 1;
    if let Some(call) = calls.at_mut(entry.index) {
        call.head.kind = Kind::Timer;
    }
    sift_up(heap.as_mut_slice(), calls, at, entry);
}

/// Puts `entry` at `at` or above and tells each moved call its place.
fn sift_up<C>(entries: &mut [HeapEntry], calls: &mut Calls<C>, mut at: usize, entry: HeapEntry) {
    while at > 0 {
        let parent = (at - 1) / ARITY;
        let Some(&above) = entries.get(parent) else { break };
        if !entry.is_before(&above, calls) {
            break;
        }
        set(entries, calls, at, above);
        at = parent;
    }
    set(entries, calls, at, entry);
}

/// Moves the hole at `at` down to where `entry` may stand, and returns it.
fn sift_down<C>(entries: &mut [HeapEntry], calls: &mut Calls<C>, mut at: usize, entry: HeapEntry) -> usize {
    loop {
        let first = at * ARITY + 1;
        let end = (first + ARITY).min(entries.len());
        let Some(children) = entries.get(first..end) else {
            return at;
        };
        let Some(&first_child) = children.first() else {
            return at;
        };
        let mut least = first_child;
        let mut place = first;
        for (offset, child) in children.iter().enumerate().skip(1) {
            if child.is_before(&least, calls) {
                (least, place) = (*child, first + offset);
            }
        }
        if !least.is_before(&entry, calls) {
            return at;
        }
        set(entries, calls, at, least);
        at = place;
    }
}

#[inline]
fn set<C>(entries: &mut [HeapEntry], calls: &mut Calls<C>, at: usize, entry: HeapEntry) {
    if let Some(place) = entries.get_mut(at) {
        *place = entry;
    }
    if let Some(call) = calls.at_mut(entry.index) {
        call.at = at as u32;
    }
}

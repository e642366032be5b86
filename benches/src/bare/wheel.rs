//! A bare wheel of timers: no order within a tick, no callbacks.

use std::time::Instant;

use crate::case::{Random, ns_each};
use crate::timers::{arm_and_fire, far, near};

/// Cancels one of many timers and arms another.
pub(crate) fn rearm(outstanding: usize, count: usize) -> impl FnMut() -> f64 {
    let mut random = Random::new();
    let mut wheel = TimerWheel::new(outstanding + 1);
    let mut timers: Vec<u32> =
        (0..outstanding).map(|_| wheel.arm(far(&mut random).as_nanos() as u64)).collect();
    move || {
        ns_each(count, || {
            for _ in 0..count {
                let place = random.below(outstanding as u64) as usize;
                let armed = wheel.arm(far(&mut random).as_nanos() as u64);
                wheel.cancel(core::mem::replace(&mut timers[place], armed));
            }
        })
    }
}

/// Arms many timers, and takes them out when they are due.
pub(crate) fn fire(count: usize) -> impl FnMut() -> f64 {
    let mut random = Random::new();
    let mut wheel = TimerWheel::new(count);
    let begun = Instant::now();
    move || {
        let mut fired = 0;
        let ns = arm_and_fire(
            &mut wheel,
            count,
            |wheel| {
                let start = begun.elapsed().as_nanos() as u64;
                for _ in 0..count {
                    wheel.arm(start + near(&mut random).as_nanos() as u64);
                }
            },
            |wheel| wheel.advance(begun.elapsed().as_nanos() as u64, |_| fired += 1),
        );
        assert_eq!((fired, wheel.len), (count, 0));
        ns
    }
}

const BUCKET_BITS: u32 = 6;
const BUCKETS: usize = 1 << BUCKET_BITS;
const LEVELS: usize = 7;
const NONE: u32 = u32::MAX;

/// A hierarchical wheel: ticks of 2^20 ns.
struct TimerWheel {
    timers: Vec<Timer>,
    free: u32,
    buckets: [u32; BUCKETS * LEVELS],
    occupied: [u64; LEVELS],
    /// Is the first tick that was not looked at.
    tick: u64,
    len: usize,
}

#[derive(Clone, Copy)]
struct Timer {
    tick: u64,
    bucket: u32,
    previous: u32,
    next: u32,
}

impl TimerWheel {
    fn new(capacity: usize) -> Self {
        Self {
            timers: Vec::with_capacity(capacity),
            free: NONE,
            buckets: [NONE; BUCKETS * LEVELS],
            occupied: [0; LEVELS],
            tick: 0,
            len: 0,
        }
    }

    fn arm(&mut self, when_ns: u64) -> u32 {
        let timer = Timer { tick: when_ns >> 20, bucket: 0, previous: NONE, next: NONE };
        let index = self.free;
        let index = if index == NONE {
            self.timers.push(timer);
            self.timers.len() as u32 - 1
        } else {
            self.free = self.timers[index as usize].next;
            self.timers[index as usize] = timer;
            index
        };
        self.len += 1;
        self.link(index);
        index
    }

    fn cancel(&mut self, index: u32) {
        let Timer { bucket, previous, next, .. } = self.timers[index as usize];
        if next != NONE {
            self.timers[next as usize].previous = previous;
        }
        if previous != NONE {
            self.timers[previous as usize].next = next;
        } else {
            self.buckets[bucket as usize] = next;
            if next == NONE {
                self.occupied[bucket as usize / BUCKETS] &= !(1 << (bucket as usize % BUCKETS));
            }
        }
        self.release(index);
    }

    /// Calls `fire` for all timers that are due.
    fn advance(&mut self, now_ns: u64, mut fire: impl FnMut(u32)) {
        let now = now_ns >> 20;
        while let Some((level, bucket, start)) = self.first()
            && start <= now
        {
            self.tick = start;
            let place = level * BUCKETS + bucket;
            let mut index = core::mem::replace(&mut self.buckets[place], NONE);
            self.occupied[level] &= !(1 << bucket);
            while index != NONE {
                let next = self.timers[index as usize].next;
                if level == 0 {
                    self.release(index);
                    fire(index);
                } else {
                    self.link(index);
                }
                index = next;
            }
        }
    }

    fn link(&mut self, index: u32) {
        let tick = self.timers[index as usize].tick.max(self.tick);
        let differing = tick ^ self.tick;
        let level = (63 - (differing | 1).leading_zeros()) / BUCKET_BITS;
        let bucket = (tick >> (level * BUCKET_BITS)) as usize & (BUCKETS - 1);
        let place = level as usize * BUCKETS + bucket;
        let next = core::mem::replace(&mut self.buckets[place], index);
        self.occupied[level as usize] |= 1 << bucket;
        let timer = &mut self.timers[index as usize];
        (timer.bucket, timer.previous, timer.next) = (place as u32, NONE, next);
        if next != NONE {
            self.timers[next as usize].previous = index;
        }
    }

    fn release(&mut self, index: u32) {
        self.timers[index as usize].next = self.free;
        self.free = index;
        self.len -= 1;
    }

    fn first(&self) -> Option<(usize, usize, u64)> {
        let level = self.occupied.iter().position(|&occupied| occupied != 0)?;
        let bucket = self.occupied[level].trailing_zeros() as usize;
        let shift = level as u32 * BUCKET_BITS;
        let above = self.tick >> (shift + BUCKET_BITS) << (shift + BUCKET_BITS);
        Some((level, bucket, above | (bucket as u64) << shift))
    }
}

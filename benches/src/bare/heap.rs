//! A bare 4-ary heap of timers: exact order, no callbacks.

use crate::case::{Random, ns_each};
use crate::timers::far;

/// Cancels one of many timers and arms another.
pub(crate) fn rearm(outstanding: usize, count: usize) -> impl FnMut() -> f64 {
    let mut random = Random::new();
    let mut heap = TimerHeap::default();
    let mut timers: Vec<u32> =
        (0..outstanding).map(|_| heap.arm(far(&mut random).as_nanos() as u64)).collect();
    move || {
        ns_each(count, || {
            for _ in 0..count {
                let place = random.below(outstanding as u64) as usize;
                let armed = heap.arm(far(&mut random).as_nanos() as u64);
                heap.cancel(core::mem::replace(&mut timers[place], armed));
            }
        })
    }
}

const ARITY: usize = 4;

/// Knows the place of each timer, so that any can be taken out.
#[derive(Default)]
struct TimerHeap {
    heap: Vec<Entry>,
    /// Has the place in the heap of each timer.
    places: Vec<u32>,
    free: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Entry {
    when_ns: u64,
    timer: u32,
}

impl TimerHeap {
    fn arm(&mut self, when_ns: u64) -> u32 {
        let timer = self.free.pop().unwrap_or_else(|| {
            self.places.push(0);
            self.places.len() as u32 - 1
        });
        let entry = Entry { when_ns, timer };
        self.heap.push(entry);
        self.up(self.heap.len() - 1, entry);
        timer
    }

    fn cancel(&mut self, timer: u32) {
        let place = self.places[timer as usize] as usize;
        self.free.push(timer);
        let Some(last) = self.heap.pop() else { return };
        if place == self.heap.len() {
            return;
        }
        if place > 0 && last.when_ns < self.heap[(place - 1) / ARITY].when_ns {
            self.up(place, last);
        } else {
            self.down(place, last);
        }
    }

    fn up(&mut self, mut place: usize, entry: Entry) {
        while place > 0 {
            let above = (place - 1) / ARITY;
            if self.heap[above].when_ns <= entry.when_ns {
                break;
            }
            self.put(place, self.heap[above]);
            place = above;
        }
        self.put(place, entry);
    }

    fn down(&mut self, mut place: usize, entry: Entry) {
        loop {
            let below = place * ARITY + 1..(place * ARITY + 1 + ARITY).min(self.heap.len());
            let Some(first) = below.min_by_key(|&place| self.heap[place].when_ns) else { break };
            if self.heap[first].when_ns >= entry.when_ns {
                break;
            }
            self.put(place, self.heap[first]);
            place = first;
        }
        self.put(place, entry);
    }

    fn put(&mut self, place: usize, entry: Entry) {
        self.heap[place] = entry;
        self.places[entry.timer as usize] = place as u32;
    }
}

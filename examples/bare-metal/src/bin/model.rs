//! The reference of `tests/model` and the scheduler in lock-step, on the processor
//! that it is for: the same source, with reduced figures. The reference and the
//! scripts need an allocator; the scheduler has none.
#![no_std]
#![no_main]
#![allow(unreachable_pub, reason = "the modules belong to a test of the other workspace too")]
#![allow(dead_code, reason = "that test tells states of the reference apart")]

extern crate alloc;

// The same five modules as in `tests/model/main.rs`.
#[path = "../../../../tests/model/both.rs"]
mod both;
#[path = "../../../../tests/model/generate.rs"]
mod generate;
#[path = "../../../../tests/model/ops.rs"]
mod ops;
#[path = "../../../../tests/model/real.rs"]
mod real;
#[path = "../../../../tests/model/reference/mod.rs"]
mod reference;

use alloc::string::String;
use alloc::vec::Vec;
use core::mem::MaybeUninit;

use bare_metal::{memory, print};
use cortex_m_rt::entry;
use embedded_alloc::LlffHeap as Heap;
use fastrand::Rng;

use crate::both::Both;
use crate::ops::{Capacity, ENDLESS, Op};
use crate::reference::Reference;

/// Is how many random scripts run, and how long they are.
const SEEDS: u64 = 60;
const OPS: usize = 200;
const SIZES: [usize; 6] = [0, 1, 2, 3, 5, 8];

/// Is the length of the sequences that are all tried, by capacity.
const LENGTHS: [usize; 3] = [3, 3, 2];

const HEAP_BYTES: usize = 40 * 1024;

#[global_allocator]
static HEAP: Heap = Heap::empty();

#[entry]
fn main() -> ! {
    memory::paint_stack();
    let Some(memory) =
        cortex_m::singleton!(: [MaybeUninit<u8>; HEAP_BYTES] = [const { MaybeUninit::uninit() }; HEAP_BYTES])
    else {
        print::exit(false)
    };
    // SAFETY: called once, before anything is allocated, with memory that is
    // used for nothing else.
    unsafe { HEAP.init(memory.as_mut_ptr().addr(), HEAP_BYTES) };
    let ended = every_sequence().and_then(|()| random_scripts());
    if let Err(difference) = &ended {
        print::print_line(format_args!("core and reference differ: {difference}"));
    }
    memory::report();
    print::exit(ended.is_ok())
}

fn random_scripts() -> Result<(), String> {
    for seed in 0..SEEDS {
        random_script::<true>(seed)?;
        random_script::<false>(seed)?;
    }
    print::print_line(format_args!("{SEEDS} random scripts of {OPS} operations"));
    Ok(())
}

fn random_script<const WHEEL: bool>(seed: u64) -> Result<(), String> {
    let mut rng = Rng::with_seed(seed);
    let mut both = Both::<WHEEL>::new(generate::capacity(&mut rng, &SIZES));
    generate::ops(&mut rng, OPS).try_for_each(|op| both.apply(&op))
}

fn every_sequence() -> Result<(), String> {
    for (size, length) in (1..).zip(LENGTHS) {
        let capacity = Capacity(size, size, size, ENDLESS);
        let mut search = Search { capacity, alphabet: generate::alphabet(size), path: Vec::new(), ended: 0 };
        search.extend(&Reference::new(capacity), length)?;
        let ended = search.ended;
        print::print_line(format_args!("{ended} sequences of {length} at capacity {size}"));
    }
    Ok(())
}

struct Search {
    capacity: Capacity,
    alphabet: Vec<Op>,
    path: Vec<usize>,
    ended: u32,
}

impl Search {
    /// Tries what can follow the path, after which the reference is `model`.
    fn extend(&mut self, model: &Reference, length: usize) -> Result<(), String> {
        if length == 0 {
            self.ended += 1;
            self.run::<true>()?;
            return self.run::<false>();
        }
        for next in 0..self.alphabet.len() {
            if !model.tells_apart(&self.alphabet[next]) {
                continue;
            }
            let mut after = model.clone();
            after.apply(&self.alphabet[next]);
            self.path.push(next);
            self.extend(&after, length - 1)?;
            self.path.pop();
        }
        Ok(())
    }

    fn run<const WHEEL: bool>(&self) -> Result<(), String> {
        let mut both = Both::<WHEEL>::new(self.capacity);
        self.path.iter().try_for_each(|&place| both.apply(&self.alphabet[place]))
    }
}

/// A panic ends the program before anything is dropped.
fn is_panicking() -> bool {
    false
}

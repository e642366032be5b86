//! Interrupts and signal handlers that wake tasks, at every point of what the
//! loop does: before each access to what they share, one alone and each pair, also
//! the second amid the first. None finds a table half changed, and none is slept
//! through.
//!
//! It is the real code: its files are modules here a second time, and take their
//! atomics from this crate's [`sync`], each access of which is such a point.
#![allow(missing_docs, reason = "tests are sentences; nobody imports them")]
#![allow(unreachable_pub, reason = "the files belong to another crate too")]
#![allow(dead_code, reason = "no test needs all of a file")]
#![allow(unsafe_code, reason = "the files have their reasons; a doorbell is implemented")]
#![allow(clippy::std_instead_of_core, reason = "tests have std")]

mod sync;

#[path = "../../core/src/defect.rs"]
mod defect;
#[path = "../../core/src/driver.rs"]
mod driver;
#[path = "../../core/src/exclusive.rs"]
mod exclusive;
#[path = "../../core/src/ready.rs"]
mod ready;
#[path = "../../core/src/wake.rs"]
mod wake;

use core::cell::{Cell, RefCell};
use core::task::Waker;

pub use rondel_core::Instant;

use crate::driver::Doorbell;
use crate::ready::{Node, Owner, Ready};
use crate::wake::{WakeCell, WakeTable};

const TASKS: usize = 2;

/// Is the call that the loop makes ready by itself.
const CALL: u32 = 0;

/// Who interrupts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// A handler of which the doorbell says that it is not the loop.
    Known,
    /// One that the doorbell takes for the loop, in whose thread it runs: a signal
    /// handler of somebody else's, in which no waker may be used. The busy flag
    /// keeps the tables whole all the same, and the next iteration sees the wake.
    Unknown,
}

struct Bell {
    kind: Kind,
    is_rung: Cell<bool>,
}

// SAFETY: everything happens in one thread.
unsafe impl Sync for Bell {}
// SAFETY: in a handler it says no, or the handler interrupted the loop's thread.
unsafe impl Doorbell for Bell {
    fn ring(&self) {
        sync::point();
        self.is_rung.set(true);
    }

    fn is_loop_thread(&self) -> bool {
        self.kind == Kind::Unknown || !sync::is_in_handler()
    }
}

struct World {
    table: &'static WakeTable,
    bell: &'static Bell,
    wakers: RefCell<Vec<Waker>>,
    /// How often each task was woken, and how often it had been when it ran last.
    woken: [Cell<u32>; TASKS],
    seen: [Cell<u32>; TASKS],
}

impl World {
    fn new(kind: Kind) -> Self {
        let bell: &'static Bell = Box::leak(Box::new(Bell { kind, is_rung: Cell::new(false) }));
        let cells: &'static [WakeCell] = Box::leak((0..TASKS).map(|_| WakeCell::new()).collect());
        let table = WakeTable::new(
            cells,
            Box::leak(Box::new([[0; 2]; 1])),
            Box::leak(Box::new([[[0; 2]; 2]; TASKS])),
            bell,
        );
        let table: &'static WakeTable = Box::leak(Box::new(table));
        table.reopen();
        let wakers = (0..TASKS as u32).map(|task| {
            table.activate(task);
            (*table.lend(task).expect("a task")).clone()
        });
        let wakers = RefCell::new(wakers.collect());
        Self { table, bell, wakers, woken: Default::default(), seen: Default::default() }
    }

    fn wake(&self, task: usize) {
        self.woken[task].set(self.woken[task].get() + 1);
        // As a handler does that keeps the waker, and as one that gives it up.
        let waker = self.wakers.borrow()[task].clone();
        waker.wake_by_ref();
        waker.wake();
    }

    /// One iteration, as `Scheduler::turn`; a call of the loop's own is ready in it.
    fn turn(&self) {
        if self.table.with(|ready| ready.is_empty()) && !self.table.is_pending() {
            self.table.sleep();
            if self.table.with(|ready| ready.is_empty()) && !self.table.is_pending() {
                self.wait();
            }
            self.table.awake();
        }
        self.table.collect();
        self.table.with(Ready::begin_batch);
        while let Some(node) = self.table.with(Ready::pop) {
            if let Owner::Task(task) = node.owner() {
                self.seen[task as usize].set(self.woken[task as usize].get());
            }
        }
    }

    /// Ends when somebody rings; here nobody comes any more.
    fn wait(&self) {
        sync::point();
        let ends = self.bell.is_rung.replace(false) || self.seen == self.woken;
        assert!(ends || self.bell.kind == Kind::Unknown, "a wake is slept through");
    }
}

/// Lets the loop go through some iterations, with handlers that wake `tasks` at
/// the points `at`. Tells how many points there were.
fn run(kind: Kind, at: [usize; 2], tasks: [usize; 2]) -> usize {
    let world: &'static World = Box::leak(Box::new(World::new(kind)));
    sync::expect(at, move |number| world.wake(tasks[number]));
    for own in [None, Some(0), None, Some(1), None] {
        if let Some(task) = own {
            world.table.with(|ready| ready.push(Node::call(CALL)));
            world.wake(task);
        }
        world.turn();
    }
    let points = sync::expect_no_more();
    for _ in 0..2 {
        world.turn();
    }
    assert_eq!(world.seen, world.woken, "{kind:?} at {at:?}: each task ran after it was woken last");
    world.wakers.take();
    assert!(!world.table.has_wakers());
    points
}

fn everywhere(kind: Kind) {
    const NEVER: usize = usize::MAX;
    let mut first = 0;
    // The handlers have points too, at which the other may come.
    while run(kind, [first, NEVER], [0, 0]) > first {
        for tasks in [[0, 0], [0, 1], [1, 0]] {
            let mut second = first + 1;
            while run(kind, [first, second], tasks) > second {
                second += 1;
            }
        }
        first += 1;
    }
    assert!(first > 50, "{first} points are too few");
}

#[test]
fn w05_a_handler_that_nobody_knows_finds_no_table_half_changed() {
    everywhere(Kind::Unknown);
}

#[test]
fn w05_a_handler_wakes_at_every_point_of_an_iteration() {
    everywhere(Kind::Known);
}

//! A loop reduced to what other threads can notice of it.

use core::cell::RefCell;
use core::mem::ManuallyDrop;
use core::task::Waker;

use loom::cell::UnsafeCell;
use loom::sync::{Condvar, Mutex};
use loom::thread::{self, ThreadId};

use crate::driver::Doorbell;
use crate::ready::{Owner, Ready};
use crate::wake::{WakeCell, WakeTable};

/// Explores `model` with up to three preemptions, or as many as
/// `LOOM_MAX_PREEMPTIONS` says.
pub fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(model);
}

/// The doorbell of the model's first thread.
pub struct Bell {
    is_rung: Mutex<bool>,
    rung: Condvar,
    /// Is read by who rings, written by who says that nobody may any more.
    silence: UnsafeCell<()>,
    owner: ThreadId,
}

impl Bell {
    fn new() -> Self {
        let (is_rung, rung) = (Mutex::new(false), Condvar::new());
        Self { is_rung, rung, silence: UnsafeCell::new(()), owner: thread::current().id() }
    }

    fn wait(&self) {
        let mut is_rung = self.is_rung.lock().unwrap();
        while !*is_rung {
            is_rung = self.rung.wait(is_rung).unwrap();
        }
        *is_rung = false;
    }
}

// SAFETY: there is nothing in the cell.
unsafe impl Sync for Bell {}
// SAFETY: `is_loop_thread` tells the truth, and there are no signals.
unsafe impl Doorbell for Bell {
    fn ring(&self) {
        self.silence.with(|_| ());
        *self.is_rung.lock().unwrap() = true;
        self.rung.notify_one();
    }

    fn is_loop_thread(&self) -> bool {
        thread::current().id() == self.owner
    }
}

/// A wake table, and the loop that it belongs to: the model's first thread.
pub struct Loop {
    pub table: &'static WakeTable,
    bell: &'static Bell,
    owned: RefCell<Vec<Box<dyn FnOnce()>>>,
}

impl Loop {
    /// Makes a loop whose tasks 0, 1, ... are waiting.
    pub fn new(tasks: usize) -> Self {
        let mut owned: Vec<Box<dyn FnOnce()>> = Vec::new();
        let bell = lend(&mut owned, Bell::new());
        let cells = lend(&mut owned, (0..tasks).map(|_| WakeCell::new()).collect::<Vec<_>>());
        let (calls, links) = (Box::leak(Box::default()), Box::leak(vec![[[0; 2]; 2]; tasks].into()));
        let table = lend(&mut owned, WakeTable::new(cells, calls, links, bell));
        let this = Self { table, bell, owned: RefCell::new(owned) };
        table.reopen();
        for index in 0..tasks {
            table.activate(index as u32);
        }
        table.has_wakers();
        table.notify();
        this.table.collect();
        this
    }

    pub fn lent(&self, task: u32) -> ManuallyDrop<Waker> {
        self.table.lend(task).unwrap()
    }

    pub fn waker(&self, task: u32) -> Waker {
        (*self.lent(task)).clone()
    }

    /// One iteration, as `Scheduler::turn`: waits if there is nothing to do, lets
    /// `receive` look, and returns the tasks that were woken.
    pub fn turn(&self, has_more: impl Fn() -> bool, receive: impl FnOnce()) -> Vec<u32> {
        if self.table.with(|ready| ready.is_empty()) && !self.table.is_pending() {
            self.table.sleep();
            if !self.table.is_pending() && !has_more() {
                self.bell.wait();
            }
            receive();
            self.table.awake();
        } else {
            receive();
        }
        self.table.collect();
        self.table.with(Ready::begin_batch);
        core::iter::from_fn(|| self.table.with(Ready::pop)).filter_map(task).collect()
    }

    /// Ends the model if somebody rings from now on.
    pub fn expect_silence(&self) {
        self.bell.silence.with_mut(|_| ());
    }
}

impl Drop for Loop {
    /// Frees what was lent for ever: a model has an end.
    fn drop(&mut self) {
        self.owned.take().into_iter().rev().for_each(|free| free());
    }
}

fn task(node: crate::ready::Node) -> Option<u32> {
    match node.owner() {
        Owner::Task(index) => Some(index),
        _ => None,
    }
}

fn lend<T: 'static>(owned: &mut Vec<Box<dyn FnOnce()>>, value: T) -> &'static T {
    let raw = Box::into_raw(Box::new(value));
    // SAFETY: made above, given up once, by the owner of all that refers to it.
    owned.push(Box::new(move || drop(unsafe { Box::from_raw(raw) })));
    // SAFETY: made above.
    unsafe { &*raw }
}

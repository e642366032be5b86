//! Wakes: how a task is made ready, from anywhere.
//!
//! A [`Waker`] points to a cell that lives for ever, so it may outlive its task
//! and its loop. On the loop's own thread a wake puts the task into the ready
//! queue; from elsewhere it sets the cell's flag, which can't fail, and rings
//! the doorbell if the loop may be asleep (DESIGN invariant 7).
#![allow(unsafe_code, reason = "implements `RawWaker` over static cells")]

use core::fmt;
use core::mem::ManuallyDrop;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use core::task::{RawWaker, RawWakerVTable, Waker};

use crate::driver::Doorbell;
use crate::exclusive::Exclusive;
use crate::ready::{Link, Node, Ready};
use crate::sync::{AtomicBool, AtomicPtr, AtomicU32};

/// Is how many cells share one summary flag.
const GROUP: usize = 64;

/// Is the number of clones from which a cell is given up for ever, so that its
/// counter can't wrap.
const CLONES_MAX: u32 = u32::MAX / 2;

/// The wake flag of one task slot.
///
/// All bytes zero are a new cell too, so that zeroed memory needs no
/// initialization.
#[derive(Debug)]
#[repr(C)]
pub struct WakeCell {
    /// Is set by a wake from elsewhere, cleared by the loop.
    woken: AtomicBool,
    /// Is set, in the first cell of each group, after a `woken` of the group.
    group_woken: AtomicBool,
    /// Tells whether a task that isn't done lives in the slot.
    active: AtomicBool,
    /// Counts the wakers that were cloned and not dropped. The one lent to
    /// `poll` doesn't count.
    clones: AtomicU32,
    index: AtomicU32,
    /// Invariant: null or `'static`, and set before the first waker is made.
    table: AtomicPtr<WakeTable>,
}

impl WakeCell {
    /// Makes a cell that belongs to no table yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            woken: AtomicBool::new(false),
            group_woken: AtomicBool::new(false),
            active: AtomicBool::new(false),
            clones: AtomicU32::new(0),
            index: AtomicU32::new(0),
            table: AtomicPtr::new(core::ptr::null_mut()),
        }
    }

    fn wake(&self) {
        // SAFETY: null, or set from a `&'static` by `WakeTable::activate`.
        if let Some(table) = unsafe { self.table.load(Relaxed).as_ref() } {
            table.wake(self);
        }
    }
}

impl Default for WakeCell {
    fn default() -> Self {
        Self::new()
    }
}

/// What wakers can reach of a loop: its wake cells, its ready queue and its
/// doorbell. It is never freed; std-ext uses it again for the next loop.
#[repr(C)]
pub struct WakeTable {
    // The first, for the reason that `Exclusive` gives.
    ready: Exclusive<Ready>,
    cells: &'static [WakeCell],
    doorbell: &'static dyn Doorbell,
    /// Tells that some `group_woken` may be set.
    pending: AtomicBool,
    /// Tells that the loop waits, or is about to, and wants a ring.
    sleeping: AtomicBool,
    closed: AtomicBool,
    /// Is the number of cells ever used; above it there is nothing to look for.
    used: AtomicU32,
}

// SAFETY: `ready` is touched only where `Doorbell::is_loop_thread` vouches for
// the thread, or through the loop's own handles, which are not `Send`.
unsafe impl Sync for WakeTable {}
// SAFETY: as above; std-ext hands a table whose loop is closed to another thread.
unsafe impl Send for WakeTable {}

impl WakeTable {
    /// Makes the table of a loop with as many calls and tasks as there are links.
    #[must_use]
    pub fn new(
        cells: &'static [WakeCell],
        calls: &'static mut [Link],
        tasks: &'static mut [[Link; 2]],
        doorbell: &'static dyn Doorbell,
    ) -> Self {
        Self {
            cells,
            doorbell,
            ready: Exclusive::new(Ready::new(calls, tasks)),
            pending: AtomicBool::new(false),
            sleeping: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            used: AtomicU32::new(0),
        }
    }

    /// Gives the table to a new loop, after the last one was closed.
    pub fn reopen(&'static self) {
        self.sleeping.store(false, SeqCst);
        // A wake that came after the last turn of the loop before is not this one's.
        self.pending.store(false, SeqCst);
        self.closed.store(false, SeqCst);
    }

    /// Tells whether somebody still holds a waker of a task of this table.
    pub fn has_wakers(&self) -> bool {
        let used = self.used.load(Relaxed) as usize;
        self.cells.iter().take(used).any(|cell| cell.clones.load(Acquire) != 0)
    }

    /// Wakes the loop if it waits; called after the reason was made visible.
    #[inline]
    fn ring(&self) {
        if self.sleeping.load(SeqCst) && self.sleeping.swap(false, SeqCst) {
            self.doorbell.ring();
        }
    }

    /// Makes the loop look at what came from other threads, soon: called after
    /// that was made visible.
    pub fn notify(&self) {
        self.pending.swap(true, SeqCst);
        self.ring();
    }

    /// Announces that the loop is about to wait: from here on a wake rings.
    ///
    /// The caller looks once more for what arrived before, and then waits.
    pub(crate) fn sleep(&self) {
        self.sleeping.swap(true, SeqCst);
    }

    pub(crate) fn awake(&self) {
        self.sleeping.swap(false, SeqCst);
    }

    /// Tells whether something came from other threads or interrupts since the
    /// loop last looked.
    #[inline]
    pub fn is_pending(&self) -> bool {
        self.pending.load(SeqCst)
    }

    /// Returns the ready queue, for the loop alone.
    pub(crate) const fn ready(&self) -> &Exclusive<Ready> {
        &self.ready
    }

    #[inline]
    pub(crate) fn with<R>(&self, section: impl FnOnce(&mut Ready) -> R) -> R {
        self.ready.with(section)
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, SeqCst);
    }

    fn wake(&self, cell: &WakeCell) {
        let direct = !self.closed.load(Relaxed) && self.doorbell.is_loop_thread() && !self.ready.is_busy();
        if direct {
            if cell.active.load(Relaxed) {
                self.ready.with(|ready| ready.push(Node::task(cell.index.load(Relaxed))));
            }
            return;
        }
        // The order matters: the loop clears from the outside in (`collect`). Swaps,
        // where stores would do for the flags: of two threads that wake a task at
        // once, the loop then sees what both did before, not only the second.
        let index = cell.index.load(Relaxed) as usize;
        cell.woken.swap(true, SeqCst);
        if let Some(first) = self.cells.get(index / GROUP * GROUP) {
            first.group_woken.swap(true, SeqCst);
        }
        self.pending.swap(true, SeqCst);
        self.ring();
    }

    /// Makes the tasks that were woken from elsewhere ready, in slot order.
    #[inline]
    pub(crate) fn collect(&self) {
        // The load is cheap, and as strong as the swap.
        if self.pending.load(SeqCst) && self.pending.swap(false, SeqCst) {
            self.collect_pending();
        }
    }

    fn collect_pending(&self) {
        let used = self.used.load(Relaxed) as usize;
        for group in self.cells[..used.min(self.cells.len())].chunks(GROUP) {
            let woken = group.first().is_some_and(|first| first.group_woken.swap(false, SeqCst));
            if !woken {
                continue;
            }
            for cell in group {
                if cell.woken.load(Relaxed) && cell.woken.swap(false, SeqCst) && cell.active.load(Relaxed) {
                    self.with(|ready| ready.push(Node::task(cell.index.load(Relaxed))));
                }
            }
        }
    }

    /// Connects the cell at `index` with the new task in the slot `index`.
    pub(crate) fn activate(&'static self, index: u32) {
        if let Some(cell) = self.cells.get(index as usize) {
            cell.index.store(index, Relaxed);
            cell.table.store(core::ptr::from_ref(self).cast_mut(), Relaxed);
            cell.woken.store(false, Relaxed);
            cell.active.store(true, Relaxed);
            self.used.fetch_max(index + 1, Relaxed);
        }
    }

    pub(crate) fn deactivate(&self, index: u32) {
        if let Some(cell) = self.cells.get(index as usize) {
            cell.active.store(false, Relaxed);
        }
    }

    /// Tells whether no waker of the slot's former tasks is left.
    pub(crate) fn is_reusable(&self, index: u32) -> bool {
        self.cells.get(index as usize).is_some_and(|cell| cell.clones.load(Acquire) == 0)
    }

    /// Lends the waker of the task at `index`; only its clones are counted.
    pub(crate) fn lend(&self, index: u32) -> Option<ManuallyDrop<Waker>> {
        let cell = self.cells.get(index as usize)?;
        // SAFETY: the functions of `VTABLE` expect a `&'static WakeCell`.
        Some(ManuallyDrop::new(unsafe { Waker::new(core::ptr::from_ref(cell).cast(), &VTABLE) }))
    }

    /// Tells whether `waker` wakes the task at `index`.
    pub(crate) fn is_waker_of(&self, waker: &Waker, index: u32) -> bool {
        let cell = self.cells.get(index as usize);
        core::ptr::eq(waker.vtable(), &raw const VTABLE)
            && cell.is_some_and(|cell| waker.data() == core::ptr::from_ref(cell).cast())
    }
}

impl fmt::Debug for WakeTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WakeTable {{ tasks: {} }}", self.cells.len())
    }
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

/// Is the cell behind a waker's data.
///
/// # Safety
/// `data` comes from [`WakeTable::lend`].
unsafe fn cell(data: *const ()) -> &'static WakeCell {
    // SAFETY: cells are never freed.
    unsafe { &*data.cast() }
}

unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: called by a `Waker` with its own data.
    let cell = unsafe { cell(data) };
    if cell.clones.fetch_add(1, Relaxed) >= CLONES_MAX {
        // Leaked by the billion: the slot stays out of use from now on.
        cell.clones.store(CLONES_MAX, Relaxed);
    }
    RawWaker::new(data, &VTABLE)
}

unsafe fn wake(data: *const ()) {
    // SAFETY: called by a `Waker` with its own data, which it gives up.
    unsafe {
        wake_by_ref(data);
        drop_waker(data);
    }
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: called by a `Waker` with its own data.
    unsafe { cell(data) }.wake();
}

unsafe fn drop_waker(data: *const ()) {
    // SAFETY: called by a `Waker` with its own data.
    let cell = unsafe { cell(data) };
    if cell.clones.load(Relaxed) < CLONES_MAX {
        cell.clones.fetch_sub(1, Release);
    }
}

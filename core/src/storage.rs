//! The memory of a microcontroller's loop: a `static`.
#![allow(unsafe_code, reason = "hands out the memory of a static, once")]

use core::cell::UnsafeCell;
use core::fmt;
use core::mem::{MaybeUninit, size_of};
use core::sync::atomic::Ordering;

use crate::EventLoopHandle;
use crate::body::Bodies;
use crate::calls::CallSlot;
use crate::futures::FutureSlot;
use crate::ready::Link;
use crate::region::Region;
use crate::static_loop::Shared;
use crate::sync::AtomicBool;
use crate::tasks::TaskSlot;
use crate::timers::HeapEntry;
use crate::wake::{WakeCell, WakeTable};

/// The memory of one loop: `CALLS` callbacks and timers, `FUTURES` futures, and
/// `TASKS` tasks of up to `BYTES` bytes each. Of the calls, `TIMERS` may be timers
/// that are armed at once: all of them, unless it says less.
///
/// Its size is known when the program is linked, and the loop needs no other.
///
/// ```
/// use rondel_core::{EventLoop, ManualDriver, Storage};
///
/// static STORAGE: Storage<16, 4, 4, 256> = Storage::new();
///
/// let driver: &'static ManualDriver = Box::leak(Box::new(ManualDriver::new()));
/// let event_loop = EventLoop::new(STORAGE.take().expect("taken once"), driver);
/// event_loop.call_soon(|event_loop| event_loop.stop()).unwrap();
/// event_loop.run_forever().unwrap();
/// assert!(STORAGE.take().is_none(), "a second loop needs a storage of its own");
/// ```
pub struct Storage<
    const CALLS: usize,
    const FUTURES: usize,
    const TASKS: usize,
    const BYTES: usize,
    const TIMERS: usize = CALLS,
> {
    is_taken: AtomicBool,
    memory: UnsafeCell<StaticMemory<CALLS, FUTURES, TASKS, BYTES, TIMERS>>,
}

struct StaticMemory<
    const CALLS: usize,
    const FUTURES: usize,
    const TASKS: usize,
    const BYTES: usize,
    const TIMERS: usize,
> {
    calls: [MaybeUninit<CallSlot<EventLoopHandle>>; CALLS],
    heap: [MaybeUninit<HeapEntry>; TIMERS],
    futures: [MaybeUninit<FutureSlot>; FUTURES],
    tasks: [MaybeUninit<TaskSlot<EventLoopHandle>>; TASKS],
    bodies: [MaybeUninit<TaskBytes<BYTES>>; TASKS],
    cells: [WakeCell; TASKS],
    call_links: [Link; CALLS],
    task_links: [[Link; 2]; TASKS],
    wake: MaybeUninit<WakeTable>,
    shared: MaybeUninit<Shared>,
}

/// The bytes of one task, aligned for its future.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct TaskBytes<const BYTES: usize>([u8; BYTES]);

// SAFETY: the memory is handed out once, to whoever sets `is_taken` first.
unsafe impl<
    const CALLS: usize,
    const FUTURES: usize,
    const TASKS: usize,
    const BYTES: usize,
    const TIMERS: usize,
> Sync for Storage<CALLS, FUTURES, TASKS, BYTES, TIMERS>
{
}

impl<const CALLS: usize, const FUTURES: usize, const TASKS: usize, const BYTES: usize, const TIMERS: usize>
    Storage<CALLS, FUTURES, TASKS, BYTES, TIMERS>
{
    /// Makes the memory of a loop; for a `static`.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            is_taken: AtomicBool::new(false),
            memory: UnsafeCell::new(StaticMemory {
                calls: [const { MaybeUninit::uninit() }; CALLS],
                heap: [const { MaybeUninit::uninit() }; TIMERS],
                futures: [const { MaybeUninit::uninit() }; FUTURES],
                tasks: [const { MaybeUninit::uninit() }; TASKS],
                bodies: [const { MaybeUninit::uninit() }; TASKS],
                cells: [const { WakeCell::new() }; TASKS],
                call_links: [[0; 2]; CALLS],
                task_links: [[[0; 2]; 2]; TASKS],
                wake: MaybeUninit::uninit(),
                shared: MaybeUninit::uninit(),
            }),
        }
    }

    /// Takes the memory; `None` the second time.
    pub fn take(&'static self) -> Option<StorageMemory> {
        if self.is_taken.swap(true, Ordering::AcqRel) {
            return None;
        }
        // SAFETY: `is_taken` was false and stays true, so this is the only
        // reference there will ever be.
        let memory = unsafe { &mut *self.memory.get() };
        let words_each = size_of::<TaskBytes<BYTES>>() / size_of::<u64>();
        // SAFETY: `TaskBytes` has the alignment of a word and a size that is a
        // multiple of it, so the array is as many words as all of them have.
        let bodies = unsafe {
            core::slice::from_raw_parts_mut(
                memory.bodies.as_mut_ptr().cast(),
                words_each * memory.bodies.len(),
            )
        };
        Some(StorageMemory {
            calls: Region::new(&mut memory.calls),
            heap: Region::new(&mut memory.heap),
            futures: Region::new(&mut memory.futures),
            tasks: Region::new(&mut memory.tasks),
            bodies: Bodies::new(bodies, words_each, |_| {}),
            cells: &memory.cells,
            call_links: &mut memory.call_links,
            task_links: &mut memory.task_links,
            wake: &mut memory.wake,
            shared: &mut memory.shared,
        })
    }
}

impl<const CALLS: usize, const FUTURES: usize, const TASKS: usize, const BYTES: usize, const TIMERS: usize>
    Default for Storage<CALLS, FUTURES, TASKS, BYTES, TIMERS>
{
    fn default() -> Self {
        Self::new()
    }
}

impl<const CALLS: usize, const FUTURES: usize, const TASKS: usize, const BYTES: usize, const TIMERS: usize>
    fmt::Debug for Storage<CALLS, FUTURES, TASKS, BYTES, TIMERS>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Storage<{CALLS}, {FUTURES}, {TASKS}, {BYTES}, {TIMERS}>")
    }
}

/// The memory that was taken out of a [`Storage`]; its capacities are no longer
/// part of the type.
#[derive(Debug)]
pub struct StorageMemory {
    pub(crate) calls: Region<CallSlot<EventLoopHandle>>,
    pub(crate) heap: Region<HeapEntry>,
    pub(crate) futures: Region<FutureSlot>,
    pub(crate) tasks: Region<TaskSlot<EventLoopHandle>>,
    pub(crate) bodies: Bodies,
    pub(crate) cells: &'static [WakeCell],
    pub(crate) call_links: &'static mut [Link],
    pub(crate) task_links: &'static mut [[Link; 2]],
    pub(crate) wake: &'static mut MaybeUninit<WakeTable>,
    pub(crate) shared: &'static mut MaybeUninit<Shared>,
}

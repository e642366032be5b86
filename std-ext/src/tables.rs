//! The memory of a loop: reserved once, as much as its [`Config`] says.

use std::sync::{Mutex, PoisonError};

use rondel_core::raw::{Bodies, Memory, WakeTable};

use crate::sys::{Doorbell, memory};
use crate::{Config, Error, ErrorKind, EventLoopHandle, Result};

/// A wake table with its doorbell. Wakers point to it for as long as anybody
/// keeps them, so it is never freed but used again by the next loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WakeTables {
    pub(crate) table: &'static WakeTable,
    pub(crate) doorbell: &'static Doorbell,
    calls: usize,
    tasks: usize,
}

/// The wake tables that no loop uses.
static SPARE: Mutex<Vec<WakeTables>> = Mutex::new(Vec::new());

impl WakeTables {
    /// Takes a spare table that is as large as needed, or makes one.
    pub(crate) fn take(config: &Config) -> Self {
        let calls = all_calls(config);
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        let fitting = spare.iter().position(|spare| spare.calls == calls && spare.tasks == config.tasks);
        if let Some(place) = fitting {
            let tables = spare.swap_remove(place);
            tables.table.reopen();
            return tables;
        }
        drop(spare);
        Self::new(calls, config.tasks)
    }

    fn new(calls: usize, tasks: usize) -> Self {
        let doorbell: &'static Doorbell = Box::leak(Box::new(Doorbell::new()));
        let table = WakeTable::new(
            memory::wake_cells(tasks),
            vec![[0; 2]; calls].leak(),
            vec![[[0; 2]; 2]; tasks].leak(),
            doorbell,
        );
        Self { table: Box::leak(Box::new(table)), doorbell, calls, tasks }
    }

    /// Gives the table of a closed loop to the next one.
    pub(crate) fn give_back(self) {
        SPARE.lock().unwrap_or_else(PoisonError::into_inner).push(self);
    }
}

/// Reserves the tables of a scheduler.
pub(crate) fn reserve(config: &Config, wake: &'static WakeTable) -> Result<Memory<EventLoopHandle>> {
    let words_each = config.task_bytes.max(16).div_ceil(size_of::<u64>());
    let too_large = |_| Error::of(ErrorKind::TooLarge, "the configured capacities don't fit into memory");
    let words = words_each.checked_mul(config.tasks).ok_or_else(|| too_large(()))?;
    let calls = all_calls(config);
    let memory_error = |error| Error::of(ErrorKind::TooLarge, error).during("EventLoop::new");
    Ok(Memory {
        calls: memory::region(calls).map_err(memory_error)?,
        threadsafe_calls: config.threadsafe_calls,
        heap: memory::region(calls).map_err(memory_error)?,
        wheel: memory::region(1).map_err(memory_error)?,
        futures: memory::region(config.futures).map_err(memory_error)?,
        tasks: memory::region(config.tasks).map_err(memory_error)?,
        bodies: Bodies::new(
            memory::reserve(words).map_err(memory_error)?,
            words_each,
            memory::release_region,
        ),
        wake,
    })
}

const fn all_calls(config: &Config) -> usize {
    config.calls.saturating_add(config.threadsafe_calls)
}

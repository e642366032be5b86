//! The memory of a loop: reserved once, as much as its [`Config`] says.

use std::sync::{Mutex, PoisonError};

use rondel_core::raw::{Bodies, Memory, WakeCell, WakeTable};

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
    ///
    /// One whose former tasks left wakers behind stays where it is until the last
    /// of them is gone: it would wake a stranger (FAULTS W-06).
    pub(crate) fn take(config: &Config) -> Result<Self> {
        let calls = all_calls(config);
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        let fitting = spare.iter().position(|spare| {
            spare.calls == calls && spare.tasks == config.tasks && !spare.table.has_wakers()
        });
        if let Some(place) = fitting {
            let tables = spare.swap_remove(place);
            tables.table.reopen();
            return Ok(tables);
        }
        drop(spare);
        Self::new(calls, config.tasks)
    }

    fn new(calls: usize, tasks: usize) -> Result<Self> {
        let cells: Box<[WakeCell]> = memory::zeroed(tasks).map_err(too_large)?;
        let call_links = memory::zeroed(calls).map_err(too_large)?;
        let task_links = memory::zeroed(tasks).map_err(too_large)?;
        let doorbell: &'static Doorbell = Box::leak(Box::new(Doorbell::new()));
        let table = WakeTable::new(Box::leak(cells), Box::leak(call_links), Box::leak(task_links), doorbell);
        Ok(Self { table: Box::leak(Box::new(table)), doorbell, calls, tasks })
    }

    /// Gives the table of a closed loop to the next one.
    pub(crate) fn give_back(self) {
        SPARE.lock().unwrap_or_else(PoisonError::into_inner).push(self);
    }
}

/// Reserves the tables of a scheduler.
pub(crate) fn reserve(config: &Config, wake: &'static WakeTable) -> Result<Memory<EventLoopHandle>> {
    let words_each = config.task_bytes.max(16).div_ceil(size_of::<u64>());
    let words = words_each.checked_mul(config.tasks).ok_or_else(|| too_large("no such number of bytes"))?;
    let calls = all_calls(config);
    Ok(Memory {
        calls: memory::region(calls).map_err(too_large)?,
        threadsafe_calls: config.threadsafe_calls,
        heap: memory::region(calls).map_err(too_large)?,
        wheel: memory::region(1).map_err(too_large)?,
        futures: memory::region(config.futures).map_err(too_large)?,
        tasks: memory::region(config.tasks).map_err(too_large)?,
        bodies: Bodies::new(memory::reserve(words).map_err(too_large)?, words_each, memory::release_region),
        wake,
    })
}

/// Says that a capacity of the configuration doesn't fit into memory.
pub(crate) fn too_large(error: impl Into<Box<dyn core::error::Error>>) -> Error {
    Error::of(ErrorKind::TooLarge, error)
}

const fn all_calls(config: &Config) -> usize {
    config.calls.saturating_add(config.threadsafe_calls)
}

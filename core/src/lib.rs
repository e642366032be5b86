//! asyncio's scheduler without `std` and without an allocator.
//!
//! Callbacks, timers, futures and tasks in tables of fixed capacity, run in
//! asyncio's order, on a microcontroller or under the `rondel` crate on Linux.
//! All memory is a `static` whose size the linker knows; whatever doesn't fit is
//! refused with a typed error that gives it back.
//!
//! ```
//! use core::time::Duration;
//! use rondel_core::{EventLoop, Exception, ManualDriver, Storage};
//!
//! static STORAGE: Storage<16, 4, 4, 256> = Storage::new();
//!
//! // On a microcontroller the driver is a timer and WFI.
//! let driver: &'static ManualDriver = Box::leak(Box::new(ManualDriver::new()));
//! let event_loop = EventLoop::new(STORAGE.take().unwrap(), driver);
//! let handle = event_loop.handle();
//!
//! let answer = event_loop.run_until_complete(async move {
//!     let future = handle.create_future::<u32>()?;
//!     let setter = future.clone();
//!     handle.call_later(Duration::from_millis(500), move |_| setter.set_result(42))?;
//!     Ok::<u32, Exception>(future.await?)
//! });
//! assert_eq!(answer.unwrap().unwrap(), 42);
//! ```
#![no_std]

#[cfg(test)]
extern crate std;

mod error;
mod outcome;
mod time;

mod driver;
mod manual;

mod exclusive;
mod finally;
mod inline;
mod region;

mod callback;
mod calls;
mod clipped;
mod completion;
mod context;
mod context_ext;
mod defect;
mod exception;
mod ready;
mod slots;
mod timers;
mod wake;

mod handle;

mod body;
mod future;
mod futures;
mod gather;
mod sleep;
mod step;
mod task;
mod tasks;
mod then;
mod timeout;
mod wait;

mod event_loop;
mod instrument;
mod limits;
mod schedule;
mod scheduler;
mod snapshot;
mod static_handle;
mod static_loop;
mod statistics;
mod storage;
mod sync;
mod tables;

pub use crate::body::{Body, TaskCell};
pub use crate::callback::Callback;
pub use crate::completion::DoneCallback;
pub use crate::context::{Context, Panicked, Running};
pub use crate::context_ext::ContextExt;
pub use crate::driver::{Doorbell, Driver};
pub use crate::error::{FutureError, InvalidState, Refusal, Refused, Resource, RunError, WaitError};
pub use crate::exception::{Exception, ExceptionContext};
pub use crate::future::{AwaitFuture, FutureId};
pub use crate::gather::{Gather, GatherError, GatherOutcomes};
pub use crate::handle::{CancelOnDrop, Handle, HandleId, TimerHandle};
pub use crate::inline::INLINE_BYTES;
pub use crate::instrument::{ExceptionHandler, Instrument, TaskFactory};
pub use crate::limits::Limits;
pub use crate::manual::{EVENTS_MAX, Event, ManualDriver};
pub use crate::outcome::{Cancelled, Outcome};
pub use crate::scheduler::Scheduler;
pub use crate::sleep::{Sleep, YieldNow};
pub use crate::slots::SlotId;
pub use crate::snapshot::{Awaited, CallItem, CallRole, FutureItem, Item, TaskItem, TaskState, WaitsFor};
pub use crate::static_handle::EventLoopHandle;
pub use crate::static_loop::EventLoop;
pub use crate::statistics::{Statistics, Usage};
pub use crate::storage::{Storage, StorageMemory};
pub use crate::task::{AllTasks, AwaitTask, TaskError, TaskRef};
pub use crate::tasks::{NewTask, TaskId};
pub use crate::then::Then;
pub use crate::time::Instant;
pub use crate::timeout::{Timeout, TimeoutError};
pub use crate::wait::Wait;

/// What another layer needs to build a loop of its own on the scheduler.
pub mod raw {
    pub use crate::body::Bodies;
    pub use crate::callback::SendCallback;
    pub use crate::calls::{Call, CallSlot, Kind};
    pub use crate::clipped::Clipped;
    pub use crate::futures::{FutureSlot, FutureValue};
    pub use crate::ready::Link;
    pub use crate::region::Region;
    pub use crate::slots::Entry;
    pub use crate::tables::Memory;
    pub use crate::tasks::{TaskSlot, TaskValue};
    pub use crate::timers::{HeapEntry, Wheel};
    pub use crate::wake::{WakeCell, WakeTable};
}

/// A result that will be set. See [`future::Future`](crate::Future).
pub type Future<T, C = EventLoopHandle> = future::Future<T, C>;

/// A future that the loop runs.
pub type Task<T, C = EventLoopHandle> = task::Task<T, C>;

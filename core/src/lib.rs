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
//!
//! A tour, in the order in which a program meets things; the chapter "On a microcontroller" of the
//! guide (`docs/guide/` in the repository) has whole programs.
//!
//! # Memory
//!
//! A [`Storage`] is a `static`, and holds all that the loop ever needs: so many callbacks, so many
//! futures, so many tasks of so many bytes. What is one too many is [`Refused`].
//!
//! ```
//! use rondel_core::{EventLoop, ManualDriver, Storage};
//!
//! static STORAGE: Storage<2, 0, 0, 0> = Storage::new();
//!
//! let driver: &'static ManualDriver = Box::leak(Box::new(ManualDriver::new()));
//! let event_loop = EventLoop::new(STORAGE.take().unwrap(), driver);
//! event_loop.call_soon(|_| ()).unwrap();
//! event_loop.call_soon(|_| ()).unwrap();
//! let refused = event_loop.call_soon(|_| ()).unwrap_err();
//! assert!(refused.is_full());
//! ```
//!
//! # The driver
//!
//! A [`Driver`] is a clock, a wait, and a [`Doorbell`] that ends the wait. [`ManualDriver`] is the one
//! for tests: its clock jumps to the next deadline, and its script makes interrupts happen.
//!
//! # Callbacks, tasks, futures
//!
//! [`EventLoopHandle`] has `call_soon`, `call_later` and `call_at`, `create_future` and `create_task`,
//! `sleep`, `timeout` and `gather`. Closures of up to [`INLINE_BYTES`] bytes fit; a future has to
//! fit the bytes of a task.
//!
//! # Interrupts
//!
//! A task waits by a [`Waker`](core::task::Waker), which an interrupt handler may wake at any time: it
//! takes no lock, needs no memory, and can't be lost. It may outlive its task, and the loop.
//!
//! ```
//! use core::future::poll_fn;
//! use core::task::Poll;
//! use core::time::Duration;
//! use rondel_core::{Event, EventLoop, Instant, ManualDriver, Storage};
//!
//! static STORAGE: Storage<4, 0, 1, 64> = Storage::new();
//!
//! let driver: &'static ManualDriver = Box::leak(Box::new(ManualDriver::new()));
//! let event_loop = EventLoop::new(STORAGE.take().unwrap(), driver);
//! let interrupt = Instant::ZERO + Duration::from_secs(3);
//! let waiting = poll_fn(|cx| {
//!     if driver.now() >= interrupt {
//!         return Poll::Ready(());
//!     }
//!     driver.script(interrupt, Event::Wake(cx.waker().clone())).unwrap();
//!     Poll::Pending
//! });
//! event_loop.run_until_complete(waiting).unwrap();
//! assert_eq!(event_loop.time(), interrupt);
//! # use rondel_core::Driver;
//! ```
//!
//! A processor without compare-and-swap, as a Cortex-M0, needs the feature `critical-section`: it masks
//! interrupts for a few instructions in each wake, with the program's implementation of that crate.
//!
//! # Errors
//!
//! What a callback or task ends with and nobody looks at reaches the exception handler
//! ([`EventLoopHandle::set_exception_handler`]), once, as an [`ExceptionContext`]. A panic is the
//! program's: core catches none.
//!
//! # Other loops
//!
//! [`Scheduler`] is the engine by itself, over a [`Context`] of another layer, as `rondel` is one;
//! [`ContextExt`] has the methods of all loops, for code that is written once.
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
mod delay;
mod exception;
mod ready;
mod registration;
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
mod histogram;
mod instrument;
mod limits;
mod refusals;
mod run;
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
pub use crate::context::{Context, Hooks, Panicked, Running};
pub use crate::context_ext::ContextExt;
pub use crate::driver::{Doorbell, Driver};
pub use crate::error::{FutureError, InvalidState, Refusal, Refused, Resource, RunError, WaitError};
pub use crate::exception::{Exception, ExceptionContext};
pub use crate::future::{AwaitFuture, FutureId};
pub use crate::gather::{Gather, GatherError, GatherOutcomes};
pub use crate::handle::{CancelOnDrop, Handle, HandleId, TimerHandle};
pub use crate::histogram::Histogram;
pub use crate::inline::INLINE_BYTES;
pub use crate::instrument::{ExceptionHandler, Instrument, TaskFactory};
pub use crate::limits::Limits;
pub use crate::manual::{EVENTS_MAX, Event, ManualDriver};
pub use crate::outcome::{Cancelled, Outcome};
pub use crate::refusals::Refusals;
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

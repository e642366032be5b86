//! What threads share, in one place: `tests/loom` compiles [`inbox`](crate::threadsafe::inbox),
//! [`handover`](crate::threadsafe::handover) and [`sys::gate`](crate::sys) over loom's instead.

pub(crate) use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32};
pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard};
pub(crate) use std::thread::yield_now;

//! The atomics of [`wake`](crate::wake): `tests/loom` compiles it over loom's instead.

pub(crate) use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32};

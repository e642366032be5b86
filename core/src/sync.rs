//! The atomics of [`wake`](crate::wake) and [`exclusive`](crate::exclusive): `tests/loom` and
//! `tests/interrupts` compile them over others instead.

pub(crate) use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32};

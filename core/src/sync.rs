//! The atomics of [`wake`](crate::wake) and [`exclusive`](crate::exclusive): `tests/loom` and
//! `tests/interrupts` compile them over others instead.

#[cfg(target_has_atomic = "32")]
pub(crate) use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32};

// Where the processor can only load and store, a swap is a critical section (FAULTS B-04).
#[cfg(all(not(target_has_atomic = "32"), feature = "critical-section"))]
pub(crate) use portable_atomic::{AtomicBool, AtomicPtr, AtomicU32};

#[cfg(all(not(target_has_atomic = "32"), not(feature = "critical-section")))]
compile_error!(
    "this processor has no compare-and-swap: enable rondel-core's feature `critical-section`, which masks \
     interrupts for it, and link an implementation of that crate, such as cortex-m's `critical-section-single-core`"
);

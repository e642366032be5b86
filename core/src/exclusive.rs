//! Exclusive access to the scheduler's tables, for a moment at a time.
#![allow(unsafe_code, reason = "hands out `&mut` from `&self` behind a flag that is checked")]

use core::cell::UnsafeCell;
use core::sync::atomic::{Ordering, compiler_fence};

use crate::sync::AtomicBool;

/// Lends its value to one short section of code at a time.
///
/// Every section is code of this crate that calls nothing of the user's:
/// no closure, waker or destructor runs inside. The flag proves it at run time
/// and tells a wake that arrives from a signal handler on the loop's own thread
/// that a table is half changed (FAULTS W-05).
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Exclusive<T> {
    // The first, where a processor with short instructions reaches it by one.
    /// Invariant: true exactly while a `&mut T` made by [`Self::with`] lives.
    busy: AtomicBool,
    value: UnsafeCell<T>,
}

impl<T> Exclusive<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { busy: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// Runs `section` on the value.
    #[inline]
    pub(crate) fn with<R>(&self, section: impl FnOnce(&mut T) -> R) -> R {
        if self.is_busy() {
            reentered();
        }
        self.busy.store(true, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        // SAFETY: the flag was false, so no other section is running, and it
        // stays true until this one is over. Only the loop's thread comes here:
        // the type is not `Sync`, and `WakeTable` checks the thread itself.
        let result = section(unsafe { &mut *self.value.get() });
        compiler_fence(Ordering::SeqCst);
        self.busy.store(false, Ordering::Relaxed);
        result
    }

    #[inline]
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed)
    }
}

/// A value that is entered together with that of an [`Exclusive`], under the one
/// flag of that.
pub(crate) struct Joined<T, U: 'static> {
    value: UnsafeCell<T>,
    other: &'static Exclusive<U>,
}

impl<T, U> Joined<T, U> {
    pub(crate) const fn new(value: T, other: &'static Exclusive<U>) -> Self {
        Self { value: UnsafeCell::new(value), other }
    }

    /// Runs `section` on the value.
    #[inline]
    pub(crate) fn with<R>(&self, section: impl FnOnce(&mut T) -> R) -> R {
        self.with_both(|value, _| section(value))
    }

    /// Runs `section` on both values.
    #[inline]
    pub(crate) fn with_both<R>(&self, section: impl FnOnce(&mut T, &mut U) -> R) -> R {
        // SAFETY: a reference to the value is made only here, inside a section of
        // `other`, of which there is one at a time. The type is not `Sync` either.
        self.other.with(|other| section(unsafe { &mut *self.value.get() }, other))
    }
}

/// Ends a program whose scheduler called itself from inside a section: a defect
/// of this crate, which must not become undefined behaviour.
#[cold]
#[inline(never)]
fn reentered() -> ! {
    panic!("rondel-core: a scheduler table was entered twice")
}

//! loom in the place of the atomics and locks of `core` and `std`.
//!
//! Two things make up for what loom doesn't have. Its atomics aren't made in
//! constants: here they are made at their first use, which must come before the
//! threads. And it takes `SeqCst` for `AcqRel`, except in fences: here a fence
//! precedes each `SeqCst` access, which orders those accesses as the language does
//! (and is what a compiler for Power makes of them).

use core::cell::OnceCell;
use core::fmt;
use core::sync::atomic::Ordering;
use core::time::Duration;
use std::sync::LockResult;

pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};
pub(crate) use loom::thread::yield_now;

fn fence_if_ordered(order: Ordering) {
    if order == Ordering::SeqCst {
        loom::sync::atomic::fence(Ordering::SeqCst);
    }
}

macro_rules! atomic {
    ($name:ident $(<$of:ident>)?, $value:ty) => {
        pub(crate) struct $name $(<$of>)? {
            initial: $value,
            atomic: OnceCell<loom::sync::atomic::$name $(<$of>)?>,
        }

        // SAFETY: loom runs one thread at a time, and switches in none of the cell's
        // functions.
        unsafe impl $(<$of>)? Sync for $name $(<$of>)? {}
        // SAFETY: as above.
        unsafe impl $(<$of>)? Send for $name $(<$of>)? {}

        impl $(<$of>)? $name $(<$of>)? {
            pub(crate) const fn new(initial: $value) -> Self {
                Self { initial, atomic: OnceCell::new() }
            }

            #[track_caller]
            fn atomic(&self) -> &loom::sync::atomic::$name $(<$of>)? {
                self.atomic.get_or_init(|| loom::sync::atomic::$name::new(self.initial))
            }

            #[track_caller]
            pub(crate) fn load(&self, order: Ordering) -> $value {
                fence_if_ordered(order);
                self.atomic().load(order)
            }

            #[track_caller]
            pub(crate) fn store(&self, value: $value, order: Ordering) {
                fence_if_ordered(order);
                self.atomic().store(value, order);
            }

            #[track_caller]
            pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                fence_if_ordered(order);
                self.atomic().swap(value, order)
            }

            #[track_caller]
            pub(crate) fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                fence_if_ordered(success);
                self.atomic().compare_exchange(current, new, success, failure)
            }
        }

        impl $(<$of>)? fmt::Debug for $name $(<$of>)? {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    };
}

atomic!(AtomicBool, bool);
atomic!(AtomicI32, i32);
atomic!(AtomicU32, u32);
atomic!(AtomicPtr<T>, *mut T);

impl AtomicU32 {
    #[track_caller]
    pub(crate) fn fetch_add(&self, value: u32, order: Ordering) -> u32 {
        fence_if_ordered(order);
        self.atomic().fetch_add(value, order)
    }

    #[track_caller]
    pub(crate) fn fetch_sub(&self, value: u32, order: Ordering) -> u32 {
        fence_if_ordered(order);
        self.atomic().fetch_sub(value, order)
    }

    #[track_caller]
    pub(crate) fn fetch_max(&self, value: u32, order: Ordering) -> u32 {
        fence_if_ordered(order);
        self.atomic().fetch_max(value, order)
    }
}

/// Waits for a change, never for a time: a model has no clock.
pub(crate) struct Condvar(loom::sync::Condvar);

impl Condvar {
    pub(crate) fn new() -> Self {
        Self(loom::sync::Condvar::new())
    }

    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        self.0.wait(guard)
    }

    pub(crate) fn wait_timeout_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        _limit: Duration,
        condition: impl Fn(&mut T) -> bool,
    ) -> LockResult<(MutexGuard<'a, T>, ())> {
        while condition(&mut guard) {
            guard = self.0.wait(guard).unwrap();
        }
        Ok((guard, ()))
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

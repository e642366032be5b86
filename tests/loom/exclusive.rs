//! In the place of core's `Exclusive`: a cell that finds out whether two threads
//! meet in it, or one comes after the other without having heard of it.

use loom::cell::UnsafeCell;

pub(crate) struct Exclusive<T>(UnsafeCell<T>);

impl<T> Exclusive<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    #[track_caller]
    pub(crate) fn with<R>(&self, section: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: no section enters another; loom ends the model if threads meet.
        self.0.with_mut(|value| section(unsafe { &mut *value }))
    }

    /// Tells whether a signal handler interrupted a section; there are none here.
    pub(crate) fn is_busy(&self) -> bool {
        false
    }
}

//! Memory of a fixed capacity, initialized only as far as it was used.
#![allow(unsafe_code, reason = "reads memory below the high-water mark as initialized")]

use core::fmt;
use core::mem::MaybeUninit;

/// Holds up to a fixed number of values in memory that somebody else provides.
///
/// The capacity is not part of the type, so that the scheduler is compiled once
/// for all capacities. Memory above the high-water mark is never touched: on
/// Linux a generous capacity costs address space and no RAM.
pub struct Region<T: 'static> {
    memory: &'static mut [MaybeUninit<T>],
    /// Invariant: `memory[..len]` is initialized; grows only.
    len: usize,
    /// Is `None` for memory that is never given back.
    release: Option<fn(&'static mut [MaybeUninit<T>])>,
}

impl<T> Region<T> {
    /// Makes an empty region over memory that is never given back.
    #[must_use]
    pub fn new(memory: &'static mut [MaybeUninit<T>]) -> Self {
        Self { memory, len: 0, release: None }
    }

    /// Makes an empty region that hands its memory to `release` when dropped,
    /// after the values in it were dropped.
    #[must_use]
    pub fn with_release(
        memory: &'static mut [MaybeUninit<T>],
        release: fn(&'static mut [MaybeUninit<T>]),
    ) -> Self {
        Self { memory, len: 0, release: Some(release) }
    }

    /// Returns how many values fit.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.memory.len()
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds `value` at the high-water mark, if that is below `limit`, and returns
    /// where.
    #[inline]
    pub(crate) fn push_below(&mut self, limit: usize, value: T) -> Option<usize> {
        let at = self.len;
        if at >= limit {
            return None;
        }
        self.memory.get_mut(at)?.write(value);
        self.len = at + 1;
        Some(at)
    }

    /// Adds `value` at the high-water mark.
    #[inline]
    pub(crate) fn push(&mut self, value: T) -> Option<usize> {
        self.push_below(usize::MAX, value)
    }

    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        self.as_slice().get(index)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.as_mut_slice().get_mut(index)
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[T] {
        // SAFETY: `len` never exceeds the memory, and what is below it is
        // initialized.
        unsafe { core::slice::from_raw_parts(self.memory.as_ptr().cast(), self.len) }
    }

    #[inline]
    pub(crate) fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: as in `as_slice`, and `self` is borrowed exclusively.
        unsafe { core::slice::from_raw_parts_mut(self.memory.as_mut_ptr().cast(), self.len) }
    }
}

impl<T> Drop for Region<T> {
    fn drop(&mut self) {
        let values: *mut [T] = self.as_mut_slice();
        self.len = 0;
        // SAFETY: the values were initialized, and with `len` at zero nobody
        // reads them again, even if one of their destructors panics.
        unsafe { core::ptr::drop_in_place(values) };
        if let Some(release) = self.release {
            release(core::mem::take(&mut self.memory));
        }
    }
}

impl<T> fmt::Debug for Region<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Region {{ used: {}, capacity: {} }}", self.len, self.memory.len())
    }
}

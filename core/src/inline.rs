//! A value of any small type, in three words and without an allocator.
#![allow(unsafe_code, reason = "moves values of erased type in and out of raw words")]

use core::fmt;
use core::mem::{MaybeUninit, align_of, size_of};

/// Is the size of the largest value that is stored inline, in bytes; the same
/// on every target.
pub const INLINE_BYTES: usize = 24;

/// Memory for one value of up to [`INLINE_BYTES`] bytes, alignment 8 at most.
///
/// Doesn't know the value's type and so doesn't drop it: the owner keeps the
/// type beside it, usually as a table of functions.
#[derive(Clone, Copy)]
pub(crate) struct Inline([MaybeUninit<u64>; INLINE_BYTES / 8]);

impl Inline {
    pub(crate) const EMPTY: Self = Self([MaybeUninit::uninit(); INLINE_BYTES / 8]);

    /// Tells whether a `T` can be stored.
    pub(crate) const fn fits<T>() -> bool {
        size_of::<T>() <= INLINE_BYTES && align_of::<T>() <= align_of::<u64>()
    }

    /// Stores `value`, or gives it back if it is too large.
    #[inline]
    pub(crate) fn new<T>(value: T) -> Result<Self, T> {
        if !Self::fits::<T>() {
            return Err(value);
        }
        Ok(Self::write(value))
    }

    /// Stores `value`; one that is too large does not compile.
    #[inline]
    pub(crate) fn store<T>(value: T) -> Self {
        const { assert!(Self::fits::<T>(), "the value has more than 24 bytes: store an index or a pointer to it") };
        Self::write(value)
    }

    #[inline]
    fn write<T>(value: T) -> Self {
        debug_assert!(Self::fits::<T>());
        let mut inline = Self::EMPTY;
        // SAFETY: both callers compared size and alignment.
        unsafe { inline.0.as_mut_ptr().cast::<T>().write(value) };
        inline
    }

    #[inline]
    pub(crate) fn as_ptr<T>(&self) -> *const T {
        self.0.as_ptr().cast()
    }

    #[inline]
    pub(crate) fn as_mut_ptr<T>(&mut self) -> *mut T {
        self.0.as_mut_ptr().cast()
    }

    /// Moves the value out.
    ///
    /// # Safety
    /// A `T` was stored and is neither read nor dropped again.
    #[inline]
    pub(crate) unsafe fn read<T>(&mut self) -> T {
        // SAFETY: the caller's promise.
        unsafe { self.as_mut_ptr::<T>().read() }
    }
}

impl fmt::Debug for Inline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inline")
    }
}

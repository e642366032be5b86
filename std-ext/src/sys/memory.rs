//! Memory for the loop's fixed tables: reserved once, as much as was asked for, and untouched.

#![allow(unsafe_code, reason = "uninitialised memory is leaked and taken back")]

use core::alloc::Layout;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use std::alloc::alloc_zeroed;
use std::collections::TryReserveError;
use std::io;

use rondel_core::raw::{Link, Region, WakeCell};

/// Reserves room for exactly `capacity` values for ever, or until [`release`].
///
/// No page is touched, so a generous table costs address space and no memory until it is used.
/// A capacity of 0 and a `T` of size 0 allocate nothing.
///
/// # Errors
/// When the allocator has no such room; nothing is leaked then.
pub(crate) fn reserve<T>(capacity: usize) -> Result<&'static mut [MaybeUninit<T>], TryReserveError>
where
    T: 'static,
{
    let mut room: Vec<MaybeUninit<T>> = Vec::new();
    room.try_reserve_exact(capacity)?;
    // SAFETY: so much has been reserved, and `MaybeUninit` needs no initialisation.
    unsafe { room.set_len(capacity) };
    // A box, since that is what `release` makes of it: its layout follows from its length alone.
    Ok(Box::leak(room.into_boxed_slice()))
}

/// Gives reserved memory back to the allocator. It drops no value: whoever kept some has dropped them.
///
/// # Safety
/// `slice` is the whole of what one call of [`reserve`] returned, and nothing refers to it any more.
pub(crate) unsafe fn release<T>(slice: &'static mut [MaybeUninit<T>]) {
    // SAFETY: by contract this is the box that `reserve` leaked, and this is its last use.
    drop(unsafe { Box::from_raw(slice) });
}

/// Reserves a region that gives its memory back when it is dropped.
///
/// # Errors
/// When the allocator has no such room.
pub(crate) fn region<T>(capacity: usize) -> Result<Region<T>, TryReserveError>
where
    T: 'static,
{
    Ok(Region::with_release(reserve(capacity)?, release_region))
}

/// Gives the memory of [`region`] or of task bodies back.
pub(crate) fn release_region<T: 'static>(slice: &'static mut [MaybeUninit<T>]) {
    // SAFETY: a region hands over the whole of what it was made of, once, when it is dropped.
    unsafe { release(slice) };
}

/// What all bytes zero are a valid value of.
///
/// # Safety
/// They are, and the type has no destructor.
pub(crate) unsafe trait Zeroable {}

// SAFETY: a number.
unsafe impl Zeroable for u8 {}
// SAFETY: numbers.
unsafe impl Zeroable for Link {}
// SAFETY: numbers.
unsafe impl Zeroable for [Link; 2] {}
// SAFETY: documented so.
unsafe impl Zeroable for WakeCell {}

/// Makes `count` values of zeros, in memory that is not touched.
///
/// # Errors
/// `OutOfMemory` when the allocator has no such room.
pub(crate) fn zeroed<T: Zeroable>(count: usize) -> io::Result<Box<[T]>> {
    let out_of_memory = || io::Error::from(io::ErrorKind::OutOfMemory);
    let layout = Layout::array::<T>(count).map_err(|_| out_of_memory())?;
    let start: NonNull<T> = if layout.size() == 0 {
        NonNull::dangling()
    } else {
        // SAFETY: the layout isn't empty.
        NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or_else(out_of_memory)?.cast()
    };
    // SAFETY: a box has the layout of the array, and all bytes zero are a `T`.
    Ok(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(start.as_ptr(), count)) })
}

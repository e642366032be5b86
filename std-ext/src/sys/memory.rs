//! Memory for the loop's fixed tables: reserved once, as much as was asked for, and untouched.

#![allow(unsafe_code, reason = "uninitialised memory is leaked and taken back")]

use core::mem::MaybeUninit;
use std::collections::TryReserveError;

use rondel_core::raw::{Region, WakeCell};

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

/// Makes wake cells that live for ever, in zeroed memory that is not touched.
pub(crate) fn wake_cells(count: usize) -> &'static [WakeCell] {
    let words = vec![0u64; count * size_of::<WakeCell>().div_ceil(size_of::<u64>())].leak();
    // SAFETY: the words are as many as the cells need and aligned as they are (their largest part
    // is a pointer), and all bytes zero are a new cell.
    unsafe { core::slice::from_raw_parts(words.as_ptr().cast(), count) }
}

const _: () = assert!(align_of::<WakeCell>() <= align_of::<u64>());

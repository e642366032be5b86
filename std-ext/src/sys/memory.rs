//! Memory for the loop's fixed tables: reserved once, as much as was asked for, and untouched.

#![allow(unsafe_code, reason = "uninitialised memory is leaked and taken back")]

use core::mem::MaybeUninit;
use std::collections::TryReserveError;

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

//! How much memory is in use.
#![allow(unsafe_code, reason = "implements an allocator")]

use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicIsize, Ordering::Relaxed};
use std::alloc::System;

/// Is the allocator of this program: the system's, with a count of what it has given.
pub(crate) struct Counting;

static BYTES: AtomicIsize = AtomicIsize::new(0);

/// Returns the bytes that are in use, with those that the system's allocator adds.
pub(crate) fn bytes() -> isize {
    BYTES.load(Relaxed)
}

/// Not exact with threads; nothing here has any that allocate.
fn count(block: *mut u8, sign: isize) {
    // SAFETY: null, or a block of the system's allocator.
    let size = unsafe { libc::malloc_usable_size(block.cast()) } + size_of::<usize>();
    BYTES.store(BYTES.load(Relaxed) + sign * size as isize, Relaxed);
}

// SAFETY: hands everything to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: our caller's promise.
        let block = unsafe { System.alloc(layout) };
        count(block, 1);
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: our caller's promise.
        let block = unsafe { System.alloc_zeroed(layout) };
        count(block, 1);
        block
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(block, -1);
        // SAFETY: our caller's promise.
        let block = unsafe { System.realloc(block, layout, size) };
        count(block, 1);
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(block, -1);
        // SAFETY: our caller's promise.
        unsafe { System.dealloc(block, layout) }
    }
}

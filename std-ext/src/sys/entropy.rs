//! Bytes that nobody can foresee.

#![allow(unsafe_code, reason = "this is where libc is called")]

use std::io;

use super::syscall::{retry, syscall};

/// Fills `buf` by `getrandom`; blocks only in a machine's first seconds.
pub(super) fn fill(mut buf: &mut [u8]) -> io::Result<()> {
    while !buf.is_empty() {
        // SAFETY: `buf` is good for writing its length.
        let filled = retry(|| unsafe { syscall!(getrandom(buf.as_mut_ptr().cast(), buf.len(), 0)) })?;
        buf = &mut buf[filled as usize..];
    }
    Ok(())
}

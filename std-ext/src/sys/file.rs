//! Files that are sent through sockets.

#![allow(unsafe_code, reason = "this is where libc is called")]

use std::io;

use super::fd::Fd;
use super::syscall::{retry, syscall};

/// Reads a part of a file, wherever its position is; 0 is its end.
pub(super) fn read_at(fd: Fd, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let offset = file_offset(offset)?;
    let (start, length) = (buf.as_mut_ptr().cast(), buf.len());
    // SAFETY: `buf` is good for writing its length.
    let read = retry(|| unsafe { syscall!(pread64(fd.as_raw(), start, length, offset)) })?;
    Ok(read as usize)
}

/// Sets the position of a file, counted from its begin.
pub(super) fn seek(fd: Fd, offset: u64) -> io::Result<()> {
    let offset = file_offset(offset)?;
    // SAFETY: no pointers.
    unsafe { syscall!(lseek64(fd.as_raw(), offset, libc::SEEK_SET)) }.map(drop)
}

/// Returns an offset as the system counts it, signed.
pub(super) fn file_offset(offset: u64) -> io::Result<libc::off64_t> {
    libc::off64_t::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EOVERFLOW))
}

//! Pipes and whatever else is read and written as a file: the calls themselves, for every kernel with
//! real descriptors.

#![allow(unsafe_code, reason = "this is where libc is called")]

use std::fs::OpenOptions;
use std::io::{self, IoSlice};
use std::os::fd::IntoRawFd;
use std::os::unix::fs::OpenOptionsExt;

use super::fd::Fd;
use super::sigpipe::without_sigpipe;
use super::syscall::{syscall, transfer};
use crate::sources::Direction;

/// How many slices Linux takes at once (`IOV_MAX`); more would be an error.
const SLICES_MAX: usize = 1024;

/// Makes a pipe: the end to read from, and the end to write to.
pub(super) fn pipe() -> io::Result<(Fd, Fd)> {
    let mut fds = [-1; 2];
    // SAFETY: room for two numbers.
    unsafe { syscall!(pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC)) }?;
    Ok((Fd::from_raw(fds[0]), Fd::from_raw(fds[1])))
}

/// Reads what is there, up to the length of `buf`; 0 is the end.
pub(super) fn read(fd: Fd, buf: &mut [u8]) -> io::Result<usize> {
    let (start, length) = (buf.as_mut_ptr().cast(), buf.len());
    // SAFETY: `buf` is good for writing its length.
    transfer(|| unsafe { libc::read(fd.as_raw(), start, length) })
}

/// Writes as much of `buf` as there is room for.
pub(super) fn write(fd: Fd, buf: &[u8]) -> io::Result<usize> {
    let (start, length) = (buf.as_ptr().cast(), buf.len());
    // SAFETY: `buf` is good for reading its length.
    without_sigpipe(|| unsafe { libc::write(fd.as_raw(), start, length) })
}

/// Writes as much of `bufs`, one after the other, as there is room for; of more than 1,024 only so many.
pub(super) fn write_vectored(fd: Fd, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    // `IoSlice` is an `iovec` by its documentation.
    let (start, count) = (bufs.as_ptr().cast(), bufs.len().min(SLICES_MAX) as libc::c_int);
    // SAFETY: the slices are good for reading their lengths.
    without_sigpipe(|| unsafe { libc::writev(fd.as_raw(), start, count) })
}

/// Opens the file of a descriptor once more, without blocking: what is set for it holds for nobody else
/// (proc_pid_fd(5)).
pub(super) fn reopen(fd: Fd, direction: Direction) -> io::Result<Fd> {
    let (reads, writes) = (direction == Direction::Read, direction == Direction::Write);
    let file = OpenOptions::new()
        .read(reads)
        .write(writes)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(format!("/proc/self/fd/{}", fd.as_raw()))?;
    Ok(Fd::from_raw(file.into_raw_fd()))
}

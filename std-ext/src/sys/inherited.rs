//! What the process got from whoever started it: its number, and open descriptors.

#![allow(unsafe_code, reason = "fcntl, fstat, and the ownership of inherited descriptors")]

use core::mem::MaybeUninit;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use super::fd::Fd;
use super::socket::option_raw;
use super::syscall::{retry, syscall};
use crate::supervision::ListenFdKind;

/// Returns the number of this process.
pub(crate) fn process_id() -> u32 {
    std::process::id()
}

/// Tells what the descriptor with this number is.
///
/// # Errors
/// `EBADF` if it isn't open.
pub(crate) fn kind_of(raw: i32) -> io::Result<ListenFdKind> {
    let mut found = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `found` is good for writing a `stat`.
    retry(|| unsafe { syscall!(fstat(raw, found.as_mut_ptr())) })?;
    // SAFETY: `fstat` has succeeded, so it has written all of it.
    let mode = unsafe { found.assume_init() }.st_mode & libc::S_IFMT;
    match mode {
        libc::S_IFIFO => Ok(ListenFdKind::Fifo),
        libc::S_IFSOCK => kind_of_socket(Fd::from_raw(raw)),
        _ => Ok(ListenFdKind::Other),
    }
}

fn kind_of_socket(fd: Fd) -> io::Result<ListenFdKind> {
    Ok(match option_raw(fd, libc::SOL_SOCKET, libc::SO_TYPE)? {
        libc::SOCK_DGRAM => ListenFdKind::Datagram,
        libc::SOCK_STREAM if option_raw(fd, libc::SOL_SOCKET, libc::SO_ACCEPTCONN)? != 0 => {
            ListenFdKind::Listener
        }
        libc::SOCK_STREAM => ListenFdKind::Connection,
        _ => ListenFdKind::Other,
    })
}

/// Takes over a descriptor that was inherited and is open, and has it closed on exec.
///
/// Whoever started the process announced it as this process's, and it is handed out once: that is
/// what the caller vouches for.
pub(crate) fn adopt(raw: i32) -> OwnedFd {
    // SAFETY: no pointers. It can fail for a closed descriptor alone.
    let _ = unsafe { syscall!(fcntl(raw, libc::F_SETFD, libc::FD_CLOEXEC)) };
    // SAFETY: open, since it was looked at just now, and nobody else's, as the caller vouches.
    unsafe { OwnedFd::from_raw_fd(raw) }
}

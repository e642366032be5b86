//! The open files of others, which don't block for as long as somebody here uses one.
//!
//! `O_NONBLOCK` belongs to the open file, and not to a descriptor: the shell has the terminal's too, and standard
//! output and standard error are often the same. So the files are counted for the whole process, and all of them
//! block again when the last is given back. Which descriptors are one file need not be known; the system tells it
//! only in part (kcmp(2) may be forbidden, and an inode may have been opened twice).

#![allow(unsafe_code, reason = "descriptors come as numbers")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::fd::Fd;
use super::file::{duplicate, file_flags, set_blocking};
use super::socket::set_nonblocking;

static LENT: Mutex<Lent> = Mutex::new(Lent { users: 0, changed: Vec::new() });

struct Lent {
    users: usize,
    /// Descriptors of our own of what blocked before.
    changed: Vec<OwnedFd>,
}

/// Has `fd` not block; tells whether that has to be given back.
pub(super) fn lend(fd: Fd) -> io::Result<bool> {
    let mut lent = lent();
    if file_flags(fd)?.is_nonblocking {
        // Without a user, it is somebody else's wish.
        let is_ours = lent.users > 0;
        lent.users += usize::from(is_ours);
        return Ok(is_ours);
    }
    set_nonblocking(fd)?;
    match duplicate(fd) {
        Ok(own) => {
            // SAFETY: made above, and nobody else's.
            lent.changed.push(unsafe { OwnedFd::from_raw_fd(own.as_raw()) });
            lent.users += 1;
            Ok(true)
        }
        Err(error) => {
            let _ = set_blocking(fd);
            Err(error)
        }
    }
}

/// Gives back what was lent: once for each time.
pub(super) fn give_back() {
    let mut lent = lent();
    lent.users -= 1;
    if lent.users == 0 {
        for file in lent.changed.drain(..) {
            // Can't fail: the descriptor is ours, and open.
            let _ = set_blocking(Fd::from_raw(file.as_raw_fd()));
        }
    }
}

fn lent() -> MutexGuard<'static, Lent> {
    LENT.lock().unwrap_or_else(PoisonError::into_inner)
}

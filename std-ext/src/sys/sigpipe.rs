//! Writing to a pipe that nobody reads, without the signal that ends the process.
//!
//! A program whose `main` is Rust's ignores SIGPIPE; one that only links this library may not. Sockets
//! can be told at each call (`MSG_NOSIGNAL`), files can't: there the signal is kept from the thread for
//! the time of the write, and taken back if the write has caused it. The program's disposition is its
//! own and stays what it is: where it ignores the signal, or handles it, nothing is done.

#![allow(unsafe_code, reason = "this is where libc is called")]

use core::mem::MaybeUninit;
use core::ptr;
use std::io;

use super::syscall::transfer;

/// Writes by `write`; a missing reader is an error and no signal (FAULTS N-10).
pub(super) fn without_sigpipe(write: impl FnMut() -> isize) -> io::Result<usize> {
    if is_deadly() { write_blocked(write) } else { transfer(write) }
}

/// Tells whether the signal would end the process. Asked each time: a program may change it at any
/// time, and a query is cheap beside a write.
fn is_deadly() -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: `action` is good for writing, and all zeros is one, should the call fail.
    let action = unsafe {
        libc::sigaction(libc::SIGPIPE, ptr::null(), action.as_mut_ptr());
        action.assume_init()
    };
    action.sa_sigaction == libc::SIG_DFL
}

#[cold]
fn write_blocked(write: impl FnMut() -> isize) -> io::Result<usize> {
    let blocked = Blocked::new();
    let written = transfer(write);
    if written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        blocked.take_back();
    }
    written
}

/// Keeps SIGPIPE from the thread until it is dropped.
struct Blocked {
    /// Is the mask to go back to.
    former: libc::sigset_t,
    /// Tells that such a signal waited already, which isn't ours to take.
    was_pending: bool,
}

impl Blocked {
    fn new() -> Self {
        let mut former = empty();
        // SAFETY: both sets are good for what is done with them.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &sigpipe(), &raw mut former) };
        // Not blocked before, it can't wait.
        let was_pending = contains_sigpipe(&former) && {
            let mut pending = empty();
            // SAFETY: the set is good for writing.
            unsafe { libc::sigpending(&raw mut pending) };
            contains_sigpipe(&pending)
        };
        Self { former, was_pending }
    }

    /// Takes back the signal that a write has caused. It is the thread's, so it waits here.
    fn take_back(&self) {
        if self.was_pending {
            return;
        }
        let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        loop {
            // SAFETY: set and time are good for reading; no information is asked for.
            let taken = unsafe { libc::sigtimedwait(&sigpipe(), ptr::null_mut(), &raw const now) };
            if taken != -1 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                return;
            }
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: the set was filled by the system.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.former, ptr::null_mut()) };
    }
}

fn empty() -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: `set` is good for writing, and all zeros is a set of none.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    }
}

fn sigpipe() -> libc::sigset_t {
    let mut set = empty();
    // SAFETY: the set is one, and the signal exists.
    unsafe { libc::sigaddset(&raw mut set, libc::SIGPIPE) };
    set
}

fn contains_sigpipe(set: &libc::sigset_t) -> bool {
    // SAFETY: the set is one, and the signal exists.
    unsafe { libc::sigismember(set, libc::SIGPIPE) == 1 }
}

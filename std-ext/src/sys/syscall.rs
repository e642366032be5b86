//! How a system call's answer becomes a `Result`: decided here and nowhere else.

use std::io;

/// Calls a `libc` function and turns its -1 into [`io::Error`].
///
/// The macro holds no `unsafe` of its own: each call stands in a block of the caller's, with a
/// SAFETY comment about these very arguments.
macro_rules! syscall {
    ($function:ident ( $($argument:expr),* $(,)? )) => {{
        let answer = libc::$function($($argument),*);
        if answer == -1 { Err(std::io::Error::last_os_error()) } else { Ok(answer) }
    }};
}
pub(super) use syscall;

/// Repeats `call` while a signal interrupts it.
///
/// Never to be used on `close` or `connect`, which must not be repeated, nor on a call with a
/// relative timeout, which would begin anew each time.
pub(super) fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            answer => return answer,
        }
    }
}

/// Makes of a transfer's answer what [`syscall`] and [`retry`] make of it. What is
/// moved costs a comparison: this stands on the path of every message.
#[inline]
pub(super) fn transfer(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    loop {
        let moved = call();
        if moved >= 0 {
            return Ok(moved as usize);
        }
        if let Some(error) = why_not_moved() {
            return Err(error);
        }
    }
}

/// Returns why a call failed; `None` if a signal interrupted it.
#[cold]
fn why_not_moved() -> Option<io::Error> {
    let error = io::Error::last_os_error();
    (error.kind() != io::ErrorKind::Interrupted).then_some(error)
}

/// Tells whether descriptors or memory of the process or the system ran out.
pub(crate) fn is_out_of_resources(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

/// Tells whether a descriptor can't be watched because it is always ready (epoll_ctl(2), `EPERM`).
pub(crate) fn is_always_ready(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(libc::EPERM)
}

/// Tells whether the other side of a pseudoterminal is gone, or the terminal itself.
pub(crate) fn is_terminal_gone(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(libc::EIO)
}

/// Tells whether the system doesn't know the family of a socket.
pub(crate) fn is_family_unknown(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EPFNOSUPPORT | libc::EPROTONOSUPPORT))
}

/// Tells whether a failure of `accept` is that of a connection which is gone, or refused by a
/// firewall, and no longer stands before the others (accept(2), "Error handling").
pub(crate) fn is_of_one_connection(error: &std::io::Error) -> bool {
    let Some(errno) = error.raw_os_error() else { return false };
    matches!(
        errno,
        libc::ECONNABORTED
            | libc::ECONNRESET
            | libc::EPERM
            | libc::EPROTO
            | libc::ENOPROTOOPT
            | libc::ENETDOWN
            | libc::ENETUNREACH
            | libc::EHOSTDOWN
            | libc::EHOSTUNREACH
            | libc::ENONET
            | libc::EOPNOTSUPP
            | libc::ETIMEDOUT
    )
}

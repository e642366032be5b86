//! A thread that waits for a child, where the system has no pidfd.

use std::io;
use std::os::fd::IntoRawFd;
use std::thread;

use super::super::fd::Fd;
use super::spawn::pipe;

/// Is the size of the stack of a thread that only waits, in bytes.
pub(super) const STACK_BYTES: usize = 64 * 1024;

/// Returns a descriptor that becomes readable when the child has exited. The thread doesn't reap it.
///
/// # Errors
/// If the system has no descriptor or thread left.
pub(super) fn watch(pid: libc::pid_t) -> io::Result<Fd> {
    let (reader, writer) = pipe(libc::O_NONBLOCK)?;
    let wait = move || {
        // Once somebody else has reaped the child this fails, and that is an exit too.
        let _ = super::wait(libc::P_PID, pid as libc::id_t, libc::WEXITED | libc::WNOWAIT);
        drop(writer);
    };
    thread::Builder::new().name(format!("rondel-wait-{pid}")).stack_size(STACK_BYTES).spawn(wait)?;
    Ok(Fd::from_raw(reader.into_raw_fd()))
}

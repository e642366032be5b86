//! Children: how they are started, waited for and signalled.
//!
//! ```text
//!   Command --spawn--> Child --try_wait--> Exit
//!                        |
//!                        '--watched()--> readable when it has exited
//! ```
//!
//! A child is held by a pidfd that was taken at its creation, so that a wait or a signal never reaches
//! the process that gets its number next (FAULTS R-01). Where the system has no pidfd, a thread of
//! [`watcher`] looks at the number, and the window that remains is this: whoever else in the process
//! reaps the child between its exit and our wait frees its number, and until then a signal goes to
//! whoever got it.
//!
//! Where is what: [`command`] what a child is to be, [`mod@spawn`] the parent's side of the start,
//! [`birth`] the child's, [`report`] how the second tells the first what failed, [`watcher`] the
//! thread, [`awaited`] which children that is said of, [`orphans`] those that nobody started here.

#![allow(unsafe_code, reason = "this is where libc is called")]

mod awaited;
mod birth;
mod command;
mod orphans;
mod report;
mod spawn;
mod watcher;

#[cfg(test)]
mod tests;

use core::mem::MaybeUninit;
use core::time::Duration;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::IntoRawFd;
use std::thread;

pub(crate) use libc::{SIGKILL, SIGTERM};

use super::fd::Fd;
use super::syscall::{retry, syscall};

pub(crate) use command::{Command, StringArray, limit};
pub(super) use orphans::{reap as reap_orphans, set_subreaper};
pub(crate) use report::{SpawnError, Stage};
pub(super) use spawn::{WaitBy, spawn};

/// A child that runs, or has exited and was not reaped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Child {
    pid: libc::pid_t,
    /// Is a pidfd, or what the watching thread closes the other end of.
    watched: Fd,
    has_pidfd: bool,
}

impl Child {
    /// Returns its number, for people: by the time it is used it may be somebody else's.
    pub(crate) const fn pid(self) -> i32 {
        self.pid
    }

    /// Returns what becomes readable when the child has exited; its owner closes it.
    pub(crate) const fn watched(self) -> Fd {
        self.watched
    }

    /// Returns by what it is waited for.
    fn id(self) -> (libc::idtype_t, libc::id_t) {
        if self.has_pidfd {
            (libc::P_PIDFD, self.watched.as_raw() as libc::id_t)
        } else {
            (libc::P_PID, self.pid as libc::id_t)
        }
    }
}

/// How a child has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// It exited with this status.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// Somebody else has reaped it, or the system did because `SIGCHLD` is ignored (FAULTS R-02).
    Unknown,
}

/// Tells whether it is the answer to a signal for a process that is no more.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ESRCH)
}

/// Opens `/dev/null`, which no program gets unless it is arranged so.
pub(super) fn open_null() -> io::Result<Fd> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    Ok(Fd::from_raw(null.into_raw_fd()))
}

/// Reaps a child that has exited; `None` for one that runs, or is stopped (FAULTS R-09).
pub(super) fn try_wait(child: Child) -> io::Result<Option<Exit>> {
    let exit = wait_for(child, libc::WEXITED | libc::WNOHANG)?;
    if exit.is_some() {
        awaited::forget(child.pid);
    }
    Ok(exit)
}

fn wait_for(child: Child, options: i32) -> io::Result<Option<Exit>> {
    let (by, id) = child.id();
    match wait(by, id, options) {
        // Linux 5.3 has pidfds and can't wait by them. The child was not reaped, so it has its number.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) && child.has_pidfd => {
            wait(libc::P_PID, child.pid as libc::id_t, options)
        }
        answer => answer,
    }
}

/// Sends a signal. The caller knows that the child was not reaped by it.
///
/// # Errors
/// `ESRCH` if somebody else has; else as `pidfd_send_signal`.
pub(super) fn send_signal(child: Child, signal: i32) -> io::Result<()> {
    if child.has_pidfd {
        let none = core::ptr::null::<libc::siginfo_t>();
        let fd = child.watched.as_raw();
        // SAFETY: without information about the signal there is no pointer.
        let sent = unsafe { syscall!(syscall(libc::SYS_pidfd_send_signal, fd, signal, none, 0)) };
        match sent {
            Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {}
            sent => return sent.map(drop),
        }
    }
    // SAFETY: no pointers.
    unsafe { syscall!(kill(child.pid, signal)) }.map(drop)
}

/// Is how long [`reap_killed`] waits itself.
const DEATH_MAX: Duration = Duration::from_secs(1);

/// Reaps a child that was killed, and closes what watches it. One that doesn't die within a second, as
/// the system can't end a read from a dead disk, is left to a thread.
pub(super) fn reap_killed(child: Child) -> Option<Exit> {
    let mut poll = libc::pollfd { fd: child.watched.as_raw(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, good for reading and writing. Interrupted, it only waits for less.
    unsafe { libc::poll(&raw mut poll, 1, DEATH_MAX.as_millis() as libc::c_int) };
    let exit = try_wait(child);
    match exit {
        Ok(None) => reap_later(child),
        _ => super::socket::close(child.watched),
    }
    exit.ok().flatten()
}

/// Has a thread reap a child whenever it exits, so that it leaves no zombie behind although nobody
/// waits for it here any more.
pub(super) fn reap_later(child: Child) {
    let reap = move || {
        let _ = wait_for(child, libc::WEXITED);
        awaited::forget(child.pid);
        super::socket::close(child.watched);
    };
    let name = format!("rondel-reap-{}", child.pid);
    if thread::Builder::new().name(name).stack_size(watcher::STACK_BYTES).spawn(reap).is_err() {
        log::warn!("no thread to reap process {}: it will stay a zombie", child.pid);
        awaited::forget(child.pid);
        super::socket::close(child.watched);
    }
}

/// Waits for a child that failed before it was a program, and is therefore ending.
fn reap_failed(pid: libc::pid_t) {
    let _ = wait(libc::P_PID, pid as libc::id_t, libc::WEXITED);
}

fn wait(by: libc::idtype_t, id: libc::id_t, options: i32) -> io::Result<Option<Exit>> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: room for the answer.
    let waited = retry(|| unsafe { syscall!(waitid(by, id, info.as_mut_ptr(), options)) });
    match waited {
        Ok(_) => {}
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => return Ok(Some(Exit::Unknown)),
        Err(error) => return Err(error),
    }
    // SAFETY: numbers, zero at first.
    let info = unsafe { info.assume_init() };
    // SAFETY: `waitid` fills these in, or leaves zeros when no child has exited.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    Ok(match info.si_code {
        _ if pid == 0 => None,
        libc::CLD_EXITED => Some(Exit::Code(status)),
        libc::CLD_KILLED | libc::CLD_DUMPED => Some(Exit::Signal(status)),
        _ => None,
    })
}

//! The parent's side of a start.
//!
//! The child shares our memory until it is its program, and we stand still until then: no page is
//! copied, and errors come back in memory. That is `vfork`, by `clone`, on a stack of its own, with
//! a pidfd as part of the same call. Where that is refused it is a `fork`, with the same code.

use core::ptr;
use core::sync::atomic::{AtomicI32, Ordering};
use std::io;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};

use super::super::fd::Fd;
use super::super::syscall::syscall;
use super::awaited::Starting;
use super::birth::become_program;
use super::command::Command;
use super::report::{Report, SpawnError, Stage};
use super::{Child, reap_failed, send_signal, watcher};

/// What tells that a child has exited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::sys) enum WaitBy {
    /// A pidfd, and a thread only where the system has none.
    Pidfd,
    /// A thread, as where the system has no pidfd.
    Thread,
}

/// Starts a child, and returns when it is its program, or when that has failed: then nothing is left.
///
/// # Errors
/// What failed, and how: `EAGAIN` for too many processes, `EMFILE`, and what `execve` answers.
pub(in crate::sys) fn spawn(command: &Command, wait_by: WaitBy) -> Result<Child, SpawnError> {
    let started = Start::new(command, Report::new())?.begin(wait_by, |start| start.vfork(wait_by));
    match started {
        Err(SpawnError { stage: Stage::Clone, error }) if is_refusal(&error) => fork(command, wait_by),
        started => started,
    }
}

/// As [`spawn`], by a `fork`.
pub(super) fn fork(command: &Command, wait_by: WaitBy) -> Result<Child, SpawnError> {
    Start::new(command, Report::of_fork())?.begin(wait_by, Start::fork)
}

/// Tells whether the system doesn't want a child that shares our memory.
fn is_refusal(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM | libc::EINVAL))
}

/// A child that exists.
struct Started {
    pid: libc::pid_t,
    pidfd: Option<OwnedFd>,
}

/// What a child is given; it finds it in our memory or in its copy.
struct Start<'a> {
    command: &'a Command,
    parent: libc::pid_t,
    report: Report,
}

/// Is the size of the child's stack in bytes, many times of what it uses.
const STACK_BYTES: usize = 64 * 1024;

impl<'a> Start<'a> {
    fn new(command: &'a Command, report: io::Result<Report>) -> Result<Self, SpawnError> {
        let report = report.map_err(SpawnError::at(Stage::Prepare))?;
        Ok(Self { command, parent: std::process::id() as libc::pid_t, report })
    }

    /// Makes the child, by whatever means, and hears what has become of it.
    fn begin(
        self,
        wait_by: WaitBy,
        create: impl FnOnce(&Self) -> io::Result<Started>,
    ) -> Result<Child, SpawnError> {
        let starting = Starting::new();
        let blocked = SignalsBlocked::new();
        let started = create(&self).map_err(SpawnError::at(Stage::Clone));
        drop(blocked);
        let started = started?;
        if let Some(failure) = self.report.read() {
            reap_failed(started.pid);
            return Err(failure.into());
        }
        let child = watch(started, wait_by).map_err(SpawnError::at(Stage::Watch))?;
        starting.note(child.pid);
        Ok(child)
    }

    /// Makes a child in our memory.
    ///
    /// # Errors
    /// As `clone`.
    fn vfork(&self, wait_by: WaitBy) -> io::Result<Started> {
        let mut stack: Vec<u128> = Vec::new();
        if stack.try_reserve_exact(STACK_BYTES / size_of::<u128>()).is_err() {
            return Err(io::Error::from_raw_os_error(libc::ENOMEM));
        }
        // The stack grows downwards, and a `u128` is aligned as stacks have to be.
        let top = stack.spare_capacity_mut().as_mut_ptr_range().end;
        let pidfd = AtomicI32::new(NO_PIDFD);
        let start = ptr::from_ref(self).cast_mut().cast();
        let clone = |extra: i32| {
            let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD | extra;
            // SAFETY: the stack is ours and large enough; it, `start` and `pidfd` outlive the call, and
            // the call outlives the child's use of our memory.
            unsafe { syscall!(clone(live, top.cast(), flags, start, pidfd.as_ptr())) }
        };
        let wanted = if wait_by == WaitBy::Pidfd { libc::CLONE_PIDFD } else { 0 };
        let pid = clone(wanted).or_else(|error| match error.raw_os_error() {
            // Knows of no pidfd at a creation, and says so.
            Some(libc::EINVAL) if wanted != 0 => clone(0),
            _ => Err(error),
        })?;
        Ok(Started { pid, pidfd: taken(pidfd.load(Ordering::Relaxed)) })
    }

    /// Makes a child in a copy of our memory.
    ///
    /// # Errors
    /// As `fork`.
    fn fork(&self) -> io::Result<Started> {
        // SAFETY: the child makes system calls alone.
        let pid = unsafe { syscall!(fork()) }?;
        if pid == 0 {
            live(ptr::from_ref(self).cast_mut().cast());
        }
        Ok(Started { pid, pidfd: None })
    }
}

/// Is the child's life until it is a program, or ends.
extern "C" fn live(start: *mut libc::c_void) -> libc::c_int {
    // SAFETY: a `Start` that outlives the child's use of this memory, and that nobody changes.
    let start = unsafe { &*start.cast::<Start<'_>>() };
    start.report.reach();
    start.report.fail(become_program(start.command, start.parent));
    // SAFETY: ends this process, without any of the parent's destructors.
    unsafe { libc::_exit(127) }
}

/// Stands where `clone` has written no pidfd: a system that doesn't know the flag may ignore it.
const NO_PIDFD: i32 = -1;

/// Takes what `clone` has written. An emulator that can't get one writes 0, which may be a number like
/// any other: a signal that isn't one tells.
fn taken(pidfd: i32) -> Option<OwnedFd> {
    let none = ptr::null::<libc::siginfo_t>();
    // SAFETY: no pointers.
    let is_one = || unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd, 0, none, 0) } != -1;
    if pidfd == NO_PIDFD || (pidfd == 0 && !is_one()) {
        return None;
    }
    // SAFETY: made by `clone`, and nobody else's.
    Some(unsafe { OwnedFd::from_raw_fd(pidfd) })
}

/// Finds what tells that a child has exited. It is ours and was not waited for, so its number is its own.
fn watch(started: Started, wait_by: WaitBy) -> io::Result<Child> {
    let pid = started.pid;
    let pidfd = match started.pidfd {
        Some(pidfd) => Ok(Some(pidfd)),
        None if wait_by == WaitBy::Thread => Ok(None),
        None => open_pidfd(pid),
    };
    let watched = pidfd.and_then(|pidfd| match pidfd {
        Some(pidfd) => Ok(Child { pid, watched: Fd::from_raw(pidfd.into_raw_fd()), has_pidfd: true }),
        None => Ok(Child { pid, watched: watcher::watch(pid)?, has_pidfd: false }),
    });
    watched.inspect_err(|_| {
        let _ = send_signal(Child { pid, watched: Fd::NONE, has_pidfd: false }, libc::SIGKILL);
        reap_failed(pid);
    })
}

/// Opens a pidfd; `None` where the system has none.
///
/// # Errors
/// As `pidfd_open`, `EMFILE` included.
fn open_pidfd(pid: libc::pid_t) -> io::Result<Option<OwnedFd>> {
    // SAFETY: no pointers.
    match unsafe { syscall!(syscall(libc::SYS_pidfd_open, pid, 0)) } {
        // SAFETY: made above and nobody else's.
        Ok(fd) => Ok(Some(unsafe { OwnedFd::from_raw_fd(fd as i32) })),
        // A sandbox says `EPERM`; `ESRCH` is a child that the system has reaped itself.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM | libc::ESRCH)) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Makes a pipe that a program doesn't get: its end to read from, and that to write to.
///
/// # Errors
/// As `pipe2`.
pub(super) fn pipe(flags: i32) -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [-1; 2];
    // SAFETY: room for two numbers.
    unsafe { syscall!(pipe2(fds.as_mut_ptr(), flags | libc::O_CLOEXEC)) }?;
    // SAFETY: made above and nobody else's.
    Ok(unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) })
}

/// Blocks the signals of `mask`, a bit for each, and no others for the thread; returns those that were
/// blocked before. By the kernel's own call: libc keeps some signals out of it.
pub(super) fn set_signal_mask(mask: u64) -> u64 {
    let mut former = 0_u64;
    let (new, old) = (ptr::from_ref(&mask), ptr::from_mut(&mut former));
    // SAFETY: 8 bytes good for reading, and as many for writing.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, new, old, size_of::<u64>()) };
    former
}

/// Blocks all signals until it is dropped (FAULTS R-06, G-06).
struct SignalsBlocked(u64);

impl SignalsBlocked {
    fn new() -> Self {
        Self(set_signal_mask(u64::MAX))
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        set_signal_mask(self.0);
    }
}

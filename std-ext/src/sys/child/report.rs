//! How a child tells its parent that it did not become its program.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, Ordering};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::super::syscall::syscall;

/// What a start consists of, for messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Stage {
    Prepare,
    Clone,
    Watch,
    Session,
    ProcessGroup,
    Stdio,
    Limits,
    Groups,
    Gid,
    Uid,
    Directory,
    ParentDeath,
    Execute,
}

impl Stage {
    const ALL: [Self; 13] = [
        Self::Prepare,
        Self::Clone,
        Self::Watch,
        Self::Session,
        Self::ProcessGroup,
        Self::Stdio,
        Self::Limits,
        Self::Groups,
        Self::Gid,
        Self::Uid,
        Self::Directory,
        Self::ParentDeath,
        Self::Execute,
    ];

    /// Returns the name of what failed.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Prepare => "preparing a child process",
            Self::Clone => "clone",
            Self::Watch => "watching a child process",
            Self::Session => "setsid",
            Self::ProcessGroup => "setpgid",
            Self::Stdio => "arranging standard input and output",
            Self::Limits => "setrlimit",
            Self::Groups => "setgroups",
            Self::Gid => "setgid",
            Self::Uid => "setuid",
            Self::Directory => "chdir",
            Self::ParentDeath => "prctl(PR_SET_PDEATHSIG)",
            Self::Execute => "execve",
        }
    }
}

/// Says why there is no child: what failed, and how.
#[derive(Debug)]
pub(crate) struct SpawnError {
    pub(crate) stage: Stage,
    pub(crate) error: io::Error,
}

impl SpawnError {
    pub(in crate::sys) fn at(stage: Stage) -> impl FnOnce(io::Error) -> Self {
        move |error| Self { stage, error }
    }
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.stage.name(), self.error)
    }
}

/// What a child failed at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure {
    pub(super) stage: Stage,
    pub(super) errno: i32,
}

impl From<Failure> for SpawnError {
    fn from(failure: Failure) -> Self {
        Self { stage: failure.stage, error: io::Error::from_raw_os_error(failure.errno) }
    }
}

/// Tells, once a child has shown it, that it shares the memory of its parent: then no pipe is needed.
static SHARES_MEMORY: AtomicBool = AtomicBool::new(false);

/// Is where a child leaves what it failed at: in memory if it shares ours, and else in a pipe. An
/// emulator such as qemu-user makes a fork of a vfork, and there is no way to know but to look.
pub(super) struct Report {
    was_reached: AtomicBool,
    has_failed: AtomicBool,
    stage: AtomicU8,
    errno: AtomicI32,
    pipe: Option<(File, OwnedFd)>,
}

impl Report {
    /// Makes one, with a pipe unless children are known to share the memory.
    ///
    /// # Errors
    /// As `pipe2`.
    pub(super) fn new() -> io::Result<Self> {
        let pipe = if SHARES_MEMORY.load(Ordering::Relaxed) { None } else { Some(pipe()?) };
        Ok(Self {
            was_reached: AtomicBool::new(false),
            has_failed: AtomicBool::new(false),
            stage: AtomicU8::new(0),
            errno: AtomicI32::new(0),
            pipe,
        })
    }

    /// Makes one with a pipe, for a child that is a fork.
    pub(super) fn of_fork() -> io::Result<Self> {
        let report = Self::new()?;
        let pipe = if report.pipe.is_none() { Some(pipe()?) } else { None };
        Ok(Self { pipe: report.pipe.or(pipe), ..report })
    }

    /// Notes that the child runs. The child's side: no more than a store.
    pub(super) fn reach(&self) {
        self.was_reached.store(true, Ordering::Relaxed);
    }

    /// Leaves what the child failed at. The child's side: stores and one `write`.
    pub(super) fn fail(&self, failure: Failure) {
        self.stage.store(failure.stage as u8, Ordering::Relaxed);
        self.errno.store(failure.errno, Ordering::Relaxed);
        self.has_failed.store(true, Ordering::Relaxed);
        if let Some((_, writer)) = &self.pipe {
            let mut message = [failure.stage as u8; 5];
            message[1..].copy_from_slice(&failure.errno.to_ne_bytes());
            // SAFETY: the pointer is good for reading its length. So little fits into an empty pipe.
            unsafe { libc::write(writer.as_raw_fd(), message.as_ptr().cast(), message.len()) };
        }
    }

    /// Returns what the child failed at; `None` if it is its program now. Waits until it is decided.
    pub(super) fn read(self) -> Option<Failure> {
        if self.was_reached.load(Ordering::Relaxed) {
            SHARES_MEMORY.store(true, Ordering::Relaxed);
            let failure = failure(self.stage.into_inner(), self.errno.into_inner());
            return self.has_failed.into_inner().then_some(failure);
        }
        let (mut reader, writer) = self.pipe?;
        drop(writer);
        let mut message = [0; 5];
        reader.read_exact(&mut message).ok()?;
        let [stage, errno @ ..] = message;
        Some(failure(stage, i32::from_ne_bytes(errno)))
    }
}

fn failure(stage: u8, errno: i32) -> Failure {
    let stage = Stage::ALL.get(usize::from(stage)).copied().unwrap_or(Stage::Execute);
    Failure { stage, errno }
}

/// Makes a pipe whose ends a program doesn't get. The child arranges 0, 1 and 2, so it writes to none
/// of these.
fn pipe() -> io::Result<(File, OwnedFd)> {
    let (reader, writer) = super::spawn::pipe(0)?;
    // SAFETY: no pointers.
    let writer = unsafe { syscall!(fcntl(writer.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3)) }?;
    // SAFETY: made above and nobody else's.
    Ok((reader.into(), unsafe { OwnedFd::from_raw_fd(writer) }))
}

//! Children, as a kernel has them.

use core::ops::Deref;
use std::io;

use super::child::{self, Child, Command, Exit, SpawnError, Stage, WaitBy};
use super::fd::Fd;
use super::kernel::unsupported;

/// Starts children, waits for them and signals them. By default there are none.
pub(crate) trait Processes {
    /// Starts a child, which is its program when this returns. What fails in between fails here, and
    /// leaves neither a process nor a descriptor.
    ///
    /// # Errors
    /// As `clone` and `execve`, and as each call that the command asks for.
    fn spawn(&self, command: &Command) -> Result<Child, SpawnError> {
        let _ = command;
        unsupported("spawn").map_err(SpawnError::at(Stage::Clone))
    }

    /// Reaps a child that has exited; `None` for one that runs.
    ///
    /// # Errors
    /// As `waitid`; that somebody else has reaped it is [`Exit::Unknown`].
    fn try_wait(&self, child: Child) -> io::Result<Option<Exit>> {
        let _ = child;
        unsupported("waitid")
    }

    /// Sends a signal to a child that was not reaped.
    ///
    /// # Errors
    /// `ESRCH` if somebody else has reaped it; else as `pidfd_send_signal`.
    fn signal_child(&self, child: Child, signal: i32) -> io::Result<()> {
        let _ = (child, signal);
        unsupported("pidfd_send_signal")
    }

    /// Reaps a child that was killed, and closes what watches it; after a second in a thread, and then
    /// nobody knows how it ended.
    fn reap_killed(&self, child: Child) -> Option<Exit> {
        let _ = child;
        None
    }

    /// Has a thread reap a child whenever it exits, and close what watches it.
    fn reap_later(&self, child: Child) {
        let _ = child;
    }

    /// Reaps the children of the process that have exited and that nobody here waits for. Those that
    /// are `spared` stay, and leave the list when they are no children any more.
    fn reap_orphans(&self, spared: &mut Vec<i32>) -> Vec<(i32, Exit)> {
        let _ = spared;
        Vec::new()
    }

    /// Chooses whether the process becomes the parent of what its descendants leave behind.
    ///
    /// # Errors
    /// As `prctl(PR_SET_CHILD_SUBREAPER)`.
    fn set_child_subreaper(&self, is_subreaper: bool) -> io::Result<()> {
        let _ = is_subreaper;
        unsupported("prctl")
    }

    /// Opens `/dev/null`, for both directions.
    ///
    /// # Errors
    /// As `open`.
    fn open_null(&self) -> io::Result<Fd> {
        unsupported("open")
    }
}

/// By whom a kernel's children are started. A name for the operating system, so that a program without
/// children doesn't link what that takes.
pub(crate) enum ProcessSource<'a> {
    /// The operating system.
    System,
    /// The kernel itself.
    Kernel(&'a dyn Processes),
}

impl<'a> Deref for ProcessSource<'a> {
    type Target = dyn Processes + 'a;

    fn deref(&self) -> &Self::Target {
        match *self {
            Self::System => &RealProcesses,
            Self::Kernel(processes) => processes,
        }
    }
}

/// Children of the operating system's.
pub(super) struct RealProcesses;

impl Processes for RealProcesses {
    fn spawn(&self, command: &Command) -> Result<Child, SpawnError> {
        child::spawn(command, WaitBy::Pidfd)
    }

    fn try_wait(&self, child: Child) -> io::Result<Option<Exit>> {
        child::try_wait(child)
    }

    fn signal_child(&self, child: Child, signal: i32) -> io::Result<()> {
        child::send_signal(child, signal)
    }

    fn reap_killed(&self, child: Child) -> Option<Exit> {
        child::reap_killed(child)
    }

    fn reap_later(&self, child: Child) {
        child::reap_later(child);
    }

    fn reap_orphans(&self, spared: &mut Vec<i32>) -> Vec<(i32, Exit)> {
        child::reap_orphans(spared)
    }

    fn set_child_subreaper(&self, is_subreaper: bool) -> io::Result<()> {
        child::set_subreaper(is_subreaper)
    }

    fn open_null(&self) -> io::Result<Fd> {
        child::open_null()
    }
}

/// Has no children.
pub(super) struct NoProcesses;

impl Processes for NoProcesses {}

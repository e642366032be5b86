//! A child process, for tasks.

use core::fmt;
use std::rc::Rc;

use super::child::Child;
use super::communicate::Gathered;
use super::pipes::OurEnds;
use super::status::ExitStatus;
use crate::streams::{self, StreamReader, StreamWriter};
use crate::{EventLoopHandle, Result};

/// A child process, by [`create_subprocess_exec`](EventLoopHandle::create_subprocess_exec) or
/// [`create_subprocess_shell`](EventLoopHandle::create_subprocess_shell).
///
/// The loop waits for the process whatever becomes of this: dropped, it lets the
/// process run on, and no zombie is left when that ends. What still runs when the loop is closed is
/// killed then, unless it was [detached](Self::detach).
///
/// Its pipes are fields, to be used where they are or taken out; each is closed when it is dropped.
/// A process whose output nobody reads stops when the pipe is full:
/// [`communicate`](Self::communicate) writes and reads at the same time.
///
/// # Python
/// `asyncio.subprocess.Process`. There a process whose transport is collected is killed too, with a
/// warning, whenever that may be.
pub struct Process {
    /// Writes to the standard input, if that is [a pipe](crate::Stdio::pipe). Drop it, or close it, and
    /// the process reads the end.
    pub stdin: Option<StreamWriter>,
    /// Reads from the standard output, if that is a pipe.
    pub stdout: Option<StreamReader>,
    /// Reads from the standard error, if that is a pipe.
    pub stderr: Option<StreamReader>,
    pub(super) gathered: Gathered,
    child: Rc<Child>,
    kill_on_drop: bool,
}

impl Process {
    pub(super) fn new(child: Rc<Child>, ours: OurEnds, limit: usize, kill_on_drop: bool) -> Self {
        Self {
            stdin: ours.stdin.map(streams::writer),
            stdout: ours.stdout.map(|pipe| streams::reader(pipe, limit)),
            stderr: ours.stderr.map(|pipe| streams::reader(pipe, limit)),
            gathered: Gathered::default(),
            child,
            kill_on_drop,
        }
    }

    /// Returns the loop.
    #[must_use]
    pub fn event_loop(&self) -> &EventLoopHandle {
        self.child.event_loop()
    }

    /// Returns the number of the process. When it has exited, that may be another's; signals are sent
    /// by [`send_signal`](Self::send_signal), which knows.
    ///
    /// # Python
    /// `process.pid`.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.pid().unsigned_abs()
    }

    /// Returns how the process has ended; `None` as long as the loop has not seen that it has.
    ///
    /// # Python
    /// `process.returncode`, which is [`ExitStatus::returncode`].
    #[must_use]
    pub fn returncode(&self) -> Option<ExitStatus> {
        self.child.status()
    }

    /// Waits until the process has exited, whoever else holds its pipes (FAULTS R-04); any number of
    /// times, from any number of tasks.
    ///
    /// ```
    /// # rondel::run(async |event_loop| {
    /// let process = event_loop.create_subprocess_shell("exit 3").await?;
    /// assert_eq!(process.wait().await?.code(), Some(3));
    /// # Ok(())
    /// # })?;
    /// # Ok::<(), rondel::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the task is cancelled, or the loop closed before.
    ///
    /// # Cancellation
    /// Safe: the process runs on and can be waited for again (contract SB-11).
    ///
    /// # Python
    /// `await process.wait()`.
    pub async fn wait(&self) -> Result<ExitStatus> {
        self.child.wait().await
    }

    /// Sends a signal to the process: to it and to no other, whoever may have its number (contract
    /// SB-9, FAULTS R-01).
    ///
    /// # Errors
    /// `Io` with `NotFound` if it has exited; as `pidfd_send_signal`, so `InvalidInput` for a number
    /// that is no signal.
    ///
    /// # Python
    /// `process.send_signal(signal)`, which raises `ProcessLookupError`.
    pub fn send_signal(&self, signal: impl Into<i32>) -> Result<()> {
        self.child.send_signal(signal.into())
    }

    /// Asks the process to end, by `SIGTERM`.
    ///
    /// # Errors
    /// As [`send_signal`](Self::send_signal).
    ///
    /// # Python
    /// `process.terminate()`.
    pub fn terminate(&self) -> Result<()> {
        self.child.send_signal(crate::sys::child::SIGTERM)
    }

    /// Ends the process, by `SIGKILL`.
    ///
    /// # Errors
    /// As [`send_signal`](Self::send_signal).
    ///
    /// # Python
    /// `process.kill()`.
    pub fn kill(&self) -> Result<()> {
        self.child.send_signal(crate::sys::child::SIGKILL)
    }

    /// Lets the process run on when this is dropped and when the loop is closed. A thread waits for it
    /// from then on, so that it doesn't become a zombie.
    ///
    /// # Python
    /// None.
    pub fn detach(mut self) {
        self.kill_on_drop = false;
        self.child.outlive_loop();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.kill_on_drop {
            self.child.kill();
        }
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Process({:?})", self.child)
    }
}

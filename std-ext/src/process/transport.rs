//! Transports of child processes.

use core::fmt;
use std::rc::Rc;

use super::status::ExitStatus;
use super::subprocess::{STDERR, STDIN, STDOUT, Subprocess};
use crate::pipe::transport::{ReadTransport, WriteTransport};
use crate::sys::child::{SIGKILL, SIGTERM};
use crate::{EventLoopHandle, Result};

/// A child process, as its protocol sees it. Cheap to clone.
///
/// The loop owns it: the process and its pipes live until they end or are closed, whether anybody
/// holds a `SubprocessTransport` or not.
///
/// # Python
/// `asyncio.SubprocessTransport`.
#[derive(Clone)]
pub struct SubprocessTransport(Rc<Subprocess>);

impl SubprocessTransport {
    pub(super) fn new(subprocess: Rc<Subprocess>) -> Self {
        Self(subprocess)
    }

    /// Has the protocol told of the process, which was started, and waits until it was.
    pub(super) async fn made(&self) -> Result<()> {
        self.0.made().await
    }

    /// Returns the loop.
    #[must_use]
    pub fn event_loop(&self) -> &EventLoopHandle {
        self.0.child().event_loop()
    }

    /// Returns the number of the process. When it has exited, that may be another's; signals are sent
    /// by [`send_signal`](Self::send_signal), which knows.
    ///
    /// # Python
    /// `transport.get_pid()`.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.child().pid().unsigned_abs()
    }

    /// Returns how the process has ended; `None` as long as the loop has not seen that it has.
    ///
    /// # Python
    /// `transport.get_returncode()`, which is [`ExitStatus::returncode`].
    #[must_use]
    pub fn returncode(&self) -> Option<ExitStatus> {
        self.0.child().status()
    }

    /// Waits until the process has exited.
    ///
    /// # Errors
    /// If the task is cancelled, or the loop closed before.
    ///
    /// # Cancellation
    /// Safe: the process runs on.
    ///
    /// # Python
    /// None, without `Process`.
    pub async fn wait(&self) -> Result<ExitStatus> {
        self.0.child().wait().await
    }

    /// Returns the transport of the pipe to the standard input, if it is one.
    ///
    /// # Python
    /// `transport.get_pipe_transport(0)`.
    #[must_use]
    pub fn stdin(&self) -> Option<WriteTransport> {
        Some(WriteTransport::of(&self.0.pipe(STDIN)?))
    }

    /// Returns the transport of the pipe from the standard output, if it is one.
    ///
    /// # Python
    /// `transport.get_pipe_transport(1)`.
    #[must_use]
    pub fn stdout(&self) -> Option<ReadTransport> {
        Some(ReadTransport::of(&self.0.pipe(STDOUT)?))
    }

    /// Returns the transport of the pipe from the standard error, if it is one.
    ///
    /// # Python
    /// `transport.get_pipe_transport(2)`.
    #[must_use]
    pub fn stderr(&self) -> Option<ReadTransport> {
        Some(ReadTransport::of(&self.0.pipe(STDERR)?))
    }

    /// Sends a signal to the process: to it and to no other, whoever may have its number (contract
    /// SB-9).
    ///
    /// # Errors
    /// `Io` with `NotFound` if it has exited; as `pidfd_send_signal`, so `InvalidInput` for a number
    /// that is no signal.
    ///
    /// # Python
    /// `transport.send_signal(signal)`, which raises `ProcessLookupError`.
    pub fn send_signal(&self, signal: impl Into<i32>) -> Result<()> {
        self.0.child().send_signal(signal.into())
    }

    /// Asks the process to end, by `SIGTERM`.
    ///
    /// # Errors
    /// As [`send_signal`](Self::send_signal).
    ///
    /// # Python
    /// `transport.terminate()`.
    pub fn terminate(&self) -> Result<()> {
        self.send_signal(SIGTERM)
    }

    /// Ends the process, by `SIGKILL`.
    ///
    /// # Errors
    /// As [`send_signal`](Self::send_signal).
    ///
    /// # Python
    /// `transport.kill()`.
    pub fn kill(&self) -> Result<()> {
        self.send_signal(SIGKILL)
    }

    /// Ends the process if it runs, and closes the pipes, without what is still to be written; the
    /// protocol is told of all that in later turns. A second call does nothing (contract SB-8).
    ///
    /// # Python
    /// `transport.close()`.
    pub fn close(&self) {
        self.0.close();
    }

    /// Tells whether the transport is closing, or closed.
    ///
    /// # Python
    /// `transport.is_closing()`.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.0.is_closing()
    }
}

impl fmt::Debug for SubprocessTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubprocessTransport({:?})", self.0.child())
    }
}

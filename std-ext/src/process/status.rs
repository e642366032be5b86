//! How a process has ended.

use core::fmt;

use crate::sys::child::Exit;

/// How a child process has ended.
///
/// # Python
/// The integer `returncode`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ExitStatus {
    /// It exited by itself, with this code, 0 to 255.
    Code(i32),
    /// It was ended by this signal.
    Signal(i32),
    /// Nobody knows: somebody else in the process has waited for it, or the system has, because
    /// `SIGCHLD` is ignored (FAULTS R-02).
    Unknown,
}

impl ExitStatus {
    /// Tells whether it exited with 0.
    #[must_use]
    pub const fn success(self) -> bool {
        matches!(self, Self::Code(0))
    }

    /// Returns the code that it exited with, if it did.
    #[must_use]
    pub const fn code(self) -> Option<i32> {
        if let Self::Code(code) = self { Some(code) } else { None }
    }

    /// Returns the number of the signal that ended it, if one did.
    #[must_use]
    pub const fn signal(self) -> Option<i32> {
        if let Self::Signal(signal) = self { Some(signal) } else { None }
    }

    /// Returns it as one number: the code, or minus the signal, or 255 if nobody knows (contract SB-7).
    ///
    /// # Python
    /// `process.returncode`.
    #[must_use]
    pub const fn returncode(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => -signal,
            Self::Unknown => 255,
        }
    }
}

impl From<Exit> for ExitStatus {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Code(code) => Self::Code(code),
            Exit::Signal(signal) => Self::Signal(signal),
            Exit::Unknown => Self::Unknown,
        }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with {code}"),
            Self::Signal(signal) => write!(f, "ended by signal {signal}"),
            Self::Unknown => f.write_str("ended, nobody knows how"),
        }
    }
}

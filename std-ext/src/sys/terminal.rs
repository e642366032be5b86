//! Terminals: their modes.

#![allow(unsafe_code, reason = "this is where libc is called")]

use core::fmt;
use core::mem::MaybeUninit;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::syscall::{retry, syscall};

/// How a terminal treats what is typed and printed.
#[derive(Clone, Copy)]
pub(crate) struct TerminalMode(libc::termios);

impl TerminalMode {
    /// Reads the mode of a terminal.
    ///
    /// # Errors
    /// `ENOTTY` if it is none.
    pub(crate) fn of(terminal: BorrowedFd<'_>) -> io::Result<Self> {
        let mut mode = MaybeUninit::<libc::termios>::zeroed();
        // SAFETY: `mode` is good for writing.
        retry(|| unsafe { syscall!(tcgetattr(terminal.as_raw_fd(), mode.as_mut_ptr())) })?;
        // SAFETY: all zeros is a mode, and the system filled it.
        Ok(Self(unsafe { mode.assume_init() }))
    }

    /// Returns the mode in which keys arrive as they are pressed, without echo, and neither they nor
    /// what is printed mean anything to the terminal (termios(3), "Raw mode").
    #[must_use]
    pub(crate) fn raw(self) -> Self {
        let mut raw = self.0;
        // SAFETY: `raw` is a mode.
        unsafe { libc::cfmakeraw(&raw mut raw) };
        Self(raw).a_key_at_a_time()
    }

    /// Returns the mode in which keys arrive as they are pressed, without echo; those that raise
    /// signals still do.
    #[must_use]
    pub(crate) fn cbreak(self) -> Self {
        let mut cbreak = self.0;
        cbreak.c_lflag &= !(libc::ICANON | libc::ECHO);
        Self(cbreak).a_key_at_a_time()
    }

    fn a_key_at_a_time(mut self) -> Self {
        self.0.c_cc[libc::VMIN] = 1;
        self.0.c_cc[libc::VTIME] = 0;
        self
    }

    /// Gives a terminal this mode; what was typed and not read is dropped if `flushes`.
    ///
    /// # Errors
    /// As `tcsetattr`.
    pub(crate) fn apply(&self, terminal: BorrowedFd<'_>, flushes: bool) -> io::Result<()> {
        let when = if flushes { libc::TCSAFLUSH } else { libc::TCSANOW };
        // SAFETY: the mode is good for reading.
        retry(|| unsafe { syscall!(tcsetattr(terminal.as_raw_fd(), when, &raw const self.0)) }).map(drop)
    }
}

impl fmt::Debug for TerminalMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TerminalMode")
    }
}

//! Terminals that give each key as it is pressed, for a while.

use std::os::fd::{AsFd, OwnedFd};

use crate::Result;
use crate::sys::terminal::TerminalMode;

/// A terminal in another mode; dropped, it gives the terminal back exactly the mode
/// that it had.
///
/// The mode belongs to the terminal and not to a descriptor or a process: whoever uses
/// it meanwhile has it too, and it stays if the process is killed.
///
/// ```no_run
/// use rondel::RawTerminal;
///
/// rondel::run(async |event_loop| {
///     let _raw = RawTerminal::cbreak(std::io::stdin())?;
///     let mut input = event_loop.open_stdin().await?;
///     let mut key = [0];
///     while input.read(&mut key).await? == 1 && key != *b"q" {
///         println!("{}", key.escape_ascii());
///     }
///     Ok(())
/// })?;
/// # Ok::<(), rondel::Error>(())
/// ```
///
/// # Python
/// `tty.setraw` and `tty.setcbreak`, with `termios.tcgetattr` before and
/// `termios.tcsetattr` afterwards.
#[derive(Debug)]
#[must_use = "dropped, it gives the terminal back its mode"]
pub struct RawTerminal {
    terminal: OwnedFd,
    former: TerminalMode,
}

impl RawTerminal {
    /// Has each key arrive as it is pressed, without echo; none of them raises a
    /// signal, and what is printed needs its own `\r` (termios(3), "Raw mode"). What
    /// was typed before and not read is dropped.
    ///
    /// # Errors
    /// `ENOTTY` if it is no terminal; as `dup` and `tcsetattr`.
    ///
    /// # Python
    /// `tty.setraw(fd)`.
    pub fn raw(terminal: impl AsFd) -> Result<Self> {
        Self::new(terminal, TerminalMode::raw)
    }

    /// Has each key arrive as it is pressed, without echo; those that raise signals,
    /// such as Ctrl-C, still do. What was typed before and not read is dropped.
    ///
    /// # Errors
    /// As [`raw`](Self::raw).
    ///
    /// # Python
    /// `tty.setcbreak(fd)`.
    pub fn cbreak(terminal: impl AsFd) -> Result<Self> {
        Self::new(terminal, TerminalMode::cbreak)
    }

    fn new(terminal: impl AsFd, change: fn(TerminalMode) -> TerminalMode) -> Result<Self> {
        let terminal = terminal.as_fd().try_clone_to_owned()?;
        let former = TerminalMode::of(terminal.as_fd())?;
        // What it undoes if it fails is what it did.
        let this = Self { terminal, former };
        change(former).apply(this.terminal.as_fd(), true)?;
        Ok(this)
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        if let Err(error) = self.former.apply(self.terminal.as_fd(), false) {
            log::warn!("the mode of a terminal could not be restored: {error}");
        }
    }
}

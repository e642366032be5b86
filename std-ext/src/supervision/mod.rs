//! Life under a supervisor: what it hands over, what it wants to be told, and what the process may use.
//!
//! All of it is plain text in the environment and datagrams to a socket: nothing of systemd's is
//! linked, and other supervisors that speak the same words are served as well.

mod listen_fds;
mod notifier;
pub(crate) mod process_limits;
mod watchdog;

use std::ffi::{OsStr, OsString};

pub use listen_fds::{ListenFd, ListenFdKind, ListenFdsError, listen_fds};
pub use notifier::{Notifier, NotifyError};
pub use process_limits::{ProcessLimits, ResourceLimit};
pub use watchdog::WatchdogFeeding;

/// Reads a number out of a variable of the environment: digits alone, as systemd writes it.
fn number(text: &OsStr) -> Option<u64> {
    let text = text.to_str()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
    text.parse().ok()
}

/// Looks up a variable of the environment.
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

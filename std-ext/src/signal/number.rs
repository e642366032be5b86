//! What a signal is called, and which can be caught.

use core::error::Error;
use core::fmt;

use crate::sys::signals::number;

/// A signal that a program can catch.
///
/// `SIGKILL` and `SIGSTOP` are none of these, nor are the faults (`SIGILL`, `SIGFPE`, `SIGSEGV`,
/// `SIGBUS`), whose handler would return to what caused them, for ever; see signal(7).
///
/// ```
/// use rondel::{Signal, SignalError};
///
/// assert_eq!(Signal::from_raw(15), Ok(Signal::SIGTERM));
/// assert_eq!(Signal::from_raw(9), Err(SignalError::Uncatchable(9)));
/// assert_eq!(Signal::SIGTERM.to_string(), "SIGTERM");
/// ```
///
/// # Python
/// `signal.Signals`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(i32);

/// Writes a constant for each signal, and their names.
macro_rules! signals {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        impl Signal {
            $($(#[$doc])* pub const $name: Self = Self(number::$name);)*

            /// Returns the name of the signal; `None` for one that has none, such as a real-time signal.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

signals! {
    /// The terminal is gone; for daemons, by custom: read the configuration again.
    SIGHUP,
    /// Interrupt from the keyboard (Ctrl+C).
    SIGINT,
    /// Quit from the keyboard (Ctrl+\).
    SIGQUIT,
    /// A breakpoint.
    SIGTRAP,
    /// `abort`.
    SIGABRT,
    /// For the program's own use.
    SIGUSR1,
    /// For the program's own use.
    SIGUSR2,
    /// A pipe without a reader was written to.
    SIGPIPE,
    /// A timer of `alarm` or `setitimer`.
    SIGALRM,
    /// Please end: what `kill` sends if it isn't told otherwise.
    SIGTERM,
    /// A child has stopped or ended.
    SIGCHLD,
    /// Go on after a stop.
    SIGCONT,
    /// Stop from the keyboard (Ctrl+Z).
    SIGTSTP,
    /// A background process has read from its terminal.
    SIGTTIN,
    /// A background process has written to its terminal.
    SIGTTOU,
    /// Data out of band have come to a socket.
    SIGURG,
    /// The limit of processor time is exceeded.
    SIGXCPU,
    /// The limit of a file's size is exceeded.
    SIGXFSZ,
    /// A timer of `setitimer` that counts the process's own time.
    SIGVTALRM,
    /// A timer of `setitimer` that counts processor time.
    SIGPROF,
    /// The terminal has another size.
    SIGWINCH,
    /// A descriptor is ready, where somebody asked for this signal.
    SIGIO,
    /// The power fails.
    SIGPWR,
    /// A system call that isn't allowed.
    SIGSYS,
}

impl Signal {
    /// Returns the signal with this number.
    ///
    /// # Errors
    /// If there is no such signal, or if it can't be caught (contract SG-2).
    ///
    /// # Python
    /// `signal.Signals(number)`.
    pub fn from_raw(raw: i32) -> Result<Self, SignalError> {
        match raw {
            number::SIGKILL | number::SIGSTOP => Err(SignalError::Uncatchable(raw)),
            number::SIGILL | number::SIGFPE | number::SIGSEGV | number::SIGBUS => {
                Err(SignalError::Fault(raw))
            }
            1..=31 => Ok(Self(raw)),
            _ if number::real_time().contains(&raw) => Ok(Self(raw)),
            // Those that the C library keeps for itself.
            _ if (32..*number::real_time().start()).contains(&raw) => Err(SignalError::Uncatchable(raw)),
            _ => Err(SignalError::Invalid(raw)),
        }
    }

    /// Returns the real-time signal `SIGRTMIN + n`; there are 30 of them on most systems.
    ///
    /// # Errors
    /// If there are not so many.
    ///
    /// # Python
    /// `signal.SIGRTMIN + n`.
    pub fn real_time(n: u8) -> Result<Self, SignalError> {
        let raw = *number::real_time().start() + i32::from(n);
        if number::real_time().contains(&raw) { Ok(Self(raw)) } else { Err(SignalError::Invalid(raw)) }
    }

    /// Returns the number of the signal, as `kill` takes it.
    #[must_use]
    pub const fn as_raw(self) -> i32 {
        self.0
    }

    /// Is the signal with a number that was a `Signal`'s.
    pub(super) const fn from_bit(index: u32) -> Self {
        Self(index as i32 + 1)
    }
}

impl TryFrom<i32> for Signal {
    type Error = SignalError;

    fn try_from(raw: i32) -> Result<Self, SignalError> {
        Self::from_raw(raw)
    }
}

impl From<Signal> for i32 {
    fn from(signal: Signal) -> Self {
        signal.0
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = *number::real_time().start();
        match self.name() {
            Some(name) => f.write_str(name),
            None if self.0 >= first => write!(f, "SIGRTMIN+{}", self.0 - first),
            None => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Why a number is no [`Signal`].
///
/// # Python
/// `ValueError` for an invalid number, `RuntimeError` for one that can't be caught.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SignalError {
    /// There is no signal with this number.
    Invalid(i32),
    /// The signal can't be caught: `SIGKILL`, `SIGSTOP`, or one that the C library keeps for itself.
    Uncatchable(i32),
    /// The signal reports a fault of the program, which would happen again as soon as a handler
    /// returns. asyncio accepts it and hangs.
    Fault(i32),
}

impl fmt::Display for SignalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(raw) => write!(f, "there is no signal {raw}"),
            Self::Uncatchable(raw) => write!(f, "signal {raw} cannot be caught"),
            Self::Fault(raw) => write!(f, "signal {raw} reports a fault, to which its handler would return"),
        }
    }
}

impl Error for SignalError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_a_signal_or_an_error_and_all_have_their_own_name() {
        let raws = -3..200;
        let signals: Vec<Signal> = raws.clone().filter_map(|raw| Signal::from_raw(raw).ok()).collect();
        let names: std::collections::BTreeSet<String> = signals.iter().map(Signal::to_string).collect();
        assert_eq!(names.len(), signals.len());
        assert!(signals.iter().all(|signal| Signal::from_raw(signal.as_raw()) == Ok(*signal)));
        let errors = raws.filter_map(|raw| Signal::from_raw(raw).err());
        assert!(errors.map(|error| error.to_string()).all(|text| text.contains("signal ")));
    }
}

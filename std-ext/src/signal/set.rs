//! A set of signals.

use core::fmt;

use super::Signal;
use super::watched::{set_of, signals_of};

/// Some signals, as [`TaskWait::Signal`](crate::TaskWait::Signal) names them.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct SignalSet(u64);

impl SignalSet {
    pub(super) const fn of_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Tells whether a signal is in the set.
    #[must_use]
    pub fn contains(self, signal: Signal) -> bool {
        self.0 & set_of(signal) != 0
    }

    /// Returns the signals, in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = Signal> {
        signals_of(self.0)
    }
}

impl fmt::Display for SignalSet {
    /// Prints the names, with `or` between them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, signal) in self.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { " or " })?;
            signal.fmt(f)?;
        }
        if self.0 == 0 { f.write_str("no signal") } else { Ok(()) }
    }
}

impl fmt::Debug for SignalSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

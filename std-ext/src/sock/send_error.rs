//! The error of what is sent in parts.

use core::fmt;

use crate::Error;

/// Why not everything was sent, and how much was: the next to be sent are the
/// bytes from there on.
///
/// `N` counts bytes: of memory, or of a file.
pub struct SendError<N = usize> {
    error: Error,
    sent: N,
}

impl<N: Copy> SendError<N> {
    pub(crate) fn new(error: Error, sent: N) -> Self {
        Self { error, sent }
    }

    /// Returns the reason.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// Returns how many bytes the system has taken.
    pub fn sent(&self) -> N {
        self.sent
    }
}

impl<N: fmt::Display> fmt::Display for SendError<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, after {} bytes", self.error, self.sent)
    }
}

impl<N: fmt::Display> fmt::Debug for SendError<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SendError({:?}: {self})", self.error.kind())
    }
}

impl<N: fmt::Display> core::error::Error for SendError<N> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl<N> From<SendError<N>> for Error {
    /// Forgets how much was sent.
    fn from(error: SendError<N>) -> Self {
        error.error
    }
}

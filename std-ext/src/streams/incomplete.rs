//! A stream that ended too early.

use core::fmt;
use std::io;

use crate::Error;

/// How much there was when a stream ended before what was asked for.
///
/// # Python
/// `asyncio.IncompleteReadError`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IncompleteRead {
    pub(super) partial: usize,
    pub(super) expected: Option<usize>,
}

impl IncompleteRead {
    /// Counts the bytes that there were.
    ///
    /// # Python
    /// `len(error.partial)`.
    #[must_use]
    pub fn partial(self) -> usize {
        self.partial
    }

    /// Counts the bytes that were asked for; `None` if that was a separator.
    ///
    /// # Python
    /// `error.expected`.
    #[must_use]
    pub fn expected(self) -> Option<usize> {
        self.expected
    }
}

impl fmt::Display for IncompleteRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.expected {
            Some(expected) => write!(f, "the stream ended after {} of {expected} bytes", self.partial),
            None => write!(f, "the stream ended after {} bytes without a separator", self.partial),
        }
    }
}

impl core::error::Error for IncompleteRead {}

impl From<IncompleteRead> for Error {
    fn from(incomplete: IncompleteRead) -> Self {
        io::Error::new(io::ErrorKind::UnexpectedEof, incomplete).into()
    }
}

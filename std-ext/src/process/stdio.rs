//! What a child process has for its standard input, output and error.

use core::fmt;
use std::fs::File;
use std::os::fd::OwnedFd;

/// What a child process gets as one of its three standard descriptors.
///
/// Files and whatever else has a descriptor become one by `into`. That descriptor is closed here when
/// the child has it; operations on the open file block from then on, for everyone who shares it
/// (FAULTS R-08).
pub struct Stdio(pub(super) Source);

/// Where it comes from.
pub(super) enum Source {
    Inherit,
    Null,
    Pipe,
    Descriptor(OwnedFd),
}

impl Stdio {
    /// Is what this process has under the same number.
    ///
    /// # Python
    /// `None`.
    #[must_use]
    pub const fn inherit() -> Self {
        Self(Source::Inherit)
    }

    /// Is `/dev/null`: empty to read, and written to for nobody.
    ///
    /// # Python
    /// `subprocess.DEVNULL`.
    #[must_use]
    pub const fn null() -> Self {
        Self(Source::Null)
    }

    /// Is a pipe, whose other end is a field of the [`Process`](crate::Process), or a transport of the
    /// [`SubprocessTransport`](crate::SubprocessTransport).
    ///
    /// # Python
    /// `subprocess.PIPE`.
    #[must_use]
    pub const fn pipe() -> Self {
        Self(Source::Pipe)
    }
}

impl From<OwnedFd> for Stdio {
    fn from(descriptor: OwnedFd) -> Self {
        Self(Source::Descriptor(descriptor))
    }
}

impl From<File> for Stdio {
    fn from(file: File) -> Self {
        OwnedFd::from(file).into()
    }
}

impl fmt::Debug for Stdio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Inherit => f.write_str("Stdio::inherit()"),
            Source::Null => f.write_str("Stdio::null()"),
            Source::Pipe => f.write_str("Stdio::pipe()"),
            Source::Descriptor(descriptor) => write!(f, "Stdio({descriptor:?})"),
        }
    }
}

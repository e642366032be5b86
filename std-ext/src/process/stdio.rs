//! What a child process has for its standard input, output and error.

use core::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use crate::EventLoopHandle;
use crate::sys::Fd;

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
            Source::Descriptor(descriptor) => write!(f, "Stdio({descriptor:?})"),
        }
    }
}

/// The descriptors that become the child's 0, 1 and 2. What was opened for it is closed with this.
pub(super) struct Ends {
    event_loop: EventLoopHandle,
    pub(super) sources: [i32; 3],
    opened: Vec<Fd>,
}

impl Ends {
    /// Opens what a child is to get; without a source for its standard error that is its output.
    ///
    /// # Errors
    /// As `open`.
    pub(super) fn open(
        event_loop: &EventLoopHandle,
        stdin: &Stdio,
        stdout: &Stdio,
        stderr: Option<&Stdio>,
    ) -> io::Result<Self> {
        let mut ends = Self { event_loop: event_loop.clone(), sources: [0; 3], opened: Vec::new() };
        ends.sources[0] = ends.source(0, stdin)?;
        ends.sources[1] = ends.source(1, stdout)?;
        ends.sources[2] = match stderr {
            Some(stderr) => ends.source(2, stderr)?,
            None => ends.sources[1],
        };
        Ok(ends)
    }

    /// Returns the descriptor that becomes the child's `target`.
    fn source(&mut self, target: i32, stdio: &Stdio) -> io::Result<i32> {
        match &stdio.0 {
            Source::Inherit => Ok(target),
            Source::Descriptor(descriptor) => Ok(descriptor.as_raw_fd()),
            Source::Null => {
                let fd = self.event_loop.inner.kernel.open_null()?;
                self.opened.push(fd);
                Ok(fd.as_raw())
            }
        }
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        let kernel = &self.event_loop.inner.kernel;
        self.opened.iter().for_each(|fd| kernel.close(*fd));
    }
}

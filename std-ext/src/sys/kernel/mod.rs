//! What the loop wants from outside, a noun a trait: [`Time`], [`Watching`], [`Files`], [`Sockets`],
//! [`Datagrams`], and [`Kernel`] for what belongs to the process.
//!
//! Each stands on the one before, and not beside it: traits in a line have one table of methods in
//! the program, where several beside each other would have a second table each.

mod datagrams;
mod files;
mod sockets;
mod time;
mod watching;

use std::io;

use crate::supervision::ResourceLimit;
use crate::sys::limits::Limited;
use crate::sys::processes::{NoProcesses, ProcessSource};
use crate::sys::threads::{NoThreads, ThreadSource};

pub(crate) use datagrams::Datagrams;
pub(crate) use files::Files;
pub(crate) use sockets::Sockets;
pub(crate) use time::{Time, remaining};
pub(crate) use watching::Watching;

/// Everything that the loop wants from outside.
///
/// All methods take `&self`, none calls back into the loop, and all belong to the loop's thread. What
/// needs a descriptor is `Unsupported` unless a kernel has it. Each method stands in
/// [`faulty`](crate::sys::faulty) too, so that a test can have it fail.
pub(crate) trait Kernel: Datagrams {
    /// Tells by whom children are started.
    fn processes(&self) -> ProcessSource<'_> {
        ProcessSource::Kernel(&NoProcesses)
    }

    /// Tells where threads for jobs that block come from.
    fn threads(&self) -> ThreadSource {
        ThreadSource::Kernel(&NoThreads)
    }

    /// Fills `buf` with bytes that nobody can foresee.
    ///
    /// # Errors
    /// As `getrandom`; `Unsupported` from a kernel without a source of them.
    #[allow(dead_code, reason = "the resolver in the loop uses it")]
    fn entropy(&self, buf: &mut [u8]) -> io::Result<()> {
        let _ = buf;
        unsupported("entropy")
    }

    /// Returns a limit of the process.
    ///
    /// # Errors
    /// As `getrlimit`.
    fn limit(&self, limited: Limited) -> io::Result<ResourceLimit> {
        let _ = limited;
        unsupported("getrlimit")
    }

    /// Changes a limit of the process.
    ///
    /// # Errors
    /// As `setrlimit`: `EPERM` for a hard limit that would rise.
    fn set_limit(&self, limited: Limited, limit: ResourceLimit) -> io::Result<()> {
        let _ = (limited, limit);
        unsupported("setrlimit")
    }

    /// Has a signal put into the [mailboxes](crate::sys::signals::Mailbox) of the process that want it.
    /// Counted.
    ///
    /// # Errors
    /// As `sigaction`.
    fn catch_signal(&self, signal: i32) -> io::Result<()> {
        let _ = signal;
        unsupported("sigaction")
    }

    /// Undoes one [`catch_signal`](Self::catch_signal); the last brings back exactly what was before.
    fn release_signal(&self, signal: i32) {
        let _ = signal;
    }

    /// Lets a signal reach this thread; tells whether it was blocked.
    ///
    /// # Errors
    /// As `pthread_sigmask`.
    fn unblock_signal(&self, signal: i32) -> io::Result<bool> {
        let _ = signal;
        unsupported("pthread_sigmask")
    }

    /// Keeps a signal from this thread again.
    ///
    /// # Errors
    /// As `pthread_sigmask`.
    fn block_signal(&self, signal: i32) -> io::Result<()> {
        let _ = signal;
        unsupported("pthread_sigmask")
    }

    /// Tells whether an [`Fd`](crate::sys::Fd) of this kernel is a descriptor of the process.
    fn has_real_descriptors(&self) -> bool {
        false
    }
}

/// Is the answer of a kernel to what it doesn't have.
pub(super) fn unsupported<T>(operation: &str) -> io::Result<T> {
    let message = format!("{operation}: this kernel has no descriptors");
    Err(io::Error::new(io::ErrorKind::Unsupported, message))
}

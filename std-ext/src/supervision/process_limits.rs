//! What the system lets the process use.

use core::fmt;

use crate::exception::reporter::write_line;
use crate::sys::{Kernel, Limited};
use crate::{EventLoopHandle, Result};

/// A limit of the process, in bytes or in pieces; see [`ProcessLimits`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResourceLimit {
    /// Is what is enforced; `None` without a limit.
    pub soft: Option<u64>,
    /// Is up to where the process may raise it; `None` without a limit.
    pub hard: Option<u64>,
}

impl fmt::Display for ResourceLimit {
    /// Prints as `1024 of 524288`, and as `1024` where the soft limit is the hard one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = |f: &mut fmt::Formatter<'_>, bound: Option<u64>| match bound {
            Some(bound) => bound.fmt(f),
            None => f.write_str("unlimited"),
        };
        bound(f, self.soft)?;
        if self.soft == self.hard {
            return Ok(());
        }
        f.write_str(" of ")?;
        bound(f, self.hard)
    }
}

/// What the system lets the process use
/// ([getrlimit(2)](https://man7.org/linux/man-pages/man2/getrlimit.2.html)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ProcessLimits {
    /// Is the most descriptors (`RLIMIT_NOFILE`): one above the highest number.
    pub open_files: ResourceLimit,
    /// Is the most processes and threads of this user (`RLIMIT_NPROC`).
    pub processes: ResourceLimit,
    /// Is the most bytes of address space (`RLIMIT_AS`), which the tables of a loop are reserved in.
    pub address_space: ResourceLimit,
    /// Is the most bytes of data (`RLIMIT_DATA`).
    pub data: ResourceLimit,
    /// Is the most bytes of the main thread's stack (`RLIMIT_STACK`).
    pub stack: ResourceLimit,
    /// Is the largest core dump in bytes (`RLIMIT_CORE`).
    pub core_file: ResourceLimit,
    /// Is the largest file in bytes that the process may write (`RLIMIT_FSIZE`).
    pub file_size: ResourceLimit,
    /// Is the most bytes that may be locked into memory (`RLIMIT_MEMLOCK`).
    pub locked_memory: ResourceLimit,
}

impl ProcessLimits {
    fn of(kernel: &dyn Kernel) -> Result<Self> {
        Ok(Self {
            open_files: kernel.limit(Limited::OpenFiles)?,
            processes: kernel.limit(Limited::Processes)?,
            address_space: kernel.limit(Limited::AddressSpace)?,
            data: kernel.limit(Limited::Data)?,
            stack: kernel.limit(Limited::Stack)?,
            core_file: kernel.limit(Limited::CoreFile)?,
            file_size: kernel.limit(Limited::FileSize)?,
            locked_memory: kernel.limit(Limited::LockedMemory)?,
        })
    }
}

impl fmt::Display for ProcessLimits {
    /// Prints one line, for a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { open_files, processes, address_space, data, stack, core_file, file_size, locked_memory } =
            self;
        write!(f, "open files {open_files}, processes {processes}, address space {address_space}, ")?;
        write!(f, "data {data}, stack {stack}, core file {core_file}, file size {file_size}, ")?;
        write!(f, "locked memory {locked_memory}")
    }
}

impl EventLoopHandle {
    /// Returns what the system lets the process use.
    ///
    /// A loop logs it when it is made, at level `info`, if the program has installed a logger; and
    /// says there if it may watch more descriptors ([`Config::descriptors`](crate::Config)) than the
    /// process may open.
    ///
    /// # Errors
    /// As `getrlimit`; `Io` (`Unsupported`) of a loop without an operating system.
    ///
    /// # Python
    /// `resource.getrlimit(...)`.
    pub fn process_limits(&self) -> Result<ProcessLimits> {
        ProcessLimits::of(&*self.inner.kernel)
    }

    /// Raises the soft limit of open files to the hard one, and returns both as they are then.
    ///
    /// The soft limit is 1,024 on most systems, for programs that use `select`; whoever doesn't may
    /// raise it. Children inherit it, and one that uses `select` is better given the former.
    ///
    /// # Errors
    /// As `setrlimit`; `Io` (`Unsupported`) of a loop without an operating system.
    ///
    /// # Python
    /// `resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))`.
    pub fn raise_open_files(&self) -> Result<ResourceLimit> {
        let kernel = &self.inner.kernel;
        let ResourceLimit { soft, hard } = kernel.limit(Limited::OpenFiles)?;
        if soft != hard {
            kernel.set_limit(Limited::OpenFiles, ResourceLimit { soft: hard, hard })?;
        }
        Ok(kernel.limit(Limited::OpenFiles)?)
    }
}

/// Logs what the process may use, if there is a log; and that `descriptors`, which the loop may
/// watch, are more than it may open.
pub(crate) fn report_limits(kernel: &dyn Kernel, descriptors: usize) {
    if log::max_level() < log::LevelFilter::Info {
        return;
    }
    let Ok(limits) = ProcessLimits::of(kernel) else { return };
    write_line(log::Level::Info, format_args!("limits of the process: {limits}"));
    if let Some(soft) = limits.open_files.soft
        && soft < descriptors as u64
    {
        write_line(
            log::Level::Info,
            format_args!("the loop may watch {descriptors} descriptors, the process may open {soft}"),
        );
    }
}

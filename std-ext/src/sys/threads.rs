//! Threads, for jobs that block.

use std::io;
use std::thread;

/// What a new thread runs.
pub(crate) type Body = Box<dyn FnOnce() + Send>;

/// Starts threads; a kernel says by which means.
///
/// `'static` and `Sync`, unlike a kernel, because a pool of threads may outlive its loop.
pub(crate) trait Threads: Sync {
    /// Runs `body` in a thread of its own, which nobody joins.
    ///
    /// # Errors
    /// If the system refuses another thread, or memory for its stack.
    fn start(&self, name: String, stack_bytes: Option<usize>, body: Body) -> io::Result<()>;
}

/// Where a kernel's threads come from. A name for the system's own, so that a program without jobs
/// doesn't link what starts them.
#[derive(Clone, Copy)]
pub(crate) enum ThreadSource {
    /// The operating system.
    System,
    /// The kernel itself.
    Kernel(&'static dyn Threads),
}

impl ThreadSource {
    /// Returns what starts the threads.
    pub(crate) fn threads(self) -> &'static dyn Threads {
        match self {
            Self::System => &RealThreads,
            Self::Kernel(threads) => threads,
        }
    }
}

/// Threads of the operating system.
pub(crate) struct RealThreads;

impl Threads for RealThreads {
    fn start(&self, name: String, stack_bytes: Option<usize>, body: Body) -> io::Result<()> {
        // A NUL would be a panic of the standard library.
        let mut builder = thread::Builder::new().name(name.replace('\0', ""));
        if let Some(bytes) = stack_bytes {
            builder = builder.stack_size(bytes);
        }
        builder.spawn(body).map(drop)
    }
}

/// Has no threads.
pub(super) struct NoThreads;

impl Threads for NoThreads {
    fn start(&self, _: String, _: Option<usize>, _: Body) -> io::Result<()> {
        super::kernel::unsupported("threads")
    }
}

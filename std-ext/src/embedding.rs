//! The loop in the loop of somebody else: a GUI's, an epoll of the application's own.

use core::time::Duration;
use std::os::fd::BorrowedFd;

use rondel_core::{Instant, RunError};

use crate::{Error, EventLoop, Result};

impl EventLoop {
    /// Returns the descriptor for a host that sleeps in place of the loop: after
    /// [`EventLoop::prepare`] it is readable as soon as there is something to do.
    ///
    /// The host watches it for reading, level-triggered, by `poll`, `epoll` or whatever
    /// it is made of, beside descriptors of its own. It is the loop's: not to be read, nor
    /// closed. A host has three things to do, for ever:
    ///
    /// 1. [`EventLoop::prepare`], after all that it asks of the loop and right before it sleeps;
    /// 2. sleep until the descriptor is readable, or one of its own is;
    /// 3. [`EventLoop::run_nowait`], at the latest when the descriptor is readable.
    ///
    /// The host may be anything but a running loop of ours in the same thread, in whose callbacks
    /// another can't run (contract R-10): such a callback stops its own loop first. To sleep,
    /// another thread will do, if it then has the loop's thread run the loop.
    ///
    /// # Errors
    /// `Closed`; `Io` with `Unsupported` from a loop
    /// [without descriptors](EventLoop::without_descriptors), and with `PermissionDenied` in the
    /// child of a fork.
    ///
    /// # Python
    /// asyncio has none: `loop._selector.fileno()` is private, and neither tells of timers nor
    /// of what is ready. `uv_backend_fd` of libuv and uvloop.
    pub fn backend_fd(&self) -> Result<BorrowedFd<'_>> {
        if self.is_closed() {
            return Err(RunError::Closed.into());
        }
        self.inner.kernel.backend_fd().map_err(|error| Error::from(error).during("backend_fd"))
    }

    /// Prepares for the sleep of a host, and returns how long that may last.
    ///
    /// `None` is "until the [descriptor](EventLoop::backend_fd) is readable": it will be when a
    /// descriptor of the loop is ready, when the next timer is due, to the precision of the clock,
    /// and when a call of another thread, a wake or a signal comes. Zero is "not at all": something
    /// is ready, and to make sure the descriptor is readable too, so that a host which can but
    /// watch descriptors may ignore what this returns. Anything else is for how long there is no
    /// timer, and only a loop whose clock is not the world's answers so
    /// ([`EventLoop::with_manual_clock`]).
    ///
    /// What the host itself asks of the loop later, such as
    /// [`call_soon`](crate::EventLoopHandle::call_soon) in one of its own callbacks, tells nobody:
    /// it prepares anew then. The host may be woken for nothing, as after a timer that was cancelled.
    ///
    /// # Errors
    /// `Running` inside a callback of this loop, `Closed`; `Io` if the system refuses the timer, and in
    /// the child of a fork.
    ///
    /// # Python
    /// None. `uv_backend_timeout` of libuv, which only asks; `prepare` of a `GSource` of GLib.
    pub fn prepare(&self) -> Result<Option<Duration>> {
        let deadline = self.inner.scheduler.prepare()?;
        let deadline = if self.inner.has_come() { Some(Instant::ZERO) } else { deadline };
        let limit =
            self.inner.kernel.prepare(deadline).map_err(|error| Error::from(error).during("prepare"))?;
        if limit == Some(Duration::ZERO) {
            self.inner.ring();
        }
        Ok(limit)
    }

    /// Runs one iteration, which doesn't wait: what is ready, and nothing if nothing is.
    ///
    /// [`stop`](crate::EventLoopHandle::stop) inside of it has no effect: the host decides when it is over.
    ///
    /// # Errors
    /// As [`EventLoop::run_forever`].
    ///
    /// # Python
    /// `loop.stop(); loop.run_forever()`. `uv_run(loop, UV_RUN_NOWAIT)` of libuv.
    pub fn run_nowait(&self) -> Result<()> {
        let _running = self.enter()?;
        self.inner.scheduler.run_nowait(&**self)?;
        self.waited()
    }
}

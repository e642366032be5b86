//! Reaping what others leave behind: what the first process of a container is there for.

use core::cell::{Cell, RefCell};
use core::fmt;
use core::panic::Location;
use std::rc::Rc;

use rondel_core::{Callback, Refused, SlotId};

use super::status::ExitStatus;
use crate::signal::{Signal, Subscription};
use crate::{Error, EventLoopHandle, Result};

impl EventLoopHandle {
    /// Reaps orphans, from here on until what it returns is dropped: processes that were left behind
    /// by their parent, and that the system has given to this one because it is the first of its
    /// container (number 1), or a [subreaper](Self::set_child_subreaper). Those that have ended
    /// already are reaped first. If nobody does that, they stay zombies.
    ///
    /// ```
    /// rondel::run(async |event_loop| {
    ///     event_loop.set_child_subreaper(true)?;
    ///     let orphans = event_loop.reap_orphans()?;
    ///     // The shell ends before the process that it has started.
    ///     event_loop.create_subprocess_shell("sleep 0.01 &").await?.wait().await?;
    ///     while orphans.reaped() == 0 {
    ///         event_loop.yield_now().await?;
    ///     }
    ///     Ok(())
    /// })?;
    /// # Ok::<(), rondel::Error>(())
    /// ```
    ///
    /// `SIGCHLD` tells when to look, beside handlers and streams of the application's own, which get
    /// it as ever (contract SG-10, FAULTS G-05).
    ///
    /// No child is taken that a loop of this process waits for, in whatever thread, nor one that
    /// another thread than the first has started, by `std::process` or however, as long as that
    /// thread lives. The children of the first thread, `main`'s, look like orphans, and nothing tells
    /// whether somebody is going to wait for them: start those by a loop, or
    /// [spare](OrphanReaper::spare) them, or start them in another thread. Without `/proc`, as without
    /// the kernel's `CONFIG_PROC_CHILDREN`, the children of all threads look so.
    ///
    /// # Errors
    /// `Full` if the call table is; `Closed`; as `sigaction`.
    ///
    /// # Python
    /// None. `signal.signal(SIGCHLD, ...)` with `os.waitpid(-1, os.WNOHANG)` takes asyncio's children too.
    #[track_caller]
    pub fn reap_orphans(&self) -> Result<OrphanReaper> {
        const OPERATION: &str = "reap_orphans";
        let orphans = Rc::new(Orphans::default());
        let added = self.inner.scheduler.add_handler(
            Rc::clone(&orphans),
            |orphans| Callback::handler(move |event_loop: &Self| orphans.reap(event_loop)),
            Location::caller(),
        );
        let handler = added.map_err(|refused| Error::from(Refused::new(OPERATION, refused.refusal(), ())))?;
        match Subscription::new(self, Signal::SIGCHLD, handler) {
            Ok(subscription) => {
                self.inner.scheduler.make_ready(handler);
                Ok(OrphanReaper { subscription, handler, orphans })
            }
            Err(error) => {
                self.inner.scheduler.cancel_call(self, handler);
                Err(error.during(OPERATION))
            }
        }
    }

    /// Chooses whether this process, in the place of the first of its container, becomes the parent
    /// of what its descendants leave behind (`PR_SET_CHILD_SUBREAPER` of prctl(2)). That is said of the
    /// whole process; children don't inherit it. Who says so has to
    /// [reap them](Self::reap_orphans).
    ///
    /// # Errors
    /// As `prctl`, from a kernel that has none of it.
    ///
    /// # Python
    /// None.
    pub fn set_child_subreaper(&self, is_subreaper: bool) -> Result<()> {
        Ok(self.inner.kernel.processes().set_child_subreaper(is_subreaper)?)
    }
}

/// Reaps orphans until it is dropped. Made by [`EventLoopHandle::reap_orphans`].
#[must_use = "dropping it ends the reaping at once"]
pub struct OrphanReaper {
    subscription: Subscription,
    handler: SlotId,
    orphans: Rc<Orphans>,
}

impl OrphanReaper {
    /// Leaves a child alone that was started by `std::process` or other means than a loop's, until it
    /// was waited for. Said in the thread of the loop, and in the same step as the child's start, it
    /// is in time.
    pub fn spare(&self, pid: u32) {
        if let Ok(pid) = i32::try_from(pid) {
            self.orphans.spared.borrow_mut().push(pid);
        }
    }

    /// Counts the orphans that were reaped.
    #[must_use]
    pub fn reaped(&self) -> u64 {
        self.orphans.reaped.get()
    }
}

impl Drop for OrphanReaper {
    fn drop(&mut self) {
        let event_loop = self.subscription.event_loop();
        event_loop.inner.scheduler.cancel_call(event_loop, self.handler);
    }
}

impl fmt::Debug for OrphanReaper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OrphanReaper({} reaped)", self.reaped())
    }
}

/// What has become of them.
#[derive(Default)]
struct Orphans {
    spared: RefCell<Vec<i32>>,
    reaped: Cell<u64>,
}

impl Orphans {
    fn reap(&self, event_loop: &EventLoopHandle) {
        let ends = event_loop.inner.kernel.processes().reap_orphans(&mut self.spared.borrow_mut());
        for (pid, exit) in ends {
            self.reaped.set(self.reaped.get() + 1);
            log::debug!("reaped orphan {pid}: {}", ExitStatus::from(exit));
        }
    }
}

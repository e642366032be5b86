//! Who is asked for names.

use core::cell::RefCell;
use core::fmt;
use core::net::SocketAddr;
use core::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

use rondel_core::Usage;

use crate::dns::{AddrInfo, NameInfo, NameInfoFlags, Query, Resolving, default, system};
use crate::executor::Executor;
use crate::{Config, EventLoopHandle, Result, TaskWait};

/// Says who resolves host names: a choice of [`Config`].
///
/// By default it is the system's resolver, which blocks and so is asked in threads. In a static binary
/// that has the feature `dns` it is `Resolver::in_loop`, because there the C library lacks the
/// system's sources of names (FAULTS E-09).
#[derive(Clone, Default)]
pub struct Resolver(Choice);

#[derive(Clone, Default)]
enum Choice {
    #[default]
    Default,
    System,
    #[allow(dead_code, reason = "made with the feature `dns` alone")]
    InLoop(Arc<dyn Start>),
}

impl Resolver {
    /// Chooses the system's resolver, with all its sources of names, in threads.
    #[must_use]
    pub const fn system() -> Self {
        Self(Choice::System)
    }

    #[allow(dead_code, reason = "used with the feature `dns` alone")]
    pub(super) fn other(start: Arc<dyn Start>) -> Self {
        Self(Choice::InLoop(start))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Choice::Default => f.write_str("Default"),
            Choice::System => f.write_str("System"),
            Choice::InLoop(start) => start.fmt(f),
        }
    }
}

/// Makes a resolver for a loop.
#[allow(dead_code, reason = "implemented with the feature `dns` alone")]
pub(super) trait Start: fmt::Debug + Send + Sync {
    fn start(&self) -> Rc<dyn Resolve>;
}

/// Resolves names within a loop.
#[allow(dead_code, reason = "implemented with the feature `dns` alone")]
pub(super) trait Resolve {
    fn getaddrinfo(self: Rc<Self>, event_loop: &EventLoopHandle, query: Query) -> Resolving<Vec<AddrInfo>>;

    fn getnameinfo(
        self: Rc<Self>,
        event_loop: &EventLoopHandle,
        addr: SocketAddr,
        flags: NameInfoFlags,
        location: &'static Location<'static>,
    ) -> Resolving<NameInfo>;
}

/// What a loop keeps for look-ups. A program without names links none of it: there is no code here
/// but through the two traits.
pub(crate) struct Lookups {
    choice: Choice,
    pub(super) threads: usize,
    pub(super) limit: usize,
    /// Is made by the first look-up that needs a thread.
    pub(super) lane: RefCell<Option<Arc<dyn Executor>>>,
    in_loop: RefCell<Option<Rc<dyn Resolve>>>,
}

impl Lookups {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            choice: config.resolver.0.clone(),
            threads: config.lookup_threads,
            limit: config.lookups,
            lane: RefCell::new(None),
            in_loop: RefCell::new(None),
        }
    }

    /// Tells how full the queue for the threads is.
    pub(crate) fn queue(&self) -> Usage {
        let lane = self.lane.borrow().clone();
        lane.map_or_else(Usage::default, |lane| lane.queue())
    }

    /// Lets go of the threads; none is waited for (contract DN-4).
    pub(crate) fn close(&self) {
        drop((self.lane.take(), self.in_loop.take()));
    }
}

pub(super) async fn getaddrinfo(event_loop: &EventLoopHandle, query: Query) -> Result<Vec<AddrInfo>> {
    let answer = async {
        match in_loop(event_loop) {
            None => system::getaddrinfo(event_loop, query).await,
            Some(resolver) => resolver.getaddrinfo(event_loop, query).await,
        }
    };
    event_loop.name_wait(TaskWait::Lookup, answer).await
}

pub(super) async fn getnameinfo(
    event_loop: &EventLoopHandle,
    addr: SocketAddr,
    flags: NameInfoFlags,
    location: &'static Location<'static>,
) -> Result<NameInfo> {
    let names = async {
        match in_loop(event_loop) {
            None => system::getnameinfo(event_loop, addr, flags, location).await,
            Some(resolver) => resolver.getnameinfo(event_loop, addr, flags, location).await,
        }
    };
    event_loop.name_wait(TaskWait::Lookup, names).await.map_err(|error| error.during("getnameinfo"))
}

/// Returns the resolver of the loop, made on first use, if it doesn't ask the system.
fn in_loop(event_loop: &EventLoopHandle) -> Option<Rc<dyn Resolve>> {
    let lookups = &event_loop.inner.lookups;
    let mut resolver = lookups.in_loop.borrow_mut();
    if resolver.is_none() {
        *resolver = match &lookups.choice {
            Choice::Default => default::start(),
            Choice::System => None,
            Choice::InLoop(start) => Some(start.start()),
        };
    }
    resolver.clone()
}

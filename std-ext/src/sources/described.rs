//! What a snapshot asks of the watched descriptors.

use core::panic::Location;
use std::rc::{Rc, Weak};

use rondel_core::{Instant, SlotId};

use super::{Listener, Waiter};
use crate::net::connection::Connection;
use crate::snapshot::{Clue, Describe, DescriptorRow};
use crate::sys::Token;
use crate::{EventLoopHandle, TaskWait};

/// Who says more of a source than its owner's kind.
pub(super) enum Description {
    /// Nobody: this is where it was asked for.
    At(&'static Location<'static>),
    /// What it belongs to.
    By(Weak<dyn Describe>),
}

// Takes no more than the reference.
const _: () = assert!(size_of::<Description>() == size_of::<Weak<dyn Describe>>());

impl Description {
    /// Returns where the source was asked for; `None` while its owner is being dropped.
    pub(super) fn location(&self) -> Option<&'static Location<'static>> {
        match self {
            Self::At(location) => Some(location),
            Self::By(owner) => Some(owner.upgrade()?.location()),
        }
    }

    fn owner(&self) -> Option<Rc<dyn Describe>> {
        match self {
            Self::At(_) => None,
            Self::By(owner) => owner.upgrade(),
        }
    }
}

impl EventLoopHandle {
    /// Says what a source belongs to.
    pub(crate) fn set_description(&self, token: Token, description: Weak<dyn Describe>) {
        if let Some(source) = self.inner.sources.borrow_mut().get(token) {
            source.description = Description::By(description);
        }
    }

    /// Returns the connections that have a source, in the order of their slots.
    pub(crate) fn connections(&self) -> Vec<Rc<Connection>> {
        let sources = self.inner.sources.borrow();
        let described = sources.slab.iter().filter_map(|(_, source)| source.description.owner());
        described.filter_map(<dyn Describe>::as_connection).collect()
    }

    /// Calls `note` with each task that waits for a descriptor or for what it belongs to, and a clue to
    /// that.
    pub(crate) fn note_waiting_at_sources(&self, note: &mut dyn FnMut(SlotId, Clue)) {
        let keys = self.inner.sources.borrow().slab.capacity();
        for key in 0..keys {
            let (sides, description) = {
                let sources = self.inner.sources.borrow();
                let Some(source) = sources.slab.get(key) else { continue };
                let sides = [(source.reader, Clue::Reader(key)), (source.writer, Clue::Writer(key))];
                (sides, source.description.owner())
            };
            for (side, clue) in sides {
                if let Listener::Waiter(waiter) = side.listener()
                    && let Some(task) = self.task_of(waiter)
                {
                    note(task, clue);
                }
            }
            if let Some(waiter) = description.and_then(|description| description.waiter())
                && let Some(task) = self.task_of(Waiter::Call(waiter))
            {
                note(task, Clue::Owner(key));
            }
        }
    }

    pub(crate) fn fd_of_source(&self, key: usize) -> Option<i32> {
        self.inner.sources.borrow().slab.get(key).map(|source| source.fd.as_raw())
    }

    /// Tells what is awaited of that to which a source belongs.
    pub(crate) fn wait_at_owner_of_source(&self, key: usize) -> Option<TaskWait> {
        let (fd, description) = {
            let sources = self.inner.sources.borrow();
            let source = sources.slab.get(key)?;
            (source.fd.as_raw(), source.description.owner()?)
        };
        Some(description.awaited(fd))
    }

    /// Calls `show` with each source, as it stands `now`.
    pub(crate) fn describe_sources(&self, now: Instant, mut show: impl FnMut(DescriptorRow)) {
        let keys = self.inner.sources.borrow().slab.capacity();
        for key in 0..keys {
            let sources = self.inner.sources.borrow();
            let Some(source) = sources.slab.get(key) else { continue };
            // An owner that is being dropped is about to take its source along.
            let Some(location) = source.description.location() else { continue };
            let owner = source.description.owner();
            let mut row = DescriptorRow::new(
                source.fd.as_raw(),
                source.owner.into(),
                location,
                source.since.instant(now),
            );
            (row.reader, row.writer) = (source.reader.watcher(), source.writer.watcher());
            drop(sources);
            if let Some(owner) = owner {
                owner.describe(&mut row);
            }
            show(row);
        }
    }
}

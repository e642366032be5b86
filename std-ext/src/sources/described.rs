//! What a snapshot asks of the watched descriptors.

use std::rc::{Rc, Weak};

use rondel_core::SlotId;

use super::{Listener, Waiter};
use crate::net::connection::Connection;
use crate::snapshot::{Clue, Describe, DescriptorRow};
use crate::sys::Token;
use crate::{EventLoopHandle, TaskWait};

impl EventLoopHandle {
    /// Says what a source belongs to.
    pub(crate) fn set_description(&self, token: Token, description: Weak<dyn Describe>) {
        if let Some(source) = self.inner.sources.borrow_mut().get(token) {
            source.described_by = Some(description);
        }
    }

    /// Returns the connections that have a source, in the order of their slots.
    pub(crate) fn connections(&self) -> Vec<Rc<Connection>> {
        let sources = self.inner.sources.borrow();
        let described = sources.slab.iter().filter_map(|(_, source)| source.described_by.as_ref()?.upgrade());
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
                (sides, source.described_by.as_ref().and_then(Weak::upgrade))
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
            (source.fd.as_raw(), source.described_by.as_ref()?.upgrade()?)
        };
        Some(description.awaited(fd))
    }

    /// Calls `show` with each source.
    pub(crate) fn describe_sources(&self, mut show: impl FnMut(DescriptorRow)) {
        let keys = self.inner.sources.borrow().slab.capacity();
        for key in 0..keys {
            let (mut row, description) = {
                let sources = self.inner.sources.borrow();
                let Some(source) = sources.slab.get(key) else { continue };
                let mut row = DescriptorRow::new(source.fd.as_raw(), source.owner.into());
                (row.reader, row.writer) = (source.reader.watcher(), source.writer.watcher());
                (row, source.described_by.as_ref().and_then(Weak::upgrade))
            };
            if let Some(description) = description {
                description.describe(&mut row);
            }
            show(row);
        }
    }
}

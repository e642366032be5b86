//! What a snapshot asks of the watched descriptors.

use std::rc::Weak;

use rondel_core::SlotId;

use super::ListenerKind;
use crate::EventLoopHandle;
use crate::snapshot::{Describe, DescriptorRow};
use crate::sys::Token;

impl EventLoopHandle {
    /// Says what a source belongs to.
    pub(crate) fn set_description(&self, token: Token, description: Weak<dyn Describe>) {
        if let Some(source) = self.inner.sources.borrow_mut().get(token) {
            source.described_by = Some(description);
        }
    }

    /// Calls `note` with each task that waits for a descriptor by its own waker, and that.
    pub(crate) fn note_waiting_tasks(&self, note: &mut dyn FnMut(SlotId, u32)) {
        for (_, source) in &self.inner.sources.borrow().slab {
            for side in [&source.reader, &source.writer] {
                if side.kind == ListenerKind::Task {
                    note(side.slot(), source.fd.as_raw().cast_unsigned());
                }
            }
        }
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

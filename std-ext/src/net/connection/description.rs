//! What a snapshot says of a connection.

use core::panic::Location;
use std::rc::Rc;

use rondel_core::SlotId;

use super::Connection;
use super::state::State;
use crate::snapshot::{Describe, DescriptorOwner, DescriptorRow, SnapshotAddr, TaskWait};

impl Describe for Connection {
    fn location(&self) -> &'static Location<'static> {
        Self::location(self)
    }

    fn as_connection(self: Rc<Self>) -> Option<Rc<Connection>> {
        Some(self)
    }

    fn describe(&self, row: &mut DescriptorRow) {
        if self.is_pipe() {
            row.owner = DescriptorOwner::Pipe;
        } else {
            row.peer = SnapshotAddr::new(&self.peer_addr());
            row.local = self.local_addr().map_or(SnapshotAddr::None, |addr| SnapshotAddr::new(&addr));
        }
        row.queued = self.queued();
        row.protocol = self.protocol().map_or("", |protocol| protocol.type_name());
        row.state = if self.has(State::CLOSING | State::ENDING | State::CLOSED) {
            "closing"
        } else if self.has(State::HANDSHAKING) {
            "handshaking"
        } else if self.has(State::WRITING_PAUSED) {
            "open, writing paused"
        } else if self.has(State::READING_PAUSED) {
            "open, reading paused"
        } else {
            "open"
        };
    }

    fn waiter(&self) -> Option<SlotId> {
        self.with_flow(|flow| flow.waiter).flatten()
    }

    /// Which of them it was that the task called, nobody has noted: this is what it lacks.
    fn awaited(&self, fd: i32) -> TaskWait {
        if self.has(State::STARTING | State::HANDSHAKING) {
            TaskWait::Opened { fd }
        } else if self.has(State::QUEUED) {
            TaskWait::Drained { fd }
        } else {
            TaskWait::Closed { fd }
        }
    }
}

//! A file among what a connection has to send.

use std::rc::Rc;

use rondel_core::Refusal;

use super::Connection;
use super::state::State;
use crate::sources::Direction;
use crate::{Error, ErrorKind, Result};

impl Connection {
    /// Puts a file behind what is queued: what is written from now on comes after
    /// it. `Until::FilesTurn` and `Until::Writable` tell when to send it.
    ///
    /// # Errors
    /// `Busy` if there is one; `InvalidState` after `write_eof`; `Closed`.
    pub(crate) fn begin_file(self: &Rc<Self>) -> Result<FileInQueue> {
        self.check()?;
        if self.has(State::CLOSING) {
            return Err(Refusal::Closed.into());
        }
        if self.has(State::WRITE_EOF) {
            return Err(Error::of(ErrorKind::InvalidState, "write after write_eof"));
        }
        if self.with_flow(|flow| flow.before_file.is_some()) == Some(true) {
            return Err(Error::of(ErrorKind::Busy, "a file is being sent already"));
        }
        self.drive()?;
        self.with_new_flow(|flow| flow.before_file = Some(flow.len()));
        self.set(State::QUEUED);
        Ok(FileInQueue(Rc::clone(self)))
    }

    fn end_file(self: &Rc<Self>) {
        self.with_flow(|flow| {
            flow.before_file = None;
            if flow.is_empty() {
                self.unset(State::QUEUED);
            }
        });
        if self.has(State::QUEUED) && self.is_ready(Direction::Write) {
            self.drive_soon();
        }
        self.after_flush();
    }
}

/// A file among what is queued; what is behind it goes on when this is dropped.
pub(crate) struct FileInQueue(Rc<Connection>);

impl Drop for FileInQueue {
    fn drop(&mut self) {
        self.0.end_file();
    }
}

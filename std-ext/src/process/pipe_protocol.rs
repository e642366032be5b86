//! The pipes of a child process with a protocol: what they tell, they tell that.

use core::any::Any;
use core::cell::Cell;
use std::rc::{Rc, Weak};

use super::subprocess::{Later, STDIN, Subprocess};
use crate::exception::method::Method;
use crate::protocol::{AfterEof, AnyProtocol, Received, receive};
use crate::transport::Transport;
use crate::{Error, Result};

/// Hears what happens to one pipe, under the name of the protocol of the process.
pub(super) struct PipeProtocol {
    subprocess: Weak<Subprocess>,
    /// Is the child's descriptor.
    fd: usize,
    /// Is the name of the type of the protocol of the process.
    name: &'static str,
    is_lost: Cell<bool>,
}

impl PipeProtocol {
    pub(super) fn new(subprocess: &Rc<Subprocess>, fd: usize, name: &'static str) -> Self {
        Self { subprocess: Rc::downgrade(subprocess), fd, name, is_lost: Cell::new(false) }
    }

    fn tell_lost(&self, error: Option<&Error>) {
        if let Some(subprocess) = self.subprocess.upgrade()
            && !self.is_lost.replace(true)
        {
            subprocess.pipe_lost(self.fd, error);
        }
    }
}

impl AnyProtocol for PipeProtocol {
    fn made(&self, _: &Transport) -> Result<()> {
        Ok(())
    }

    fn receive(&self, transport: &Transport) -> Received {
        if self.fd == STDIN {
            return Received::Nothing;
        }
        receive(transport, |data| match self.subprocess.upgrade() {
            Some(subprocess) => subprocess.data_received(self.fd, data),
            None => Ok(()),
        })
    }

    fn eof(&self, _: &Transport) -> Result<AfterEof> {
        Ok(AfterEof::Close)
    }

    fn tell_writing(&self, _: &Transport, is_paused: bool) -> Option<Result<()>> {
        if let Some(subprocess) = self.subprocess.upgrade() {
            subprocess.note(if is_paused { Later::Paused } else { Later::Resumed });
        }
        Some(Ok(()))
    }

    fn lost(&self, _: &Transport, error: Option<&Error>) -> Result<()> {
        self.tell_lost(error);
        Ok(())
    }

    fn receives(&self) -> Method {
        Method::PipeDataReceived
    }

    fn type_name(&self) -> &'static str {
        self.name
    }

    fn as_any(self: Rc<Self>) -> Rc<dyn Any> {
        self
    }
}

impl Drop for PipeProtocol {
    /// A pipe that is closed before its first turn is not told of.
    fn drop(&mut self) {
        self.tell_lost(None);
    }
}

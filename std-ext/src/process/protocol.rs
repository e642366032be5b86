//! Protocols of child processes: what a transport tells, and how it is told.

use std::rc::Rc;

use super::transport::SubprocessTransport;
use crate::exception::method::Method;
use crate::protocol::{Seat, kind};
use crate::{Error, Result};

/// Is told what happens to a child process: `connection_made` first, `pipe_data_received` any number
/// of times, `pipe_connection_lost` once for each pipe and `process_exited` once, these two in any
/// order, and `connection_lost` once and last (contract SB-4, SB-5).
///
/// Pipes are named by the child's descriptors: 0 the standard input, 1 the output, 2 the error. A
/// protocol is never entered twice: what a call of its own to the transport causes is told when the
/// method in progress has returned.
///
/// # Python
/// `asyncio.SubprocessProtocol`. An exception is an `Err` here.
pub trait SubprocessProtocol: 'static {
    /// Is called when the process was started; reading from its pipes begins afterwards.
    ///
    /// # Errors
    /// An error is reported, and the transport lives.
    fn connection_made(&mut self, transport: &SubprocessTransport) -> Result<()> {
        let _ = transport;
        Ok(())
    }

    /// Is called with what the process has written, at least one byte, also after its end (SB-6). The
    /// bytes are the loop's: what is to be kept has to be copied.
    ///
    /// # Errors
    /// An error is reported and closes the pipe.
    fn pipe_data_received(&mut self, transport: &SubprocessTransport, fd: i32, data: &[u8]) -> Result<()> {
        let _ = (transport, fd, data);
        Ok(())
    }

    /// Is called when a pipe is closed: by us, or because nobody has its other end any more, which may
    /// be the process or whoever got it from there.
    ///
    /// # Errors
    /// An error is reported.
    fn pipe_connection_lost(
        &mut self,
        transport: &SubprocessTransport,
        fd: i32,
        error: Option<&Error>,
    ) -> Result<()> {
        let _ = (transport, fd, error);
        Ok(())
    }

    /// Is called when the buffer of what is written to the standard input grows beyond its high-water
    /// mark.
    ///
    /// # Errors
    /// An error is reported, and the transport lives.
    fn pause_writing(&mut self, transport: &SubprocessTransport) -> Result<()> {
        let _ = transport;
        Ok(())
    }

    /// Is called when the buffer has shrunk to its low-water mark.
    ///
    /// # Errors
    /// An error is reported, and the transport lives.
    fn resume_writing(&mut self, transport: &SubprocessTransport) -> Result<()> {
        let _ = transport;
        Ok(())
    }

    /// Is called when the process has exited; how,
    /// [`returncode`](SubprocessTransport::returncode) says.
    ///
    /// # Errors
    /// An error is reported.
    fn process_exited(&mut self, transport: &SubprocessTransport) -> Result<()> {
        let _ = transport;
        Ok(())
    }

    /// Is called once and last, when the process has exited and all pipes are closed; with an error
    /// if the loop was closed before.
    ///
    /// # Errors
    /// An error is reported.
    fn connection_lost(&mut self, transport: &SubprocessTransport, error: Option<&Error>) -> Result<()> {
        let _ = (transport, error);
        Ok(())
    }
}

/// What a protocol is told of but data.
pub(super) enum Event<'a> {
    Made,
    PipeLost(i32, Option<&'a Error>),
    Paused,
    Resumed,
    Exited,
    Lost(Option<&'a Error>),
}

impl Event<'_> {
    pub(super) const fn method(&self) -> Method {
        match self {
            Self::Made => Method::ConnectionMade,
            Self::PipeLost(..) => Method::PipeConnectionLost,
            Self::Paused => Method::PauseWriting,
            Self::Resumed => Method::ResumeWriting,
            Self::Exited => Method::ProcessExited,
            Self::Lost(_) => Method::ConnectionLost,
        }
    }
}

/// A protocol of any type, as its transport sees it.
pub(super) trait AnySubprocessProtocol: 'static {
    /// Tells whether one of its methods runs.
    fn is_entered(&self) -> bool;
    fn data(&self, transport: &SubprocessTransport, fd: i32, data: &[u8]) -> Result<()>;
    fn tell(&self, transport: &SubprocessTransport, event: &Event<'_>) -> Result<()>;
    /// Is the name of its type.
    fn type_name(&self) -> &'static str;
}

impl<P: SubprocessProtocol> AnySubprocessProtocol for Seat<P, kind::Subprocess> {
    fn is_entered(&self) -> bool {
        self.enter().is_err()
    }

    fn data(&self, transport: &SubprocessTransport, fd: i32, data: &[u8]) -> Result<()> {
        self.enter()?.pipe_data_received(transport, fd, data)
    }

    fn tell(&self, transport: &SubprocessTransport, event: &Event<'_>) -> Result<()> {
        let mut protocol = self.enter()?;
        match *event {
            Event::Made => protocol.connection_made(transport),
            Event::PipeLost(fd, error) => protocol.pipe_connection_lost(transport, fd, error),
            Event::Paused => protocol.pause_writing(transport),
            Event::Resumed => protocol.resume_writing(transport),
            Event::Exited => protocol.process_exited(transport),
            Event::Lost(error) => protocol.connection_lost(transport, error),
        }
    }

    fn type_name(&self) -> &'static str {
        core::any::type_name::<P>()
    }
}

/// A protocol in its place, of any type.
pub(super) type Protocol = Rc<dyn AnySubprocessProtocol>;

//! A connection that is one end of a pipe, or a device: read or written as a file,
//! in one direction.

use core::panic::Location;
use std::io::{self, IoSlice};
use std::rc::Rc;

use super::Connection;
use super::state::State;
use crate::net::address::UnixAddr;
use crate::net::server::Origin;
use crate::sources::{Direction, Owner};
use crate::sys::{Fd, Interest, is_always_ready};
use crate::{Error, EventLoopHandle, Result};

/// An end that a connection is made of.
#[derive(Debug)]
pub(crate) struct PipeEnd {
    pub(crate) fd: Fd,
    pub(crate) direction: Direction,
    /// It is a socket, which never has to wait, and never raises a signal.
    pub(crate) is_socket: bool,
    /// A short transfer does not mean that there is nothing left: a terminal gives a
    /// line at a time, and a writer may have written packets (`O_DIRECT`, pipe(2)), of
    /// which the end that reads knows nothing.
    pub(crate) is_piecewise: bool,
    /// What happens at the other end of a write end tells of the reader. A terminal
    /// that hangs up may be opened again (FAULTS N-11).
    pub(crate) tells_of_reader: bool,
    /// Nobody tells of an end that came before.
    pub(crate) may_be_readable: bool,
    /// Others use the open file, who expect it to block: it is given back in the end.
    pub(crate) is_lent: bool,
    /// The open file blocks: each transfer has to be asked not to wait.
    pub(crate) is_blocking: bool,
}

impl PipeEnd {
    fn state(&self) -> State {
        let mut state = State::PIPE | State::WRITABLE;
        if self.direction == Direction::Write {
            // There is nothing to read, ever.
            state |= State::READ_EOF;
        }
        for (flag, is_set) in [
            (State::SOCKET_END, self.is_socket),
            (State::PIECEWISE, self.is_piecewise),
            (State::TELLS_OF_READER, self.tells_of_reader),
            (State::READABLE, self.may_be_readable),
            (State::LENT, self.is_lent),
            (State::BLOCKING, self.is_blocking),
        ] {
            state |= if is_set { flag } else { 0 };
        }
        State(state)
    }
}

impl Connection {
    /// Takes over an end.
    ///
    /// # Errors
    /// If the descriptor table is full; the end is closed then.
    pub(crate) fn of_pipe(
        event_loop: &EventLoopHandle,
        end: PipeEnd,
        location: &'static Location<'static>,
    ) -> Result<Rc<Self>> {
        let kernel = &event_loop.inner.kernel;
        let mut state = end.state();
        let watched = match event_loop.watch(end.fd, Owner::Stream, Interest::READABLE, location) {
            Err(error) if error.as_io().is_some_and(is_always_ready) => {
                state.0 |= State::UNWATCHED | State::WRITES_WATCHED | State::READABLE | State::PIECEWISE;
                if end.is_lent {
                    // It never blocks anyway.
                    kernel.give_back();
                    state.0 &= !State::LENT;
                }
                event_loop.hold(end.fd, Owner::Stream, location)
            }
            watched => watched,
        };
        let token = match watched {
            Ok(token) => token,
            Err(error) => {
                if state.0 & State::LENT != 0 {
                    kernel.give_back();
                }
                kernel.close(end.fd);
                return Err(error);
            }
        };
        event_loop.inner.meters.connections_opened.add(1);
        let origin = Origin::asked_at(location, event_loop);
        let connection = Rc::new(Self::watched(origin, end.fd, token, state, UnixAddr::default().into()));
        event_loop.set_description(token, Rc::<Self>::downgrade(&connection));
        Ok(connection)
    }

    pub(super) fn is_pipe(&self) -> bool {
        self.has(State::PIPE)
    }

    /// Tells whether it is written by `write`, not by `send`.
    pub(crate) fn is_written_as_file(&self) -> bool {
        self.is_pipe() && !self.has(State::SOCKET_END)
    }

    /// Tells whether `sendfile`, which can't be asked not to wait, would wait.
    pub(crate) fn would_wait_for_room(&self) -> bool {
        self.has(State::BLOCKING)
    }

    /// Reads from the pipe; as `try_receive`.
    pub(super) fn try_read(&self, buffer: &mut [u8]) -> Result<Option<usize>> {
        self.check()?;
        if !self.is_ready(Direction::Read) {
            return Ok(None);
        }
        let kernel = &self.event_loop().inner.kernel;
        let read = if self.has(State::SOCKET_END) {
            kernel.recv(self.fd, buffer)
        } else {
            kernel.read(self.fd, buffer)
        };
        match read {
            Ok(count) => {
                self.event_loop().inner.meters.bytes_received.add(count);
                if count < buffer.len() {
                    self.note_partial(State::READABLE);
                }
                Ok(Some(count))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.unset(State::READABLE);
                self.check_watched()?;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Writes to the pipe; as the kernel's `send`.
    pub(super) fn write_once(&self, data: &[u8]) -> io::Result<usize> {
        let kernel = &self.event_loop().inner.kernel;
        if self.has(State::SOCKET_END) { kernel.send(self.fd, data) } else { kernel.write(self.fd, data) }
    }

    /// Writes to the pipe; as the kernel's `send_vectored`.
    pub(super) fn write_vectored_once(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let kernel = &self.event_loop().inner.kernel;
        if self.has(State::SOCKET_END) {
            kernel.send_vectored(self.fd, bufs)
        } else {
            kernel.write_vectored(self.fd, bufs)
        }
    }

    /// Fails if nobody would tell when it is ready.
    pub(super) fn check_watched(&self) -> Result<()> {
        if !self.has(State::UNWATCHED) {
            return Ok(());
        }
        let message = "the device is not ready, and the system can't tell when it is";
        Err(io::Error::new(io::ErrorKind::Unsupported, message).into())
    }

    /// Ends a write end whose reader has gone, also if nothing is being written
    /// (PI-5).
    pub(super) fn look_after_reader(self: &Rc<Self>) {
        if !self.has(State::TELLS_OF_READER) || !self.has(State::FINAL) || self.has(State::ENDING) {
            return;
        }
        let is_broken = self.has(State::QUEUED);
        self.end(is_broken.then(|| Error::from(io::Error::from(io::ErrorKind::BrokenPipe))));
    }
}

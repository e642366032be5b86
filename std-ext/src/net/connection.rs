//! A connected stream socket and its readiness.

use core::cell::Cell;
use core::fmt;
use core::future::Future;
use core::net::SocketAddr;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context as PollContext, Poll};
use std::io;
use std::rc::Rc;

use rondel_core::{Cancelled, Refusal, SlotId};

use crate::net::server::Listening;
use crate::sources::{Direction, Owner};
use crate::sys::{Fd, Interest, SocketOption, Token};
use crate::{Error, EventLoopHandle, Result};

/// A connected stream socket. Registered once, for both sides; edges tell when
/// to try again, so its steady state costs no system call but the transfers.
pub(crate) struct Connection {
    event_loop: EventLoopHandle,
    fd: Fd,
    token: Token,
    peer: SocketAddr,
    is_closed: Cell<bool>,
    /// Is told when the connection is gone.
    server: Option<Rc<Listening>>,
}

impl Connection {
    /// Takes over a connected socket.
    ///
    /// # Errors
    /// If the descriptor table is full; the socket is closed then.
    pub(crate) fn new(
        event_loop: &EventLoopHandle,
        fd: Fd,
        peer: SocketAddr,
        server: Option<Rc<Listening>>,
    ) -> Result<Self> {
        // A socket that can't do it is served without.
        let _ = event_loop.inner.kernel.set_option(fd, SocketOption::NoDelay, 1);
        let token = match event_loop.watch(fd, Owner::Stream, Interest::BOTH) {
            Ok(token) => token,
            Err(error) => {
                event_loop.inner.kernel.close(fd);
                return Err(error);
            }
        };
        event_loop.assume_ready(token, Direction::Write);
        if let Some(server) = &server {
            server.attach();
        }
        Ok(Self { event_loop: event_loop.clone(), fd, token, peer, is_closed: Cell::new(false), server })
    }

    pub(crate) fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    pub(crate) fn event_loop(&self) -> &EventLoopHandle {
        &self.event_loop
    }

    /// Receives into `buffer`; `None` if there is nothing at the moment, zero at
    /// the end of the stream.
    pub(crate) fn try_receive(&self, buffer: &mut [u8]) -> Result<Option<usize>> {
        self.check()?;
        if !self.event_loop.is_ready(self.token, Direction::Read) {
            return Ok(None);
        }
        let received = self.event_loop.inner.kernel.recv(self.fd, buffer);
        self.settle(Direction::Read, received, buffer.len())
    }

    /// Sends a part of `data`; `None` if nothing can be sent at the moment.
    pub(crate) fn try_send(&self, data: &[u8]) -> Result<Option<usize>> {
        self.check()?;
        if !self.event_loop.is_ready(self.token, Direction::Write) {
            return Ok(None);
        }
        let sent = self.event_loop.inner.kernel.send(self.fd, data);
        self.settle(Direction::Write, sent, data.len())
    }

    fn settle(&self, direction: Direction, moved: io::Result<usize>, asked: usize) -> Result<Option<usize>> {
        match moved {
            Ok(moved) => {
                if moved < asked {
                    self.event_loop.note_partial(self.token, direction);
                }
                Ok(Some(moved))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.event_loop.clear_ready(self.token, direction);
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until a side may be ready.
    #[track_caller]
    pub(crate) fn ready(&self, direction: Direction) -> Ready<'_> {
        Ready { connection: self, direction, waiter: None, location: Location::caller() }
    }

    /// Ends our side of the stream; the peer reads the end.
    pub(crate) fn write_eof(&self) -> Result<()> {
        self.check()?;
        Ok(self.event_loop.inner.kernel.shutdown_write(self.fd)?)
    }

    /// Closes the socket; whoever waits for it is told.
    pub(crate) fn close(&self) {
        if self.is_closed.replace(true) {
            return;
        }
        // Before the number can be used again (FAULTS P-06).
        self.event_loop.unwatch(self.token);
        self.event_loop.inner.kernel.close(self.fd);
        if let Some(server) = &self.server {
            server.detach();
        }
    }

    fn check(&self) -> Result<()> {
        // A closed loop watches nothing: whoever waited would wait for ever.
        if self.is_closed.get() || self.event_loop.is_closed() {
            Err(Error::from(Refusal::Closed))
        } else {
            Ok(())
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection(fd={}, peer={})", self.fd.as_raw(), self.peer)
    }
}

/// Waits for one side of a connection.
pub(crate) struct Ready<'a> {
    connection: &'a Connection,
    direction: Direction,
    waiter: Option<SlotId>,
    location: &'static Location<'static>,
}

impl Ready<'_> {
    fn stop_waiting(&mut self) {
        if let Some(waiter) = self.waiter.take() {
            self.connection.event_loop.stop_waiting(self.connection.token, self.direction, waiter);
        }
    }
}

impl Future for Ready<'_> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut PollContext<'_>) -> Poll<Result<()>> {
        let connection = self.connection;
        let event_loop = &connection.event_loop;
        self.stop_waiting();
        if event_loop.inner.scheduler.take_cancel() {
            return Poll::Ready(Err(Cancelled.into()));
        }
        connection.check()?;
        if event_loop.is_ready(connection.token, self.direction) {
            return Poll::Ready(Ok(()));
        }
        let waiter = event_loop.wait_ready(connection.token, self.direction, cx.waker(), self.location)?;
        self.waiter = Some(waiter);
        Poll::Pending
    }
}

impl Drop for Ready<'_> {
    fn drop(&mut self) {
        self.stop_waiting();
    }
}

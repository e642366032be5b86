//! A socket of a look-up: UDP or TCP, connected to one server, closed when it is dropped.

use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::Poll;
use std::io;

use rondel_core::{Cancelled, Refusal};

use crate::net::address::Address;
use crate::sources::{Direction, Owner, Waiter};
use crate::sys::{Family, Fd, Interest, SocketKind, Token};
use crate::{EventLoopHandle, Result};

use super::Asker;

/// A connected socket.
pub(super) struct Socket<'a> {
    event_loop: &'a EventLoopHandle,
    fd: Fd,
    token: Option<Token>,
}

impl<'a> Socket<'a> {
    /// Opens a socket and connects it, so that only this server's answers are received.
    ///
    /// # Errors
    /// If the system refuses a socket or the connection, or the descriptor table is full.
    pub(super) async fn connect(asker: Asker<'a>, kind: SocketKind, server: SocketAddr) -> Result<Self> {
        let Asker { event_loop, location } = asker;
        let kernel = &event_loop.inner.kernel;
        let server = Address::from(server);
        // The system chooses the port, at random, and a new one each time.
        let fd = kernel.socket(Family::of(&server), kind, 0)?;
        let mut socket = Self { event_loop, fd, token: None };
        let is_connected = kernel.connect(fd, &server)?;
        let token = event_loop.watch(fd, Owner::Lookup, Interest::BOTH, location)?;
        socket.token = Some(token);
        if !is_connected {
            socket.ready(token, Direction::Write).await?;
            if let Some(error) = kernel.take_error(fd)? {
                return Err(error.into());
            }
        }
        Ok(socket)
    }

    pub(super) fn event_loop(&self) -> &EventLoopHandle {
        self.event_loop
    }

    /// Receives a datagram, or a part of a stream; zero at its end.
    ///
    /// # Errors
    /// The system's, such as that the server's port is closed; `Cancelled`.
    pub(super) async fn receive(&self, buf: &mut [u8]) -> Result<usize> {
        self.transfer(Direction::Read, |event_loop, fd| event_loop.inner.kernel.recv(fd, buf)).await
    }

    /// Sends a datagram, or the whole of `data`.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub(super) async fn send(&self, mut data: &[u8]) -> Result<()> {
        while !data.is_empty() {
            let send = |event_loop: &EventLoopHandle, fd| event_loop.inner.kernel.send(fd, data);
            let sent = self.transfer(Direction::Write, send).await?;
            data = &data[sent.min(data.len())..];
        }
        Ok(())
    }

    async fn transfer(
        &self,
        direction: Direction,
        mut operation: impl FnMut(&EventLoopHandle, Fd) -> io::Result<usize>,
    ) -> Result<usize> {
        let Some(token) = self.token else { return Err(Refusal::Closed.into()) };
        loop {
            self.ready(token, direction).await?;
            match operation(self.event_loop, self.fd) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.event_loop.clear_ready(token, direction);
                }
                moved => return Ok(moved?),
            }
        }
    }

    /// Waits until a side may be ready.
    fn ready(&self, token: Token, direction: Direction) -> impl Future<Output = Result<()>> {
        let mut waiting = Waiting { socket: self, token, direction, waiter: None };
        poll_fn(move |cx| {
            waiting.stop();
            if self.event_loop.inner.scheduler.take_cancel() {
                return Poll::Ready(Err(Cancelled.into()));
            }
            if self.event_loop.is_closed() {
                return Poll::Ready(Err(Refusal::Closed.into()));
            }
            if self.event_loop.is_ready(token, direction) {
                return Poll::Ready(Ok(()));
            }
            let waiter = self.event_loop.wait_ready(token, direction, cx.waker());
            match waiter {
                Ok(waiter) => {
                    waiting.waiter = Some(waiter);
                    Poll::Pending
                }
                Err(error) => Poll::Ready(Err(error)),
            }
        })
    }
}

impl Drop for Socket<'_> {
    fn drop(&mut self) {
        // Before the number can be used again (FAULTS P-06).
        if let Some(token) = self.token.take() {
            self.event_loop.unwatch(token);
        }
        self.event_loop.inner.kernel.close(self.fd);
    }
}

/// A wait, taken back when it is dropped.
struct Waiting<'a, 'b> {
    socket: &'a Socket<'b>,
    token: Token,
    direction: Direction,
    waiter: Option<Waiter>,
}

impl Waiting<'_, '_> {
    fn stop(&mut self) {
        if let Some(waiter) = self.waiter.take() {
            self.socket.event_loop.stop_waiting(self.token, self.direction, waiter);
        }
    }
}

impl Drop for Waiting<'_, '_> {
    fn drop(&mut self) {
        self.stop();
    }
}

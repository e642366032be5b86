//! A connected stream socket, or the end of a pipe: its readiness, what it has to
//! send, and its end.

mod driver;
mod end;
mod reading;
mod report;
mod state;

mod file;
mod marks;
mod queue;
mod transfer;

mod description;
mod drained;
mod handled;
mod pipe;
mod tls;

use core::cell::{Cell, OnceCell};
use core::fmt;
use std::rc::Rc;

use rondel_core::Refusal;

pub(crate) use self::drained::Until;
pub(crate) use self::handled::Handled;
pub(crate) use self::pipe::PipeEnd;
use self::state::State;
use crate::net::address::{Address, PackedAddress};
use crate::net::flow::Flow;
use crate::net::server::Attached;
use crate::protocol::AnyProtocol;
use crate::sources::Owner;
use crate::sys::{Fd, Interest, SocketOption, Token};
use crate::tls::TlsState;
use crate::{Error, EventLoopHandle, Result};

/// A connected stream socket, or the end of a pipe. Registered once; edges tell when to try again, so
/// its steady state costs no system call but the transfers.
///
/// With a protocol it is driven: a handler of the loop reads for it. Without one
/// it is a stream, and tasks read; those get a handler only when something has
/// to be sent for them in the background.
pub(crate) struct Connection {
    event_loop: EventLoopHandle,
    fd: Fd,
    state: Cell<State>,
    token: Token,
    /// Invariant: taken out only for a moment, in which no other code runs.
    protocol: Cell<Option<Rc<dyn AnyProtocol>>>,
    /// Is made when something is queued, or waited for, for the first time.
    /// Invariant: as of `protocol`.
    flow: Cell<Option<Box<Flow>>>,
    /// Invariant: as of `protocol`.
    tls: Cell<Option<Box<TlsState>>>,
    peer: PackedAddress,
    local: OnceCell<PackedAddress>,
    /// Is told when the connection is gone.
    server: Option<Attached>,
    /// Counts the writes that were dropped, up to where that is worth a warning.
    dropped_writes: Cell<u8>,
}

impl Connection {
    /// Takes over a connected socket; `token` names it if it is watched already.
    ///
    /// # Errors
    /// If the descriptor table is full; the socket is closed then.
    pub(crate) fn new(
        event_loop: &EventLoopHandle,
        fd: Fd,
        token: Option<Token>,
        peer: Address,
        server: Option<Attached>,
    ) -> Result<Rc<Self>> {
        let kernel = &event_loop.inner.kernel;
        if peer.as_inet().is_some() {
            // A socket that can't do it is served without (CC-11).
            let _ = kernel.set_option(fd, SocketOption::NoDelay, 1);
        }
        let watched = match token {
            Some(token) => {
                kernel.reregister(fd, token, Interest::STREAM).map(|()| token).map_err(Error::from)
            }
            None => event_loop.watch(fd, Owner::Stream, Interest::STREAM),
        };
        let token = match watched {
            Ok(token) => token,
            Err(error) => {
                if let Some(token) = token {
                    event_loop.unwatch(token);
                }
                kernel.close(fd);
                return Err(error);
            }
        };
        let connection = Rc::new(Self {
            event_loop: event_loop.clone(),
            fd,
            // The first send will tell.
            state: Cell::new(State(State::WRITABLE)),
            token,
            protocol: Cell::new(None),
            flow: Cell::new(None),
            tls: Cell::new(None),
            peer: peer.into(),
            local: OnceCell::new(),
            server,
            dropped_writes: Cell::new(0),
        });
        event_loop.set_description(token, Rc::<Self>::downgrade(&connection));
        event_loop.inner.meters.connections_opened.add(1);
        Ok(connection)
    }

    pub(crate) fn event_loop(&self) -> &EventLoopHandle {
        &self.event_loop
    }

    pub(crate) fn peer_addr(&self) -> Address {
        self.peer.unpack()
    }

    pub(crate) fn local_addr(&self) -> Option<Address> {
        if self.local.get().is_none() && !self.has(State::CLOSED) {
            let _ = self.local.set(self.event_loop.inner.kernel.local_addr(self.fd).ok()?.into());
        }
        self.local.get().map(PackedAddress::unpack)
    }

    pub(super) fn token(&self) -> Token {
        self.token
    }

    /// Returns the descriptor, as long as it is open.
    pub(crate) fn fd(&self) -> Result<Fd> {
        if self.has(State::CLOSED) { Err(Refusal::Closed.into()) } else { Ok(self.fd) }
    }

    /// Tells whether a server looks at how its handler ends.
    pub(crate) fn is_handled(&self) -> bool {
        self.has(State::HANDLED)
    }

    #[inline]
    fn has(&self, flags: u32) -> bool {
        self.state.get().0 & flags != 0
    }

    /// Sets flags; tells whether one of them was set before.
    #[inline]
    fn set(&self, flags: u32) -> bool {
        let state = self.state.get();
        self.state.set(State(state.0 | flags));
        state.0 & flags != 0
    }

    #[inline]
    fn unset(&self, flags: u32) {
        self.state.set(State(self.state.get().0 & !flags));
    }

    /// Calls `look` with what there is to send, if there ever was something.
    #[inline]
    fn with_flow<R>(&self, look: impl FnOnce(&mut Flow) -> R) -> Option<R> {
        let mut flow = self.flow.take()?;
        let result = look(&mut flow);
        self.flow.set(Some(flow));
        Some(result)
    }

    /// Calls `look` with what there is to send.
    fn with_new_flow<R>(&self, look: impl FnOnce(&mut Flow) -> R) -> R {
        let mut flow = self.flow.take().unwrap_or_default();
        let result = look(&mut flow);
        self.flow.set(Some(flow));
        result
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.forget_queued();
        self.finish();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fd={}, ", self.fd.as_raw())?;
        if self.is_pipe() {
            f.write_str("pipe")?;
        } else {
            write!(f, "peer={}", self.peer_addr())?;
        }
        if self.is_closing() {
            f.write_str(if self.is_closed() { ", closed" } else { ", closing" })?;
        }
        Ok(())
    }
}

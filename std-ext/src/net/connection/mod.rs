//! A connected stream socket, or the end of a pipe: its readiness, what it has to
//! send, and its end.

mod beginning;
mod driver;
mod end;
mod reading;
mod report;
mod state;

mod file;
mod marks;
mod queue;
mod transfer;

mod details;

mod served;

mod description;
mod drained;
mod handled;
mod pipe;
mod tls;

#[cfg(all(test, target_pointer_width = "64"))]
mod account;

use core::cell::Cell;
use core::fmt;
use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use core::panic::Location;
use std::rc::Rc;

use rondel_core::Refusal;

use self::details::Details;
pub(crate) use self::drained::Until;
pub(crate) use self::handled::Handled;
pub(crate) use self::pipe::PipeEnd;
pub(crate) use self::state::Halves;
use self::state::State;
use crate::net::address::{Address, UnixAddr};
use crate::net::server::{Membership, Origin};
use crate::protocol::AnyProtocol;
use crate::sources::Owner;
use crate::sys::{Fd, Interest, SocketOption, Token};
use crate::{Error, EventLoopHandle, Result};

/// A connected stream socket, or the end of a pipe. Registered once; edges tell when to try again, so
/// its steady state costs no system call but the transfers.
///
/// With a protocol it is driven: a handler of the loop reads for it. Without one
/// it is a stream, and tasks read; those get a handler only when something has
/// to be sent for them in the background.
pub(crate) struct Connection {
    origin: Rc<Origin>,
    token: Token,
    /// Invariant: taken out only for a moment, in which no other code runs.
    protocol: Cell<Option<Rc<dyn AnyProtocol>>>,
    /// Is made by the first who needs some of it.
    /// Invariant: as of `protocol`.
    details: Cell<Option<Box<Details>>>,
    state: Cell<State>,
    fd: Fd,
    /// Is the address of the peer if `State::IPV4` says so; any other is among the details.
    peer: SocketAddrV4,
    membership: Cell<Membership>,
    halves: Cell<Halves>,
}

// There are very many: with the two counts of its `Rc` it fills a block of 72 bytes.
const _: () = assert!(size_of::<Connection>() <= 56);

impl Connection {
    /// Takes over a connected socket; `token` names it if it is watched already.
    ///
    /// # Errors
    /// If the descriptor table is full; the socket is closed then.
    pub(crate) fn new(origin: Rc<Origin>, fd: Fd, token: Option<Token>, peer: Address) -> Result<Rc<Self>> {
        let event_loop = &origin.event_loop;
        let kernel = &event_loop.inner.kernel;
        if peer.as_inet().is_some() {
            // A socket that can't do it is served without (CC-11).
            let _ = kernel.set_option(fd, SocketOption::NoDelay, 1);
        }
        let watched = match token {
            Some(token) => {
                kernel.reregister(fd, token, Interest::STREAM).map(|()| token).map_err(Error::from)
            }
            None => event_loop.watch(fd, Owner::Stream, Interest::STREAM, origin.location),
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
        // The first send will tell.
        let connection = Rc::new(Self::watched(origin, fd, token, State(State::WRITABLE), peer));
        let event_loop = connection.event_loop();
        event_loop.set_description(token, Rc::<Self>::downgrade(&connection));
        event_loop.inner.meters.connections_opened.add(1);
        Ok(connection)
    }

    /// Makes a connection of a descriptor that is watched.
    fn watched(origin: Rc<Origin>, fd: Fd, token: Token, mut state: State, peer: Address) -> Self {
        let mut details = None;
        let peer = match peer {
            Address::Inet(SocketAddr::V4(peer)) => {
                state.0 |= State::IPV4;
                peer
            }
            peer => {
                if peer != Address::from(UnixAddr::default()) {
                    details = Some(Box::new(Details { peer: Some(Box::new(peer)), ..Details::default() }));
                }
                SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)
            }
        };
        Self {
            origin,
            token,
            protocol: Cell::new(None),
            details: Cell::new(details),
            state: Cell::new(state),
            fd,
            peer,
            membership: Cell::default(),
            halves: Cell::default(),
        }
    }

    /// Returns where it, or the server that has accepted it, was asked for.
    pub(crate) fn location(&self) -> &'static Location<'static> {
        self.origin.location
    }

    #[inline]
    pub(crate) fn event_loop(&self) -> &EventLoopHandle {
        &self.origin.event_loop
    }

    pub(crate) fn peer_addr(&self) -> Address {
        if self.has(State::IPV4) {
            return SocketAddr::V4(self.peer).into();
        }
        let peer = self.with_details(|details| details.peer.as_deref().cloned()).flatten();
        peer.unwrap_or_else(|| UnixAddr::default().into())
    }

    pub(crate) fn local_addr(&self) -> Option<Address> {
        if self.is_pipe() {
            return Some(UnixAddr::default().into());
        }
        if self.has(State::CLOSED) {
            return self.with_details(|details| details.local.as_deref().cloned()).flatten();
        }
        self.event_loop().inner.kernel.local_addr(self.fd).ok()
    }

    /// Keeps the address of our side, which the system tells while the socket is open.
    fn keep_local_addr(&self) {
        if !self.is_pipe()
            && let Some(addr) = self.local_addr()
        {
            self.with_new_details(|details| details.local = Some(Box::new(addr)));
        }
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

    #[inline]
    pub(crate) fn has_half(&self, flag: u8) -> bool {
        self.halves.get().0 & flag != 0
    }

    #[inline]
    pub(crate) fn set_half(&self, flag: u8) {
        self.halves.set(Halves(self.halves.get().0 | flag));
    }

    /// Clears a flag; tells whether it was set.
    #[inline]
    pub(crate) fn unset_half(&self, flag: u8) -> bool {
        let halves = self.halves.get().0;
        self.halves.set(Halves(halves & !flag));
        halves & flag != 0
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

//! A listening socket.

use core::cell::{Cell, RefCell};
use core::fmt;
use core::time::Duration;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rondel_core::{Callback, SlotId};

use crate::dns::{AddrInfoFlags, IpFamily};
use crate::exception::subject::Subject;
use crate::net::acceptor::Acceptor;
use crate::net::address::Address;
use crate::net::address_error::AddressError;
use crate::net::adopt::adopt;
use crate::net::server::{Origin, ServerState};
use crate::net::unix::{self, SocketFile};
use crate::sources::{Direction, Owner};
use crate::sys::{Family, Fd, Interest, SocketKind, SocketOption, Token};
use crate::{Error, EventLoopHandle, Result, TimerHandle};

/// Is how long accepting rests when descriptors or memory ran out (SV-8).
const ACCEPT_RETRY_DELAY: Duration = Duration::from_secs(1);

/// How a listening socket is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListenOptions {
    pub(crate) backlog: u32,
    pub(crate) reuse_address: bool,
    pub(crate) reuse_port: bool,
    pub(crate) family: Option<IpFamily>,
    /// Is what the look-up of the host is asked for, beside addresses to listen on.
    pub(crate) flags: AddrInfoFlags,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            backlog: 100,
            reuse_address: true,
            reuse_port: false,
            family: None,
            flags: AddrInfoFlags::default(),
        }
    }
}

/// A socket that listens, or will.
pub struct Listener {
    pub(super) event_loop: EventLoopHandle,
    pub(super) fd: Fd,
    pub(crate) addr: Address,
    pub(super) backlog: u32,
    file: Option<SocketFile>,
    token: Cell<Option<Token>>,
    handler: Cell<Option<SlotId>>,
    is_closed: Cell<bool>,
    /// Is what ends the rest of accepting, while something has run out.
    rest: RefCell<Option<TimerHandle>>,
}

impl Listener {
    /// Makes a socket and binds it.
    ///
    /// # Errors
    /// As `socket`, `setsockopt` and `bind`; the address is named. No descriptor
    /// is left behind.
    pub(crate) fn bind(
        event_loop: &EventLoopHandle,
        addr: &Address,
        options: ListenOptions,
    ) -> Result<Self, AddressError> {
        let kernel = &event_loop.inner.kernel;
        let family = Family::of(addr);
        let named = |error| AddressError { addr: addr.clone(), error };
        let fd = kernel.socket(family, SocketKind::Stream, 0).map_err(named)?;
        let bound = || {
            if family != Family::Unix {
                kernel.set_option(fd, SocketOption::ReuseAddress, options.reuse_address.into())?;
                if options.reuse_port {
                    kernel.set_option(fd, SocketOption::ReusePort, 1)?;
                }
            }
            if family == Family::Ipv6 {
                // So that one port serves both families (SV-3).
                kernel.set_option(fd, SocketOption::V6Only, 1)?;
            }
            let file = unix::bind(kernel, fd, addr, SocketKind::Stream)?;
            match kernel.local_addr(fd) {
                Ok(addr) => Ok((file, addr)),
                Err(error) => {
                    if let Some(file) = file {
                        file.remove();
                    }
                    Err(error)
                }
            }
        };
        match bound() {
            Ok((file, addr)) => Ok(Self::new(event_loop, fd, addr, options.backlog, file)),
            Err(error) => {
                kernel.close(fd);
                Err(named(error))
            }
        }
    }

    /// Takes over a bound socket, which is closed with the server.
    ///
    /// # Errors
    /// If it is no stream socket.
    pub(crate) fn adopt(event_loop: &EventLoopHandle, socket: OwnedFd, backlog: u32) -> Result<Self> {
        let kernel = &event_loop.inner.kernel;
        let fd = adopt(event_loop, socket, SocketKind::Stream)?;
        match kernel.local_addr(fd) {
            Ok(addr) => Ok(Self::new(event_loop, fd, addr, backlog, None)),
            Err(error) => {
                kernel.close(fd);
                Err(error.into())
            }
        }
    }

    fn new(
        event_loop: &EventLoopHandle,
        fd: Fd,
        addr: Address,
        backlog: u32,
        file: Option<SocketFile>,
    ) -> Self {
        Self {
            event_loop: event_loop.clone(),
            fd,
            addr,
            backlog: backlog.clamp(1, i32::MAX as u32),
            file,
            token: Cell::new(None),
            handler: Cell::new(None),
            is_closed: Cell::new(false),
            rest: RefCell::new(None),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    pub(crate) fn is_accepting(&self) -> bool {
        self.handler.get().is_some()
    }

    /// Begins to listen and to accept. A second call does nothing.
    ///
    /// # Errors
    /// As `listen`, with the address named; if a table is full. It can be tried
    /// again.
    pub(crate) fn start(self: &Rc<Self>, server: &Rc<ServerState>) -> Result<()> {
        if self.handler.get().is_some() || self.is_closed() {
            return Ok(());
        }
        let listens = self.event_loop.inner.kernel.listen(self.fd, self.backlog.cast_signed());
        listens.map_err(|error| AddressError { addr: self.addr.clone(), error })?;
        let token = match self.token.get() {
            Some(token) => token,
            None => self.event_loop.watch(self.fd, Owner::Server, Interest::READABLE, server.location)?,
        };
        self.token.set(Some(token));
        self.event_loop.set_description(token, Rc::<ServerState>::downgrade(server));
        let (listener, server, origin) = (Rc::clone(self), Rc::clone(server), Origin::of_server(server));
        let location = server.location;
        let acceptor = Acceptor { listener, server, origin };
        let erase = |acceptor: Acceptor| Callback::handler(move |_: &EventLoopHandle| acceptor.accept());
        let handler = self.event_loop.inner.scheduler.add_handler(acceptor, erase, location);
        let handler = handler.map_err(|refused| refused.refusal())?;
        self.handler.set(Some(handler));
        self.event_loop.listen(token, Direction::Read, handler);
        // What came before was reported to nobody.
        self.accept_again();
        Ok(())
    }

    /// Accepts again after a rest, or because a turn's share was not enough.
    pub(crate) fn accept_again(&self) {
        if let Some(handler) = self.handler.get() {
            self.event_loop.inner.scheduler.make_ready(handler);
        }
    }

    /// Stops accepting and closes the socket, now (SV-10).
    pub(crate) fn close(&self) {
        if self.is_closed.replace(true) {
            return;
        }
        if let Some(token) = self.token.take() {
            self.event_loop.unwatch(token);
        }
        if let Some(file) = &self.file {
            file.remove();
        }
        self.event_loop.inner.kernel.close(self.fd);
        if let Some(handler) = self.handler.take() {
            self.event_loop.inner.scheduler.cancel_call(&self.event_loop, handler);
        }
        if let Some(rest) = self.rest.take() {
            rest.cancel();
        }
    }

    pub(super) fn is_resting(&self) -> bool {
        self.rest.borrow().is_some()
    }

    /// Rests until descriptors or memory may be free again, or whatever it was
    /// is over: one report and one timer, however many clients knock (FAULTS A-01).
    pub(super) fn rest(self: &Rc<Self>, server: &ServerState, message: &str, error: io::Error) {
        let subject = Subject::socket(self.fd, server.location);
        self.event_loop.report_about(&subject, message, Some(&Error::from(error)));
        let resting = Rc::downgrade(self);
        let end_rest = move |_: &EventLoopHandle| {
            if let Some(listener) = resting.upgrade() {
                listener.rest.replace(None);
                listener.accept_again();
            }
        };
        let timer = self.event_loop.call_later_from(ACCEPT_RETRY_DELAY, end_rest, server.location);
        // Without room for a timer the next connection makes the next attempt.
        self.rest.replace(timer.ok());
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fd={}, {}", self.fd.as_raw(), self.addr)
    }
}

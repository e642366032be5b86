//! A listening socket.

use core::cell::{Cell, RefCell};
use core::fmt;
use core::time::Duration;
use std::io;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::rc::Rc;

use rondel_core::{Callback, Context, SlotId};

use crate::dns::{AddrInfoFlags, IpFamily};
use crate::exception::subject::Subject;
use crate::net::address::Address;
use crate::net::server::{Origin, ServerState};
use crate::net::unix::{self, SocketFile};
use crate::shutdown::Phase;
use crate::sources::{Direction, Owner};
use crate::sys::{Family, Fd, Interest, SocketKind, SocketOption, Token};
use crate::{Error, ErrorKind, EventLoopHandle, Result, TimerHandle};

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
    event_loop: EventLoopHandle,
    fd: Fd,
    pub(crate) addr: Address,
    backlog: u32,
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

    fn is_resting(&self) -> bool {
        self.rest.borrow().is_some()
    }

    /// Rests until descriptors or memory may be free again, or whatever it was
    /// is over: one report and one timer, however many clients knock (FAULTS A-01).
    fn rest(self: &Rc<Self>, server: &ServerState, message: &str, error: io::Error) {
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

/// Takes over a descriptor from outside; it is closed if it is refused.
///
/// # Errors
/// `InvalidInput` if it is not a socket of this kind; `Unsupported` on a kernel
/// without descriptors of the process.
pub(crate) fn adopt(event_loop: &EventLoopHandle, socket: OwnedFd, kind: SocketKind) -> Result<Fd> {
    let kernel = &event_loop.inner.kernel;
    if !kernel.has_real_descriptors() {
        return Err(Error::of(ErrorKind::Io, "this kernel has no descriptors"));
    }
    let fd = Fd::from_raw(socket.into_raw_fd());
    let adopted = || {
        let (_, found) = kernel.socket_kind(fd)?;
        if found != kind {
            let message = match kind {
                SocketKind::Stream => "not a stream socket",
                SocketKind::Datagram => "not a datagram socket",
            };
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        kernel.set_nonblocking(fd)
    };
    match adopted() {
        Ok(()) => Ok(fd),
        Err(error) => {
            kernel.close(fd);
            Err(error.into())
        }
    }
}

/// What failed, and for which address; inside the `io::Error` that users get.
#[derive(Debug)]
pub(crate) struct AddressError {
    pub(crate) addr: Address,
    pub(crate) error: io::Error,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.addr, self.error)
    }
}

impl core::error::Error for AddressError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl From<AddressError> for io::Error {
    fn from(error: AddressError) -> Self {
        Self::new(error.error.kind(), error)
    }
}

impl From<AddressError> for Error {
    fn from(error: AddressError) -> Self {
        io::Error::from(error).into()
    }
}

/// Accepts the connections of one socket.
struct Acceptor {
    listener: Rc<Listener>,
    server: Rc<ServerState>,
    origin: Rc<Origin>,
}

impl Acceptor {
    /// Accepts up to `backlog` connections; the rest follows in the next turn.
    fn accept(&self) {
        let Self { listener, server, origin } = self;
        let mut denied = None;
        for _ in 0..listener.backlog {
            // A callback of the batch may have closed it (SV-13).
            if listener.event_loop.inner.shutdown.phase() != Phase::None {
                return server.close();
            }
            if listener.is_closed() || listener.is_resting() || server.is_full() {
                return;
            }
            match listener.event_loop.inner.kernel.accept(listener.fd) {
                Ok((fd, peer)) => {
                    // The kernel reports what waits already no second time (FAULTS A-03).
                    denied = None;
                    let again = Again(listener);
                    ServerState::connected(origin, fd, peer);
                    core::mem::forget(again);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => match after(&error) {
                    AfterError::Skip => denied = Some(error),
                    AfterError::Rest => {
                        return listener.rest(server, "accept is out of system resources", error);
                    }
                    AfterError::Report => return listener.rest(server, "accept failed", error),
                },
            }
        }
        match denied.filter(|error| error.kind() == io::ErrorKind::PermissionDenied) {
            // Not a firewall, which denies some: nobody may accept here (FAULTS P-13).
            Some(error) => listener.rest(server, "accept failed", error),
            None => listener.accept_again(),
        }
    }
}

impl Drop for Acceptor {
    /// Also when the loop is closed: nobody accepts any more. One that was refused
    /// its place among the handlers has accepted nothing, and ends nothing.
    fn drop(&mut self) {
        if self.listener.is_accepting() {
            self.listener.close();
            let _ = self.listener.event_loop.guard(|| self.server.listener_closed());
        }
    }
}

/// Accepts the rest in the next turn when user code panics.
struct Again<'a>(&'a Listener);

impl Drop for Again<'_> {
    fn drop(&mut self) {
        self.0.accept_again();
    }
}

/// What to do after `accept` failed (FAULTS A-02).
enum AfterError {
    /// The connection is gone, or the network hiccuped: take the next one.
    Skip,
    /// Something ran out.
    Rest,
    /// Nobody expects this one; it may come again at once.
    Report,
}

fn after(error: &io::Error) -> AfterError {
    if crate::sys::is_of_one_connection(error) {
        AfterError::Skip
    } else if crate::sys::is_out_of_resources(error) {
        AfterError::Rest
    } else {
        AfterError::Report
    }
}

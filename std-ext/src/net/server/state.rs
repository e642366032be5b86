//! A server, as its listeners and its connections know it.

use core::cell::{Cell, RefCell};
use core::net::SocketAddr;
use std::rc::{Rc, Weak};

use rondel_core::{Context, ExceptionContext};
use slab::Slab;

use crate::net::address::Address;
use crate::net::connection::Connection;
use crate::net::listener::Listener;
use crate::snapshot::{Describe, DescriptorRow, SnapshotAddr};
use crate::sys::Fd;
use crate::tls::TlsState;
use crate::{Error, ErrorKind, EventLoopHandle, Future, Result};

/// Is told about each connection that could not be served.
pub(super) type RefusedHook = Box<dyn Fn(&EventLoopHandle, &Error)>;

/// Makes something of each accepted connection.
type Factory = Box<dyn FnMut(&Rc<Connection>) -> Result<()>>;

/// Begins a TLS session for each accepted connection.
pub(crate) type BeginTls = Box<dyn Fn() -> Result<Box<TlsState>>>;

/// A server, as its listeners and its connections know it.
pub(crate) struct ServerState {
    pub(super) event_loop: EventLoopHandle,
    pub(super) local_addr: SocketAddr,
    pub(super) listeners: RefCell<Vec<Rc<Listener>>>,
    /// Is gone when the server is closed.
    pub(super) make: RefCell<Option<Factory>>,
    pub(super) clients: RefCell<Slab<Weak<Connection>>>,
    pub(super) max_connections: usize,
    pub(super) accepted: Cell<u64>,
    pub(super) refused: Cell<u64>,
    pub(super) on_refused: Option<RefusedHook>,
    pub(super) begin_tls: Option<BeginTls>,
    pub(super) is_closed: Cell<bool>,
    /// Is set when the last connection is gone; made by the first who waits.
    pub(super) over: RefCell<Option<Future<()>>>,
}

impl Describe for ServerState {
    fn describe(&self, row: &mut DescriptorRow) {
        let addr = self.event_loop.inner.kernel.local_addr(Fd::from_raw(row.fd));
        row.local = addr.map_or(SnapshotAddr::None, |addr| SnapshotAddr::new(&addr));
        row.connections = Some(self.clients.borrow().len());
        row.state = "listening";
    }
}

impl ServerState {
    pub(crate) fn is_full(&self) -> bool {
        self.clients.borrow().len() >= self.max_connections
    }

    /// Takes over an accepted connection, or closes it, counted and told.
    pub(crate) fn connected(self: &Rc<Self>, fd: Fd, peer: Address) {
        let key = self.clients.borrow_mut().insert(Weak::new());
        let (key_of_it, is_made) = (Cell::new(Some(key)), Cell::new(self.begin_tls.is_none()));
        let attached = Attached { server: Rc::clone(self), key: key_of_it, is_made };
        match self.make_connection(fd, peer, attached) {
            Ok(connection) => {
                self.accepted.set(self.accepted.get() + 1);
                self.event_loop.inner.meters.connections_accepted.add(1);
                if let Some(client) = self.clients.borrow_mut().get_mut(key)
                    && !connection.is_closed()
                {
                    *client = Rc::downgrade(&connection);
                }
            }
            Err(error) => self.refuse(&error),
        }
    }

    fn make_connection(&self, fd: Fd, peer: Address, attached: Attached) -> Result<Rc<Connection>> {
        let connection = Connection::new(&self.event_loop, fd, None, peer, Some(attached))?;
        match &self.begin_tls {
            Some(begin_tls) => connection.start_tls(begin_tls()?)?,
            None => self.make(&connection)?,
        }
        Ok(connection)
    }

    /// Makes something of a connection that is ready for it.
    fn make(&self, connection: &Rc<Connection>) -> Result<()> {
        let Some(make) = self.make.take() else { return Err(closed()) };
        let mut lent = Lent { server: self, make: Some(make) };
        self.event_loop
            .guard(|| lent.make(connection))
            .unwrap_or_else(|_| Err(Error::of(ErrorKind::Panicked, "the factory panicked")))
    }

    fn refuse(&self, error: &Error) {
        self.refused.set(self.refused.get() + 1);
        self.event_loop.inner.meters.connections_refused.add(1);
        match &self.on_refused {
            Some(hook) => {
                let _ = self.event_loop.guard(|| hook(&self.event_loop, error));
            }
            // Reported already, by the guard.
            None if error.kind() == ErrorKind::Panicked => {}
            None => {
                let context = ExceptionContext::new("connection refused").with_exception(error);
                self.event_loop.call_exception_handler(&context);
            }
        }
    }

    pub(crate) fn close(&self) {
        self.is_closed.set(true);
        let listeners = self.listeners.take();
        for listener in &listeners {
            listener.close();
        }
        // Lent if it is the factory that closes: it goes when it has returned.
        let make = self.make.take();
        drop(make);
        self.tell_waiters();
    }

    /// Is called when a listener was closed, by the server or by its loop; with
    /// the loop the server is closed too.
    pub(crate) fn listener_closed(&self) {
        if self.event_loop.is_closed() {
            self.close();
        }
    }

    pub(super) fn is_over(&self) -> bool {
        (self.is_closed.get() || self.event_loop.is_closed()) && self.clients.borrow().is_empty()
    }

    pub(crate) fn tell_waiters(&self) {
        if self.is_over()
            && let Some(over) = self.over.take()
        {
            // Refused only by a closed loop, where nobody waits.
            let _ = over.set_result(());
        }
    }

    /// Returns what is set when the server is over.
    pub(super) fn over(&self) -> Result<Future<()>> {
        if let Some(over) = &*self.over.borrow() {
            return Ok(over.clone());
        }
        let over = self.event_loop.create_future::<()>()?;
        self.over.replace(Some(over.clone()));
        Ok(over)
    }

    pub(super) fn clients(&self) -> Vec<Rc<Connection>> {
        self.clients.borrow().iter().filter_map(|(_, client)| client.upgrade()).collect()
    }
}

/// The factory while it runs. It goes back to its server, or goes if that was
/// closed meanwhile: a factory may hold its own server.
struct Lent<'a> {
    server: &'a ServerState,
    make: Option<Factory>,
}

impl Lent<'_> {
    fn make(&mut self, connection: &Rc<Connection>) -> Result<()> {
        self.make.as_mut().map_or_else(|| Err(closed()), |make| make(connection))
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if !self.server.is_closed.get() {
            self.server.make.replace(self.make.take());
        }
    }
}

pub(super) fn closed() -> Error {
    Error::of(ErrorKind::Closed, "the server is closed")
}

/// Says that a connection belongs to a server, and when it doesn't any more.
pub(crate) struct Attached {
    server: Rc<ServerState>,
    /// Tells that something was made of the connection.
    is_made: Cell<bool>,
    /// Is the place among the clients, until the socket is closed: it is somebody
    /// else's afterwards, and the connection may live on in a transport's hands.
    key: Cell<Option<usize>>,
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.detach();
    }
}

impl Attached {
    /// Is called when the handshake of an accepted connection is over.
    pub(crate) fn opened(&self, connection: &Rc<Connection>) {
        if !self.is_made.replace(true)
            && let Err(error) = self.server.make(connection)
        {
            self.server.refuse(&error);
            connection.abort();
        }
    }

    /// Is called when the handshake has failed, counted and told (SV-9).
    pub(crate) fn handshake_failed(&self, error: &Error) {
        if !self.is_made.get() {
            self.server.refuse(error);
        }
    }

    /// Is called when the connection's socket is closed.
    pub(crate) fn detach(&self) {
        let Some(key) = self.key.take() else { return };
        let was_full = self.server.is_full();
        self.server.clients.borrow_mut().try_remove(key);
        if was_full {
            for listener in &*self.server.listeners.borrow() {
                listener.accept_again();
            }
        }
        self.server.tell_waiters();
    }
}

//! A server, as its listeners and its connections know it.

use core::cell::{Cell, RefCell};
use core::net::SocketAddr;
use core::panic::Location;
use std::rc::Rc;

use rondel_core::Context;

use crate::exception::method::Method;
use crate::exception::subject::{Callee, Subject};
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
    /// Is where it was asked for.
    pub(crate) location: &'static Location<'static>,
    pub(super) local_addr: SocketAddr,
    pub(super) listeners: RefCell<Vec<Rc<Listener>>>,
    /// Is gone when the server is closed.
    pub(super) make: RefCell<Option<Factory>>,
    /// Is what of the user's `make` calls.
    pub(super) factory: Method,
    /// Counts the connections whose sockets are open.
    pub(super) clients: Cell<usize>,
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
    fn location(&self) -> &'static Location<'static> {
        self.location
    }

    fn describe(&self, row: &mut DescriptorRow) {
        let addr = self.event_loop.inner.kernel.local_addr(Fd::from_raw(row.fd));
        row.local = addr.map_or(SnapshotAddr::None, |addr| SnapshotAddr::new(&addr));
        row.connections = Some(self.clients.get());
        row.state = "listening";
    }
}

impl ServerState {
    pub(crate) fn is_full(&self) -> bool {
        self.clients.get() >= self.max_connections
    }

    /// Takes over an accepted connection, or closes it, counted and told.
    pub(crate) fn connected(origin: &Rc<Origin>, fd: Fd, peer: Address) {
        let Some(server) = &origin.server else { return };
        let connection = match Connection::new(Rc::clone(origin), fd, None, peer) {
            Ok(connection) => connection,
            Err(error) => {
                let subject = Subject::socket(fd, server.location);
                return server.refuse(&subject, &error);
            }
        };
        match server.begin(&connection) {
            Ok(()) => {
                server.accepted.set(server.accepted.get() + 1);
                server.event_loop.inner.meters.connections_accepted.add(1);
            }
            Err(error) => {
                connection.abort();
                server.refuse(&connection.subject(None), &error);
            }
        }
    }

    fn begin(&self, connection: &Rc<Connection>) -> Result<()> {
        self.clients.set(self.clients.get() + 1);
        connection.join_server();
        if let Some(begin_tls) = &self.begin_tls {
            connection.start_tls(begin_tls()?)?;
            connection.set_membership(Membership::Handshaking);
        } else {
            self.make(connection)?;
            connection.set_membership(Membership::Made);
        }
        Ok(())
    }

    /// Makes something of a connection that is ready for it.
    pub(crate) fn make(&self, connection: &Rc<Connection>) -> Result<()> {
        let Some(make) = self.make.take() else { return Err(closed()) };
        let mut lent = Lent { server: self, make: Some(make) };
        let event_loop = &self.event_loop;
        let callee = || connection.callee(self.factory, None);
        event_loop
            .guard(|| event_loop.call_method(callee, || lent.make(connection)))
            .unwrap_or_else(|_| Err(Error::of(ErrorKind::Panicked, "the factory panicked")))
    }

    /// Counts and tells why a connection was not served (SV-9).
    pub(crate) fn refuse(&self, subject: &Subject, error: &Error) {
        self.refused.set(self.refused.get() + 1);
        let event_loop = &self.event_loop;
        event_loop.inner.meters.connections_refused.add(1);
        match &self.on_refused {
            Some(hook) => {
                let callee = || Callee { method: Method::OnRefused, subject: subject.clone() };
                let _ = event_loop.guard(|| event_loop.call_method(callee, || hook(event_loop, error)));
            }
            // Reported already, by the guard.
            None if error.kind() == ErrorKind::Panicked => {}
            None => event_loop.report_about(subject, "connection refused", Some(error)),
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
        (self.is_closed.get() || self.event_loop.is_closed()) && self.clients.get() == 0
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
        let over = self.event_loop.create_future_from::<()>(self.location)?;
        self.over.replace(Some(over.clone()));
        Ok(over)
    }

    /// Returns the connections that stand, or whose handshake is going on.
    pub(super) fn clients(self: &Rc<Self>) -> Vec<Rc<Connection>> {
        let mut connections = self.event_loop.connections();
        connections.retain(|connection| connection.is_client_of(self));
        connections
    }

    /// Is called when the socket of a connection is closed.
    pub(crate) fn client_left(&self) {
        let was_full = self.is_full();
        self.clients.set(self.clients.get() - 1);
        if was_full {
            for listener in &*self.listeners.borrow() {
                listener.accept_again();
            }
        }
        self.tell_waiters();
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

/// Where connections come from: one for all that a listener accepts, and for each that is made otherwise.
pub(crate) struct Origin {
    pub(crate) event_loop: EventLoopHandle,
    /// Is told when a connection is gone.
    pub(crate) server: Option<Rc<ServerState>>,
    /// Is where the connection or the server was asked for.
    pub(crate) location: &'static Location<'static>,
}

impl Origin {
    /// Is that of a connection that was asked for at `location`, and no server has accepted.
    pub(crate) fn asked_at(location: &'static Location<'static>, event_loop: &EventLoopHandle) -> Rc<Self> {
        Rc::new(Self { event_loop: event_loop.clone(), server: None, location })
    }

    pub(crate) fn of_server(server: &Rc<ServerState>) -> Rc<Self> {
        let (event_loop, location) = (server.event_loop.clone(), server.location);
        Rc::new(Self { event_loop, server: Some(Rc::clone(server)), location })
    }
}

/// What a connection is to the server that has accepted it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Membership {
    /// No server has accepted it, or its socket is closed.
    #[default]
    None,
    /// It counts, and nothing was made of it yet.
    New,
    /// It shakes hands, and something is made of it afterwards.
    Handshaking,
    /// Something was made of it.
    Made,
}

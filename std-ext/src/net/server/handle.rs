//! The handle of a server.

use core::cell::{Cell, RefCell};
use core::fmt;
use core::net::SocketAddr;
use core::panic::Location;
use core::time::Duration;
use std::rc::Rc;

use super::make::MakeConnection;
use super::state::{BeginTls, RefusedHook, ServerState, closed};
use crate::net::address::Address;
use crate::net::listener::Listener;
use crate::{EventLoopHandle, Result, TaskWait};

/// A server that listens. It lives without this handle too (contract SV-12).
///
/// # Python
/// `asyncio.Server`.
#[derive(Clone)]
pub struct Server {
    state: Rc<ServerState>,
}

impl Server {
    pub(super) fn new<M: MakeConnection>(
        event_loop: EventLoopHandle,
        listeners: Vec<Listener>,
        mut make: M,
        max_connections: usize,
        on_refused: Option<RefusedHook>,
        begin_tls: Option<BeginTls>,
        location: &'static Location<'static>,
    ) -> Self {
        let first = listeners.iter().find_map(|listener| listener.addr.as_inet());
        let state = Rc::new(ServerState {
            event_loop,
            location,
            local_addr: first.unwrap_or_else(|| SocketAddr::from(([0; 4], 0))),
            listeners: RefCell::new(listeners.into_iter().map(Rc::new).collect()),
            make: RefCell::new(Some(Box::new(move |connection| make.connected(connection)))),
            factory: M::FACTORY,
            clients: Cell::new(0),
            max_connections,
            accepted: Cell::new(0),
            refused: Cell::new(0),
            on_refused,
            begin_tls,
            is_closed: Cell::new(false),
            over: RefCell::new(None),
        });
        Self { state }
    }

    /// Returns the addresses of the listening sockets, with the ports that were
    /// picked for 0; none once the server is closed (SV-10).
    ///
    /// # Python
    /// `server.sockets`, and their `getsockname()`.
    #[must_use]
    pub fn sockets(&self) -> Vec<Address> {
        self.state.listeners.borrow().iter().map(|listener| listener.addr.clone()).collect()
    }

    /// Returns the internet address of the first socket, with the port that was
    /// picked for 0; also when the server is closed. Of a server of UNIX sockets
    /// it is the unspecified one, `0.0.0.0:0`.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.state.local_addr
    }

    /// Begins to accept, if it doesn't; on a server made with
    /// `start_serving(false)`.
    ///
    /// # Errors
    /// If the kernel refuses to listen, or a table is full: it can be tried again.
    /// `Closed` if the server is.
    ///
    /// # Python
    /// `await server.start_serving()`.
    pub fn start_serving(&self) -> Result<()> {
        if self.state.is_closed.get() {
            return Err(closed());
        }
        let listeners = self.state.listeners.borrow().clone();
        for listener in &listeners {
            listener.start(&self.state)?;
        }
        Ok(())
    }

    /// Tells whether it accepts connections.
    ///
    /// # Python
    /// `server.is_serving()`.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        let listeners = self.state.listeners.borrow();
        listeners.iter().any(|listener| listener.is_accepting())
    }

    /// Counts the open connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state.clients.get()
    }

    /// Counts the connections that were accepted and taken on since the start; with
    /// TLS also those whose handshake failed afterwards, which [`refused`](Self::refused)
    /// counts too.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.state.accepted.get()
    }

    /// Counts the connections that were accepted and could not be served.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.state.refused.get()
    }

    /// Stops accepting, at once; connections are left alone (SV-10). A second
    /// close does nothing.
    ///
    /// # Python
    /// `server.close()`.
    pub fn close(&self) {
        self.state.close();
    }

    /// Closes all connections: each sends what was written first.
    ///
    /// # Python
    /// `server.close_clients()`.
    pub fn close_clients(&self) {
        for client in self.state.clients() {
            client.close();
        }
    }

    /// Ends all connections, without sending what is still in their buffers.
    ///
    /// # Python
    /// `server.abort_clients()`.
    pub fn abort_clients(&self) {
        for client in self.state.clients() {
            client.abort();
        }
    }

    /// Waits until the server is closed and its last connection gone (SV-11).
    ///
    /// # Errors
    /// If the task is cancelled, or there is no room for the wait.
    ///
    /// # Cancellation
    /// Safe; other waiters go on.
    ///
    /// # Python
    /// `await server.wait_closed()`.
    pub async fn wait_closed(&self) -> Result<()> {
        if self.state.is_over() {
            return Ok(());
        }
        let over = self.state.over()?;
        let what = TaskWait::Server(self.state.local_addr);
        Ok(self.state.event_loop.name_wait(what, over.wait()).await?)
    }

    /// Accepts until the task is cancelled, and then closes the server. Ends
    /// without an error if somebody else closes it, when its last connection is
    /// gone.
    ///
    /// # Errors
    /// The cancellation; as [`start_serving`](Self::start_serving).
    ///
    /// # Cancellation
    /// Closes the server, and leaves its connections alone.
    ///
    /// # Python
    /// `await server.serve_forever()`.
    pub async fn serve_forever(&self) -> Result<()> {
        self.start_serving()?;
        let _closed = CloseOnDrop(self);
        self.wait_closed().await
    }

    /// Stops accepting, closes all connections and waits until they have sent
    /// what was written; those that have not after `limit` are aborted. Returns
    /// the peers of the aborted ones (FAULTS A-10).
    ///
    /// # Errors
    /// If the task is cancelled: the server is closed and the connections are
    /// closing then; or if there is no room for the wait.
    ///
    /// # Cancellation
    /// The server is closed, and its connections send what was written; nobody aborts them.
    ///
    /// # Python
    /// None; `close()`, `close_clients()`, `wait_closed()` with a timeout, and `abort_clients()`.
    pub async fn shutdown(&self, limit: Duration) -> Result<Vec<Address>> {
        self.close();
        self.close_clients();
        match self.state.event_loop.timeout(limit, self.wait_closed()).await {
            Ok(waited) => return waited.map(|()| Vec::new()),
            Err(rondel_core::TimeoutError::TimedOut) => {}
            Err(error) => return Err(error.into()),
        }
        let late = self.state.clients();
        for client in &late {
            client.abort();
        }
        self.wait_closed().await?;
        Ok(late.iter().map(|client| client.peer_addr()).collect())
    }
}

/// Closes a server on every way out.
struct CloseOnDrop<'a>(&'a Server);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sockets = self.state.listeners.borrow();
        write!(f, "Server({:?}, connections={})", &*sockets, self.connections())
    }
}

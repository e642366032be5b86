//! Servers: listening sockets, and a task for each connection.

use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::{Future as StdFuture, Ready, ready};
use core::net::SocketAddr;
use core::panic::Location;
use core::time::Duration;
use std::io;
use std::rc::Rc;

use rondel_core::{Callback, ExceptionContext, Outcome, SlotId};

use crate::net::address::Address;
use crate::net::connection::Connection;
use crate::sources::{Direction, Owner};
use crate::streams::{self, StreamReader, StreamWriter};
use crate::sys::{Family, Fd, Interest, SocketKind, SocketOption, Token};
use crate::{Error, EventLoopHandle, Future, Result};

/// Is how long accepting rests when descriptors or memory ran out (SV-8).
const ACCEPT_RETRY_DELAY: Duration = Duration::from_secs(1);

impl EventLoopHandle {
    /// Listens on a TCP address and runs `client_connected` as a task for each
    /// connection.
    ///
    /// An error that the task ends with, and nobody looks at, is reported to the
    /// exception handler. When both halves of the connection are dropped it is
    /// closed.
    ///
    /// ```
    /// # use core::net::Ipv4Addr;
    /// # rondel::run(async |event_loop| {
    /// let server = event_loop
    ///     .start_server((Ipv4Addr::LOCALHOST, 0), async |mut reader, mut writer| {
    ///         while !reader.at_eof() {
    ///             let line = reader.read_line().await?;
    ///             writer.write_all(line).await?;
    ///         }
    ///         Ok::<(), rondel::Error>(())
    ///     })
    ///     .backlog(128)
    ///     .await?;
    /// println!("listening on {}", server.local_addr());
    /// # Ok(())
    /// # })?;
    /// # Ok::<(), rondel::Error>(())
    /// ```
    ///
    /// # Python
    /// `asyncio.start_server(client_connected_cb, host, port)`.
    pub fn start_server<F, Fut>(&self, addr: impl Into<SocketAddr>, client_connected: F) -> StartServer<F>
    where
        F: FnMut(StreamReader, StreamWriter) -> Fut + 'static,
        Fut: StdFuture<Output: Outcome + 'static> + 'static,
    {
        StartServer {
            event_loop: self.clone(),
            addr: addr.into(),
            client_connected,
            backlog: 100,
            reuse_address: true,
            limit: streams::DEFAULT_LIMIT,
        }
    }
}

/// The options of a server; await it to start listening.
#[derive(Debug)]
#[must_use = "does nothing until it is awaited"]
pub struct StartServer<F> {
    event_loop: EventLoopHandle,
    addr: SocketAddr,
    client_connected: F,
    backlog: u32,
    reuse_address: bool,
    limit: usize,
}

impl<F> StartServer<F> {
    /// Sets how many connections the kernel keeps that were not accepted yet,
    /// and how many one turn accepts; 100 at first (contract SV-6, SV-7).
    pub fn backlog(mut self, backlog: u32) -> Self {
        self.backlog = backlog;
        self
    }

    /// Chooses whether the address may be bound while connections of a former
    /// server linger; true at first (SV-6).
    pub fn reuse_address(mut self, reuse_address: bool) -> Self {
        self.reuse_address = reuse_address;
        self
    }

    /// Sets the most bytes that a reader buffers, so the longest line; 64 KiB at
    /// first.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }
}

impl<F, Fut> IntoFuture for StartServer<F>
where
    F: FnMut(StreamReader, StreamWriter) -> Fut + 'static,
    Fut: StdFuture<Output: Outcome + 'static> + 'static,
{
    type Output = Result<Server>;
    type IntoFuture = Ready<Result<Server>>;

    fn into_future(self) -> Self::IntoFuture {
        ready(self.listen())
    }
}

impl<F, Fut> StartServer<F>
where
    F: FnMut(StreamReader, StreamWriter) -> Fut + 'static,
    Fut: StdFuture<Output: Outcome + 'static> + 'static,
{
    #[track_caller]
    fn listen(self) -> Result<Server> {
        let Self { event_loop, addr, client_connected, backlog, reuse_address, limit } = self;
        let name = |error: Error| error.during("start_server");
        let backlog = backlog.clamp(1, i32::MAX as u32);
        let kernel = &event_loop.inner.kernel;
        let fd = open_listener(&**kernel, addr, backlog.cast_signed(), reuse_address)
            .map_err(|error| name(io::Error::new(error.kind(), format!("{addr}: {error}")).into()))?;
        // From here on a failure closes the socket.
        let listening = Rc::new(Listening::new(&event_loop, fd, backlog));
        let addr = kernel.local_addr(fd)?.as_inet().unwrap_or(addr);
        let token = event_loop.watch(fd, Owner::Server, Interest::READABLE).map_err(name)?;
        listening.token.set(Some(token));
        let acceptor = Acceptor { listening: Rc::clone(&listening), client_connected, limit };
        let acceptor = Box::new(RefCell::new(acceptor));
        let erase = |acceptor: Box<RefCell<Acceptor<F>>>| {
            Callback::handler(move |event_loop: &EventLoopHandle| {
                if let Ok(mut acceptor) = acceptor.try_borrow_mut() {
                    acceptor.accept(event_loop);
                }
            })
        };
        let handler = event_loop.inner.scheduler.add_handler(acceptor, erase, Location::caller());
        let handler = handler.map_err(|refused| name(refused.refusal().into()))?;
        listening.handler.set(Some(handler));
        event_loop.listen(token, Direction::Read, handler);
        Ok(Server { listening, addr })
    }
}

fn open_listener(
    kernel: &dyn crate::sys::Kernel,
    addr: SocketAddr,
    backlog: i32,
    reuse_address: bool,
) -> io::Result<Fd> {
    let addr = Address::from(addr);
    let family = Family::of(&addr);
    let fd = kernel.socket(family, SocketKind::Stream, 0)?;
    let set_up = || {
        kernel.set_option(fd, SocketOption::ReuseAddress, reuse_address.into())?;
        if family == Family::Ipv6 {
            kernel.set_option(fd, SocketOption::V6Only, 1)?;
        }
        kernel.bind(fd, &addr)?;
        kernel.listen(fd, backlog)
    };
    set_up().inspect_err(|_| kernel.close(fd))?;
    Ok(fd)
}

/// A listening socket, shared by its server, its acceptor and its connections.
pub(crate) struct Listening {
    event_loop: EventLoopHandle,
    fd: Fd,
    token: Cell<Option<Token>>,
    handler: Cell<Option<SlotId>>,
    backlog: u32,
    is_closed: Cell<bool>,
    /// Tells that accepting rests because something ran out.
    is_resting: Cell<bool>,
    connections: Cell<usize>,
    refused: Cell<u64>,
    /// Is set when the last connection is gone; made by the first who waits.
    over: RefCell<Option<Future<()>>>,
}

impl Listening {
    fn new(event_loop: &EventLoopHandle, fd: Fd, backlog: u32) -> Self {
        Self {
            event_loop: event_loop.clone(),
            fd,
            token: Cell::new(None),
            handler: Cell::new(None),
            backlog,
            is_closed: Cell::new(false),
            is_resting: Cell::new(false),
            connections: Cell::new(0),
            refused: Cell::new(0),
            over: RefCell::new(None),
        }
    }

    pub(crate) fn attach(&self) {
        self.connections.set(self.connections.get() + 1);
    }

    pub(crate) fn detach(&self) {
        self.connections.set(self.connections.get() - 1);
        self.tell_waiters();
    }

    fn close(&self) {
        if self.is_closed.replace(true) {
            return;
        }
        if let Some(token) = self.token.take() {
            self.event_loop.unwatch(token);
        }
        self.event_loop.inner.kernel.close(self.fd);
        if let Some(handler) = self.handler.take() {
            self.event_loop.inner.scheduler.cancel_call(&self.event_loop, handler);
        }
        self.tell_waiters();
    }

    fn is_over(&self) -> bool {
        self.is_closed.get() && self.connections.get() == 0
    }

    fn tell_waiters(&self) {
        if self.is_over()
            && let Some(over) = self.over.take()
        {
            // Refused only by a closed loop, where nobody waits.
            let _ = over.set_result(());
        }
    }

    /// Returns what is set when the server is over.
    fn over(&self) -> Result<Future<()>> {
        if let Some(over) = &*self.over.borrow() {
            return Ok(over.clone());
        }
        let over = self.event_loop.create_future::<()>()?;
        self.over.replace(Some(over.clone()));
        Ok(over)
    }

    /// Accepts again after a rest, or because a turn's share was not enough.
    fn accept_again(&self) {
        if let Some(handler) = self.handler.get() {
            self.event_loop.inner.scheduler.make_ready(handler);
        }
    }

    fn report(&self, message: &str, error: &Error) {
        let socket = self.fd.as_raw();
        let mut context = ExceptionContext::new(message).with_exception(error);
        context.socket = Some(&socket);
        self.event_loop.call_exception_handler(&context);
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listening(fd={}, connections={})", self.fd.as_raw(), self.connections.get())
    }
}

/// Accepts connections and makes their tasks.
struct Acceptor<F> {
    listening: Rc<Listening>,
    client_connected: F,
    limit: usize,
}

impl<F, Fut> Acceptor<F>
where
    F: FnMut(StreamReader, StreamWriter) -> Fut + 'static,
    Fut: StdFuture<Output: Outcome + 'static> + 'static,
{
    /// Accepts up to `backlog` connections; the rest follows in the next turn.
    fn accept(&mut self, event_loop: &EventLoopHandle) {
        let listening = Rc::clone(&self.listening);
        let _again = AgainAfterPanic(&listening);
        for _ in 0..self.listening.backlog {
            if self.listening.is_closed.get() || self.listening.is_resting.get() {
                return;
            }
            match event_loop.inner.kernel.accept(self.listening.fd) {
                Ok((fd, peer)) => self.connected(event_loop, fd, peer),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => match after(&error) {
                    AfterError::Skip => {}
                    AfterError::Rest => {
                        return self.rest(event_loop, "accept is out of system resources", error);
                    }
                    AfterError::Report => return self.rest(event_loop, "accept failed", error),
                },
            }
        }
        self.listening.accept_again();
    }

    fn connected(&mut self, event_loop: &EventLoopHandle, fd: Fd, peer: Address) {
        let peer = peer.as_inet().unwrap_or(SocketAddr::from(([0; 4], 0)));
        let listening = Some(Rc::clone(&self.listening));
        let connection = match Connection::new(event_loop, fd, peer, listening) {
            Ok(connection) => connection,
            Err(error) => return self.refuse(&error),
        };
        let (reader, writer) = streams::open(connection, self.limit);
        let task = event_loop.create_task((self.client_connected)(reader, writer));
        if let Err(refused) = task {
            self.refuse(&refused.into());
        }
    }

    /// Counts and reports a connection that there was no room for; it is closed.
    fn refuse(&self, error: &Error) {
        let listening = &self.listening;
        listening.refused.set(listening.refused.get() + 1);
        listening.report("connection refused", error);
    }

    /// Rests until descriptors or memory may be free again, or whatever it was
    /// is over: one report and one timer, however many clients knock (FAULTS A-01).
    fn rest(&self, event_loop: &EventLoopHandle, message: &str, error: io::Error) {
        let listening = &self.listening;
        listening.report(message, &error.into());
        let resting = Rc::downgrade(listening);
        let timer = event_loop.call_later(ACCEPT_RETRY_DELAY, move |_| {
            if let Some(listening) = resting.upgrade() {
                listening.is_resting.set(false);
                listening.accept_again();
            }
        });
        // Without room for a timer the next connection makes the next attempt.
        listening.is_resting.set(timer.is_ok());
    }
}

impl<F> Drop for Acceptor<F> {
    /// Also when the loop is closed: nobody accepts any more.
    fn drop(&mut self) {
        self.listening.close();
    }
}

/// Accepts the rest in the next turn when user code panics: the kernel reports
/// what waits already no second time (FAULTS A-03).
struct AgainAfterPanic<'a>(&'a Listening);

impl Drop for AgainAfterPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.accept_again();
        }
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
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::ConnectionAborted
        | Kind::ConnectionReset
        | Kind::NetworkDown
        | Kind::NetworkUnreachable
        | Kind::HostUnreachable
        | Kind::PermissionDenied
        | Kind::TimedOut => AfterError::Skip,
        Kind::OutOfMemory => AfterError::Rest,
        _ if crate::sys::is_out_of_resources(error) => AfterError::Rest,
        _ => AfterError::Report,
    }
}

/// A server that listens. It lives without this handle too (contract SV-12).
///
/// # Python
/// `asyncio.Server`.
#[derive(Clone, Debug)]
pub struct Server {
    listening: Rc<Listening>,
    addr: SocketAddr,
}

impl Server {
    /// Returns the address it listens on, with the port that was picked for 0.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Tells whether it accepts connections.
    ///
    /// # Python
    /// `server.is_serving()`.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        !self.listening.is_closed.get()
    }

    /// Counts the open connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.listening.connections.get()
    }

    /// Counts the connections that there was no room for in the loop's tables.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.listening.refused.get()
    }

    /// Stops accepting, at once; connections are left alone (SV-10). A second
    /// close does nothing.
    ///
    /// # Python
    /// `server.close()`.
    pub fn close(&self) {
        self.listening.close();
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
        if self.listening.is_over() {
            return Ok(());
        }
        let over = self.listening.over()?;
        Ok(over.wait().await?)
    }

    /// Waits until the task is cancelled, and then closes the server.
    ///
    /// # Errors
    /// The cancellation.
    ///
    /// # Python
    /// `await server.serve_forever()`.
    pub async fn serve_forever(&self) -> Result<()> {
        let result = self.wait_closed().await;
        self.close();
        result
    }
}

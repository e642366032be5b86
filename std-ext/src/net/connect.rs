//! Connecting: attempts, their race, and the one that wins.

use core::fmt;
use core::future::Future;
use core::net::SocketAddr;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context as PollContext, Poll};
use core::time::Duration;
use std::collections::VecDeque;
use std::io;

use rondel_core::{Cancelled, Sleep};

use crate::net::address::Address;
use crate::net::address_error::AddressError;
use crate::sources::{Direction, Owner, Waiter};
use crate::sys::{Family, Fd, Interest, SocketKind, Token};
use crate::{Error, EventLoopHandle, Result};

/// A socket that is connected, or about to be. Closed when dropped.
pub(crate) struct Attempt {
    event_loop: EventLoopHandle,
    fd: Fd,
    token: Option<Token>,
    waiter: Option<Waiter>,
    addr: Address,
}

impl Attempt {
    /// Makes a socket, binds it to the first of `locals` of its family that
    /// works, and begins to connect.
    fn begin(
        event_loop: &EventLoopHandle,
        addr: &Address,
        locals: &[SocketAddr],
        protocol: i32,
        location: &'static Location<'static>,
    ) -> Result<Self> {
        let kernel = &event_loop.inner.kernel;
        let fd = kernel.socket(Family::of(addr), SocketKind::Stream, protocol)?;
        let event_loop = event_loop.clone();
        let mut attempt = Self { event_loop, fd, token: None, waiter: None, addr: addr.clone() };
        attempt.bind(locals)?;
        if !attempt.event_loop.inner.kernel.connect(fd, addr)? {
            let token = attempt.event_loop.watch(fd, Owner::Stream, Interest::WRITABLE, location);
            attempt.token = Some(token?);
        }
        Ok(attempt)
    }

    fn bind(&self, locals: &[SocketAddr]) -> io::Result<()> {
        if locals.is_empty() {
            return Ok(());
        }
        let missing = "no local address of the family of the remote one";
        let mut failed = io::Error::new(io::ErrorKind::InvalidInput, missing);
        for &local in locals {
            let local = Address::Inet(local);
            if Family::of(&local) != Family::of(&self.addr) {
                continue;
            }
            match self.event_loop.inner.kernel.bind(self.fd, &local) {
                Ok(()) => return Ok(()),
                Err(error) => {
                    failed = io::Error::new(error.kind(), AddressError { addr: local, error });
                }
            }
        }
        Err(failed)
    }

    /// Looks whether it is decided.
    fn poll_connected(&mut self, cx: &mut PollContext<'_>) -> Poll<Result<()>> {
        let Some(token) = self.token else { return Poll::Ready(self.check_peer()) };
        self.stop_waiting();
        if self.event_loop.is_ready(token, Direction::Write) {
            return Poll::Ready(match self.event_loop.inner.kernel.take_error(self.fd) {
                Ok(None) => self.check_peer(),
                Ok(Some(error)) | Err(error) => Err(error.into()),
            });
        }
        match self.event_loop.wait_ready(token, Direction::Write, cx.waker()) {
            Ok(waiter) => self.waiter = Some(waiter),
            Err(error) => return Poll::Ready(Err(error)),
        }
        Poll::Pending
    }

    /// Recognizes a socket that is connected to itself, as happens on ports that
    /// the system picks from (FAULTS A-06).
    fn check_peer(&self) -> Result<()> {
        let kernel = &self.event_loop.inner.kernel;
        if self.addr.as_inet().is_some() && kernel.local_addr(self.fd)? == self.addr {
            // Its end would otherwise linger, and keep the port from its owner.
            let _ = kernel.set_linger(self.fd, Some(0));
            return Err(io::Error::from(io::ErrorKind::ConnectionRefused).into());
        }
        Ok(())
    }

    fn stop_waiting(&mut self) {
        if let (Some(token), Some(waiter)) = (self.token, self.waiter.take()) {
            self.event_loop.stop_waiting(token, Direction::Write, waiter);
        }
    }

    /// Gives the connected socket away: its descriptor, its token if it is
    /// watched, and the address of its peer.
    pub(crate) fn into_parts(mut self) -> (Fd, Option<Token>, Address) {
        self.stop_waiting();
        let addr = self.addr.clone();
        let parts = (self.fd, self.token, addr);
        self.fd = Fd::NONE;
        parts
    }
}

impl Drop for Attempt {
    /// Lets go of the descriptor before its number can be used again (W-13).
    fn drop(&mut self) {
        if self.fd == Fd::NONE {
            return;
        }
        self.stop_waiting();
        if let Some(token) = self.token {
            self.event_loop.unwatch(token);
        }
        self.event_loop.inner.kernel.close(self.fd);
    }
}

/// How addresses are tried.
#[derive(Clone, Debug)]
pub(crate) struct RaceOptions {
    pub(crate) locals: Vec<SocketAddr>,
    pub(crate) protocol: i32,
    pub(crate) happy_eyeballs_delay: Option<Duration>,
    pub(crate) interleave: usize,
    /// Is where the connection was asked for.
    pub(crate) location: &'static Location<'static>,
}

/// Tries addresses until one connects (contract CC-4, RFC 8305): the next one
/// when the one before it has failed, or after a delay beside it.
pub(crate) struct Race {
    event_loop: EventLoopHandle,
    waiting: VecDeque<SocketAddr>,
    running: Vec<(SocketAddr, Attempt)>,
    failed: Vec<(SocketAddr, io::Error)>,
    locals: Vec<SocketAddr>,
    protocol: i32,
    delay: Option<Duration>,
    next: Option<Pin<Box<Sleep<EventLoopHandle>>>>,
    /// Is the attempt that began last, if it has not failed.
    last: Option<Fd>,
    location: &'static Location<'static>,
}

impl Race {
    pub(crate) fn new(event_loop: &EventLoopHandle, addrs: Vec<SocketAddr>, options: RaceOptions) -> Self {
        let waiting = if options.interleave > 0 { interleave(addrs, options.interleave) } else { addrs };
        Self {
            event_loop: event_loop.clone(),
            waiting: waiting.into(),
            running: Vec::new(),
            failed: Vec::new(),
            locals: options.locals,
            protocol: options.protocol,
            delay: options.happy_eyeballs_delay,
            next: None,
            last: None,
            location: options.location,
        }
    }

    /// Begins the next attempt, if there is one.
    fn begin(&mut self) -> Result<()> {
        let Some(addr) = self.waiting.pop_front() else { return Ok(()) };
        self.last = None;
        match Attempt::begin(&self.event_loop, &addr.into(), &self.locals, self.protocol, self.location) {
            Ok(attempt) => {
                self.last = Some(attempt.fd);
                self.running.push((addr, attempt));
            }
            Err(error) => self.failed.push((addr, error.into_io()?)),
        }
        let delay = self.delay.filter(|_| !self.waiting.is_empty() && self.last.is_some());
        self.next = delay.map(|delay| Box::pin(self.event_loop.sleep(delay)));
        Ok(())
    }

    /// Polls the running attempts; returns the one that has connected.
    fn poll_running(&mut self, cx: &mut PollContext<'_>) -> Result<Option<Attempt>> {
        let mut index = 0;
        while index < self.running.len() {
            match self.running[index].1.poll_connected(cx) {
                Poll::Pending => index += 1,
                Poll::Ready(Ok(())) => return Ok(Some(self.running.swap_remove(index).1)),
                Poll::Ready(Err(error)) => {
                    let (addr, attempt) = self.running.remove(index);
                    if self.last == Some(attempt.fd) {
                        self.last = None;
                    }
                    self.failed.push((addr, error.into_io()?));
                }
            }
        }
        Ok(None)
    }
}

impl Future for Race {
    type Output = Result<Attempt>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut PollContext<'_>) -> Poll<Result<Attempt>> {
        let this = &mut *self;
        if this.event_loop.inner.scheduler.take_cancel() {
            return Poll::Ready(Err(Cancelled.into()));
        }
        loop {
            if let Some(winner) = this.poll_running(cx)? {
                this.running.clear();
                return Poll::Ready(Ok(winner));
            }
            let is_due = match &mut this.next {
                Some(next) => match next.as_mut().poll(cx) {
                    Poll::Ready(slept) => {
                        slept?;
                        true
                    }
                    Poll::Pending => false,
                },
                None => false,
            };
            if this.waiting.is_empty() && this.running.is_empty() {
                return Poll::Ready(Err(ConnectError::of(core::mem::take(&mut this.failed))));
            }
            let goes_on = is_due || this.running.is_empty() || (this.last.is_none() && this.delay.is_some());
            if this.waiting.is_empty() || !goes_on {
                return Poll::Pending;
            }
            this.begin()?;
        }
    }
}

/// Lets the families take turns, after the first `first` of the family that
/// stands first (RFC 8305, section 4).
fn interleave(addrs: Vec<SocketAddr>, first: usize) -> Vec<SocketAddr> {
    let Some(is_ipv6) = addrs.first().map(SocketAddr::is_ipv6) else { return addrs };
    let (preferred, others): (Vec<_>, Vec<_>) = addrs.into_iter().partition(|addr| addr.is_ipv6() == is_ipv6);
    let mut order = Vec::with_capacity(preferred.len() + others.len());
    let mut preferred = preferred.into_iter();
    let mut others = others.into_iter();
    order.extend(preferred.by_ref().take(first - 1));
    loop {
        let pair = (preferred.next(), others.next());
        order.extend(pair.0);
        order.extend(pair.1);
        if pair == (None, None) {
            return order;
        }
    }
}

/// Connects to the socket at a path, waiting while its backlog is full: the
/// kernel tells nobody when it isn't any more.
pub(crate) async fn connect_unix(
    event_loop: &EventLoopHandle,
    addr: Address,
    location: &'static Location<'static>,
) -> Result<Attempt> {
    const RETRY_DELAY_MAX: Duration = Duration::from_millis(100);
    let mut delay = Duration::from_millis(1);
    loop {
        match Attempt::begin(event_loop, &addr, &[], 0, location) {
            Ok(attempt) => return Connected { attempt: Some(attempt) }.await,
            Err(error) => match error.into_io()? {
                error if error.kind() == io::ErrorKind::WouldBlock => {
                    event_loop.sleep(delay).await?;
                    delay = RETRY_DELAY_MAX.min(delay * 2);
                }
                error => return Err(io::Error::new(error.kind(), AddressError { addr, error }).into()),
            },
        }
    }
}

/// Waits until a single attempt is decided.
struct Connected {
    attempt: Option<Attempt>,
}

impl Future for Connected {
    type Output = Result<Attempt>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut PollContext<'_>) -> Poll<Result<Attempt>> {
        let Some(attempt) = &mut self.attempt else { return Poll::Pending };
        if attempt.event_loop.inner.scheduler.take_cancel() {
            return Poll::Ready(Err(Cancelled.into()));
        }
        core::task::ready!(attempt.poll_connected(cx))?;
        self.attempt.take().map_or(Poll::Pending, |attempt| Poll::Ready(Ok(attempt)))
    }
}

/// Why none of the addresses could be connected to.
///
/// It is inside the `io::Error` that [`Error::as_io`](crate::Error::as_io)
/// returns, which has the kind of the first failure.
///
/// # Python
/// The `OSError` that `create_connection` raises; it is an `ExceptionGroup`
/// there only on request.
#[derive(Debug)]
pub struct ConnectError {
    attempts: Vec<(SocketAddr, io::Error)>,
}

impl ConnectError {
    fn of(attempts: Vec<(SocketAddr, io::Error)>) -> Error {
        let kind = attempts.first().map_or(io::ErrorKind::NotFound, |(_, error)| error.kind());
        io::Error::new(kind, Self { attempts }).into()
    }

    /// Returns each address that was tried, in the order of the failures, and
    /// what came of it.
    #[must_use]
    pub fn attempts(&self) -> &[(SocketAddr, io::Error)] {
        &self.attempts
    }
}

impl fmt::Display for ConnectError {
    /// Prints one failure as it is, several with the same text as one, and
    /// otherwise all of them (contract CC-6).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut texts: Vec<_> =
            self.attempts.iter().map(|(addr, error)| format!("{addr}: {error}")).collect();
        if texts.iter().all(|text| *text == texts[0]) {
            texts.truncate(1);
        }
        match &*texts {
            [] => f.write_str("there is no address to connect to"),
            [text] => f.write_str(text),
            texts => write!(f, "{} attempts failed: {}", texts.len(), texts.join("; ")),
        }
    }
}

impl core::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.attempts.first().map(|(_, error)| error as _)
    }
}

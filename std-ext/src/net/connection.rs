//! A connected stream socket: its readiness, what it has to send, and its end.

use core::cell::{Cell, OnceCell};
use core::fmt;
use core::future::Future;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context as PollContext, Poll};
use core::time::Duration;
use std::io::{self, IoSlice};
use std::rc::Rc;

use rondel_core::{Callback, Cancelled, Context, ExceptionContext, Refusal, SlotId};

use crate::net::address::{Address, PackedAddress};
use crate::net::flow::{Flow, WriteBufferLimits};
use crate::net::server::Attached;
use crate::protocol::{AfterEof, AnyProtocol, Received};
use crate::sources::{Direction, Owner};
use crate::sys::{Fd, Interest, Kernel, SocketOption, Token};
use crate::tls::TlsState;
use crate::transport::Transport;
use crate::{Error, ErrorKind, EventLoopHandle, Result, TimerHandle};

/// A connected stream socket. Registered once; edges tell when to try again, so
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

/// Is the number of dropped writes from which each is warned about, as in asyncio
/// (TR-14).
const DROPPED_WRITES_WARNED: u8 = 5;

/// Is the most slices that the kernel takes at once.
const SLICES_MAX: usize = 1024;

/// What a connection has been through, a bit for each.
#[derive(Clone, Copy, Default)]
struct State(u32);

impl State {
    /// `connection_made` was not called yet.
    const STARTING: u32 = 1;
    /// The protocol wants nothing to read for now.
    const READING_PAUSED: u32 = 1 << 1;
    /// The peer has ended its side.
    const READ_EOF: u32 = 1 << 2;
    /// Our side is to end when everything is sent.
    const WRITE_EOF: u32 = 1 << 3;
    /// Nothing new is sent or read.
    const CLOSING: u32 = 1 << 4;
    /// The end is on its way.
    const ENDING: u32 = 1 << 5;
    /// The socket is closed.
    const CLOSED: u32 = 1 << 6;
    /// The kernel tells when the socket is writable.
    const WRITES_WATCHED: u32 = 1 << 7;
    /// There is more to send than the high-water mark.
    const WRITING_PAUSED: u32 = 1 << 8;
    /// The protocol was told so.
    const TOLD_PAUSED: u32 = 1 << 9;
    /// The next receive may find something.
    const READABLE: u32 = 1 << 10;
    /// The next send may find room.
    const WRITABLE: u32 = 1 << 11;
    /// The peer closed, or an error came: no further event follows, so a short
    /// transfer does not mean that there is nothing left. From the first byte out of
    /// band on it doesn't either: reads end before each (FAULTS N-13).
    const FINAL: u32 = 1 << 12;
    /// Something is queued, or a file is.
    const QUEUED: u32 = 1 << 13;
    /// A handler of the loop drives it.
    const DRIVEN: u32 = 1 << 14;
    /// Our side has ended.
    const WRITE_ENDED: u32 = 1 << 15;
    /// Everything passes through a TLS session.
    const TLS: u32 = 1 << 16;
    /// The session is not open yet.
    const HANDSHAKING: u32 = 1 << 17;
    /// We have announced our end, and wait for the peer's.
    const AWAITING_END: u32 = 1 << 18;
    /// Something was decrypted and not read.
    const DECRYPTED: u32 = 1 << 19;
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
    ) -> Result<Self> {
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
        Ok(Self {
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
        })
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
}

/// The transfers.
impl Connection {
    /// Receives into `buffer`; `None` if there is nothing at the moment, zero at
    /// the end of the stream.
    #[inline]
    pub(crate) fn try_receive(&self, buffer: &mut [u8]) -> Result<Option<usize>> {
        if self.has(State::TLS) {
            return self.try_receive_tls(buffer);
        }
        self.try_receive_raw(buffer)
    }

    /// Receives from the socket.
    #[inline]
    pub(crate) fn try_receive_raw(&self, buffer: &mut [u8]) -> Result<Option<usize>> {
        self.check()?;
        if !self.has(State::READABLE) {
            self.look();
            if !self.has(State::READABLE) {
                return Ok(None);
            }
        }
        match self.event_loop.inner.kernel.recv(self.fd, buffer) {
            Ok(count) => {
                if count < buffer.len() {
                    self.note_partial(State::READABLE);
                }
                Ok(Some(count))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.unset(State::READABLE);
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a part of `data`; `None` if nothing can be sent at the moment.
    #[inline]
    pub(crate) fn try_send(&self, data: &[u8]) -> Result<Option<usize>> {
        self.check()?;
        if !self.is_ready(Direction::Write) {
            return Ok(None);
        }
        match self.event_loop.inner.kernel.send(self.fd, data) {
            Ok(count) if count == data.len() => Ok(Some(count)),
            sent => self.sent_less(sent),
        }
    }

    pub(crate) fn try_send_vectored(&self, bufs: &[IoSlice<'_>], asked: usize) -> Result<Option<usize>> {
        self.check()?;
        if !self.is_ready(Direction::Write) {
            return Ok(None);
        }
        // What the kernel doesn't look at is no sign of a full socket.
        let asked = match bufs.get(..SLICES_MAX) {
            Some(bufs) => bufs.iter().map(|buf| buf.len()).sum(),
            None => asked,
        };
        match self.event_loop.inner.kernel.send_vectored(self.fd, bufs) {
            Ok(count) if count == asked => Ok(Some(count)),
            sent => self.sent_less(sent),
        }
    }

    /// Sends by `attempt`; `None` if nothing can be sent at the moment.
    pub(crate) fn try_send_with(
        &self,
        attempt: impl FnOnce(&dyn Kernel, Fd) -> io::Result<usize>,
    ) -> Result<Option<usize>> {
        self.check()?;
        if !self.is_ready(Direction::Write) {
            return Ok(None);
        }
        match attempt(&*self.event_loop.inner.kernel, self.fd) {
            // Less than was asked for may be all that there is.
            Ok(count) => Ok(Some(count)),
            failed => self.sent_less(failed),
        }
    }

    /// Notes that the kernel didn't take all.
    #[cold]
    fn sent_less(&self, sent: io::Result<usize>) -> Result<Option<usize>> {
        let sent = match sent {
            Ok(count) => {
                self.note_partial(State::WRITABLE);
                Some(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.unset(State::WRITABLE);
                None
            }
            Err(error) => return Err(error.into()),
        };
        self.watch_writes()?;
        Ok(sent)
    }

    /// Notes that less was moved than was asked for: the readiness is exhausted,
    /// unless no further event would follow.
    #[inline]
    fn note_partial(&self, side: u32) {
        if !self.has(State::FINAL) {
            self.unset(side);
        }
    }

    /// Tells whether a side may be ready, as far as is known without asking.
    #[inline]
    pub(crate) fn is_ready(&self, direction: Direction) -> bool {
        let side = match direction {
            Direction::Read => State::READABLE | State::DECRYPTED,
            Direction::Write => State::WRITABLE,
        };
        if !self.has(side) {
            self.look();
        }
        self.has(side)
    }

    /// Takes over what the loop has noticed.
    #[inline]
    fn look(&self) {
        let Some(noticed) = self.event_loop.take_readiness(self.token) else { return };
        let readable = if noticed.is_readable { State::READABLE } else { 0 };
        let writable = if noticed.is_writable { State::WRITABLE } else { 0 };
        let last = if noticed.is_final { State::FINAL } else { 0 };
        self.set(readable | writable | last);
    }

    /// Has the kernel tell when the socket is writable: from the first time on
    /// that it was not. Most never are, and a UNIX socket would tell each time
    /// that its peer reads.
    fn watch_writes(&self) -> Result<()> {
        if !self.has(State::WRITES_WATCHED) {
            let interest = Interest::STREAM | Interest::WRITABLE;
            self.event_loop.inner.kernel.reregister(self.fd, self.token, interest)?;
            self.set(State::WRITES_WATCHED);
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn check(&self) -> Result<()> {
        // A closed loop watches nothing: whoever waited would wait for ever.
        if self.has(State::ENDING | State::CLOSED) || self.event_loop.is_closed() {
            return Err(self.why_closed());
        }
        Ok(())
    }

    /// Fails if nothing new is sent or read.
    pub(crate) fn check_open(&self) -> Result<()> {
        self.check()?;
        if self.has(State::CLOSING) { Err(Refusal::Closed.into()) } else { Ok(()) }
    }

    #[cold]
    fn why_closed(&self) -> Error {
        // A protocol is told in `connection_lost`.
        let error = if self.protocol().is_none() { self.take_error() } else { None };
        error.unwrap_or_else(|| Refusal::Closed.into())
    }

    /// Takes out why the connection ended, if it is an error.
    fn take_error(&self) -> Option<Error> {
        self.with_flow(|flow| flow.error.take()).flatten()
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

/// What is to be sent.
impl Connection {
    /// Sends `data`, now or in the background.
    ///
    /// # Errors
    /// `InvalidState` after `write_eof` (TR-12); `Full` if it would be more than
    /// the buffers may hold: nothing of it was taken (TR-24).
    #[inline]
    pub(crate) fn write(self: &Rc<Self>, data: &[u8]) -> Result<()> {
        if self.has(State::WRITE_EOF | State::CLOSING | State::QUEUED | State::TLS) || data.is_empty() {
            return self.write_later(data);
        }
        self.event_loop.inner.write_budget.check(0, data.len())?;
        match self.try_send(data) {
            Ok(Some(sent)) if sent == data.len() => {}
            Ok(sent) => self.enqueue(&[IoSlice::new(data)], sent.unwrap_or(0)),
            Err(error) => self.write_failed(error),
        }
        Ok(())
    }

    /// Writes behind what is queued, or not at all.
    fn write_later(self: &Rc<Self>, data: &[u8]) -> Result<()> {
        if self.drops_writes()? || data.is_empty() {
            return Ok(());
        }
        self.event_loop.inner.write_budget.check(self.queued(), data.len())?;
        if self.has(State::TLS) {
            self.write_tls(&[IoSlice::new(data)]);
        } else {
            self.enqueue(&[IoSlice::new(data)], 0);
        }
        Ok(())
    }

    /// Sends all of `bufs`, in their order, now or in the background.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub(crate) fn write_vectored(self: &Rc<Self>, bufs: &[IoSlice<'_>]) -> Result<()> {
        let count: usize = bufs.iter().map(|buf| buf.len()).sum();
        if self.drops_writes()? || count == 0 {
            return Ok(());
        }
        if self.has(State::TLS) {
            self.event_loop.inner.write_budget.check(self.queued(), count)?;
            self.write_tls(bufs);
            return Ok(());
        }
        let queued = self.queued();
        self.event_loop.inner.write_budget.check(queued, count)?;
        let mut sent = 0;
        if !self.has(State::QUEUED) {
            match self.try_send_vectored(bufs, count) {
                Ok(moved) => sent = moved.unwrap_or(0),
                Err(error) => {
                    self.write_failed(error);
                    return Ok(());
                }
            }
        }
        if sent < count {
            self.enqueue(bufs, sent);
        }
        Ok(())
    }

    /// Tells whether a write is dropped; counted (TR-13, TR-14).
    fn drops_writes(&self) -> Result<bool> {
        if self.has(State::WRITE_EOF) {
            return Err(Error::of(ErrorKind::InvalidState, "write after write_eof"));
        }
        let drops = self.has(State::CLOSING);
        if drops {
            let dropped = &self.event_loop.inner.dropped_writes;
            dropped.set(dropped.get() + 1);
            let dropped = self.dropped_writes.get().saturating_add(1);
            self.dropped_writes.set(dropped);
            if dropped >= DROPPED_WRITES_WARNED {
                let message = format_args!("a write to a closed connection was dropped: {self:?}");
                crate::exception::report(log::Level::Warn, message);
            }
        }
        Ok(drops)
    }

    /// Queues `bufs` without their first `sent` bytes.
    fn enqueue(self: &Rc<Self>, bufs: &[IoSlice<'_>], mut sent: usize) {
        self.set(State::QUEUED);
        let is_over = self.with_new_flow(|flow| {
            for buf in bufs {
                let skipped = sent.min(buf.len());
                flow.push(&buf[skipped..], &self.event_loop.inner.write_budget);
                sent -= skipped;
            }
            flow.len() > flow.limits.high()
        });
        if self.is_ready(Direction::Write) {
            self.drive_soon();
        }
        if is_over {
            self.set(State::WRITING_PAUSED);
            self.tell_writing();
        }
    }

    /// Counts the bytes that wait to be sent.
    pub(crate) fn queued(&self) -> usize {
        if !self.has(State::QUEUED | State::HANDSHAKING) {
            return 0;
        }
        let early = if self.has(State::HANDSHAKING) { self.with_tls(|tls| tls.early_bytes()) } else { None };
        self.with_flow(|flow| flow.len()).unwrap_or(0) + early.unwrap_or(0)
    }

    pub(crate) fn write_buffer_limits(&self) -> WriteBufferLimits {
        self.with_flow(|flow| flow.limits).unwrap_or_default()
    }

    pub(crate) fn set_write_buffer_limits(self: &Rc<Self>, limits: WriteBufferLimits) {
        self.with_new_flow(|flow| flow.limits = limits);
        self.weigh();
        self.tell_writing();
    }

    /// Looks whether what is queued has come above the high-water mark.
    fn weigh_up(&self) {
        if self.queued() > self.write_buffer_limits().high() {
            self.set(State::WRITING_PAUSED);
        }
    }

    /// Holds what is queued against the marks (TR-16).
    fn weigh(&self) {
        let queued = self.queued();
        let limits = self.write_buffer_limits();
        if queued > limits.high() {
            self.set(State::WRITING_PAUSED);
        } else if queued <= limits.low() {
            self.unset(State::WRITING_PAUSED);
        }
    }

    pub(crate) fn is_writing_paused(&self) -> bool {
        self.has(State::WRITING_PAUSED)
    }

    /// Tells the protocol whether to write, if it doesn't know; if one of its
    /// methods runs, when that has returned (TR-18).
    #[inline]
    fn tell_writing(self: &Rc<Self>) {
        if self.has(State::WRITING_PAUSED) != self.has(State::TOLD_PAUSED) {
            self.tell_paused_or_resumed();
        }
    }

    fn tell_paused_or_resumed(self: &Rc<Self>) {
        while self.has(State::WRITING_PAUSED) != self.has(State::TOLD_PAUSED) && !self.has(State::ENDING) {
            let is_paused = self.has(State::WRITING_PAUSED);
            self.flip_told(is_paused);
            let Some(protocol) = self.protocol() else { return };
            let transport = Transport { connection: Rc::clone(self) };
            let told = self.event_loop.guard(|| protocol.tell_writing(&transport, is_paused));
            match told {
                Ok(None) => {
                    self.flip_told(!is_paused);
                    self.drive_soon();
                    return;
                }
                Ok(Some(Err(error))) => {
                    let method = if is_paused { "pause_writing" } else { "resume_writing" };
                    self.report(&format!("protocol.{method}() failed"), &error);
                }
                // A panic was reported by the guard.
                Ok(Some(Ok(()))) | Err(_) => {}
            }
        }
    }

    fn flip_told(&self, is_paused: bool) {
        if is_paused {
            self.set(State::TOLD_PAUSED);
        } else {
            self.unset(State::TOLD_PAUSED);
        }
    }

    /// Sends what is queued, as far as there is room.
    fn flush(self: &Rc<Self>) {
        let Some(flow) = self.flow.take() else { return };
        if flow.is_files_turn() {
            self.flow.set(Some(flow));
            return self.wake_waiter();
        }
        let sent = self.try_send(flow.as_slice());
        self.flow.set(Some(flow));
        let count = match sent {
            Ok(None) => return,
            Ok(Some(count)) => count,
            Err(error) => return self.write_failed(error),
        };
        self.with_flow(|flow| {
            flow.consume(count, &self.event_loop.inner.write_budget);
            if flow.is_empty() {
                self.unset(State::QUEUED);
            }
        });
        self.weigh();
        self.wake_waiter();
        self.tell_writing();
        if self.queued() > 0 && self.is_ready(Direction::Write) {
            self.drive_soon();
        }
    }

    /// Does what was to follow when everything is sent.
    fn after_flush(self: &Rc<Self>) {
        if !self.has(State::CLOSING | State::WRITE_EOF) || self.has(State::ENDING | State::QUEUED) {
            return;
        }
        if self.has(State::CLOSING) {
            return self.end_if_peer_has();
        }
        if !self.set(State::WRITE_ENDED) {
            self.shut_down();
        }
        // Nothing can happen to it any more.
        if self.has(State::READ_EOF) {
            self.end(None);
        }
    }

    /// Puts a file behind what is queued: what is written from now on comes after
    /// it. [`Until::FilesTurn`] and [`Until::Writable`] tell when to send it.
    ///
    /// # Errors
    /// `Busy` if there is one; `InvalidState` after `write_eof`; `Closed`.
    pub(crate) fn begin_file(self: &Rc<Self>) -> Result<FileInQueue> {
        self.check()?;
        if self.has(State::CLOSING) {
            return Err(Refusal::Closed.into());
        }
        if self.has(State::WRITE_EOF) {
            return Err(Error::of(ErrorKind::InvalidState, "write after write_eof"));
        }
        if self.with_flow(|flow| flow.before_file.is_some()) == Some(true) {
            return Err(Error::of(ErrorKind::Busy, "a file is being sent already"));
        }
        self.drive()?;
        self.with_new_flow(|flow| flow.before_file = Some(flow.len()));
        self.set(State::QUEUED);
        Ok(FileInQueue(Rc::clone(self)))
    }

    fn end_file(self: &Rc<Self>) {
        self.with_flow(|flow| {
            flow.before_file = None;
            if flow.is_empty() {
                self.unset(State::QUEUED);
            }
        });
        if self.has(State::QUEUED) && self.is_ready(Direction::Write) {
            self.drive_soon();
        }
        self.after_flush();
    }

    /// Ends our side of the stream when everything is sent; the peer reads the
    /// end (TR-15).
    pub(crate) fn write_eof(self: &Rc<Self>) -> Result<()> {
        if self.has(State::TLS) {
            let unsupported = "a side of a TLS connection can't end alone";
            return Err(io::Error::new(io::ErrorKind::Unsupported, unsupported).into());
        }
        if self.has(State::CLOSING) || self.set(State::WRITE_EOF) {
            return Ok(());
        }
        if !self.has(State::QUEUED) {
            self.check()?;
            self.after_flush();
        }
        Ok(())
    }

    fn shut_down(self: &Rc<Self>) {
        match self.event_loop.inner.kernel.shutdown_write(self.fd) {
            // The peer is gone, which reading finds out.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
            Err(error) => self.fail("shutdown failed", error.into()),
            Ok(()) => {}
        }
    }

    fn write_failed(self: &Rc<Self>, error: Error) {
        self.fail("write to the transport failed", error);
    }

    /// Waits until what is queued is down to the low-water mark, or gone, or the
    /// connection is.
    #[track_caller]
    pub(crate) fn until(&self, until: Until) -> Drained<'_> {
        Drained { connection: self, until, waiter: None, location: Location::caller() }
    }

    fn wake_waiter(&self) {
        let waiter = self.with_flow(|flow| flow.waiter.take()).flatten();
        if let Some(waiter) = waiter {
            self.event_loop.inner.scheduler.wake_waiter(&self.event_loop, waiter);
        }
    }
}

/// Its protocol, and the handler that drives it.
impl Connection {
    /// Gives the connection a protocol; `connection_made` follows in the next
    /// turn.
    ///
    /// # Errors
    /// If the call table is full.
    pub(crate) fn start(self: &Rc<Self>, protocol: Rc<dyn AnyProtocol>) -> Result<()> {
        self.set(State::STARTING);
        self.protocol.replace(Some(protocol));
        if let Err(error) = self.drive() {
            self.protocol.replace(None);
            return Err(error);
        }
        if let Some(driver) = self.driver() {
            self.event_loop.listen(self.token, Direction::Read, driver);
        }
        self.drive_soon();
        Ok(())
    }

    pub(crate) fn protocol(&self) -> Option<Rc<dyn AnyProtocol>> {
        let protocol = self.protocol.take()?;
        self.protocol.set(Some(Rc::clone(&protocol)));
        Some(protocol)
    }

    /// Gives it another protocol; nothing is told to a connection that is over.
    pub(crate) fn set_protocol(&self, protocol: Rc<dyn AnyProtocol>) {
        // It has one until it is told of the end.
        if let Some(previous) = self.protocol.replace(None) {
            self.protocol.set(Some(protocol));
            drop(previous);
        }
    }

    /// Gets a handler of the loop that sends, and for a protocol reads.
    pub(crate) fn drive(self: &Rc<Self>) -> Result<()> {
        if self.is_driven() {
            return Ok(());
        }
        let scheduler = &self.event_loop.inner.scheduler;
        let driven = Driven(Transport { connection: Rc::clone(self) });
        let erase = |driven: Driven| {
            Callback::handler(move |_: &EventLoopHandle| driven.0.connection.turn(&driven.0))
        };
        let driver = scheduler.add_handler(driven, erase, Location::caller());
        let driver = driver.map_err(|refused| refused.refusal())?;
        self.set(State::DRIVEN);
        self.event_loop.listen(self.token, Direction::Write, driver);
        Ok(())
    }

    pub(crate) fn is_driven(&self) -> bool {
        self.has(State::DRIVEN)
    }

    /// Returns the handler that drives it, which stands where it listens.
    fn driver(&self) -> Option<SlotId> {
        if self.is_driven() { self.event_loop.handler(self.token, Direction::Write) } else { None }
    }

    /// Has the handler run in the next turn.
    fn drive_soon(&self) {
        if let Some(driver) = self.driver() {
            self.event_loop.inner.scheduler.make_ready(driver);
        }
    }

    /// Is the handler: does what there is to do for the connection.
    fn turn(self: &Rc<Self>, transport: &Transport) {
        // What a method that unwinds has kept from being done.
        let rest = Finally(|| self.drive_soon());
        self.take_turn(transport);
        core::mem::forget(rest);
    }

    #[inline]
    fn take_turn(self: &Rc<Self>, transport: &Transport) {
        if self.has(State::STARTING | State::ENDING | State::HANDSHAKING) {
            return self.begin_or_end(transport);
        }
        self.tell_writing();
        self.look();
        if self.is_reading() && self.has(State::READABLE | State::DECRYPTED) {
            self.read(transport);
        }
        if self.has(State::QUEUED) {
            self.flush();
        }
        if self.has(State::CLOSING | State::WRITE_EOF | State::READ_EOF) {
            self.after_flush();
            self.look_after_eof();
        }
    }

    #[cold]
    fn begin_or_end(self: &Rc<Self>, transport: &Transport) {
        if self.has(State::ENDING) {
            return self.lose();
        }
        if self.has(State::HANDSHAKING) {
            self.shake_hands();
        } else if self.has(State::STARTING) {
            self.make(transport);
        } else {
            self.lose();
        }
    }

    fn make(self: &Rc<Self>, transport: &Transport) {
        self.unset(State::STARTING);
        // Whoever waits for this goes on before data is delivered, whatever the
        // protocol does first.
        self.wake_waiter();
        let _next = Finally(|| self.drive_soon());
        let Some(protocol) = self.protocol() else { return };
        let made = protocol.made(transport);
        if let Err(error) = made {
            self.report("protocol.connection_made() failed", &error);
        }
        self.tell_writing();
    }

    fn read(self: &Rc<Self>, transport: &Transport) {
        let Some(protocol) = self.protocol() else { return };
        let panicked = FailOnPanic(self);
        match protocol.receive(transport) {
            Received::Nothing => {}
            Received::Data(Ok(())) => {}
            Received::Data(Err(error)) => {
                self.fail(&format!("protocol.{}() failed", protocol.receives()), error);
            }
            Received::Error(error) => self.fail("read from the transport failed", error),
            Received::Eof => self.read_eof(transport),
        }
        core::mem::forget(panicked);
        self.tell_writing();
        if self.has(State::READABLE | State::DECRYPTED) {
            self.read_on();
        }
    }

    fn read_eof(self: &Rc<Self>, transport: &Transport) {
        self.set(State::READ_EOF);
        self.unset(State::READABLE);
        let Some(protocol) = self.protocol() else { return };
        match protocol.eof(transport) {
            Ok(AfterEof::Close) => self.close(),
            Ok(AfterEof::KeepWriting) if self.has(State::TLS) => {
                // As asyncio does; a TLS session ends on both sides (TL-9).
                log::warn!("the answer KeepWriting has no effect on a TLS connection: {self:?}");
                self.close();
            }
            Ok(AfterEof::KeepWriting) => {}
            Err(error) => self.fail("protocol.eof_received() failed", error),
        }
    }

    /// Notices a peer that goes away while only our side of the stream is left
    /// and nothing is being sent (FAULTS N-04).
    fn look_after_eof(self: &Rc<Self>) {
        if !self.has(State::READ_EOF)
            || self.has(State::CLOSING | State::QUEUED)
            || !self.has(State::READABLE)
        {
            return;
        }
        self.unset(State::READABLE);
        if let Ok(Some(error)) = self.event_loop.inner.kernel.take_error(self.fd) {
            self.fail("the connection broke", error.into());
        }
    }

    /// Reads more in the next turn, if there is more.
    fn read_on(&self) {
        if self.is_reading() && self.is_ready(Direction::Read) {
            self.drive_soon();
        }
    }

    pub(crate) fn is_reading(&self) -> bool {
        let not = State::STARTING | State::READING_PAUSED | State::READ_EOF | State::CLOSING;
        !self.has(not)
    }

    pub(crate) fn pause_reading(&self) {
        if !self.has(State::CLOSING) {
            self.set(State::READING_PAUSED);
        }
    }

    pub(crate) fn resume_reading(&self) {
        if !self.has(State::CLOSING) {
            self.unset(State::READING_PAUSED);
            self.read_on();
        }
    }
}

/// Its end.
impl Connection {
    pub(crate) fn is_closing(&self) -> bool {
        self.has(State::CLOSING)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.has(State::CLOSED)
    }

    /// Stops reading, sends what is queued, and ends (TR-6).
    pub(crate) fn close(self: &Rc<Self>) {
        if self.set(State::CLOSING) {
            return;
        }
        if self.has(State::TLS) {
            self.close_tls();
        } else if !self.has(State::QUEUED) {
            self.end(None);
        }
    }

    /// Ends without sending what is queued (TR-7).
    pub(crate) fn abort(self: &Rc<Self>) {
        self.end(None);
    }

    /// Ends because of an error, which is reported unless it is one that peers
    /// cause every day (TR-8).
    fn fail(self: &Rc<Self>, message: &str, error: Error) {
        if self.has(State::ENDING) {
            return;
        }
        if !is_everyday(&error) {
            self.report(message, &error);
        }
        self.end(Some(error));
    }

    /// Begins the end: from the loop, never inline, if there is somebody to tell.
    fn end(self: &Rc<Self>, error: Option<Error>) {
        self.set(State::CLOSING);
        if self.set(State::ENDING) {
            return;
        }
        self.forget_queued();
        self.with_tls(|tls| tls.stop_timer());
        if let Some(error) = error {
            self.with_new_flow(|flow| flow.error = Some(error));
        }
        let driver = self.driver();
        if !driver.is_some_and(|driver| self.event_loop.inner.scheduler.make_ready(driver)) {
            // Nobody drives it, or it will be driven already.
            if driver.is_none_or(|driver| !self.event_loop.inner.scheduler.is_scheduled(driver)) {
                self.lose();
            }
        }
    }

    /// Ends because the loop is closed.
    fn abandon(self: &Rc<Self>) {
        self.forget_queued();
        if !self.set(State::ENDING) {
            self.with_new_flow(|flow| flow.error = Some(Refusal::Closed.into()));
        }
        self.lose();
    }

    /// Drops what was still to be sent. The connection is reset then, so that the
    /// peer doesn't take a part for the whole (N-05).
    fn forget_queued(&self) {
        if self.queued() > 0 {
            self.forget_bytes();
            let _ = self.event_loop.inner.kernel.set_linger(self.fd, Some(0));
        }
        self.unset(State::QUEUED);
    }

    fn forget_bytes(&self) {
        self.with_tls(|tls| tls.forget_early(self));
        self.with_flow(|flow| flow.clear(&self.event_loop.inner.write_budget));
    }

    /// Tells the protocol, and closes the socket.
    fn lose(self: &Rc<Self>) {
        self.set(State::CLOSING | State::ENDING);
        let _closed = Finally(|| self.finish());
        let Some(protocol) = self.protocol.take() else { return };
        // One that never heard of the connection doesn't hear of its end (TR-1).
        if self.has(State::STARTING) {
            return;
        }
        let error = self.take_error();
        let transport = Transport { connection: Rc::clone(self) };
        let lost = protocol.lost(&transport, error.as_ref());
        if let Err(error) = lost {
            self.report("protocol.connection_lost() failed", &error);
        }
    }

    /// Closes the socket.
    fn finish(&self) {
        self.set(State::CLOSING | State::ENDING);
        if self.set(State::CLOSED) {
            return;
        }
        // Before the number can be used again (FAULTS P-06).
        self.event_loop.unwatch(self.token);
        let kernel = &self.event_loop.inner.kernel;
        if self.local.get().is_none()
            && let Ok(addr) = kernel.local_addr(self.fd)
        {
            let _ = self.local.set(addr.into());
        }
        kernel.close(self.fd);
        if let Some(server) = &self.server {
            server.detach();
        }
        self.wake_waiter();
    }

    fn report(&self, message: &str, error: &Error) {
        let socket = self.fd.as_raw();
        let mut context = ExceptionContext::new(message).with_exception(error);
        context.socket = Some(&socket);
        self.event_loop.call_exception_handler(&context);
    }
}

/// Its TLS session.
impl Connection {
    /// Calls `look` with the session, if there is one.
    #[inline]
    pub(crate) fn with_tls<R>(&self, look: impl FnOnce(&mut TlsState) -> R) -> Option<R> {
        let mut tls = self.tls.take()?;
        let result = look(&mut tls);
        self.tls.set(Some(tls));
        Some(result)
    }

    /// Begins a session, whose handshake the loop drives; [`Until::Open`] is its
    /// end.
    ///
    /// # Errors
    /// If a table is full.
    pub(crate) fn start_tls(self: &Rc<Self>, mut tls: Box<TlsState>) -> Result<()> {
        let limit = tls.timeouts().handshake;
        let timer = self.arm(limit, |connection| connection.handshake_timed_out())?;
        // Last: a connection that is driven doesn't go by itself.
        if let Err(error) = self.drive() {
            timer.cancel();
            return Err(error);
        }
        tls.set_timer(timer);
        self.tls.set(Some(tls));
        self.set(State::TLS | State::HANDSHAKING);
        self.listen_to_both();
        self.drive_soon();
        Ok(())
    }

    /// Calls `then` with the connection after a while, if it is still there.
    fn arm(self: &Rc<Self>, delay: Duration, then: fn(&Rc<Self>)) -> Result<TimerHandle> {
        let connection = Rc::downgrade(self);
        let timer = self.event_loop.call_later(delay, move |_| {
            if let Some(connection) = connection.upgrade() {
                then(&connection);
            }
        });
        Ok(timer?)
    }

    /// Has the handler told of what there is to read, too.
    fn listen_to_both(&self) {
        if let Some(driver) = self.driver() {
            self.event_loop.listen(self.token, Direction::Read, driver);
        }
    }

    fn handshake_timed_out(self: &Rc<Self>) {
        if self.has(State::HANDSHAKING) {
            let error = self.with_tls(|tls| tls.handshake_timeout());
            self.handshake_failed(error.unwrap_or_else(|| Refusal::Closed.into()));
        }
    }

    /// Fails unless a session can begin on a connection that stands already.
    #[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "only TLS uses it"))]
    pub(crate) fn check_upgrade(&self) -> Result<()> {
        self.check_open()?;
        let in_the_way = if self.has(State::TLS) {
            "the connection talks TLS already"
        } else if self.has(State::WRITE_EOF) {
            "our side of the connection has ended"
        } else if self.has(State::READ_EOF) {
            "the peer's side of the connection has ended"
        } else if self.with_flow(|flow| flow.before_file.is_some()) == Some(true) {
            "a file is being sent"
        } else {
            return Ok(());
        };
        Err(Error::of(ErrorKind::InvalidState, in_the_way))
    }

    pub(crate) fn is_shaking_hands(&self) -> bool {
        self.has(State::HANDSHAKING)
    }

    fn shake_hands(self: &Rc<Self>) {
        self.look();
        let over = self.with_tls(|tls| {
            if !tls.shake_hands(self)? {
                return Ok(false);
            }
            tls.stop_timer();
            tls.send_early(self)?;
            Ok(true)
        });
        match over {
            Some(Ok(true)) => {}
            Some(Err(error)) => return self.handshake_failed(error),
            _ => return self.flush(),
        }
        self.unset(State::HANDSHAKING);
        self.note_decrypted();
        if self.protocol().is_none() {
            // From now on tasks wait for it.
            self.event_loop.unlisten(self.token, Direction::Read);
        }
        if let Some(server) = &self.server {
            server.opened(self);
        }
        self.wake_waiter();
        self.flush();
        self.weigh();
        self.drive_soon();
    }

    fn handshake_failed(self: &Rc<Self>, error: Error) {
        if let Some(server) = &self.server {
            server.handshake_failed(&error);
        }
        // An alert may be on its way: the peer is to read it, so no reset follows.
        if let Some(flow) = self.flow.take() {
            let _ = self.try_send(flow.as_slice());
            self.flow.set(Some(flow));
        }
        self.forget_bytes();
        self.unset(State::QUEUED);
        self.with_tls(|tls| tls.note_failure(&error));
        self.end(Some(error));
    }

    fn try_receive_tls(&self, buffer: &mut [u8]) -> Result<Option<usize>> {
        self.check()?;
        if self.has(State::AWAITING_END) {
            return Err(Refusal::Closed.into());
        }
        let received = self.with_tls(|tls| tls.receive(self, buffer)).unwrap_or(Ok(None));
        self.note_decrypted();
        received
    }

    /// Tells whether a session gives way to others, though there is more to read.
    pub(crate) fn has_more_at_once(&self, direction: Direction) -> bool {
        direction == Direction::Read && self.has(State::TLS) && self.has(State::READABLE)
    }

    /// Notes whether something can be read without the socket.
    fn note_decrypted(&self) {
        if self.with_tls(|tls| tls.has_plain()) == Some(true) {
            self.set(State::DECRYPTED);
        } else {
            self.unset(State::DECRYPTED);
        }
    }

    fn write_tls(self: &Rc<Self>, bufs: &[IoSlice<'_>]) {
        // All at once: nobody who is told of it may end the session in between.
        let written = self.with_tls(|tls| bufs.iter().try_for_each(|buf| tls.write(self, buf)));
        match written {
            Some(Err(error)) => self.write_failed(error),
            _ => {
                self.weigh_up();
                self.tell_writing();
            }
        }
    }

    /// Sends ciphertext, and queues what the kernel doesn't take.
    ///
    /// # Errors
    /// If the connection broke.
    #[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "only TLS uses it"))]
    pub(crate) fn push(&self, data: &[u8]) -> Result<()> {
        let sent = if self.has(State::QUEUED) { 0 } else { self.try_send(data)?.unwrap_or(0) };
        if sent < data.len() {
            self.set(State::QUEUED);
            self.with_new_flow(|flow| flow.push(&data[sent..], &self.event_loop.inner.write_budget));
            if self.is_ready(Direction::Write) {
                self.drive_soon();
            }
        }
        Ok(())
    }

    /// Announces our end, and waits for the peer's within a limit (TL-8).
    fn close_tls(self: &Rc<Self>) {
        if self.has(State::HANDSHAKING) {
            return self.end(None);
        }
        let limit = self.with_tls(|tls| {
            tls.close(self)?;
            Ok::<_, Error>((tls.timeouts().shutdown, tls.is_peer_closed()))
        });
        match limit {
            Some(Ok((limit, has_peer_closed))) => {
                // Without room for a timer nobody is waited for.
                if let Ok(timer) = self.arm(limit, |connection| connection.shutdown_timed_out()) {
                    self.with_tls(|tls| tls.set_timer(timer));
                    if !has_peer_closed {
                        self.set(State::AWAITING_END);
                        self.listen_to_both();
                    }
                }
                self.drive_soon();
            }
            Some(Err(error)) => self.end(Some(error)),
            None => {}
        }
    }

    fn shutdown_timed_out(self: &Rc<Self>) {
        self.end(self.with_tls(|tls| tls.shutdown_timeout()));
    }

    /// Ends, unless the peer's end is still to come.
    fn end_if_peer_has(self: &Rc<Self>) {
        if self.has(State::AWAITING_END) && self.with_tls(|tls| tls.discard(self)) == Some(false) {
            // There may be more to drop, when others have had their turn.
            if self.has(State::READABLE) {
                self.drive_soon();
            }
            return;
        }
        self.end(None);
    }

    /// Tells whether everything passes through a session.
    pub(crate) fn has_tls(&self) -> bool {
        self.has(State::TLS)
    }
}

/// Tells whether an error is one that any peer can cause, at any time.
fn is_everyday(error: &Error) -> bool {
    use io::ErrorKind as Kind;
    let is_reset = error.as_io().is_some_and(|error| {
        matches!(error.kind(), Kind::BrokenPipe | Kind::ConnectionReset | Kind::ConnectionAborted)
    });
    is_reset || error.kind() == ErrorKind::Tls
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.forget_queued();
        self.finish();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fd={}, peer={}", self.fd.as_raw(), self.peer_addr())?;
        if self.is_closing() {
            f.write_str(if self.is_closed() { ", closed" } else { ", closing" })?;
        }
        Ok(())
    }
}

/// A connection in the hands of the loop. Dropped while it drives a connection,
/// as a closing loop does, it brings about the end of that.
struct Driven(Transport);

impl Drop for Driven {
    fn drop(&mut self) {
        let connection = &self.0.connection;
        if connection.is_driven() && !connection.is_closed() {
            connection.abandon();
        }
    }
}

/// Ends a connection whose protocol unwinds.
struct FailOnPanic<'a>(&'a Rc<Connection>);

impl Drop for FailOnPanic<'_> {
    fn drop(&mut self) {
        // Reported by whoever catches it.
        let error = Error::of(ErrorKind::Panicked, "the protocol panicked");
        self.0.end(Some(error));
    }
}

/// A file among what is queued; what is behind it goes on when this is dropped.
pub(crate) struct FileInQueue(Rc<Connection>);

impl Drop for FileInQueue {
    fn drop(&mut self) {
        self.0.end_file();
    }
}

/// Runs a closure when dropped.
struct Finally<F: FnMut()>(F);

impl<F: FnMut()> Drop for Finally<F> {
    fn drop(&mut self) {
        self.0();
    }
}

/// What a task waits for that has written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Until {
    /// The buffer is down to the low-water mark.
    Resumed,
    /// The buffer is empty.
    Empty,
    /// What was queued before a file is sent.
    FilesTurn,
    /// The next part of a file may find room.
    Writable,
    /// The connection is gone.
    Closed,
    /// `connection_made` has returned.
    Made,
    /// The handshake of TLS is over.
    Open,
}

/// Waits for what is queued to be sent.
#[must_use = "does nothing until it is awaited"]
pub(crate) struct Drained<'a> {
    connection: &'a Connection,
    until: Until,
    waiter: Option<SlotId>,
    location: &'static Location<'static>,
}

impl Drained<'_> {
    /// Goes on with the wait that was suspended.
    pub(crate) fn resume(mut self) -> Self {
        self.waiter = self.connection.with_flow(|flow| flow.waiter).flatten();
        self
    }

    /// Leaves the wait to be resumed; tells whether there is one.
    pub(crate) fn suspend(mut self) -> bool {
        self.waiter.take().is_some()
    }

    fn stop_waiting(&mut self) {
        let Some(waiter) = self.waiter.take() else { return };
        self.connection.with_flow(|flow| {
            if flow.waiter == Some(waiter) {
                flow.waiter = None;
            }
        });
        self.connection.event_loop.inner.scheduler.cancel_call(&self.connection.event_loop, waiter);
    }

    fn is_over(&self) -> Result<bool> {
        let connection = self.connection;
        if self.until == Until::Closed {
            return Ok(connection.is_closed());
        }
        // An error that came of it is the protocol's to hear (CC-9).
        if self.until == Until::Made && !connection.has(State::STARTING) {
            return Ok(true);
        }
        if self.until == Until::Open && connection.has(State::ENDING | State::CLOSED) {
            let failure = connection.with_tls(|tls| tls.failure()).flatten();
            let failure = failure.or_else(|| connection.take_error());
            return Err(failure.unwrap_or_else(|| Refusal::Closed.into()));
        }
        connection.check()?;
        Ok(match self.until {
            Until::Open => !connection.is_shaking_hands(),
            Until::Made => false,
            Until::Empty => !connection.has(State::QUEUED),
            Until::FilesTurn => connection.with_flow(|flow| flow.is_files_turn()) == Some(true),
            Until::Writable => connection.is_ready(Direction::Write),
            _ => !connection.is_writing_paused(),
        })
    }
}

impl Future for Drained<'_> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut PollContext<'_>) -> Poll<Result<()>> {
        self.stop_waiting();
        let connection = self.connection;
        let event_loop = &connection.event_loop;
        if event_loop.inner.scheduler.take_cancel() {
            return Poll::Ready(Err(Cancelled.into()));
        }
        if self.is_over()? {
            return Poll::Ready(Ok(()));
        }
        let waiter = event_loop.inner.scheduler.add_waiter(cx.waker(), self.location)?;
        connection.with_new_flow(|flow| flow.waiter = Some(waiter));
        self.waiter = Some(waiter);
        Poll::Pending
    }
}

impl Drop for Drained<'_> {
    fn drop(&mut self) {
        self.stop_waiting();
    }
}

/// Is the size of the buffer of a read within a read.
const READ_MIN: usize = 1024;

/// The buffer that all reads of a loop share, for the time of one read.
///
/// It is taken out of the loop: who reads from another stream meanwhile finds
/// none, and makes a small one for the moment.
pub(crate) struct SharedBuffer<'a> {
    event_loop: &'a EventLoopHandle,
    pub(crate) bytes: Box<[u8]>,
}

impl<'a> SharedBuffer<'a> {
    #[inline]
    pub(crate) fn take(event_loop: &'a EventLoopHandle) -> Self {
        let mut bytes = event_loop.inner.read_buffer.take();
        if bytes.is_empty() {
            bytes = vec![0; READ_MIN].into();
        }
        Self { event_loop, bytes }
    }
}

impl Drop for SharedBuffer<'_> {
    /// Puts the buffer back, unless a larger one is there.
    #[inline]
    fn drop(&mut self) {
        let place = &self.event_loop.inner.read_buffer;
        let bytes = core::mem::take(&mut self.bytes);
        let other = place.replace(bytes);
        if !other.is_empty() {
            self.put_larger(other);
        }
    }
}

impl SharedBuffer<'_> {
    #[cold]
    fn put_larger(&self, other: Box<[u8]>) {
        let place = &self.event_loop.inner.read_buffer;
        let bytes = place.take();
        place.set(if bytes.len() < other.len() { other } else { bytes });
    }
}

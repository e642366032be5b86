//! A datagram endpoint: its readiness, what it has to send, and its end.

use core::cell::{Cell, RefCell};
use core::fmt;
use core::panic::Location;
use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use rondel_core::{Callback, Context as _, ExceptionContext, Instant, Refusal, SlotId};

use crate::net::address::Address;
use crate::net::datagram::buffers::Lent;
use crate::net::datagram::protocol::{AnyDatagramProtocol, Incoming, Told};
use crate::net::datagram::queue::Queue;
use crate::net::datagram::transport::{DATAGRAM_CHARGE, DatagramTransport};
use crate::net::flow::WriteBufferLimits;
use crate::net::unix::SocketFile;
use crate::sources::{Direction, Owner};
use crate::sys::{Fd, Interest, ReceiveBatch, SocketOption, Token};
use crate::{Error, ErrorKind, EventLoopHandle, Future, Result};

/// Is the longest reply that is copied to be sent together with others.
const GATHERED_MAX: usize = 8 * 1024;

/// Is how many bytes of one batch are so many that the next one is halved.
const BATCH_BYTES: usize = 256 * 1024;

/// Is how many errors wait for a method of the protocol to return.
const ERRORS_MAX: usize = 16;

/// Is how often receiving may fail in a row until there is something new.
const FAILURES_MAX: usize = 8;

/// Are the first and the longest delay until the next attempt to send where
/// nothing tells when there is room.
const RETRY_DELAYS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(100));

/// An open socket, before it has an owner. Closed when dropped.
///
/// Is `pub`, and out of reach, because a method of a trait that is `pub` answers it: from Rust 1.96 on
/// that is an error for a type that is not.
pub struct Opened {
    pub(crate) event_loop: EventLoopHandle,
    pub(crate) fd: Fd,
    pub(crate) remote: Option<Address>,
    /// Tells that the socket itself knows the remote address.
    pub(crate) is_connected: bool,
    /// Tells that what it sends goes to UNIX sockets.
    pub(crate) is_unix: bool,
    pub(crate) file: Option<SocketFile>,
}

impl Opened {
    pub(crate) fn new(event_loop: &EventLoopHandle, fd: Fd, is_unix: bool) -> Self {
        let event_loop = event_loop.clone();
        Self { event_loop, fd, remote: None, is_connected: false, is_unix, file: None }
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opened(fd={})", self.fd.as_raw())
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if self.fd != Fd::NONE {
            if let Some(file) = &self.file {
                file.remove();
            }
            self.event_loop.inner.kernel.close(self.fd);
        }
    }
}

/// How many datagrams are taken from the kernel, and in which time (FAULTS C-08).
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReceiveRate {
    pub(crate) datagrams: usize,
    pub(crate) per: Duration,
}

/// A datagram that was received and not delivered, since reading was paused.
struct Kept {
    data: Box<[u8]>,
    from: Address,
    is_truncated: bool,
}

/// A datagram endpoint, driven by a handler of the loop. Registered once; edges
/// tell when to try again. A batch that came back short has emptied the socket,
/// so its steady state costs no system call but the transfers.
pub(crate) struct Endpoint {
    event_loop: EventLoopHandle,
    opened: Opened,
    state: Cell<State>,
    token: Token,
    driver: Cell<Option<SlotId>>,
    protocol: RefCell<Option<Rc<dyn AnyDatagramProtocol>>>,
    queue: RefCell<Queue>,
    /// Counts the bytes and charges of what waits to be sent, gathered or queued.
    queued: Cell<usize>,
    limits: Cell<WriteBufferLimits>,
    kept: RefCell<VecDeque<Kept>>,
    /// Are the errors that the protocol was not told yet.
    failed: RefCell<VecDeque<Error>>,
    /// Is why it ends.
    error: RefCell<Option<Error>>,
    dropped_sends: Cell<u64>,
    /// Is how many datagrams the next batch asks for: one more than are likely.
    expected: Cell<usize>,
    rate: Option<ReceiveRate>,
    /// Is when the present time of the rate ends, and how many it has left.
    window: Cell<(Instant, usize)>,
    retry_delay: Cell<Duration>,
    /// Is who waits for `connection_made`.
    made: RefCell<Option<Future<()>>>,
    local: RefCell<Option<Address>>,
}

/// What an endpoint has been through, a bit for each.
#[derive(Clone, Copy)]
struct State(u16);

impl State {
    /// `connection_made` was not called yet.
    const STARTING: u16 = 1;
    /// The protocol wants nothing to read for now.
    const READING_PAUSED: u16 = 1 << 1;
    /// The rate is used up until a timer fires.
    const RESTING: u16 = 1 << 2;
    /// A batch is delivered: replies are gathered.
    const GATHERING: u16 = 1 << 3;
    /// Nothing new is sent or received.
    const CLOSING: u16 = 1 << 4;
    /// The end is on its way.
    const ENDING: u16 = 1 << 5;
    /// The socket is closed.
    const CLOSED: u16 = 1 << 6;
    /// The kernel tells when the socket is writable.
    const WRITES_WATCHED: u16 = 1 << 7;
    /// There is more to send than the high-water mark.
    const WRITING_PAUSED: u16 = 1 << 8;
    /// The protocol was told so.
    const TOLD_PAUSED: u16 = 1 << 9;
    /// A timer will try to send.
    const RETRYING: u16 = 1 << 10;
    /// There may be something to receive.
    const READABLE: u16 = 1 << 11;
    /// There may be room to send.
    const WRITABLE: u16 = 1 << 12;
    /// An error may come behind the last datagram.
    const LOOKS_TWICE: u16 = 1 << 13;
}

impl Endpoint {
    /// Takes over an open socket.
    ///
    /// # Errors
    /// If a table is full; the socket is closed then.
    pub(crate) fn new(opened: Opened, rate: Option<ReceiveRate>) -> Result<Self> {
        let event_loop = opened.event_loop.clone();
        event_loop.inner.datagrams.reserve(event_loop.inner.read_buffer_bytes)?;
        let token = event_loop.watch(opened.fd, Owner::Datagrams, Interest::READABLE)?;
        Ok(Self {
            event_loop,
            opened,
            state: Cell::new(State(State::WRITABLE)),
            token,
            driver: Cell::new(None),
            protocol: RefCell::new(None),
            queue: RefCell::new(Queue::default()),
            queued: Cell::new(0),
            limits: Cell::new(WriteBufferLimits::default()),
            kept: RefCell::new(VecDeque::new()),
            failed: RefCell::new(VecDeque::new()),
            error: RefCell::new(None),
            dropped_sends: Cell::new(0),
            expected: Cell::new(2),
            rate,
            window: Cell::new((Instant::ZERO, 0)),
            retry_delay: Cell::new(RETRY_DELAYS.0),
            made: RefCell::new(None),
            local: RefCell::new(None),
        })
    }

    pub(crate) fn event_loop(&self) -> &EventLoopHandle {
        &self.event_loop
    }

    pub(crate) fn peer_addr(&self) -> Option<&Address> {
        self.opened.remote.as_ref()
    }

    pub(crate) fn local_addr(&self) -> Option<Address> {
        if self.has(State::CLOSED) {
            return self.local.borrow().clone();
        }
        self.event_loop.inner.kernel.local_addr(self.opened.fd).ok()
    }

    /// Returns the descriptor, as long as it is open.
    pub(crate) fn fd(&self) -> Result<Fd> {
        if self.has(State::CLOSED) { Err(Refusal::Closed.into()) } else { Ok(self.opened.fd) }
    }

    pub(crate) fn dropped_sends(&self) -> u64 {
        self.dropped_sends.get()
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.has(State::CLOSING)
    }

    fn has(&self, flags: u16) -> bool {
        self.state.get().0 & flags != 0
    }

    /// Sets flags; tells whether one of them was set before.
    fn set(&self, flags: u16) -> bool {
        let state = self.state.get();
        self.state.set(State(state.0 | flags));
        state.0 & flags != 0
    }

    fn unset(&self, flags: u16) {
        self.state.set(State(self.state.get().0 & !flags));
    }

    /// Takes over what the kernel has told since the last look.
    fn look(&self) {
        let Some(noticed) = self.event_loop.take_readiness(self.token) else { return };
        if noticed.is_readable {
            self.set(State::READABLE);
        }
        if noticed.is_writable {
            self.set(State::WRITABLE);
        }
        if noticed.is_final {
            self.event_loop.forget_final(self.token);
            self.set(State::LOOKS_TWICE);
        }
    }

    fn can_write(&self) -> bool {
        self.has(State::WRITABLE)
    }

    fn can_read(&self) -> bool {
        self.has(State::READABLE)
    }

    /// Notes that a batch was the last, unless an error came in between: one more
    /// look tells.
    fn note_drained(&self) {
        if !self.has(State::LOOKS_TWICE) {
            self.unset(State::READABLE);
        }
        self.unset(State::LOOKS_TWICE);
    }
}

/// What is sent.
impl Endpoint {
    /// Sends a datagram to the remote address.
    ///
    /// # Errors
    /// `NotConnected` if there is none; `Full`.
    pub(crate) fn send(self: &Rc<Self>, data: &[u8]) -> Result<()> {
        match &self.opened.remote {
            _ if self.opened.is_connected => self.transmit(data, None),
            Some(remote) => self.transmit(data, Some(remote)),
            None => {
                let message = "send: the endpoint has no remote address";
                Err(io::Error::new(io::ErrorKind::NotConnected, message).into())
            }
        }
    }

    /// Sends a datagram.
    ///
    /// # Errors
    /// `InvalidInput` for another address than the remote one (DG-5); `Full`.
    pub(crate) fn send_to(self: &Rc<Self>, data: &[u8], to: &Address) -> Result<()> {
        match &self.opened.remote {
            None => self.transmit(data, Some(to)),
            Some(remote) if remote == to => self.send(data),
            Some(remote) => {
                let message = format!("sendto: the endpoint is for {remote} alone, not for {to}");
                Err(io::Error::new(io::ErrorKind::InvalidInput, message).into())
            }
        }
    }

    fn transmit(self: &Rc<Self>, data: &[u8], to: Option<&Address>) -> Result<()> {
        if self.has(State::CLOSING) {
            self.note_dropped();
            let dropped = &self.event_loop.inner.dropped_writes;
            dropped.set(dropped.get() + 1);
            return Ok(());
        }
        if self.has(State::GATHERING) && self.gather(data, to) {
            return Ok(());
        }
        if self.queue.borrow().is_empty() && self.can_write() {
            match self.try_send(data, to) {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => {
                    self.send_failed(error.into());
                    self.tell();
                    return Ok(());
                }
            }
        }
        self.enqueue(data, to)
    }

    /// Tries to send; tells whether there was room.
    fn try_send(self: &Rc<Self>, data: &[u8], to: Option<&Address>) -> io::Result<bool> {
        let kernel = &self.event_loop.inner.kernel;
        let sent = match to {
            Some(to) => kernel.send_to(self.opened.fd, data, to),
            None => kernel.send(self.opened.fd, data),
        };
        match sent {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.wait_for_room();
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Has somebody tell when there is room. Most endpoints never need it, and a
    /// UNIX socket would hear each time that its peer reads.
    fn wait_for_room(self: &Rc<Self>) {
        self.unset(State::WRITABLE);
        let kernel = &self.event_loop.inner.kernel;
        if !self.has(State::WRITES_WATCHED)
            && !self.is_never_told()
            && kernel.reregister(self.opened.fd, self.token, Interest::BOTH).is_ok()
        {
            self.set(State::WRITES_WATCHED);
        }
        self.retry_later();
    }

    /// Tells whether the kernel knows nothing of room: that in the queue of another
    /// UNIX socket, unless the two are connected. It would report the room that a
    /// datagram leaves behind which was not sent, so each attempt would cause the
    /// next.
    fn is_never_told(&self) -> bool {
        self.opened.is_unix && !self.opened.is_connected
    }

    /// Arms a timer for the next attempt, if nothing else brings it about.
    fn retry_later(self: &Rc<Self>) {
        if self.has(State::WRITES_WATCHED | State::RETRYING) {
            return;
        }
        let delay = self.retry_delay.get();
        self.retry_delay.set(RETRY_DELAYS.1.min(delay * 2));
        let waiting = Rc::downgrade(self);
        let timer = self.event_loop.call_later(delay, move |_| {
            if let Some(endpoint) = waiting.upgrade() {
                endpoint.unset(State::RETRYING);
                if !endpoint.has(State::CLOSED) {
                    endpoint.set(State::WRITABLE);
                    endpoint.drive_soon();
                }
            }
        });
        // Without room for a timer the next datagram makes the next attempt.
        if timer.is_ok() {
            self.set(State::RETRYING);
        }
    }

    /// Queues a datagram, whole (DG-6).
    ///
    /// # Errors
    /// `Full`: the datagram is dropped and counted (FAULTS U-03).
    fn enqueue(self: &Rc<Self>, data: &[u8], to: Option<&Address>) -> Result<()> {
        if let Err(refusal) = self.charge(data.len()) {
            self.note_dropped();
            return Err(Error::from(refusal).during("sendto"));
        }
        self.queue.borrow_mut().push(data, to);
        if self.can_write() {
            self.drive_soon();
        } else {
            self.retry_later();
        }
        self.weigh();
        self.tell();
        Ok(())
    }

    /// Counts a datagram that is to wait.
    fn charge(&self, length: usize) -> Result<(), Refusal> {
        let (budget, queued) = (&self.event_loop.inner.write_budget, self.queued.get());
        let charge = length.saturating_add(DATAGRAM_CHARGE);
        budget.check(queued, charge)?;
        budget.add(charge);
        self.queued.set(queued + charge);
        Ok(())
    }

    /// Counts one less, by exactly as much (DG-9).
    fn discharge(&self, length: usize) {
        let charge = length + DATAGRAM_CHARGE;
        self.event_loop.inner.write_budget.remove(charge);
        self.queued.set(self.queued.get() - charge);
    }

    /// Sends what is queued, as far as there is room, a bounded number in a turn.
    fn flush(self: &Rc<Self>) {
        for _ in 0..self.event_loop.inner.datagrams.per_turn {
            let sent = {
                let queue = self.queue.borrow();
                let Some((data, to)) = queue.first() else { break };
                self.try_send(data, to)
            };
            match sent {
                Ok(false) => break,
                Ok(true) => {
                    self.retry_delay.set(RETRY_DELAYS.0);
                    self.dequeue();
                }
                Err(error) => {
                    self.dequeue();
                    self.send_failed(error.into());
                }
            }
        }
        self.weigh();
        self.tell();
        if self.queue.borrow().is_empty() {
            if self.has(State::CLOSING) {
                self.end(None);
            }
        } else if self.can_write() {
            self.drive_soon();
        }
    }

    fn dequeue(&self) {
        let length = self.queue.borrow_mut().pop();
        if let Some(length) = length {
            self.discharge(length);
        }
    }

    /// Drops what is queued.
    fn clear(&self) {
        while !self.queue.borrow().is_empty() {
            self.dequeue();
            self.note_dropped();
        }
    }

    fn note_dropped(&self) {
        self.dropped_sends.set(self.dropped_sends.get() + 1);
    }

    /// Notes that the system refused a datagram; the protocol is told next time
    /// (DG-7).
    fn send_failed(&self, error: Error) {
        self.note_dropped();
        self.note_error(error);
    }

    fn note_error(&self, error: Error) {
        let mut failed = self.failed.borrow_mut();
        if failed.len() < ERRORS_MAX {
            failed.push_back(error);
        }
    }
}

/// Replies to a batch, which go out together.
///
/// Only between UDP sockets that are not connected: those hear no error of an
/// earlier datagram, which `sendmmsg` could swallow.
impl Endpoint {
    /// Keeps a reply until the batch is delivered; tells whether it did. If not,
    /// those before it have been sent.
    fn gather(self: &Rc<Self>, data: &[u8], to: Option<&Address>) -> bool {
        let (Some(to), Some(replies)) = (to, self.event_loop.inner.datagrams.replies()) else {
            return false;
        };
        if data.len() > GATHERED_MAX || !self.queue.borrow().is_empty() {
            self.send_gathered();
            return false;
        }
        if !replies.borrow().has_room(data.len()) {
            self.send_gathered();
        }
        if !self.can_write() || self.charge(data.len()).is_err() {
            self.send_gathered();
            return false;
        }
        replies.borrow_mut().push(data, to);
        true
    }

    /// Sends what was gathered; what there is no room for joins the queue.
    fn send_gathered(self: &Rc<Self>) {
        let Some(replies) = self.event_loop.inner.datagrams.replies() else { return };
        if !self.has(State::GATHERING) {
            return;
        }
        let mut replies = replies.borrow_mut();
        let mut next = 0;
        while next < replies.len() {
            match self.event_loop.inner.kernel.send_batch(self.opened.fd, &mut replies, next) {
                Ok(count) => {
                    for index in next..next + count {
                        self.discharge(replies.get(index).0.len());
                    }
                    next += count;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait_for_room();
                    let mut queue = self.queue.borrow_mut();
                    for index in next..replies.len() {
                        let (data, to) = replies.get(index);
                        queue.push(data, Some(to));
                    }
                    break;
                }
                Err(error) => {
                    self.discharge(replies.get(next).0.len());
                    self.send_failed(error.into());
                    next += 1;
                }
            }
        }
        replies.clear();
    }
}

/// The marks, and what the protocol is told of them.
impl Endpoint {
    pub(crate) fn queued(&self) -> usize {
        self.queued.get()
    }

    pub(crate) fn write_buffer_limits(&self) -> WriteBufferLimits {
        self.limits.get()
    }

    pub(crate) fn set_write_buffer_limits(self: &Rc<Self>, limits: WriteBufferLimits) {
        self.limits.set(limits);
        self.weigh();
        self.tell();
    }

    /// Holds what is queued against the marks.
    fn weigh(&self) {
        let (queued, limits) = (self.queued.get(), self.limits.get());
        if queued > limits.high() {
            self.set(State::WRITING_PAUSED);
        } else if queued <= limits.low() {
            self.unset(State::WRITING_PAUSED);
        }
    }

    /// Tells the protocol what it doesn't know yet: errors, and whether to write.
    /// If one of its methods runs, when that has returned.
    fn tell(self: &Rc<Self>) {
        self.tell_errors();
        while self.has(State::WRITING_PAUSED) != self.has(State::TOLD_PAUSED) && !self.has(State::ENDING) {
            let is_paused = self.has(State::WRITING_PAUSED);
            self.flip_told(is_paused);
            let (told, method) = if is_paused {
                (Told::PauseWriting, "pause_writing")
            } else {
                (Told::ResumeWriting, "resume_writing")
            };
            if !self.tell_one(told, method) {
                self.flip_told(!is_paused);
                return;
            }
        }
    }

    fn tell_errors(self: &Rc<Self>) {
        loop {
            let error = self.failed.borrow_mut().pop_front();
            let Some(error) = error else { return };
            if !self.tell_one(Told::Error(&error), "error_received") {
                self.failed.borrow_mut().push_front(error);
                return;
            }
        }
    }

    /// Calls one method; tells whether the protocol was free for it.
    fn tell_one(self: &Rc<Self>, told: Told<'_>, method: &str) -> bool {
        let Some(protocol) = self.protocol() else { return true };
        let transport = DatagramTransport { endpoint: Rc::clone(self) };
        match self.event_loop.guard(|| protocol.tell(&transport, told)) {
            Ok(None) => {
                self.drive_soon();
                return false;
            }
            Ok(Some(Err(error))) => self.report(&format!("protocol.{method}() failed"), &error),
            // A panic was reported by the guard.
            Ok(Some(Ok(()))) | Err(_) => {}
        }
        true
    }

    fn flip_told(&self, is_paused: bool) {
        if is_paused {
            self.set(State::TOLD_PAUSED);
        } else {
            self.unset(State::TOLD_PAUSED);
        }
    }
}

/// Its protocol, and the handler that drives it.
impl Endpoint {
    /// Gives the endpoint its protocol; `connection_made` follows in the next
    /// turn, and then `made` completes.
    ///
    /// # Errors
    /// If the call table is full.
    pub(crate) fn start(
        self: &Rc<Self>,
        protocol: Rc<dyn AnyDatagramProtocol>,
        made: Future<()>,
    ) -> Result<()> {
        let driven = Driven(DatagramTransport { endpoint: Rc::clone(self) });
        let erase =
            |driven: Driven| Callback::handler(move |_: &EventLoopHandle| driven.0.endpoint.turn(&driven.0));
        let scheduler = &self.event_loop.inner.scheduler;
        let driver = scheduler.add_handler(driven, erase, Location::caller());
        let driver = driver.map_err(|refused| refused.refusal())?;
        self.set(State::STARTING);
        self.driver.set(Some(driver));
        self.protocol.replace(Some(protocol));
        self.made.replace(Some(made));
        self.event_loop.listen(self.token, Direction::Read, driver);
        self.event_loop.listen(self.token, Direction::Write, driver);
        self.drive_soon();
        Ok(())
    }

    pub(crate) fn protocol(&self) -> Option<Rc<dyn AnyDatagramProtocol>> {
        self.protocol.borrow().clone()
    }

    pub(crate) fn set_protocol(&self, protocol: Rc<dyn AnyDatagramProtocol>) {
        if !self.has(State::CLOSED) {
            let previous = self.protocol.replace(Some(protocol));
            drop(previous);
        }
    }

    /// Has the handler run in the next turn.
    fn drive_soon(&self) {
        if let Some(driver) = self.driver.get() {
            self.event_loop.inner.scheduler.make_ready(driver);
        }
    }

    /// Is the handler: does what there is to do for the endpoint.
    fn turn(self: &Rc<Self>, transport: &DatagramTransport) {
        if self.has(State::STARTING) {
            self.make(transport);
            return;
        }
        self.look();
        self.tell();
        if self.has(State::ENDING) {
            return self.lose();
        }
        if self.is_reading() && !self.has(State::RESTING) {
            self.read(transport);
        }
        if self.can_write() && !self.queue.borrow().is_empty() {
            self.flush();
        }
    }

    fn make(self: &Rc<Self>, transport: &DatagramTransport) {
        self.unset(State::STARTING);
        // Whoever waits for this goes on before datagrams are delivered.
        let _next = Finally(|| {
            self.tell_made();
            self.drive_soon();
        });
        let Some(protocol) = self.protocol() else { return };
        if let Err(error) = protocol.made(transport) {
            self.report("protocol.connection_made() failed", &error);
        }
        self.tell();
    }

    fn tell_made(&self) {
        if let Some(made) = self.made.take() {
            let _ = made.set_result(());
        }
    }

    pub(crate) fn is_reading(&self) -> bool {
        !self.has(State::STARTING | State::READING_PAUSED | State::CLOSING)
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

    /// Reads more in the next turn, if there is more.
    fn read_on(&self) {
        if self.is_reading()
            && !self.has(State::RESTING)
            && (self.can_read() || !self.kept.borrow().is_empty())
        {
            self.drive_soon();
        }
    }
}

/// What is received.
impl Endpoint {
    /// Receives batches until the socket is empty, a bounded number of datagrams
    /// in a turn (FAULTS U-04).
    fn read(self: &Rc<Self>, transport: &DatagramTransport) {
        let panicked = FailOnPanic(self);
        self.deliver_kept(transport);
        let mut left = self.allowance();
        let mut failures = 0;
        if let Some(mut lent) = Lent::take(&self.event_loop)
            && let Some(batch) = lent.batch()
        {
            while left > 0 && self.is_reading() && self.can_read() {
                let asked = self.expected.get().min(left);
                match self.event_loop.inner.kernel.recv_batch(self.opened.fd, batch, asked) {
                    Ok(received) => {
                        if received.is_drained {
                            self.note_drained();
                        }
                        (left, failures) = (left - received.count, 0);
                        self.spend(received.count);
                        let bytes = self.deliver(transport, batch, received.count);
                        self.expect(asked, received.count, bytes);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.unset(State::READABLE | State::LOOKS_TWICE);
                    }
                    Err(error) => {
                        (left, failures) = (left - 1, failures + 1);
                        if failures == FAILURES_MAX {
                            // It fails for good: no reason to turn in circles.
                            self.unset(State::READABLE);
                        }
                        self.note_error(error.into());
                        self.tell();
                    }
                }
            }
        }
        core::mem::forget(panicked);
        if !self.rest() {
            self.read_on();
        }
    }

    /// Delivers a batch, and returns how many bytes that were. The replies go out
    /// together afterwards.
    fn deliver(self: &Rc<Self>, transport: &DatagramTransport, batch: &ReceiveBatch, count: usize) -> usize {
        let mut bytes = 0;
        if count > 1 && !self.opened.is_connected && !self.opened.is_unix {
            self.set(State::GATHERING);
        }
        // After a panic the end does it.
        for index in 0..count {
            let (data, from, is_truncated) = batch.get(index);
            bytes += data.len();
            let incoming = Incoming { data, from, is_truncated };
            if self.has(State::CLOSING) {
                break;
            } else if self.has(State::READING_PAUSED) || !self.kept.borrow().is_empty() {
                let (data, from) = (data.into(), from.clone());
                self.kept.borrow_mut().push_back(Kept { data, from, is_truncated });
            } else {
                self.deliver_one(transport, incoming);
            }
        }
        if self.has(State::GATHERING) {
            self.send_gathered();
            self.unset(State::GATHERING);
            self.weigh();
            self.tell();
        }
        bytes
    }

    fn deliver_one(self: &Rc<Self>, transport: &DatagramTransport, incoming: Incoming<'_>) {
        let Some(protocol) = self.protocol() else { return };
        if let Err(error) = protocol.received(transport, incoming) {
            let method = if incoming.is_truncated { "datagram_truncated" } else { "datagram_received" };
            self.report(&format!("protocol.{method}() failed"), &error);
        }
        self.tell();
    }

    /// Delivers what came before reading was paused.
    fn deliver_kept(self: &Rc<Self>, transport: &DatagramTransport) {
        while self.is_reading() {
            let kept = self.kept.borrow_mut().pop_front();
            let Some(Kept { data, from, is_truncated }) = kept else { return };
            self.deliver_one(transport, Incoming { data: &data, from: &from, is_truncated });
        }
    }

    /// Chooses how many datagrams to ask for next: twice as many if these were not
    /// all, or a little more than there were. So one at a time costs one call,
    /// and no slot is prepared in vain.
    fn expect(&self, asked: usize, received: usize, bytes: usize) {
        let next = if bytes > BATCH_BYTES {
            asked / 2
        } else if received == asked {
            asked * 2
        } else {
            usize::midpoint(asked, received) + 1
        };
        self.expected.set(next.clamp(2, self.event_loop.inner.datagrams.per_turn.max(2)));
    }

    /// Returns how many datagrams this turn may take.
    fn allowance(&self) -> usize {
        let per_turn = self.event_loop.inner.datagrams.per_turn;
        let Some(rate) = self.rate else { return per_turn };
        let now = self.event_loop.time();
        if now >= self.window.get().0 {
            self.window.set((now + rate.per, rate.datagrams));
        }
        per_turn.min(self.window.get().1)
    }

    fn spend(&self, count: usize) {
        if self.rate.is_some() {
            let (end, left) = self.window.get();
            self.window.set((end, left.saturating_sub(count)));
        }
    }

    /// Rests until the end of the time whose datagrams were all taken, if they
    /// were (FAULTS C-08).
    fn rest(self: &Rc<Self>) -> bool {
        let (end, left) = self.window.get();
        if self.rate.is_none() || left > 0 || self.has(State::CLOSING) {
            return false;
        }
        let resting = Rc::downgrade(self);
        let timer = self.event_loop.call_at(end, move |_| {
            if let Some(endpoint) = resting.upgrade() {
                endpoint.unset(State::RESTING);
                endpoint.read_on();
            }
        });
        // Without room for a timer the next datagram makes the next attempt.
        if timer.is_ok() {
            self.set(State::RESTING);
        }
        true
    }
}

/// Its end.
impl Endpoint {
    /// Stops receiving, sends what is queued, and ends (DG-10).
    pub(crate) fn close(self: &Rc<Self>) {
        self.send_gathered();
        if !self.set(State::CLOSING) && self.queue.borrow().is_empty() {
            self.end(None);
        }
    }

    /// Ends without sending what is queued (DG-10).
    pub(crate) fn abort(self: &Rc<Self>) {
        self.end(None);
    }

    /// Begins the end: from the loop, never inline.
    fn end(self: &Rc<Self>, error: Option<Error>) {
        // To the caller these were sent.
        self.send_gathered();
        self.set(State::CLOSING);
        if self.set(State::ENDING) {
            return;
        }
        self.clear();
        self.error.replace(error);
        self.drive_soon();
    }

    /// Tells the protocol, and closes the socket.
    fn lose(self: &Rc<Self>) {
        let _closed = Finally(|| self.finish());
        self.tell_errors();
        let Some(protocol) = self.protocol.take() else { return };
        if self.has(State::STARTING) {
            // The loop was closed before it knew of the endpoint.
            return;
        }
        let error = self.error.take();
        let transport = DatagramTransport { endpoint: Rc::clone(self) };
        if let Err(error) = protocol.lost(&transport, error.as_ref()) {
            self.report("protocol.connection_lost() failed", &error);
        }
    }

    /// Closes the socket; its file goes if it is still its own (UX-6).
    fn finish(&self) {
        self.set(State::CLOSING | State::ENDING);
        if self.set(State::CLOSED) {
            return;
        }
        // Before the number can be used again (FAULTS P-06).
        self.event_loop.unwatch(self.token);
        let kernel = &self.event_loop.inner.kernel;
        self.local.replace(kernel.local_addr(self.opened.fd).ok());
        if let Some(file) = &self.opened.file {
            file.remove();
        }
        kernel.close(self.opened.fd);
        self.kept.take();
        self.tell_made();
        if let Some(driver) = self.driver.take() {
            self.event_loop.inner.scheduler.cancel_call(&self.event_loop, driver);
        }
    }

    fn report(&self, message: &str, error: &Error) {
        let socket = self.opened.fd.as_raw();
        let mut context = ExceptionContext::new(message).with_exception(error);
        context.socket = Some(&socket);
        self.event_loop.call_exception_handler(&context);
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.clear();
        self.finish();
        self.opened.fd = Fd::NONE;
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fd={}", self.opened.fd.as_raw())?;
        if let Some(addr) = self.local_addr() {
            write!(f, ", local={addr}")?;
        }
        if let Some(addr) = &self.opened.remote {
            write!(f, ", peer={addr}")?;
        }
        if self.is_closing() {
            f.write_str(if self.has(State::CLOSED) { ", closed" } else { ", closing" })?;
        }
        Ok(())
    }
}

/// An endpoint in the hands of the loop. Dropped while it drives one, as a closing
/// loop does, it brings about the end of that.
struct Driven(DatagramTransport);

impl Drop for Driven {
    fn drop(&mut self) {
        let endpoint = &self.0.endpoint;
        if endpoint.driver.get().is_some() && !endpoint.has(State::CLOSED) {
            endpoint.set(State::CLOSING);
            if !endpoint.set(State::ENDING) {
                //
                endpoint.error.replace(Some(Refusal::Closed.into()));
            }
            endpoint.clear();
            endpoint.lose();
        }
    }
}

/// Ends an endpoint whose protocol unwinds.
struct FailOnPanic<'a>(&'a Rc<Endpoint>);

impl Drop for FailOnPanic<'_> {
    fn drop(&mut self) {
        // Reported by whoever catches it.
        self.0.end(Some(Error::of(ErrorKind::Panicked, "the protocol panicked")));
        self.0.unset(State::GATHERING);
    }
}

/// Runs a closure when dropped.
struct Finally<F: FnMut()>(F);

impl<F: FnMut()> Drop for Finally<F> {
    fn drop(&mut self) {
        self.0();
    }
}

/// Sets the options that have to stand before an address does.
pub(crate) fn prepare(opened: &Opened, reuse_port: bool, broadcast: bool) -> io::Result<()> {
    let kernel = &opened.event_loop.inner.kernel;
    if reuse_port {
        kernel.set_option(opened.fd, SocketOption::ReusePort, 1)?;
    }
    if broadcast {
        kernel.set_option(opened.fd, SocketOption::Broadcast, 1)?;
    }
    Ok(())
}

//! A datagram endpoint: its readiness, what it has to send, and its end.

mod driver;
mod end;
mod state;

mod rate;
mod receiving;
mod report;

mod gathering;
mod marks;
mod sending;

use core::cell::{Cell, RefCell};
use core::fmt;
use core::panic::Location;
use core::time::Duration;
use std::collections::VecDeque;
use std::rc::Rc;

use rondel_core::{Instant, Refusal, SlotId};

pub(crate) use self::rate::ReceiveRate;
use self::receiving::Kept;
use self::sending::RETRY_DELAYS;
use self::state::State;
use crate::net::address::Address;
use crate::net::datagram::opened::Opened;
use crate::net::datagram::protocol::AnyDatagramProtocol;
use crate::net::datagram::queue::Queue;
use crate::net::flow::WriteBufferLimits;
use crate::snapshot::{Describe, DescriptorRow, SnapshotAddr};
use crate::sources::Owner;
use crate::sys::{Fd, Interest, Token};
use crate::{Error, EventLoopHandle, Future, Result};

/// A datagram endpoint, driven by a handler of the loop. Registered once; edges
/// tell when to try again. A batch that came back short has emptied the socket,
/// so its steady state costs no system call but the transfers.
pub(crate) struct Endpoint {
    event_loop: EventLoopHandle,
    opened: Opened,
    /// Is where it was asked for.
    location: &'static Location<'static>,
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

impl Describe for Endpoint {
    fn location(&self) -> &'static Location<'static> {
        self.location
    }

    fn describe(&self, row: &mut DescriptorRow) {
        let addr = self.event_loop.inner.kernel.local_addr(self.opened.fd);
        row.local = addr.map_or(SnapshotAddr::None, |addr| SnapshotAddr::new(&addr));
        row.peer = self.peer_addr().map_or(SnapshotAddr::None, SnapshotAddr::new);
        row.queued = self.queued.get();
        row.protocol = self.protocol().map_or("", |protocol| protocol.type_name());
        row.state = if self.has(State::CLOSING | State::ENDING | State::CLOSED) {
            "closing"
        } else if self.has(State::WRITING_PAUSED) {
            "open, writing paused"
        } else if self.has(State::READING_PAUSED | State::RESTING) {
            "open, reading paused"
        } else {
            "open"
        };
    }
}

impl Endpoint {
    /// Takes over an open socket.
    ///
    /// # Errors
    /// If a table is full; the socket is closed then.
    pub(crate) fn new(
        opened: Opened,
        rate: Option<ReceiveRate>,
        location: &'static Location<'static>,
    ) -> Result<Rc<Self>> {
        let event_loop = opened.event_loop.clone();
        event_loop.inner.datagrams.reserve(event_loop.inner.read_buffer_bytes)?;
        let token = event_loop.watch(opened.fd, Owner::Datagrams, Interest::READABLE, location)?;
        let endpoint = Rc::new(Self {
            event_loop,
            opened,
            location,
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
        });
        endpoint.event_loop.set_description(token, Rc::<Self>::downgrade(&endpoint));
        Ok(endpoint)
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

    /// Takes over what the kernel has told since the last look, and the loop.
    fn look(self: &Rc<Self>) {
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
        if noticed.is_summoned {
            self.heed_shutdown();
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

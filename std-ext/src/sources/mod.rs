//! The descriptors that the loop watches, and who watches them.

mod claims;
mod described;
mod handlers;
mod owner;
mod side;
mod since;
mod summons;
mod waits;

use core::cell::Cell;
use core::panic::Location;
use std::io;

use rondel_core::{Context, Instant, Refusal, Resource, SlotId, Usage};
use slab::Slab;

use self::claims::Kept;
use self::described::Description;
use self::since::Since;
use crate::observers::metrics::usage;
use crate::sys::{Event, Fd, Interest, Token};
use crate::{Error, ErrorKind, EventLoopHandle, Result};

pub(crate) use owner::Owner;
pub(crate) use side::{Direction, Listener, Side, Waiter};

/// Is how many bits of a token are the slab's key; the others are a generation,
/// so that an event of a former source never reaches the next one.
const KEY_BITS: u32 = usize::BITS / 2;
const KEY_MASK: usize = (1 << KEY_BITS) - 1;

/// What was noticed of a descriptor since its owner looked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noticed {
    pub(crate) is_readable: bool,
    pub(crate) is_writable: bool,
    /// Tells that a short transfer does not mean that there is nothing left.
    pub(crate) is_final: bool,
    /// Tells that the loop is shut down.
    pub(crate) is_summoned: bool,
}

/// A watched descriptor.
pub(crate) struct Source {
    pub(crate) fd: Fd,
    generation: u32,
    owner: Owner,
    reader: Side,
    writer: Side,
    /// Counts those who keep it registered while nobody waits.
    keepers: u8,
    /// Tells that its owner is to look whether the loop is shut down.
    is_summoned: bool,
    /// Is what stays watched for them.
    /// Invariant: nothing without keepers.
    kept: Kept,
    /// Is when the kernel last told of it, or it was first watched.
    since: Since,
    description: Description,
}

// Each idle connection has one: a line of the cache.
const _: () = assert!(size_of::<Source>() <= 64);

impl Source {
    pub(crate) fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Read => &mut self.reader,
            Direction::Write => &mut self.writer,
        }
    }

    /// Returns what the user asks the kernel for; `None` if there is nothing.
    fn interest(&self) -> Option<Interest> {
        let reader = self.reader.is_watched().then_some(Interest::READABLE);
        let writer = self.writer.is_watched().then_some(Interest::WRITABLE);
        let both = [reader, writer, self.kept.interest()].into_iter().flatten();
        both.reduce(Interest::union)
    }
}

/// All watched descriptors of a loop.
pub(crate) struct Sources {
    slab: Slab<Source>,
    /// Is the key of each descriptor's source, [`NO_KEY`] for one without. The
    /// system gives out the lowest number that is free, so it stays short.
    by_fd: Vec<u32>,
    /// Is the most that there ever were.
    peak: usize,
    /// Counts those that there was no room for.
    refused: Cell<u64>,
    limit: usize,
    generation: u32,
}

/// Stands where a descriptor has no source.
const NO_KEY: u32 = u32::MAX;

impl Sources {
    pub(crate) fn new(limit: usize) -> Self {
        let limit = limit.min(KEY_MASK).min(NO_KEY as usize);
        Self { slab: Slab::new(), by_fd: Vec::new(), peak: 0, refused: Cell::new(0), limit, generation: 0 }
    }

    /// Tells whether there is room for another source; a refusal is counted.
    ///
    /// # Errors
    /// `Full`.
    pub(crate) fn check_room(&self) -> Result<(), Refusal> {
        if self.slab.len() < self.limit {
            return Ok(());
        }
        self.refused.set(self.refused.get() + 1);
        Err(Refusal::Full { resource: Resource::Descriptor, limit: self.limit })
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(crate) fn usage(&self) -> Usage {
        usage(self.slab.len(), self.peak, self.limit)
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused.get()
    }

    /// Adds a source that has no listener yet.
    ///
    /// It begins `now`, and was asked for at `location`.
    fn insert(
        &mut self,
        fd: Fd,
        owner: Owner,
        location: &'static Location<'static>,
        now: Instant,
    ) -> Result<Token> {
        if let Some((_, owner)) = self.find(fd) {
            return Err(busy(fd, owner));
        }
        let Ok(place) = usize::try_from(fd.as_raw()) else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput).into());
        };
        self.check_room()?;
        // The two highest tokens are the kernel's.
        self.generation = (self.generation + 1) & (KEY_MASK >> 1) as u32;
        let generation = self.generation;
        let (reader, writer) = (Side::default(), Side::default());
        let source = Source {
            fd,
            generation,
            owner,
            reader,
            writer,
            keepers: 0,
            is_summoned: false,
            kept: Kept::Nothing,
            since: Since::new(now),
            description: Description::At(location),
        };
        let key = self.slab.insert(source);
        self.peak = self.peak.max(self.slab.len());
        if self.by_fd.len() <= place {
            self.by_fd.resize(place + 1, NO_KEY);
        }
        self.by_fd[place] = key as u32;
        Ok(token(generation, key))
    }

    fn remove(&mut self, token: Token) -> Option<Source> {
        self.get(token)?;
        let source = self.slab.try_remove(token.0 & KEY_MASK)?;
        if let Some(key) = self.by_fd.get_mut(source.fd.as_raw() as usize) {
            *key = NO_KEY;
        }
        Some(source)
    }

    pub(crate) fn get(&mut self, token: Token) -> Option<&mut Source> {
        let source = self.slab.get_mut(token.0 & KEY_MASK)?;
        (source.generation as usize == token.0 >> KEY_BITS).then_some(source)
    }

    /// Returns the source of `fd`.
    fn find(&self, fd: Fd) -> Option<(Token, Owner)> {
        let key = *self.by_fd.get(usize::try_from(fd.as_raw()).ok()?)? as usize;
        let source = self.slab.get(key)?;
        Some((token(source.generation, key), source.owner))
    }
}

fn token(generation: u32, key: usize) -> Token {
    Token(((generation as usize) << KEY_BITS) | key)
}

fn busy(fd: Fd, owner: Owner) -> Error {
    Error::of(ErrorKind::Busy, format!("descriptor {} is in use by {}", fd.as_raw(), owner.name()))
}

impl EventLoopHandle {
    /// Tells whoever listens that a descriptor is ready. A hang-up or an error
    /// is for both sides (contract IO-7).
    #[inline]
    pub(crate) fn dispatch(&self, event: Event) {
        let readiness = event.readiness;
        let (reader, writer) = {
            let mut sources = self.inner.sources.borrow_mut();
            let Some(source) = sources.get(event.token) else { return };
            source.since = Since::new(self.inner.scheduler.time());
            let is_final =
                readiness.read_closed || readiness.write_closed || readiness.error || readiness.urgent;
            let reader = source.reader.notice(readiness.reader_wakes(), is_final);
            let writer = source.writer.notice(readiness.writer_wakes(), is_final);
            (reader, writer)
        };
        self.tell(reader);
        // One handler may listen to both.
        if writer != Listener::None && writer != reader {
            self.tell(writer);
        }
    }

    #[inline]
    fn tell(&self, listener: Listener) {
        match listener {
            Listener::None => {}
            Listener::Handler(handler) => {
                self.inner.scheduler.make_ready(handler);
            }
            Listener::Waiter(waiter) => self.wake_waiter(waiter),
        }
    }

    /// Takes what was noticed of a descriptor of our own into the hands of its
    /// owner; `None` if it is not watched any more.
    #[inline]
    pub(crate) fn take_readiness(&self, token: Token) -> Option<Noticed> {
        let mut sources = self.inner.sources.borrow_mut();
        let source = sources.get(token)?;
        Some(Noticed {
            is_readable: core::mem::take(&mut source.reader.is_ready),
            is_writable: core::mem::take(&mut source.writer.is_ready),
            is_final: source.reader.is_final | source.writer.is_final,
            is_summoned: core::mem::take(&mut source.is_summoned),
        })
    }

    /// Watches a descriptor of our own, both sides, for its whole life: a stream
    /// costs no further call to the kernel for it.
    pub(crate) fn watch(
        &self,
        fd: Fd,
        owner: Owner,
        interest: Interest,
        location: &'static Location<'static>,
    ) -> Result<Token> {
        let token = self.hold(fd, owner, location)?;
        if let Err(error) = self.inner.kernel.register(fd, token, interest) {
            self.inner.sources.borrow_mut().remove(token);
            return Err(error.into());
        }
        Ok(token)
    }

    /// Has a source for a descriptor of our own of which the kernel tells nothing.
    pub(crate) fn hold(&self, fd: Fd, owner: Owner, location: &'static Location<'static>) -> Result<Token> {
        // The number is ours: whoever watches it by callbacks has closed theirs.
        let found = self.inner.sources.borrow().find(fd);
        if let Some((former, Owner::Callbacks)) = found {
            self.abandon(former);
        }
        self.add_source(fd, owner, location)
    }

    /// Adds a source that has no listener yet, and of which the kernel knows nothing.
    fn add_source(&self, fd: Fd, owner: Owner, location: &'static Location<'static>) -> Result<Token> {
        // Without a turn to have read the clock, the last reading may be as old as the run.
        let now = if self.is_running() { self.inner.scheduler.time() } else { self.now() };
        self.inner.sources.borrow_mut().insert(fd, owner, location, now)
    }

    /// Refuses a descriptor from outside that callbacks watch: whose it is now
    /// can't be told (FAULTS P-07). Whoever was called for it isn't any more.
    ///
    /// # Errors
    /// `Busy`.
    pub(crate) fn check_unwatched(&self, fd: Fd) -> Result<()> {
        let found = self.inner.sources.borrow().find(fd);
        let Some((token, owner)) = found else { return Ok(()) };
        // Not there: of a former descriptor with this number.
        let asked = self.inner.kernel.reregister(fd, token, Interest::READABLE);
        if asked.is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Ok(());
        }
        self.remove_handler(fd, Direction::Read);
        self.remove_handler(fd, Direction::Write);
        Err(busy(fd, owner))
    }

    /// Stops watching a descriptor of our own; the kernel is told before it is
    /// closed, on every path.
    pub(crate) fn unwatch(&self, token: Token) {
        let source = self.inner.sources.borrow_mut().remove(token);
        let Some(source) = source else { return };
        self.inner.shutdown.closed_one();
        // Fails only if the descriptor is gone, and then there is nothing to undo.
        let _ = self.inner.kernel.deregister(source.fd);
        for side in [source.reader, source.writer] {
            match side.listener() {
                Listener::None => {}
                Listener::Handler(handler) => {
                    self.inner.scheduler.cancel_call(self, handler);
                }
                // Finds its source gone, and says so.
                Listener::Waiter(waiter) => self.wake_waiter(waiter),
            }
        }
    }

    /// Tells whether a side may be ready, as far as is known without asking.
    pub(crate) fn is_ready(&self, token: Token, direction: Direction) -> bool {
        self.inner.sources.borrow_mut().get(token).is_none_or(|source| source.side(direction).is_ready)
    }

    /// Notes that an operation met `WouldBlock`.
    pub(crate) fn clear_ready(&self, token: Token, direction: Direction) {
        if let Some(source) = self.inner.sources.borrow_mut().get(token) {
            source.side(direction).is_ready = false;
        }
    }

    /// Returns the handler of one side.
    pub(crate) fn handler(&self, token: Token, direction: Direction) -> Option<SlotId> {
        match self.inner.sources.borrow_mut().get(token)?.side(direction).listener() {
            Listener::Handler(handler) => Some(handler),
            _ => None,
        }
    }

    /// Forgets that an error came: of a datagram socket it is not the last event.
    pub(crate) fn forget_final(&self, token: Token) {
        if let Some(source) = self.inner.sources.borrow_mut().get(token) {
            (source.reader.is_final, source.writer.is_final) = (false, false);
        }
    }

    /// Takes the handler of one side of a descriptor of our own away.
    pub(crate) fn unlisten(&self, token: Token, direction: Direction) {
        if let Some(source) = self.inner.sources.borrow_mut().get(token) {
            source.side(direction).set_listener(Listener::None);
        }
    }

    /// Sets the handler of one side of a descriptor of our own.
    ///
    /// A task that waits for that side is woken: it has to look why.
    pub(crate) fn listen(&self, token: Token, direction: Direction, handler: SlotId) {
        let previous = {
            let mut sources = self.inner.sources.borrow_mut();
            let Some(source) = sources.get(token) else { return };
            let side = source.side(direction);
            let previous = side.listener();
            side.set_listener(Listener::Handler(handler));
            previous
        };
        if let Listener::Waiter(waiter) = previous {
            self.wake_waiter(waiter);
        }
    }

    /// Drops all sources, for the close of the loop.
    pub(crate) fn close_sources(&self) {
        loop {
            let token = {
                let sources = self.inner.sources.borrow();
                let first = sources.slab.iter().next();
                first.map(|(key, source)| token(source.generation, key))
            };
            let Some(token) = token else { return };
            self.unwatch(token);
        }
    }
}

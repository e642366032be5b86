//! What passes through the seam: descriptors, tokens, interests and events, as plain values.

use core::fmt;
use core::ops::BitOr;

/// Names a descriptor of the kernel that handed it out.
///
/// A plain number without `Drop`: a simulated kernel counts its own, and those must never reach the
/// real `close`. The owner keeps the kernel beside it and closes it there, once.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fd(i32);

impl Fd {
    /// Is no descriptor.
    pub(crate) const NONE: Self = Self(-1);

    /// Wraps a number that the kernel in use knows.
    pub(crate) const fn from_raw(raw: i32) -> Self {
        Self(raw)
    }

    /// Returns the number.
    pub(crate) const fn as_raw(self) -> i32 {
        self.0
    }
}

impl fmt::Debug for Fd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fd {}", self.0)
    }
}

/// Comes back with every event of the descriptor it was registered with.
///
/// The two highest numbers belong to the kernel (its doorbell and its timer); registering with them
/// is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(pub(crate) usize);

impl Token {
    /// Marks the doorbell's events, which never leave the kernel.
    pub(super) const DOORBELL: Self = Self(usize::MAX);

    /// Marks the timer's events, which never leave the kernel.
    pub(super) const ALARM: Self = Self(usize::MAX - 1);

    /// Tells whether the kernel keeps this token for itself.
    pub(super) const fn is_reserved(self) -> bool {
        self.0 >= Self::ALARM.0
    }
}

/// Says which directions of a descriptor are watched.
// Invariant: at least one direction is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interest(u8);

impl Interest {
    /// Watches for something to read, the end of the stream, or an error.
    pub(crate) const READABLE: Self = Self(1);
    /// Watches for room to write, the end of the reader, or an error.
    pub(crate) const WRITABLE: Self = Self(2);
    /// Watches both directions.
    pub(crate) const BOTH: Self = Self(3);

    /// Watches for something to read, and for bytes out of band, which cut reads short.
    pub(crate) const STREAM: Self = Self(1 | Self::URGENT);

    const URGENT: u8 = 4;

    /// Watches what either watches.
    #[must_use]
    pub(crate) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn to_mio(self) -> mio::Interest {
        let directions = match Self(self.0 & !Self::URGENT) {
            Self::READABLE => mio::Interest::READABLE,
            Self::WRITABLE => mio::Interest::WRITABLE,
            _ => mio::Interest::READABLE | mio::Interest::WRITABLE,
        };
        if self.0 & Self::URGENT == 0 { directions } else { directions | mio::Interest::PRIORITY }
    }
}

impl BitOr for Interest {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

/// Says what the kernel reported about a descriptor. All of it is a hint: the truth comes from the
/// read or write itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Readiness {
    /// There is something to read.
    pub(crate) readable: bool,
    /// There is room to write.
    pub(crate) writable: bool,
    /// Nothing more will arrive after what is buffered.
    pub(crate) read_closed: bool,
    /// Nothing more can be written.
    pub(crate) write_closed: bool,
    /// The descriptor has an error pending.
    pub(crate) error: bool,
    /// A byte came out of band: reads end before it, whatever follows.
    pub(crate) urgent: bool,
}

impl Readiness {
    /// Tells whether whoever reads has to look. A hang-up or an error can come without the readable
    /// flag, and a reader that waited for that flag would wait for ever (FAULTS P-08, P-09).
    pub(crate) const fn reader_wakes(self) -> bool {
        self.readable || self.read_closed || self.error
    }

    /// Tells whether whoever writes has to look, for the same reason.
    pub(crate) const fn writer_wakes(self) -> bool {
        self.writable || self.write_closed || self.error
    }

    pub(super) fn from_mio(event: &mio::event::Event) -> Self {
        Self {
            readable: event.is_readable(),
            writable: event.is_writable(),
            read_closed: event.is_read_closed(),
            write_closed: event.is_write_closed(),
            error: event.is_error(),
            urgent: event.is_priority(),
        }
    }
}

/// Tells that the descriptor registered with `token` is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// The token given at registration.
    pub(crate) token: Token,
    /// What was reported; spurious reports are allowed.
    pub(crate) readiness: Readiness,
}

/// Holds the events of one wait; made once and used again for every wait.
///
/// It is kernel-neutral: whatever reports readiness pushes plain [`Event`]s. They are `Copy`, so a
/// loop can walk them by index and borrow nothing while it runs callbacks.
pub(crate) struct Events {
    /// What mio reported, the kernel's own two descriptors included.
    pub(super) polled: mio::Events,
    /// What the caller sees.
    /// Invariant: never grows past the capacity it was made with, so no wait allocates.
    pub(super) list: Vec<Event>,
}

impl Events {
    /// Bounds the buffer; more would only make one batch unfairly long.
    pub(crate) const CAPACITY_MAX: usize = 65_536;

    /// Makes a buffer for `capacity` events per wait, at least 1 and at most
    /// [`CAPACITY_MAX`](Self::CAPACITY_MAX). What doesn't fit waits for the next wait and isn't lost.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        // Two more, so that neither doorbell nor timer takes a place from the caller's descriptors.
        let polled_max = capacity.clamp(1, Self::CAPACITY_MAX) + 2;
        Self { polled: mio::Events::with_capacity(polled_max), list: Vec::with_capacity(polled_max) }
    }

    /// Tells whether the last wait brought none.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Returns one of the events, in the order of the report.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<Event> {
        self.list.get(index).copied()
    }

    /// Walks the events in the order of the report.
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = Event> + '_ {
        self.list.iter().copied()
    }

    /// Forgets all events.
    pub(crate) fn clear(&mut self) {
        self.polled.clear();
        self.list.clear();
    }
}

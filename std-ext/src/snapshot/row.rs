//! What a snapshot says of each thing.

use core::fmt;
use core::net::SocketAddr;
use core::panic::Location;
use std::rc::Rc;

use rondel_core::{CallItem, FutureItem, HandleId, Instant, SlotId, TaskId, TaskItem};

use super::job::JobRow;
use super::wait::TaskWait;
use crate::Address;
use crate::net::connection::Connection;

/// A row of a [`Snapshot`](super::Snapshot): a copy of what is known of one thing.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub enum SnapshotRow {
    /// Nothing: memory that was not used.
    #[default]
    Empty,
    /// A task.
    Task(TaskRow),
    /// A callback, timer, handler or waiter.
    Call(CallItem),
    /// A future.
    Future(FutureRow),
    /// A watched descriptor, and what it belongs to.
    Descriptor(DescriptorRow),
    /// A job.
    Job(JobRow),
}

impl SnapshotRow {
    /// Returns the number of the slot of a task or future.
    pub(super) fn slot(&self) -> usize {
        match self {
            Self::Task(row) => row.task.id.index(),
            Self::Future(row) => row.future.id.index(),
            _ => usize::MAX,
        }
    }
}

/// Is no row.
pub(super) const NO_ROW: u32 = u32::MAX;

/// A task, and its place in the tree of who awaits whom.
#[derive(Clone, Copy, Debug)]
pub struct TaskRow {
    /// Is what the scheduler knows of the task. What it waits for outside of that,
    /// [`wait`](Self::wait) says.
    pub task: TaskItem,
    /// Is what it waits for, if it does.
    pub wait: Option<TaskWait>,
    /// Is the row of the first task that awaits it.
    pub(super) above: u32,
    /// Is the row of the first task that it awaits.
    pub(super) below: u32,
    /// Is the row of the next task that the one above awaits.
    pub(super) beside: u32,
    /// Is where the walk began that has come by, while cycles are looked for.
    pub(super) walk: u32,
    /// Tells that it awaits, through others, itself.
    pub(super) is_in_cycle: bool,
}

impl TaskRow {
    pub(super) const fn new(mut task: TaskItem, wait: Option<TaskWait>) -> Self {
        task.outside = None;
        Self { task, wait, above: NO_ROW, below: NO_ROW, beside: NO_ROW, walk: NO_ROW, is_in_cycle: false }
    }
}

/// A future.
#[derive(Clone, Copy, Debug)]
pub struct FutureRow {
    /// Is what is known of the future.
    pub future: FutureItem,
    /// Is the row of the first task that awaits it.
    pub(super) awaiter: u32,
}

impl FutureRow {
    pub(super) const fn new(future: FutureItem) -> Self {
        Self { future, awaiter: NO_ROW }
    }
}

/// A watched descriptor.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct DescriptorRow {
    /// Is its number.
    pub fd: i32,
    /// Is what it belongs to.
    pub owner: DescriptorOwner,
    /// Is where it was asked for: the call that made the connection, server, endpoint, child or pool,
    /// or that looked the name up. Of a connection that a server accepted it is where the server was
    /// made; of a descriptor of the user's where it was last given a callback, or became
    /// [`NonBlocking`](crate::NonBlocking).
    pub location: &'static Location<'static>,
    /// Is when the kernel last told of it, else when it was first watched, to a fifteenth of a
    /// second: since then whoever reads or writes it has had no reason to.
    pub since: Instant,
    /// Is who is told when there is something to read.
    pub reader: Watcher,
    /// Is who is told when there is room to write.
    pub writer: Watcher,
    /// Is its own address.
    pub local: SnapshotAddr,
    /// Is the address of its peer.
    pub peer: SnapshotAddr,
    /// Is the type of its protocol; empty where tasks read and write, and where there is none.
    pub protocol: &'static str,
    /// Counts the bytes that are queued to be sent.
    pub queued: usize,
    /// Counts the connections of a server.
    pub connections: Option<usize>,
    /// Is the number of a child process, and the end of its program's path.
    pub process: Option<(u32, ShortText)>,
    /// Says in a word how it stands, `open`, `paused` or `closing` for example; empty where nothing
    /// is known.
    pub state: &'static str,
}

impl DescriptorRow {
    pub(crate) const fn new(
        fd: i32,
        owner: DescriptorOwner,
        location: &'static Location<'static>,
        since: Instant,
    ) -> Self {
        Self {
            fd,
            owner,
            location,
            since,
            reader: Watcher::None,
            writer: Watcher::None,
            local: SnapshotAddr::None,
            peer: SnapshotAddr::None,
            protocol: "",
            queued: 0,
            connections: None,
            process: None,
            state: "",
        }
    }
}

/// What a descriptor belongs to, and what is to be said of it in a snapshot.
pub(crate) trait Describe {
    /// Returns where it was asked for.
    fn location(&self) -> &'static Location<'static>;

    /// Writes what else is known into `row`, without calling the user.
    fn describe(&self, row: &mut DescriptorRow);

    /// Returns the call that wakes who waits for it, and not for a side of its descriptor.
    fn waiter(&self) -> Option<SlotId> {
        None
    }

    /// Tells what that one waits for; its descriptor is `fd`.
    fn awaited(&self, fd: i32) -> TaskWait {
        let _ = fd;
        TaskWait::Waker
    }

    /// Returns the connection that it is, if it is one.
    fn as_connection(self: Rc<Self>) -> Option<Rc<Connection>> {
        None
    }
}

/// What a descriptor belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum DescriptorOwner {
    /// The user: `add_reader`, `add_writer`, `sock_*`.
    User,
    /// A connection: a transport or a stream, also one that is being made.
    Connection,
    /// An end of a pipe, or a device, read or written by a transport or a stream: of a child process,
    /// or of the user's.
    Pipe,
    /// A server: one of its listening sockets.
    Server,
    /// A look-up of a name.
    Lookup,
    /// A datagram endpoint.
    Datagrams,
    /// A worker process of a pool: its socket, or what tells its end.
    Worker,
    /// A child process.
    Child,
    /// Something else of the loop's.
    Other,
}

impl DescriptorOwner {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::User => "descriptor",
            Self::Connection => "connection",
            Self::Pipe => "pipe",
            Self::Server => "server",
            Self::Lookup => "look-up",
            Self::Datagrams => "datagrams",
            Self::Worker => "worker process",
            Self::Child => "child process",
            Self::Other => "source",
        }
    }
}

/// Who is told about one side of a descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Watcher {
    /// Nobody.
    #[default]
    None,
    /// A callback, each time.
    Callback(HandleId),
    /// A task that waits.
    Task(TaskId),
    /// A waiter, on behalf of a task that waits through a combinator.
    Waiter(HandleId),
}

/// Is the most bytes of a text that a row has room for.
const SHORT_BYTES: usize = 29;

/// The address of a socket in fixed space.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SnapshotAddr {
    /// It has none, or none that is known.
    #[default]
    None,
    /// An IP address and a port.
    Inet(SocketAddr),
    /// The path or name of a UNIX socket, cut off where it is too long.
    Unix(ShortText),
}

/// The begin of a text: an address, or a name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ShortText {
    /// Invariant: the first `length` bytes are UTF-8.
    bytes: [u8; SHORT_BYTES],
    length: u8,
}

impl ShortText {
    pub(crate) fn new(text: impl fmt::Display) -> Self {
        let mut short = Self { bytes: [0; SHORT_BYTES], length: 0 };
        // Fails where it is full, which is meant.
        let _ = fmt::Write::write_fmt(&mut short, format_args!("{text}"));
        short
    }

    /// Takes the end of a text, or all of it.
    pub(crate) fn end_of(text: &str) -> Self {
        let is_short = |&(at, _): &(usize, char)| text.len() - at <= SHORT_BYTES;
        let begin = text.char_indices().find(is_short).map_or(text.len(), |(at, _)| at);
        Self::new(&text[begin..])
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.length.into()).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl fmt::Debug for ShortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Write for ShortText {
    /// Takes as many whole characters as there is room for.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            let start = usize::from(self.length);
            let Some(room) = self.bytes.get_mut(start..start + character.len_utf8()) else {
                return Err(fmt::Error);
            };
            character.encode_utf8(room);
            self.length += character.len_utf8() as u8;
        }
        Ok(())
    }
}

impl SnapshotAddr {
    pub(crate) fn new(addr: &Address) -> Self {
        match addr {
            Address::Inet(addr) => Self::Inet(*addr),
            Address::Unix(addr) => Self::Unix(ShortText::new(addr)),
        }
    }
}

impl fmt::Display for SnapshotAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("-"),
            Self::Inet(addr) => addr.fmt(f),
            Self::Unix(text) => f.write_str(text.as_str()),
        }
    }
}

impl fmt::Debug for SnapshotAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

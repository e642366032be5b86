//! What a task waits for.
//!
//! A task that waits for something outside of the scheduler stands in some table of ours: among the
//! listeners of a descriptor, the jobs, the streams of signals. A snapshot walks these tables and notes
//! with each task a [`Clue`], a word that leads back to the place; so nobody pays while waiting. Waits
//! that are rare and stand in no table are [named](EventLoopHandle::name_wait) while they last.

use core::cell::RefCell;
use core::fmt;
use core::net::SocketAddr;
use core::num::NonZeroU32;

use rondel_core::{FutureId, Instant, SlotId, TaskId, TaskItem, TaskState, WaitsFor};
use slab::Slab;

use crate::sources::Waiter;
use crate::{EventLoopHandle, SignalSet};

/// What a task waits for, as a [`TaskRow`](crate::TaskRow) says it: what would wake it. Of several at
/// once, as with a `select`, it is one.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum TaskWait {
    /// A future.
    Future(FutureId),
    /// Another task.
    Task(TaskId),
    /// Its time: `sleep`, or a `timeout` around something unknown.
    Time(Instant),
    /// Something to read from a descriptor, its end, or a connection to accept.
    Readable {
        /// Is the number of the descriptor, which has a row.
        fd: i32,
    },
    /// Room to write to a descriptor, or that it is connected.
    Writable {
        /// Is the number of the descriptor, which has a row.
        fd: i32,
    },
    /// That a connection is made, its handshake of TLS included.
    Opened {
        /// Is the number of its descriptor, which has a row.
        fd: i32,
    },
    /// That a connection has sent what is queued, or so much of it that there is room again: `drain`,
    /// `sendfile`.
    Drained {
        /// Is the number of its descriptor, which has a row.
        fd: i32,
    },
    /// That a connection is closed: `wait_closed`.
    Closed {
        /// Is the number of its descriptor, which has a row.
        fd: i32,
    },
    /// The result of a job, by the [number](crate::JobRow::number) of its row.
    Job(u64),
    /// The answer to a look-up of a name.
    Lookup,
    /// The end of a child process, by its number.
    Child(u32),
    /// One of these signals.
    Signal(SignalSet),
    /// That the server at this address is closed and its last connection gone: `wait_closed`,
    /// `serve_forever`.
    Server(SocketAddr),
    /// That all jobs of an executor have ended.
    ExecutorShutdown,
    /// That what a shutdown of the loop has asked to end has ended.
    Shutdown,
    /// Somebody who has its waker, and of whom the loop knows nothing: another thread, a channel.
    Waker,
}

impl fmt::Display for TaskWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Future(id) => write!(f, "waits for {id}"),
            Self::Task(id) => write!(f, "waits for {id}"),
            Self::Time(when) => write!(f, "sleeps until {when:?}"),
            Self::Readable { fd } => write!(f, "waits to read from descriptor {fd}"),
            Self::Writable { fd } => write!(f, "waits to write to descriptor {fd}"),
            Self::Opened { fd } => write!(f, "waits for descriptor {fd} to open"),
            Self::Drained { fd } => write!(f, "waits for descriptor {fd} to send what is queued"),
            Self::Closed { fd } => write!(f, "waits for descriptor {fd} to close"),
            Self::Job(number) => write!(f, "waits for job {number}"),
            Self::Lookup => f.write_str("waits for the look-up of a name"),
            Self::Child(pid) => write!(f, "waits for child process {pid}"),
            Self::Signal(set) => write!(f, "waits for {set}"),
            Self::Server(addr) => write!(f, "waits for server {addr} to close"),
            Self::ExecutorShutdown => f.write_str("waits for the jobs of an executor"),
            Self::Shutdown => f.write_str("waits for what the shutdown ends"),
            Self::Waker => f.write_str("waits for its waker"),
        }
    }
}

/// Leads from a task to what it waits for: a table, and a key in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Clue {
    /// The reader of a source.
    Reader(usize),
    /// The writer of a source.
    Writer(usize),
    /// What a source belongs to.
    Owner(usize),
    /// A stream of signals.
    Signals(usize),
    Job(usize),
    Named(usize),
}

/// Is how many bits of a word are the key.
const KEY_BITS: u32 = 28;

impl Clue {
    /// Returns the word that says it; `None` for a key beyond all tables that fit into memory.
    fn to_word(self) -> Option<NonZeroU32> {
        let (table, key) = match self {
            Self::Reader(key) => (1, key),
            Self::Writer(key) => (2, key),
            Self::Owner(key) => (3, key),
            Self::Signals(key) => (4, key),
            Self::Job(key) => (5, key),
            Self::Named(key) => (6, key),
        };
        let key = u32::try_from(key).ok().filter(|&key| key >> KEY_BITS == 0)?;
        NonZeroU32::new(table << KEY_BITS | key)
    }

    fn of_word(word: NonZeroU32) -> Option<Self> {
        let key = (word.get() & ((1 << KEY_BITS) - 1)) as usize;
        Some(match word.get() >> KEY_BITS {
            1 => Self::Reader(key),
            2 => Self::Writer(key),
            3 => Self::Owner(key),
            4 => Self::Signals(key),
            5 => Self::Job(key),
            6 => Self::Named(key),
            _ => return None,
        })
    }
}

/// Waits that stand in no other table, each with its task.
#[derive(Default)]
pub(crate) struct NamedWaits(RefCell<Slab<(SlotId, TaskWait)>>);

/// A wait that has a name, until it is dropped.
struct Named<'a> {
    waits: &'a NamedWaits,
    key: usize,
}

impl Drop for Named<'_> {
    fn drop(&mut self) {
        self.waits.0.borrow_mut().try_remove(self.key);
    }
}

impl EventLoopHandle {
    /// Awaits `future` and lets snapshots say that the task which polls it first waits for `what`.
    pub(crate) async fn name_wait<F: Future>(&self, what: TaskWait, future: F) -> F::Output {
        let waits = &self.inner.named_waits;
        let named = |task| Named { waits, key: waits.0.borrow_mut().insert((task, what)) };
        let _named = self.running_task().map(named);
        future.await
    }

    /// Calls `note` with each task that waits for something of ours, and the word of a clue to that. What
    /// is surest comes last: an awaitable that is kept and not polled may leave its waker behind.
    pub(super) fn note_waiting_tasks(&self, note: &mut dyn FnMut(SlotId, NonZeroU32)) {
        let mut note = |task, clue: Clue| {
            if let Some(word) = clue.to_word() {
                note(task, word);
            }
        };
        self.inner.signals.note_waiting(|waiter, key| {
            if let Some(task) = self.task_of(waiter) {
                note(task, Clue::Signals(key));
            }
        });
        self.note_waiting_at_sources(&mut note);
        self.inner.jobs.note_waiting(|task, key| note(task, Clue::Job(key)));
        for (key, &(task, _)) in &*self.inner.named_waits.0.borrow() {
            note(task, Clue::Named(key));
        }
    }

    /// Returns the task that is woken.
    pub(crate) fn task_of(&self, waiter: Waiter) -> Option<SlotId> {
        match waiter {
            Waiter::Task(task) => Some(task),
            Waiter::Call(call) => self.inner.scheduler.task_of_waiter(call),
        }
    }

    /// Tells what a task waits for; `None` if it doesn't.
    pub(super) fn wait_of(&self, task: &TaskItem) -> Option<TaskWait> {
        let TaskState::Waiting(known) = task.state else { return None };
        let clue = task.outside.and_then(Clue::of_word);
        // What the scheduler knows to complete is better than one of ours, but for a future within ours.
        let clue = clue.filter(|clue| match known {
            WaitsFor::Task(_) => false,
            WaitsFor::Future(_) => matches!(clue, Clue::Named(_)),
            _ => true,
        });
        Some(clue.and_then(|clue| self.follow(clue)).unwrap_or(match known {
            WaitsFor::Future(id) => TaskWait::Future(id),
            WaitsFor::Task(id) => TaskWait::Task(id),
            WaitsFor::Time(when) => TaskWait::Time(when),
            _ => TaskWait::Waker,
        }))
    }

    fn follow(&self, clue: Clue) -> Option<TaskWait> {
        match clue {
            Clue::Reader(key) => self.fd_of_source(key).map(|fd| TaskWait::Readable { fd }),
            Clue::Writer(key) => self.fd_of_source(key).map(|fd| TaskWait::Writable { fd }),
            Clue::Owner(key) => self.wait_at_owner_of_source(key),
            Clue::Signals(key) => self.inner.signals.awaited(key).map(TaskWait::Signal),
            Clue::Job(key) => self.inner.jobs.number(key).map(TaskWait::Job),
            Clue::Named(key) => self.inner.named_waits.0.borrow().get(key).map(|&(_, what)| what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clue_is_what_its_word_says() {
        let most = (1 << KEY_BITS) - 1;
        for clue in [Clue::Reader, Clue::Writer, Clue::Owner, Clue::Signals, Clue::Job, Clue::Named] {
            for key in [0, 1, most] {
                assert_eq!(clue(key).to_word().and_then(Clue::of_word), Some(clue(key)));
            }
            assert_eq!(clue(most + 1).to_word(), None);
        }
        assert_eq!(Clue::of_word(NonZeroU32::MAX), None);
    }
}

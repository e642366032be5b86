//! Looking at a loop that runs: everything it holds, copied into memory that the caller provides.

mod dump;
mod job;
mod lines;
mod row;
mod tree;
mod wait;

use rondel_core::{Context, Instant, Item};

pub use self::job::{JobExecutor, JobRow, JobState};
pub(crate) use self::row::Describe;
pub use self::row::{
    DescriptorOwner, DescriptorRow, FutureRow, ShortText, SnapshotAddr, SnapshotRow, TaskRow, Watcher,
};
pub use self::tree::AwaitTree;
use self::tree::Forest;
pub use self::wait::TaskWait;
pub(crate) use self::wait::{Clue, NamedWaits};
use crate::EventLoopHandle;

/// What a loop held at one time. See [`EventLoopHandle::snapshot`].
///
/// Prints as a line for each row; [`tree`](Self::tree) prints who awaits whom.
#[derive(Debug)]
pub struct Snapshot<'a> {
    rows: &'a [SnapshotRow],
    missing: usize,
    time: Instant,
}

impl Snapshot<'_> {
    /// Returns what there was: first tasks, then calls, then futures, each in the order of their
    /// slots, then descriptors, then jobs.
    #[must_use]
    pub fn rows(&self) -> &[SnapshotRow] {
        self.rows
    }

    /// Counts what there was no room for.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.missing
    }

    /// Returns when it was made, on the clock of the loop.
    #[must_use]
    pub fn time(&self) -> Instant {
        self.time
    }

    /// Returns the tasks, each under the first that awaits it, to be printed. A cycle begins with
    /// one of its tasks.
    ///
    /// # Python
    /// `python -m asyncio pstree PID`.
    #[must_use]
    pub fn tree(&self) -> AwaitTree<'_> {
        AwaitTree(self)
    }
}

/// The rows as far as they are written.
struct Filling<'a> {
    rows: &'a mut [SnapshotRow],
    count: usize,
}

impl Filling<'_> {
    fn push(&mut self, row: SnapshotRow) {
        if let Some(place) = self.rows.get_mut(self.count) {
            *place = row;
        }
        self.count += 1;
    }
}

impl EventLoopHandle {
    /// Copies what the loop holds into `rows`: every task, with what it waits for and since when, every
    /// callback and timer, every future, and every watched descriptor with the connection, server or
    /// endpoint that it belongs to; and every job, queued or running, of whatever executor. Each
    /// row names the call that it comes from.
    ///
    /// Allocates nothing, but for the addresses of UNIX sockets with a name; takes time in proportion to what
    /// there is, some 100 ns a row, so that 100,000 tasks and as many timers hold the loop up for
    /// 20 ms; and for each server and endpoint a call to the kernel, for its address. What
    /// finds no room is counted ([`Snapshot::missing`]);
    /// [`snapshot_len`](Self::snapshot_len) says how much there is.
    ///
    /// ```
    /// use rondel::SnapshotRow;
    ///
    /// rondel::run(async |event_loop| {
    ///     let sleeper = event_loop.create_task(event_loop.sleep(core::time::Duration::from_secs(9)))?;
    ///     event_loop.yield_now().await?;
    ///     let mut rows = vec![SnapshotRow::Empty; event_loop.snapshot_len()];
    ///     let snapshot = event_loop.snapshot(&mut rows);
    ///     println!("{snapshot}\n{}", snapshot.tree());
    ///     assert_eq!(snapshot.missing(), 0);
    ///     sleeper.cancel();
    ///     Ok(())
    /// })?;
    /// # Ok::<(), rondel::Error>(())
    /// ```
    ///
    /// # Python
    /// `asyncio.all_tasks()`, `asyncio.capture_call_graph()` and `python -m asyncio ps PID` of Python
    /// 3.14, which stop at tasks and futures. Rust keeps no stack of a task that waits: what is known is
    /// what it waits for and where it was created.
    pub fn snapshot<'a>(&self, rows: &'a mut [SnapshotRow]) -> Snapshot<'a> {
        let time = self.now();
        let mut filling = Filling { rows, count: 0 };
        self.inner.scheduler.visit(
            |note| self.note_waiting_tasks(note),
            |item| match item {
                Item::Task(task) => filling.push(SnapshotRow::Task(TaskRow::new(task, self.wait_of(&task)))),
                Item::Call(call) => filling.push(SnapshotRow::Call(call)),
                Item::Future(future) => filling.push(SnapshotRow::Future(FutureRow::new(future))),
                _ => {}
            },
        );
        self.describe_sources(time, |row| filling.push(SnapshotRow::Descriptor(row)));
        self.inner.jobs.show(|row| filling.push(SnapshotRow::Job(row)));
        let Filling { rows, count } = filling;
        let missing = count.saturating_sub(rows.len());
        let rows = rows.get_mut(..count.min(count - missing)).unwrap_or_default();
        Forest::new(rows).grow();
        Snapshot { rows, missing, time }
    }

    /// Counts the rows that a [`snapshot`](Self::snapshot) has now.
    #[must_use]
    pub fn snapshot_len(&self) -> usize {
        let mut count = self.watched_descriptors();
        self.inner.scheduler.visit(|_| (), |_| count += 1);
        self.inner.jobs.show(|_| count += 1);
        count
    }
}

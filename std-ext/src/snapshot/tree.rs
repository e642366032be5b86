//! Who awaits whom.
//!
//! Each task has one place in the tree: under the first task that awaits it. So the tree is as long as
//! there are tasks, also where many await one; what the others await, their lines say.

use core::fmt;

use rondel_core::{Awaited, CallRole, FutureId, TaskId, TaskState, WaitsFor};

use super::Snapshot;
use super::lines::TaskLine;
use super::row::{NO_ROW, SnapshotRow, TaskRow};

/// Is how deep the lines of a tree are indented at most.
const INDENT_MAX: usize = 32;

/// Rows in the order in which the loop shows them: tasks, calls, futures, the others.
pub(super) struct Forest<'a> {
    rows: &'a mut [SnapshotRow],
    tasks: u32,
    calls: u32,
    futures: u32,
}

impl<'a> Forest<'a> {
    pub(super) fn new(rows: &'a mut [SnapshotRow]) -> Self {
        let (mut tasks, mut calls, mut futures) = (0, 0, 0);
        for row in &*rows {
            match row {
                SnapshotRow::Task(_) => tasks += 1,
                SnapshotRow::Call(_) => calls += 1,
                SnapshotRow::Future(_) => futures += 1,
                _ => {}
            }
        }
        Self { rows, tasks, calls, futures }
    }

    /// Gives each task its place.
    pub(super) fn grow(mut self) {
        self.find_above();
        self.cut_cycles();
        self.link_below();
    }

    /// Finds out who awaits each task: by itself, through the future of a `gather`, or through a
    /// combinator.
    fn find_above(&mut self) {
        for row in 0..self.tasks {
            match self.task(row).map(|row| row.task.state) {
                Some(TaskState::Waiting(WaitsFor::Task(id))) => self.set_above(id, row),
                Some(TaskState::Waiting(WaitsFor::Future(id))) => self.set_awaiter(id, row),
                _ => {}
            }
        }
        let calls = self.tasks..self.tasks + self.calls;
        for row in calls.clone() {
            let Some(SnapshotRow::Call(call)) = self.rows.get(row as usize).copied() else { continue };
            let Some(waiting) = call.wakes.and_then(|id| self.row_of_task(id)) else { continue };
            match call.role {
                CallRole::Waiter(Some(Awaited::Task(id))) => self.set_above(id, waiting),
                CallRole::Waiter(Some(Awaited::Future(id))) => self.set_awaiter(id, waiting),
                _ => {}
            }
        }
        for row in calls {
            if let Some(SnapshotRow::Call(call)) = self.rows.get(row as usize).copied()
                && let (CallRole::Done(Awaited::Task(id)), Some(future)) = (call.role, call.completes)
                && let Some(waiting) = self.awaiter(future)
            {
                self.set_above(id, waiting);
            }
        }
    }

    /// Takes one task out of each cycle, to be the first of its tree.
    fn cut_cycles(&mut self) {
        for start in 0..self.tasks {
            let mut row = start;
            // Each step marks a task, and a marked one ends the walk: linear in all.
            while let Some(task) = self.task(row).filter(|task| task.walk == NO_ROW) {
                task.walk = start;
                let above = task.above;
                if self.task(above).is_some_and(|above| above.walk == start)
                    && let Some(task) = self.task(row)
                {
                    (task.above, task.is_in_cycle) = (NO_ROW, true);
                    break;
                }
                row = above;
            }
        }
    }

    /// Links each task with those that it awaits, in their order.
    fn link_below(&mut self) {
        for row in (0..self.tasks).rev() {
            let Some(above) = self.task(row).map(|task| task.above) else { continue };
            let Some(parent) = self.task(above) else { continue };
            let beside = core::mem::replace(&mut parent.below, row);
            if let Some(task) = self.task(row) {
                task.beside = beside;
            }
        }
    }

    fn task(&mut self, row: u32) -> Option<&mut TaskRow> {
        match self.rows.get_mut(row as usize)? {
            SnapshotRow::Task(task) => Some(task),
            _ => None,
        }
    }

    fn set_above(&mut self, id: TaskId, waiting: u32) {
        let row = self.row_of_task(id).unwrap_or(NO_ROW);
        if let Some(task) = self.task(row).filter(|task| task.above == NO_ROW) {
            task.above = waiting;
        }
    }

    fn set_awaiter(&mut self, id: FutureId, waiting: u32) {
        let Some(row) = self.row_of_future(id) else { return };
        if let Some(SnapshotRow::Future(future)) = self.rows.get_mut(row as usize)
            && future.awaiter == NO_ROW
        {
            future.awaiter = waiting;
        }
    }

    /// Returns the row of the first task that awaits a future.
    fn awaiter(&self, id: FutureId) -> Option<u32> {
        match self.rows.get(self.row_of_future(id)? as usize)? {
            SnapshotRow::Future(row) if row.awaiter != NO_ROW => Some(row.awaiter),
            _ => None,
        }
    }

    /// Returns the row of a task; they stand in the order of their slots.
    fn row_of_task(&self, id: TaskId) -> Option<u32> {
        let found = self.search(0..self.tasks, id.index())?;
        matches!(self.rows.get(found as usize)?, SnapshotRow::Task(row) if row.task.id == id).then_some(found)
    }

    fn row_of_future(&self, id: FutureId) -> Option<u32> {
        let start = self.tasks + self.calls;
        let found = self.search(start..start + self.futures, id.index())?;
        matches!(self.rows.get(found as usize)?, SnapshotRow::Future(row) if row.future.id == id)
            .then_some(found)
    }

    /// Finds the row of a slot among rows of one kind.
    fn search(&self, range: core::ops::Range<u32>, slot: usize) -> Option<u32> {
        let rows = self.rows.get(range.start as usize..range.end as usize)?;
        // No row is behind its slot: where no slot below is free, this is the one.
        let guess = slot.min(rows.len().saturating_sub(1));
        let place = match rows.get(guess) {
            Some(row) if row.slot() == slot => guess,
            _ => rows.binary_search_by_key(&slot, SnapshotRow::slot).ok()?,
        };
        Some(range.start + place as u32)
    }
}

/// The tasks of a [`Snapshot`], each under the one that awaits it.
#[derive(Clone, Copy, Debug)]
pub struct AwaitTree<'a>(pub(super) &'a Snapshot<'a>);

impl AwaitTree<'_> {
    fn task(&self, row: u32) -> Option<&TaskRow> {
        match self.0.rows().get(row as usize)? {
            SnapshotRow::Task(task) => Some(task),
            _ => None,
        }
    }

    /// Returns the task after `row` in the order of the lines, and how much deeper it is.
    fn next(&self, mut row: u32, depth: usize) -> Option<(u32, usize)> {
        let task = self.task(row)?;
        if task.below != NO_ROW {
            return Some((task.below, depth + 1));
        }
        for depth in (1..=depth).rev() {
            let task = self.task(row)?;
            if task.beside != NO_ROW {
                return Some((task.beside, depth));
            }
            row = task.above;
        }
        None
    }

    /// Draws the branches before a task.
    fn indent(&self, f: &mut fmt::Formatter<'_>, row: u32, depth: usize) -> fmt::Result {
        let Some(task) = self.task(row).filter(|_| depth > 0) else { return Ok(()) };
        if depth > INDENT_MAX {
            return write!(f, "{depth} deep: ");
        }
        // From the root down: for each task above, whether more follows beside it.
        let mut follows = [false; INDENT_MAX];
        let mut above = task.above;
        for level in (1..depth).rev() {
            let Some(task) = self.task(above) else { break };
            if let Some(follows) = follows.get_mut(level) {
                *follows = task.beside != NO_ROW;
            }
            above = task.above;
        }
        for &follows in follows.get(1..depth).unwrap_or_default() {
            f.write_str(if follows { "│   " } else { "    " })?;
        }
        f.write_str(if task.beside == NO_ROW { "└── " } else { "├── " })
    }
}

impl fmt::Display for AwaitTree<'_> {
    /// Prints a line a task, as `python -m asyncio pstree` does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (root, row) in (0..).zip(self.0.rows()) {
            let SnapshotRow::Task(TaskRow { above: NO_ROW, .. }) = row else { continue };
            let mut next = Some((root, 0));
            while let Some((row, depth)) = next {
                let Some(task) = self.task(row) else { break };
                self.indent(f, row, depth)?;
                writeln!(f, "{}", TaskLine { row: task, now: self.0.time() })?;
                next = self.next(row, depth);
            }
        }
        Ok(())
    }
}

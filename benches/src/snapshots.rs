//! Snapshots: all that a loop holds, copied row by row.

use ::rondel::SnapshotRow;

use crate::case::{Case, ns_each};
use crate::peers::rondel;

/// Is how many tasks there are, each with a timer: twice as many rows.
const TASKS: usize = 100_000;

/// Compares a snapshot with a copy of rows that are there already.
pub(crate) fn snapshot(case: &mut Case<'_>) {
    case.name("a row of a snapshot, of 200,000");
    let tasks = case.scaled(TASKS);
    case.add("copy of the rows", || copy(2 * tasks));
    case.add("rondel", || rondel::snapshot(tasks));
    case.goal_times("rondel", 6.0, "copy of the rows");
}

fn copy(rows: usize) -> impl FnMut() -> f64 {
    let from = vec![SnapshotRow::Empty; rows];
    let mut to = from.clone();
    move || ns_each(rows, || core::hint::black_box(&mut to).copy_from_slice(core::hint::black_box(&from)))
}

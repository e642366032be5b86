//! Tasks: polled again and again, and made and dropped.

use crate::case::Case;
use crate::peers::{monoio, rondel, smol, tokio};

/// Is how many tasks there are in one turn.
pub(crate) const TASKS: usize = 1_000;

/// Compares 1,000 tasks that yield and are polled again.
pub(crate) fn yields(case: &mut Case<'_>) {
    case.name("a task yields, 1,000 tasks a turn");
    let turns = case.scaled(200);
    case.try_add("monoio wake_by_ref", || monoio::yields(turns));
    case.add("smol yield_now", || smol::yields(turns));
    case.add("tokio yield_now", || tokio::yields(turns));
    case.add("rondel-core", || rondel::yields(rondel::core_loop(), turns));
    case.add("rondel", || rondel::yields(rondel::real_loop(), turns));
    case.goal_times("rondel-core", 40.0 / 470.0, "tokio yield_now");
    case.goal_times("rondel", 40.0 / 470.0, "tokio yield_now");
}

/// Compares tasks that are made, run once and dropped, 1,000 a turn.
pub(crate) fn create(case: &mut Case<'_>) {
    case.name("a task is made, runs and ends");
    let turns = case.scaled(200);
    case.try_add("monoio spawn", || monoio::create(turns));
    case.add("smol spawn", || smol::create(turns));
    case.add("tokio spawn", || tokio::create(turns));
    case.add("rondel-core", || rondel::create(rondel::core_loop(), turns));
    case.add("rondel", || rondel::create(rondel::real_loop(), turns));
    case.goal_times("rondel-core", 60.0 / 400.0, "tokio spawn");
    case.goal_times("rondel", 60.0 / 400.0, "tokio spawn");
}

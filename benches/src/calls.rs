//! Callbacks: many in one turn, and one after the other.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::bare;
use crate::case::Case;
use crate::peers::{boxes, calloop, libuv, monoio, rondel, smol, tokio};

/// Is how many callbacks run in one turn.
pub(crate) const BURST: usize = 1_000;

/// Is what the callbacks do: too little to count, too much to be left out.
pub(crate) fn work(number: u64) {
    static SUM: AtomicU64 = AtomicU64::new(0);
    SUM.store(SUM.load(Relaxed).wrapping_add(number), Relaxed);
}

/// Compares 1,000 callbacks a turn.
pub(crate) fn burst(case: &mut Case<'_>) {
    case.name("burst of 1,000 calls a turn");
    let turns = case.scaled(1_000);
    case.add("bare ring of closures", || bare::ring::burst(turns));
    case.add("VecDeque<Box<dyn FnOnce()>>", || boxes::burst(turns));
    case.try_add("libuv idle", || libuv::burst(turns));
    case.add("calloop insert_idle", || calloop::burst(turns));
    case.try_add("monoio spawn", || monoio::burst(turns));
    case.add("smol spawn", || smol::burst(turns));
    case.add("tokio spawn", || tokio::burst(turns));
    case.add("rondel-core", || rondel::burst(rondel::core_loop(), turns));
    case.add("rondel", || rondel::burst(rondel::real_loop(), turns));
    case.goal_times("rondel-core", 1.2, "bare ring of closures");
    case.goal_times("rondel", 1.5, "bare ring of closures");
    case.goal_times("rondel", 0.05, "tokio spawn");
}

/// Compares callbacks that each schedule the next, with a look at the outside
/// in between.
pub(crate) fn chain(case: &mut Case<'_>) {
    case.name("chain of calls, I/O each turn");
    let count = case.scaled(20_000);
    case.add("bare mio poll(0)", || bare::poll::chain(count));
    case.try_add("libuv idle", || libuv::chain(count));
    case.add("calloop insert_idle", || calloop::chain(count));
    case.add("rondel", || rondel::chain(count, 1));
    case.goal_times("rondel", 1.05, "bare mio poll(0)");
}

/// Compares the same with a look at the outside now and then: every 61 turns, as
/// tokio has it, smol every 200, monoio once nothing is ready.
pub(crate) fn chain_unpolled(case: &mut Case<'_>) {
    case.name("chain of calls, I/O every 61 turns");
    let count = case.scaled(100_000);
    case.try_add("monoio spawn", || monoio::chain(count));
    case.add("smol spawn", || smol::chain(count));
    case.add("tokio spawn", || tokio::chain(count));
    case.add("rondel", || rondel::chain(count, 61));
    case.goal_times("rondel", 30.0 / 392.0, "tokio spawn");
}

//! Timers: moved about among many others, and fired.

use core::time::Duration;
use std::time::Instant;

use crate::bare;
use crate::case::{Case, Random, ns_each};
use crate::peers::{calloop, libuv, monoio, rondel, smol, tokio};

/// Returns how far away a deadline is that doesn't come while we measure.
pub(crate) fn far(random: &mut Random) -> Duration {
    Duration::from_nanos(10_000_000_000 + random.below(1_000_000_000_000))
}

/// Compares cancelling any one of `outstanding` timers and arming another.
pub(crate) fn rearm(case: &mut Case<'_>, outstanding: usize) {
    case.name(format!("arm + cancel one of {outstanding} timers"));
    if case.is_quick() && outstanding > 10_000 {
        return;
    }
    let count = case.scaled(100_000);
    if outstanding == 1_000_000 {
        case.show_bytes_each(outstanding);
    }
    case.add("bare wheel", || bare::wheel::rearm(outstanding, count));
    case.add("bare 4-ary heap", || bare::heap::rearm(outstanding, count));
    case.try_add("libuv timer", || libuv::rearm(outstanding, count));
    if outstanding == 1_000 {
        // It looks at all of them for each.
        case.add("calloop Timer", || calloop::rearm(outstanding, count / 20));
    }
    case.try_add("monoio sleep", || monoio::rearm(outstanding, count));
    case.add("smol Timer", || smol::rearm(outstanding, count));
    case.add("tokio sleep", || tokio::rearm(outstanding, count));
    case.add("rondel", || rondel::rearm(outstanding, count));
    case.goal_times("rondel", 1.1, "bare wheel");
    let (rondel, tokio) = match outstanding {
        1_000 => (60.0, 245.0),
        10_000 => (60.0, 203.0),
        100_000 => (95.0, 430.0),
        _ => (370.0, 664.0),
    };
    case.goal_times("rondel", rondel / tokio, "tokio sleep");
}

/// Is until when the timers of [`fire`] are due, counted from the start of a
/// round; arming them takes less.
const WINDOW: Duration = Duration::from_millis(40);

/// Returns how far away a deadline is that comes within the window.
pub(crate) fn near(random: &mut Random) -> Duration {
    WINDOW / 2 + Duration::from_nanos(random.below(WINDOW.as_nanos() as u64 / 2))
}

/// Measures `arm`, lets the window pass, and measures `fire`.
pub(crate) fn arm_and_fire<S>(
    state: &mut S,
    count: usize,
    arm: impl FnOnce(&mut S),
    fire: impl FnOnce(&mut S),
) -> f64 {
    let begun = Instant::now();
    let armed = ns_each(count, || arm(state));
    while begun.elapsed() <= WINDOW + Duration::from_millis(2) {
        core::hint::spin_loop();
    }
    armed + ns_each(count, || fire(state))
}

/// Compares arming 10,000 timers, and making all of them fire once they are due.
///
/// Where a timer has no callback, a task sleeps; "polled by hand" is no program's
/// way, and shows what the timers take of it.
pub(crate) fn fire(case: &mut Case<'_>) {
    case.name("arm + fire, 10,000 timers");
    let count = case.scaled(10_000);
    case.add("bare wheel", || bare::wheel::fire(count));
    case.try_add("libuv timer", || libuv::fire(count));
    case.add("calloop Timer", || calloop::fire(count));
    case.try_add("monoio task that sleeps", || monoio::fire(count));
    case.add("smol task that sleeps", || smol::fire(count));
    case.add("tokio task that sleeps", || tokio::fire(count));
    case.add("tokio sleep, polled by hand", || tokio::fire_by_hand(count));
    case.add("rondel", || rondel::fire(count));
    case.goal_times("rondel", 200.0 / 105.0, "bare wheel");
    case.goal_times("rondel", 200.0 / 1349.0, "tokio task that sleeps");
}

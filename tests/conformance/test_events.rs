//! Handles and timers: H and T.

use core::cell::RefCell;
use core::time::Duration;
use std::rc::Rc;

use rondel::{Config, EventLoop, Instant};

use crate::fixture::{
    Counter, Oops, Trace, manual, manual_with, never, quietly, real, reports, run_until_idle, small, turns,
};

const MS: Duration = Duration::from_millis(1);

#[test]
fn cancel_is_idempotent_and_releases_the_captures_at_once() {
    // H-1
    let (event_loop, trace) = (manual(), Trace::new());
    let dropped = trace.on_drop("captures");
    let handle = event_loop.call_soon(move |_| drop(dropped)).unwrap();
    assert!(!handle.cancelled());
    handle.cancel();
    assert_eq!(trace.take(), ["captures"], "now, and not in the next iteration");
    handle.cancel();
    assert!(handle.cancelled());
    assert_eq!(event_loop.statistics().calls.live, 0);
}

#[test]
fn cancel_after_the_run_has_no_effect() {
    // H-1, H-3
    let (event_loop, trace) = (manual(), Trace::new());
    let handle = event_loop.call_soon(trace.note("first")).unwrap();
    run_until_idle(&event_loop);
    // The slot of the first has a new owner.
    event_loop.call_soon(trace.note("second")).unwrap();
    handle.cancel();
    run_until_idle(&event_loop);
    assert_eq!(trace.take(), ["first", "second"]);
    assert!(handle.cancelled(), "as in asyncio it tells that cancel was called");
}

#[test]
fn a_callback_that_cancels_itself_runs_to_its_end() {
    // H-1
    let (event_loop, trace) = (manual(), Trace::new());
    let own = Rc::new(RefCell::new(None::<rondel::Handle>));
    let (itself, noted) = (Rc::clone(&own), trace.clone());
    let handle = event_loop
        .call_soon(move |_| {
            itself.borrow().as_ref().unwrap().cancel();
            noted.push("ran");
        })
        .unwrap();
    own.replace(Some(handle));
    run_until_idle(&event_loop);
    assert_eq!(trace.take(), ["ran"]);
}

#[test]
fn dropping_a_handle_does_not_cancel_and_a_guard_does() {
    // H-2
    let (event_loop, trace) = (manual(), Trace::new());
    drop(event_loop.call_soon(trace.note("dropped handle")).unwrap());
    drop(event_loop.call_soon(trace.note("guarded")).unwrap().cancel_on_drop());
    drop(event_loop.call_later(MS, trace.note("guarded timer")).unwrap().cancel_on_drop());
    run_until_idle(&event_loop);
    assert_eq!(trace.take(), ["dropped handle"]);
}

#[test]
fn a_timer_tells_its_deadline_before_after_and_when_cancelled() {
    // H-3
    let event_loop = manual();
    let when = event_loop.time() + 5 * MS;
    let fired = event_loop.call_at(when, |_| ()).unwrap();
    let cancelled = event_loop.call_later(7 * MS, never).unwrap();
    assert_eq!((fired.when(), cancelled.when()), (when, Instant::ZERO + 7 * MS));
    cancelled.cancel();
    run_until_idle(&event_loop);
    assert_eq!((fired.when(), cancelled.when()), (when, Instant::ZERO + 7 * MS));
    assert!(!fired.cancelled() && cancelled.cancelled());
}

#[test]
fn an_error_in_a_callback_is_reported_with_its_site_and_the_batch_goes_on() {
    // H-5
    let (event_loop, trace) = (manual(), Trace::new());
    let noted = trace.clone();
    event_loop.set_exception_handler(move |_, context| {
        let location = context.location.expect("a creation site");
        noted.push(format!(
            "{}: {} ({}, handle: {})",
            context.message,
            context.exception.expect("an error"),
            location.file().ends_with("test_events.rs"),
            context.handle.is_some(),
        ));
    });
    event_loop.call_soon(|_| Err::<(), _>(Oops(1))).unwrap();
    event_loop.call_soon(trace.note("rest of the batch")).unwrap();
    event_loop.call_later(Duration::ZERO, |_| Err::<(), _>(Oops(2))).unwrap();
    run_until_idle(&event_loop);
    assert_eq!(
        trace.take(),
        [
            "Exception in callback: oops 1 (true, handle: true)",
            "rest of the batch",
            "Exception in callback: oops 2 (true, handle: true)",
        ]
    );
}

#[test]
fn a_panic_in_a_callback_is_reported_and_the_batch_goes_on() {
    // H-5, FAULTS K-01
    let (event_loop, trace) = (manual(), Trace::new());
    let told = reports(&event_loop);
    event_loop.call_soon(|_| -> () { panic!("broken") }).unwrap();
    event_loop.call_soon(|_| -> () { std::panic::panic_any(7) }).unwrap();
    event_loop.call_soon(trace.note("rest of the batch")).unwrap();
    quietly(|| run_until_idle(&event_loop));
    assert_eq!(
        told.take(),
        ["Callback panicked: panicked: broken", "Callback panicked: panicked: a value that is not a message"]
    );
    assert_eq!(trace.take(), ["rest of the batch"]);
}

#[test]
fn the_clock_is_fresh_at_each_call_and_never_goes_back() {
    // T-1
    let event_loop = real();
    let mut latest = event_loop.time();
    let mut moved = 0;
    while moved < 3 {
        let now = event_loop.time();
        assert!(now >= latest);
        moved += usize::from(now > latest);
        latest = now;
    }
}

#[test]
fn call_later_counts_from_the_call_and_not_from_the_iteration() {
    // T-1
    let (event_loop, clock) = manual_with(small());
    let armed = Rc::new(RefCell::new(None));
    let kept = Rc::clone(&armed);
    event_loop
        .call_soon(move |event_loop| {
            clock.advance(10 * MS);
            let timer = event_loop.call_later(5 * MS, |_| ()).unwrap();
            kept.replace(Some(timer.when()));
        })
        .unwrap();
    run_until_idle(&event_loop);
    assert_eq!(*armed.borrow(), Some(Instant::ZERO + 15 * MS));
}

#[test]
fn a_timer_never_fires_before_its_deadline() {
    // T-2
    let (event_loop, clock) = manual_with(small());
    let trace = Trace::new();
    event_loop.call_later(10 * MS, trace.note("fired")).unwrap();
    clock.advance(10 * MS - Duration::from_nanos(1));
    turns(&event_loop, 3);
    assert_eq!(trace.count(), 0);
    clock.advance(Duration::from_nanos(1));
    turns(&event_loop, 1);
    assert_eq!(trace.take(), ["fired"]);
}

#[test]
fn timers_on_the_real_clock_are_never_early_and_in_order() {
    // T-2, T-5
    let (event_loop, trace) = (real(), Trace::new());
    for (delay_us, what) in [(3000, "3 ms"), (200, "0.2 ms"), (1000, "1 ms"), (50, "0.05 ms")] {
        let (noted, due) = (trace.clone(), event_loop.time() + Duration::from_micros(delay_us));
        event_loop
            .call_at(due, move |event_loop| {
                assert!(event_loop.time() >= due);
                noted.push(what);
            })
            .unwrap();
    }
    run_until_idle(&event_loop);
    assert_eq!(trace.take(), ["0.05 ms", "0.2 ms", "1 ms", "3 ms"]);
}

#[test]
fn deadlines_that_have_passed_run_in_the_next_iteration_and_never_at_once() {
    // T-3
    let (event_loop, clock) = manual_with(small());
    let trace = Trace::new();
    clock.advance(10 * MS);
    event_loop.call_later(Duration::ZERO, trace.note("zero")).unwrap();
    event_loop.call_at(Instant::ZERO, trace.note("past")).unwrap();
    assert_eq!(trace.count(), 0);
    event_loop.run_once().unwrap();
    assert_eq!(trace.take(), ["past", "zero"]);
}

#[test]
fn equal_deadlines_fire_in_the_order_in_which_they_were_armed() {
    // T-4: asyncio leaves it open
    let (event_loop, trace) = (manual(), Trace::new());
    let when = event_loop.time() + MS;
    let timers: Vec<_> = (0..20)
        .map(|number| {
            let noted = trace.clone();
            event_loop.call_at(when, move |_| noted.push(number.to_string())).unwrap()
        })
        .collect();
    timers[7].cancel();
    timers[0].cancel();
    run_until_idle(&event_loop);
    let expected: Vec<_> = (1..20).filter(|&n| n != 7).map(|n| n.to_string()).collect();
    assert_eq!(trace.take(), expected);
}

#[test]
fn timers_due_together_run_in_deadline_order_and_one_made_by_them_waits() {
    // T-5
    let (event_loop, clock) = manual_with(small());
    let trace = Trace::new();
    event_loop.call_later(3 * MS, trace.note("3")).unwrap();
    let (noted, late) = (trace.clone(), trace.clone());
    event_loop
        .call_later(MS, move |event_loop| {
            noted.push("1");
            event_loop.call_later(Duration::ZERO, late.note("made by 1")).unwrap();
        })
        .unwrap();
    event_loop.call_later(2 * MS, trace.note("2")).unwrap();
    clock.advance(5 * MS);
    event_loop.run_once().unwrap();
    assert_eq!(trace.take(), ["1", "2", "3"]);
    event_loop.run_once().unwrap();
    assert_eq!(trace.take(), ["made by 1"]);
}

#[test]
fn a_timer_cancelled_by_one_that_is_due_with_it_does_not_fire() {
    // T-6
    let (event_loop, clock) = manual_with(small());
    let trace = Trace::new();
    let victim = event_loop.call_later(2 * MS, trace.note("victim")).unwrap();
    let noted = trace.clone();
    event_loop
        .call_later(MS, move |_| {
            noted.push("cancels");
            victim.cancel();
        })
        .unwrap();
    clock.advance(5 * MS);
    turns(&event_loop, 2);
    assert_eq!(trace.take(), ["cancels"]);
}

#[test]
fn a_cancelled_timer_frees_its_slot_at_once() {
    // T-7: asyncio compacts later
    let event_loop = EventLoop::with_manual_clock(Config { calls: 1, ..small() }).unwrap().0;
    for _ in 0..1000 {
        let timer = event_loop.call_later(Duration::from_secs(3600), never).unwrap();
        timer.cancel();
        assert_eq!(event_loop.statistics().timers, 0);
    }
}

#[test]
fn a_huge_delay_is_never_and_later_timers_work() {
    // T-8, T-9
    let (event_loop, trace) = (manual(), Trace::new());
    let huge = event_loop.call_later(Duration::MAX, never).unwrap();
    let far = event_loop.call_at(Instant::MAX, never).unwrap();
    assert_eq!((huge.when(), far.when()), (Instant::MAX, Instant::MAX), "addition saturates");
    let noted = trace.clone();
    event_loop
        .call_later(Duration::from_secs(400 * 24 * 3600), move |event_loop| {
            noted.push("a year later");
            event_loop.stop();
        })
        .unwrap();
    event_loop.run_forever().unwrap();
    assert_eq!(trace.take(), ["a year later"]);
    huge.cancel();
    far.cancel();
    assert_eq!(event_loop.statistics().timers, 0);
}

#[test]
fn a_huge_delay_on_the_real_clock_does_not_fire_early() {
    // T-8
    let (event_loop, trace) = (real(), Trace::new());
    let huge = event_loop.call_later(Duration::MAX, never).unwrap();
    let days = event_loop.call_later(Duration::from_secs(100 * 24 * 3600), never).unwrap();
    let noted = trace.clone();
    event_loop
        .call_later(MS, move |event_loop| {
            noted.push("near");
            event_loop.stop();
        })
        .unwrap();
    event_loop.run_forever().unwrap();
    assert_eq!(trace.take(), ["near"]);
    drop((huge, days));
}

#[test]
fn five_sleeps_below_a_millisecond_take_few_iterations() {
    // T-10
    let event_loop = real();
    let before = event_loop.statistics().iterations;
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async move {
            for delay_us in [100, 10, 1, 50, 500] {
                let due = handle.time() + Duration::from_micros(delay_us);
                handle.sleep(Duration::from_micros(delay_us)).await?;
                assert!(handle.time() >= due, "never early");
            }
            Ok::<(), rondel::Error>(())
        })
        .unwrap();
    let iterations = event_loop.statistics().iterations - before;
    assert!(iterations < 20, "{iterations} iterations");
}

#[test]
fn a_full_timer_store_gives_the_callback_back() {
    // T-11
    let (event_loop, _clock) = manual_with(Config { calls: 2, ..small() });
    let trace = Trace::new();
    event_loop.call_later(MS, trace.note("one")).unwrap();
    event_loop.call_later(2 * MS, trace.note("two")).unwrap();
    let three = crate::fixture::full(event_loop.call_later(3 * MS, trace.note("three")));
    let three = crate::fixture::full(event_loop.call_at(Instant::ZERO + 3 * MS, three));
    event_loop.run_once().unwrap();
    event_loop.run_once().unwrap();
    event_loop.call_later(MS, three).unwrap();
    run_until_idle(&event_loop);
    assert_eq!(trace.take(), ["one", "two", "three"]);
}

#[test]
fn virtual_time_passes_without_waiting_and_in_order() {
    // T-11
    let (event_loop, clock) = manual_with(small());
    let counter = Counter::new();
    let counted = counter.clone();
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async move {
            for _ in 0..1000 {
                handle.sleep(Duration::from_secs(3600)).await?;
                counted.add();
            }
            Ok::<(), rondel::Error>(())
        })
        .unwrap();
    assert_eq!((counter.get(), clock.now()), (1000, Instant::ZERO + Duration::from_secs(3_600_000)));
}

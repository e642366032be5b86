//! `call_later`, `call_at`, `time`: contract T, faults T and C-07, against a
//! naive model too.

use core::time::Duration;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use rondel_core::{Context, Event, Instant, Limits, TimerHandle};

use crate::fixture::{Calls, Fixture, Oops, Own, Trace, event_loop, on_both_loops, own};

on_both_loops!(
    equal_deadlines_fire_in_the_order_of_arming,
    past_and_zero_deadlines_run_in_the_next_iteration,
    timer_created_in_a_batch_waits_for_the_next,
    timer_cancelled_in_its_own_batch_does_not_fire,
    timer_that_cancels_itself_runs_once,
    timer_that_arms_itself_again_runs_in_the_next_iteration,
    call_later_counts_from_the_call,
    never_fires_early,
    t02_extreme_deadlines_saturate,
    t03_near_timers_fire_beside_far_ones,
    t04_counters_that_overflow_31_and_32_bits_of_milliseconds,
    t05_clock_that_steps_back_or_jumps_a_year,
    t05_clock_that_steps_back_between_refills,
    t10_no_timer_runs_after_stop_has_taken_effect,
    t11_deadline_that_passes_while_arming,
    t01_cancelled_timers_free_their_slot_at_once,
    when_can_be_asked_at_any_time,
    random_operations_agree_with_a_sorted_model,
    bucket_emptied_by_cancel_in_the_midst_of_a_move,
    the_most_timers_at_once_are_remembered,
);

fn the_most_timers_at_once_are_remembered<C: Context>(f: &Fixture<C>) {
    const FAR: u64 = 3_600_000_000_000;
    let timers = || (f.statistics().timers, f.statistics().timers_peak);
    let arm = |nanos: u64| f.context.later(nanos, |_: &C| ()).unwrap();
    assert_eq!(timers(), (0, 0));
    let far = arm(FAR);
    arm(10);
    arm(1_000_000);
    far.cancel();
    assert_eq!(timers(), (2, 3));
    f.scheduler().run_once(&f.context).unwrap();
    f.scheduler().run_once(&f.context).unwrap();
    assert_eq!(timers(), (0, 3));
    for nanos in [FAR, 20, 2 * FAR] {
        arm(nanos);
    }
    assert_eq!(timers(), (3, 3));
    arm(FAR);
    assert_eq!(timers(), (4, 4));
}

// T-4
fn equal_deadlines_fire_in_the_order_of_arming<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    for name in ["0", "1", "2", "3", "4", "5", "6", "7"] {
        f.context.at(1_000_000_000, trace.note(name)).unwrap();
    }
    f.scheduler().run_once(&f.context).unwrap();
    assert_eq!(trace.take(), ["0", "1", "2", "3", "4", "5", "6", "7"]);
}

// T-3
fn past_and_zero_deadlines_run_in_the_next_iteration<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    f.driver.set_time(Instant::from_nanos(1 << 40));
    let t = trace.clone();
    f.context
        .soon(move |c: &C| {
            c.later(0, t.note("zero")).unwrap();
            c.at(17, t.note("past")).unwrap();
            t.push("armed");
        })
        .unwrap();
    f.turn();
    assert_eq!(trace.take(), ["armed"], "never synchronously, never in this batch");
    f.turn();
    assert_eq!(trace.take(), ["past", "zero"]);
}

// T-5
fn timer_created_in_a_batch_waits_for_the_next<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let t = trace.clone();
    f.context
        .later(0, move |c: &C| {
            t.push("a");
            c.later(0, t.note("b")).map(drop).map_err(|_| Oops(0))
        })
        .unwrap();
    f.turn();
    assert_eq!(trace.take(), ["a"]);
    f.turn();
    assert_eq!(trace.take(), ["b"]);
}

// T-6, T-09
fn timer_cancelled_in_its_own_batch_does_not_fire<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let victim: Rc<RefCell<Option<TimerHandle<C>>>> = Rc::default();
    let (t, v) = (trace.clone(), victim.clone());
    f.context
        .later(0, move |_: &C| {
            t.push("a");
            v.borrow().as_ref().unwrap().cancel();
        })
        .unwrap();
    let dropped = trace.on_drop("b dropped");
    let t = trace.clone();
    let b = f
        .context
        .later(0, move |_: &C| {
            let _ = &dropped;
            t.push("b");
        })
        .unwrap();
    victim.replace(Some(b));
    f.context.later(0, trace.note("c")).unwrap();
    f.turn();
    assert_eq!(trace.take(), ["a", "b dropped", "c"]);
}

// T-09
fn timer_that_cancels_itself_runs_once<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let own: Rc<RefCell<Option<TimerHandle<C>>>> = Rc::default();
    let (t, o) = (trace.clone(), own.clone());
    let handle = f
        .context
        .later(1, move |_: &C| {
            t.push("ran");
            o.take().unwrap().cancel();
        })
        .unwrap();
    own.replace(Some(handle));
    f.scheduler().run_once(&f.context).unwrap();
    f.turn();
    assert_eq!(trace.take(), ["ran"]);
    assert_eq!(f.statistics().calls.live, 0);
}

// T-09
fn timer_that_arms_itself_again_runs_in_the_next_iteration<C: Context>(f: &Fixture<C>) {
    fn tick<C: Context>(c: &C, trace: &Trace) {
        trace.push("tick");
        let t = trace.clone();
        c.later(10, move |c: &C| tick(c, &t)).unwrap();
    }
    let trace = Trace::new();
    tick(&f.context, &trace);
    f.scheduler().run_once(&f.context).unwrap();
    f.scheduler().run_once(&f.context).unwrap();
    assert_eq!(trace.take(), ["tick"; 3]);
    assert_eq!(f.statistics().timers, 1);
    assert_eq!(f.context.now(), Instant::from_nanos(20));
}

// T-1
fn call_later_counts_from_the_call<C: Context>(f: &Fixture<C>) {
    let driver = f.driver;
    let when = Rc::new(RefCell::new(None));
    let w = when.clone();
    f.context
        .soon(move |c: &C| {
            driver.advance(Duration::from_nanos(500));
            *w.borrow_mut() = Some(c.later(7, |_: &C| ()).unwrap().when());
        })
        .unwrap();
    f.turn();
    assert_eq!(*when.borrow(), Some(Instant::from_nanos(507)));
}

// T-2
fn never_fires_early<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    f.driver.set_jumps(false);
    for nanos in [1, 65_535, 65_536, 65_537, 1 << 30] {
        f.context.at(nanos, trace.note("fired")).unwrap();
        f.driver.set_time(Instant::from_nanos(nanos - 1));
        f.turn();
        assert_eq!(trace.take(), [""; 0]);
        f.driver.set_time(Instant::from_nanos(nanos));
        f.turn();
        assert_eq!(trace.take(), ["fired"]);
    }
}

// T-8, T-9, T-02
fn t02_extreme_deadlines_saturate<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    f.driver.set_time(Instant::from_nanos(5));
    let never = f.context.at(u64::MAX, trace.note("never")).unwrap();
    let almost = f.context.at(u64::MAX - 1, trace.note("almost never")).unwrap();
    let long = f
        .scheduler()
        .call_later(
            &f.context,
            Duration::MAX,
            trace.note("long"),
            rondel_core::Callback::new,
            core::panic::Location::caller(),
        )
        .unwrap();
    assert_eq!(long.when(), Instant::MAX);
    f.context.later(1, trace.note("near")).unwrap();
    f.scheduler().run_once(&f.context).unwrap();
    assert_eq!(trace.take(), ["near"]);
    never.cancel();
    f.context.later(1, trace.note("near again")).unwrap();
    f.scheduler().run_once(&f.context).unwrap();
    assert_eq!(trace.take(), ["near again"]);
    almost.cancel();
    f.context.at(u64::MAX - 2, trace.note("end of time")).unwrap();
    f.driver.set_time(Instant::from_nanos(u64::MAX - 2));
    f.turn();
    assert_eq!(trace.take(), ["end of time"]);
    f.driver.set_time(Instant::MAX);
    f.turn();
    assert_eq!(trace.take(), ["long"]);
}

// T-03
fn t03_near_timers_fire_beside_far_ones<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    const YEAR: u64 = 365 * 86_400 * 1_000_000_000;
    f.context.later(100 * YEAR, trace.note("century")).unwrap();
    f.context.later(YEAR, trace.note("year")).unwrap();
    f.context.later(86_400_000_000_000, trace.note("day")).unwrap();
    f.context.later(1, trace.note("1 ns")).unwrap();
    for _ in 0..4 {
        while trace.is_empty() {
            f.scheduler().run_once(&f.context).unwrap();
        }
        let now = f.context.now().as_nanos();
        match trace.take()[..] {
            ["1 ns"] => assert_eq!(now, 1),
            ["day"] => assert_eq!(now, 86_400_000_000_000),
            ["year"] => assert_eq!(now, YEAR),
            ["century"] => assert_eq!(now, 100 * YEAR),
            ref other => panic!("{other:?}"),
        }
    }
    assert_eq!(f.statistics().timers, 0);
}

// T-04
fn t04_counters_that_overflow_31_and_32_bits_of_milliseconds<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    f.driver.set_jumps(false);
    for bits in [31, 32] {
        let edge = (1_u64 << bits) * 1_000_000;
        f.driver.set_time(Instant::from_nanos(edge - 2_000_000));
        f.context.at(edge + 1_000_000, trace.note("after")).unwrap();
        f.context.at(edge - 1_000_000, trace.note("before")).unwrap();
        f.context.at(edge, trace.note("edge")).unwrap();
        f.turn();
        assert_eq!(trace.take(), [""; 0]);
        for expected in ["before", "edge", "after"] {
            f.driver.advance(Duration::from_millis(1));
            f.turn();
            assert_eq!(trace.take(), [expected]);
        }
    }
}

// T-05
fn t05_clock_that_steps_back_or_jumps_a_year<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    f.driver.set_jumps(false);
    let start = 1_u64 << 50;
    f.driver.set_time(Instant::from_nanos(start));
    f.context.later(1_000, trace.note("a")).unwrap();
    for back in [1, 1_000_000_000, 86_400_000_000_000] {
        f.driver.set_time(Instant::from_nanos(start - back));
        f.turn();
        f.context.later(2_000 + back, trace.note("b")).unwrap().cancel();
        f.turn();
    }
    f.context.at(start - 5, trace.note("armed while back")).unwrap();
    f.turn();
    assert_eq!(trace.take(), [""; 0]);
    f.driver.set_time(Instant::from_nanos(start + 365 * 86_400_000_000_000));
    f.turn();
    assert_eq!(trace.take(), ["armed while back", "a"]);
    assert_eq!(f.statistics().timers, 0);
}

// T-05, C-07: the clock steps back while a bucket is half moved
fn t05_clock_that_steps_back_between_refills<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    f.driver.set_jumps(false);
    f.scheduler().set_limits(Limits { timers_per_turn: 1, ..Limits::DEFAULT });
    let start = 10 << 16;
    f.context.at(start + 50, trace.note("e")).unwrap();
    f.context.at(start + 40, trace.note("d")).unwrap();
    f.context.at(start + 10, trace.note("a")).unwrap();
    f.context.at(start + 20, trace.note("b")).unwrap();
    f.context.at(start + 30, trace.note("c")).unwrap();
    f.driver.set_time(Instant::from_nanos(start + 100));
    f.turn();
    f.driver.set_time(Instant::from_nanos(5));
    f.turn();
    f.turn();
    f.driver.set_time(Instant::from_nanos(start + 100));
    for _ in 0..20 {
        f.turn();
    }
    assert_eq!(trace.take(), ["a", "b", "c", "d", "e"]);
}

// T-10
fn t10_no_timer_runs_after_stop_has_taken_effect<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    f.context.later(10, trace.note("timer")).unwrap();
    let (driver, t) = (f.driver, trace.clone());
    f.context
        .soon(move |c: &C| {
            t.push("stops");
            c.stop();
            driver.advance(Duration::from_nanos(20));
        })
        .unwrap();
    f.run_forever().unwrap();
    assert_eq!(trace.take(), ["stops"]);
    f.turn();
    assert_eq!(trace.take(), ["timer"]);
}

// T-11
fn t11_deadline_that_passes_while_arming<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let driver = f.driver;
    driver.set_jumps(false);
    f.context.later(10, trace.note("timer")).unwrap();
    // The alarm of the driver fires before it waits.
    driver
        .script(
            Instant::ZERO,
            Event::Call(
                |driver| {
                    // SAFETY: the number is the address of the leaked driver.
                    let driver = unsafe { &*(driver as *const rondel_core::ManualDriver) };
                    driver.advance(Duration::from_nanos(10));
                },
                core::ptr::from_ref(driver) as usize,
            ),
        )
        .unwrap();
    f.scheduler().run_once(&f.context).unwrap();
    assert_eq!(trace.take(), ["timer"]);
}

// T-7, T-01
fn t01_cancelled_timers_free_their_slot_at_once<C: Context>(f: &Fixture<C>) {
    let capacity = f.statistics().calls.capacity;
    for round in 0..200_u64 {
        let handles: Vec<_> = (0..capacity as u64)
            .map(|i| f.context.later((i * 7919 * (round + 1)) << (round % 40), |_: &C| ()).unwrap())
            .collect();
        assert!(f.context.later(1, |_: &C| ()).is_err());
        for handle in handles.iter().rev() {
            handle.cancel();
        }
        assert_eq!(f.statistics().timers, 0);
        assert_eq!(f.statistics().calls.live, 0);
    }
}

// H-3
fn when_can_be_asked_at_any_time<C: Context>(f: &Fixture<C>) {
    let when = Instant::from_nanos(9);
    let handle = f.context.at(9, |_: &C| ()).unwrap();
    assert_eq!((handle.when(), handle.cancelled()), (when, false));
    f.scheduler().run_once(&f.context).unwrap();
    assert_eq!((handle.when(), handle.cancelled()), (when, false));
    handle.cancel();
    assert_eq!((handle.when(), handle.cancelled()), (when, true));
}

/// Cancelling the rest of a half-moved bucket and starting anew with other
/// deadlines keeps the order.
fn bucket_emptied_by_cancel_in_the_midst_of_a_move<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    f.driver.set_jumps(false);
    f.scheduler().set_limits(Limits { timers_per_turn: 1, ..Limits::DEFAULT });
    for base in [10_u64 << 16, 77 << 22, 3 << 40] {
        f.driver.set_time(Instant::ZERO);
        let handles: Vec<_> = (0..4).map(|i| f.context.at(base + i, |_: &C| ()).unwrap()).collect();
        f.driver.set_time(Instant::from_nanos(base));
        f.turn();
        handles.iter().for_each(TimerHandle::cancel);
        assert_eq!(f.statistics().timers, 0);
        let later = base * 8;
        f.driver.set_time(Instant::from_nanos(later));
        f.context.at(later + (3 << 16), trace.note("c")).unwrap();
        f.context.at(later + (1 << 16), trace.note("a")).unwrap();
        f.turn();
        f.turn();
        f.context.at(later + (2 << 16), trace.note("b")).unwrap();
        f.driver.set_time(Instant::from_nanos(later + (4 << 16)));
        for _ in 0..30 {
            f.turn();
        }
        assert_eq!(trace.take(), ["a", "b", "c"]);
    }
}

/// Deadlines from nanoseconds to centuries.
fn delay(random: &mut fastrand::Rng) -> u64 {
    match random.u8(..8) {
        0 => 0,
        1 => random.u64(..16),
        2 => random.u64(..1 << 16),
        3 => random.u64(..4) << 16,
        4 => random.u64(..1 << 24),
        5 => random.u64(..1 << 36),
        6 => 1 << random.u32(..62),
        _ => random.u64(..1 << 60),
    }
}

/// Checks the timers of `f` against a map sorted by deadline and creation.
fn agrees_with_model<C: Context>(f: &Fixture<C>, seed: u64, per_turn: usize, steps: u32) {
    let mut random = fastrand::Rng::with_seed(seed);
    f.driver.set_jumps(false);
    f.scheduler().set_limits(Limits { timers_per_turn: per_turn, ..Limits::DEFAULT });
    let fired: Rc<RefCell<Vec<u64>>> = Rc::default();
    let mut model: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    let mut handles: Vec<((u64, u64), TimerHandle<C>)> = Vec::new();
    let mut number = 0;
    let mut latest = f.context.now().as_nanos();
    for step in 0..steps {
        match random.u8(..10) {
            0..=4 => {
                let when = f
                    .context
                    .now()
                    .as_nanos()
                    .saturating_add(delay(&mut random))
                    .saturating_sub(random.u64(..3));
                number += 1;
                let (n, log) = (number, fired.clone());
                if let Ok(handle) = f.context.at(when, move |_: &C| log.borrow_mut().push(n)) {
                    model.insert((when, number), number);
                    handles.push(((when, number), handle));
                } else {
                    assert_eq!(model.len(), f.statistics().calls.capacity);
                }
            }
            5 | 6 => {
                if !handles.is_empty() {
                    let (key, handle) = handles.swap_remove(random.usize(..handles.len()));
                    handle.cancel();
                    model.remove(&key);
                }
            }
            7 => {
                // A clock that stands still or steps back.
                let now = f.context.now().as_nanos();
                f.driver.set_time(Instant::from_nanos(now.saturating_sub(random.u64(..1 << 20))));
            }
            8 => {
                // To just before, at or behind the next deadline.
                if let Some(((when, _), _)) = model.first_key_value() {
                    f.driver.set_time(Instant::from_nanos(
                        when.saturating_sub(1).saturating_add(random.u64(..3)),
                    ));
                }
            }
            _ => {
                let ahead = delay(&mut random) >> random.u32(..20);
                f.driver.set_time(Instant::from_nanos(latest.saturating_add(ahead)));
            }
        }
        let now = f.context.now().as_nanos();
        latest = latest.max(now);
        if random.bool() {
            f.turn();
            let got = fired.take();
            assert!(got.len() <= per_turn, "bounded per turn");
            for number in got {
                let (key, expected) = model.pop_first().expect("a timer that the model has");
                assert_eq!(number, expected, "seed {seed} step {step}: order");
                assert!(key.0 <= now, "seed {seed} step {step}: {} fired at {now}", key.0);
                handles.retain(|(other, _)| *other != key);
            }
        }
        assert_eq!(f.statistics().timers, model.len(), "seed {seed} step {step}");
        if random.u8(..50) == 0 {
            // All that is due fires within a bounded number of turns.
            for _ in 0..model.len() * 30 + 2 {
                f.turn();
            }
            for number in fired.take() {
                let (key, expected) = model.pop_first().expect("a timer that the model has");
                assert_eq!(number, expected, "seed {seed} step {step}: order");
                assert!(key.0 <= now);
                handles.retain(|(other, _)| *other != key);
            }
            assert!(
                model.first_key_value().is_none_or(|((when, _), _)| *when > now),
                "seed {seed} step {step}: left behind"
            );
        }
    }
    handles.iter().for_each(|(_, handle)| handle.cancel());
    assert_eq!(f.statistics().timers, 0);
}

fn random_operations_agree_with_a_sorted_model<C: Context>(f: &Fixture<C>) {
    for seed in 0..60 {
        f.driver.set_time(Instant::from_nanos(if seed % 2 == 0 { 0 } else { 1 << (seed % 60) }));
        agrees_with_model(f, seed, [1, 3, 1024][seed as usize % 3], 400);
    }
}

#[test]
fn wheel_of_many_timers_agrees_with_a_sorted_model() {
    for seed in 100..106 {
        agrees_with_model(&own(2_000, 0, 0, 0), seed, [1024, 3, 1][seed as usize % 3], 4_000);
    }
}

// C-07
#[test]
fn c07_many_timers_due_at_once_are_bounded_per_turn() {
    for spread in [0_u64, 3, 1 << 12] {
        let f = own(100_000, 0, 0, 0);
        let fired = Rc::new(RefCell::new(Vec::new()));
        for n in 0..100_000_u64 {
            let log = fired.clone();
            f.context
                .at(1_000_000 + (n * 31 % 1000) * spread, move |_: &Own| log.borrow_mut().push(n))
                .unwrap();
        }
        f.driver.set_jumps(false);
        f.driver.set_time(Instant::from_nanos(1 << 40));
        let mut turns = 0;
        while f.statistics().timers > 0 {
            let before = fired.borrow().len();
            f.turn();
            assert!(fired.borrow().len() - before <= 1024);
            turns += 1;
            assert!(turns < 1_000, "turns that only sort must end");
        }
        f.turn();
        let mut expected: Vec<u64> = (0..100_000).collect();
        expected.sort_by_key(|n| ((n * 31 % 1000) * spread, *n));
        assert_eq!(*fired.borrow(), expected);
    }
}

// T-11, T-2: waits end at the exact deadline, in order
#[test]
fn jumping_clock_stops_at_each_deadline() {
    let f = own(64, 0, 0, 0);
    let mut random = fastrand::Rng::with_seed(7);
    let mut deadlines: Vec<u64> = (0..60).map(|_| delay(&mut random).min(u64::MAX / 4)).collect();
    let seen = Rc::new(RefCell::new(Vec::new()));
    for &when in &deadlines {
        let seen = seen.clone();
        f.context.at(when, move |c: &Own| seen.borrow_mut().push(c.now().as_nanos())).unwrap();
    }
    deadlines.sort_unstable();
    let mut turns = 0;
    while f.statistics().timers > 0 {
        f.scheduler().run_once(&f.context).unwrap();
        turns += 1;
        assert!(turns < 500);
    }
    assert_eq!(*seen.borrow(), deadlines);
}

#[test]
fn t11_capacity_one_timer_is_enough_for_a_ticker() {
    let f = event_loop::<1, 0, 0, 0>();
    fn tick(c: &rondel_core::EventLoopHandle) {
        if c.time() >= Instant::from_nanos(100) {
            c.stop();
            return;
        }
        // The slot is free again while its callback runs.
        c.later(10, tick).unwrap();
    }
    f.context.later(10, tick).unwrap();
    f.run_forever().unwrap();
    assert_eq!(f.context.time(), Instant::from_nanos(100));
}

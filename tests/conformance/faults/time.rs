//! Rows T: timers and clocks.

use core::time::Duration;
use std::io::Write;
use std::thread;

use rondel::{Config, Error, Instant};

use super::MS;
use crate::fixture::{Counter, Trace, manual, manual_with, never, pair, real, small, turns};

#[test]
fn t01_long_timers_cancelled_in_great_numbers_keep_no_slot() {
    let (event_loop, _clock) = manual_with(Config { calls: 8, ..small() });
    for round in 0..10_000_u64 {
        let timers: Vec<_> = (0..8)
            .map(|n| event_loop.call_later(Duration::from_secs(1 + (round * 7 + n) % 5000), never).unwrap())
            .collect();
        timers.iter().for_each(rondel::TimerHandle::cancel);
    }
    assert_eq!(event_loop.statistics().timers, 0);
}

#[test]
fn t02_extreme_deadlines_saturate_and_harm_no_other() {
    let (event_loop, clock) = manual_with(small());
    let trace = Trace::new();
    let extreme = [
        event_loop.call_later(Duration::MAX, never).unwrap(),
        event_loop.call_later(Duration::from_nanos(u64::MAX), never).unwrap(),
        event_loop.call_at(Instant::MAX, never).unwrap(),
        event_loop.call_at(Instant::from_nanos(u64::MAX - 1), never).unwrap(),
    ];
    event_loop.call_at(Instant::ZERO, trace.note("past")).unwrap();
    event_loop.call_later(MS, trace.note("near")).unwrap();
    event_loop.run_once().unwrap();
    event_loop.run_once().unwrap();
    extreme[0].cancel();
    extreme[3].cancel();
    event_loop.call_later(MS, trace.note("later")).unwrap();
    event_loop.run_once().unwrap();
    assert_eq!(trace.take(), ["past", "near", "later"]);
    assert_eq!(clock.now(), Instant::ZERO + 2 * MS);
}

#[test]
fn t05_a_jump_of_a_year_fires_what_is_due_once() {
    let (event_loop, clock) = manual_with(small());
    let ticks = Counter::new();
    fn tick(event_loop: &rondel::EventLoopHandle, ticks: &Counter) {
        ticks.add();
        let ticks = ticks.clone();
        event_loop.call_later(Duration::from_secs(1), move |event_loop| tick(event_loop, &ticks)).unwrap();
    }
    tick(&event_loop, &ticks);
    clock.advance(Duration::from_secs(365 * 24 * 3600));
    turns(&event_loop, 5);
    assert_eq!(ticks.get(), 2, "the year is not replayed");
}

#[test]
fn t07_zero_delay_timers_do_not_keep_the_loop_from_descriptors() {
    let event_loop = manual();
    fn again(event_loop: &rondel::EventLoopHandle) {
        event_loop.call_later(Duration::ZERO, again).unwrap();
    }
    let (reader, mut writer) = pair();
    let calls = Counter::new();
    let counted = calls.clone();
    event_loop.call_later(Duration::ZERO, again).unwrap();
    event_loop.add_reader(&reader, move |_| counted.add()).unwrap();
    writer.write_all(b"x").unwrap();
    let before = event_loop.statistics().callbacks;
    turns(&event_loop, 10);
    assert_eq!(calls.get(), 10);
    assert_eq!(event_loop.statistics().callbacks - before, 20, "one timer a turn");
}

#[test]
fn t08_an_earlier_timer_from_another_thread_ends_a_long_sleep() {
    let event_loop = real();
    event_loop.call_later(Duration::from_secs(3600), never).unwrap();
    let (remote, (begun, begins)) = (event_loop.remote(), std::sync::mpsc::channel());
    let thread = thread::spawn(move || {
        begins.recv().unwrap();
        remote
            .call_soon_threadsafe(|event_loop| {
                event_loop.call_later(MS, |event_loop| event_loop.stop()).map(drop).map_err(Error::from)
            })
            .unwrap();
    });
    event_loop.call_soon(move |_| begun.send(()).unwrap()).unwrap();
    event_loop.run_forever().unwrap();
    thread.join().unwrap();
}

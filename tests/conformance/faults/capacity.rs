//! Rows C: what is full, and who gets a turn.

use core::time::Duration;
use std::io::Write;

use rondel::{Config, Error, ErrorKind, EventLoop};

use super::MS;
use crate::fixture::{
    Counter, Trace, alone, descriptors, full, manual, manual_with, never, pair, real, run_until_idle, small,
    turns,
};

#[test]
fn c01_a_full_queue_gives_the_callback_back_and_one_run_makes_room() {
    for capacity in [1, 2, 7] {
        let (event_loop, _clock) = manual_with(Config { calls: capacity, ..small() });
        let trace = Trace::new();
        for _ in 0..capacity {
            event_loop.call_soon(trace.note("queued")).unwrap();
        }
        let refused = full(event_loop.call_soon(trace.note("refused")));
        assert_eq!(event_loop.statistics().calls.live, capacity, "the count is unchanged");
        event_loop.run_once().unwrap();
        event_loop.call_soon(refused).unwrap();
        event_loop.run_once().unwrap();
        assert_eq!(trace.take(), [vec!["queued"; capacity], vec!["refused"]].concat());
    }
}

#[test]
fn c02_an_error_names_the_operation_the_resource_and_the_limit() {
    let (event_loop, _clock) = manual_with(Config {
        calls: 1,
        futures: 1,
        tasks: 1,
        descriptors: 1,
        threadsafe_calls: 1,
        ..small()
    });
    let (one, two) = (pair(), pair());
    let future = event_loop.create_future::<()>().unwrap();
    assert_eq!(
        event_loop.create_future::<()>().unwrap_err().to_string(),
        "create_future: no room for another future (limit 1)"
    );
    let task = event_loop.create_task(core::future::pending::<()>()).unwrap();
    assert_eq!(
        event_loop.create_task(async {}).unwrap_err().to_string(),
        "create_task: no room for another task (limit 1)"
    );
    event_loop.add_reader(&one.0, never).unwrap();
    assert_eq!(
        event_loop.add_reader(&two.0, never).unwrap_err().to_string(),
        "add_reader: no room for another call (limit 1)"
    );
    assert_eq!(
        event_loop.call_soon(never).unwrap_err().to_string(),
        "call_soon: no room for another call (limit 1)"
    );
    assert_eq!(
        event_loop.call_later(MS, never).unwrap_err().to_string(),
        "call_later: no room for another call (limit 1)"
    );
    let (event_loop_2, _clock) = manual_with(Config { descriptors: 1, ..small() });
    event_loop_2.add_reader(&one.0, never).unwrap();
    assert_eq!(
        event_loop_2.add_writer(&two.0, never).unwrap_err().to_string(),
        "add_writer: no room for another descriptor (limit 1)"
    );
    event_loop_2.add_writer(&one.0, never).unwrap();
    drop((future, task));
}

#[test]
fn c03_a_future_resolves_though_the_call_table_is_full() {
    let (event_loop, _clock) = manual_with(Config { calls: 4, ..small() });
    let calls = Counter::new();
    let future = event_loop.create_future::<u8>().unwrap();
    for _ in 0..3 {
        let counted = calls.clone();
        future.add_done_callback(move |_, _| counted.add()).unwrap();
    }
    event_loop.call_soon(|_| ()).unwrap();
    full(event_loop.call_soon(never).map(drop).map_err(|refused| refused.map(|_| ())));
    future.set_result(1).unwrap();
    run_until_idle(&event_loop);
    assert_eq!(calls.get(), 3);
}

#[test]
fn c04_every_capacity_of_zero_works_or_is_refused() {
    let zero = Config {
        calls: 0,
        futures: 0,
        tasks: 0,
        task_bytes: 0,
        threadsafe_calls: 0,
        descriptors: 0,
        events_per_turn: 0,
        timers_per_turn: 0,
        turns_per_poll: 0,
        read_buffer_bytes: 0,
        ..small()
    };
    let (event_loop, _clock) = manual_with(zero);
    let (reader, writer) = pair();
    full(event_loop.call_soon(|_| ()).map(drop).map_err(|refused| refused.map(|_| ())));
    assert!(event_loop.create_future::<()>().is_err());
    assert!(event_loop.create_task(async {}).is_err());
    assert!(event_loop.add_reader(&reader, |_| ()).is_err());
    let refused = event_loop.run_until_complete(async { Ok::<(), Error>(()) });
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Full);
    turns(&event_loop, 3);
    // With a place for each, the zeros of the limits don't stop anything.
    let limits =
        Config { events_per_turn: 0, timers_per_turn: 0, turns_per_poll: 0, task_bytes: 0, ..small() };
    let (event_loop, _clock) = manual_with(Config { read_buffer_bytes: 0, ..limits });
    let (calls, handle) = (Counter::new(), event_loop.handle());
    let counted = calls.clone();
    event_loop.add_reader(&reader, move |_| counted.add()).unwrap();
    event_loop.run_until_complete(async move { handle.sleep(MS).await.map_err(Error::from) }).unwrap();
    { &writer }.write_all(b"x").unwrap();
    turns(&event_loop, 3);
    assert_eq!(calls.get(), 3);
}

#[test]
fn c05_io_and_timers_run_beside_a_callback_that_queues_itself() {
    fn again(event_loop: &rondel::EventLoopHandle) {
        event_loop.call_soon(again).unwrap();
    }
    let (event_loop, clock) = manual_with(small());
    let (reader, mut writer) = pair();
    let trace = Trace::new();
    let noted = trace.clone();
    event_loop.call_soon(again).unwrap();
    event_loop.add_reader(&reader, move |_| noted.push("reader")).unwrap();
    event_loop.call_later(10 * MS, trace.note("timer")).unwrap();
    writer.write_all(b"x").unwrap();
    clock.advance(10 * MS);
    turns(&event_loop, 2);
    let trace = trace.take();
    assert!(trace.contains(&"reader".into()) && trace.contains(&"timer".into()));
}

#[test]
fn c10_churn_leaves_the_tables_as_they_were() {
    let event_loop = manual();
    let handle = event_loop.handle();
    let (reader, _writer) = pair();
    for round in 0..20_000_u32 {
        event_loop.call_later(Duration::from_secs(u64::from(round)), never).unwrap().cancel();
        event_loop.call_soon(never).unwrap().cancel();
        event_loop.create_future::<u32>().unwrap().cancel();
        let sleeper = handle.clone();
        let task = event_loop.create_task(async move { sleeper.sleep(Duration::MAX).await }).unwrap();
        if round % 2 == 0 {
            turns(&event_loop, 1);
        }
        task.abort();
        event_loop.add_reader(&reader, never).unwrap();
        event_loop.remove_reader(&reader);
    }
    let statistics = event_loop.statistics();
    assert_eq!((statistics.calls.live, statistics.futures.live, statistics.tasks.live), (0, 0, 0));
    assert!(statistics.calls.peak <= 2 && statistics.tasks.peak <= 2);
}

fn thousands_of_loops() {
    let memory = || {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        text.split(' ').nth(1).unwrap().parse::<usize>().unwrap()
    };
    let round = || {
        let event_loop = real();
        let handle = event_loop.handle();
        event_loop.run_until_complete(async move { handle.yield_now().await.map_err(Error::from) }).unwrap();
        drop(manual());
    };
    (0..100).for_each(|_| round());
    let before = (descriptors(), memory());
    (0..5000).for_each(|_| round());
    assert_eq!(descriptors(), before.0);
    assert!(memory() < before.1 + 512, "resident pages: {} and {}", before.1, memory());
    // Set-up that fails at each descriptor that it needs.
    let kept: Vec<_> = (0..).map_while(|_| std::fs::File::open("/proc/self/exe").ok()).collect();
    assert!(EventLoop::with_config(small()).is_err());
    let mut kept = kept;
    for free in 1..6 {
        kept.pop();
        for _ in 0..200 {
            let made = EventLoop::with_config(small());
            if let Err(error) = &made {
                assert_eq!(error.kind(), ErrorKind::Io, "{error}");
            }
            assert!(made.is_err() || free >= 3, "it needs three");
        }
    }
    drop(kept);
    assert_eq!(descriptors(), before.0);
    round();
}

#[test]
fn c11_loops_come_and_go_and_leave_no_descriptor_and_no_memory() {
    alone(
        "faults::capacity::c11_loops_come_and_go_and_leave_no_descriptor_and_no_memory",
        64,
        thousands_of_loops,
    );
}

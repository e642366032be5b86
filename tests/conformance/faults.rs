//! The fault catalogue, row by row, where no other module shows the row.

use core::cell::RefCell;
use core::time::Duration;
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};
use std::rc::Rc;
use std::thread;

use rondel::{Config, Error, ErrorKind, EventLoop, Instant, StreamReader, StreamWriter};

use crate::fixture::{
    Counter, Oops, Trace, alone, any_port, defer, descriptors, full, manual, manual_with, never, pair,
    quietly, real, reports, run_until_idle, sends, small, turns,
};

const MS: Duration = Duration::from_millis(1);

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
    alone("faults::c11_loops_come_and_go_and_leave_no_descriptor_and_no_memory", 64, thousands_of_loops);
}

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

#[test]
fn w04_a_wake_that_brings_nothing_is_harmless() {
    let event_loop = manual();
    let remote = event_loop.remote();
    for _ in 0..100 {
        let remote = remote.clone();
        thread::spawn(move || assert!(remote.call_soon_threadsafe(never).unwrap().cancel())).join().unwrap();
        event_loop.call_later(MS, |_| ()).unwrap();
        run_until_idle(&event_loop);
    }
}

#[test]
fn w08_a_foreign_waker_that_panics_costs_no_other_its_event() {
    use core::future::Future;
    use core::pin::pin;
    use core::task::{Context, Waker};
    struct Panics;
    impl std::task::Wake for Panics {
        fn wake(self: std::sync::Arc<Self>) {
            panic!("in a waker");
        }
    }
    for propagate in [false, true] {
        let event_loop = if propagate { crate::fixture::propagating() } else { manual() };
        event_loop.set_exception_handler(|_, _| ());
        let handle = event_loop.handle();
        let trace = Trace::new();
        let streams = quietly(|| {
            event_loop.run_until_complete(async move {
                let accepted = handle.create_future::<Box<(StreamReader, StreamWriter)>>()?;
                let give = accepted.clone();
                let server = handle
                    .start_server(any_port(), move |reader, writer| {
                        let _ = give.set_result(Box::new((reader, writer)));
                        core::future::ready(())
                    })
                    .await?;
                let client = TcpStream::connect(server.local_addr())?;
                Ok::<_, Error>((client, *accepted.await?))
            })
        });
        let (mut client, (mut reader, _writer)) = streams.unwrap();
        let others = [pair(), pair(), pair()];
        for (reader, writer) in &others {
            let noted = trace.clone();
            event_loop.add_reader(reader, move |_| noted.push("reader")).unwrap();
            { writer }.write_all(b"x").unwrap();
        }
        let waker = Waker::from(std::sync::Arc::new(Panics));
        let mut waits = pin!(reader.readable());
        assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        client.write_all(b"x").unwrap();
        quietly(|| {
            for _ in 0..3 {
                event_loop.stop();
                let _ = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| event_loop.run_forever()));
            }
        });
        assert!(trace.count() >= 6, "{}", trace.count());
    }
}

#[test]
fn p01_a_stale_event_never_reaches_the_newcomer_of_the_same_number() {
    let (event_loop, trace) = (manual(), Trace::new());
    let (first, mut first_peer) = pair();
    let (second, mut second_peer) = pair();
    first_peer.write_all(b"x").unwrap();
    second_peer.write_all(b"x").unwrap();
    let streams = Rc::new(RefCell::new([Some(first), Some(second)]));
    let newcomers = Rc::new(RefCell::new(Vec::new()));
    for own in [0, 1] {
        let (noted, all, keep) = (trace.clone(), Rc::clone(&streams), Rc::clone(&newcomers));
        let borrowed = streams.borrow();
        event_loop
            .add_reader(borrowed[own].as_ref().unwrap(), move |event_loop| {
                noted.push("one of the two");
                // Whichever comes first closes the other, and takes its number.
                let other = all.borrow_mut()[1 - own].take().unwrap();
                let number = other.as_raw_fd();
                assert!(event_loop.remove_reader(&other));
                drop(other);
                let newcomer = crate::test_selector_events::take_number(number);
                let told = noted.clone();
                event_loop.add_reader(&newcomer.0, move |_| told.push("newcomer")).unwrap();
                let own = all.borrow_mut()[own].take().unwrap();
                event_loop.remove_reader(&own);
                keep.borrow_mut().push(newcomer);
            })
            .unwrap();
    }
    turns(&event_loop, 3);
    assert_eq!(trace.take(), ["one of the two"]);
}

#[test]
fn p05_readiness_that_is_tens_of_thousands_of_events_old_is_still_there() {
    const EVENTS: usize = 40_000;
    struct Reader {
        received: Counter,
        made: Rc<RefCell<Option<rondel::Transport>>>,
    }
    impl rondel::Protocol for Reader {
        fn connection_made(&mut self, transport: &rondel::Transport) -> rondel::Result<()> {
            transport.pause_reading();
            self.made.replace(Some(transport.clone()));
            Ok(())
        }

        fn data_received(&mut self, _: &rondel::Transport, data: &[u8]) -> rondel::Result<()> {
            for _ in data {
                self.received.add();
            }
            Ok(())
        }
    }
    let event_loop = manual();
    let (received, made) = (Counter::new(), Rc::default());
    let (counted, place) = (received.clone(), Rc::clone(&made));
    let (mut client, _server) = event_loop
        .run_until_complete(async {
            let factory = move || Reader { received: counted.clone(), made: Rc::clone(&place) };
            let server = event_loop.create_server(factory, any_port()).await?;
            let client = TcpStream::connect(server.local_addr())?;
            client.set_nodelay(true)?;
            Ok::<_, Error>((client, server))
        })
        .unwrap();
    turns(&event_loop, 3);
    // An event for each byte, and nobody reads.
    for _ in 0..EVENTS {
        client.write_all(b"x").unwrap();
        turns(&event_loop, 1);
    }
    assert_eq!(received.get(), 0);
    made.take().expect("connected").resume_reading();
    while received.get() < EVENTS {
        event_loop.run_once().unwrap();
    }
    assert_eq!(received.get(), EVENTS);
}

#[test]
fn p15_of_thousands_that_are_ready_each_has_its_turn_before_any_has_many() {
    const READY: usize = 5000;
    const PER_TURN: usize = 64;
    let test = "faults::p15_of_thousands_that_are_ready_each_has_its_turn_before_any_has_many";
    alone(test, READY + 100, || {
        let config = Config { events_per_turn: PER_TURN, descriptors: READY, calls: 2 * READY, ..small() };
        let (event_loop, _clock) = manual_with(config);
        let (ready, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"x").unwrap();
        let copies: Vec<_> = (0..READY).map(|_| ready.try_clone().unwrap()).collect();
        let counters: Vec<_> = (0..READY).map(|_| Counter::new()).collect();
        for (copy, counter) in copies.iter().zip(&counters) {
            let counter = counter.clone();
            event_loop
                .add_reader(copy, move |_| {
                    counter.add();
                })
                .unwrap();
        }
        for round in 1..=3 {
            turns(&event_loop, READY.div_ceil(PER_TURN) + 1);
            let least = counters.iter().map(Counter::get).min().unwrap();
            let most = counters.iter().map(Counter::get).max().unwrap();
            assert!(least >= round && most <= round + 1, "round {round}: between {least} and {most}");
        }
    });
}

#[test]
fn p16_a_forked_child_is_refused_and_the_parent_goes_on() {
    alone("faults::p16_a_forked_child_is_refused_and_the_parent_goes_on", 64, || {
        let (event_loop, trace) = (real(), Trace::new());
        let (reading, mut writing) = std::io::pipe().unwrap();
        let noted = trace.clone();
        let watched = reading.try_clone().unwrap();
        event_loop
            .add_reader(&watched, move |event_loop| {
                noted.push("readable");
                event_loop.stop();
            })
            .unwrap();
        // SAFETY: the only other thread of this process waits for this one.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let refused = event_loop.run_once().expect_err("refused");
            let is_refused = refused.as_io().map(std::io::Error::kind)
                == Some(std::io::ErrorKind::PermissionDenied)
                && event_loop.add_writer(&writing, never).is_err();
            drop(event_loop);
            // One of its own works.
            let works = EventLoop::new().is_ok_and(|own| {
                own.call_soon(|event_loop| event_loop.stop()).is_ok() && own.run_forever().is_ok()
            });
            // SAFETY: ends the child, without the destructors that are the parent's.
            unsafe { libc::_exit(i32::from(!(is_refused && works))) };
        }
        let mut status = 0;
        // SAFETY: a child of our own, and room for its status.
        assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
        assert_eq!(status, 0, "the child was not refused");
        writing.write_all(b"x").unwrap();
        event_loop.run_forever().unwrap();
        assert_eq!(trace.take(), ["readable"]);
        drop(reading);
    });
}

#[test]
fn p02_a_number_that_a_connection_got_is_no_longer_that_of_a_closed_reader() {
    let event_loop = real();
    let told = reports(&event_loop);
    let handle = event_loop.handle();
    let served = event_loop.run_until_complete(async move {
        let served = handle.create_future::<bool>()?;
        let tell = served.clone();
        let server = handle
            .start_server(any_port(), move |_reader, _writer| {
                let _ = tell.set_result(true);
                core::future::ready(())
            })
            .await?;
        // A few low numbers, closed without being removed.
        let closed: Vec<_> = (0..4).map(|_| pair()).collect();
        for (reader, writer) in &closed {
            handle.add_reader(reader, never).unwrap();
            handle.add_reader(writer, never).unwrap();
        }
        drop(closed);
        let client = TcpStream::connect(server.local_addr())?;
        let served = served.await?;
        drop(client);
        assert_eq!(server.refused(), 0);
        Ok::<_, Error>(served)
    });
    assert!(served.unwrap());
    for line in told.take() {
        assert_eq!(line, "a watched descriptor was closed before it was removed");
    }
}

#[test]
fn p03_level_triggered_reader_fires_until_drained() {
    let (event_loop, reads) = (manual(), Counter::new());
    let (reader, mut writer) = pair();
    writer.write_all(&[1; 100]).unwrap();
    let (reader, counted) = (Rc::new(reader), reads.clone());
    let own = Rc::clone(&reader);
    event_loop
        .add_reader(&*reader, move |_| {
            if std::io::Read::read(&mut &*own, &mut [0]).is_ok() {
                counted.add();
            }
        })
        .unwrap();
    turns(&event_loop, 120);
    assert_eq!(reads.get(), 100);
}

#[test]
fn p04_what_came_while_nobody_watched_is_reported_on_resume() {
    let (event_loop, calls) = (manual(), Counter::new());
    let (reader, mut writer) = pair();
    for expected in 1..20 {
        writer.write_all(b"x").unwrap();
        turns(&event_loop, 1);
        let counted = calls.clone();
        event_loop.add_reader(&reader, move |_| counted.add()).unwrap();
        turns(&event_loop, 1);
        assert_eq!(calls.get(), expected);
        event_loop.remove_reader(&reader);
    }
}

#[test]
fn p08_an_end_with_no_interest_in_it_is_silent_and_pending_bytes_come_first() {
    let event_loop = manual();
    let (reader, mut writer) = pair();
    writer.write_all(b"last").unwrap();
    event_loop.add_writer(&reader, |_| ()).unwrap();
    event_loop.remove_writer(&reader);
    drop(writer);
    let before = event_loop.statistics().callbacks;
    turns(&event_loop, 10);
    assert_eq!(event_loop.statistics().callbacks, before);
    let (reader, trace) = (Rc::new(reader), Trace::new());
    let (own, noted) = (Rc::clone(&reader), trace.clone());
    event_loop
        .add_reader(&*reader, move |event_loop| {
            let count = std::io::Read::read(&mut &*own, &mut [0; 64]).unwrap();
            noted.push(count.to_string());
            if count == 0 {
                event_loop.remove_reader(&*own);
            }
        })
        .unwrap();
    turns(&event_loop, 5);
    assert_eq!(trace.take(), ["4", "0"]);
}

#[test]
fn p09_a_pipe_whose_reader_left_wakes_its_writer() {
    let (event_loop, calls) = (manual(), Counter::new());
    let (reader, writer) = std::io::pipe().unwrap();
    let counted = calls.clone();
    event_loop.add_writer(&writer, move |_| counted.add()).unwrap();
    { &writer }.write_all(&[0; 65536]).unwrap();
    turns(&event_loop, 2);
    let before = calls.get();
    drop(reader);
    turns(&event_loop, 1);
    assert!(calls.get() > before);
    event_loop.remove_writer(&writer);
}

fn out_of_descriptors() {
    let event_loop = manual();
    let told = reports(&event_loop);
    let handle = event_loop.handle();
    let served = Counter::new();
    let counted = served.clone();
    event_loop
        .run_until_complete(async move {
            let server = handle
                .start_server(any_port(), move |_reader, _writer| {
                    counted.add();
                    core::future::ready(())
                })
                .await?;
            let clients: Vec<_> = (0..5).map(|_| TcpStream::connect(server.local_addr()).unwrap()).collect();
            let mut kept: Vec<_> = (0..).map_while(|_| std::fs::File::open("/proc/self/exe").ok()).collect();
            for _ in 0..20 {
                handle.yield_now().await?;
            }
            kept.truncate(kept.len() - 3);
            // Half a second is too early, a second is enough.
            handle.sleep(Duration::from_millis(500)).await?;
            let early = server.connections();
            handle.sleep(Duration::from_millis(600)).await?;
            for _ in 0..20 {
                handle.yield_now().await?;
            }
            assert_eq!(early, 0);
            drop((clients, kept, server));
            Ok::<(), Error>(())
        })
        .unwrap();
    assert_eq!(served.get(), 5, "accepting resumed by itself");
    let told = told.take();
    assert_eq!(told.len(), 1, "one report: {told:?}");
    assert!(told[0].starts_with("accept is out of system resources"));
}

#[test]
fn a01_a_server_out_of_descriptors_reports_once_and_resumes_by_itself() {
    alone(
        "faults::a01_a_server_out_of_descriptors_reports_once_and_resumes_by_itself",
        32,
        out_of_descriptors,
    );
}

#[test]
fn a02_an_unexpected_accept_error_is_reported_once_and_backs_off() {
    let event_loop = manual();
    let told = reports(&event_loop);
    let handle = event_loop.handle();
    let server = event_loop
        .run_until_complete(async move { handle.start_server(any_port(), async |_, _| {}).await })
        .unwrap();
    let text = format!("{server:?}");
    let number = text.split("fd=").nth(1).unwrap().split(',').next().unwrap();
    // SAFETY: the server's own, lent for one call and not closed.
    let lent = core::mem::ManuallyDrop::new(unsafe { TcpStream::from_raw_fd(number.parse().unwrap()) });
    lent.shutdown(Shutdown::Both).unwrap();
    turns(&event_loop, 20);
    let told = told.take();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("accept failed: "));
    server.close();
}

#[test]
fn a03_a_factory_that_panics_costs_its_connection_only() {
    for propagate in [false, true] {
        let event_loop = if propagate { crate::fixture::propagating() } else { manual() };
        let told = reports(&event_loop);
        let handle = event_loop.handle();
        let calls = Counter::new();
        let counted = calls.clone();
        let server = event_loop
            .run_until_complete(async move {
                handle
                    .start_server(any_port(), move |_reader, _writer| {
                        assert!(counted.add() != 1, "the first");
                        core::future::ready(())
                    })
                    .await
            })
            .unwrap();
        // All wait already: the kernel reports them once.
        let clients: Vec<_> = (0..5).map(|_| TcpStream::connect(server.local_addr()).unwrap()).collect();
        quietly(|| {
            for _ in 0..5 {
                event_loop.stop();
                let _ = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| event_loop.run_forever()));
            }
        });
        assert_eq!((calls.get(), server.connections(), server.is_serving()), (5, 0, true));
        assert_eq!(told.count(), usize::from(!propagate));
        drop(clients);
    }
}

#[test]
fn a03_connections_beyond_the_tables_are_closed_counted_and_reported() {
    for config in [
        Config { tasks: 1, ..small() },
        Config { descriptors: 1, ..small() },
        Config { descriptors: 2, tasks: 2, ..small() },
    ] {
        let (event_loop, _clock) = manual_with(config);
        let told = reports(&event_loop);
        let handle = event_loop.handle();
        let server = event_loop
            .run_until_complete(async move {
                handle
                    .start_server(any_port(), async |reader: StreamReader, writer: StreamWriter| {
                        let _kept = (reader, writer);
                        core::future::pending::<()>().await;
                    })
                    .await
            })
            .unwrap();
        let clients: Vec<_> = (0..4).map(|_| TcpStream::connect(server.local_addr()).unwrap()).collect();
        turns(&event_loop, 5);
        assert_eq!(server.connections() as u64 + server.refused(), 4);
        assert!(server.refused() >= 2 && server.is_serving());
        let told = told.take();
        assert_eq!(told.len() as u64, server.refused());
        assert!(told[0].starts_with("connection refused: ") && told[0].contains("limit"), "{}", told[0]);
        drop(clients);
    }
}

#[test]
fn a09_a_port_with_lingering_connections_can_be_bound_again() {
    let mut addr = any_port();
    for _ in 0..3 {
        let event_loop = real();
        let handle = event_loop.handle();
        addr = event_loop
            .run_until_complete(async move {
                let done = handle.create_future::<()>()?;
                let tell = done.clone();
                let server = handle
                    .start_server(addr, move |reader, mut writer: StreamWriter| {
                        let _ = tell.set_result(());
                        async move {
                            // We close first, so that our side lingers.
                            writer.close();
                            drop(reader);
                        }
                    })
                    .await?;
                let client = sends(server.local_addr(), b"");
                done.await?;
                handle.yield_now().await?;
                handle.yield_now().await?;
                let _ = client.join();
                Ok::<_, Error>(server.local_addr())
            })
            .unwrap();
    }
}

#[test]
fn a10_wait_closed_with_idle_clients_is_bounded_by_a_timeout() {
    let event_loop = manual();
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async move {
            let served = handle.create_future::<()>()?;
            let tell = served.clone();
            let server = handle
                .start_server(any_port(), move |mut reader: StreamReader, _writer| {
                    let _ = tell.set_result(());
                    async move { reader.read_line().await.map(drop) }
                })
                .await?;
            let idle = TcpStream::connect(server.local_addr())?;
            served.await?;
            server.close();
            let ended = handle.timeout(Duration::from_secs(5), server.wait_closed()).await;
            assert!(matches!(ended, Err(rondel::TimeoutError::TimedOut)));
            assert_eq!(server.connections(), 1);
            drop(idle);
            server.wait_closed().await?;
            Ok::<(), Error>(())
        })
        .unwrap();
}

#[test]
fn k04_misuse_is_a_typed_error() {
    let event_loop = Rc::new(manual());
    let inner = Rc::clone(&event_loop);
    let kinds = Rc::new(RefCell::new(Vec::new()));
    let noted = Rc::clone(&kinds);
    event_loop
        .call_soon(move |_| {
            let run = inner.run_forever().unwrap_err().kind();
            let once = inner.run_once().unwrap_err().kind();
            noted.borrow_mut().extend([run, once, inner.close().unwrap_err().kind()]);
        })
        .unwrap();
    event_loop.stop();
    event_loop.run_forever().unwrap();
    event_loop.close().unwrap();
    event_loop.close().unwrap();
    kinds.borrow_mut().push(event_loop.run_forever().unwrap_err().kind());
    assert_eq!(
        *kinds.borrow(),
        [ErrorKind::Running, ErrorKind::Running, ErrorKind::Running, ErrorKind::Closed]
    );
}

#[test]
fn k08_handles_outlive_a_dropped_loop_and_a_forgotten_one_harms_nobody() {
    let event_loop = manual();
    let handle = event_loop.handle();
    let sleeper = handle.clone();
    let future = handle.create_future::<u32>().unwrap();
    let timer = handle.call_later(MS, never).unwrap();
    let task = handle.create_task(async move { sleeper.sleep(MS).await }).unwrap();
    let mut sleep = Box::pin(handle.sleep(MS));
    turns(&event_loop, 1);
    handle.reset_exception_handler();
    handle.set_exception_handler(|_, _| ());
    drop(event_loop);
    timer.cancel();
    assert!(future.set_result(1).is_err() && future.done() && task.done());
    assert!(task.take().is_err() && !task.cancel() && !task.abort());
    let waker = core::task::Waker::noop();
    let mut context = core::task::Context::from_waker(waker);
    assert!(core::future::Future::poll(sleep.as_mut(), &mut context).is_ready());
    drop((future, task, handle, timer, sleep));
    let forgotten = manual();
    let kept = forgotten.handle();
    core::mem::forget(forgotten);
    let other = manual();
    let trace = Trace::new();
    kept.call_soon(trace.note("of the forgotten loop")).unwrap();
    other.call_soon(trace.note("of the other")).unwrap();
    run_until_idle(&other);
    assert_eq!(trace.take(), ["of the other"]);
}

#[test]
fn e05_a_panic_payload_that_panics_when_dropped_is_survived() {
    let (event_loop, trace) = (manual(), Trace::new());
    let told = reports(&event_loop);
    event_loop
        .call_soon(|_| -> () {
            struct Bomb;
            impl Drop for Bomb {
                fn drop(&mut self) {
                    panic!("in the payload");
                }
            }
            std::panic::panic_any(Bomb);
        })
        .unwrap();
    event_loop.call_soon(trace.note("next")).unwrap();
    quietly(|| run_until_idle(&event_loop));
    assert_eq!(told.take(), ["Callback panicked: panicked: a value that is not a message"]);
    assert_eq!(trace.take(), ["next"]);
}

#[test]
fn k01_a_destructor_that_panics_is_reported_wherever_it_runs() {
    let event_loop = manual();
    let told = reports(&event_loop);
    let bomb = || defer(|| panic!("in a destructor"));
    let (in_call, in_task) = (bomb(), bomb());
    event_loop.call_soon(move |_| drop(in_call)).unwrap();
    drop(event_loop.create_task(async move { drop(in_task) }).unwrap());
    let future = event_loop.create_future::<Box<dyn core::any::Any>>().unwrap();
    future.set_result(Box::new(bomb())).map_err(|_| Oops(0)).unwrap();
    event_loop.call_soon(move |_| drop(future)).unwrap();
    quietly(|| run_until_idle(&event_loop));
    assert_eq!(told.count(), 3);
    let statistics = event_loop.statistics();
    assert_eq!((statistics.calls.live, statistics.futures.live, statistics.tasks.live), (0, 0, 0));
}

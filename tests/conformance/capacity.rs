//! Every public call when its table is full: from user code, a callback, a
//! destructor and another thread.

use core::time::Duration;
use std::rc::Rc;
use std::thread;

use rondel::{Config, EventLoop, EventLoopHandle, Instant};

use crate::fixture::{Counter, Trace, defer, full, manual_with, never, pair, run_until_idle, small, turns};

const CAPACITIES: [usize; 3] = [1, 2, 5];

fn with_calls(calls: usize) -> EventLoop {
    manual_with(Config { calls, ..small() }).0
}

/// Offers `call` to a full loop until it takes it, and tells how often it was refused.
fn offer(event_loop: &EventLoopHandle, trace: &Trace, what: &'static str) {
    let call = full(event_loop.call_soon(trace.note(what)));
    let call = full(event_loop.call_later(Duration::ZERO, call));
    let call = full(event_loop.call_at(Instant::ZERO, call));
    // It came back whole.
    call(event_loop);
}

#[test]
fn calls_and_timers_that_are_refused_in_user_code_come_back() {
    // CS-8, T-11, FAULTS C-01
    for capacity in CAPACITIES {
        let (event_loop, trace) = (with_calls(capacity), Trace::new());
        for number in 0..capacity {
            let accepted = trace.note("accepted");
            match number % 2 {
                0 => drop(event_loop.call_soon(accepted).unwrap()),
                _ => drop(event_loop.call_later(Duration::ZERO, accepted).unwrap()),
            }
        }
        offer(&event_loop, &trace, "refused");
        assert_eq!(trace.take(), ["refused"]);
        run_until_idle(&event_loop);
        assert_eq!(trace.take(), vec!["accepted"; capacity], "nothing accepted was lost");
        event_loop.call_soon(trace.note("later")).unwrap();
        run_until_idle(&event_loop);
        assert_eq!(trace.take(), ["later"]);
    }
}

#[test]
fn calls_that_are_refused_in_a_callback_come_back() {
    // FAULTS C-01
    for capacity in CAPACITIES {
        let (event_loop, trace) = (with_calls(capacity), Trace::new());
        let noted = trace.clone();
        event_loop
            .call_soon(move |event_loop| {
                // The running callback has left its slot.
                for _ in 0..capacity {
                    event_loop.call_soon(noted.note("accepted")).unwrap();
                }
                offer(event_loop, &noted, "refused");
            })
            .unwrap();
        run_until_idle(&event_loop);
        assert_eq!(trace.take(), [vec!["refused"], vec!["accepted"; capacity]].concat());
    }
}

#[test]
fn calls_that_are_refused_in_a_destructor_come_back() {
    // FAULTS C-01
    for capacity in CAPACITIES {
        let (event_loop, trace) = (with_calls(capacity), Trace::new());
        let (handle, noted) = (event_loop.handle(), trace.clone());
        let hostile = defer(move || {
            for _ in 0..capacity {
                handle.call_soon(noted.note("accepted")).unwrap();
            }
            offer(&handle, &noted, "refused");
        });
        let call = event_loop.call_soon(move |_| drop(hostile)).unwrap();
        call.cancel();
        run_until_idle(&event_loop);
        assert_eq!(trace.take(), [vec!["refused"], vec!["accepted"; capacity]].concat());
    }
}

#[test]
fn done_callbacks_that_are_refused_come_back() {
    // FAULTS C-02
    for capacity in CAPACITIES {
        let (event_loop, calls) = (with_calls(capacity), Counter::new());
        let future = event_loop.create_future::<u8>().unwrap();
        let task = event_loop.create_task(core::future::pending::<()>()).unwrap();
        for _ in 0..capacity {
            let counted = calls.clone();
            future.add_done_callback(move |_, _| counted.add()).unwrap();
        }
        let counted = calls.clone();
        let refused = full(future.add_done_callback(move |_, _: &rondel::Future<u8>| counted.add()));
        assert!(task.add_done_callback(|_, _| ()).unwrap_err().is_full());
        future.set_result(1).unwrap();
        run_until_idle(&event_loop);
        assert_eq!(calls.get(), capacity);
        future.add_done_callback(refused).unwrap();
        run_until_idle(&event_loop);
        assert_eq!(calls.get(), capacity + 1);
        task.abort();
    }
}

#[test]
fn futures_and_tasks_that_are_refused_come_back_and_one_end_makes_room() {
    // TK-13, FAULTS C-02
    for capacity in CAPACITIES {
        let config = Config { futures: capacity, tasks: capacity, ..small() };
        let event_loop = manual_with(config).0;
        let mut futures: Vec<_> = (0..capacity).map(|_| event_loop.create_future::<u8>().unwrap()).collect();
        assert!(event_loop.create_future::<u8>().unwrap_err().is_full());
        futures.pop();
        futures.push(event_loop.create_future::<u8>().unwrap());
        let tasks: Vec<_> =
            (0..capacity).map(|_| event_loop.create_task(core::future::pending::<()>()).unwrap()).collect();
        let counter = Counter::new();
        let counted = counter.clone();
        let refused = full(event_loop.create_task(async move { counted.add() }));
        assert!(tasks[0].abort());
        drop(tasks);
        event_loop.create_task(refused).unwrap();
        turns(&event_loop, 2);
        assert_eq!(counter.get(), 1);
    }
}

#[test]
fn awaitables_that_find_no_room_end_with_an_error_and_lose_nothing() {
    // FAULTS C-02
    let event_loop = with_calls(1);
    let handle = event_loop.handle();
    let timer = event_loop.call_later(Duration::from_secs(1), |_| ()).unwrap();
    event_loop
        .run_until_complete(async { Ok::<(), rondel::Error>(()) })
        .map_err(|error| assert!(error.is_full(), "{error}"))
        .unwrap_err();
    timer.cancel();
    // The run itself takes a call for its hook; none is left for a timer.
    event_loop
        .run_until_complete(async move {
            assert!(rondel::Error::from(handle.sleep(Duration::from_secs(1)).await.unwrap_err()).is_full());
            assert!(handle.timeout(Duration::from_secs(1), handle.yield_now()).await.is_err());
            let task = handle.create_task(async { 7 })?;
            assert_eq!(task.await?, 7, "a task waits in a place of its own");
            handle.sleep(Duration::ZERO).await?;
            Ok::<(), rondel::Error>(())
        })
        .unwrap();
}

#[test]
fn descriptors_that_are_refused_leave_nothing_half_registered() {
    // FAULTS C-02
    for capacity in CAPACITIES {
        let event_loop = manual_with(Config { descriptors: capacity, ..small() }).0;
        let pairs: Vec<_> = (0..=capacity).map(|_| pair()).collect();
        for (reader, _) in &pairs[..capacity] {
            event_loop.add_reader(reader, never).unwrap();
            event_loop.add_writer(reader, |_| ()).unwrap();
        }
        let (last, mut peer) = (&pairs[capacity].0, &pairs[capacity].1);
        let calls = event_loop.statistics().calls.live;
        let counter = Counter::new();
        let counted = counter.clone();
        let refused = event_loop.add_reader(last, move |_| counted.add()).unwrap_err();
        assert!(refused.error().is_full());
        assert!(!event_loop.remove_reader(last));
        assert_eq!((event_loop.statistics().calls.live, event_loop.watched_descriptors()), (calls, capacity));
        event_loop.remove_reader(&pairs[0].0);
        event_loop.remove_writer(&pairs[0].0);
        event_loop.add_reader(last, refused.into_callback()).unwrap();
        std::io::Write::write_all(&mut peer, b"x").unwrap();
        turns(&event_loop, 1);
        assert_eq!(counter.get(), 1);
    }
}

#[test]
fn a_gather_that_finds_no_room_gives_the_tasks_back() {
    // FAULTS C-02
    let event_loop = with_calls(1);
    let tasks = [(); 2].map(|()| event_loop.create_task(async { 1 }).unwrap());
    let tasks = match event_loop.gather(tasks) {
        Ok(_) => panic!("there was room"),
        Err(refused) => refused.into_value(),
    };
    assert_eq!((event_loop.statistics().calls.live, event_loop.statistics().futures.live), (0, 0));
    run_until_idle(&event_loop);
    assert!(tasks.iter().all(|task| task.take() == Ok(1)));
}

#[test]
fn a_thread_that_is_refused_has_its_call_back_and_succeeds_after_a_turn() {
    // FAULTS C-01
    for capacity in CAPACITIES {
        let event_loop = manual_with(Config { threadsafe_calls: capacity, ..small() }).0;
        let remote = event_loop.remote();
        let refused = thread::spawn(move || {
            for _ in 0..capacity {
                remote.call_soon_threadsafe(|_| ()).unwrap();
            }
            full(remote.call_soon_threadsafe(|event_loop: &EventLoopHandle| event_loop.stop()))
        })
        .join()
        .unwrap();
        turns(&event_loop, 1);
        let remote = event_loop.remote();
        thread::spawn(move || remote.call_soon_threadsafe(refused).unwrap()).join().unwrap();
        event_loop.run_forever().unwrap();
        assert_eq!(event_loop.statistics().calls.live, 0);
    }
}

#[test]
fn cancelling_in_a_full_table_makes_room_at_once() {
    // T-7, H-1
    for capacity in CAPACITIES {
        let event_loop = Rc::new(with_calls(capacity));
        let handles: Vec<_> = (0..capacity).map(|_| event_loop.call_soon(never).unwrap()).collect();
        for handle in &handles {
            full(event_loop.call_soon(never));
            handle.cancel();
            event_loop.call_soon(|_| ()).unwrap();
        }
        run_until_idle(&event_loop);
    }
}

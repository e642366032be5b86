//! `call_soon`, running, stopping, closing: R and CS.

use core::cell::RefCell;
use core::time::Duration;
use std::rc::Rc;

use rondel::{Config, ErrorKind, EventLoop, Instant, running_loop};

use crate::fixture::{
    Counter, Oops, Trace, any_port, defer, manual, manual_with, never, pair, panics, propagating, real,
    reports, run_until_idle, small, turns,
};

#[test]
fn callbacks_run_in_the_order_queued_each_once() {
    // CS-1
    let (event_loop, trace) = (manual(), Trace::new());
    event_loop.call_soon(trace.note("a")).unwrap();
    event_loop.call_soon(trace.note("b")).unwrap();
    event_loop.call_soon(trace.note("c")).unwrap();
    run_until_idle(&event_loop);
    run_until_idle(&event_loop);
    assert_eq!(trace.take(), ["a", "b", "c"]);
}

#[test]
fn a_batch_is_what_was_queued_then_descriptors_then_timers() {
    // CS-2, R-1
    let (event_loop, trace) = (manual(), Trace::new());
    let (reader, mut writer) = pair();
    std::io::Write::write_all(&mut writer, b"x").unwrap();
    let noted = trace.clone();
    event_loop.call_later(Duration::ZERO, trace.note("timer")).unwrap();
    event_loop.add_reader(&reader, move |_| noted.push("reader")).unwrap();
    event_loop.call_soon(trace.note("queued")).unwrap();
    turns(&event_loop, 1);
    assert_eq!(
        trace.take(),
        [
            "queued", // before the poll
            "reader", // by the poll
            "timer",  // due after it
        ]
    );
    event_loop.remove_reader(&reader);
}

#[test]
fn what_a_callback_queues_runs_in_the_next_iteration_after_another_poll() {
    // CS-3
    let (event_loop, clock) = manual_with(small());
    let trace = Trace::new();
    let (noted, last) = (trace.clone(), trace.clone());
    event_loop
        .call_soon(move |event_loop| {
            noted.push("first");
            event_loop.call_soon(last.note("queued by first")).unwrap();
        })
        .unwrap();
    event_loop.call_soon(trace.note("second")).unwrap();
    let waits = clock.waits();
    event_loop.run_once().unwrap();
    assert_eq!(trace.take(), ["first", "second"]);
    assert_eq!(clock.waits() - waits, 1);
    event_loop.run_once().unwrap();
    assert_eq!(trace.take(), ["queued by first"]);
    assert_eq!(clock.waits() - waits, 2);
}

#[test]
fn a_callback_that_queues_itself_for_ever_starves_neither_timers_nor_descriptors() {
    // CS-4
    fn again(event_loop: &rondel::EventLoopHandle) {
        event_loop.call_soon(again).unwrap();
    }
    let (event_loop, clock) = manual_with(small());
    let trace = Trace::new();
    let (reader, mut writer) = pair();
    event_loop.call_soon(again).unwrap();
    event_loop.call_later(Duration::from_millis(10), trace.note("timer")).unwrap();
    let noted = trace.clone();
    event_loop.add_reader(&reader, move |_| noted.push("reader")).unwrap();
    turns(&event_loop, 5);
    assert_eq!(trace.count(), 0);
    std::io::Write::write_all(&mut writer, b"x").unwrap();
    clock.advance(Duration::from_millis(10));
    turns(&event_loop, 1);
    assert_eq!(trace.take(), ["reader", "timer"]);
}

#[test]
fn a_callback_cancelled_by_an_earlier_one_of_its_batch_does_not_run() {
    // CS-5
    let (event_loop, trace) = (manual(), Trace::new());
    let victim = Rc::new(RefCell::new(None::<rondel::Handle>));
    let cancels = Rc::clone(&victim);
    event_loop
        .call_soon(move |_| {
            if let Some(victim) = &*cancels.borrow() {
                victim.cancel();
            }
        })
        .unwrap();
    *victim.borrow_mut() = Some(event_loop.call_soon(trace.note("victim")).unwrap());
    event_loop.call_soon(trace.note("next")).unwrap();
    run_until_idle(&event_loop);
    assert_eq!(trace.take(), ["next"]);
}

#[test]
fn captures_are_bound_when_scheduled_and_dropped_before_anything_else_runs() {
    // CS-6, CS-7
    let (event_loop, trace) = (manual(), Trace::new());
    let (dropped, noted) = (trace.on_drop("captures of a"), trace.clone());
    let mut value = 1;
    event_loop
        .call_soon(move |_| {
            noted.push(format!("a with {value}"));
            drop(dropped);
        })
        .unwrap();
    value += 1;
    let dropped = trace.on_drop("captures of b");
    let noted = trace.clone();
    event_loop
        .call_soon(move |_| {
            let _kept = &dropped;
            noted.push(format!("b with {value}"));
        })
        .unwrap();
    event_loop.call_soon(trace.note("c")).unwrap();
    run_until_idle(&event_loop);
    assert_eq!(
        trace.take(),
        [
            "a with 1", // bound to what it was
            "captures of a",
            "b with 2",
            "captures of b", // right after the callback, not at the end of the batch
            "c",
        ]
    );
}

#[test]
fn a_large_closure_is_boxed_and_runs_like_any_other() {
    // CS-1, CS-7
    let (event_loop, trace) = (manual(), Trace::new());
    let (large, noted, dropped) = ([7_u64; 100], trace.clone(), trace.on_drop("dropped"));
    event_loop
        .call_soon(move |_| {
            let _kept = &dropped;
            noted.push(format!("{}", large.iter().sum::<u64>()));
        })
        .unwrap();
    run_until_idle(&event_loop);
    assert_eq!(trace.take(), ["700", "dropped"]);
}

#[test]
fn a_wait_has_no_timeout_while_something_is_ready_and_the_next_deadline_otherwise() {
    //
    let (event_loop, clock) = manual_with(small());
    event_loop.call_later(Duration::from_secs(5), |_| ()).unwrap();
    event_loop.call_soon(|_| ()).unwrap();
    event_loop.run_once().unwrap();
    assert_eq!(clock.last_deadline(), Some(Instant::ZERO), "something was ready");
    event_loop.run_once().unwrap();
    assert_eq!(clock.last_deadline(), Some(Instant::ZERO + Duration::from_secs(5)));
    assert_eq!(clock.now(), Instant::ZERO + Duration::from_secs(5), "the clock jumped");
    event_loop.stop();
    event_loop.run_forever().unwrap();
    assert_eq!(clock.last_deadline(), Some(Instant::ZERO), "a stop was pending");
}

#[test]
fn a_wait_with_nothing_to_wait_for_is_for_ever_and_a_thread_ends_it() {
    // R-1, TS-1
    let (event_loop, clock) = manual_with(small());
    let remote = event_loop.remote();
    let thread = std::thread::spawn(move || {
        remote.call_soon_threadsafe(|event_loop| event_loop.stop()).map(drop).map_err(|_| ())
    });
    event_loop.run_forever().unwrap();
    thread.join().unwrap().unwrap();
    assert!(matches!(clock.last_deadline(), None | Some(Instant::ZERO)));
}

#[test]
fn stop_never_cuts_a_batch() {
    //
    let (event_loop, trace) = (manual(), Trace::new());
    let (noted, last) = (trace.clone(), trace.clone());
    event_loop
        .call_soon(move |event_loop| {
            noted.push("stops");
            event_loop.stop();
            event_loop.call_soon(last.note("queued by the batch")).unwrap();
        })
        .unwrap();
    event_loop.call_soon(trace.note("rest of the batch")).unwrap();
    event_loop.run_forever().unwrap();
    assert_eq!(trace.take(), ["stops", "rest of the batch"]);
    event_loop.call_soon(|event_loop| event_loop.stop()).unwrap();
    event_loop.run_forever().unwrap();
    assert_eq!(trace.take(), ["queued by the batch"], "it waited for the next run");
}

#[test]
fn stop_before_run_gives_one_iteration_that_does_not_wait() {
    //
    let (event_loop, clock) = manual_with(small());
    let trace = Trace::new();
    let noted = trace.clone();
    event_loop
        .call_soon(move |event_loop| {
            noted.push("ran");
            event_loop.call_soon(never).unwrap();
        })
        .unwrap();
    event_loop.call_later(Duration::from_secs(1), never).unwrap();
    event_loop.stop();
    event_loop.run_forever().unwrap();
    assert_eq!(trace.take(), ["ran"]);
    assert_eq!((clock.waits(), clock.last_deadline()), (1, Some(Instant::ZERO)));
    assert_eq!(clock.now(), Instant::ZERO);
}

#[test]
fn a_stop_is_consumed_by_the_run_that_it_ends() {
    //
    let (event_loop, trace) = (manual(), Trace::new());
    event_loop.stop();
    event_loop.run_forever().unwrap();
    let noted = trace.clone();
    event_loop.call_later(Duration::from_secs(1), trace.note("timer")).unwrap();
    event_loop
        .call_later(Duration::from_secs(2), move |event_loop| {
            noted.push("stops");
            event_loop.stop();
        })
        .unwrap();
    event_loop.run_forever().unwrap();
    assert_eq!(trace.take(), ["timer", "stops"], "the second run was not stopped already");
}

#[test]
fn a_stop_is_consumed_by_a_run_that_a_panic_ends() {
    //
    let (event_loop, trace) = (propagating(), Trace::new());
    event_loop
        .call_soon(|event_loop| -> () {
            event_loop.stop();
            panic!("interrupt");
        })
        .unwrap();
    event_loop.call_soon(trace.note("rest of the batch")).unwrap();
    assert!(panics(|| event_loop.run_forever()));
    assert!(!event_loop.is_running() && !event_loop.is_closed());
    assert_eq!(trace.take(), [""; 0]);
    assert!(running_loop().is_none());
    let noted = trace.clone();
    event_loop
        .call_later(Duration::from_secs(1), move |event_loop| {
            noted.push("stops");
            event_loop.stop();
        })
        .unwrap();
    event_loop.run_forever().unwrap();
    assert_eq!(trace.take(), ["rest of the batch", "stops"]);
}

#[test]
fn a_reader_queued_in_the_stopping_iteration_runs_once() {
    //
    let (event_loop, trace) = (manual(), Trace::new());
    let (reader, mut writer) = pair();
    std::io::Write::write_all(&mut writer, b"x").unwrap();
    let reader = Rc::new(reader);
    let (noted, source) = (trace.clone(), Rc::clone(&reader));
    event_loop
        .add_reader(&*reader, move |_| {
            let mut byte = [0];
            let count = std::io::Read::read(&mut &*source, &mut byte).unwrap_or(0);
            noted.push(format!("read {count}"));
        })
        .unwrap();
    turns(&event_loop, 1);
    turns(&event_loop, 3);
    let trace = trace.take();
    assert_eq!(trace.iter().filter(|&what| what == "read 1").count(), 1);
}

#[test]
fn run_until_complete_returns_the_value_or_the_error() {
    //
    let event_loop = manual();
    let value = event_loop.run_until_complete(async { Ok::<_, rondel::Error>(7) });
    assert_eq!(value.unwrap(), 7);
    let error = event_loop.run_until_complete(async { Err::<(), _>(rondel::Error::new(Oops(1))) });
    assert_eq!(error.unwrap_err().to_string(), "oops 1");
    let handle = event_loop.handle();
    let slept = event_loop.run_until_complete(async move {
        handle.sleep(Duration::from_secs(3600)).await?;
        Ok::<_, rondel::Error>(handle.time())
    });
    assert_eq!(slept.unwrap(), Instant::ZERO + Duration::from_secs(3600));
}

#[test]
fn a_run_that_is_stopped_first_fails_and_a_task_runs_on_in_a_later_run() {
    //
    let (event_loop, trace) = (manual(), Trace::new());
    let (handle, noted) = (event_loop.handle(), trace.clone());
    let task = event_loop
        .create_task(async move {
            noted.push("begins");
            handle.sleep(Duration::from_secs(2)).await?;
            noted.push("ends");
            Ok::<_, rondel::Error>(1)
        })
        .unwrap();
    event_loop.call_later(Duration::from_secs(1), |event_loop| event_loop.stop()).unwrap();
    let stopped = event_loop.run_until_complete(task.wait());
    assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Stopped);
    assert!(!task.done());
    let output = event_loop.run_until_complete(async { task.await? }).unwrap();
    assert_eq!((output, trace.take()), (1, vec!["begins".to_owned(), "ends".to_owned()]));
}

#[test]
fn a_future_abandoned_by_a_stopped_run_can_not_stop_a_later_one() {
    //
    let (event_loop, trace) = (manual(), Trace::new());
    let future = event_loop.create_future::<u32>().unwrap();
    event_loop.call_soon(|event_loop| event_loop.stop()).unwrap();
    let stopped = event_loop.run_until_complete(future.wait());
    assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Stopped);
    event_loop.call_soon(move |_| future.set_result(1).map_err(|_| Oops(1))).unwrap();
    let noted = trace.clone();
    event_loop
        .call_later(Duration::from_secs(1), move |event_loop| {
            noted.push("stops");
            event_loop.stop();
        })
        .unwrap();
    event_loop.run_forever().unwrap();
    assert_eq!(trace.take(), ["stops"], "the run went on after the future was done");
}

#[test]
fn a_panic_in_the_awaited_future_leaves_no_stop_behind() {
    // R-9, TK-9
    let (event_loop, trace) = (propagating(), Trace::new());
    assert!(panics(|| event_loop.run_until_complete(async {
        panic!("interrupt");
        #[allow(unreachable_code, reason = "names the type")]
        Ok::<(), rondel::Error>(())
    })));
    let noted = trace.clone();
    event_loop.call_soon(trace.note("first")).unwrap();
    event_loop
        .call_later(Duration::from_secs(1), move |event_loop| {
            noted.push("stops");
            event_loop.stop();
        })
        .unwrap();
    event_loop.run_forever().unwrap();
    assert_eq!(trace.take(), ["first", "stops"]);
    assert_eq!(event_loop.statistics().tasks.live, 0);
}

#[test]
fn a_panic_of_the_awaited_future_is_an_error_where_panics_are_reported() {
    // R-8, TK-9
    let event_loop = manual();
    let told = reports(&event_loop);
    let ended = crate::fixture::quietly(|| {
        event_loop.run_until_complete(async {
            panic!("broken");
            #[allow(unreachable_code, reason = "names the type")]
            Ok::<(), rondel::Error>(())
        })
    });
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Panicked);
    assert_eq!(told.take(), ["Task panicked: panicked: broken"]);
}

#[test]
fn running_a_running_loop_or_another_in_the_same_thread_is_refused() {
    //
    let event_loop = Rc::new(manual());
    let other = Rc::new(manual());
    let refused = Trace::new();
    let (this, that, noted) = (Rc::clone(&event_loop), Rc::clone(&other), refused.clone());
    event_loop
        .call_soon(move |event_loop| {
            for error in [
                this.run_forever().unwrap_err(),
                this.run_once().unwrap_err(),
                this.run_until_complete(async { Ok::<(), rondel::Error>(()) }).unwrap_err(),
                that.run_forever().unwrap_err(),
                that.run_until_complete(async { Ok::<(), rondel::Error>(()) }).unwrap_err(),
            ] {
                noted.push(format!("{:?}", error.kind()));
            }
            assert!(event_loop.is_running() && !that.is_running());
            event_loop.stop();
        })
        .unwrap();
    event_loop.run_forever().unwrap();
    assert_eq!(refused.take(), ["Running"; 5]);
    // In another thread another loop runs at the same time.
    event_loop
        .call_soon(|event_loop| {
            std::thread::spawn(|| real().run_until_complete(async { Ok::<(), rondel::Error>(()) }).unwrap())
                .join()
                .unwrap();
            event_loop.stop();
        })
        .unwrap();
    event_loop.run_forever().unwrap();
}

#[test]
fn closing_a_running_loop_is_refused_and_closing_twice_is_harmless() {
    //
    let event_loop = Rc::new(manual());
    let closes = Rc::clone(&event_loop);
    assert!(!event_loop.is_running() && !event_loop.is_closed());
    event_loop
        .call_soon(move |event_loop| {
            assert_eq!(closes.close().unwrap_err().kind(), ErrorKind::Running);
            assert!(event_loop.is_running() && !event_loop.is_closed());
            event_loop.stop();
        })
        .unwrap();
    event_loop.run_forever().unwrap();
    assert!(!event_loop.is_running());
    event_loop.close().unwrap();
    event_loop.close().unwrap();
    assert!(event_loop.is_closed() && !event_loop.is_running());
}

#[test]
fn dropping_an_unclosed_loop_closes_it() {
    //
    let (event_loop, trace) = (manual(), Trace::new());
    let dropped = trace.on_drop("callback dropped");
    event_loop.call_soon(move |_| drop(dropped)).unwrap();
    let handle = event_loop.handle();
    drop(event_loop);
    assert!(handle.is_closed());
    assert_eq!(trace.take(), ["callback dropped"]);
}

#[test]
fn close_drops_callbacks_and_timers_unrun() {
    //
    let (event_loop, trace) = (manual(), Trace::new());
    let told = reports(&event_loop);
    for what in ["callback", "timer", "task", "inbox"] {
        let dropped = trace.on_drop(what);
        let noted = trace.clone();
        match what {
            "callback" => drop(event_loop.call_soon(move |_| drop((dropped, noted.push("ran"))))),
            "timer" => drop(
                event_loop.call_later(Duration::from_secs(1), move |_| drop((dropped, noted.push("ran")))),
            ),
            "task" => drop(event_loop.create_task(async move { drop((dropped, noted.push("ran"))) })),
            _ => drop(dropped),
        }
    }
    assert_eq!(trace.take(), ["inbox"]);
    event_loop.close().unwrap();
    assert_eq!(trace.take(), ["callback", "timer", "task"]);
    assert_eq!(told.take(), ["Task was destroyed but it is pending!"]);
    let statistics = event_loop.statistics();
    assert_eq!((statistics.ready, statistics.timers, statistics.calls.live), (0, 0, 0));
}

#[test]
fn close_stops_listening_also_while_the_server_is_held() {
    //
    let event_loop = real();
    let handle = event_loop.handle();
    let server = event_loop
        .run_until_complete(async move {
            handle.start_server(any_port(), async |_, _| Ok::<(), rondel::Error>(())).await
        })
        .unwrap();
    assert!(server.is_serving());
    std::net::TcpStream::connect(server.local_addr()).unwrap();
    event_loop.close().unwrap();
    assert!(!server.is_serving(), "the loop is closed");
    assert!(std::net::TcpStream::connect(server.local_addr()).is_err());
    assert_eq!(event_loop.watched_descriptors(), 0);
}

#[test]
fn after_close_every_scheduling_call_fails_and_gives_back_what_it_got() {
    // R-14, TK-13, TS-4
    let event_loop = manual();
    let (reader, _writer) = pair();
    let (handle, remote) = (event_loop.handle(), event_loop.remote());
    let future = event_loop.create_future::<u32>().unwrap();
    event_loop.add_reader(&reader, |_| ()).unwrap();
    event_loop.close().unwrap();
    let trace = Trace::new();
    let note = |what| trace.note(what);
    let refused = [
        handle.call_soon(note("a")).map(drop).map_err(rondel::Refused::into_value),
        handle.call_later(Duration::ZERO, note("b")).map(drop).map_err(rondel::Refused::into_value),
        handle.call_at(Instant::ZERO, note("c")).map(drop).map_err(rondel::Refused::into_value),
        handle.add_reader(&reader, |_| ()).map_err(|error| {
            assert_eq!(error.error().kind(), ErrorKind::Closed);
            note("d")
        }),
        handle.add_writer(&reader, |_| ()).map_err(|error| {
            assert_eq!(error.error().kind(), ErrorKind::Closed);
            note("e")
        }),
    ];
    for callback in refused {
        callback.unwrap_err()(&handle);
    }
    assert_eq!(trace.take(), ["a", "b", "c", "d", "e"], "each came back and could be used");
    assert!(handle.create_future::<u32>().unwrap_err().is_closed());
    let refused = handle.create_task(async { 5 }).unwrap_err();
    assert!(refused.is_closed());
    assert_eq!(
        real().run_until_complete(async { Ok::<_, rondel::Error>(refused.into_value().await) }).unwrap(),
        5
    );
    assert!(remote.call_soon_threadsafe(|_| ()).unwrap_err().is_closed());
    assert!(remote.create_task(|_| async {}).unwrap_err().is_closed());
    assert!(remote.is_closed());
    remote.stop();
    assert!(!handle.remove_reader(&reader), "R-14: removing answers false");
    assert!(!handle.remove_writer(&reader));
    let _ = handle.time();
    handle.stop();
    assert_eq!(event_loop.run_forever().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(event_loop.run_once().unwrap_err().kind(), ErrorKind::Closed);
    let run = event_loop.run_until_complete(async { Ok::<(), rondel::Error>(()) });
    assert_eq!(run.unwrap_err().kind(), ErrorKind::Closed);
    assert!(future.set_result(1).is_err() && !future.cancel());
}

#[test]
fn a_descriptor_is_the_callers_again_after_close() {
    // R-13, IO-5
    let event_loop = manual();
    let (reader, mut writer) = pair();
    event_loop.add_reader(&reader, |_| ()).unwrap();
    event_loop.close().unwrap();
    std::io::Write::write_all(&mut writer, b"x").unwrap();
    let other = manual();
    let trace = Trace::new();
    let noted = trace.clone();
    other.add_reader(&reader, move |_| noted.push("ready")).unwrap();
    turns(&other, 1);
    assert_eq!(trace.take(), ["ready"]);
}

#[test]
fn destructors_that_run_during_close_may_call_the_loop() {
    //
    let (event_loop, trace) = (manual(), Trace::new());
    let (handle, noted) = (event_loop.handle(), trace.clone());
    let hostile = defer(move || {
        noted.push(format!("soon closed: {}", handle.call_soon(|_| ()).unwrap_err().is_closed()));
        noted.push(format!("future closed: {}", handle.create_future::<()>().unwrap_err().is_closed()));
        let task = handle.create_task(async {}).unwrap_err();
        noted.push(format!("task closed: {}", task.is_closed()));
        handle.set_exception_handler(|_, _| ());
        handle.set_task_factory(|_, _| ());
        noted.push(format!("tasks: {}", handle.all_tasks().count()));
        handle.stop();
    });
    event_loop.call_soon(move |_| drop(hostile)).unwrap();
    event_loop.close().unwrap();
    assert_eq!(trace.take(), ["soon closed: true", "future closed: true", "task closed: true", "tasks: 0"]);
}

#[test]
fn destructors_of_handler_and_factory_may_set_another_during_close() {
    // EH-1, TK-12
    let event_loop = manual();
    let trace = Trace::new();
    let (handle, noted) = (event_loop.handle(), trace.clone());
    let hostile = defer(move || {
        noted.push("handler");
        handle.reset_exception_handler();
        handle.set_exception_handler(|_, _| ());
    });
    event_loop.set_exception_handler(move |_, _| {
        let _kept = &hostile;
    });
    let (handle, noted) = (event_loop.handle(), trace.clone());
    let hostile = defer(move || {
        noted.push("factory");
        handle.set_task_factory(|_, _| ());
    });
    event_loop.set_task_factory(move |_, _| {
        let _kept = &hostile;
    });
    event_loop.close().unwrap();
    assert_eq!(trace.take(), ["factory", "handler"]);
}

#[test]
fn a_destructor_that_panics_during_close_is_reported_and_the_rest_is_closed() {
    // R-13, FAULTS K-01
    let (event_loop, trace) = (manual(), Trace::new());
    let told = reports(&event_loop);
    let hostile = defer(|| panic!("in a destructor"));
    event_loop.call_soon(move |_| drop(hostile)).unwrap();
    let dropped = trace.on_drop("next");
    event_loop.call_soon(move |_| drop(dropped)).unwrap();
    crate::fixture::quietly(|| event_loop.close()).unwrap();
    assert_eq!(told.take(), ["Callback panicked: panicked: in a destructor"]);
    assert_eq!(trace.take(), ["next"]);
    assert!(event_loop.remote().is_closed());
}

#[test]
fn a_destructor_that_unwinds_through_close_leaves_nothing_open() {
    //
    let event_loop = propagating();
    let (reader, _writer) = pair();
    let hostile = defer(|| panic!("in a destructor"));
    event_loop.call_soon(move |_| drop(hostile)).unwrap();
    event_loop.add_reader(&reader, |_| ()).unwrap();
    assert!(panics(|| event_loop.close()));
    assert!(event_loop.is_closed());
    assert!(event_loop.remote().is_closed(), "other threads are told");
    assert_eq!(event_loop.watched_descriptors(), 0);
    event_loop.close().unwrap();
    let other = manual();
    other.add_reader(&reader, |_| ()).unwrap();
}

#[test]
fn a_loop_in_a_thread_local_is_closed_at_the_end_of_the_thread() {
    //
    thread_local! {
        static EARLY: RefCell<Option<EventLoop>> = const { RefCell::new(None) };
    }
    let remote = std::thread::spawn(|| {
        // Registered before the crate's own thread locals, and so dropped after them.
        EARLY.with_borrow(|event_loop| assert!(event_loop.is_none()));
        let event_loop = real();
        let remote = event_loop.remote();
        event_loop.run_until_complete(async { Ok::<(), rondel::Error>(()) }).unwrap();
        EARLY.set(Some(event_loop));
        remote
    })
    .join()
    .unwrap();
    assert!(remote.is_closed());
}

#[test]
fn the_running_loop_is_known_inside_run_only() {
    // R-10, TK-11
    assert!(running_loop().is_none());
    let event_loop = manual();
    event_loop
        .call_soon(|event_loop| {
            assert!(running_loop().is_some_and(|running| running.is_running()));
            event_loop.stop();
        })
        .unwrap();
    event_loop.run_forever().unwrap();
    assert!(running_loop().is_none());
}

#[test]
fn run_cancels_leftover_tasks_and_waits_for_what_they_clean_up() {
    // TK-4
    let steps = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let noted = std::sync::Arc::clone(&steps);
    let value = rondel::run(async |event_loop| {
        let inner = event_loop.clone();
        let note = move |what| noted.lock().unwrap().push(what);
        event_loop.create_task(async move {
            let ended = inner.sleep(Duration::from_secs(3600)).await;
            note("asked");
            assert!(matches!(ended, Err(rondel::WaitError::Cancelled(_))));
            inner.yield_now().await?;
            inner.sleep(Duration::from_micros(10)).await?;
            note("cleaned up");
            ended
        })?;
        event_loop.yield_now().await?;
        Ok(5)
    });
    assert_eq!(value.unwrap(), 5);
    assert_eq!(*steps.lock().unwrap(), ["asked", "cleaned up"]);
}

#[test]
fn run_goes_on_with_a_leftover_task_that_catches_its_cancellation() {
    // TK-4
    let done = Counter::new();
    let counted = done.clone();
    rondel::run(async |event_loop| {
        let inner = event_loop.clone();
        event_loop.create_task(async move {
            assert!(inner.sleep(Duration::from_secs(3600)).await.is_err());
            counted.add();
            Ok::<(), rondel::Error>(())
        })?;
        event_loop.yield_now().await?;
        Err::<(), _>(rondel::Error::new(Oops(3)))
    })
    .map_err(|error| assert_eq!(error.to_string(), "oops 3"))
    .unwrap_err();
    assert_eq!(done.get(), 1, "its end was waited for, though main failed");
}

#[test]
fn an_unlimited_capacity_is_refused_with_a_typed_error() {
    // R-13, FAULTS C-02
    for config in [
        Config { calls: usize::MAX, ..small() },
        Config { threadsafe_calls: usize::MAX, ..small() },
        Config { tasks: usize::MAX, ..small() },
        Config { tasks: usize::MAX / 3 + 1, ..small() },
        Config { futures: usize::MAX, ..small() },
        Config { task_bytes: usize::MAX, ..small() },
        Config { read_buffer_bytes: usize::MAX, ..small() },
    ] {
        let error = EventLoop::with_config(config.clone()).err();
        assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::TooLarge), "{config:?}");
    }
    let huge = Config { events_per_turn: usize::MAX, descriptors: usize::MAX, ..small() };
    drop(EventLoop::with_config(huge).expect("these are only limits"));
}

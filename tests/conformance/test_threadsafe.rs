//! Calls from other threads: TS.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use rondel::{Config, ErrorKind, EventLoop};

use crate::fixture::{
    Oops, Pending, TakeWaker, Trace, full, manual, manual_with, quietly, real, reports, run_until_idle,
    small, turns,
};

#[test]
fn a_call_made_in_the_loops_own_thread_can_be_taken_back_there() {
    // H-4, TS-2
    let event_loop = manual();
    let remote = event_loop.remote();
    let ran = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let noted = std::sync::Arc::clone(&ran);
    let handle =
        remote.call_soon_threadsafe(move |_| noted.store(true, std::sync::atomic::Ordering::SeqCst)).unwrap();
    assert!(handle.cancel());
    assert!(!handle.cancel(), "once");
    event_loop.stop();
    event_loop.run_forever().unwrap();
    assert!(!ran.load(std::sync::atomic::Ordering::SeqCst));
}

#[test]
fn a_call_from_a_thread_wakes_a_loop_that_sleeps_for_ever() {
    // TS-1
    let event_loop = real();
    let remote = event_loop.remote();
    let (begun, begins) = channel();
    let thread = thread::spawn(move || {
        begins.recv().unwrap();
        for _ in 0..100 {
            let (done, ran) = channel();
            remote.call_soon_threadsafe(move |_| done.send(()).unwrap()).unwrap();
            ran.recv().unwrap();
        }
        remote.call_soon_threadsafe(|event_loop| event_loop.stop()).unwrap();
    });
    event_loop.call_soon(move |_| begun.send(()).unwrap()).unwrap();
    event_loop.run_forever().unwrap();
    thread.join().unwrap();
}

#[test]
fn a_call_made_while_the_loop_does_not_run_waits_for_the_run() {
    // TS-1
    let event_loop = manual();
    let (remote, ran) = (event_loop.remote(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&ran);
    thread::spawn(move || {
        remote.call_soon_threadsafe(move |_| counted.fetch_add(1, Ordering::SeqCst)).unwrap();
    })
    .join()
    .unwrap();
    turns(&event_loop, 1);
    assert_eq!(ran.load(Ordering::SeqCst), 1);
}

#[test]
fn calls_from_the_loops_own_thread_keep_their_place_among_call_soon() {
    // TS-2
    let (event_loop, order) = (manual(), Arc::new(std::sync::Mutex::new(Vec::new())));
    let remote = event_loop.remote();
    let note = |what: &'static str| {
        let order = Arc::clone(&order);
        move |_: &rondel::EventLoopHandle| order.lock().unwrap().push(what)
    };
    event_loop.call_soon(note("a")).unwrap();
    remote.call_soon_threadsafe(note("b")).unwrap();
    event_loop.call_soon(note("c")).unwrap();
    event_loop.call_soon_threadsafe(note("d")).unwrap();
    run_until_idle(&event_loop);
    assert_eq!(*order.lock().unwrap(), ["a", "b", "c", "d"]);
}

#[test]
fn every_call_of_many_threads_runs_once_and_in_the_order_of_its_thread() {
    // TS-3, FAULTS W-02
    const THREADS: usize = 4;
    const CALLS: usize = 2000;
    let event_loop = real();
    let seen = Arc::new(std::sync::Mutex::new(vec![0_usize; THREADS]));
    let left = Arc::new(AtomicUsize::new(THREADS * CALLS));
    let barrier = Arc::new(Barrier::new(THREADS));
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (remote, barrier) = (event_loop.remote(), Arc::clone(&barrier));
            let (seen, left) = (Arc::clone(&seen), Arc::clone(&left));
            thread::spawn(move || {
                barrier.wait();
                for number in 0..CALLS {
                    let (seen, left) = (Arc::clone(&seen), Arc::clone(&left));
                    let mut call = move |event_loop: &rondel::EventLoopHandle| {
                        let mut seen = seen.lock().unwrap();
                        assert_eq!(seen[thread], number, "in order");
                        seen[thread] += 1;
                        if left.fetch_sub(1, Ordering::SeqCst) == 1 {
                            event_loop.stop();
                        }
                    };
                    // At most 8 wait: who is refused has the call back, and tries again.
                    while let Err(refused) = remote.call_soon_threadsafe(call) {
                        assert!(refused.is_full());
                        call = refused.into_value();
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();
    event_loop.run_forever().unwrap();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(*seen.lock().unwrap(), [CALLS; THREADS]);
}

#[test]
fn a_closed_loop_refuses_and_a_race_with_close_loses_nothing_silently() {
    // TS-4
    for _ in 0..50 {
        let event_loop = EventLoop::with_config(small()).unwrap();
        let remote = event_loop.remote();
        let barrier = Arc::new(Barrier::new(2));
        let other = Arc::clone(&barrier);
        let (accepted, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (counted, count) = (Arc::clone(&accepted), Arc::clone(&dropped));
        let thread = thread::spawn(move || {
            struct Counted(Arc<AtomicUsize>);
            impl Drop for Counted {
                fn drop(&mut self) {
                    self.0.fetch_add(1, Ordering::SeqCst);
                }
            }
            other.wait();
            loop {
                let value = Counted(Arc::clone(&count));
                match remote.call_soon_threadsafe(move |_| drop(value)) {
                    Ok(_) => {
                        counted.fetch_add(1, Ordering::SeqCst);
                    }
                    Err(refused) if refused.is_full() => core::mem::forget(refused),
                    Err(refused) => {
                        assert!(refused.is_closed());
                        core::mem::forget(refused);
                        return;
                    }
                }
            }
        });
        barrier.wait();
        turns(&event_loop, 2);
        event_loop.close().unwrap();
        thread.join().unwrap();
        let (accepted, dropped) = (accepted.load(Ordering::SeqCst), dropped.load(Ordering::SeqCst));
        assert_eq!(accepted, dropped, "each accepted call ran or was dropped");
    }
}

#[test]
fn a_large_closure_crosses_threads_in_a_box() {
    // TS-5
    let event_loop = manual();
    let (remote, large) = (event_loop.remote(), [3_u64; 64]);
    let (sent, received) = channel();
    thread::spawn(move || {
        remote.call_soon_threadsafe(move |_| sent.send(large.iter().sum::<u64>()).unwrap()).unwrap();
    })
    .join()
    .unwrap();
    turns(&event_loop, 1);
    assert_eq!(received.try_recv(), Ok(192));
}

#[test]
fn a_full_inbox_gives_the_call_back_and_nothing_accepted_is_lost() {
    // TS-3, FAULTS C-01
    for capacity in [1, 2, 8] {
        let (event_loop, _clock) = manual_with(Config { threadsafe_calls: capacity, ..small() });
        let remote = event_loop.remote();
        let ran = Arc::new(std::sync::Mutex::new(Vec::new()));
        let noted = Arc::clone(&ran);
        let refused = thread::spawn(move || {
            for number in 0..capacity {
                let noted = Arc::clone(&noted);
                remote.call_soon_threadsafe(move |_| noted.lock().unwrap().push(number)).unwrap();
            }
            let call = move |_: &rondel::EventLoopHandle| noted.lock().unwrap().push(capacity);
            full(remote.call_soon_threadsafe(call))
        })
        .join()
        .unwrap();
        turns(&event_loop, 1);
        assert_eq!(*ran.lock().unwrap(), (0..capacity).collect::<Vec<_>>());
        let remote = event_loop.remote();
        thread::spawn(move || drop(remote.call_soon_threadsafe(refused).unwrap())).join().unwrap();
        turns(&event_loop, 1);
        assert_eq!(ran.lock().unwrap().last(), Some(&capacity));
    }
}

#[test]
fn a_thread_can_not_take_the_room_of_the_loop_nor_the_loop_that_of_threads() {
    // FAULTS C-01
    let (event_loop, _clock) = manual_with(Config { calls: 2, threadsafe_calls: 2, ..small() });
    let (sent, received) = channel();
    event_loop.call_soon(|_| ()).unwrap();
    event_loop.call_soon(|_| ()).unwrap();
    let _ = full(event_loop.call_soon(|_| ()));
    let remote = event_loop.remote();
    thread::spawn(move || {
        for number in 0..2 {
            let sent = sent.clone();
            remote.call_soon_threadsafe(move |_| sent.send(number).unwrap()).unwrap();
        }
        let _ = full(remote.call_soon_threadsafe(|_| ()));
    })
    .join()
    .unwrap();
    turns(&event_loop, 1);
    assert_eq!(received.try_iter().collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn a_call_can_be_cancelled_from_any_thread_until_the_loop_received_it() {
    // H-4
    let event_loop = manual();
    let (remote, trace) = (event_loop.remote(), Arc::new(std::sync::Mutex::new(Vec::new())));
    let noted = Arc::clone(&trace);
    let handles = thread::spawn(move || {
        ["a", "b", "c"].map(|what| {
            let noted = Arc::clone(&noted);
            remote.call_soon_threadsafe(move |_| noted.lock().unwrap().push(what)).unwrap()
        })
    })
    .join()
    .unwrap();
    let second = handles[1].clone();
    assert!(thread::spawn(move || second.cancel()).join().unwrap());
    assert!(!handles[1].cancel(), "once");
    turns(&event_loop, 1);
    assert_eq!(*trace.lock().unwrap(), ["a", "c"]);
    assert!(!handles[0].cancel(), "it ran");
}

#[test]
fn a_cancelled_call_makes_room_for_another() {
    // H-4, FAULTS C-01
    let (event_loop, _clock) = manual_with(Config { threadsafe_calls: 1, ..small() });
    let remote = event_loop.remote();
    thread::spawn(move || {
        for _ in 0..100 {
            assert!(remote.call_soon_threadsafe(crate::fixture::never).unwrap().cancel());
        }
    })
    .join()
    .unwrap();
    turns(&event_loop, 1);
}

#[test]
fn a_stop_from_a_thread_before_the_run_gives_one_iteration() {
    // R-3, TS-1
    let (event_loop, clock) = manual_with(small());
    let remote = event_loop.remote();
    thread::spawn(move || remote.stop()).join().unwrap();
    event_loop.call_later(Duration::from_secs(1), crate::fixture::never).unwrap();
    event_loop.run_forever().unwrap();
    assert_eq!(clock.waits(), 1);
    assert_eq!(event_loop.time(), rondel::Instant::ZERO);
}

#[test]
fn a_stop_from_a_thread_ends_a_loop_that_sleeps_and_one_that_is_busy() {
    // TS-1
    let event_loop = real();
    for busy in [false, true] {
        let (remote, (begun, begins)) = (event_loop.remote(), channel());
        let thread = thread::spawn(move || {
            begins.recv().unwrap();
            remote.stop();
        });
        fn again(event_loop: &rondel::EventLoopHandle) {
            event_loop.call_soon(again).unwrap();
        }
        if busy {
            event_loop.call_soon(again).unwrap();
        }
        event_loop.call_soon(move |_| begun.send(()).unwrap()).unwrap();
        event_loop.run_forever().unwrap();
        thread.join().unwrap();
    }
}

#[test]
fn a_waker_used_in_another_thread_wakes_its_task() {
    // TS-6: the wake primitive is lock-free; what signals need is tested in core
    let event_loop = real();
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async move {
            for _ in 0..200 {
                let waker = TakeWaker.await;
                let thread = thread::spawn(move || waker.wake());
                let mut polls = 0;
                core::future::poll_fn(|_| {
                    polls += 1;
                    if polls == 2 { core::task::Poll::Ready(()) } else { core::task::Poll::Pending }
                })
                .await;
                thread.join().unwrap();
            }
            let _ = handle;
            Ok::<(), rondel::Error>(())
        })
        .unwrap();
}

#[test]
fn a_task_made_by_a_thread_gives_its_result_there() {
    // TS-1
    let event_loop = real();
    let remote = event_loop.remote();
    let thread = thread::spawn(move || {
        let task = remote
            .create_task(|event_loop| async move {
                event_loop.sleep(Duration::from_micros(100)).await?;
                Ok::<_, rondel::WaitError>(42)
            })
            .unwrap();
        let result = task.wait().unwrap();
        remote.stop();
        result
    });
    event_loop.run_forever().unwrap();
    assert_eq!(thread.join().unwrap(), Ok(42));
}

#[test]
fn a_remote_task_tells_a_panic_a_refusal_and_a_closed_loop() {
    // TS-4, FAULTS K-01
    let (event_loop, _clock) = manual_with(Config { tasks: 1, ..small() });
    let told = reports(&event_loop);
    let remote = event_loop.remote();
    let (sent, received) = channel();
    let thread = thread::spawn(move || {
        let panics = remote.create_task(|_| async { panic!("broken") as () }).unwrap();
        let make_panics = remote
            .create_task(|_| {
                if true {
                    panic!("no future");
                }
                async {}
            })
            .unwrap();
        let refused = remote.create_task(|_| core::future::pending::<()>()).unwrap();
        let refused_too = remote.create_task(|_| core::future::pending::<()>()).unwrap();
        sent.send(()).unwrap();
        [panics.wait(), make_panics.wait(), refused.wait(), refused_too.wait()]
            .map(|ended| ended.unwrap_err().kind())
    });
    received.recv().unwrap();
    quietly(|| turns(&event_loop, 3));
    event_loop.close().unwrap();
    let ended = thread.join().unwrap();
    assert_eq!(ended[0], ErrorKind::Panicked);
    assert_eq!(ended[1], ErrorKind::Panicked);
    assert!(ended[2..].contains(&ErrorKind::Full), "one task fits: {ended:?}");
    let told = told.take();
    assert!(told.iter().any(|what| what.contains("broken")), "{told:?}");
    assert!(told.iter().any(|what| what.contains("no future")), "{told:?}");
}

#[test]
fn a_remote_task_that_waits_in_the_inbox_ends_with_the_loop() {
    // TS-4, R-13
    let event_loop = real();
    let remote = event_loop.remote();
    let (sent, received) = channel();
    let thread = thread::spawn(move || {
        let task = remote.create_task(|_| async { 1 }).unwrap();
        sent.send(()).unwrap();
        task.wait().unwrap_err().kind()
    });
    received.recv().unwrap();
    drop(event_loop);
    assert_eq!(thread.join().unwrap(), ErrorKind::AwaitedCancelled);
}

#[test]
fn a_remote_task_is_cancelled_from_its_thread_and_may_clean_up() {
    // TK-3
    let event_loop = real();
    let remote = event_loop.remote();
    let thread = thread::spawn(move || {
        let (sent, begun) = channel();
        let task = remote
            .create_task(move |event_loop| async move {
                sent.send(()).unwrap();
                let ended = event_loop.sleep(Duration::from_secs(3600)).await;
                event_loop.yield_now().await.unwrap();
                ended.is_err()
            })
            .unwrap();
        begun.recv().unwrap();
        assert!(!task.done());
        assert_eq!(task.wait_timeout(Duration::ZERO).unwrap_err().kind(), ErrorKind::TimedOut);
        task.cancel().unwrap();
        let cleaned_up = task.wait().unwrap();
        remote.stop();
        cleaned_up
    });
    event_loop.run_forever().unwrap();
    assert!(thread.join().unwrap());
}

#[test]
fn a_remote_task_cancelled_by_the_loop_before_it_was_made_never_runs() {
    // TK-2
    let event_loop = manual();
    let (remote, ran) = (event_loop.remote(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&ran);
    let task = thread::spawn(move || {
        remote.create_task(move |_| async move { counted.fetch_add(1, Ordering::SeqCst) }).unwrap()
    })
    .join()
    .unwrap();
    // Its call is in the inbox, this one in the queue, and so before it.
    task.cancel().unwrap();
    turns(&event_loop, 3);
    assert_eq!(ran.load(Ordering::SeqCst), 0);
    assert_eq!(task.wait().unwrap_err().kind(), ErrorKind::AwaitedCancelled);
}

#[test]
fn a_loops_own_thread_can_not_block_on_its_task() {
    // TS-1
    let event_loop = manual();
    let remote = event_loop.remote();
    let task = remote.create_task(|_| async { 5 }).unwrap();
    assert_eq!(task.wait_timeout(Duration::from_secs(3600)).unwrap_err().kind(), ErrorKind::Busy);
    turns(&event_loop, 3);
    assert!(task.done());
    assert_eq!(task.wait_timeout(Duration::ZERO).unwrap(), 5, "done, so there is nothing to wait for");
    assert_eq!(task.wait_timeout(Duration::ZERO).unwrap_err().kind(), ErrorKind::InvalidState);
    assert_eq!(task.wait().unwrap_err().kind(), ErrorKind::InvalidState, "and not for ever");
}

#[test]
fn a_remote_task_whose_handle_is_dropped_runs_on() {
    // TK-10
    let event_loop = manual();
    let (remote, (sent, received)) = (event_loop.remote(), channel());
    thread::spawn(move || {
        drop(remote.create_task(move |_| async move { sent.send(7).unwrap() }).unwrap());
    })
    .join()
    .unwrap();
    turns(&event_loop, 3);
    assert_eq!(received.try_recv(), Ok(7));
}

#[test]
fn a_refused_remote_task_gives_its_closure_back() {
    // TK-13, FAULTS C-01
    let (event_loop, _clock) = manual_with(Config { threadsafe_calls: 0, ..small() });
    let remote = event_loop.remote();
    let value = thread::spawn(move || {
        let value = String::from("still here");
        let make = full(remote.create_task(move |_| {
            let value = value;
            async move { Ok::<_, Oops>(value) }
        }));
        drop(remote);
        make
    })
    .join()
    .unwrap();
    let future = value(event_loop.handle());
    let task = event_loop.create_task(future).unwrap();
    run_until_idle(&event_loop);
    assert_eq!(task.take().unwrap().unwrap(), "still here");
}

#[test]
fn destructors_of_calls_that_were_not_received_may_use_the_remote_and_panic() {
    // TS-4, FAULTS K-01
    let event_loop = manual();
    let told = reports(&event_loop);
    let (remote, closed) = (event_loop.remote(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&closed);
    thread::spawn(move || {
        for panics in [true, false] {
            let (inner, counted) = (remote.clone(), Arc::clone(&counted));
            let hostile = crate::fixture::defer(move || {
                assert!(inner.call_soon_threadsafe(|_| ()).unwrap_err().is_closed());
                counted.fetch_add(1, Ordering::SeqCst);
                assert!(!panics, "in a destructor");
            });
            remote.call_soon_threadsafe(move |_| drop(hostile)).unwrap();
        }
    })
    .join()
    .unwrap();
    quietly(|| event_loop.close()).unwrap();
    assert_eq!(closed.load(Ordering::SeqCst), 2);
    assert_eq!(told.take(), ["Callback panicked: panicked: in a destructor"]);
}

#[test]
fn a_waker_kept_after_its_loop_wakes_no_stranger_in_the_next() {
    // FAULTS W-06, K-08
    let event_loop = manual();
    let handle = event_loop.handle();
    let waker = event_loop
        .run_until_complete(async move {
            let task = handle.create_task(async { Some(TakeWaker.await) })?;
            Ok::<_, rondel::Error>([TakeWaker.await, task.await.unwrap().unwrap()])
        })
        .unwrap();
    drop(event_loop);
    let next = manual();
    let polls = crate::fixture::Counter::new();
    for _ in 0..3 {
        next.create_task(Pending(polls.clone())).unwrap();
    }
    turns(&next, 1);
    assert_eq!(polls.get(), 3);
    for waker in &waker {
        waker.wake_by_ref();
    }
    let moved = waker.clone();
    thread::spawn(move || moved.iter().for_each(core::task::Waker::wake_by_ref)).join().unwrap();
    turns(&next, 2);
    assert_eq!(polls.get(), 3, "nobody was woken");
}

#[test]
fn the_trace_of_threads_is_kept_while_a_closed_loop_is_still_held() {
    // K-08: a handle of a closed loop never reaches the tables of another
    let closed = manual();
    let handle = closed.handle();
    drop(closed);
    thread::spawn(|| {
        let event_loop = manual();
        let trace = Trace::new();
        event_loop.call_soon(trace.note("a")).unwrap();
        run_until_idle(&event_loop);
    })
    .join()
    .unwrap();
    assert_eq!(handle.statistics().ready, 0);
}

#[test]
fn a_loop_that_spins_before_it_sleeps_hears_other_threads() {
    let config = Config { spin: Duration::from_millis(1), ..small() };
    let event_loop = EventLoop::with_config(config).unwrap();
    let remote = event_loop.remote();
    let (asked, answers) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        for number in 0..1_000 {
            let asked = asked.clone();
            remote.call_soon_threadsafe(move |_| asked.send(number).unwrap()).unwrap();
            assert_eq!(answers.recv().unwrap(), number);
        }
        remote.stop();
    });
    event_loop.run_forever().unwrap();
    thread.join().unwrap();
}

#[test]
fn a_loop_that_spins_still_meets_its_deadlines_where_time_stands_still() {
    let config = Config { spin: Duration::from_secs(1), ..small() };
    let (event_loop, clock) = EventLoop::with_manual_clock(config).unwrap();
    event_loop.call_later(Duration::from_secs(5), |event_loop| event_loop.stop()).unwrap();
    event_loop.run_forever().unwrap();
    assert_eq!(clock.now(), rondel::Instant::ZERO + Duration::from_secs(5));
}

//! Handlers: when they run, and what may happen meanwhile: SG-1, SG-5 to SG-8.

use core::cell::RefCell;
use core::time::Duration;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;

use rondel::{Config, ErrorKind, EventLoop, EventLoopHandle, Operation, Signal};

use super::{count, disposition, kill, raise, real_time, set_disposition};
use crate::fixture::{
    Counter, Oops, Trace, defer, manual, manual_with, never, quietly, reports, scenarios, small, turns,
};

scenarios! {
    sg1_a_signal_wakes_a_sleeping_loop
    sg1_the_handler_is_a_callback_that_may_do_everything
    sg1_a_handler_that_fails_or_panics_is_reported_and_stays
    sg3_several_loops_in_several_threads_hear_the_same_signal
    sg3_g03_a_signal_in_a_foreign_thread_wakes_the_loop_that_listens
    sg5_a_failed_install_undoes_everything
    sg5_a_set_of_which_one_fails_is_given_up_whole
    sg5_a_full_call_table_gives_the_callback_back
    sg6_what_comes_between_two_runs_is_for_the_next
    sg7_g01_a_burst_coalesces_and_hides_no_other_signal
    sg7_a_signal_that_comes_while_its_handler_runs_calls_it_again
    sg8_adding_again_replaces_the_handler
    sg8_a_signal_that_has_come_goes_to_the_handler_that_replaces
    sg8_a_handler_that_is_removed_before_its_signal_is_seen_does_not_run
    r13_a_closed_loop_takes_no_handler
    a_loop_without_descriptors_refuses_signals
}

fn sg1_a_signal_wakes_a_sleeping_loop() {
    // SG-1, W-05: the clock stands still, so what is lost would be waited for for ever.
    let signal = real_time(0);
    let event_loop = manual();
    event_loop.add_signal_handler(signal, EventLoopHandle::stop).unwrap();
    for _ in 0..200 {
        let (begun, begins) = mpsc::channel();
        let sender = thread::spawn(move || {
            begins.recv().unwrap();
            kill(signal);
        });
        event_loop.call_soon(move |_| begun.send(()).unwrap()).unwrap();
        event_loop.run_forever().unwrap();
        sender.join().unwrap();
    }
}

fn sg1_the_handler_is_a_callback_that_may_do_everything() {
    // SG-1: and a busy loop hears of a signal too.
    fn again(event_loop: &EventLoopHandle) {
        event_loop.call_soon(again).unwrap();
    }
    let signal = real_time(1);
    let event_loop = manual();
    event_loop
        .add_signal_handler(signal, move |event_loop| {
            assert!(rondel::running_loop().is_some());
            assert!(event_loop.remove_signal_handler(signal));
            event_loop.call_later(Duration::from_secs(1), EventLoopHandle::stop)?;
            Ok::<_, rondel::Error>(())
        })
        .unwrap();
    event_loop.call_soon(again).unwrap();
    event_loop.call_soon(move |_| raise(signal)).unwrap();
    for _ in 0..1_000 {
        event_loop.run_once().unwrap();
        if event_loop.statistics().timers == 1 {
            return;
        }
    }
    panic!("the handler never ran");
}

fn sg1_a_handler_that_fails_or_panics_is_reported_and_stays() {
    let signal = real_time(2);
    let event_loop = manual();
    let reported = reports(&event_loop);
    let calls = Counter::new();
    let counted = calls.clone();
    event_loop
        .add_signal_handler(signal, move |_| match counted.add() {
            1 => Err(Oops(1)),
            2 => panic!("oops 2"),
            _ => Ok(()),
        })
        .unwrap();
    for number in 1..=3 {
        raise(signal);
        quietly(|| turns(&event_loop, 1));
        assert_eq!(calls.get(), number);
    }
    let reported = reported.take();
    assert_eq!(reported.len(), 2, "{reported:?}");
    assert_eq!(reported[0], "Exception in callback: oops 1");
}

fn sg3_several_loops_in_several_threads_hear_the_same_signal() {
    // SG-3, G-03: neither of them is the main thread's.
    let signal = real_time(3);
    let before = disposition(signal);
    let (ready, is_ready) = mpsc::channel();
    let listen = move |ready: mpsc::Sender<()>| {
        let (event_loop, other) = (manual(), manual());
        event_loop.add_signal_handler(signal, EventLoopHandle::stop).unwrap();
        // It doesn't run now.
        let later = count(&other, signal);
        ready.send(()).unwrap();
        event_loop.run_forever().unwrap();
        assert_eq!(later.get(), 0);
        turns(&other, 1);
        assert_eq!(later.get(), 1);
    };
    let listening = |ready: &mpsc::Sender<()>| {
        let ready = ready.clone();
        thread::spawn(move || listen(ready))
    };
    let threads: Vec<_> = (0..3).map(|_| listening(&ready)).collect();
    (0..3).for_each(|_| is_ready.recv().unwrap());
    kill(signal);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(disposition(signal), before);
}

fn sg3_g03_a_signal_in_a_foreign_thread_wakes_the_loop_that_listens() {
    let signal = real_time(4);
    let event_loop = manual();
    event_loop.add_signal_handler(signal, EventLoopHandle::stop).unwrap();
    // Its own `raise`: the handler runs in the thread that has no loop.
    let stranger = thread::spawn(move || raise(signal));
    event_loop.run_forever().unwrap();
    stranger.join().unwrap();
}

fn sg5_a_failed_install_undoes_everything() {
    let signal = real_time(12);
    let before = set_disposition(signal, libc::SIG_IGN, 0, &[]);
    let (event_loop, _clock, faults) = EventLoop::with_faults(small()).unwrap();
    for operation in [Operation::CatchSignal, Operation::UnblockSignal] {
        faults.fail(operation, libc::EINVAL);
        let trace = Trace::new();
        let note = trace.on_drop("dropped");
        let refused = event_loop
            .add_signal_handler(signal, move |_| {
                let _ = &note;
            })
            .unwrap_err();
        let io = refused.error().as_io().and_then(std::io::Error::raw_os_error);
        assert_eq!(io, Some(libc::EINVAL), "{refused}");
        assert!(refused.to_string().starts_with("add_signal_handler: "), "{refused}");
        assert_eq!(trace.count(), 0, "it is still the caller's");
        drop(refused.into_callback());
        assert_eq!(trace.take(), ["dropped"]);
        assert_eq!(event_loop.statistics().calls.live, 0);
        assert_eq!(disposition(signal), before);
        assert!(!event_loop.remove_signal_handler(signal));
        // And it can be tried again.
        let calls = count(&event_loop, signal);
        raise(signal);
        turns(&event_loop, 1);
        assert_eq!(calls.get(), 1);
        event_loop.remove_signal_handler(signal);
        assert_eq!(disposition(signal), before);
    }
    set_disposition(signal, libc::SIG_DFL, 0, &[]);
}

fn sg5_a_set_of_which_one_fails_is_given_up_whole() {
    let set = [real_time(13), real_time(14), real_time(15)];
    let before = set.map(disposition);
    let (event_loop, _clock, faults) = EventLoop::with_faults(small()).unwrap();
    for operation in [Operation::CatchSignal, Operation::UnblockSignal] {
        faults.fail_nth(operation, 3, libc::EPERM);
        let error = event_loop.signals(set).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert_eq!(set.map(disposition), before);
    }
    let stream = event_loop.signals(set).unwrap();
    assert_eq!(format!("{stream:?}"), format!("{{{}, {}, {}}}", set[0], set[1], set[2]));
}

fn sg5_a_full_call_table_gives_the_callback_back() {
    // C-01
    let signal = real_time(16);
    let before = disposition(signal);
    let (event_loop, _clock) = manual_with(Config { calls: 1, ..small() });
    event_loop.call_soon(|_| ()).unwrap();
    let refused = event_loop.add_signal_handler(signal, |event_loop| event_loop.stop()).unwrap_err();
    assert!(refused.error().is_full(), "{refused}");
    assert_eq!(disposition(signal), before);
    turns(&event_loop, 1);
    event_loop.add_signal_handler(signal, refused.into_callback()).unwrap();
    raise(signal);
    event_loop.run_forever().unwrap();
}

fn sg6_what_comes_between_two_runs_is_for_the_next() {
    let signal = real_time(17);
    let event_loop = manual();
    let calls = count(&event_loop, signal);
    for expected in 1..=3 {
        raise(signal);
        raise(signal);
        assert_eq!(calls.get(), expected - 1);
        event_loop.run_once().unwrap();
        assert_eq!(calls.get(), expected);
        turns(&event_loop, 2);
        assert_eq!(calls.get(), expected);
    }
}

fn sg7_g01_a_burst_coalesces_and_hides_no_other_signal() {
    const BURST: usize = 10_000;
    let (many, one) = (real_time(18), real_time(19));
    let event_loop = manual();
    let bursts = count(&event_loop, many);
    let singles = count(&event_loop, one);
    let remote = event_loop.remote();
    let (begun, begins) = mpsc::channel();
    let sender = thread::spawn(move || {
        begins.recv().unwrap();
        (0..BURST / 2).for_each(|_| raise(many));
        raise(one);
        (0..BURST / 2).for_each(|_| raise(many));
        remote.stop();
    });
    event_loop.call_soon(move |_| begun.send(()).unwrap()).unwrap();
    event_loop.run_forever().unwrap();
    sender.join().unwrap();
    turns(&event_loop, 1);
    assert_eq!(singles.get(), 1);
    assert!((1..=BURST).contains(&bursts.get()), "{} calls", bursts.get());
}

fn sg7_a_signal_that_comes_while_its_handler_runs_calls_it_again() {
    let signal = real_time(20);
    let event_loop = manual();
    let calls = Counter::new();
    let counted = calls.clone();
    event_loop
        .add_signal_handler(signal, move |event_loop| {
            if counted.add() == 10 {
                event_loop.stop();
            } else {
                raise(signal);
            }
        })
        .unwrap();
    raise(signal);
    event_loop.run_forever().unwrap();
    assert_eq!(calls.get(), 10);
}

fn sg8_adding_again_replaces_the_handler() {
    let signal = real_time(21);
    let event_loop = manual();
    let trace = Trace::new();
    let dropped = trace.on_drop("first dropped");
    let first = event_loop
        .add_signal_handler(signal, move |event_loop| {
            let _ = &dropped;
            never(event_loop);
        })
        .unwrap();
    // It has come, and nobody has looked.
    raise(signal);
    let noted = trace.clone();
    event_loop.add_signal_handler(signal, move |_| noted.push("second called")).unwrap();
    turns(&event_loop, 2);
    assert_eq!(trace.take(), ["first dropped", "second called"]);
    assert!(!first.remove());
    raise(signal);
    turns(&event_loop, 1);
    assert_eq!(trace.take(), ["second called"]);
    assert_eq!(event_loop.statistics().calls.live, 1);
}

fn sg8_a_signal_that_has_come_goes_to_the_handler_that_replaces() {
    // In one batch: the first handler is ready, and is replaced before it runs.
    let (signal, earlier) = (real_time(22), Signal::SIGVTALRM);
    assert!(earlier < signal);
    let event_loop = manual();
    let calls = Counter::new();
    let counted = calls.clone();
    event_loop.add_signal_handler(signal, never).unwrap();
    event_loop
        .add_signal_handler(earlier, move |event_loop| {
            let counted = counted.clone();
            event_loop.add_signal_handler(signal, move |_| _ = counted.add()).map(drop)
        })
        .unwrap();
    raise(signal);
    raise(earlier);
    turns(&event_loop, 2);
    assert_eq!(calls.get(), 1);
    event_loop.remove_signal_handler(earlier);
    turns(&event_loop, 2);
    assert_eq!(calls.get(), 1);
}

fn sg8_a_handler_that_is_removed_before_its_signal_is_seen_does_not_run() {
    let (signal, earlier) = (real_time(23), Signal::SIGALRM);
    let event_loop = manual();
    event_loop.add_signal_handler(signal, never).unwrap();
    raise(signal);
    assert!(event_loop.remove_signal_handler(signal));
    turns(&event_loop, 1);
    // Nor is what came before for who listens after.
    let calls = count(&event_loop, signal);
    turns(&event_loop, 1);
    assert_eq!(calls.get(), 0);
    // In one batch: the handler is ready already.
    event_loop
        .add_signal_handler(earlier, move |event_loop| assert!(event_loop.remove_signal_handler(signal)))
        .unwrap();
    raise(signal);
    raise(earlier);
    turns(&event_loop, 1);
    assert_eq!(calls.get(), 0);
}

fn r13_a_closed_loop_takes_no_handler() {
    let signal = real_time(25);
    let before = disposition(signal);
    let event_loop = manual();
    let handle = event_loop.handle();
    // Also while it closes.
    let refused = Rc::new(RefCell::new(Vec::new()));
    let (noted, closing) = (Rc::clone(&refused), handle.clone());
    let deferred = defer(move || {
        let add = closing.add_signal_handler(signal, never);
        noted.borrow_mut().push(add.unwrap_err().error().kind());
        noted.borrow_mut().push(closing.signals([signal]).unwrap_err().kind());
    });
    event_loop.call_soon(move |_| drop(deferred)).unwrap();
    drop(event_loop);
    assert_eq!(*refused.borrow(), [ErrorKind::Closed, ErrorKind::Closed]);
    assert!(handle.add_signal_handler(signal, never).unwrap_err().error().is_closed());
    assert!(handle.signals([]).unwrap_err().is_closed());
    assert!(!handle.remove_signal_handler(signal));
    assert_eq!(disposition(signal), before);
}

fn a_loop_without_descriptors_refuses_signals() {
    let signal = real_time(25);
    let event_loop = EventLoop::without_descriptors(small()).unwrap();
    let refused = event_loop.add_signal_handler(signal, never).unwrap_err();
    assert_eq!(refused.error().as_io().map(std::io::Error::kind), Some(std::io::ErrorKind::Unsupported));
    assert_eq!(event_loop.signals([signal]).unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(event_loop.statistics().calls.live, 0);
}

//! Signals: CPython's `SubclassesTests` and `SelectorEventLoopUnixSignalTests`, and what asyncio
//! doesn't promise: any loop in any thread, and exactly the former disposition in the end.
//!
//! Signals belong to the process: each test has a real-time signal of its own, or a process.

use core::cell::RefCell;
use core::future::Future;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::task::Wake;
use std::thread;

use rondel::{Config, ErrorKind, EventLoop, EventLoopHandle, Operation, Signal, SignalError};

use crate::fixture::*;

scenarios! {
    sg1_a_signal_wakes_a_sleeping_loop
    sg1_the_handler_is_a_callback_that_may_do_everything
    sg1_a_handler_that_fails_or_panics_is_reported_and_stays
    sg3_several_loops_in_several_threads_hear_the_same_signal
    sg3_g03_a_signal_in_a_foreign_thread_wakes_the_loop_that_listens
    sg4_removing_answers_whether_there_was_a_handler
    sg4_g04_the_last_removal_restores_the_disposition_exactly
    sg4_a_close_a_drop_and_an_unwinding_restore_the_disposition
    sg4_guards_and_streams_restore_when_they_are_dropped
    sg4_a_blocked_signal_is_blocked_again_after_the_last_removal
    sg4_a_loop_that_goes_leaves_a_signal_open_for_the_other_of_its_thread
    sg4_a_disposition_that_somebody_changed_meanwhile_is_left_alone
    sg5_a_failed_install_undoes_everything
    sg5_a_set_of_which_one_fails_is_given_up_whole
    sg5_a_full_call_table_gives_the_callback_back
    sg6_what_comes_between_two_runs_is_for_the_next
    sg7_g01_a_burst_coalesces_and_hides_no_other_signal
    sg7_a_signal_that_comes_while_its_handler_runs_calls_it_again
    sg8_adding_again_replaces_the_handler
    sg8_a_signal_that_has_come_goes_to_the_handler_that_replaces
    sg8_a_handler_that_is_removed_before_its_signal_is_seen_does_not_run
    sg9_system_calls_that_are_interrupted_go_on
    sg10_g05_sigchld_is_the_applications
    r13_a_closed_loop_takes_no_handler
    a_loop_without_descriptors_refuses_signals
    a_stream_brings_each_signal_once_the_lowest_first
    a_stream_that_is_dropped_or_cancelled_in_a_wait_loses_no_signal
    a_stream_can_be_waited_for_by_a_waker_of_somebody_else
    a_panicking_waker_costs_the_other_streams_nothing
    a_stream_of_a_closed_loop_answers_closed
    waiting_for_one_of_a_set_listens_only_meanwhile
    a_signal_that_a_stranger_sends_or_queues_arrives
}

/// Is a real-time signal; each test has a number of its own.
fn real_time(n: u8) -> Signal {
    Signal::real_time(n).expect("30 real-time signals")
}

/// Sends a signal to the thread that calls; its handler has run when this returns.
fn raise(signal: Signal) {
    // SAFETY: no pointers.
    assert_eq!(unsafe { libc::raise(signal.as_raw()) }, 0);
}

/// Sends a signal to the process: whichever thread takes it.
fn kill(signal: Signal) {
    // SAFETY: no pointers.
    assert_eq!(unsafe { libc::kill(libc::getpid(), signal.as_raw()) }, 0);
}

/// What the process does with a signal: handler, flags, and the signals blocked meanwhile.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Disposition(usize, i32, Vec<i32>);

fn members(set: &libc::sigset_t) -> Vec<i32> {
    // SAFETY: the set is valid.
    (1..=64).filter(|&signal| unsafe { libc::sigismember(set, signal) } == 1).collect()
}

fn disposition(signal: Signal) -> Disposition {
    // SAFETY: all zeros is a valid value, good for writing; nothing is changed.
    let action = unsafe {
        let mut action: libc::sigaction = core::mem::zeroed();
        assert_eq!(libc::sigaction(signal.as_raw(), core::ptr::null(), &raw mut action), 0);
        action
    };
    Disposition(action.sa_sigaction, action.sa_flags, members(&action.sa_mask))
}

extern "C" fn foreign_handler(_: i32) {}
extern "C" fn another_foreign_handler(_: i32) {}

/// Does with a signal what a program without rondel might.
fn set_disposition(signal: Signal, handler: usize, flags: i32, masked: &[i32]) -> Disposition {
    // SAFETY: all zeros is a valid value; the handlers do nothing.
    unsafe {
        let mut action: libc::sigaction = core::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        for &masked in masked {
            libc::sigaddset(&raw mut action.sa_mask, masked);
        }
        assert_eq!(libc::sigaction(signal.as_raw(), &raw const action, core::ptr::null_mut()), 0);
    }
    disposition(signal)
}

fn address(handler: extern "C" fn(i32)) -> usize {
    handler as usize
}

/// Has the signals that a handler of this loop for `signal` was called for.
fn count(event_loop: &EventLoopHandle, signal: Signal) -> Counter {
    let counter = Counter::new();
    let counted = counter.clone();
    event_loop.add_signal_handler(signal, move |_| _ = counted.add()).expect("a handler");
    counter
}

fn is_blocked(signal: Signal) -> bool {
    // SAFETY: all zeros is a valid set, good for writing; nothing is changed.
    let blocked = unsafe {
        let mut mask: libc::sigset_t = core::mem::zeroed();
        assert_eq!(libc::pthread_sigmask(libc::SIG_BLOCK, core::ptr::null(), &raw mut mask), 0);
        members(&mask)
    };
    blocked.contains(&signal.as_raw())
}

fn block(signal: Signal) {
    // SAFETY: all zeros is a valid set; the mask is that of this test's thread.
    unsafe {
        let mut mask: libc::sigset_t = core::mem::zeroed();
        libc::sigaddset(&raw mut mask, signal.as_raw());
        assert_eq!(libc::pthread_sigmask(libc::SIG_BLOCK, &raw const mask, core::ptr::null_mut()), 0);
    }
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

fn sg4_removing_answers_whether_there_was_a_handler() {
    let signal = real_time(5);
    let event_loop = manual();
    assert!(!event_loop.remove_signal_handler(signal));
    let first = event_loop.add_signal_handler(signal, never).unwrap();
    assert!(event_loop.remove_signal_handler(signal));
    assert!(!event_loop.remove_signal_handler(signal));
    assert!(!first.remove());
    let second = event_loop.add_signal_handler(signal, never).unwrap();
    assert!(!first.remove(), "what it names is gone");
    assert!(second.remove());
    assert_eq!(event_loop.statistics().calls.live, 0);
}

fn sg4_g04_the_last_removal_restores_the_disposition_exactly() {
    let signal = real_time(6);
    let flags = libc::SA_SIGINFO | libc::SA_NODEFER | libc::SA_ONSTACK;
    let dispositions = [
        set_disposition(signal, address(foreign_handler), flags, &[libc::SIGUSR1, libc::SIGWINCH]),
        set_disposition(signal, libc::SIG_IGN, 0, &[]),
        set_disposition(signal, libc::SIG_IGN, libc::SA_RESTART, &[libc::SIGHUP]),
        set_disposition(signal, libc::SIG_DFL, libc::SA_NODEFER, &[libc::SIGINT]),
        set_disposition(signal, libc::SIG_DFL, 0, &[]),
    ];
    for Disposition(handler, flags, masked) in dispositions {
        let before = set_disposition(signal, handler, flags, &masked);
        let (first, second) = (manual(), manual());
        let counts = [count(&first, signal), count(&second, signal)];
        assert_ne!(disposition(signal), before);
        let ours = disposition(signal);
        assert!(first.remove_signal_handler(signal));
        assert_eq!(disposition(signal), ours, "another loop listens");
        raise(signal);
        turns(&first, 1);
        turns(&second, 1);
        assert_eq!(counts.map(|count| count.get()), [0, 1]);
        assert!(second.remove_signal_handler(signal));
        assert_eq!(disposition(signal), before);
    }
}

fn sg4_a_close_a_drop_and_an_unwinding_restore_the_disposition() {
    // SIGPIPE, which Rust's own start has ignored.
    let (signal, ignored) = (real_time(7), Signal::SIGPIPE);
    let before = [set_disposition(signal, address(foreign_handler), 0, &[]), disposition(ignored)];
    let listening = || {
        let event_loop = manual();
        let _ = (count(&event_loop, signal), count(&event_loop, ignored));
        assert_ne!([disposition(signal), disposition(ignored)], before);
        event_loop
    };
    let closed = listening();
    closed.close().unwrap();
    assert_eq!([disposition(signal), disposition(ignored)], before);
    assert!(!closed.remove_signal_handler(signal));
    drop(listening());
    assert_eq!([disposition(signal), disposition(ignored)], before);
    assert!(panics(|| {
        let _event_loop = listening();
        panic!("out of here");
    }));
    assert_eq!([disposition(signal), disposition(ignored)], before);
    set_disposition(signal, libc::SIG_DFL, 0, &[]);
}

fn sg4_guards_and_streams_restore_when_they_are_dropped() {
    let signal = real_time(8);
    let before = disposition(signal);
    let event_loop = manual();
    let guard = event_loop.add_signal_handler(signal, never).unwrap().remove_on_drop();
    let streams = [event_loop.signals([signal]).unwrap(), event_loop.signals([signal, signal]).unwrap()];
    drop(guard);
    assert_ne!(disposition(signal), before);
    assert_eq!(event_loop.statistics().calls.live, 0);
    let [first, second] = streams;
    drop(first);
    assert_ne!(disposition(signal), before);
    drop(second);
    assert_eq!(disposition(signal), before);
}

fn sg4_a_blocked_signal_is_blocked_again_after_the_last_removal() {
    let signal = real_time(9);
    // In a thread of its own: the mask ends with it.
    let thread = thread::spawn(move || {
        block(signal);
        // Waits until somebody lets it in.
        raise(signal);
        let event_loop = manual();
        let calls = count(&event_loop, signal);
        turns(&event_loop, 1);
        assert_eq!(calls.get(), 1);
        assert!(!is_blocked(signal));
        let stream = event_loop.signals([signal]).unwrap();
        event_loop.remove_signal_handler(signal);
        assert!(!is_blocked(signal));
        drop(stream);
        assert!(is_blocked(signal));
        let closed = manual();
        let _ = count(&closed, signal);
        assert!(!is_blocked(signal));
        drop(closed);
        assert!(is_blocked(signal));
    });
    thread.join().unwrap();
    // Where it was not blocked, nothing is.
    let event_loop = manual();
    let _ = count(&event_loop, signal);
    drop(event_loop);
    assert!(!is_blocked(signal));
}

fn sg4_a_loop_that_goes_leaves_a_signal_open_for_the_other_of_its_thread() {
    let signal = real_time(10);
    let thread = thread::spawn(move || {
        block(signal);
        let (first, second) = (manual(), manual());
        let _ = count(&first, signal);
        let calls = count(&second, signal);
        drop(first);
        assert!(!is_blocked(signal));
        raise(signal);
        turns(&second, 1);
        assert_eq!(calls.get(), 1);
        drop(second);
        assert!(is_blocked(signal));
    });
    thread.join().unwrap();
}

fn sg4_a_disposition_that_somebody_changed_meanwhile_is_left_alone() {
    let signal = real_time(11);
    let before = set_disposition(signal, address(foreign_handler), 0, &[]);
    let event_loop = manual();
    let calls = count(&event_loop, signal);
    let Disposition(ours, flags, masked) = disposition(signal);
    let theirs = set_disposition(signal, address(another_foreign_handler), 0, &[]);
    event_loop.remove_signal_handler(signal);
    assert_eq!(disposition(signal), theirs);
    // They put back what they had found, which is nobody's any more; the next loop knows what was before.
    set_disposition(signal, ours, flags, &masked);
    let again = count(&event_loop, signal);
    raise(signal);
    turns(&event_loop, 1);
    assert_eq!((calls.get(), again.get()), (0, 1));
    event_loop.remove_signal_handler(signal);
    assert_eq!(disposition(signal), before);
    // Whoever asks for the signal gets it, though somebody has taken it away.
    let other = manual();
    let _ = count(&other, signal);
    let theirs = set_disposition(signal, address(another_foreign_handler), 0, &[]);
    let calls = count(&event_loop, signal);
    raise(signal);
    turns(&event_loop, 1);
    assert_eq!(calls.get(), 1);
    drop((event_loop, other));
    assert_eq!(disposition(signal), theirs);
    set_disposition(signal, libc::SIG_DFL, 0, &[]);
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

fn sg9_system_calls_that_are_interrupted_go_on() {
    let signal = real_time(24);
    let event_loop = manual();
    let calls = count(&event_loop, signal);
    assert_eq!(disposition(signal).1 & libc::SA_RESTART, libc::SA_RESTART);
    let (mut reader, mut writer) = UnixStream::pair().unwrap();
    let (begun, begins) = mpsc::channel();
    let thread = thread::spawn(move || {
        // SAFETY: no arguments.
        begun.send(unsafe { libc::pthread_self() }).unwrap();
        let mut byte = [0];
        reader.read(&mut byte).map(|count| (count, byte[0]))
    });
    let reading = begins.recv().unwrap();
    for _ in 0..100 {
        // SAFETY: the thread isn't joined yet.
        assert_eq!(unsafe { libc::pthread_kill(reading, signal.as_raw()) }, 0);
        thread::yield_now();
    }
    writer.write_all(b"x").unwrap();
    assert_eq!(thread.join().unwrap().unwrap(), (1, b'x'));
    turns(&event_loop, 1);
    assert!(calls.get() >= 1);
}

fn sg10_g05_sigchld_is_the_applications() {
    let before = disposition(Signal::SIGCHLD);
    let event_loop = manual();
    let trace = Trace::new();
    let noted = trace.clone();
    event_loop
        .add_signal_handler(Signal::SIGCHLD, move |event_loop| {
            noted.push("child");
            event_loop.stop();
        })
        .unwrap();
    let mut child = Command::new("true").spawn().unwrap();
    event_loop.run_forever().unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(trace.take(), ["child"]);
    event_loop.remove_signal_handler(Signal::SIGCHLD);
    assert_eq!(disposition(Signal::SIGCHLD), before);
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

fn a_stream_brings_each_signal_once_the_lowest_first() {
    let (low, high) = (Signal::SIGURG, real_time(26));
    let event_loop = manual();
    let mut first = event_loop.signals([high, low]).unwrap();
    let mut second = event_loop.signals([high]).unwrap();
    let calls = count(&event_loop, high);
    [high, low, high, high].into_iter().for_each(raise);
    let got = event_loop.run_until_complete(async {
        let got = [first.next().await?, first.next().await?, second.next().await?];
        raise(low);
        Ok::<_, rondel::Error>((got, first.next().await?))
    });
    assert_eq!(got.unwrap(), ([low, high, high], low));
    assert_eq!(calls.get(), 1);
    // Without a signal the wait goes on.
    let handle = event_loop.handle();
    let timed_out = event_loop.run_until_complete(handle.timeout(Duration::from_secs(60), second.next()));
    assert!(timed_out.unwrap_err().is_timed_out());
}

fn a_stream_that_is_dropped_or_cancelled_in_a_wait_loses_no_signal() {
    let signal = real_time(27);
    let event_loop = manual();
    let handle = event_loop.handle();
    let waiting = event_loop
        .create_task(async move {
            let mut signals = handle.signals([signal])?;
            let cancelled = signals.next().await.unwrap_err();
            assert!(cancelled.is_cancelled());
            // A wait that is dropped, and one that finds what has come meanwhile.
            assert!(futures_lite::future::poll_once(signals.next()).await.is_none());
            raise(signal);
            handle.yield_now().await?;
            drop(signals.next());
            signals.next().await
        })
        .unwrap();
    turns(&event_loop, 1);
    waiting.cancel();
    assert_eq!(event_loop.run_until_complete(waiting).unwrap().unwrap(), signal);
    // The signal and the request to cancel come in one turn.
    let handle = event_loop.handle();
    let waiting = event_loop
        .create_task(async move {
            let mut signals = handle.signals([signal])?;
            assert!(signals.next().await.unwrap_err().is_cancelled());
            signals.next().await
        })
        .unwrap();
    turns(&event_loop, 1);
    raise(signal);
    waiting.cancel();
    assert_eq!(event_loop.run_until_complete(waiting).unwrap().unwrap(), signal);
    assert_eq!(event_loop.statistics().calls.live, 0);
}

fn a_stream_can_be_waited_for_by_a_waker_of_somebody_else() {
    let signals = [real_time(28), Signal::SIGXCPU];
    let event_loop = manual();
    let handle = event_loop.handle();
    let got = event_loop.run_until_complete(async {
        let mut streams = [handle.signals([signals[0]])?, handle.signals([signals[1]])?];
        let [first, second] = &mut streams;
        handle.call_soon(move |_| raise(signals[1])).map_err(rondel::Error::from)?;
        let signal = futures_lite::future::or(first.next(), second.next()).await?;
        Ok::<_, rondel::Error>(signal)
    });
    assert_eq!(got.unwrap(), signals[1]);
    assert_eq!(event_loop.statistics().calls.live, 0);
    // Polled from outside of the loop, it takes a slot until the stream is dropped.
    let mut stream = event_loop.signals([signals[0]]).unwrap();
    for _ in 0..3 {
        assert!(stream.poll_next(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(event_loop.statistics().calls.live, 1);
    }
    drop(stream);
    assert_eq!(event_loop.statistics().calls.live, 0);
}

/// Panics when it is woken, or notes it.
struct Woken(bool, AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.1.store(true, Ordering::Relaxed);
        assert!(!self.0, "a waker that panics");
    }
}

fn a_panicking_waker_costs_the_other_streams_nothing() {
    // W-08
    let signal = Signal::SIGPROF;
    for event_loop in [manual(), propagating()] {
        let wakers = [true, false].map(|panics| Arc::new(Woken(panics, AtomicBool::new(false))));
        let mut streams = [(); 2].map(|()| event_loop.signals([signal]).unwrap());
        for (stream, waker) in streams.iter_mut().zip(&wakers) {
            let waker = Waker::from(Arc::clone(waker));
            assert!(stream.poll_next(&mut Context::from_waker(&waker)).is_pending());
        }
        raise(signal);
        panics(|| turns(&event_loop, 1));
        assert!(wakers.iter().all(|waker| waker.1.load(Ordering::Relaxed)));
        for stream in &mut streams {
            let polled = stream.poll_next(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(polled, Poll::Ready(Ok(got)) if got == signal));
        }
    }
}

fn a_stream_of_a_closed_loop_answers_closed() {
    let signal = real_time(29);
    let before = disposition(signal);
    let event_loop = manual();
    let mut stream = event_loop.signals([signal]).unwrap();
    assert!(stream.poll_next(&mut Context::from_waker(Waker::noop())).is_pending());
    event_loop.close().unwrap();
    assert_eq!(disposition(signal), before);
    let polled = pin!(stream.next()).poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(Err(error)) if error.is_closed()));
    drop(stream);
    assert_eq!(disposition(signal), before);
}

fn waiting_for_one_of_a_set_listens_only_meanwhile() {
    let set = [real_time(30), Signal::SIGUSR2];
    let before = set.map(disposition);
    let event_loop = manual();
    let handle = event_loop.handle();
    let waiting = handle.wait_signal(set);
    assert_eq!(set.map(disposition), before);
    event_loop.call_later(Duration::from_secs(1), move |_| raise(set[1])).unwrap();
    assert_eq!(event_loop.run_until_complete(waiting).unwrap(), set[1]);
    assert_eq!(set.map(disposition), before);
}

fn a_signal_that_a_stranger_sends_or_queues_arrives() {
    let (sent, queued) = (Signal::SIGUSR1, Signal::SIGXFSZ);
    let event_loop = manual();
    let mut stream = event_loop.signals([sent, queued]).unwrap();
    let mut shell = Command::new("sh").args(["-c", "kill -USR1 $PPID"]).spawn().unwrap();
    assert_eq!(event_loop.run_until_complete(stream.next()).unwrap(), sent);
    assert!(shell.wait().unwrap().success());
    let value = libc::sigval { sival_ptr: core::ptr::null_mut() };
    // SAFETY: the value is nobody's.
    assert_eq!(unsafe { libc::sigqueue(libc::getpid(), queued.as_raw(), value) }, 0);
    assert_eq!(event_loop.run_until_complete(stream.next()).unwrap(), queued);
}

#[test]
fn sg2_what_cannot_be_caught_is_no_signal() {
    // SG-2, G-04: asyncio refuses a coroutine function too; here its type is no `Outcome`.
    for raw in [i32::MIN, -1, 0, 65, 1_000, i32::MAX] {
        assert_eq!(Signal::from_raw(raw), Err(SignalError::Invalid(raw)));
    }
    for raw in [libc::SIGKILL, libc::SIGSTOP, 32, libc::SIGRTMIN() - 1] {
        assert_eq!(Signal::from_raw(raw), Err(SignalError::Uncatchable(raw)));
        assert_eq!(SignalError::Uncatchable(raw).to_string(), format!("signal {raw} cannot be caught"));
    }
    for raw in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL] {
        assert_eq!(Signal::from_raw(raw), Err(SignalError::Fault(raw)));
    }
    let others = (1..=31).chain(libc::SIGRTMIN()..=libc::SIGRTMAX());
    assert_eq!(others.filter(|&raw| Signal::try_from(raw).is_ok()).count(), 31 - 6 + 31);
    assert_eq!(real_time(0).as_raw(), libc::SIGRTMIN());
    assert_eq!(Signal::real_time(200), Err(SignalError::Invalid(libc::SIGRTMIN() + 200)));
    let error: rondel::Error = SignalError::Uncatchable(9).into();
    assert_eq!(error.kind(), ErrorKind::Other);
}

#[test]
fn sg2_every_signal_that_there_is_can_be_caught() {
    let name = "test_signals::sg2_every_signal_that_there_is_can_be_caught";
    alone(name, 128, || {
        let event_loop = manual();
        for signal in (1..=64).filter_map(|raw| Signal::from_raw(raw).ok()) {
            let before = disposition(signal);
            let calls = count(&event_loop, signal);
            raise(signal);
            turns(&event_loop, 1);
            assert_eq!(calls.get(), 1, "{signal}");
            assert!(event_loop.remove_signal_handler(signal));
            assert_eq!(disposition(signal), before, "{signal}");
        }
    });
}

#[test]
fn g02_a_storm_of_signals_harms_no_allocation_no_lock_and_no_errno() {
    const STORM: usize = 100_000;
    const ERRNO: i32 = 77;
    let name = "test_signals::g02_a_storm_of_signals_harms_no_allocation_no_lock_and_no_errno";
    alone(name, 128, || {
        let (storm, end) = (real_time(0), real_time(1));
        let event_loop = manual();
        let calls = count(&event_loop, storm);
        event_loop.add_signal_handler(end, EventLoopHandle::stop).unwrap();
        // The loop allocates and takes its own locks, again and again.
        fn again(event_loop: &EventLoopHandle) {
            let large = [1_u8; 100];
            event_loop
                .call_soon(move |event_loop| {
                    let _ = large;
                    again(event_loop);
                })
                .unwrap();
            drop(event_loop.create_task(async {}).unwrap());
        }
        again(&event_loop);
        let is_over = Arc::new(AtomicBool::new(false));
        let shared = Arc::new(std::sync::Mutex::new(Vec::new()));
        let (begun, begins) = mpsc::channel();
        let work = |is_over: Arc<AtomicBool>, shared: Arc<std::sync::Mutex<Vec<String>>>| {
            // SAFETY: no arguments; the address of this thread's `errno` is always valid.
            let (this, errno) = unsafe { (libc::pthread_self(), libc::__errno_location()) };
            begun.send(this).unwrap();
            while !is_over.load(Ordering::Relaxed) {
                let mut shared = shared.lock().unwrap();
                let bytes = shared.len() * 16 + 1;
                shared.push("x".repeat(bytes));
                shared.truncate(64);
                drop(shared);
                // SAFETY: as above; in between there are signals alone.
                unsafe {
                    *errno = ERRNO;
                    (0..1_000).for_each(|_| core::hint::spin_loop());
                    assert_eq!(*errno, ERRNO);
                }
            }
        };
        thread::scope(|scope| {
            let works: Vec<_> = (0..3)
                .map(|_| {
                    let (is_over, shared) = (Arc::clone(&is_over), Arc::clone(&shared));
                    scope.spawn(move || work(is_over, shared))
                })
                .collect();
            // SAFETY: no arguments.
            let mut targets = vec![unsafe { libc::pthread_self() } as usize];
            targets.extend((0..3).map(|_| begins.recv().unwrap() as usize));
            let sender = scope.spawn(move || {
                for number in 0..STORM {
                    let target = targets[number % targets.len()] as libc::pthread_t;
                    // SAFETY: the threads end after this one. A queue that is full is no matter.
                    unsafe { libc::pthread_kill(target, storm.as_raw()) };
                }
                kill(end);
            });
            event_loop.run_forever().unwrap();
            sender.join().unwrap();
            is_over.store(true, Ordering::Relaxed);
            works.into_iter().for_each(|work| work.join().unwrap());
        });
        assert!((1..=STORM).contains(&calls.get()), "{} calls", calls.get());
    });
}

/// Returns what stands in the counter of the process's only eventfd, which nobody reads: how often
/// the doorbell was rung.
fn rings() -> u64 {
    let infos = std::fs::read_dir("/proc/self/fdinfo").unwrap();
    let texts = infos.filter_map(|info| std::fs::read_to_string(info.unwrap().path()).ok());
    let counts = texts.filter_map(|text| {
        let line = text.lines().find(|line| line.starts_with("eventfd-count:"))?;
        Some(u64::from_str_radix(line["eventfd-count:".len()..].trim(), 16).unwrap())
    });
    let counts: Vec<u64> = counts.collect();
    assert_eq!(counts.len(), 1, "one loop, one doorbell");
    counts[0]
}

/// Returns when the thread sleeps.
fn until_asleep(thread: i32) {
    let path = format!("/proc/self/task/{thread}/stat");
    let sleeps = || std::fs::read_to_string(&path).unwrap().contains(") S ");
    while !sleeps() {
        thread::yield_now();
    }
}

#[test]
fn g06_a_signal_to_a_forked_child_neither_rings_nor_arrives_here() {
    let name = "test_signals::g06_a_signal_to_a_forked_child_neither_rings_nor_arrives_here";
    alone(name, 128, || {
        let signal = real_time(0);
        let event_loop = manual();
        let calls = count(&event_loop, signal);
        let remote = event_loop.remote();
        // SAFETY: no arguments.
        let this = unsafe { libc::gettid() };
        let forks = thread::spawn(move || {
            until_asleep(this);
            let before = rings();
            // SAFETY: the child does what is async-signal-safe, and ends.
            let child = unsafe { libc::fork() };
            if child == 0 {
                // SAFETY: no pointers.
                unsafe {
                    libc::kill(libc::getpid(), signal.as_raw());
                    libc::_exit(0);
                }
            }
            assert_eq!(exit_code(child), 0);
            assert_eq!(rings(), before, "the doorbell is the parent's");
            // The counter tells the truth.
            kill(signal);
            while rings() == before {
                thread::yield_now();
            }
            remote.stop();
        });
        event_loop.run_forever().unwrap();
        forks.join().unwrap();
        assert_eq!(calls.get(), 1);
    });
}

#[test]
fn g06_a_signal_to_a_child_that_shares_the_memory_does_not_arrive_here() {
    extern "C" fn child(signal: *mut libc::c_void) -> i32 {
        // SAFETY: no pointers.
        unsafe { libc::kill(libc::getpid(), signal as i32) }
    }
    let name = "test_signals::g06_a_signal_to_a_child_that_shares_the_memory_does_not_arrive_here";
    alone(name, 128, || {
        let signal = real_time(0);
        let event_loop = manual();
        let calls = count(&event_loop, signal);
        let mut stack = vec![0_u128; 16 * 1024];
        // As `vfork` does; the child has a copy of the dispositions.
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        // SAFETY: the stack grows downwards and is large enough; the parent waits for the child's end.
        let child = unsafe {
            let top = stack.as_mut_ptr().add(stack.len()).cast();
            libc::clone(child, top, flags, signal.as_raw() as usize as *mut libc::c_void)
        };
        assert_eq!(exit_code(child), 0);
        turns(&event_loop, 2);
        assert_eq!(calls.get(), 0);
        raise(signal);
        turns(&event_loop, 1);
        assert_eq!(calls.get(), 1);
    });
}

#[test]
fn g06_a_process_that_was_forked_off_may_have_loops_of_its_own() {
    let name = "test_signals::g06_a_process_that_was_forked_off_may_have_loops_of_its_own";
    alone(name, 128, || {
        let signal = real_time(0);
        let before = disposition(signal);
        let event_loop = manual();
        let calls = count(&event_loop, signal);
        // SAFETY: the parent's other threads hold no lock: libtest's wait for this one.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let own = manual();
            let own_calls = count(&own, signal);
            raise(signal);
            turns(&own, 1);
            // SAFETY: no pointers.
            unsafe { libc::_exit(if own_calls.get() == 1 { 0 } else { 1 }) };
        }
        assert_eq!(exit_code(child), 0);
        turns(&event_loop, 1);
        assert_eq!(calls.get(), 0);
        drop(event_loop);
        assert_eq!(disposition(signal), before);
    });
}

/// Waits for a child; -1 if a signal has ended it.
fn exit_code(child: i32) -> i32 {
    assert!(child > 0);
    let mut status = 0;
    // SAFETY: good for writing.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -1 }
}

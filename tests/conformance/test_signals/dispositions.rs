//! What the system has for a signal, and who restores it: SG-4 and SG-9.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use rondel::Signal;

use super::{Disposition, count, disposition, members, raise, real_time, set_disposition};
use crate::fixture::{Trace, manual, never, panics, scenarios, turns};

scenarios! {
    sg4_removing_answers_whether_there_was_a_handler
    sg4_g04_the_last_removal_restores_the_disposition_exactly
    sg4_a_close_a_drop_and_an_unwinding_restore_the_disposition
    sg4_guards_and_streams_restore_when_they_are_dropped
    sg4_a_blocked_signal_is_blocked_again_after_the_last_removal
    sg4_a_loop_that_goes_leaves_a_signal_open_for_the_other_of_its_thread
    sg4_a_disposition_that_somebody_changed_meanwhile_is_left_alone
    sg9_system_calls_that_are_interrupted_go_on
    sg10_g05_sigchld_is_the_applications
}

extern "C" fn foreign_handler(_: i32) {}
extern "C" fn another_foreign_handler(_: i32) {}

fn address(handler: extern "C" fn(i32)) -> usize {
    handler as usize
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

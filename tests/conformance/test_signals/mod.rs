//! Signals: CPython's `SubclassesTests` and `SelectorEventLoopUnixSignalTests`, and what asyncio
//! doesn't promise: any loop in any thread, and exactly the former disposition in the end.
//!
//! Signals belong to the process: each test has a real-time signal of its own, or a process.

mod dispositions;
mod forks;
mod handlers;
mod numbers;
mod storms;
mod streams;

use rondel::{EventLoopHandle, Signal};

use crate::fixture::Counter;

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

/// Has the signals that a handler of this loop for `signal` was called for.
fn count(event_loop: &EventLoopHandle, signal: Signal) -> Counter {
    let counter = Counter::new();
    let counted = counter.clone();
    event_loop.add_signal_handler(signal, move |_| _ = counted.add()).expect("a handler");
    counter
}

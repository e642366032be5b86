//! Which numbers are signals, and where they come from: SG-2.

use std::process::Command;

use rondel::{ErrorKind, Signal, SignalError};

use super::{count, disposition, raise, real_time};
use crate::fixture::{alone, manual, scenarios, turns};

scenarios! {
    a_signal_that_a_stranger_sends_or_queues_arrives
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
    let name = "test_signals::numbers::sg2_every_signal_that_there_is_can_be_caught";
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

//! Signals to processes that share the handler, or the memory: FAULTS G-06.

use std::thread;

use super::{count, disposition, kill, raise, real_time};
use crate::fixture::{alone, manual, turns};

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
    let name = "test_signals::forks::g06_a_signal_to_a_forked_child_neither_rings_nor_arrives_here";
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
    let name = "test_signals::forks::g06_a_signal_to_a_child_that_shares_the_memory_does_not_arrive_here";
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
    let name = "test_signals::forks::g06_a_process_that_was_forked_off_may_have_loops_of_its_own";
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

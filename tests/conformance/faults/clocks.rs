//! Row T-06: the clock that a loop counts by.

use core::mem::MaybeUninit;
use core::panic::AssertUnwindSafe;
use core::time::Duration;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::panic::catch_unwind;

use rondel::{Clock, Config, EventLoop, Instant};

use crate::fixture::{Trace, small, turns, where_boottime_is};

const CLOCKS: [Clock; 2] = [Clock::Monotonic, Clock::Boottime];

const DAY_SECS: u32 = 24 * 60 * 60;
const DAY: Duration = Duration::from_secs(DAY_SECS as u64);

fn on(clock: Clock) -> EventLoop {
    EventLoop::with_config(Config { clock, ..small() }).unwrap()
}

/// Asserts that timers are not early, and in order.
fn assert_timers_work(event_loop: &EventLoop) {
    let trace = Trace::new();
    let now = event_loop.time();
    for (delay_us, what) in [(1000, "last"), (300, "second"), (50, "first")] {
        let (noted, due) = (trace.clone(), now + Duration::from_micros(delay_us));
        event_loop
            .call_at(due, move |event_loop| {
                assert!(event_loop.time() >= due);
                noted.push(what);
                if what == "last" {
                    event_loop.stop();
                }
            })
            .unwrap();
    }
    event_loop.run_forever().unwrap();
    assert_eq!(trace.take(), ["first", "second", "last"]);
}

/// Reads a clock of the system.
fn system(id: libc::clockid_t) -> Duration {
    let mut spec = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: `spec` is good for writing, and zeros are valid.
    let spec = unsafe {
        assert_eq!(libc::clock_gettime(id, spec.as_mut_ptr()), 0);
        spec.assume_init()
    };
    Duration::new(spec.tv_sec as u64, spec.tv_nsec as u32)
}

#[test]
fn t06_monotonic_is_the_clock_unless_another_is_chosen() {
    assert_eq!(Config::default().clock, Clock::Monotonic);
}

#[test]
fn t06_timers_are_in_order_and_never_early_by_either_clock() {
    CLOCKS.map(on).iter().for_each(assert_timers_work);
}

#[test]
fn t06_time_is_what_the_chosen_clock_counted_since_the_loop_was_made() {
    for (clock, id) in CLOCKS.into_iter().zip([libc::CLOCK_MONOTONIC, libc::CLOCK_BOOTTIME]) {
        let before = system(id);
        let event_loop = on(clock);
        let made = system(id);
        for _ in 0..100 {
            let earlier = system(id);
            let time = event_loop.time() - Instant::ZERO;
            let later = system(id);
            assert!((earlier - made..=later - before).contains(&time), "{clock:?}: {time:?}");
        }
    }
}

#[test]
fn t06_timers_are_due_by_their_clock_where_the_two_are_a_day_apart() {
    let name = "faults::clocks::t06_timers_are_due_by_their_clock_where_the_two_are_a_day_apart";
    where_boottime_is(DAY_SECS, name, || {
        let monotonic = system(libc::CLOCK_MONOTONIC);
        assert!(system(libc::CLOCK_BOOTTIME) - monotonic >= DAY);
        CLOCKS.map(on).iter().for_each(assert_timers_work);
    });
}

#[test]
fn t06_a_suspension_counts_for_boottime_alone() {
    where_boottime_is(0, "faults::clocks::t06_a_suspension_counts_for_boottime_alone", || {
        in_one_thread(|| {
            let [monotonic, boottime] = CLOCKS.map(on);
            let trace = Trace::new();
            monotonic.call_later(DAY, trace.note("monotonic")).unwrap();
            boottime.call_later(DAY, trace.note("boottime")).unwrap();
            let before = [monotonic.time(), boottime.time()];
            for event_loop in [&monotonic, &boottime] {
                turns(event_loop, 2);
            }
            assert_eq!(trace.take(), [""; 0]);
            suspend(DAY_SECS);
            for event_loop in [&monotonic, &boottime] {
                turns(event_loop, 2);
            }
            assert_eq!(trace.take(), ["boottime"]);
            assert!(monotonic.time() - before[0] < DAY);
            assert!(boottime.time() - before[1] >= DAY);
            for event_loop in [&monotonic, &boottime] {
                assert_timers_work(event_loop);
            }
        });
    });
}

/// Runs `test` in a copy of the process that has no other thread: none such may change its namespace
/// of time.
fn in_one_thread(test: impl FnOnce()) {
    // SAFETY: the harness's other thread holds no lock: it waits for this one.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let passed = catch_unwind(AssertUnwindSafe(test)).is_ok();
        // SAFETY: ends the child, without the destructors that are the parent's.
        unsafe { libc::_exit(i32::from(!passed)) };
    }
    let mut status = 0;
    // SAFETY: a child of our own, and room for its status.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "failed");
}

/// Has the process see what it sees after a suspension: `CLOCK_BOOTTIME` is ahead by so much of a
/// sudden, and `CLOCK_MONOTONIC` knows of nothing (time_namespaces(7)).
fn suspend(secs: u32) {
    // SAFETY: no pointers.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWTIME) }, 0);
    std::fs::write("/proc/self/timens_offsets", format!("boottime {secs} 0")).unwrap();
    let namespace = File::open("/proc/self/ns/time_for_children").unwrap();
    // SAFETY: a descriptor that stays open over the call.
    assert_eq!(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWTIME) }, 0);
}

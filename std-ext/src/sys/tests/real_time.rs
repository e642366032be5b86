//! Waits of the real kernel.

use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::thread;
use std::time::SystemTime;

use rondel_core::Instant;

use super::{events, leaked_bell, look, real};
use crate::Clock;
use crate::sys::clock::{Alarm, LoopClock, Monotone, timespec};
use crate::sys::kernel::{Time, Watching};

#[test]
fn zero_deadline_returns_at_once_and_empty() {
    let kernel = real();
    assert_eq!(look(&kernel), []);
}

#[test]
fn passed_deadline_returns_at_once() {
    let kernel = real();
    let then = kernel.now();
    kernel.wait(Some(then), &mut events()).unwrap();
}

#[test]
fn fine_deadlines_are_met_and_never_early() {
    let kernel = real();
    let mut events = events();
    let mut overshoot_least = Duration::MAX;
    for microseconds in (0..50).map(|step| 1 + 7 * step) {
        let deadline = kernel.now() + Duration::from_micros(microseconds);
        kernel.wait(Some(deadline), &mut events).unwrap();
        let now = kernel.now();
        assert!(now >= deadline, "{microseconds} us: {now:?} before {deadline:?}");
        assert!(events.is_empty(), "the alarm's events stay inside");
        overshoot_least = overshoot_least.min(now - deadline);
    }
    assert!(overshoot_least < Duration::from_millis(1), "rounded up: {overshoot_least:?}");
}

#[test]
fn alarm_left_over_from_an_earlier_wait_does_not_end_a_later_one() {
    let kernel = real();
    let bell = leaked_bell();
    kernel.attach_doorbell(bell).unwrap();
    let mut events = events();
    let near = kernel.now() + Duration::from_millis(2);
    bell.ring();
    kernel.wait(Some(near), &mut events).unwrap();
    // Armed for `near`; this wait passes over it.
    let far = near + Duration::from_micros(700);
    kernel.wait(Some(far), &mut events).unwrap();
    assert!(kernel.now() >= far);
    // The same deadline again, now past: the alarm is silent, but nothing hangs.
    kernel.wait(Some(far), &mut events).unwrap();
}

#[test]
fn deadline_that_passed_since_the_last_reading_does_not_hang() {
    let kernel = real();
    // Never read, so the kernel knows of no later time than zero.
    kernel.wait(Some(Instant::from_nanos(1)), &mut events()).unwrap();
    kernel.wait(Some(Instant::from_nanos(1)), &mut events()).unwrap();
}

#[test]
fn extreme_deadlines_wait_until_the_bell_rings() {
    for deadline in [Instant::MAX, Instant::from_nanos(u64::MAX - 1), Instant::from_nanos(u64::MAX / 2)] {
        let kernel = real();
        let bell = leaked_bell();
        kernel.attach_doorbell(bell).unwrap();
        let ringer = thread::spawn(|| bell.ring());
        kernel.wait(Some(deadline), &mut events()).unwrap();
        ringer.join().unwrap();
    }
}

#[test]
fn signal_does_not_end_a_wait() {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: a handler that does nothing, without SA_RESTART, for a signal nobody else uses.
    let sleeper = unsafe {
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
        libc::sigaction(libc::SIGURG, &raw const action, core::ptr::null_mut());
        libc::pthread_self()
    };
    let kernel = real();
    let deadline = kernel.now() + Duration::from_millis(5);
    let stop = &*Box::leak(Box::new(AtomicBool::new(false)));
    let nuisance = thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            // SAFETY: the thread that it names waits for this one.
            unsafe { libc::pthread_kill(sleeper, libc::SIGURG) };
            thread::yield_now();
        }
    });
    let result = kernel.wait(Some(deadline), &mut events());
    let now = kernel.now();
    stop.store(true, Ordering::Relaxed);
    nuisance.join().unwrap();
    result.unwrap();
    assert!(now >= deadline);
}

#[test]
fn alarm_is_not_armed_again_for_the_same_deadline_or_a_later_one() {
    let clock = LoopClock::new(Clock::Monotonic).unwrap();
    let alarm = Alarm::new(clock.id()).unwrap();
    let hour = Instant::ZERO + Duration::from_secs(3_600);
    assert!(alarm.arm(&clock, hour).unwrap());
    assert!(!alarm.arm(&clock, hour).unwrap());
    assert!(!alarm.arm(&clock, hour + Duration::from_secs(1)).unwrap());
    assert_eq!(alarm.armed.get(), Some(hour));
    let earlier = Instant::from_nanos(hour.as_nanos() - 1);
    assert!(alarm.arm(&clock, earlier).unwrap());
    assert_eq!(alarm.expire(), Some(earlier));
    assert!(alarm.arm(&clock, earlier).unwrap());
}

#[test]
fn clock_that_steps_back_stands_still() {
    let monotone = Monotone::default();
    let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
    assert_eq!(monotone.observe(at(100)), at(100));
    assert_eq!(monotone.observe(at(10)), at(100));
    assert_eq!(monotone.observe(at(101)), at(101));
    assert_eq!(monotone.latest(), at(101));
}

#[test]
fn t06_each_clock_is_the_one_of_the_system_that_it_is_named_after() {
    for (clock, id) in [(Clock::Monotonic, libc::CLOCK_MONOTONIC), (Clock::Boottime, libc::CLOCK_BOOTTIME)] {
        let clock = LoopClock::new(clock).unwrap();
        let system = || {
            let mut spec = MaybeUninit::<libc::timespec>::zeroed();
            // SAFETY: `spec` is good for writing, and zeros are valid.
            let spec = unsafe {
                assert_eq!(libc::clock_gettime(id, spec.as_mut_ptr()), 0);
                spec.assume_init()
            };
            spec.tv_sec as u64 * 1_000_000_000 + spec.tv_nsec as u64
        };
        for read in [|clock: &LoopClock| clock.now(), |clock: &LoopClock| clock.for_threads().now()] {
            let before = system();
            let now = clock.to_system_ns(read(&clock));
            assert!((before..=system()).contains(&now), "{clock:?}");
        }
    }
}

#[test]
fn timespec_splits_and_clamps() {
    let spec = timespec(1_500_000_000);
    assert_eq!((spec.tv_sec, spec.tv_nsec), (1, 500_000_000));
    let spec = timespec(u64::MAX);
    assert!(spec.tv_sec > 0 && (0..1_000_000_000).contains(&spec.tv_nsec));
}

#[test]
fn wall_clock_is_the_systems() {
    let kernel = real();
    let before = SystemTime::now();
    assert!(kernel.wall_clock() >= before - Duration::from_secs(60));
}

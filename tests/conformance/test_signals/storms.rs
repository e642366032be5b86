//! Many signals at once, and what they may not harm.

use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use rondel::EventLoopHandle;

use super::{count, kill, real_time};
use crate::fixture::{alone, manual};

#[test]
fn g02_a_storm_of_signals_harms_no_allocation_no_lock_and_no_errno() {
    const STORM: usize = 100_000;
    const ERRNO: i32 = 77;
    let name = "test_signals::storms::g02_a_storm_of_signals_harms_no_allocation_no_lock_and_no_errno";
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

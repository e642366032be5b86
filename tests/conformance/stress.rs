//! Threads that wake, call, create, cancel and stop while the loop sleeps and
//! wakes (FAULTS W-01, W-02, T-08). `RONDEL_STRESS` multiplies the rounds.

use core::future::poll_fn;
use core::task::{Poll, Waker};
use core::time::Duration;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;

use rondel::{Config, ErrorKind, EventLoop, EventLoopHandle, Refused, Remote};

use crate::fixture::small;

const THREADS: usize = 3;
const TASKS: usize = 100;

fn rounds(few: usize) -> usize {
    let factor = std::env::var("RONDEL_STRESS").ok().and_then(|factor| factor.parse().ok());
    few * factor.unwrap_or(1)
}

fn event_loop() -> EventLoop {
    EventLoop::with_config(Config { tasks: TASKS + 16, calls: 256, ..small() }).unwrap()
}

/// Runs `body` in each thread beside the loop, which stops when all are through.
fn beside(event_loop: &EventLoop, body: impl Fn(usize, &Remote) + Send + Sync + 'static) {
    let (body, left) = (Arc::new(body), Arc::new(AtomicUsize::new(THREADS)));
    let threads: Vec<_> = (0..THREADS)
        .map(|number| {
            let (body, left, remote) = (Arc::clone(&body), Arc::clone(&left), event_loop.remote());
            thread::spawn(move || {
                body(number, &remote);
                if left.fetch_sub(1, Ordering::SeqCst) == 1 {
                    remote.stop();
                }
            })
        })
        .collect();
    while left.load(Ordering::SeqCst) != 0 {
        // Other stops end it too.
        event_loop.run_forever().unwrap();
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    // What came last, be it only the stop.
    event_loop.call_soon(|_| ()).unwrap();
    event_loop.run_once().unwrap();
}

/// Tries again while there is no room.
fn until_taken<T, F>(make: impl FnOnce() -> F, mut call: impl FnMut(F) -> Result<T, Refused<F>>) -> T {
    let mut value = make();
    loop {
        match call(value) {
            Ok(taken) => return taken,
            Err(refused) => {
                assert!(refused.is_full());
                value = refused.into_value();
                thread::yield_now();
            }
        }
    }
}

/// What a task and those who wake it share.
#[derive(Default)]
struct Place {
    waker: Mutex<Option<Waker>>,
    /// Is counted up before each wake. Relaxed, because it is the loop's promise
    /// that a poll sees what was done before the wake.
    wakes: AtomicUsize,
    seen: AtomicUsize,
}

impl Place {
    fn wake(&self, by_value: bool) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
        let waker = self.waker.lock().unwrap().clone().expect("the task was polled at the start");
        if by_value { waker.wake() } else { waker.wake_by_ref() }
    }
}

/// Makes a task that hands out a new waker at each poll and never ends.
fn watch(event_loop: &EventLoop) -> Arc<Place> {
    let place = Arc::new(Place::default());
    let watched = Arc::clone(&place);
    let watch = poll_fn(move |context| {
        *watched.waker.lock().unwrap() = Some(context.waker().clone());
        watched.seen.store(watched.wakes.load(Ordering::Relaxed), Ordering::SeqCst);
        Poll::<()>::Pending
    });
    event_loop.create_task(watch).unwrap();
    place
}

#[test]
fn every_task_is_polled_after_its_last_wake() {
    // W-01: who loses a wake waits for ever
    let event_loop = event_loop();
    let places: Vec<_> = (0..TASKS).map(|_| watch(&event_loop)).collect();
    event_loop.run_once().unwrap();
    let woken = places.clone();
    beside(&event_loop, move |thread, _| {
        let mut random = fastrand::Rng::with_seed(thread as u64);
        for _ in 0..rounds(300) {
            for _ in 0..random.usize(1..8) {
                woken[random.usize(..TASKS)].wake(random.bool());
            }
            // Now the loop falls asleep, unless the others keep it awake.
            let place = &woken[random.usize(..TASKS)];
            place.wake(random.bool());
            let wanted = place.wakes.load(Ordering::SeqCst);
            while place.seen.load(Ordering::SeqCst) < wanted {
                thread::yield_now();
            }
        }
    });
    for place in places {
        assert_eq!(place.seen.load(Ordering::SeqCst), place.wakes.load(Ordering::SeqCst));
    }
}

#[test]
fn nothing_that_threads_ask_for_is_lost_or_done_twice() {
    // W-02, T-08
    let event_loop = event_loop();
    // The loop would sleep for an hour, were it not for the threads.
    event_loop.call_later(Duration::from_secs(3600), crate::fixture::never).unwrap();
    let counts: Arc<[AtomicUsize; 2]> = Arc::default();
    let (asked, ran) = (Arc::clone(&counts), Arc::clone(&counts));
    beside(&event_loop, move |thread, remote| {
        let mut random = fastrand::Rng::with_seed(thread as u64);
        let call = || {
            asked[0].fetch_add(1, Ordering::SeqCst);
            let ran = Arc::clone(&ran);
            move |_: &EventLoopHandle| {
                ran[1].fetch_add(1, Ordering::SeqCst);
            }
        };
        for number in 0..rounds(300) {
            match random.u8(..6) {
                0 => drop(until_taken(call, |call| remote.call_soon_threadsafe(call))),
                1 => {
                    if until_taken(call, |call| remote.call_soon_threadsafe(call)).cancel() {
                        asked[0].fetch_sub(1, Ordering::SeqCst);
                    }
                }
                2 => {
                    // An earlier timer than the one that the loop sleeps towards.
                    let (told, tells) = channel();
                    let later = || {
                        move |event_loop: &EventLoopHandle| {
                            let tell = move |_: &EventLoopHandle| told.send(()).unwrap();
                            drop(event_loop.call_later(Duration::from_micros(10), tell).unwrap());
                        }
                    };
                    until_taken(later, |later| remote.call_soon_threadsafe(later));
                    tells.recv().unwrap();
                }
                3 => remote.stop(),
                4 => {
                    let make = || move |_: EventLoopHandle| async move { number };
                    let task = until_taken(make, |make| remote.create_task(make));
                    assert_eq!(task.wait().unwrap(), number);
                }
                _ => {
                    let hour = Duration::from_secs(3600);
                    let make =
                        || move |event_loop: EventLoopHandle| async move { event_loop.sleep(hour).await };
                    let task = until_taken(make, |make| remote.create_task(make));
                    while task.cancel().is_err_and(|error| error.kind() == ErrorKind::Full) {
                        thread::yield_now();
                    }
                    // Whether before its first step or in its sleep.
                    assert!(!matches!(task.wait(), Ok(Ok(()))));
                }
            }
        }
    });
    assert_eq!(counts[0].load(Ordering::SeqCst), counts[1].load(Ordering::SeqCst));
    assert_eq!(event_loop.statistics().tasks.live, 0);
}

#[test]
fn a_loop_that_is_closed_beside_its_threads_settles_everything() {
    // W-02, TS-4
    for _ in 0..rounds(30) {
        let event_loop = event_loop();
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let remote = event_loop.remote();
                thread::spawn(move || {
                    let mut tasks = Vec::new();
                    loop {
                        match remote.create_task(|_| async { 7 }) {
                            Ok(task) => tasks.push(task),
                            Err(refused) if refused.is_closed() => break,
                            Err(_) => thread::yield_now(),
                        }
                    }
                    for task in tasks {
                        let ended = task.wait().map_err(|error| error.kind());
                        let is_right =
                            matches!(ended, Ok(7) | Err(ErrorKind::AwaitedCancelled | ErrorKind::Full));
                        assert!(is_right, "{ended:?}");
                    }
                })
            })
            .collect();
        for _ in 0..5 {
            event_loop.run_once().unwrap();
        }
        event_loop.close().unwrap();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

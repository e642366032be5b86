//! Timers: moved about among many others, and fired.

use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use core::task::{Context, Waker};
use core::time::Duration;
use std::sync::Arc;
use std::task::Wake;
use std::time::Instant;

use rondel::{Config, EventLoop};

use crate::bare::TimerWheel;
use crate::calls::tokio_runtime;
use crate::case::{Case, Random, ns_each};

/// Returns a deadline that doesn't come while we measure.
fn far(random: &mut Random) -> Duration {
    Duration::from_nanos(10_000_000_000 + random.below(1_000_000_000_000))
}

/// Compares cancelling any one of `outstanding` timers and arming another.
pub(crate) fn rearm(case: &mut Case<'_>, outstanding: usize) {
    case.name(format!("arm + cancel one of {outstanding} timers"));
    if case.is_quick() && outstanding > 10_000 {
        return;
    }
    let count = case.scaled(100_000);
    case.add("bare wheel", || {
        let mut random = Random::new();
        let mut wheel = TimerWheel::new(outstanding + 1);
        let mut timers: Vec<u32> =
            (0..outstanding).map(|_| wheel.arm(far(&mut random).as_nanos() as u64)).collect();
        move || {
            ns_each(count, || {
                for _ in 0..count {
                    let place = random.below(outstanding as u64) as usize;
                    let when = far(&mut random).as_nanos() as u64;
                    let armed = wheel.arm(when);
                    wheel.cancel(core::mem::replace(&mut timers[place], armed));
                }
            })
        }
    });
    case.add("tokio sleep", || {
        let mut random = Random::new();
        let runtime = tokio_runtime();
        let entered = runtime.handle().clone();
        let begun = tokio::time::Instant::now();
        let mut context = Context::from_waker(Waker::noop());
        let mut timers: Vec<Pin<Box<tokio::time::Sleep>>> = {
            let _entered = entered.enter();
            (0..outstanding)
                .map(|_| {
                    let mut sleep = Box::pin(tokio::time::sleep_until(begun + far(&mut random)));
                    let _ = sleep.as_mut().poll(&mut context);
                    sleep
                })
                .collect()
        };
        move || {
            let _entered = entered.enter();
            let _ = &runtime;
            let mut context = Context::from_waker(Waker::noop());
            ns_each(count, || {
                for _ in 0..count {
                    let timer = &mut timers[random.below(outstanding as u64) as usize];
                    timer.set(tokio::time::sleep_until(begun + far(&mut random)));
                    let _ = timer.as_mut().poll(&mut context);
                }
            })
        }
    });
    case.add("rondel", || {
        let mut random = Random::new();
        let config = Config { calls: outstanding + 1, ..Config::default() };
        let event_loop = EventLoop::with_config(config).expect("opens");
        let begun = event_loop.time();
        let mut timers: Vec<_> = (0..outstanding)
            .map(|_| event_loop.call_at(begun + far(&mut random), |_| ()).expect("has room"))
            .collect();
        move || {
            ns_each(count, || {
                for _ in 0..count {
                    let timer = &mut timers[random.below(outstanding as u64) as usize];
                    let armed = event_loop.call_at(begun + far(&mut random), |_| ()).expect("has room");
                    core::mem::replace(timer, armed).cancel();
                }
            })
        }
    });
    case.goal_times("rondel", 1.1, "bare wheel");
    let (rondel, tokio) = match outstanding {
        1_000 => (60.0, 245.0),
        10_000 => (60.0, 203.0),
        100_000 => (95.0, 430.0),
        _ => (370.0, 664.0),
    };
    case.goal_times("rondel", rondel / tokio, "tokio sleep");
}

/// Is until when the timers of [`fire`] are due, counted from the start of a
/// round; arming them takes less.
const WINDOW: Duration = Duration::from_millis(40);

fn near(random: &mut Random) -> Duration {
    WINDOW / 2 + Duration::from_nanos(random.below(WINDOW.as_nanos() as u64 / 2))
}

/// Measures `arm`, lets the window pass, and measures `fire`.
fn arm_and_fire(count: usize, arm: impl FnOnce(), fire: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    let armed = ns_each(count, arm);
    while begun.elapsed() <= WINDOW + Duration::from_millis(2) {
        core::hint::spin_loop();
    }
    armed + ns_each(count, fire)
}

/// Compares arming 10,000 timers, and making all of them fire once they are due.
pub(crate) fn fire(case: &mut Case<'_>) {
    case.name("arm + fire, 10,000 timers");
    let count = case.scaled(10_000);
    case.add("bare wheel", || {
        let mut random = Random::new();
        let mut wheel = TimerWheel::new(count);
        let begun = Instant::now();
        move || {
            let start = begun.elapsed().as_nanos() as u64;
            let mut fired = 0;
            let wheel = core::cell::RefCell::new(&mut wheel);
            let ns = arm_and_fire(
                count,
                || {
                    for _ in 0..count {
                        wheel.borrow_mut().arm(start + near(&mut random).as_nanos() as u64);
                    }
                },
                || wheel.borrow_mut().advance(begun.elapsed().as_nanos() as u64, |_| fired += 1),
            );
            assert_eq!((fired, wheel.borrow().len()), (count, 0));
            ns
        }
    });
    case.add("tokio sleep", || {
        let mut random = Random::new();
        let runtime = tokio_runtime();
        move || {
            let fired = Arc::new(Fired(AtomicUsize::new(0)));
            let mut timers: Vec<Pin<Box<tokio::time::Sleep>>> = Vec::new();
            let waker = Waker::from(Arc::clone(&fired));
            arm_and_fire(
                count,
                || {
                    let _entered = runtime.enter();
                    let start = tokio::time::Instant::now();
                    for _ in 0..count {
                        let mut sleep = Box::pin(tokio::time::sleep_until(start + near(&mut random)));
                        let _ = sleep.as_mut().poll(&mut Context::from_waker(&waker));
                        timers.push(sleep);
                    }
                },
                || {
                    runtime.block_on(async {
                        while fired.0.load(Relaxed) < count {
                            tokio::task::yield_now().await;
                        }
                    });
                },
            )
        }
    });
    case.add("rondel", || {
        static FIRED: AtomicU64 = AtomicU64::new(0);
        let mut random = Random::new();
        let event_loop = EventLoop::new().expect("opens");
        move || {
            FIRED.store(0, Relaxed);
            arm_and_fire(
                count,
                || {
                    let start = event_loop.time();
                    for _ in 0..count {
                        let fired = |_: &_| FIRED.store(FIRED.load(Relaxed) + 1, Relaxed);
                        event_loop.call_at(start + near(&mut random), fired).expect("has room");
                    }
                },
                || {
                    while FIRED.load(Relaxed) < count as u64 {
                        event_loop.run_once().expect("is open");
                    }
                },
            )
        }
    });
    case.goal_times("rondel", 200.0 / 105.0, "bare wheel");
    case.goal_times("rondel", 200.0 / 1349.0, "tokio sleep");
}

struct Fired(AtomicUsize);

impl Wake for Fired {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

//! rondel, and rondel-core alone.

use core::cell::{Cell, RefCell};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use core::time::Duration;
use std::rc::Rc;

use rondel::{Config, EventLoop, EventLoopHandle, SnapshotRow};
use rondel_core::{Context, ContextExt, Storage};

use super::no_outside::NoOutside;
use crate::calls::{BURST, work};
use crate::case::{Random, ns_each};
use crate::lateness::Log;
use crate::tasks::TASKS;
use crate::threads::{Answer, Flood, asking};
use crate::timers::{arm_and_fire, far, near};

/// Is what is the same of both loops.
pub(crate) trait Loop: 'static {
    type Context: Context;

    fn context(&self) -> &Self::Context;

    /// Runs one iteration.
    fn turn(&self);
}

impl Loop for rondel_core::EventLoop {
    type Context = rondel_core::EventLoopHandle;

    fn context(&self) -> &Self::Context {
        self
    }

    fn turn(&self) {
        self.run_once().expect("is open");
    }
}

impl Loop for EventLoop {
    type Context = EventLoopHandle;

    fn context(&self) -> &Self::Context {
        self
    }

    fn turn(&self) {
        self.run_once().expect("is open");
    }
}

/// Makes a loop of core alone, which waits for nothing.
pub(crate) fn core_loop() -> impl Loop {
    let storage: &Storage<2048, 0, 1024, 128> = Box::leak(Box::new(Storage::new()));
    rondel_core::EventLoop::new(storage.take().expect("is new"), &NoOutside)
}

/// Makes a loop of rondel, as it is by default.
pub(crate) fn real_loop() -> impl Loop {
    event_loop(Config::default())
}

fn event_loop(config: Config) -> EventLoop {
    EventLoop::with_config(config).expect("opens")
}

pub(crate) fn burst(event_loop: impl Loop, turns: usize) -> impl FnMut() -> f64 {
    move || {
        ns_each(turns * BURST, || {
            for _ in 0..turns {
                for number in 0..BURST as u64 {
                    event_loop.context().call_soon(move |_| work(number)).expect("has room");
                }
                event_loop.turn();
            }
        })
    }
}

pub(crate) fn chain(count: usize, turns_per_poll: u32) -> impl FnMut() -> f64 {
    thread_local!(static LEFT: Cell<usize> = const { Cell::new(0) });
    fn next(event_loop: &EventLoopHandle) {
        let left = LEFT.get();
        LEFT.set(left - 1);
        if left == 1 {
            event_loop.stop();
        } else {
            event_loop.call_soon(next).expect("has room");
        }
    }
    let event_loop = event_loop(Config { turns_per_poll, ..Config::default() });
    move || {
        LEFT.set(count);
        ns_each(count, || {
            event_loop.call_soon(next).expect("has room");
            event_loop.run_forever().expect("is open");
        })
    }
}

pub(crate) fn rearm(outstanding: usize, count: usize) -> impl FnMut() -> f64 {
    let mut random = Random::new();
    let event_loop = event_loop(Config { calls: outstanding + 1, ..Config::default() });
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
}

pub(crate) fn fire(count: usize) -> impl FnMut() -> f64 {
    let mut random = Random::new();
    let mut event_loop = event_loop(Config::default());
    move || {
        static FIRED: AtomicUsize = AtomicUsize::new(0);
        FIRED.store(0, Relaxed);
        arm_and_fire(
            &mut event_loop,
            count,
            |event_loop| {
                let start = event_loop.time();
                for _ in 0..count {
                    let fired = |_: &_| FIRED.store(FIRED.load(Relaxed) + 1, Relaxed);
                    event_loop.call_at(start + near(&mut random), fired).expect("has room");
                }
            },
            |event_loop| {
                while FIRED.load(Relaxed) < count {
                    event_loop.turn();
                }
            },
        )
    }
}

pub(crate) fn lateness(count: usize) -> impl FnMut() -> f64 {
    fn next(event_loop: &EventLoopHandle, log: Rc<RefCell<Log>>, left: usize) {
        let delay = log.borrow_mut().begin();
        let fire = move |event_loop: &EventLoopHandle| {
            log.borrow_mut().end();
            if left == 1 {
                event_loop.stop();
            } else {
                next(event_loop, log, left - 1);
            }
        };
        event_loop.call_later(delay, fire).expect("has room");
    }
    let event_loop = event_loop(Config::default());
    move || {
        let log = Rc::new(RefCell::new(Log::new()));
        next(&event_loop, Rc::clone(&log), count);
        event_loop.run_forever().expect("is open");
        log.borrow().median()
    }
}

pub(crate) fn yields(event_loop: impl Loop, turns: usize) -> impl FnMut() -> f64 {
    move || {
        ns_each(turns * TASKS, || {
            for _ in 0..TASKS {
                let context = event_loop.context().clone();
                let task = event_loop.context().create_task(async move {
                    for _ in 0..turns {
                        context.yield_now().await.expect("is not cancelled");
                    }
                });
                drop(task.expect("has room"));
            }
            for _ in 0..=turns {
                event_loop.turn();
            }
        })
    }
}

pub(crate) fn create(event_loop: impl Loop, turns: usize) -> impl FnMut() -> f64 {
    move || {
        ns_each(turns * TASKS, || {
            for _ in 0..turns {
                for number in 0..TASKS {
                    let task = event_loop.context().create_task(async move {
                        core::hint::black_box(number);
                    });
                    drop(task.expect("has room"));
                }
                event_loop.turn();
            }
        })
    }
}

pub(crate) fn flood(flood: Flood) -> impl FnMut() -> f64 {
    let event_loop = event_loop(Config { threadsafe_calls: flood.total(), ..Config::default() });
    move || {
        static RECEIVED: AtomicUsize = AtomicUsize::new(0);
        RECEIVED.store(0, Relaxed);
        let receive = move |event_loop: &EventLoopHandle| {
            work(1);
            let received = RECEIVED.load(Relaxed) + 1;
            RECEIVED.store(received, Relaxed);
            if received == flood.total() {
                event_loop.stop();
            }
        };
        let remote = event_loop.remote();
        let make_call = move || {
            let remote = remote.clone();
            move || {
                remote.call_soon_threadsafe(receive).expect("has room");
            }
        };
        flood.measure(make_call, || event_loop.run_forever().expect("is open"))
    }
}

pub(crate) fn round_trip(count: usize, spin: Duration) -> impl FnMut() -> f64 {
    let event_loop = event_loop(Config { spin, ..Config::default() });
    move || {
        let (remote, stop) = (event_loop.remote(), event_loop.remote());
        let ask = move |answer: &Answer| {
            let answer = answer.clone();
            remote.call_soon_threadsafe(move |_| answer.give()).expect("has room");
        };
        let asking = asking(count, spin, ask, move || stop.stop());
        event_loop.run_forever().expect("is open");
        asking.median()
    }
}

/// Takes snapshots of a loop with so many tasks that sleep.
pub(crate) fn snapshot(tasks: usize) -> impl FnMut() -> f64 {
    let event_loop =
        EventLoop::with_config(Config { tasks, calls: tasks, ..Config::default() }).expect("a loop");
    event_loop.set_exception_handler(|_, _| ());
    for n in 0..tasks as u64 {
        let sleep = event_loop.sleep(Duration::from_secs(1_000) + Duration::from_micros(n));
        event_loop.create_task(sleep).expect("room for a task");
    }
    event_loop.stop();
    event_loop.run_forever().expect("is open");
    let mut rows = vec![SnapshotRow::Empty; event_loop.snapshot_len()];
    move || {
        let count = rows.len();
        ns_each(count, || assert_eq!(core::hint::black_box(event_loop.snapshot(&mut rows)).missing(), 0))
    }
}

//! smol: a local executor, and async-io's reactor, which is one for all threads.

use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use core::task::{Context, Waker};
use core::time::Duration;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use core::future::Future;
use core::pin::Pin;
use smol::channel::{Sender, bounded, unbounded};
use smol::future::yield_now;
use smol::{Executor, LocalExecutor, Timer};

use crate::calls::{BURST, work};
use crate::case::{Random, ns_each};
use crate::lateness::Log;
use crate::tasks::TASKS;
use crate::threads::{Answer, Call, Flood, asking};
use crate::timers::{arm_and_fire, far, near};

pub(crate) fn burst(turns: usize) -> impl FnMut() -> f64 {
    spawning(turns, BURST, |number| work(number as u64))
}

pub(crate) fn create(turns: usize) -> impl FnMut() -> f64 {
    spawning(turns, TASKS, |number| {
        core::hint::black_box(number);
    })
}

/// Makes `tasks` tasks a turn, which do `work`.
fn spawning(turns: usize, tasks: usize, work: fn(usize)) -> impl FnMut() -> f64 {
    let executor = LocalExecutor::new();
    move || {
        ns_each(turns * tasks, || {
            smol::block_on(executor.run(async {
                for _ in 0..turns {
                    for number in 1..tasks {
                        executor.spawn(async move { work(number) }).detach();
                    }
                    executor.spawn(async move { work(0) }).await;
                }
            }));
        })
    }
}

pub(crate) fn chain(count: usize) -> impl FnMut() -> f64 {
    fn next(executor: &Rc<LocalExecutor<'static>>, left: usize, done: Sender<()>) {
        let again = Rc::clone(executor);
        let task = executor.spawn(async move {
            if left == 1 {
                let _ = done.try_send(());
            } else {
                next(&again, left - 1, done);
            }
        });
        task.detach();
    }
    let executor = Rc::new(LocalExecutor::new());
    move || {
        ns_each(count, || {
            smol::block_on(executor.run(async {
                let (done, is_done) = bounded(1);
                next(&executor, count, done);
                is_done.recv().await.expect("is sent");
            }));
        })
    }
}

pub(crate) fn rearm(outstanding: usize, count: usize) -> impl FnMut() -> f64 {
    let mut random = Random::new();
    let begun = Instant::now();
    let arm = |_| {
        let mut timer = Timer::at(begun + far(&mut random));
        let _ = Pin::new(&mut timer).poll(&mut Context::from_waker(Waker::noop()));
        timer
    };
    let mut timers: Vec<Timer> = (0..outstanding).map(arm).collect();
    move || {
        let mut context = Context::from_waker(Waker::noop());
        ns_each(count, || {
            for _ in 0..count {
                let timer = &mut timers[random.below(outstanding as u64) as usize];
                *timer = Timer::at(begun + far(&mut random));
                let _ = Pin::new(timer).poll(&mut context);
            }
        })
    }
}

pub(crate) fn fire(count: usize) -> impl FnMut() -> f64 {
    let mut random = Random::new();
    let mut executor = LocalExecutor::new();
    move || {
        let fired = Arc::new(AtomicUsize::new(0));
        arm_and_fire(
            &mut executor,
            count,
            |executor| {
                smol::block_on(executor.run(async {
                    let start = Instant::now();
                    for _ in 0..count {
                        let (when, fired) = (start + near(&mut random), Arc::clone(&fired));
                        let task = executor.spawn(async move {
                            Timer::at(when).await;
                            fired.store(fired.load(Relaxed) + 1, Relaxed);
                        });
                        task.detach();
                    }
                    // The tasks' first steps arm the timers.
                    executor.spawn(async {}).await;
                }));
            },
            |executor| {
                smol::block_on(executor.run(async {
                    while fired.load(Relaxed) < count {
                        yield_now().await;
                    }
                }));
            },
        )
    }
}

pub(crate) fn lateness(count: usize) -> impl FnMut() -> f64 {
    move || {
        let mut log = Log::new();
        smol::block_on(async {
            for _ in 0..count {
                Timer::after(log.begin()).await;
                log.end();
            }
        });
        log.median()
    }
}

pub(crate) fn yields(turns: usize) -> impl FnMut() -> f64 {
    let executor = LocalExecutor::new();
    move || {
        ns_each(turns * TASKS, || {
            let task = || {
                executor.spawn(async move {
                    for _ in 0..turns {
                        yield_now().await;
                    }
                })
            };
            smol::block_on(executor.run(async {
                for _ in 1..TASKS {
                    task().detach();
                }
                task().await;
            }));
        })
    }
}

pub(crate) fn flood(flood: Flood) -> impl FnMut() -> f64 {
    move || {
        let (sender, receiver) = unbounded::<Call>();
        let make_call = move || {
            let sender = sender.clone();
            move || sender.try_send(Call::new()).expect("is open")
        };
        flood.measure(make_call, || {
            smol::block_on(async {
                while let Ok(call) = receiver.recv().await {
                    call.run();
                }
            });
        })
    }
}

pub(crate) fn flood_of_tasks(flood: Flood) -> impl FnMut() -> f64 {
    let executor = Arc::new(Executor::new());
    move || {
        let received = Arc::new(AtomicUsize::new(0));
        let (all, all_came) = bounded(1);
        let others = Arc::clone(&executor);
        let make_call = move || {
            let (received, all, executor) = (Arc::clone(&received), all.clone(), Arc::clone(&others));
            move || {
                let (received, all) = (Arc::clone(&received), all.clone());
                let task = executor.spawn(async move {
                    if received.fetch_add(1, Relaxed) + 1 == flood.total() {
                        all.try_send(()).expect("is open");
                    }
                });
                task.detach();
            }
        };
        flood.measure(make_call, || {
            smol::block_on(executor.run(async { all_came.recv().await.expect("is sent") }));
        })
    }
}

pub(crate) fn round_trip(count: usize) -> impl FnMut() -> f64 {
    move || {
        let (sender, receiver) = unbounded::<Answer>();
        let ask = move |answer: &Answer| sender.try_send(answer.clone()).expect("is open");
        let asking = asking(count, Duration::ZERO, ask, || ());
        smol::block_on(async {
            while let Ok(answer) = receiver.recv().await {
                answer.give();
            }
        });
        asking.median()
    }
}

//! tokio, on one thread.

use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use core::task::{Context, Waker};
use core::time::Duration;
use std::sync::Arc;
use std::task::Wake;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::calls::{BURST, work};
use crate::case::{Random, ns_each};
use crate::lateness::Log;
use crate::tasks::TASKS;
use crate::threads::{Answer, Call, Flood, asking};
use crate::timers::{arm_and_fire, far, near};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("opens")
}

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
    let runtime = runtime();
    move || {
        ns_each(turns * tasks, || {
            runtime.block_on(async {
                for _ in 0..turns {
                    let mut last = None;
                    for number in 0..tasks {
                        last = Some(tokio::spawn(async move { work(number) }));
                    }
                    if let Some(last) = last {
                        last.await.expect("doesn't panic");
                    }
                }
            });
        })
    }
}

pub(crate) fn chain(count: usize) -> impl FnMut() -> f64 {
    fn next(left: usize, done: oneshot::Sender<()>) {
        tokio::spawn(async move {
            if left == 1 {
                let _ = done.send(());
            } else {
                next(left - 1, done);
            }
        });
    }
    let runtime = runtime();
    move || {
        ns_each(count, || {
            runtime.block_on(async {
                let (done, is_done) = oneshot::channel();
                next(count, done);
                is_done.await.expect("is sent");
            });
        })
    }
}

pub(crate) fn rearm(outstanding: usize, count: usize) -> impl FnMut() -> f64 {
    let mut random = Random::new();
    let runtime = runtime();
    let begun = Instant::now();
    let mut timers: Vec<Pin<Box<Sleep>>> = {
        let _entered = runtime.enter();
        let mut context = Context::from_waker(Waker::noop());
        let arm = |_| {
            let mut sleep = Box::pin(sleep_until(begun + far(&mut random)));
            let _ = sleep.as_mut().poll(&mut context);
            sleep
        };
        (0..outstanding).map(arm).collect()
    };
    move || {
        let _entered = runtime.enter();
        let mut context = Context::from_waker(Waker::noop());
        ns_each(count, || {
            for _ in 0..count {
                let timer = &mut timers[random.below(outstanding as u64) as usize];
                timer.set(sleep_until(begun + far(&mut random)));
                let _ = timer.as_mut().poll(&mut context);
            }
        })
    }
}

pub(crate) fn fire(count: usize) -> impl FnMut() -> f64 {
    let mut random = Random::new();
    let mut runtime = runtime();
    move || {
        let fired = Arc::new(AtomicUsize::new(0));
        arm_and_fire(
            &mut runtime,
            count,
            |runtime| {
                runtime.block_on(async {
                    let start = Instant::now();
                    for _ in 0..count {
                        let (when, fired) = (start + near(&mut random), Arc::clone(&fired));
                        tokio::spawn(async move {
                            sleep_until(when).await;
                            fired.store(fired.load(Relaxed) + 1, Relaxed);
                        });
                    }
                    // The tasks' first steps arm the timers.
                    tokio::task::yield_now().await;
                });
            },
            |runtime| run_until(runtime, &fired, count),
        )
    }
}

pub(crate) fn fire_by_hand(count: usize) -> impl FnMut() -> f64 {
    struct Counting(Arc<AtomicUsize>);

    impl Wake for Counting {
        fn wake(self: Arc<Self>) {
            self.wake_by_ref();
        }

        fn wake_by_ref(self: &Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    let mut random = Random::new();
    let mut runtime = runtime();
    move || {
        let fired = Arc::new(AtomicUsize::new(0));
        let waker = Waker::from(Arc::new(Counting(Arc::clone(&fired))));
        let mut timers: Vec<Pin<Box<Sleep>>> = Vec::new();
        arm_and_fire(
            &mut runtime,
            count,
            |runtime| {
                let _entered = runtime.enter();
                let start = Instant::now();
                for _ in 0..count {
                    let mut sleep = Box::pin(sleep_until(start + near(&mut random)));
                    let _ = sleep.as_mut().poll(&mut Context::from_waker(&waker));
                    timers.push(sleep);
                }
            },
            |runtime| run_until(runtime, &fired, count),
        )
    }
}

fn run_until(runtime: &Runtime, fired: &AtomicUsize, count: usize) {
    runtime.block_on(async {
        while fired.load(Relaxed) < count {
            tokio::task::yield_now().await;
        }
    });
}

pub(crate) fn lateness(count: usize) -> impl FnMut() -> f64 {
    let runtime = runtime();
    move || {
        let mut log = Log::new();
        runtime.block_on(async {
            for _ in 0..count {
                sleep(log.begin()).await;
                log.end();
            }
        });
        log.median()
    }
}

pub(crate) fn yields(turns: usize) -> impl FnMut() -> f64 {
    let runtime = runtime();
    move || {
        ns_each(turns * TASKS, || {
            runtime.block_on(async {
                let mut last = None;
                for _ in 0..TASKS {
                    last = Some(tokio::spawn(async move {
                        for _ in 0..turns {
                            tokio::task::yield_now().await;
                        }
                    }));
                }
                if let Some(last) = last {
                    last.await.expect("doesn't panic");
                }
            });
        })
    }
}

pub(crate) fn flood(flood: Flood) -> impl FnMut() -> f64 {
    let runtime = runtime();
    move || {
        let (sender, mut receiver) = mpsc::unbounded_channel::<Call>();
        let make_call = move || {
            let sender = sender.clone();
            move || sender.send(Call::new()).expect("is open")
        };
        flood.measure(make_call, || {
            runtime.block_on(async {
                while let Some(call) = receiver.recv().await {
                    call.run();
                }
            });
        })
    }
}

pub(crate) fn flood_of_tasks(flood: Flood) -> impl FnMut() -> f64 {
    let runtime = runtime();
    move || {
        let (all, all_came) = oneshot::channel();
        let received = Arc::new(AtomicUsize::new(0));
        let all = Arc::new(std::sync::Mutex::new(Some(all)));
        let handle = runtime.handle().clone();
        let make_call = move || {
            let (received, all, handle) = (Arc::clone(&received), Arc::clone(&all), handle.clone());
            move || {
                let (received, all) = (Arc::clone(&received), Arc::clone(&all));
                handle.spawn(async move {
                    if received.fetch_add(1, Relaxed) + 1 == flood.total()
                        && let Some(all) = all.lock().expect("isn't poisoned").take()
                    {
                        let _ = all.send(());
                    }
                });
            }
        };
        flood.measure(make_call, || runtime.block_on(async { all_came.await.expect("is sent") }))
    }
}

pub(crate) fn round_trip(count: usize) -> impl FnMut() -> f64 {
    let runtime = runtime();
    move || {
        let (sender, mut receiver) = mpsc::unbounded_channel::<Answer>();
        let ask = move |answer: &Answer| sender.send(answer.clone()).expect("is open");
        let asking = asking(count, Duration::ZERO, ask, || ());
        runtime.block_on(async {
            while let Some(answer) = receiver.recv().await {
                answer.give();
            }
        });
        asking.median()
    }
}

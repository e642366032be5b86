//! monoio, on io_uring where the system lets it, else on epoll. It takes no calls
//! from other threads as it is measured here.

use core::cell::Cell;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::rc::Rc;

use monoio::time::{Instant, Sleep, TimeDriver, sleep, sleep_until};
use monoio::{FusionDriver, FusionRuntime, IoUringDriver, LegacyDriver, RuntimeBuilder};
use tokio::sync::oneshot;

use crate::calls::{BURST, work};
use crate::case::{Random, Unavailable, ns_each};
use crate::lateness::Log;
use crate::tasks::TASKS;
use crate::timers::{arm_and_fire, far, near};

type Runtime = FusionRuntime<TimeDriver<IoUringDriver>, TimeDriver<LegacyDriver>>;

fn runtime() -> Result<Runtime, Unavailable> {
    let built = RuntimeBuilder::<FusionDriver>::new().enable_timer().build();
    built.map_err(|error| Unavailable(error.to_string()))
}

/// Tells what it waits with.
pub(crate) fn driver() -> &'static str {
    if monoio::utils::detect_uring() { "io_uring" } else { "epoll" }
}

pub(crate) fn burst(turns: usize) -> Result<impl FnMut() -> f64, Unavailable> {
    spawning(turns, BURST, |number| work(number as u64))
}

pub(crate) fn create(turns: usize) -> Result<impl FnMut() -> f64, Unavailable> {
    spawning(turns, TASKS, |number| {
        core::hint::black_box(number);
    })
}

/// Makes `tasks` tasks a turn, which do `work`.
fn spawning(turns: usize, tasks: usize, work: fn(usize)) -> Result<impl FnMut() -> f64, Unavailable> {
    let mut runtime = runtime()?;
    Ok(move || {
        ns_each(turns * tasks, || {
            runtime.block_on(async {
                for _ in 0..turns {
                    for number in 1..tasks {
                        drop(monoio::spawn(async move { work(number) }));
                    }
                    monoio::spawn(async move { work(0) }).await;
                }
            });
        })
    })
}

pub(crate) fn chain(count: usize) -> Result<impl FnMut() -> f64, Unavailable> {
    fn next(left: usize, done: oneshot::Sender<()>) {
        drop(monoio::spawn(async move {
            if left == 1 {
                let _ = done.send(());
            } else {
                next(left - 1, done);
            }
        }));
    }
    let mut runtime = runtime()?;
    Ok(move || {
        ns_each(count, || {
            runtime.block_on(async {
                let (done, is_done) = oneshot::channel();
                next(count, done);
                is_done.await.expect("is sent");
            });
        })
    })
}

pub(crate) fn rearm(outstanding: usize, count: usize) -> Result<impl FnMut() -> f64, Unavailable> {
    let mut random = Random::new();
    let mut runtime = runtime()?;
    let begun = Instant::now();
    let mut timers: Vec<Pin<Box<Sleep>>> = runtime.block_on(async {
        let mut context = Context::from_waker(Waker::noop());
        let arm = |_| {
            let mut sleep = Box::pin(sleep_until(begun + far(&mut random)));
            let _ = sleep.as_mut().poll(&mut context);
            sleep
        };
        (0..outstanding).map(arm).collect()
    });
    Ok(move || {
        runtime.block_on(async {
            let mut context = Context::from_waker(Waker::noop());
            ns_each(count, || {
                for _ in 0..count {
                    let timer = &mut timers[random.below(outstanding as u64) as usize];
                    timer.set(sleep_until(begun + far(&mut random)));
                    let _ = timer.as_mut().poll(&mut context);
                }
            })
        })
    })
}

pub(crate) fn fire(count: usize) -> Result<impl FnMut() -> f64, Unavailable> {
    let mut random = Random::new();
    let mut runtime = runtime()?;
    Ok(move || {
        let (all, all_fired) = oneshot::channel();
        let left = Rc::new(Cell::new(count));
        let all = Rc::new(Cell::new(Some(all)));
        arm_and_fire(
            &mut runtime,
            count,
            |runtime| {
                runtime.block_on(async {
                    let start = Instant::now();
                    for _ in 0..count {
                        let when = start + near(&mut random);
                        let (left, all) = (Rc::clone(&left), Rc::clone(&all));
                        drop(monoio::spawn(async move {
                            sleep_until(when).await;
                            left.set(left.get() - 1);
                            if left.get() == 0 {
                                all.take().expect("is the last").send(()).expect("is awaited");
                            }
                        }));
                    }
                    // The tasks' first steps arm the timers.
                    monoio::spawn(async {}).await;
                });
            },
            // A task that yields again and again would keep it from its timers.
            |runtime| runtime.block_on(async { all_fired.await.expect("is sent") }),
        )
    })
}

pub(crate) fn lateness(count: usize) -> Result<impl FnMut() -> f64, Unavailable> {
    let mut runtime = runtime()?;
    Ok(move || {
        let mut log = Log::new();
        runtime.block_on(async {
            for _ in 0..count {
                sleep(log.begin()).await;
                log.end();
            }
        });
        log.median()
    })
}

pub(crate) fn yields(turns: usize) -> Result<impl FnMut() -> f64, Unavailable> {
    let mut runtime = runtime()?;
    Ok(move || {
        ns_each(turns * TASKS, || {
            let task = || {
                monoio::spawn(async move {
                    for _ in 0..turns {
                        yield_now().await;
                    }
                })
            };
            runtime.block_on(async {
                for _ in 1..TASKS {
                    drop(task());
                }
                task().await;
            });
        })
    })
}

/// Is what monoio has no function for.
async fn yield_now() {
    let mut has_yielded = false;
    poll_fn(|context| {
        if core::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

//! `timeout`: W-12, in every order of the same iteration.

use core::time::Duration;

use rondel_core::{Cancelled, Context, Sleep, Task, Timeout, TimeoutError, WaitError, YieldNow};

use crate::cancellation::only_when_woken;
use crate::fixture::{Calls, Fixture, Oops, Trace, on_both_loops};

on_both_loops!(
    completes_in_time,
    expires_at_its_deadline_with_asyncios_hops,
    future_may_clean_up_when_time_is_over,
    future_that_awaits_nothing_of_ours_is_dropped,
    w12_result_cancel_and_timeout_in_every_order,
    w12_cancel_and_timeout_end_as_cancelled,
    w12_cancel_during_the_clean_up_goes_before_the_timeout,
    w12_inner_and_outer_timeout_expire_together,
    w12_cancel_then_timeout_of_a_deaf_future,
    timeout_in_a_foreign_combinator,
    refused_when_no_timer_is_free,
    swallowed_timeout_is_a_result,
    w12_request_from_before_a_timeout_does_not_hide_its_end,
);

const LIMIT: Duration = Duration::from_nanos(100);

/// Awaits nothing of ours, for ever.
async fn deaf<T>(_dropped: T) {
    core::future::pending::<()>().await;
}

fn limited<C: Context>(
    f: &Fixture<C>,
    inner: Duration,
) -> Task<Result<Result<(), WaitError>, TimeoutError>, C> {
    let c = f.context.clone();
    f.context.task(async move { Timeout::new(&c, LIMIT, Sleep::new(&c, inner)).await })
}

fn completes_in_time<C: Context>(f: &Fixture<C>) {
    let task = limited(f, Duration::from_nanos(99));
    f.turn();
    f.driver.advance(Duration::from_nanos(99));
    f.settle();
    assert_eq!(task.take(), Ok(Ok(Ok(()))));
    assert_eq!((f.statistics().timers, f.statistics().calls.live), (0, 0));
}

fn expires_at_its_deadline_with_asyncios_hops<C: Context>(f: &Fixture<C>) {
    let task = limited(f, Duration::from_secs(1));
    f.turn();
    f.driver.advance(LIMIT);
    f.turn();
    assert!(!task.done(), "the timer fired, the task is ready");
    f.turn();
    assert_eq!(task.take(), Ok(Err(TimeoutError::TimedOut)));
    assert_eq!((f.statistics().timers, f.statistics().calls.live), (0, 0));
}

fn future_may_clean_up_when_time_is_over<C: Context>(f: &Fixture<C>) {
    let (trace, c) = (Trace::new(), f.context.clone());
    let t = trace.clone();
    let task = f.context.task(async move {
        let inner = async {
            let ended = Sleep::new(&c, Duration::from_secs(1)).await;
            YieldNow::new(&c).await.unwrap();
            t.push("cleaned up");
            ended
        };
        Timeout::new(&c, LIMIT, inner).await
    });
    f.turn();
    f.driver.advance(LIMIT);
    f.settle();
    assert_eq!(trace.take(), ["cleaned up"]);
    assert_eq!(task.take(), Ok(Err(TimeoutError::TimedOut)));
}

fn future_that_awaits_nothing_of_ours_is_dropped<C: Context>(f: &Fixture<C>) {
    let (trace, c) = (Trace::new(), f.context.clone());
    let dropped = trace.on_drop("dropped");
    let task = f.context.task(async move { Timeout::new(&c, LIMIT, deaf(dropped)).await });
    f.turn();
    f.driver.advance(LIMIT);
    f.settle();
    assert_eq!((trace.take(), task.take()), (vec!["dropped"], Ok(Err(TimeoutError::TimedOut))));
}

// W-12
fn w12_result_cancel_and_timeout_in_every_order<C: Context>(f: &Fixture<C>) {
    const ORDERS: [[u8; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for order in ORDERS {
        for left_out in 0..4 {
            let trace = Trace::new();
            let resource = f.context.future::<crate::fixture::OnDrop>();
            let (c, awaited) = (f.context.clone(), resource.clone());
            let task = f.context.task(async move {
                Timeout::new(&c, LIMIT, async move { awaited.await.map_err(rondel_core::Exception::from) })
                    .await
            });
            f.turn();
            let start = f.context.now();
            for action in order {
                let (resource, task, trace) = (resource.clone(), task.clone(), trace.clone());
                match action {
                    _ if action == left_out => {}
                    0 => {
                        f.context
                            .at((start + LIMIT).as_nanos(), {
                                let set =
                                    Box::new(move || drop(resource.set_result(trace.on_drop("closed"))));
                                move |_: &C| set()
                            })
                            .unwrap();
                    }
                    1 => {
                        f.context
                            .at((start + LIMIT).as_nanos(), move |_: &C| {
                                task.cancel();
                            })
                            .unwrap();
                    }
                    _ => {}
                }
            }
            // The timeout's own timer was armed first; without it, come before it.
            f.driver.advance(if left_out == 2 { Duration::from_nanos(99) } else { LIMIT });
            f.settle();
            if left_out == 2 {
                f.driver.advance(Duration::from_nanos(1));
                f.settle();
            }
            assert!(task.done(), "never neither: {order:?} without {left_out}");
            let delivered = match task.take() {
                Ok(Ok(Ok(resource))) => {
                    drop(resource);
                    true
                }
                Ok(Ok(Err(error))) => panic!("{error}"),
                Ok(Err(TimeoutError::TimedOut)) => {
                    assert!(left_out == 1 || left_out == 2 || left_out == 0 || left_out == 3);
                    false
                }
                Ok(Err(error)) => {
                    assert!(matches!(error, TimeoutError::Cancelled(_)) && left_out != 1);
                    false
                }
                Err(_) => {
                    assert!(task.cancelled() && left_out != 1);
                    false
                }
            };
            let closed = trace.take();
            drop(resource);
            let all = closed.len() + trace.take().len();
            assert_eq!(
                all,
                usize::from(left_out != 0),
                "delivered or closed, once: {order:?} {left_out} {delivered}"
            );
            drop(task);
            assert_eq!(
                (f.statistics().tasks.live, f.statistics().futures.live, f.statistics().calls.live),
                (0, 0, 0)
            );
        }
    }
}

// Python: CancelledError, not TimeoutError
fn w12_cancel_and_timeout_end_as_cancelled<C: Context>(f: &Fixture<C>) {
    let task = limited(f, Duration::from_secs(1));
    f.turn();
    f.driver.advance(LIMIT);
    task.cancel();
    f.settle();
    assert!(task.cancelled());
}

// Python: the request to cancel is counted and goes before the timeout
fn w12_cancel_during_the_clean_up_goes_before_the_timeout<C: Context>(f: &Fixture<C>) {
    let c = f.context.clone();
    let task = f.context.task(async move {
        let inner = async {
            let _ = Sleep::new(&c, Duration::from_secs(1)).await;
            Sleep::new(&c, Duration::from_secs(1)).await
        };
        Timeout::new(&c, LIMIT, inner).await.map(drop)
    });
    f.turn();
    f.driver.advance(LIMIT);
    f.settle();
    assert!(!task.done(), "it cleans up");
    task.cancel();
    f.settle();
    assert!(task.cancelled(), "the request is not turned into a timeout");
}

// Python: the outer one raises TimeoutError, the inner one passes the
// CancelledError on.
fn w12_inner_and_outer_timeout_expire_together<C: Context>(f: &Fixture<C>) {
    let (trace, c) = (Trace::new(), f.context.clone());
    let t = trace.clone();
    let task = f.context.task(async move {
        let inner = async {
            let ended = Timeout::new(&c, LIMIT, Sleep::new(&c, Duration::from_secs(1))).await;
            if let Err(TimeoutError::TimedOut) = ended {
                t.push("inner timed out");
                Sleep::new(&c, Duration::from_secs(50))
                    .await
                    .map_err(|_| TimeoutError::Cancelled(Cancelled))?;
            }
            ended
        };
        Timeout::new(&c, LIMIT, inner).await.map(drop)
    });
    f.turn();
    f.driver.advance(LIMIT);
    f.settle();
    assert!(task.done(), "the outer timeout is not lost");
    assert_eq!((trace.take(), task.take()), (vec![], Ok(Err(TimeoutError::TimedOut))));
}

// The future can't be asked; the wait ends all the same, by the first request.
fn w12_cancel_then_timeout_of_a_deaf_future<C: Context>(f: &Fixture<C>) {
    let (trace, c) = (Trace::new(), f.context.clone());
    let dropped = trace.on_drop("dropped");
    let task = f.context.task(async move { Timeout::new(&c, LIMIT, deaf(dropped)).await });
    f.turn();
    task.cancel();
    f.driver.advance(LIMIT);
    f.settle();
    assert_eq!(trace.take(), ["dropped"]);
    assert!(task.cancelled());
}

fn timeout_in_a_foreign_combinator<C: Context>(f: &Fixture<C>) {
    let c = f.context.clone();
    let task = f.context.task(async move {
        only_when_woken(Timeout::new(&c, LIMIT, Sleep::new(&c, Duration::from_secs(1)))).await
    });
    f.turn();
    f.driver.advance(LIMIT);
    f.settle();
    assert_eq!(task.take(), Ok(Err(TimeoutError::TimedOut)));
}

// Python: only requests within the timeout go before it
fn w12_request_from_before_a_timeout_does_not_hide_its_end<C: Context>(f: &Fixture<C>) {
    let c = f.context.clone();
    let task = f.context.task(async move {
        c.scheduler().current_task(&c).unwrap().cancel();
        let inner = async {
            let asked = Sleep::new(&c, Duration::from_secs(1)).await;
            assert!(asked.is_err(), "the request is heard within");
            Sleep::new(&c, Duration::from_secs(1)).await
        };
        Timeout::new(&c, LIMIT, inner).await.map(drop)
    });
    f.turn();
    f.driver.advance(LIMIT);
    f.settle();
    assert_eq!(task.take(), Ok(Err(TimeoutError::TimedOut)));
}

// C-02
fn refused_when_no_timer_is_free<C: Context>(f: &Fixture<C>) {
    let capacity = f.statistics().calls.capacity;
    let held: Vec<_> = (0..capacity).map(|_| f.context.later(1 << 50, |_: &C| ()).unwrap()).collect();
    let task = limited(f, Duration::from_nanos(1));
    f.settle();
    assert!(matches!(task.take(), Ok(Err(TimeoutError::Refused(_)))));
    held[0].cancel();
    held[1].cancel();
    let task = limited(f, Duration::from_nanos(1));
    f.turn();
    f.driver.advance(Duration::from_nanos(1));
    f.settle();
    assert_eq!(task.take(), Ok(Ok(Ok(()))));
}

// TK-4 for timeouts: who swallows the request goes on
fn swallowed_timeout_is_a_result<C: Context>(f: &Fixture<C>) {
    let c = f.context.clone();
    let task = f.context.task(async move {
        let inner = async {
            let _ = Sleep::new(&c, Duration::from_secs(1)).await;
            Ok::<_, Oops>(5_u8)
        };
        Timeout::new(&c, LIMIT, inner).await
    });
    f.turn();
    f.driver.advance(LIMIT);
    f.settle();
    assert_eq!(task.take(), Ok(Ok(Ok(5))));
}

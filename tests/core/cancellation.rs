//! `Task::cancel`: contract TK-3 to TK-6, design invariant 9.

use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Poll, Waker};
use core::time::Duration;
use std::sync::{Arc, Mutex};
use std::task::Wake;

use rondel_core::{Cancelled, Context, FutureError, Sleep, Task, TaskError, WaitError, YieldNow};

use crate::fixture::{Calls, Fixture, Oops, Trace, on_both_loops, reports};

on_both_loops!(
    cancel_is_delivered_at_the_current_await_once,
    cancelled_tells_the_end_and_not_the_request,
    task_may_clean_up_across_awaits,
    cancel_from_inside_hits_the_next_await,
    cancel_in_the_step_that_returns_still_cancels,
    error_in_the_step_that_is_cancelled_is_kept,
    awaiting_a_cancelled_task_does_not_cancel_the_awaiter,
    cancelling_an_awaiter_cancels_what_it_awaits,
    wait_shields,
    result_of_a_future_survives_the_cancelled_awaiter,
    cancel_reaches_an_awaitable_behind_a_foreign_waker,
    cancel_reaches_it_also_after_other_steps,
    cancel_reaches_every_child_of_a_combinator_and_no_stranger,
    cancel_of_a_done_task_is_refused,
    cancelled_in_an_error_chain_counts,
    cancel_twice_is_delivered_once,
    cancelled_task_reports_nothing,
);

// TK-3
fn cancel_is_delivered_at_the_current_await_once<C: Context>(f: &Fixture<C>) {
    let (trace, c) = (Trace::new(), f.context.clone());
    let t = trace.clone();
    let task = f.context.task(async move {
        let slept = Sleep::new(&c, Duration::from_secs(1)).await;
        assert_eq!(slept, Err(WaitError::Cancelled(Cancelled)));
        t.push("cancelled");
        YieldNow::new(&c).await?;
        t.push("the next await works");
        slept
    });
    f.turn();
    assert!(task.cancel());
    assert!(!task.done());
    f.turn();
    assert_eq!(trace.take(), ["cancelled"]);
    assert_eq!(f.statistics().timers, 0, "the timer is disarmed");
    f.turn();
    assert_eq!(trace.take(), ["the next await works"]);
    assert!(task.cancelled());
}

// TK-4
fn cancelled_tells_the_end_and_not_the_request<C: Context>(f: &Fixture<C>) {
    let c = f.context.clone();
    let task = f.context.task(async move {
        let _ = Sleep::new(&c, Duration::from_secs(1)).await;
        11_u32
    });
    f.turn();
    task.cancel();
    f.settle();
    assert!(task.done() && !task.cancelled());
    assert_eq!(task.take(), Ok(11));
}

// TK-4
fn task_may_clean_up_across_awaits<C: Context>(f: &Fixture<C>) {
    let (trace, c) = (Trace::new(), f.context.clone());
    let t = trace.clone();
    let task = f.context.task(async move {
        let ended = Sleep::new(&c, Duration::from_secs(1)).await;
        Sleep::new(&c, Duration::from_nanos(5)).await.unwrap();
        t.push("cleaned up");
        ended
    });
    f.turn();
    task.cancel();
    f.turn();
    f.driver.advance(Duration::from_nanos(5));
    f.settle();
    assert_eq!(trace.take(), ["cleaned up"]);
    assert!(task.cancelled());
}

// TK-5
fn cancel_from_inside_hits_the_next_await<C: Context>(f: &Fixture<C>) {
    let c = f.context.clone();
    let task = f.context.task(async move {
        assert!(c.scheduler().current_task(&c).unwrap().cancel());
        YieldNow::new(&c).await
    });
    f.turn();
    assert!(task.cancelled(), "in the same step");
}

// TK-5: test_cancel_at_end
fn cancel_in_the_step_that_returns_still_cancels<C: Context>(f: &Fixture<C>) {
    let (trace, c) = (Trace::new(), f.context.clone());
    let value = trace.on_drop("value dropped");
    let task = f.context.task(async move {
        c.scheduler().current_task(&c).unwrap().cancel();
        Ok::<_, Oops>(value)
    });
    f.turn();
    assert!(task.cancelled());
    assert_eq!(trace.take(), ["value dropped"]);
}

// Python: `task.cancel(); raise ValueError` ends with the ValueError.
fn error_in_the_step_that_is_cancelled_is_kept<C: Context>(f: &Fixture<C>) {
    let c = f.context.clone();
    let task = f.context.task(async move {
        c.scheduler().current_task(&c).unwrap().cancel();
        Err::<(), _>(Oops(1))
    });
    f.turn();
    assert!(task.done() && !task.cancelled());
    drop(task);
    assert_eq!(reports(), ["Task exception was never retrieved: oops 1"]);
}

// TK-6
fn awaiting_a_cancelled_task_does_not_cancel_the_awaiter<C: Context>(f: &Fixture<C>) {
    let c = f.context.clone();
    let child = f.context.task(async move { Sleep::new(&c, Duration::from_secs(1)).await });
    let awaited = child.clone();
    let parent = f.context.task(async move { awaited.await.map(|_| ()) });
    f.turn();
    child.cancel();
    f.settle();
    assert!(child.cancelled() && parent.done() && !parent.cancelled());
    assert_eq!(parent.take(), Ok(Err(TaskError::Cancelled)));
}

// TK-3: test_cancel_inner_future
fn cancelling_an_awaiter_cancels_what_it_awaits<C: Context>(f: &Fixture<C>) {
    let c = f.context.clone();
    let future = f.context.future::<()>();
    let child = f.context.task(async move { Sleep::new(&c, Duration::from_secs(1)).await });
    let (a, b) = (future.clone(), child.clone());
    let on_future = f.context.task(async move { a.await.map_err(rondel_core::Exception::from) });
    let on_task = f.context.task(async move { b.await.map(|_| ()) });
    f.turn();
    assert!(on_future.cancel() && on_task.cancel());
    f.settle();
    assert!(future.cancelled() && child.cancelled());
    assert!(on_future.cancelled() && on_task.cancelled());
}

fn wait_shields<C: Context>(f: &Fixture<C>) {
    let future = f.context.future::<u32>();
    let waits = f.context.task(future.wait());
    f.turn();
    waits.cancel();
    f.settle();
    assert!(waits.cancelled() && !future.done());
    future.set_result(1).unwrap();
}

// W-12: the result came, and then the request: delivered to nobody, kept
fn result_of_a_future_survives_the_cancelled_awaiter<C: Context>(f: &Fixture<C>) {
    let future = f.context.future::<u32>();
    let awaited = future.clone();
    let task = f.context.task(async move { awaited.await.map_err(rondel_core::Exception::from) });
    f.turn();
    future.set_result(6).unwrap();
    task.cancel();
    f.settle();
    assert!(task.cancelled());
    assert!(matches!(future.take(), Ok(6)));
    assert!(matches!(future.take(), Err(FutureError::Taken)));
}

/// Polls its child only when the child's own waker was woken, as
/// `FuturesUnordered` does.
pub struct OnlyWhenWoken<F> {
    child: Pin<Box<F>>,
    signal: Arc<Signal>,
}

struct Signal {
    woken: AtomicBool,
    parent: Mutex<Option<Waker>>,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        if let Some(waker) = self.parent.lock().unwrap().as_ref() {
            waker.wake_by_ref();
        }
    }
}

pub fn only_when_woken<F: Future>(child: F) -> OnlyWhenWoken<F> {
    let signal = Signal { woken: AtomicBool::new(true), parent: Mutex::default() };
    OnlyWhenWoken { child: Box::pin(child), signal: Arc::new(signal) }
}

impl<F: Future> Future for OnlyWhenWoken<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut core::task::Context<'_>) -> Poll<F::Output> {
        *self.signal.parent.lock().unwrap() = Some(cx.waker().clone());
        if !self.signal.woken.swap(false, Ordering::SeqCst) {
            return Poll::Pending;
        }
        let waker = Waker::from(self.signal.clone());
        self.child.as_mut().poll(&mut core::task::Context::from_waker(&waker))
    }
}

// Invariant 9: `cancel` wakes whatever waker the pending one was polled with
fn cancel_reaches_an_awaitable_behind_a_foreign_waker<C: Context>(f: &Fixture<C>) {
    let c = f.context.clone();
    let future = f.context.future::<()>();
    let (a, b) =
        (future.clone(), f.context.task(async move { Sleep::new(&c, Duration::from_secs(3)).await }));
    let c = f.context.clone();
    let tasks = [
        f.context.task(only_when_woken(async move { a.await.map_err(rondel_core::Exception::from) })),
        f.context
            .task(only_when_woken(async move { b.await.map(|_| ()).map_err(rondel_core::Exception::from) })),
        f.context.task(only_when_woken(async move {
            Sleep::new(&c, Duration::from_secs(3)).await.map_err(rondel_core::Exception::from)
        })),
    ];
    f.turn();
    for task in &tasks {
        task.cancel();
    }
    f.settle();
    assert!(tasks.iter().all(Task::cancelled));
    assert_eq!((f.statistics().calls.live, f.statistics().timers), (0, 0));
}

// ... also if the task ran meanwhile without polling that one
fn cancel_reaches_it_also_after_other_steps<C: Context>(f: &Fixture<C>) {
    let c = f.context.clone();
    let waker = std::rc::Rc::new(core::cell::RefCell::new(None));
    let w = waker.clone();
    let mut child = only_when_woken(async move { Sleep::new(&c, Duration::from_secs(3)).await });
    let task = f.context.task(core::future::poll_fn(move |cx| {
        *w.borrow_mut() = Some(cx.waker().clone());
        Pin::new(&mut child).poll(cx)
    }));
    f.turn();
    waker.borrow().as_ref().unwrap().wake_by_ref();
    f.turn();
    task.cancel();
    f.settle();
    assert!(task.cancelled());
}

// ... and if the one that was polled last is done already
fn cancel_reaches_every_child_of_a_combinator_and_no_stranger<C: Context>(f: &Fixture<C>) {
    let c = f.context.clone();
    let (future, last) = (f.context.future::<()>(), f.context.future::<()>());
    let mut slow = only_when_woken(async move { Sleep::new(&c, Duration::from_secs(3)).await });
    let mut waits = only_when_woken(future.wait());
    let mut quick = only_when_woken(last.wait());
    let mut is_over = false;
    let task = f.context.task(core::future::poll_fn(move |cx| {
        let slow = Pin::new(&mut slow).poll(cx);
        let waits = Pin::new(&mut waits).poll(cx);
        is_over = is_over || Pin::new(&mut quick).poll(cx).is_ready();
        match (slow, waits) {
            (Poll::Ready(ended), _) | (_, Poll::Ready(ended)) => Poll::Ready(ended),
            _ => Poll::Pending,
        }
    }));
    let c = f.context.clone();
    let steps = std::rc::Rc::new(core::cell::Cell::new(0));
    let s = steps.clone();
    let mut sleep = Box::pin(async move { Sleep::new(&c, Duration::from_secs(3)).await });
    let stranger = f.context.task(core::future::poll_fn(move |cx| {
        s.set(s.get() + 1);
        sleep.as_mut().poll(cx)
    }));
    f.turn();
    last.set_result(()).unwrap();
    f.settle();
    assert!(task.cancel());
    f.settle();
    assert!(task.cancelled() && !stranger.done());
    assert_eq!((steps.get(), f.statistics().timers), (1, 1));
}

// W-08: the wake that a cancellation makes may complete what others wait for
#[test]
fn waker_that_completes_a_future_when_poked_loses_no_wake() {
    thread_local! {
        static COMPLETED: core::cell::RefCell<Option<rondel_core::Future<(), crate::fixture::Own>>> =
            const { core::cell::RefCell::new(None) };
    }
    struct Completes;
    impl Wake for Completes {
        fn wake(self: Arc<Self>) {
            COMPLETED.take().map(|future| future.set_result(()));
        }
    }
    let f = crate::fixture::own_loop();
    let (never, future) = (f.context.future::<()>(), f.context.future::<()>());
    let waits = f.context.task(only_when_woken(future.wait()));
    let mut hostile = Box::pin(never.wait());
    let victim = f.context.task(core::future::poll_fn(move |_| {
        let waker = Waker::from(Arc::new(Completes));
        hostile.as_mut().poll(&mut core::task::Context::from_waker(&waker))
    }));
    f.turn();
    COMPLETED.set(Some(future));
    victim.cancel();
    f.settle();
    assert!(victim.cancelled() && waits.done());
}

// TK-3
fn cancel_of_a_done_task_is_refused<C: Context>(f: &Fixture<C>) {
    let task = f.context.task(async { 1_u8 });
    f.turn();
    assert!(!task.cancel() && !task.cancelled());
    assert_eq!(task.take(), Ok(1));
}

// Invariant 9
fn cancelled_in_an_error_chain_counts<C: Context>(f: &Fixture<C>) {
    #[derive(Debug)]
    struct Outer(Cancelled);
    impl core::fmt::Display for Outer {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            f.write_str("outer")
        }
    }
    impl core::error::Error for Outer {
        fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    let task = f.context.task(async { Err::<(), _>(Outer(Cancelled)) });
    f.turn();
    assert!(task.cancelled());
}

fn cancel_twice_is_delivered_once<C: Context>(f: &Fixture<C>) {
    let c = f.context.clone();
    let task = f.context.task(async move {
        let first = Sleep::new(&c, Duration::from_secs(1)).await;
        YieldNow::new(&c).await?;
        first
    });
    f.turn();
    assert!(task.cancel() && task.cancel());
    f.turn();
    assert!(!task.done(), "the second await was not cancelled");
    f.turn();
    assert!(task.cancelled());
}

// F-8
fn cancelled_task_reports_nothing<C: Context>(f: &Fixture<C>) {
    let c = f.context.clone();
    let task = f.context.task(async move { Sleep::new(&c, Duration::from_secs(1)).await });
    f.turn();
    task.cancel();
    drop(task);
    f.settle();
    assert_eq!(reports(), [""; 0]);
    assert_eq!(f.statistics().tasks.live, 0);
}

//! Panics in callbacks, steps, wakers and destructors, through a context that
//! doesn't catch them and one that does, W-08, W-10.

use core::cell::RefCell;
use core::panic::AssertUnwindSafe;
use core::task::Poll;
use std::panic::catch_unwind;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Wake, Waker};

use rondel_core::{Context, RunError, Sleep, Task, TaskError, YieldNow};

use crate::fixture::{Calls, Fixture, Own, Trace, defer, on_both_loops, own_loop, reports};

on_both_loops!(
    r08_panic_through_run_leaves_the_loop_valid,
    r08_panicking_step_ends_its_task_as_panicked,
    r09_panic_of_the_awaited_future_leaves_no_stop_behind,
    panic_beside_run_until_complete_leaves_no_stop_behind,
    panicking_handler_stays,
    w08_panicking_waker_costs_the_others_nothing,
    w10_panicking_destructor_of_an_aborted_task_ends_it,
    w10_panicking_destructor_of_a_cancelled_callback_frees_its_slot,
    w10_panicking_destructor_of_a_result_frees_the_task,
    w10_panicking_destructor_at_close_lets_the_rest_be_dropped,
);

/// Runs `f`, which must panic.
fn panics<R>(f: impl FnOnce() -> R) {
    assert!(catch_unwind(AssertUnwindSafe(f)).is_err(), "the panic went through");
}

fn boom() {
    std::panic::resume_unwind(Box::new("boom"));
}

//
fn r08_panic_through_run_leaves_the_loop_valid<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let captured = trace.on_drop("capture dropped");
    f.context
        .soon(move |c: &C| {
            let _captured = captured;
            c.stop();
            boom();
        })
        .unwrap();
    f.context.soon(trace.note("rest of the batch")).unwrap();
    panics(|| f.run_forever());
    assert_eq!(trace.take(), ["capture dropped"]);
    assert!(!f.scheduler().is_running() && !f.scheduler().is_closed());
    assert!(f.scheduler().running().is_none());
    let t = trace.clone();
    f.context
        .soon(move |c: &C| {
            t.push("queued later");
            let t = t.clone();
            c.soon(move |c: &C| {
                t.push("next iteration");
                c.stop();
            })
            .unwrap();
        })
        .unwrap();
    f.run_forever().unwrap();
    assert_eq!(
        trace.take(),
        [
            "rest of the batch", // was kept
            "queued later",      //
            "next iteration",    // the stop of before is consumed
        ]
    );
    assert_eq!(f.statistics().calls.live, 0);
}

fn r08_panicking_step_ends_its_task_as_panicked<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let (captured, c) = (trace.on_drop("dropped"), f.context.clone());
    let task = f.context.task(async move {
        let _captured = captured;
        YieldNow::new(&c).await.unwrap();
        boom();
    });
    let awaited = task.clone();
    let awaiter = f.context.task(async move { awaited.await });
    f.turn();
    panics(|| f.turn());
    assert_eq!(trace.take(), ["dropped"]);
    f.settle();
    assert_eq!(task.take(), Err(TaskError::Panicked));
    assert_eq!(awaiter.take(), Ok(Err(TaskError::Panicked)));
    drop((task, awaiter));
    assert_eq!(f.statistics().tasks.live, 0);
}

fn runs_three_iterations<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let (t, c) = (trace.clone(), f.context.clone());
    f.context.task(async move {
        for n in ["1", "2", "3"] {
            t.push(n);
            YieldNow::new(&c).await.unwrap();
        }
        c.stop();
    });
    f.run_forever().unwrap();
    assert_eq!(trace.take(), ["1", "2", "3"], "no stop is left behind");
}

//
fn r09_panic_of_the_awaited_future_leaves_no_stop_behind<C: Context>(f: &Fixture<C>) {
    panics(|| f.block_on(async { boom() }));
    assert_eq!((f.statistics().tasks.live, f.statistics().calls.live), (0, 0));
    runs_three_iterations(f);
}

fn panic_beside_run_until_complete_leaves_no_stop_behind<C: Context>(f: &Fixture<C>) {
    f.context.soon(|_: &C| boom()).unwrap();
    let c = f.context.clone();
    panics(|| f.block_on(async move { Sleep::new(&c, core::time::Duration::from_secs(1)).await }));
    assert_eq!((f.statistics().tasks.live, f.statistics().calls.live, f.statistics().ready), (0, 0, 0));
    runs_three_iterations(f);
}

// IO-8
fn panicking_handler_stays<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let t = trace.clone();
    let id = f
        .scheduler()
        .add_handler(
            move |_: &C| {
                t.push("ran");
                boom();
            },
            rondel_core::Callback::handler,
            core::panic::Location::caller(),
        )
        .unwrap();
    for _ in 0..2 {
        assert!(f.scheduler().make_ready(id));
        panics(|| f.turn());
    }
    assert_eq!(trace.take(), ["ran", "ran"]);
}

struct Hostile;

impl Wake for Hostile {
    fn wake(self: Arc<Self>) {
        boom();
    }
}

// W-08
fn w08_panicking_waker_costs_the_others_nothing<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let future = f.context.future::<u8>();
    let add = |name| {
        let t = trace.clone();
        future.add_done_callback(move |_: &C, _: &_| t.push(name)).unwrap();
    };
    add("before");
    let mut hostile = Box::pin(future.wait());
    assert!(
        hostile
            .as_mut()
            .poll(&mut core::task::Context::from_waker(&Waker::from(Arc::new(Hostile))))
            .is_pending()
    );
    add("after");
    let (t, wait) = (trace.clone(), future.wait());
    f.context.task(async move {
        wait.await.unwrap();
        t.push("task");
    });
    f.turn();
    panics(|| future.set_result(1));
    drop(hostile);
    assert!(matches!(future.take(), Ok(1)));
    drop(future);
    f.settle();
    assert_eq!(trace.take(), ["before", "after", "task"]);
    let s = f.statistics();
    assert_eq!((s.calls.live, s.futures.live, s.tasks.live), (0, 0, 0));
}

fn w10_panicking_destructor_of_an_aborted_task_ends_it<C: Context>(f: &Fixture<C>) {
    let c = f.context.clone();
    let task = f.context.task(async move {
        let _hostile = defer(boom);
        Sleep::new(&c, core::time::Duration::from_secs(1)).await
    });
    let awaited = task.clone();
    let awaiter = f.context.task(async move { awaited.await.map(drop) });
    f.turn();
    panics(|| task.abort());
    assert!(task.done() && task.cancelled());
    f.settle();
    assert_eq!(awaiter.take(), Ok(Err(TaskError::Cancelled)), "who awaits it is told");
    drop((task, awaiter));
    assert_eq!(f.statistics().tasks.live, 0);
}

fn w10_panicking_destructor_of_a_cancelled_callback_frees_its_slot<C: Context>(f: &Fixture<C>) {
    let hostile = defer(boom);
    let handle = f.context.soon(move |_: &C| drop(hostile)).unwrap();
    panics(|| handle.cancel());
    let hostile = defer(boom);
    let future = f.context.future::<u8>();
    let callback = future.add_done_callback(move |_: &C, _: &_| drop(hostile)).unwrap();
    panics(|| future.remove_done_callback(callback));
    let hostile = defer(boom);
    future.add_done_callback(move |_: &C, _: &_| drop(hostile)).unwrap();
    panics(|| drop(future));
    assert_eq!((f.statistics().calls.live, f.statistics().futures.live, f.statistics().ready), (0, 0, 0));
    runs_three_iterations(f);
}

fn w10_panicking_destructor_of_a_result_frees_the_task<C: Context>(f: &Fixture<C>) {
    let task = f.context.task(async { Some(defer(boom)) });
    f.turn();
    panics(|| drop(task));
    assert_eq!(f.statistics().tasks.live, 0);
    let future = f.context.future();
    assert!(future.set_result(defer(boom)).is_ok());
    panics(|| drop(future));
    assert_eq!(f.statistics().futures.live, 0);
}

fn w10_panicking_destructor_at_close_lets_the_rest_be_dropped<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    for hostile in [false, true, false] {
        let bomb = hostile.then(|| defer(boom));
        let dropped = trace.on_drop("callback dropped");
        f.context.soon(move |_: &C| drop((dropped, bomb))).unwrap();
    }
    let (dropped, value) = (trace.on_drop("task dropped"), trace.on_drop("value dropped"));
    f.context.task(async move { drop(dropped) });
    let future = f.context.future();
    assert!(future.set_result(value).is_ok());
    panics(|| f.close());
    assert_eq!(
        trace.take(),
        ["callback dropped", "callback dropped", "callback dropped", "task dropped", "value dropped"]
    );
    assert!(f.scheduler().is_closed());
    assert_eq!(reports(), ["Task was destroyed but it is pending!"]);
}

fn catching() -> Fixture<Own> {
    let f = own_loop();
    f.context.0.catches.set(true);
    f
}

#[test]
fn caught_panics_are_reported_and_the_batch_goes_on() {
    let (f, trace) = (catching(), Trace::new());
    f.context.soon(|_: &Own| boom()).unwrap();
    let task = f.context.task(async { boom() });
    f.context.soon(trace.note("the rest")).unwrap();
    f.turn();
    assert_eq!(trace.take(), ["the rest"]);
    assert_eq!(reports(), ["panicked", "panicked"]);
    assert_eq!(task.take(), Err(TaskError::Panicked));
    assert_eq!(f.block_on(async { boom() }), Err(RunError::Panicked));
    runs_three_iterations(&f);
}

// W-06: the report of a panic is user code too; it may make a task in the very slot.
#[test]
fn task_made_while_a_panic_is_reported_can_be_woken() {
    thread_local! {
        static MADE: RefCell<Option<Task<u8, Own>>> = const { RefCell::new(None) };
        static WAKER: RefCell<Option<Waker>> = const { RefCell::new(None) };
    }
    let f = catching();
    f.context.0.on_panic.set(Some(|c| {
        let mut is_woken = false;
        let task = c.task(core::future::poll_fn(move |cx| {
            WAKER.set(Some(cx.waker().clone()));
            if core::mem::replace(&mut is_woken, true) { Poll::Ready(3) } else { Poll::Pending }
        }));
        MADE.set(Some(task));
    }));
    drop(f.context.task(async { boom() }));
    f.turn();
    f.turn();
    WAKER.take().unwrap().wake();
    f.turn();
    assert_eq!(MADE.take().unwrap().take(), Ok(3));
    WAKER.take();
}

#[test]
fn panicking_destructors_are_caught_wherever_the_loop_drops() {
    let (f, trace) = (catching(), Trace::new());
    // A removed handler, dropped after it ran.
    let own: Rc<RefCell<Option<rondel_core::SlotId>>> = Rc::default();
    let (o, bomb) = (own.clone(), defer(boom));
    let id = f
        .scheduler()
        .add_handler(
            move |c: &Own| {
                let _ = &bomb;
                c.scheduler().cancel_call(c, o.borrow().unwrap());
            },
            rondel_core::Callback::handler,
            core::panic::Location::caller(),
        )
        .unwrap();
    own.replace(Some(id));
    f.scheduler().make_ready(id);
    // A result whose last reference is a done callback.
    let future = f.context.future();
    future.add_done_callback(|_: &Own, _: &_| ()).unwrap();
    assert!(future.set_result(defer(boom)).is_ok());
    drop(future);
    // A task's result that nobody waits for, and a future that is aborted.
    drop(f.context.task(async { Some(defer(boom)) }));
    f.context.soon(trace.note("the rest")).unwrap();
    f.turn();
    assert_eq!(trace.take(), ["the rest"]);
    assert_eq!(reports(), ["panicked"; 3]);
    let s = f.statistics();
    assert_eq!((s.calls.live, s.futures.live, s.tasks.live), (0, 0, 0));
}

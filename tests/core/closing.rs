//! `close`, drop and leak of a loop, K-08, W-10.

use core::time::Duration;
use std::rc::Rc;

use rondel_core::{Context, EventLoop, ManualDriver, Sleep, Storage, TaskError};

use crate::fixture::{Calls, Fixture, Trace, core_loop, defer, leak, on_both_loops, reports};

on_both_loops!(
    close_drops_everything_unrun_in_order,
    destructors_at_close_are_refused_and_may_close,
    handles_of_a_closed_loop_are_inert,
    awaiters_of_each_other_are_dropped_once,
);

//
fn close_drops_everything_unrun_in_order<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let (a, b, c, d) = (
        trace.on_drop("callback"),
        trace.on_drop("timer"),
        trace.on_drop("done callback"),
        trace.on_drop("task"),
    );
    f.context.soon(move |_: &C| drop(a)).unwrap();
    f.context.later(9, move |_: &C| drop(b)).unwrap();
    let future = f.context.future::<u8>();
    future.add_done_callback(move |_: &C, _: &_| drop(c)).unwrap();
    f.context.task(async move { drop(d) });
    f.close().unwrap();
    assert_eq!(trace.take(), ["callback", "timer", "done callback", "task"]);
    let s = f.statistics();
    assert_eq!((s.calls.live, s.futures.live, s.tasks.live, s.timers), (0, 0, 0, 0));
    reports();
}

// W-10
fn destructors_at_close_are_refused_and_may_close<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    for _ in 0..3 {
        let (c, t) = (f.context.clone(), trace.clone());
        let hostile = Box::new(defer(move || {
            assert!(c.soon(|_: &C| ()).is_err_and(|refused| refused.is_closed()));
            assert!(rondel_core::Future::<u8, C>::new(&c).is_err());
            assert_eq!(c.scheduler().close(&c), Ok(()));
            c.stop();
            t.push("dropped");
        }));
        let (c, t) = (f.context.clone(), trace.clone());
        f.context.task(async move {
            let _hostile = hostile;
            let _ = Sleep::new(&c, Duration::from_secs(1)).await;
            t.push("never");
        });
    }
    f.turn();
    f.close().unwrap();
    assert_eq!(trace.take(), ["dropped"; 3]);
    assert_eq!(reports(), ["Task was destroyed but it is pending!"; 3]);
}

// R-14, K-08
fn handles_of_a_closed_loop_are_inert<C: Context>(f: &Fixture<C>) {
    let handle = f.context.soon(|_: &C| ()).unwrap();
    let timer = f.context.later(3, |_: &C| ()).unwrap();
    let (future, task) = (f.context.future::<u8>(), f.context.task(async { 1_u8 }));
    let (future2, task2) = (future.clone(), task.clone());
    f.close().unwrap();
    handle.cancel();
    timer.cancel();
    assert!(handle.cancelled() && timer.cancelled());
    assert!(future.done() && !future.cancelled() && !future.cancel());
    assert!(task.done() && !task.cancel() && !task.abort());
    assert_eq!(task.take(), Err(TaskError::Cancelled));
    drop((future.clone(), task.clone(), task.as_ref().clone(), future.wait(), task.wait()));
    let _ = format!("{future:?} {task:?} {handle:?} {timer:?} {:?}", f.scheduler());
    drop((future, task, future2, task2));
    assert_eq!(f.statistics().tasks.live, 0);
    reports();
}

fn awaiters_of_each_other_are_dropped_once<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let future = f.context.future::<u8>();
    let (a, dropped) = (future.clone(), trace.on_drop("first"));
    let first = f.context.task(async move {
        let _dropped = dropped;
        let _ = a.await;
    });
    let (waited, dropped) = (first.clone(), trace.on_drop("second"));
    let second = f.context.task(async move {
        let _dropped = dropped;
        let _ = waited.await;
    });
    let gather = rondel_core::Gather::new(&f.context, [second]).unwrap();
    f.context.task(async move {
        let _ = gather.await;
    });
    f.settle();
    f.close().unwrap();
    assert_eq!(trace.take(), ["first", "second"]);
    drop((first, future));
    let s = f.statistics();
    assert_eq!((s.calls.live, s.futures.live, s.tasks.live), (0, 0, 0));
    reports();
}

//
#[test]
fn dropping_the_owner_closes() {
    let mut f = core_loop();
    let (trace, context) = (Trace::new(), f.context);
    let dropped = trace.on_drop("callback dropped");
    context.call_soon(move |_| drop(dropped)).unwrap();
    f.owner = None;
    assert!(context.is_closed());
    assert_eq!(trace.take(), ["callback dropped"]);
}

// K-08
#[test]
fn k08_a_leaked_loop_leaves_its_handles_sound() {
    let mut f = core_loop();
    let context = f.context;
    let alive = Rc::new(());
    let kept = alive.clone();
    let task = context.create_task(async move { drop(kept) }).unwrap();
    core::mem::forget(f.owner.take());
    assert!(!context.is_closed() && !task.done());
    task.abort();
    assert_eq!(Rc::strong_count(&alive), 1);
    drop(task);
    context.call_soon(|_| ()).unwrap().cancel();
}

// W-10: a task may own the loop's owner
#[test]
fn w10_destructor_of_a_task_closes_its_own_loop() {
    let storage: &'static Storage<4, 4, 4, 256> = leak(Storage::new());
    let driver: &'static ManualDriver = leak(ManualDriver::new());
    let owner = Rc::new(EventLoop::new(storage.take().unwrap(), driver));
    owner.set_exception_handler(Some(|_, context| crate::fixture::report(context)));
    let (context, inner) = (owner.handle(), owner.clone());
    let hostile = defer(move || {
        inner.close().unwrap();
    });
    let task = context
        .create_task(async move {
            let _hostile = hostile;
            core::future::pending::<()>().await;
        })
        .unwrap();
    let other = context.create_task(async {}).unwrap();
    owner.run_once().unwrap();
    assert!(task.abort());
    assert!(context.is_closed() && task.done() && other.done());
    drop((task, other));
    assert_eq!(context.statistics().tasks.live, 0);
    reports();
}

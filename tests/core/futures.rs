//! `create_future`, `Future`: contract F.

use core::cell::RefCell;
use std::rc::Rc;

use rondel_core::{Context, DoneCallback, Future, FutureError};

use crate::fixture::{Calls, Fixture, Oops, Trace, on_both_loops, reports};

on_both_loops!(
    w14_second_result_is_refused_and_given_back,
    reading_while_pending_and_after_cancel,
    cancel_is_true_once,
    done_callbacks_run_by_call_soon_in_order,
    removed_callback_does_not_run,
    callback_list_edited_while_delivered,
    failing_done_callback_is_reported_and_others_run,
    w15_unread_exception_is_reported_once_when_the_last_handle_goes,
    w15_looked_at_or_cancelled_exception_is_not_reported,
    result_leaves_a_copy_and_take_moves,
    exception_can_be_looked_at_twice,
    awaiting_a_done_future_takes_no_hop,
    awaiters_wake_in_order_with_done_callbacks,
    future_nobody_can_complete_takes_its_callbacks_along,
    done_callback_keeps_the_future_until_it_ran,
    c03_completing_needs_no_room,
    value_is_dropped_with_the_last_handle,
);

// F-1
fn w14_second_result_is_refused_and_given_back<C: Context>(f: &Fixture<C>) {
    let future = f.context.future::<String>();
    future.set_result("first".into()).unwrap();
    let refused = future.set_result("second".into()).unwrap_err();
    assert_eq!(refused.to_string(), "invalid state: the future is result");
    assert_eq!(refused.into_value(), "second");
    assert_eq!(future.set_exception(Oops(1)).unwrap_err().into_value(), Oops(1));
    let cancelled = f.context.future::<u8>();
    cancelled.cancel();
    assert_eq!(cancelled.set_result(1).unwrap_err().into_value(), 1);
    let after_close = f.context.future::<u8>();
    f.close().unwrap();
    assert_eq!(after_close.set_result(3).unwrap_err().into_value(), 3);
    assert!(!after_close.cancel());
}

// F-2
fn reading_while_pending_and_after_cancel<C: Context>(f: &Fixture<C>) {
    let future = f.context.future::<u8>();
    assert!(matches!(future.result(), Err(FutureError::NotReady)));
    assert!(matches!(future.take(), Err(FutureError::NotReady)));
    assert!(matches!(future.exception(|_| ()), Err(FutureError::NotReady)));
    future.cancel();
    assert!(matches!(future.result(), Err(FutureError::Cancelled)));
    assert!(matches!(future.exception(|_| ()), Err(FutureError::Cancelled)));
}

// F-3
fn cancel_is_true_once<C: Context>(f: &Fixture<C>) {
    let future = f.context.future::<u8>();
    assert!(future.cancel() && !future.cancel() && future.done() && future.cancelled());
    let done = f.context.future::<u8>();
    done.set_result(1).unwrap();
    assert!(!done.cancel() && !done.cancelled());
}

// F-4
fn done_callbacks_run_by_call_soon_in_order<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let future = f.context.future::<u8>();
    for name in ["a", "b"] {
        let t = trace.clone();
        future
            .add_done_callback(move |_: &C, future: &Future<u8, C>| {
                assert!(future.done());
                t.push(name);
            })
            .unwrap();
    }
    f.context.soon(trace.note("queued before")).unwrap();
    future.set_result(1).unwrap();
    assert!(trace.is_empty(), "nothing runs inside set_result");
    let t = trace.clone();
    future.add_done_callback(move |_: &C, _: &_| t.push("added when done")).unwrap();
    f.turn();
    assert_eq!(trace.take(), ["queued before", "a", "b", "added when done"]);
}

// F-5
fn removed_callback_does_not_run<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let future = f.context.future::<u8>();
    let dropped = trace.on_drop("dropped at once");
    let t = trace.clone();
    let a = future
        .add_done_callback(move |_: &C, _: &_| {
            let _ = &dropped;
            t.push("a");
        })
        .unwrap();
    let t = trace.clone();
    future.add_done_callback(move |_: &C, _: &_| t.push("b")).unwrap();
    assert!(future.remove_done_callback(a));
    assert!(!future.remove_done_callback(a));
    assert_eq!(trace.take(), ["dropped at once"]);
    let other = f.context.future::<u8>();
    let foreign = other.add_done_callback(|_: &C, _: &_| ()).unwrap();
    assert!(!future.remove_done_callback(foreign), "of another future");
    future.set_result(1).unwrap();
    f.turn();
    assert_eq!(trace.take(), ["b"]);
}

// F-6
fn callback_list_edited_while_delivered<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let future = f.context.future::<u8>();
    let second: Rc<RefCell<Option<DoneCallback>>> = Rc::default();
    let (t, s) = (trace.clone(), second.clone());
    future
        .add_done_callback(move |_: &C, future: &Future<u8, C>| {
            t.push("a");
            assert!(!future.remove_done_callback(s.take().unwrap()), "is about to run, as in asyncio");
            let t2 = t.clone();
            future.add_done_callback(move |_: &C, _: &_| t2.push("c")).unwrap();
        })
        .unwrap();
    let t = trace.clone();
    second.replace(Some(future.add_done_callback(move |_: &C, _: &_| t.push("b")).unwrap()));
    future.set_result(1).unwrap();
    f.turn();
    assert_eq!(trace.take(), ["a", "b"]);
    f.turn();
    assert_eq!(trace.take(), ["c"]);
}

// F-7
fn failing_done_callback_is_reported_and_others_run<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let future = f.context.future::<u8>();
    future.add_done_callback(|_: &C, _: &_| Err::<(), _>(Oops(2))).unwrap();
    let t = trace.clone();
    future.add_done_callback(move |_: &C, _: &_| t.push("other")).unwrap();
    future.set_result(1).unwrap();
    f.turn();
    assert_eq!(trace.take(), ["other"]);
    assert_eq!(reports(), ["Exception in callback: oops 2"]);
}

// F-8
fn w15_unread_exception_is_reported_once_when_the_last_handle_goes<C: Context>(f: &Fixture<C>) {
    let future = f.context.future::<u8>();
    let other = future.clone();
    future.set_exception(Oops(5)).unwrap();
    drop(future);
    assert_eq!(reports(), [""; 0]);
    drop(other);
    assert_eq!(reports(), ["Future exception was never retrieved: oops 5"]);
    // At close, where handles are left.
    let kept = f.context.future::<u8>();
    kept.set_exception(Oops(6)).unwrap();
    f.close().unwrap();
    assert_eq!(reports(), ["Future exception was never retrieved: oops 6"]);
    drop(kept);
    assert_eq!(reports(), [""; 0]);
}

// F-8
fn w15_looked_at_or_cancelled_exception_is_not_reported<C: Context>(f: &Fixture<C>) {
    let looked = f.context.future::<u8>();
    looked.set_exception(Oops(5)).unwrap();
    looked.exception(|error| assert!(error.is_some())).unwrap();
    drop(looked);
    let taken = f.context.future::<u8>();
    taken.set_exception(Oops(5)).unwrap();
    assert!(matches!(taken.take(), Err(FutureError::Exception(_))));
    drop(taken);
    let cancelled = f.context.future::<u8>();
    cancelled.cancel();
    drop(cancelled);
    let awaited = f.context.future::<u8>();
    awaited.set_exception(Oops(5)).unwrap();
    f.context.task(async move { drop(awaited.await) });
    f.turn();
    assert_eq!(reports(), [""; 0]);
    assert_eq!(f.statistics().futures.live, 0);
}

fn result_leaves_a_copy_and_take_moves<C: Context>(f: &Fixture<C>) {
    let future = f.context.future::<String>();
    future.set_result("x".into()).unwrap();
    assert!(future.result().is_ok_and(|x| x == "x") && future.result().is_ok());
    assert!(future.take().is_ok());
    assert!(matches!(future.result(), Err(FutureError::Taken)));
    assert!(future.done());
}

fn exception_can_be_looked_at_twice<C: Context>(f: &Fixture<C>) {
    let future = f.context.future::<u8>();
    future.set_exception(Oops(5)).unwrap();
    for _ in 0..2 {
        assert!(future.exception(|error| error.unwrap().to_string() == "oops 5").unwrap());
    }
    let fine = f.context.future::<u8>();
    fine.set_result(1).unwrap();
    assert!(fine.exception(|error| error.is_none()).unwrap());
}

fn awaiting_a_done_future_takes_no_hop<C: Context>(f: &Fixture<C>) {
    let future = f.context.future::<u8>();
    future.set_result(4).unwrap();
    let task = f.context.task(async move { future.await.unwrap_or(0) });
    f.turn();
    assert_eq!(task.take(), Ok(4));
}

// F-4: waiters and callbacks share one list
fn awaiters_wake_in_order_with_done_callbacks<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let future = f.context.future::<u8>();
    let wait = |name| {
        let (t, wait) = (trace.clone(), future.wait());
        f.context.task(async move {
            wait.await.unwrap();
            t.push(name);
        });
        f.turn();
    };
    let add = |name| {
        let t = trace.clone();
        future.add_done_callback(move |_: &C, _: &_| t.push(name)).unwrap();
    };
    wait("task 1");
    add("callback 1");
    wait("task 2");
    add("callback 2");
    future.set_result(1).unwrap();
    f.turn();
    assert_eq!(trace.take(), ["task 1", "callback 1", "task 2", "callback 2"]);
}

// C-10: Python's collector takes them; here the last handle does
fn future_nobody_can_complete_takes_its_callbacks_along<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let future = f.context.future::<u8>();
    for name in ["a dropped", "b dropped"] {
        let dropped = trace.on_drop(name);
        future.add_done_callback(move |_: &C, _: &_| drop(dropped)).unwrap();
    }
    drop(future);
    assert_eq!(trace.take(), ["a dropped", "b dropped"]);
    assert_eq!((f.statistics().futures.live, f.statistics().calls.live), (0, 0));
    f.turn();
}

fn done_callback_keeps_the_future_until_it_ran<C: Context>(f: &Fixture<C>) {
    let future = f.context.future::<u8>();
    let seen = Rc::new(RefCell::new(None));
    for _ in 0..2 {
        let s = seen.clone();
        future
            .add_done_callback(move |_: &C, future: &Future<u8, C>| *s.borrow_mut() = future.result().ok())
            .unwrap();
    }
    future.set_result(9).unwrap();
    drop(future);
    assert_eq!(f.statistics().futures.live, 1);
    f.turn();
    assert_eq!((*seen.borrow(), f.statistics().futures.live), (Some(9), 0));
}

// C-03: each took its slot when it was added
fn c03_completing_needs_no_room<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let future = f.context.future::<u8>();
    let capacity = f.statistics().calls.capacity;
    for _ in 0..capacity {
        let t = trace.clone();
        future.add_done_callback(move |_: &C, _: &_| t.push("ran")).unwrap();
    }
    let t = trace.clone();
    let refused = future.add_done_callback(move |_: &C, _: &Future<u8, C>| t.push("extra")).unwrap_err();
    assert!(f.context.soon(|_: &C| ()).is_err());
    future.set_result(1).unwrap();
    assert!(refused.is_full());
    f.turn();
    assert_eq!(trace.take().len(), capacity);
    future.add_done_callback(refused.into_value()).expect("room again");
    f.turn();
    assert_eq!(trace.take(), ["extra"]);
}

fn value_is_dropped_with_the_last_handle<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let future = f.context.future();
    assert!(future.set_result(trace.on_drop("value dropped")).is_ok());
    let other = future.clone();
    drop(future);
    assert!(trace.is_empty());
    drop(other);
    assert_eq!(trace.take(), ["value dropped"]);
}

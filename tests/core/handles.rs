//! `Handle`, `TimerHandle`, handlers: contract H, CS-5, W-07.

use core::cell::RefCell;
use std::rc::Rc;

use rondel_core::{Callback, Context, Handle, SlotId};

use crate::fixture::{Calls, Fixture, Oops, Trace, on_both_loops, reports};

on_both_loops!(
    cancelled_callback_is_dropped_at_once_and_does_not_run,
    dropping_a_handle_does_not_cancel,
    cancel_on_drop_cancels,
    cancel_in_the_same_batch,
    cancel_after_the_run_has_no_effect,
    w07_stale_handle_never_names_the_next_use,
    handler_runs_once_per_readiness,
    handler_that_removes_itself_is_dropped_after_it_ran,
    handler_replaced_while_it_runs,
    handler_removed_in_its_batch_does_not_run,
    failing_callback_is_reported_and_the_batch_goes_on,
);

// H-1
fn cancelled_callback_is_dropped_at_once_and_does_not_run<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let dropped = trace.on_drop("dropped");
    let handle = f.context.soon(move |_: &C| drop(dropped)).unwrap();
    assert!(!handle.cancelled());
    handle.cancel();
    assert_eq!(trace.take(), ["dropped"]);
    handle.cancel();
    assert!(handle.cancelled());
    assert_eq!((f.statistics().ready, f.statistics().calls.live), (0, 0));
    f.turn();
}

// H-2
fn dropping_a_handle_does_not_cancel<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    drop(f.context.soon(trace.note("ran")).unwrap());
    f.turn();
    assert_eq!(trace.take(), ["ran"]);
}

// H-2
fn cancel_on_drop_cancels<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let soon = f.context.soon(trace.note("ran")).unwrap().cancel_on_drop();
    let later = f.context.later(0, trace.note("fired")).unwrap().cancel_on_drop();
    drop((soon, later));
    f.turn();
    assert!(trace.is_empty());
    assert_eq!(f.statistics().timers, 0);
}

// CS-5, C-12
fn cancel_in_the_same_batch<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let victims: Rc<RefCell<Vec<Handle<C>>>> = Rc::default();
    let (v, t) = (victims.clone(), trace.clone());
    f.context
        .soon(move |_: &C| {
            t.push("a");
            v.borrow().iter().for_each(Handle::cancel);
        })
        .unwrap();
    let b = f.context.soon(trace.note("b")).unwrap();
    f.context.soon(trace.note("c")).unwrap();
    let d = f.context.soon(trace.note("d")).unwrap();
    victims.borrow_mut().extend([b, d]);
    f.turn();
    assert_eq!(trace.take(), ["a", "c"]);
}

// H-1, H-3
fn cancel_after_the_run_has_no_effect<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let handle = f.context.soon(trace.note("ran")).unwrap();
    f.turn();
    f.context.soon(trace.note("in the same slot")).unwrap();
    handle.cancel();
    f.turn();
    assert_eq!(trace.take(), ["ran", "in the same slot"]);
}

// W-07, H-1
fn w07_stale_handle_never_names_the_next_use<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let stale: Vec<_> = (0..300)
        .map(|n| {
            let handle = f.context.soon(|_: &C| ()).unwrap();
            let timer = f.context.later(n << (n % 50), |_: &C| ()).unwrap();
            if n % 2 == 0 {
                handle.cancel();
            } else {
                f.turn();
            }
            timer.cancel();
            handle
        })
        .collect();
    let capacity = f.statistics().calls.capacity;
    for _ in 0..capacity {
        f.context.soon(trace.note("ran")).unwrap();
    }
    stale.iter().for_each(Handle::cancel);
    f.turn();
    assert_eq!(trace.take().len(), capacity);
}

fn add<C: Context, R: rondel_core::Outcome>(c: &C, handler: impl FnMut(&C) -> R + 'static) -> SlotId {
    c.scheduler().add_handler(handler, Callback::handler, core::panic::Location::caller()).unwrap()
}

fn handler_runs_once_per_readiness<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let t = trace.clone();
    let id = add(&f.context, move |_: &C| {
        t.push("ran");
        Err::<(), _>(Oops(1))
    });
    f.turn();
    assert!(trace.is_empty());
    assert!(f.scheduler().make_ready(id));
    assert!(!f.scheduler().make_ready(id), "is ready already");
    f.turn();
    f.turn();
    assert_eq!(trace.take(), ["ran"]);
    assert!(f.scheduler().make_ready(id), "it stays when it fails");
    f.turn();
    assert_eq!(trace.take(), ["ran"]);
    assert!(f.scheduler().cancel_call(&f.context, id) && !f.scheduler().cancel_call(&f.context, id));
    assert!(!f.scheduler().make_ready(id));
    assert_eq!(reports().len(), 2);
}

// Invariant 1
fn handler_that_removes_itself_is_dropped_after_it_ran<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let own: Rc<RefCell<Option<SlotId>>> = Rc::default();
    let (o, t, dropped) = (own.clone(), trace.clone(), trace.on_drop("dropped"));
    let id = add(&f.context, move |c: &C| {
        let _ = &dropped;
        let id = o.borrow().unwrap();
        assert!(c.scheduler().cancel_call(c, id));
        assert!(!c.scheduler().make_ready(id));
        t.push("ran to its end");
    });
    own.replace(Some(id));
    f.scheduler().make_ready(id);
    f.turn();
    assert_eq!(trace.take(), ["ran to its end", "dropped"]);
    assert_eq!(f.statistics().calls.live, 0);
}

fn handler_replaced_while_it_runs<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let own: Rc<RefCell<Option<SlotId>>> = Rc::default();
    let (o, t) = (own.clone(), trace.clone());
    let id = add(&f.context, move |c: &C| {
        t.push("old");
        c.scheduler().cancel_call(c, o.borrow().unwrap());
        let t2 = t.clone();
        let new = add(c, move |_: &C| t2.push("new"));
        c.scheduler().make_ready(new);
    });
    own.replace(Some(id));
    f.scheduler().make_ready(id);
    f.turn();
    f.scheduler().make_ready(id);
    f.turn();
    assert_eq!(trace.take(), ["old", "new"]);
}

fn handler_removed_in_its_batch_does_not_run<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let t = trace.clone();
    let id = add(&f.context, move |_: &C| t.push("ran"));
    f.context.soon(move |c: &C| assert!(c.scheduler().cancel_call(c, id))).unwrap();
    f.scheduler().make_ready(id);
    f.turn();
    assert!(trace.is_empty());
}

// H-5
fn failing_callback_is_reported_and_the_batch_goes_on<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    f.context.soon(|_: &C| Err::<(), _>(Oops(1))).unwrap();
    f.context.soon(trace.note("b")).unwrap();
    f.turn();
    assert_eq!(trace.take(), ["b"]);
    assert_eq!(reports(), ["Exception in callback: oops 1"]);
}

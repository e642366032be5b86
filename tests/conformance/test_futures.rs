//! Futures: F.

use core::time::Duration;
use std::rc::Rc;

use rondel::{FutureError, TimeoutError};

use crate::fixture::{Oops, Trace, manual, quietly, reports, run_until_idle};

#[test]
fn a_future_leaves_the_pending_state_once() {
    // F-1, F-3
    let event_loop = manual();
    let future = event_loop.create_future::<u32>().unwrap();
    assert!(!future.done() && !future.cancelled());
    future.set_result(1).unwrap();
    assert!(future.done());
    let second = future.set_result(2).unwrap_err();
    assert_eq!(second.into_value(), 2, "the value comes back");
    assert_eq!(future.set_exception(Oops(3)).unwrap_err().into_value(), Oops(3));
    assert!(!future.cancel());
    assert_eq!(future.result().unwrap(), 1, "the first stays");
}

#[test]
fn a_result_set_after_cancel_is_an_error_that_names_the_state() {
    // F-1, F-3
    let event_loop = manual();
    let future = event_loop.create_future::<u32>().unwrap();
    assert!(future.cancel());
    assert!(!future.cancel());
    assert!(future.done() && future.cancelled());
    let error = future.set_result(1).unwrap_err();
    assert_eq!(error.to_string(), "invalid state: the future is cancelled");
}

#[test]
fn reading_while_pending_is_not_ready_and_after_cancel_cancelled() {
    // F-2
    let event_loop = manual();
    let future = event_loop.create_future::<u32>().unwrap();
    assert!(matches!(future.result(), Err(FutureError::NotReady)));
    assert!(matches!(future.take(), Err(FutureError::NotReady)));
    assert!(matches!(future.exception(|_| ()), Err(FutureError::NotReady)));
    future.cancel();
    assert!(matches!(future.result(), Err(FutureError::Cancelled)));
    assert!(matches!(future.exception(|_| ()), Err(FutureError::Cancelled)));
    let future = event_loop.create_future::<u32>().unwrap();
    future.set_exception(Oops(4)).unwrap();
    let text = future.exception(|error| error.map(ToString::to_string)).unwrap();
    assert_eq!(text.as_deref(), Some("oops 4"));
    assert!(matches!(future.take(), Err(FutureError::Exception(error)) if error.to_string() == "oops 4"));
}

#[test]
fn done_callbacks_run_by_call_soon_in_order_of_registration() {
    // F-4
    let (event_loop, trace) = (manual(), Trace::new());
    let future = event_loop.create_future::<u32>().unwrap();
    for what in ["first", "second"] {
        let noted = trace.clone();
        future
            .add_done_callback(move |_, future| noted.push(format!("{what} {:?}", future.result().ok())))
            .unwrap();
    }
    let (set, noted, late) = (future.clone(), trace.clone(), trace.clone());
    event_loop
        .call_soon(move |_| {
            set.set_result(5).unwrap();
            noted.push("set");
        })
        .unwrap();
    event_loop.call_soon(trace.note("rest of the batch")).unwrap();
    event_loop.run_once().unwrap();
    assert_eq!(trace.take(), ["set", "rest of the batch"]);
    future.add_done_callback(move |_, _| late.push("added after completion")).unwrap();
    assert_eq!(trace.count(), 0, "never at once");
    event_loop.run_once().unwrap();
    assert_eq!(trace.take(), ["first Some(5)", "second Some(5)", "added after completion"]);
}

#[test]
fn waking_a_waiter_costs_an_iteration() {
    // F-4: the trace is that of CPython
    let (event_loop, trace) = (manual(), Trace::new());
    let (handle, noted) = (event_loop.handle(), trace.clone());
    event_loop
        .run_until_complete(async move {
            let future = handle.create_future::<u32>()?;
            let (set, told, after) = (future.clone(), noted.clone(), noted.clone());
            handle.call_soon(move |event_loop| {
                told.push("set");
                set.set_result(1).map_err(|_| Oops(1))?;
                event_loop.call_soon(after.note("after set")).map_err(|_| Oops(2))?;
                Ok::<(), Oops>(())
            })?;
            handle.call_soon(noted.note("next in batch"))?;
            future.await?;
            noted.push("woke");
            Ok::<(), rondel::Error>(())
        })
        .unwrap();
    assert_eq!(trace.take(), ["set", "next in batch", "woke", "after set"]);
}

#[test]
fn a_removed_done_callback_does_not_run_and_removal_tells() {
    // F-5
    let (event_loop, trace) = (manual(), Trace::new());
    let future = event_loop.create_future::<u32>().unwrap();
    let other = event_loop.create_future::<u32>().unwrap();
    let dropped = trace.on_drop("captures");
    let token = future.add_done_callback(move |_, _| drop(dropped)).unwrap();
    assert!(!other.remove_done_callback(token), "not its");
    assert!(future.remove_done_callback(token));
    assert_eq!(trace.take(), ["captures"]);
    assert!(!future.remove_done_callback(token));
    future.set_result(1).unwrap();
    run_until_idle(&event_loop);
    assert_eq!(trace.count(), 0);
}

#[test]
fn a_callback_list_edited_while_delivered_stays_consistent() {
    // F-6
    let (event_loop, trace) = (manual(), Trace::new());
    let future = event_loop.create_future::<u32>().unwrap();
    let (noted, added) = (trace.clone(), trace.clone());
    let second = Rc::new(core::cell::Cell::new(None));
    let remove = Rc::clone(&second);
    future
        .add_done_callback(move |_, future| {
            noted.push(format!(
                "first removes second: {}",
                future.remove_done_callback(remove.get().unwrap())
            ));
            future.add_done_callback(move |_, _| added.push("added by first")).unwrap();
        })
        .unwrap();
    let noted = trace.clone();
    second.set(Some(future.add_done_callback(move |_, _| noted.push("second")).unwrap()));
    let noted = trace.clone();
    future.add_done_callback(move |_, _| noted.push("third")).unwrap();
    future.set_result(1).unwrap();
    run_until_idle(&event_loop);
    assert_eq!(
        trace.take(),
        [
            "first removes second: false", // it is on its way, as in asyncio
            "second",
            "third",
            "added by first",
        ]
    );
}

#[test]
fn an_error_in_one_done_callback_is_reported_and_the_others_run() {
    // F-7
    let (event_loop, trace) = (manual(), Trace::new());
    let told = reports(&event_loop);
    let future = event_loop.create_future::<u32>().unwrap();
    future.add_done_callback(|_, _| Err::<(), _>(Oops(1))).unwrap();
    future.add_done_callback(|_, _| -> () { panic!("two") }).unwrap();
    let noted = trace.clone();
    future.add_done_callback(move |_, _| noted.push("third")).unwrap();
    future.set_result(1).unwrap();
    quietly(|| run_until_idle(&event_loop));
    assert_eq!(told.take(), ["Exception in callback: oops 1", "Callback panicked: panicked: two"]);
    assert_eq!(trace.take(), ["third"]);
}

#[test]
fn an_error_never_looked_at_is_reported_when_the_last_handle_goes() {
    // F-8
    let event_loop = manual();
    let told = reports(&event_loop);
    let future = event_loop.create_future::<u32>().unwrap();
    let clone = future.clone();
    future.set_exception(Oops(1)).unwrap();
    drop(future);
    assert_eq!(told.count(), 0);
    drop(clone);
    assert_eq!(told.take(), ["Future exception was never retrieved: oops 1"]);
    let looked_at = event_loop.create_future::<u32>().unwrap();
    looked_at.set_exception(Oops(2)).unwrap();
    looked_at.exception(|_| ()).unwrap();
    drop(looked_at);
    let cancelled = event_loop.create_future::<u32>().unwrap();
    cancelled.cancel();
    drop(cancelled);
    assert_eq!(told.count(), 0, "looking at it, or cancelling, silences");
}

#[test]
fn cancelling_a_waiting_task_cancels_the_future_unless_it_only_waits() {
    // TK-3, F-3
    let event_loop = manual();
    let awaited = event_loop.create_future::<u32>().unwrap();
    let shielded = event_loop.create_future::<u32>().unwrap();
    let (by_value, by_wait) = (awaited.clone(), shielded.clone());
    let first = event_loop.create_task(async move { by_value.await }).unwrap();
    let second = event_loop.create_task(async move { by_wait.wait().await }).unwrap();
    event_loop.run_once().unwrap();
    assert!(first.cancel() && second.cancel());
    run_until_idle(&event_loop);
    assert!(first.cancelled() && second.cancelled());
    assert!(awaited.cancelled() && !shielded.done());
}

#[test]
fn a_timeout_delivers_the_result_or_the_timeout_and_leaves_no_timer() {
    // F-1, FAULTS W-12
    let event_loop = manual();
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async move {
            let limit = Duration::from_secs(1);
            let future = handle.create_future::<u32>()?;
            let setter = future.clone();
            handle.call_later(limit / 2, move |_| setter.set_result(7).map_err(|_| Oops(0)))?;
            assert_eq!(handle.timeout(limit, future).await?.unwrap(), 7);
            assert_eq!(handle.statistics().timers, 0);
            let never = handle.create_future::<u32>()?;
            let ended = handle.timeout(limit, never.clone()).await;
            assert!(matches!(ended, Err(TimeoutError::TimedOut)));
            assert!(never.cancelled(), "as wait_for does");
            Ok::<(), rondel::Error>(())
        })
        .unwrap();
}

//! Rows E and K: panics, destructors, misuse and handles that outlive their loop.

use core::cell::RefCell;
use std::rc::Rc;

use rondel::ErrorKind;

use super::MS;
use crate::fixture::{Oops, Trace, defer, manual, never, quietly, reports, run_until_idle, turns};

#[test]
fn k04_misuse_is_a_typed_error() {
    let event_loop = Rc::new(manual());
    let inner = Rc::clone(&event_loop);
    let kinds = Rc::new(RefCell::new(Vec::new()));
    let noted = Rc::clone(&kinds);
    event_loop
        .call_soon(move |_| {
            let run = inner.run_forever().unwrap_err().kind();
            let once = inner.run_once().unwrap_err().kind();
            noted.borrow_mut().extend([run, once, inner.close().unwrap_err().kind()]);
        })
        .unwrap();
    event_loop.stop();
    event_loop.run_forever().unwrap();
    event_loop.close().unwrap();
    event_loop.close().unwrap();
    kinds.borrow_mut().push(event_loop.run_forever().unwrap_err().kind());
    assert_eq!(
        *kinds.borrow(),
        [ErrorKind::Running, ErrorKind::Running, ErrorKind::Running, ErrorKind::Closed]
    );
}

#[test]
fn k08_handles_outlive_a_dropped_loop_and_a_forgotten_one_harms_nobody() {
    let event_loop = manual();
    let handle = event_loop.handle();
    let sleeper = handle.clone();
    let future = handle.create_future::<u32>().unwrap();
    let timer = handle.call_later(MS, never).unwrap();
    let task = handle.create_task(async move { sleeper.sleep(MS).await }).unwrap();
    let mut sleep = Box::pin(handle.sleep(MS));
    turns(&event_loop, 1);
    handle.reset_exception_handler();
    handle.set_exception_handler(|_, _| ());
    drop(event_loop);
    timer.cancel();
    assert!(future.set_result(1).is_err() && future.done() && task.done());
    assert!(task.take().is_err() && !task.cancel() && !task.abort());
    let waker = core::task::Waker::noop();
    let mut context = core::task::Context::from_waker(waker);
    assert!(core::future::Future::poll(sleep.as_mut(), &mut context).is_ready());
    drop((future, task, handle, timer, sleep));
    let forgotten = manual();
    let kept = forgotten.handle();
    core::mem::forget(forgotten);
    let other = manual();
    let trace = Trace::new();
    kept.call_soon(trace.note("of the forgotten loop")).unwrap();
    other.call_soon(trace.note("of the other")).unwrap();
    run_until_idle(&other);
    assert_eq!(trace.take(), ["of the other"]);
}

#[test]
fn e05_a_panic_payload_that_panics_when_dropped_is_survived() {
    let (event_loop, trace) = (manual(), Trace::new());
    let told = reports(&event_loop);
    event_loop
        .call_soon(|_| -> () {
            struct Bomb;
            impl Drop for Bomb {
                fn drop(&mut self) {
                    panic!("in the payload");
                }
            }
            std::panic::panic_any(Bomb);
        })
        .unwrap();
    event_loop.call_soon(trace.note("next")).unwrap();
    quietly(|| run_until_idle(&event_loop));
    assert_eq!(told.take(), ["Callback panicked: panicked: a value that is not a message"]);
    assert_eq!(trace.take(), ["next"]);
}

#[test]
fn k01_a_destructor_that_panics_is_reported_wherever_it_runs() {
    let event_loop = manual();
    let told = reports(&event_loop);
    let bomb = || defer(|| panic!("in a destructor"));
    let (in_call, in_task) = (bomb(), bomb());
    event_loop.call_soon(move |_| drop(in_call)).unwrap();
    drop(event_loop.create_task(async move { drop(in_task) }).unwrap());
    let future = event_loop.create_future::<Box<dyn core::any::Any>>().unwrap();
    future.set_result(Box::new(bomb())).map_err(|_| Oops(0)).unwrap();
    event_loop.call_soon(move |_| drop(future)).unwrap();
    quietly(|| run_until_idle(&event_loop));
    assert_eq!(told.count(), 3);
    let statistics = event_loop.statistics();
    assert_eq!((statistics.calls.live, statistics.futures.live, statistics.tasks.live), (0, 0, 0));
}

//! The exception handler: EH.

use core::cell::Cell;
use core::fmt;
use std::rc::Rc;

use rondel::{ExceptionContext, Outcome};

use crate::fixture::{
    Counter, Oops, Trace, break_log, defer, log_lines, logged, manual, panics, propagating, quietly, reports,
    run_until_idle,
};

#[test]
fn without_a_handler_the_default_logs() {
    // EH-1, EH-7
    log_lines();
    let event_loop = manual();
    assert!(event_loop.exception_handler().is_none());
    event_loop.call_soon(|_| Err::<(), _>(Oops(1))).unwrap();
    run_until_idle(&event_loop);
    let lines = logged(log::Level::Error);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with("Exception in callback\n"), "{}", lines[0]);
    assert!(lines[0].contains("\nexception: oops 1"), "{}", lines[0]);
}

#[test]
fn a_handler_replaces_logging_and_resetting_it_restores_logging() {
    // EH-1, EH-2
    log_lines();
    let event_loop = manual();
    let told = reports(&event_loop);
    assert!(event_loop.exception_handler().is_some());
    event_loop.call_exception_handler(&ExceptionContext::new("one"));
    assert_eq!((told.take().len(), logged(log::Level::Error).len()), (1, 0));
    event_loop.reset_exception_handler();
    assert!(event_loop.exception_handler().is_none());
    event_loop.call_exception_handler(&ExceptionContext::new("two"));
    assert_eq!((told.count(), logged(log::Level::Error)), (0, vec!["two".to_owned()]));
}

#[test]
fn a_handler_gets_the_loop_and_the_context() {
    // EH-2, EH-3
    let (event_loop, trace) = (manual(), Trace::new());
    let noted = trace.clone();
    event_loop.set_exception_handler(move |event_loop, context| {
        noted.push(format!(
            "{} exception={} handle={} task={} location={} protocol={} transport={} socket={}",
            context.message,
            context.exception.is_some(),
            context.handle.is_some(),
            context.task.is_some(),
            context.location.is_some(),
            context.protocol.is_some(),
            context.transport.is_some(),
            context.socket.is_some(),
        ));
        event_loop.stop();
    });
    event_loop.call_soon(|_| Err::<(), _>(Oops(1))).unwrap();
    event_loop.run_forever().unwrap();
    drop(event_loop.create_task(async { Err::<(), _>(Oops(2)) }).unwrap());
    event_loop.run_forever().unwrap();
    event_loop.call_exception_handler(&ExceptionContext::new("by hand"));
    assert_eq!(
        trace.take(),
        [
            "Exception in callback exception=true handle=true task=false location=true \
             protocol=false transport=false socket=false",
            "Task exception was never retrieved exception=true handle=false task=true location=true \
             protocol=false transport=false socket=false",
            "by hand exception=false handle=false task=false location=false \
             protocol=false transport=false socket=false",
        ]
    );
}

#[test]
fn the_default_is_told_what_a_failing_handler_was_told() {
    // EH-4, FAULTS K-03
    log_lines();
    let event_loop = manual();
    event_loop.set_exception_handler(|_, _| Err::<(), _>(rondel::Error::new(Oops(9))));
    event_loop.call_soon(|_| Err::<(), _>(Oops(1))).unwrap();
    run_until_idle(&event_loop);
    let lines = logged(log::Level::Error);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with("Unhandled error in exception handler: oops 9"), "{}", lines[0]);
    assert!(lines[0].contains("Exception in callback") && lines[0].contains("oops 1"), "{}", lines[0]);
}

#[test]
fn the_default_is_told_that_a_handler_panicked_and_the_handler_stays() {
    // EH-4, FAULTS K-03
    log_lines();
    let event_loop = manual();
    let calls = Counter::new();
    let counted = calls.clone();
    event_loop.set_exception_handler(move |_, _| -> () {
        counted.add();
        panic!("broken handler");
    });
    for _ in 0..2 {
        event_loop.call_soon(|_| Err::<(), _>(Oops(1))).unwrap();
    }
    quietly(|| run_until_idle(&event_loop));
    let lines = logged(log::Level::Error);
    assert_eq!((lines.len(), calls.get()), (2, 2));
    assert!(lines[0].contains("broken handler"), "{}", lines[0]);
}

#[test]
fn a_report_from_inside_the_handler_goes_to_the_default() {
    // EH-4, FAULTS K-03
    log_lines();
    let (event_loop, trace) = (manual(), Trace::new());
    let noted = trace.clone();
    event_loop.set_exception_handler(move |event_loop, context| {
        noted.push(context.message);
        event_loop.call_exception_handler(&ExceptionContext::new("from inside"));
        let future = event_loop.create_future::<()>().unwrap();
        future.set_exception(Oops(3)).unwrap();
    });
    event_loop.call_exception_handler(&ExceptionContext::new("outer"));
    assert_eq!(trace.take(), ["outer"], "no recursion");
    let lines = logged(log::Level::Error);
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0], "from inside");
    assert!(lines[1].starts_with("Future exception was never retrieved"), "{}", lines[1]);
}

#[test]
fn a_handler_may_replace_itself() {
    // EH-1
    let (event_loop, trace) = (manual(), Trace::new());
    let (noted, next, dropped) = (trace.clone(), trace.clone(), trace.on_drop("first dropped"));
    event_loop.set_exception_handler(move |event_loop, _| {
        let _kept = &dropped;
        let next = next.clone();
        event_loop.set_exception_handler(move |_, _| next.push("second"));
        noted.push("first");
    });
    event_loop.call_exception_handler(&ExceptionContext::new("a"));
    event_loop.call_exception_handler(&ExceptionContext::new("b"));
    assert_eq!(trace.take(), ["first", "first dropped", "second"]);
}

#[test]
fn a_failing_default_handler_is_swallowed_and_the_loop_goes_on() {
    // EH-5
    log_lines();
    let (event_loop, trace) = (manual(), Trace::new());
    event_loop.call_soon(|_| Err::<(), _>(Oops(1))).unwrap();
    event_loop.call_soon(trace.note("next")).unwrap();
    quietly(|| {
        break_log(true);
        let _mended = defer(|| break_log(false));
        run_until_idle(&event_loop);
        event_loop.default_exception_handler(&ExceptionContext::new("by hand"));
        event_loop.set_debug(true);
        event_loop.set_slow_callback_duration(core::time::Duration::ZERO);
        event_loop.call_soon(trace.note("slow")).unwrap();
        run_until_idle(&event_loop);
    });
    assert_eq!(trace.take(), ["next", "slow"]);
}

/// Fails to print itself: by an error, or by a panic.
#[derive(Debug)]
struct Unprintable(bool);

impl fmt::Display for Unprintable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        assert!(!self.0, "can't print");
        Err(fmt::Error)
    }
}

impl core::error::Error for Unprintable {}

#[test]
fn an_error_that_can_not_be_printed_does_no_harm() {
    // EH-5, FAULTS K-03
    log_lines();
    let (event_loop, trace) = (manual(), Trace::new());
    for panics in [false, true] {
        event_loop.call_soon(move |_| Err::<(), _>(Unprintable(panics))).unwrap();
    }
    event_loop.call_soon(trace.note("next")).unwrap();
    quietly(|| run_until_idle(&event_loop));
    event_loop.set_exception_handler(|_, context| {
        Err::<(), _>(rondel::Error::new(Unprintable(context.exception.is_none())))
    });
    quietly(|| {
        event_loop.call_exception_handler(&ExceptionContext::new("a"));
        event_loop.call_exception_handler(&ExceptionContext::new("b").with_exception(&Oops(1)));
    });
    assert_eq!(trace.take(), ["next"]);
    let lines = logged(log::Level::Error);
    assert!(lines.iter().any(|line| line.contains("Unhandled error in exception handler")), "{lines:?}");
}

#[test]
fn a_panic_in_the_handler_leaves_run_where_panics_propagate() {
    // EH-6
    let (event_loop, trace) = (propagating(), Trace::new());
    event_loop.set_exception_handler(|_, _| -> () { panic!("interrupt") });
    event_loop.call_soon(|_| Err::<(), _>(Oops(1))).unwrap();
    event_loop.call_soon(trace.note("next")).unwrap();
    assert!(panics(|| event_loop.run_once()));
    event_loop.reset_exception_handler();
    let told = reports(&event_loop);
    event_loop.call_soon(|_| Err::<(), _>(Oops(2))).unwrap();
    run_until_idle(&event_loop);
    assert_eq!((told.take().len(), trace.take()), (1, vec!["next".to_owned()]), "the loop is whole");
}

#[test]
fn a_context_without_a_message_gets_a_generic_one_and_keys_are_sorted() {
    // EH-7
    log_lines();
    let event_loop = manual();
    let mut context = ExceptionContext::new("").with_exception(&Oops(1));
    let (socket, transport) = (7, "transport");
    context.socket = Some(&socket);
    context.transport = Some(&transport);
    context.location = Some(core::panic::Location::caller());
    event_loop.default_exception_handler(&context);
    let lines = logged(log::Level::Error);
    let keys: Vec<_> = lines[0].lines().map(|line| line.split(':').next().unwrap_or_default()).collect();
    assert_eq!(keys, ["Unhandled exception in event loop", "created_at", "exception", "socket", "transport"]);
}

#[test]
fn everything_that_nobody_looks_at_is_reported() {
    // EH-8
    let event_loop = manual();
    let told = reports(&event_loop);
    event_loop.call_soon(|_| Err::<(), _>(Oops(1))).unwrap();
    let future = event_loop.create_future::<u8>().unwrap();
    future.add_done_callback(|_, _| Err::<(), _>(Oops(2))).unwrap();
    future.set_exception(Oops(3)).unwrap();
    drop(future);
    drop(event_loop.create_task(async { Err::<(), _>(Oops(4)) }).unwrap());
    run_until_idle(&event_loop);
    drop(event_loop.create_task(core::future::pending::<()>()).unwrap());
    event_loop.close().unwrap();
    let mut told = told.take();
    told.sort();
    assert_eq!(
        told,
        [
            "Exception in callback: oops 1",
            "Exception in callback: oops 2",
            "Future exception was never retrieved: oops 3",
            "Task exception was never retrieved: oops 4",
            "Task was destroyed but it is pending!",
        ]
    );
}

#[test]
fn a_long_panic_message_is_cut_at_a_character() {
    // FAULTS K-07
    let event_loop = manual();
    let told = reports(&event_loop);
    event_loop.call_soon(|_| -> () { panic!("{}", "ä".repeat(5000)) }).unwrap();
    quietly(|| run_until_idle(&event_loop));
    let told = told.take();
    assert!(told[0].len() < 1200 && told[0].ends_with('ä'));
}

#[test]
fn a_custom_outcome_that_fails_is_reported() {
    // EH-8
    struct Reading(Oops);
    impl Outcome for Reading {
        type Value = u32;
        type Error = Oops;
        fn error(&self) -> Option<&(dyn core::error::Error + 'static)> {
            Some(&self.0)
        }
        fn into_result(self) -> Result<u32, Oops> {
            Err(self.0)
        }
    }
    let event_loop = manual();
    let told = reports(&event_loop);
    event_loop.call_soon(|_| Reading(Oops(8))).unwrap();
    run_until_idle(&event_loop);
    assert_eq!(told.take(), ["Exception in callback: oops 8"]);
}

#[test]
fn a_destructor_of_the_former_handler_may_call_the_loop() {
    // EH-1
    let event_loop = manual();
    let dropped = Rc::new(Cell::new(false));
    let (handle, noted) = (event_loop.handle(), Rc::clone(&dropped));
    let hostile = defer(move || {
        noted.set(true);
        handle.call_exception_handler(&ExceptionContext::new("from a destructor"));
    });
    event_loop.set_exception_handler(move |_, _| {
        let _kept = &hostile;
    });
    let told = reports(&event_loop);
    assert!(dropped.get());
    assert_eq!(told.take(), ["from a destructor"]);
}

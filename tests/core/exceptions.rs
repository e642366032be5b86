//! The exception handler: contract EH, W-15.

use rondel_core::{Context, Exception, ExceptionContext};

use crate::fixture::{Calls, Fixture, Oops, core_loop, on_both_loops, reports};

on_both_loops!(
    w15_unread_error_of_a_task_is_reported_once_with_its_last_handle,
    w15_task_without_handles_reports_in_the_iteration_of_its_end,
    w15_error_of_a_finished_task_is_reported_at_close,
    pending_task_is_reported_at_close,
);

// F-8 for tasks
fn w15_unread_error_of_a_task_is_reported_once_with_its_last_handle<C: Context>(f: &Fixture<C>) {
    let task = f.context.task(async { Err::<(), _>(Oops(1)) });
    let other = task.clone();
    f.turn();
    drop(task);
    assert_eq!(reports(), [""; 0]);
    drop(other);
    assert_eq!(reports(), ["Task exception was never retrieved: oops 1"]);
    assert_eq!(f.statistics().tasks.live, 0);
}

fn w15_task_without_handles_reports_in_the_iteration_of_its_end<C: Context>(f: &Fixture<C>) {
    drop(f.context.task(async { Err::<(), _>(Oops(2)) }));
    f.turn();
    assert_eq!(reports(), ["Task exception was never retrieved: oops 2"]);
}

fn w15_error_of_a_finished_task_is_reported_at_close<C: Context>(f: &Fixture<C>) {
    let task = f.context.task(async { Err::<(), _>(Oops(3)) });
    f.turn();
    f.close().unwrap();
    assert_eq!(reports(), ["Task exception was never retrieved: oops 3"]);
    drop(task);
    assert_eq!(reports(), [""; 0]);
}

// TK-10
fn pending_task_is_reported_at_close<C: Context>(f: &Fixture<C>) {
    let task = f.context.task(async {});
    f.close().unwrap();
    assert_eq!(reports(), ["Task was destroyed but it is pending!"]);
    assert!(task.done() && task.cancelled());
}

// EH-1, EH-2
#[test]
fn without_a_handler_errors_are_counted() {
    let f = core_loop();
    assert!(f.context.exception_handler().is_some());
    f.context.set_exception_handler(None);
    assert!(f.context.exception_handler().is_none());
    f.context.soon(|_: &_| Err::<(), _>(Oops(1))).unwrap();
    f.turn();
    assert_eq!((f.context.unhandled_exceptions(), reports().len()), (1, 0));
    f.context.set_exception_handler(Some(|_, context| crate::fixture::report(context)));
    f.context.call_exception_handler(&ExceptionContext::new("called by hand"));
    assert_eq!((f.context.unhandled_exceptions(), reports()), (1, vec!["called by hand".to_string()]));
}

// EH-3, EH-7
#[test]
fn context_prints_its_message_and_sorted_keys() {
    let f = core_loop();
    let task = f.context.task(async {});
    let (error, location) = (Oops(9), core::panic::Location::caller());
    let context = ExceptionContext::new("it failed")
        .with_exception(&error)
        .with_location(location)
        .with_task(task.id());
    let text = context.to_string();
    let keys: Vec<_> = text.lines().skip(1).map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(keys, ["created_at", "exception", "task"]);
    assert!(text.starts_with("it failed\n"));
    assert_eq!(ExceptionContext::new("").to_string(), "Unhandled exception in event loop");
}

// EH-3: where it was created
#[test]
fn report_names_the_creation_site_and_the_task() {
    thread_local! {
        static SEEN: core::cell::Cell<Option<(u32, bool)>> = const { core::cell::Cell::new(None) };
    }
    let f = core_loop();
    f.context.set_exception_handler(Some(|_, context| {
        SEEN.set(Some((context.location.unwrap().line(), context.task.is_some())));
    }));
    f.context.soon(|_: &_| Err::<(), _>(Oops(1))).unwrap();
    let line = line!() - 1;
    f.turn();
    assert_eq!(SEEN.get(), Some((line, false)));
    drop(f.context.create_task(async { Err::<(), _>(Oops(1)) }).unwrap());
    let line = line!() - 1;
    f.turn();
    assert_eq!(SEEN.get(), Some((line, true)));
}

#[test]
fn exception_keeps_the_type_of_its_error() {
    let exception = Exception::new(Oops(4));
    assert_eq!(exception.get().downcast_ref::<Oops>(), Some(&Oops(4)));
    assert_eq!(exception.to_string(), "oops 4");
}

//! `run_*`, `stop`, `close`, `call_soon`: contract R and CS.

use core::cell::Cell;
use std::rc::Rc;

use rondel_core::{Context, RunError, Sleep, Task, YieldNow};

use crate::fixture::{Calls, Fixture, Oops, Trace, event_loop, on_both_loops, reports};

on_both_loops!(
    callbacks_run_in_the_order_of_the_calls,
    stop_lets_the_batch_end_and_keeps_the_rest,
    stop_before_run_gives_one_iteration,
    stop_request_is_consumed,
    callback_queued_by_a_callback_runs_in_the_next_iteration,
    batch_is_queued_then_due_timers,
    c05_requeueing_callback_starves_neither_timer_nor_poll,
    captures_are_dropped_right_after_the_callback,
    run_once_runs_one_iteration,
    run_until_complete_returns_the_value,
    run_until_complete_reports_the_error_once,
    run_until_complete_fails_when_stopped_first,
    run_until_complete_borrows_its_future,
    stop_in_the_iteration_of_the_completion_gives_the_value,
    stop_before_run_until_complete_gives_the_value_of_one_step,
    r07_abandoned_hook_does_not_stop_a_later_run,
    r07_hook_of_a_future_done_when_stopped_does_not_stop_a_later_run,
    k04_a_nested_run_is_refused,
    k04_closing_a_running_loop_is_refused,
    k04_a_second_close_is_harmless,
    is_running_only_inside_run,
    a_task_abandoned_by_stop_goes_on_in_a_later_run,
    run_until_complete_of_a_cancelled_future,
);

// CS-1
fn callbacks_run_in_the_order_of_the_calls<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    for name in ["a", "b", "c"] {
        f.context.soon(trace.note(name)).unwrap();
    }
    f.turn();
    assert_eq!(trace.take(), ["a", "b", "c"]);
    f.turn();
    assert_eq!(trace.take(), [""; 0], "each ran exactly once");
}

//
fn stop_lets_the_batch_end_and_keeps_the_rest<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let t = trace.clone();
    f.context
        .soon(move |c: &C| {
            t.push("stops");
            c.stop();
            c.soon(t.note("queued after stop")).map(drop).map_err(|_| Oops(0))
        })
        .unwrap();
    f.context.soon(trace.note("queued before")).unwrap();
    f.run_forever().unwrap();
    assert_eq!(
        trace.take(),
        [
            "stops",         // asks for the end of the run
            "queued before", // is in the same batch
        ]
    );
    f.turn();
    assert_eq!(trace.take(), ["queued after stop"], "waited for the next run");
}

//
fn stop_before_run_gives_one_iteration<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let t = trace.clone();
    f.context
        .soon(move |c: &C| {
            t.push("first");
            c.soon(t.note("second")).map(drop).map_err(|_| Oops(0))
        })
        .unwrap();
    f.context.stop();
    f.run_forever().unwrap();
    assert_eq!(trace.take(), ["first"]);
    assert_eq!(f.statistics().iterations, 1);
    // An empty loop that is stopped before returns without waiting for ever.
    f.turn();
    f.turn();
}

//
fn stop_request_is_consumed<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    f.context.soon(|c: &C| c.stop()).unwrap();
    f.run_forever().unwrap();
    let t = trace.clone();
    f.context
        .soon(move |c: &C| {
            t.push("one");
            let t = t.clone();
            c.soon(move |c: &C| {
                t.push("two");
                c.stop();
            })
            .map(drop)
            .map_err(|_| Oops(0))
        })
        .unwrap();
    f.run_forever().unwrap();
    assert_eq!(trace.take(), ["one", "two"], "the second run was not stopped by the first stop");
}

// CS-3
fn callback_queued_by_a_callback_runs_in_the_next_iteration<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let t = trace.clone();
    f.context
        .soon(move |c: &C| {
            t.push("a");
            c.soon(t.note("c")).map(drop).map_err(|_| Oops(0))
        })
        .unwrap();
    f.context.soon(trace.note("b")).unwrap();
    let waits = f.driver.waits();
    f.turn();
    assert_eq!(trace.take(), ["a", "b"]);
    f.turn();
    assert_eq!(trace.take(), ["c"]);
    assert_eq!(f.driver.waits(), waits + 2, "a poll before each");
}

// CS-2, C-12
fn batch_is_queued_then_due_timers<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    f.context.later(5, trace.note("timer 5")).unwrap();
    f.context.later(0, trace.note("timer 0")).unwrap();
    f.context.later(5, trace.note("timer 5 again")).unwrap();
    f.context.soon(trace.note("soon")).unwrap();
    f.driver.advance(core::time::Duration::from_nanos(5));
    f.turn();
    assert_eq!(
        trace.take(),
        [
            "soon",          // was queued before the poll
            "timer 0",       // by deadline
            "timer 5",       // equal deadlines in the order of arming
            "timer 5 again", //
        ]
    );
}

// CS-4
fn c05_requeueing_callback_starves_neither_timer_nor_poll<C: Context>(f: &Fixture<C>) {
    fn again<C: Context>(c: &C, turns: &Rc<Cell<u32>>) {
        let turns = turns.clone();
        turns.set(turns.get() + 1);
        assert!(turns.get() < 100, "the timer is starved");
        c.soon(move |c: &C| again(c, &turns)).unwrap();
    }
    let turns = Rc::new(Cell::new(0));
    again(&f.context, &turns);
    f.context.later(10, |c: &C| c.stop()).unwrap();
    for _ in 0..10 {
        f.turn();
    }
    f.driver.advance(core::time::Duration::from_nanos(10));
    let before = turns.get();
    let waits = f.driver.waits();
    f.run_forever().unwrap();
    assert!(turns.get() - before <= 2, "due within two iterations");
    assert!(f.driver.waits() > waits, "the outside was looked at");
}

// CS-7
fn captures_are_dropped_right_after_the_callback<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let dropped = trace.on_drop("drop a");
    f.context
        .soon(move |_: &C| {
            let _kept = &dropped;
        })
        .unwrap();
    f.context.soon(trace.note("b")).unwrap();
    f.turn();
    assert_eq!(trace.take(), ["drop a", "b"]);
}

fn run_once_runs_one_iteration<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    f.context.later(7, trace.note("timer")).unwrap();
    f.scheduler().run_once(&f.context).unwrap();
    assert_eq!(trace.take(), ["timer"], "waited for it and ran it");
}

//
fn run_until_complete_returns_the_value<C: Context>(f: &Fixture<C>) {
    assert_eq!(f.block_on(async { 42_u32 }), Ok(42));
    assert_eq!(f.statistics().tasks.live, 0);
    assert_eq!(f.statistics().calls.live, 0);
}

// R-6, EH-8: whoever gets the error has looked at it
fn run_until_complete_reports_the_error_once<C: Context>(f: &Fixture<C>) {
    assert_eq!(f.block_on(async { Err::<(), _>(Oops(1)) }), Ok(Err(Oops(1))));
    assert_eq!(reports(), [""; 0]);
}

//
fn run_until_complete_fails_when_stopped_first<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let dropped = trace.on_drop("future dropped");
    let c = f.context.clone();
    f.context.soon(|c: &C| c.stop()).unwrap();
    let result = f.block_on(async move {
        let _dropped = dropped;
        YieldNow::new(&c).await?;
        YieldNow::new(&c).await
    });
    assert_eq!(result, Err(RunError::Stopped));
    assert_eq!(trace.take(), ["future dropped"]);
    assert_eq!(f.statistics().tasks.live, 0);
    assert_eq!(f.statistics().calls.live, 0);
    assert_eq!(f.statistics().ready, 0);
}

fn run_until_complete_borrows_its_future<C: Context>(f: &Fixture<C>) {
    let mut list = vec![1];
    f.block_on(async { list.push(2) }).unwrap();
    assert_eq!(list, [1, 2]);
}

// asyncio returns the result of a future that is done, stopped or not
fn stop_in_the_iteration_of_the_completion_gives_the_value<C: Context>(f: &Fixture<C>) {
    f.context.soon(|c: &C| c.stop()).unwrap();
    assert_eq!(f.block_on(async { 7_u32 }), Ok(7));
}

//
fn stop_before_run_until_complete_gives_the_value_of_one_step<C: Context>(f: &Fixture<C>) {
    f.context.stop();
    assert_eq!(f.block_on(async { 7_u32 }), Ok(7));
    f.context.stop();
    let c = f.context.clone();
    assert_eq!(f.block_on(async move { YieldNow::new(&c).await }), Err(RunError::Stopped));
}

fn runs_three_iterations<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let t = trace.clone();
    f.context
        .soon(move |c: &C| {
            t.push("1");
            let t = t.clone();
            c.soon(move |c: &C| {
                t.push("2");
                let t = t.clone();
                c.soon(move |c: &C| {
                    t.push("3");
                    c.stop();
                })
                .map(drop)
                .map_err(|_| Oops(0))
            })
            .map(drop)
            .map_err(|_| Oops(0))
        })
        .unwrap();
    f.run_forever().unwrap();
    assert_eq!(trace.take(), ["1", "2", "3"]);
}

//
fn r07_abandoned_hook_does_not_stop_a_later_run<C: Context>(f: &Fixture<C>) {
    let future = f.context.future::<()>();
    let awaited = future.clone();
    f.context.soon(|c: &C| c.stop()).unwrap();
    assert_eq!(f.block_on(async move { awaited.await }).map(|_| ()), Err(RunError::Stopped));
    let _ = future.set_result(());
    runs_three_iterations(f);
}

//
fn r07_hook_of_a_future_done_when_stopped_does_not_stop_a_later_run<C: Context>(f: &Fixture<C>) {
    f.context.soon(|c: &C| c.stop()).unwrap();
    assert_eq!(f.block_on(async { 7_u32 }), Ok(7));
    assert_eq!(f.statistics().calls.live, 0, "the hook is gone");
    runs_three_iterations(f);
}

//
fn k04_a_nested_run_is_refused<C: Context>(f: &Fixture<C>) {
    let seen = Rc::new(Cell::new(None));
    let s = seen.clone();
    f.context
        .soon(move |c: &C| {
            let run = c.scheduler().run_forever(c);
            let once = c.scheduler().run_once(c);
            let complete = c.scheduler().run_until_complete(c, async {});
            s.set(Some((run, once, complete)));
        })
        .unwrap();
    f.turn();
    let running = Err(RunError::Running);
    assert_eq!(seen.get(), Some((running, running, running)));
    assert_eq!(f.statistics().tasks.live, 0);
    runs_three_iterations(f);
}

//
fn k04_closing_a_running_loop_is_refused<C: Context>(f: &Fixture<C>) {
    let seen = Rc::new(Cell::new(None));
    let s = seen.clone();
    f.context.soon(move |c: &C| s.set(Some(c.scheduler().close(c)))).unwrap();
    f.turn();
    assert_eq!(seen.get(), Some(Err(RunError::Running)));
    assert!(!f.scheduler().is_closed());
}

//
fn k04_a_second_close_is_harmless<C: Context>(f: &Fixture<C>) {
    assert!(!f.scheduler().is_closed());
    f.close().unwrap();
    f.close().unwrap();
    assert!(f.scheduler().is_closed());
    assert_eq!(f.run_forever(), Err(RunError::Closed));
    assert_eq!(f.scheduler().run_once(&f.context), Err(RunError::Closed));
    assert_eq!(f.block_on(async {}), Err(RunError::Closed));
    f.context.stop();
}

fn is_running_only_inside_run<C: Context>(f: &Fixture<C>) {
    assert!(!f.scheduler().is_running());
    f.context.soon(|c: &C| assert!(c.scheduler().is_running())).unwrap();
    f.turn();
    assert!(!f.scheduler().is_running());
}

// "the task stays pending for a later run", for who wants it: `task.wait()`
fn a_task_abandoned_by_stop_goes_on_in_a_later_run<C: Context>(f: &Fixture<C>) {
    let c = f.context.clone();
    let task = f.context.task(async move {
        Sleep::new(&c, core::time::Duration::from_secs(1)).await?;
        Ok::<_, rondel_core::WaitError>(5_u32)
    });
    f.context.soon(|c: &C| c.stop()).unwrap();
    assert_eq!(f.block_on(task.wait()).map(|_| ()), Err(RunError::Stopped));
    assert!(!task.done());
    let task: Task<_, C> = task;
    assert_eq!(f.block_on(task.into_future()), Ok(Ok(Ok(5))));
}

fn run_until_complete_of_a_cancelled_future<C: Context>(f: &Fixture<C>) {
    let c = f.context.clone();
    let result = f.block_on(async move {
        c.scheduler().current_task(&c).expect("inside a task").abort();
        YieldNow::new(&c).await
    });
    assert_eq!(result, Err(RunError::Cancelled));
    assert_eq!(f.statistics().tasks.live, 0);
    runs_three_iterations(f);
}

// The doc example's shape, on the smallest loop that can do it.
#[test]
fn smallest_loop_runs_a_callback() {
    let f = event_loop::<1, 0, 0, 0>();
    f.context.soon(|c: &rondel_core::EventLoopHandle| c.stop()).unwrap();
    f.run_forever().unwrap();
}

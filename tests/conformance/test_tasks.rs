//! Tasks: TK.

use core::cell::RefCell;
use core::time::Duration;
use std::rc::Rc;

use rondel::{Config, ErrorKind, TaskError, WaitError};
use rondel_core::{Context, ContextExt, Task};

use crate::fixture::{
    Counter, Oops, Trace, defer, full, manual, manual_with, panics, propagating, quietly, reports,
    run_until_idle, small,
};

#[test]
fn the_first_step_of_a_task_is_in_the_next_iteration() {
    // TK-1
    let (event_loop, trace) = (manual(), Trace::new());
    let noted = trace.clone();
    event_loop.call_soon(trace.note("queued before")).unwrap();
    event_loop.create_task(async move { noted.push("task") }).unwrap();
    event_loop.call_soon(trace.note("queued after")).unwrap();
    assert_eq!(trace.count(), 0);
    event_loop.run_once().unwrap();
    assert_eq!(trace.take(), ["queued before", "task", "queued after"]);
}

#[test]
fn a_task_cancelled_before_its_first_step_never_runs() {
    // TK-2
    let (event_loop, trace) = (manual(), Trace::new());
    let (noted, dropped) = (trace.clone(), trace.on_drop("dropped"));
    let task = event_loop.create_task(async move { drop((dropped, noted.push("ran"))) }).unwrap();
    assert!(task.cancel());
    run_until_idle(&event_loop);
    assert!(task.done() && task.cancelled());
    assert_eq!(trace.take(), ["dropped"]);
    assert!(!task.cancel(), "false once it is done");
}

#[test]
fn cancel_is_delivered_at_the_await_and_a_task_may_clean_up() {
    // TK-3, TK-4
    let (event_loop, trace) = (manual(), Trace::new());
    let (handle, noted) = (event_loop.handle(), trace.clone());
    let task = event_loop
        .create_task(async move {
            let ended = handle.sleep(Duration::from_secs(1)).await;
            noted.push(format!("{}", matches!(ended, Err(WaitError::Cancelled(_)))));
            handle.yield_now().await?;
            handle.sleep(Duration::from_secs(1)).await?;
            noted.push("cleaned up");
            ended
        })
        .unwrap();
    event_loop.run_once().unwrap();
    assert!(task.cancel());
    assert!(!task.done());
    run_until_idle(&event_loop);
    assert!(task.cancelled());
    assert_eq!(trace.take(), ["true", "cleaned up"]);
    assert!(matches!(task.take(), Err(TaskError::Cancelled)));
}

#[test]
fn a_task_may_ignore_its_cancellation_and_is_not_cancelled_then() {
    // TK-4
    let event_loop = manual();
    let handle = event_loop.handle();
    let task = event_loop
        .create_task(async move {
            let _ = handle.sleep(Duration::from_secs(1)).await;
            handle.sleep(Duration::from_secs(1)).await?;
            Ok::<u32, WaitError>(42)
        })
        .unwrap();
    event_loop.run_once().unwrap();
    assert!(task.cancel());
    run_until_idle(&event_loop);
    assert!(!task.cancelled());
    assert_eq!(task.take().unwrap().unwrap(), 42);
}

#[test]
fn abort_drops_the_future_at_once() {
    // TK-4
    let (event_loop, trace) = (manual(), Trace::new());
    let (handle, dropped) = (event_loop.handle(), trace.on_drop("dropped"));
    let task = event_loop
        .create_task(async move {
            let _kept = dropped;
            handle.sleep(Duration::from_secs(1)).await
        })
        .unwrap();
    event_loop.run_once().unwrap();
    assert!(task.abort());
    assert_eq!(trace.take(), ["dropped"]);
    assert!(task.cancelled() && !task.abort());
    assert_eq!(event_loop.statistics().timers, 0, "its timer is gone too");
}

#[test]
fn cancelling_the_running_task_hits_its_next_await_or_its_end() {
    // TK-5
    let event_loop = manual();
    let handle = event_loop.handle();
    let awaits = event_loop
        .create_task(async move {
            assert!(handle.current_task().unwrap().cancel());
            handle.yield_now().await
        })
        .unwrap();
    let handle = event_loop.handle();
    let returns = event_loop
        .create_task(async move {
            assert!(handle.current_task().unwrap().cancel());
            7
        })
        .unwrap();
    run_until_idle(&event_loop);
    assert!(awaits.cancelled() && returns.cancelled());
}

#[test]
fn awaiting_a_cancelled_task_fails_and_does_not_cancel_the_awaiter() {
    // TK-6
    let event_loop = manual();
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async move {
            let sleeper = handle.clone();
            let task = handle.create_task(async move { sleeper.sleep(Duration::from_secs(1)).await })?;
            handle.yield_now().await?;
            task.cancel();
            let error = rondel::Error::from(task.await.unwrap_err());
            assert_eq!(error.kind(), ErrorKind::AwaitedCancelled);
            assert!(!error.is_cancelled());
            handle.sleep(Duration::from_secs(1)).await?;
            Ok::<(), rondel::Error>(())
        })
        .unwrap();
}

#[test]
fn a_task_that_awaits_itself_gets_an_error() {
    // TK-7
    let event_loop = manual();
    let own = Rc::new(RefCell::new(None::<rondel::Task<()>>));
    let (itself, trace) = (Rc::clone(&own), Trace::new());
    let noted = trace.clone();
    let task = event_loop
        .create_task(async move {
            let own = itself.take().unwrap();
            noted.push(format!("{:?}", own.await.unwrap_err()));
        })
        .unwrap();
    own.replace(Some(task));
    run_until_idle(&event_loop);
    assert_eq!(trace.take(), ["AwaitsItself"]);
}

#[test]
fn a_future_of_another_loop_completes_by_its_waker() {
    // TK-7: asyncio refuses it; here it is sound and works
    let (one, other) = (manual(), manual());
    let future = one.create_future::<u32>().unwrap();
    let awaited = future.clone();
    let task = other.create_task(async move { awaited.await.map_err(rondel::Error::from) }).unwrap();
    other.run_once().unwrap();
    future.set_result(3).unwrap();
    run_until_idle(&other);
    assert_eq!(task.take().unwrap().unwrap(), 3);
}

#[test]
fn a_bare_yield_gives_up_exactly_one_iteration() {
    // TK-8: the trace is that of CPython's `sleep(0)`
    let (event_loop, trace) = (manual(), Trace::new());
    let before = event_loop.statistics().iterations;
    for name in ["a", "b"] {
        let (handle, noted) = (event_loop.handle(), trace.clone());
        event_loop
            .create_task(async move {
                for step in 0..3 {
                    noted.push(format!("{name}{step}"));
                    if name == "a" {
                        handle.yield_now().await?;
                    } else {
                        handle.sleep(Duration::ZERO).await?;
                    }
                }
                Ok::<(), WaitError>(())
            })
            .unwrap();
    }
    run_until_idle(&event_loop);
    assert_eq!(trace.take(), ["a0", "b0", "a1", "b1", "a2", "b2"]);
    assert_eq!(event_loop.statistics().iterations - before, 4);
}

#[test]
fn an_error_is_stored_in_the_task_and_a_panic_leaves_run_where_it_propagates() {
    // TK-9
    let event_loop = manual();
    let task = event_loop.create_task(async { Err::<(), _>(Oops(1)) }).unwrap();
    run_until_idle(&event_loop);
    assert_eq!(task.take().unwrap(), Err(Oops(1)));
    let event_loop = propagating();
    let task = event_loop.create_task(async { panic!("interrupt") as () }).unwrap();
    assert!(panics(|| event_loop.run_once()));
    assert!(matches!(task.take(), Err(TaskError::Panicked)));
}

#[test]
fn a_pending_task_that_is_destroyed_is_reported_and_dropping_a_handle_is_harmless() {
    // TK-10
    let (event_loop, trace) = (manual(), Trace::new());
    let told = reports(&event_loop);
    let (handle, noted) = (event_loop.handle(), trace.clone());
    drop(
        event_loop
            .create_task(async move {
                handle.sleep(Duration::from_secs(1)).await?;
                noted.push("ended without a handle");
                handle.sleep(Duration::MAX).await
            })
            .unwrap(),
    );
    event_loop.run_once().unwrap();
    event_loop.run_once().unwrap();
    event_loop.run_once().unwrap();
    assert_eq!(trace.take(), ["ended without a handle"]);
    event_loop.close().unwrap();
    assert_eq!(told.take(), ["Task was destroyed but it is pending!"]);
}

#[test]
fn an_unread_error_of_a_task_is_reported_once() {
    // TK-10, F-8
    let event_loop = manual();
    let told = reports(&event_loop);
    drop(event_loop.create_task(async { Err::<(), _>(Oops(1)) }).unwrap());
    let kept = event_loop.create_task(async { Err::<(), _>(Oops(2)) }).unwrap();
    run_until_idle(&event_loop);
    assert_eq!(told.take(), ["Task exception was never retrieved: oops 1"]);
    drop(kept);
    assert_eq!(told.take(), ["Task exception was never retrieved: oops 2"]);
    let read = event_loop.create_task(async { Err::<(), _>(Oops(3)) }).unwrap();
    run_until_idle(&event_loop);
    assert!(read.take().is_ok());
    drop(read);
    event_loop.close().unwrap();
    assert_eq!(told.count(), 0);
}

#[test]
fn the_current_task_is_known_during_its_step_only() {
    // TK-11
    let (event_loop, trace) = (manual(), Trace::new());
    assert!(event_loop.current_task().is_none());
    for name in ["a", "b"] {
        let (handle, noted) = (event_loop.handle(), trace.clone());
        let task = event_loop
            .create_task(async move {
                for _ in 0..2 {
                    noted.push(handle.current_task().unwrap().name().unwrap());
                    handle.yield_now().await?;
                }
                Ok::<(), WaitError>(())
            })
            .unwrap();
        task.set_name(name);
    }
    let noted = trace.clone();
    event_loop
        .call_soon(move |event_loop| {
            assert!(event_loop.current_task().is_none());
            noted.push(format!("{} tasks", event_loop.all_tasks().count()));
        })
        .unwrap();
    run_until_idle(&event_loop);
    assert_eq!(trace.take(), ["a", "b", "2 tasks", "a", "b"]);
    assert_eq!(event_loop.all_tasks().count(), 0);
}

#[test]
fn a_task_factory_sees_every_new_task_and_may_name_it() {
    // TK-12
    let (event_loop, trace) = (manual(), Trace::new());
    assert!(event_loop.task_factory().is_none());
    let noted = trace.clone();
    event_loop.set_task_factory(move |event_loop, task| {
        noted.push(format!("{}", event_loop.is_running()));
        task.name = Some("made");
    });
    let task = event_loop.create_task(async {}).unwrap();
    assert_eq!(task.name(), Some("made"));
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async move {
            assert_eq!(handle.current_task().unwrap().name(), Some("made"));
            Ok::<(), rondel::Error>(())
        })
        .unwrap();
    assert_eq!(trace.take(), ["false", "true"]);
    event_loop.reset_task_factory();
    assert!(event_loop.task_factory().is_none());
    assert_eq!(event_loop.create_task(async {}).unwrap().name(), None);
}

#[test]
fn a_task_factory_may_replace_itself_and_panic() {
    // TK-12
    let event_loop = manual();
    event_loop.set_task_factory(|event_loop, _| event_loop.reset_task_factory());
    event_loop.create_task(async {}).unwrap();
    assert!(event_loop.task_factory().is_none());
    event_loop.set_task_factory(|_, _| panic!("no tasks today"));
    let live = event_loop.statistics().tasks.live;
    assert!(panics(|| event_loop.create_task(async {})));
    event_loop.reset_task_factory();
    event_loop.create_task(async {}).unwrap();
    run_until_idle(&event_loop);
    assert!(event_loop.statistics().tasks.live <= live, "no slot is lost");
}

#[test]
fn a_full_task_table_gives_the_future_back() {
    // TK-13
    let (event_loop, _clock) = manual_with(Config { tasks: 1, ..small() });
    let (handle, counter) = (event_loop.handle(), Counter::new());
    let first = event_loop.create_task(async move { handle.sleep(Duration::from_secs(1)).await }).unwrap();
    let counted = counter.clone();
    let second = full(event_loop.create_task(async move { counted.add() }));
    assert_eq!(counter.get(), 0, "it has not run");
    drop(first);
    run_until_idle(&event_loop);
    event_loop.create_task(second).unwrap();
    run_until_idle(&event_loop);
    assert_eq!(counter.get(), 1);
}

#[test]
fn a_large_future_is_boxed_and_so_is_its_result() {
    // TK-1
    let event_loop = manual();
    let handle = event_loop.handle();
    let task = event_loop
        .create_task(async move {
            let large = [1_u8; 4096];
            let _ = handle.yield_now().await;
            (large.iter().map(|&byte| u32::from(byte)).sum::<u32>(), [2_u8; 2048], 0)
        })
        .unwrap();
    run_until_idle(&event_loop);
    assert_eq!(task.take().map(|output| (output.0, output.1[2047])).unwrap(), (4096, 2));
}

#[test]
fn code_for_all_loops_has_its_large_futures_boxed_too() {
    fn sum<C: Context>(context: &C) -> Task<u32, C> {
        let waits = context.clone();
        let future = async move {
            let large = [1_u8; 4096];
            let _ = waits.yield_now().await;
            large.iter().map(|&byte| u32::from(byte)).sum()
        };
        context.create_task(future).expect("there is room for a task")
    }
    // TK-1, TK-13
    let event_loop = manual();
    let task = sum(&event_loop.handle());
    run_until_idle(&event_loop);
    assert_eq!(task.take(), Ok(4096));
}

#[test]
fn a_task_that_panics_ends_and_its_awaiter_learns_it() {
    // TK-9, FAULTS K-01
    let event_loop = manual();
    let told = reports(&event_loop);
    let handle = event_loop.handle();
    let ended = quietly(|| {
        event_loop.run_until_complete(async move {
            let task = handle.create_task(async { panic!("broken") as () })?;
            task.set_name("worker");
            let ended = task.await;
            handle.yield_now().await?;
            Ok::<_, rondel::Error>(ended)
        })
    });
    assert!(matches!(ended.unwrap(), Err(TaskError::Panicked)));
    assert_eq!(told.take(), ["Task panicked: panicked: broken"]);
}

#[test]
fn a_destructor_of_a_task_may_spawn_wake_and_ask_to_close() {
    // FAULTS W-10
    let event_loop = Rc::new(manual());
    let trace = Trace::new();
    let (owner, handle, noted, spawned) =
        (Rc::downgrade(&event_loop), event_loop.handle(), trace.clone(), trace.clone());
    let hostile = defer(move || {
        handle.create_task(async move { spawned.push("spawned") }).unwrap();
        let owner = owner.upgrade().unwrap();
        noted.push(format!("close refused: {}", owner.close().is_err()));
    });
    event_loop.create_task(async move { drop(hostile) }).unwrap();
    run_until_idle(&event_loop);
    assert_eq!(trace.take(), ["close refused: true", "spawned"]);
}

#[test]
fn gathered_tasks_give_their_values_in_order_or_the_first_failure() {
    // TK-6
    let event_loop = manual();
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async move {
            let after = |secs: u64| {
                let handle = handle.clone();
                async move {
                    handle.sleep(Duration::from_secs(secs)).await.map_err(rondel::Error::from)?;
                    if secs == 9 { Err(rondel::Error::new(Oops(9))) } else { Ok(secs) }
                }
            };
            let tasks = [handle.create_task(after(3))?, handle.create_task(after(1))?];
            assert_eq!(handle.gather(tasks)?.await.map_err(|error| error.to_string())?, [3, 1]);
            let tasks = [handle.create_task(after(9))?, handle.create_task(after(20))?];
            let failed = handle.gather(tasks)?.await.unwrap_err();
            assert_eq!(failed.to_string(), "gather: task 0 failed: oops 9");
            Ok::<(), rondel::Error>(())
        })
        .unwrap();
}

//! `create_task`, `Task`: contract TK, and the hops between tasks.

use core::cell::{Cell, RefCell};
use core::pin::Pin;
use core::task::Poll;
use core::time::Duration;
use std::rc::Rc;

use rondel_core::{Context, EventLoop, Sleep, Task, TaskCell, TaskError, TaskRef, WaitError, YieldNow};

use crate::fixture::{Calls, Fixture, Oops, Trace, core_loop, defer, event_loop, on_both_loops, reports};

on_both_loops!(
    create_task_never_runs_the_body,
    first_steps_run_in_the_order_of_creation,
    cancelled_before_its_first_step_never_starts,
    bare_yield_gives_up_one_iteration,
    sleep_of_zero_gives_up_one_iteration,
    sleeping_takes_asyncios_number_of_hops,
    awaiting_a_task_takes_asyncios_number_of_hops,
    awaiting_a_finished_task_takes_no_hop,
    two_awaiters_wake_in_order_and_one_gets_the_result,
    uncaught_error_is_stored_and_not_raised_from_run,
    awaiting_itself_is_an_error,
    current_task_is_set_during_a_step_only,
    all_tasks_lists_the_pending_ones,
    w09_abort_drops_the_future_at_once,
    w09_task_that_aborts_itself_ends_after_its_step,
    w09_task_aborts_its_parent_and_the_task_behind_it,
    w10_destructor_of_a_task_wakes_and_spawns,
    w11_long_chain_of_tasks_in_constant_stack,
    w11_long_chain_of_done_callbacks_in_constant_stack,
    task_goes_on_without_handles,
    task_is_gone_with_the_last_handle,
    spurious_wake_takes_no_call_slot,
    abandoned_wait_leaves_nothing_behind,
    forgotten_wait_wakes_no_stranger,
    sleep_follows_its_waker_to_another_task,
    done_callbacks_of_tasks_run_in_order,
    task_polled_twice_is_not_queued_twice,
);

// TK-1
fn create_task_never_runs_the_body<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let t = trace.clone();
    let task = f.context.task(async move { t.push("body") });
    assert!(trace.is_empty() && !task.done());
    f.turn();
    assert_eq!(trace.take(), ["body"]);
    assert!(task.done() && !task.cancelled());
    assert_eq!(task.take(), Ok(()));
    assert_eq!(task.take(), Err(TaskError::Taken));
}

// TK-1, CS-1
fn first_steps_run_in_the_order_of_creation<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let (t1, t2) = (trace.clone(), trace.clone());
    f.context.soon(trace.note("callback")).unwrap();
    f.context.task(async move { t1.push("task 1") });
    f.context.task(async move { t2.push("task 2") });
    f.context.soon(trace.note("callback 2")).unwrap();
    f.turn();
    assert_eq!(trace.take(), ["callback", "task 1", "task 2", "callback 2"]);
}

// TK-2
fn cancelled_before_its_first_step_never_starts<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let (t, dropped) = (trace.clone(), trace.on_drop("future dropped"));
    let task = f.context.task(async move {
        let _dropped = dropped;
        t.push("body");
    });
    assert!(task.cancel());
    assert!(!task.done(), "as in asyncio, it ends in the next iteration");
    f.turn();
    assert_eq!(trace.take(), ["future dropped"]);
    assert!(task.cancelled() && !task.cancel());
    assert_eq!(task.take(), Err(TaskError::Cancelled));
}

// TK-8
fn bare_yield_gives_up_one_iteration<C: Context>(f: &Fixture<C>) {
    let (trace, c) = (Trace::new(), f.context.clone());
    let t = trace.clone();
    f.context.task(async move {
        t.push("before");
        YieldNow::new(&c).await?;
        t.push("after");
        Ok::<_, WaitError>(())
    });
    f.turn();
    assert_eq!(trace.take(), ["before"]);
    f.turn();
    assert_eq!(trace.take(), ["after"]);
}

// TK-8: `asyncio.sleep(0)` is a bare yield and needs no timer
fn sleep_of_zero_gives_up_one_iteration<C: Context>(f: &Fixture<C>) {
    let (trace, c) = (Trace::new(), f.context.clone());
    let t = trace.clone();
    f.context.task(async move {
        t.push("before");
        Sleep::new(&c, Duration::ZERO).await?;
        t.push("after");
        Ok::<_, WaitError>(())
    });
    f.turn();
    assert_eq!((trace.take(), f.statistics().calls.live), (vec!["before"], 0));
    f.turn();
    assert_eq!(trace.take(), ["after"]);
}

// Python: a timer resolves a future, whose callback wakes the task.
fn sleeping_takes_asyncios_number_of_hops<C: Context>(f: &Fixture<C>) {
    let (trace, c) = (Trace::new(), f.context.clone());
    let t = trace.clone();
    f.context.task(async move {
        Sleep::new(&c, Duration::from_nanos(10)).await?;
        t.push("slept");
        Ok::<_, WaitError>(())
    });
    f.turn();
    f.context.later(10, trace.note("timer armed after")).unwrap();
    f.driver.advance(Duration::from_nanos(10));
    f.turn();
    assert_eq!(trace.take(), ["timer armed after"], "the sleep's timer fired in this iteration");
    f.turn();
    assert_eq!(trace.take(), ["slept"]);
}

fn awaiting_a_task_takes_asyncios_number_of_hops<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let (t, u) = (trace.clone(), trace.clone());
    let child = f.context.task(async move {
        u.push("child");
        3_u32
    });
    f.context.task(async move {
        t.push("parent waits");
        let value = child.await?;
        t.push("parent has it");
        assert_eq!(value, 3);
        Ok::<_, TaskError>(())
    });
    f.turn();
    // The child ran first: its result is there when the parent asks.
    assert_eq!(trace.take(), ["child", "parent waits", "parent has it"]);
    let (t, u, c) = (trace.clone(), trace.clone(), f.context.clone());
    f.context.task(async move {
        t.push("parent");
        let child = c.task(async move { u.push("child") });
        child.await?;
        t.push("parent goes on");
        Ok::<_, TaskError>(())
    });
    f.turn();
    assert_eq!(trace.take(), ["parent"]);
    f.turn();
    assert_eq!(trace.take(), ["child"]);
    f.turn();
    assert_eq!(trace.take(), ["parent goes on"]);
}

fn awaiting_a_finished_task_takes_no_hop<C: Context>(f: &Fixture<C>) {
    let child = f.context.task(async { 3_u32 });
    f.turn();
    let parent = f.context.task(child.into_future());
    f.turn();
    assert_eq!(parent.take(), Ok(Ok(3)));
}

fn two_awaiters_wake_in_order_and_one_gets_the_result<C: Context>(f: &Fixture<C>) {
    let (trace, c) = (Trace::new(), f.context.clone());
    let child = f.context.task(async move { YieldNow::new(&c).await.map(|()| 1_u32) });
    let waiters: Vec<_> = ["first", "second"]
        .map(|name| {
            let (t, child) = (trace.clone(), child.clone());
            f.context.task(async move {
                let result = child.await;
                t.push(name);
                result.map(|_| ())
            })
        })
        .into();
    f.settle();
    assert_eq!(trace.take(), ["first", "second"]);
    assert_eq!(waiters[0].take(), Ok(Ok(())));
    assert_eq!(waiters[1].take(), Ok(Err(TaskError::Taken)));
}

// TK-9
fn uncaught_error_is_stored_and_not_raised_from_run<C: Context>(f: &Fixture<C>) {
    let task = f.context.task(async { Err::<(), _>(Oops(4)) });
    f.turn();
    assert!(task.done() && !task.cancelled());
    assert_eq!(task.take(), Ok(Err(Oops(4))));
    drop(task);
    assert_eq!(reports(), [""; 0], "it was looked at");
}

// TK-7
fn awaiting_itself_is_an_error<C: Context>(f: &Fixture<C>) {
    let own: Rc<RefCell<Option<Task<Result<(), TaskError>, C>>>> = Rc::default();
    let (o, c) = (own.clone(), f.context.clone());
    let task = f.context.task(async move {
        let waited = c.scheduler().current_task(&c).unwrap().wait().await;
        assert_eq!(waited, Err(WaitError::AwaitsItself));
        let own = o.take().unwrap();
        own.await?
    });
    own.replace(Some(task.clone()));
    f.turn();
    assert_eq!(task.take(), Ok(Err(TaskError::AwaitsItself)));
}

// TK-11
fn current_task_is_set_during_a_step_only<C: Context>(f: &Fixture<C>) {
    let names = Rc::new(RefCell::new(Vec::new()));
    for name in ["a", "b"] {
        let (c, n) = (f.context.clone(), names.clone());
        let task = f.context.task(async move {
            for _ in 0..2 {
                n.borrow_mut().push(c.scheduler().current_task(&c).unwrap().name());
                YieldNow::new(&c).await?;
            }
            Ok::<_, WaitError>(())
        });
        task.set_name(name);
        let n = names.clone();
        f.context
            .soon(move |c: &C| n.borrow_mut().push(c.scheduler().current_task(c).map(|_| "callback")))
            .unwrap();
    }
    assert!(f.scheduler().current_task(&f.context).is_none());
    f.turn();
    f.turn();
    assert_eq!(*names.borrow(), [Some("a"), None, Some("b"), None, Some("a"), Some("b")]);
    assert!(f.scheduler().current_task(&f.context).is_none());
}

// TK-11
fn all_tasks_lists_the_pending_ones<C: Context>(f: &Fixture<C>) {
    let never = f.context.future::<()>();
    let pending = f.context.task({
        let never = never.clone();
        async move { never.await.map_err(|_| Oops(0)) }
    });
    let done = f.context.task(async {});
    f.turn();
    let ids: Vec<_> = f.scheduler().all_tasks(&f.context).map(|task| task.id()).collect();
    assert_eq!(ids, [pending.id()]);
    assert!(done.done());
}

fn w09_abort_drops_the_future_at_once<C: Context>(f: &Fixture<C>) {
    let (trace, c) = (Trace::new(), f.context.clone());
    let dropped = trace.on_drop("dropped");
    let task = f.context.task(async move {
        let _dropped = dropped;
        Sleep::new(&c, Duration::from_secs(1)).await
    });
    task.add_done_callback({
        let t = trace.clone();
        move |_: &C, task: &Task<_, C>| {
            assert!(task.cancelled());
            t.push("done callback");
        }
    })
    .unwrap();
    f.turn();
    assert!(task.abort());
    assert_eq!(trace.take(), ["dropped"]);
    assert!(task.cancelled() && !task.abort() && !task.cancel());
    assert_eq!(f.statistics().timers, 0);
    f.turn();
    assert_eq!(trace.take(), ["done callback"]);
}

fn w09_task_that_aborts_itself_ends_after_its_step<C: Context>(f: &Fixture<C>) {
    let (trace, c) = (Trace::new(), f.context.clone());
    let (t, dropped) = (trace.clone(), trace.on_drop("dropped"));
    let task = f.context.task(async move {
        let _dropped = dropped;
        assert!(c.scheduler().current_task(&c).unwrap().abort());
        t.push("goes on to its next await");
        YieldNow::new(&c).await?;
        t.push("never");
        Ok::<_, WaitError>(())
    });
    f.settle();
    assert_eq!(trace.take(), ["goes on to its next await", "dropped"]);
    assert!(task.cancelled());
}

fn w09_task_aborts_its_parent_and_the_task_behind_it<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let parent: Rc<RefCell<Vec<TaskRef<C>>>> = Rc::default();
    let (p, t, c) = (parent.clone(), trace.clone(), f.context.clone());
    let dropped = trace.on_drop("parent dropped");
    let task = f.context.task(async move {
        let _dropped = dropped;
        let child = c.task(async move {
            t.push("child");
            p.borrow().iter().for_each(|task| {
                task.abort();
            });
            t.push("child ends");
        });
        child.await
    });
    parent.borrow_mut().push(task.as_ref().clone());
    f.turn();
    let behind = trace.on_drop("behind dropped");
    let behind = f.context.task(async move {
        let _behind = behind;
    });
    parent.borrow_mut().push(behind.as_ref().clone());
    f.settle();
    assert_eq!(trace.take(), ["child", "parent dropped", "behind dropped", "child ends"]);
    assert!(task.cancelled() && behind.cancelled());
    drop((parent, task, behind));
    assert_eq!((f.statistics().tasks.live, f.statistics().ready), (0, 0));
}

fn w10_destructor_of_a_task_wakes_and_spawns<C: Context>(f: &Fixture<C>) {
    let (trace, c) = (Trace::new(), f.context.clone());
    let future = f.context.future::<u32>();
    let t = trace.clone();
    let waiting = f.context.task({
        let future = future.clone();
        let t = trace.clone();
        async move {
            let result = future.await;
            t.push("woken");
            result.map_err(|_| Oops(0))
        }
    });
    let hostile = f.context.task({
        let c = c.clone();
        async move {
            let c2 = c.clone();
            let _hostile = defer(move || {
                future.set_result(8).unwrap();
                let t2 = t.clone();
                c2.task(async move { t2.push("spawned") });
                c2.soon(t.note("scheduled")).unwrap();
                assert_eq!(c2.scheduler().close(&c2), Err(rondel_core::RunError::Running));
            });
            Sleep::new(&c, Duration::from_secs(9)).await
        }
    });
    f.turn();
    let h = hostile.clone();
    f.context
        .soon(move |_: &C| {
            h.abort();
        })
        .unwrap();
    f.settle();
    assert_eq!(trace.take(), ["woken", "spawned", "scheduled"]);
    assert_eq!(waiting.take(), Ok(Ok(8)));
}

// W-11: each task wakes the next; the stack is that of one step
fn w11_long_chain_of_tasks_in_constant_stack<C: Context>(f: &Fixture<C>) {
    fn next<C: Context>(c: C, left: u32, last: rondel_core::Future<u32, C>) {
        if left == 0 {
            last.set_result(7).unwrap();
            return;
        }
        c.clone().task(async move { next(c, left - 1, last) });
    }
    let last = f.context.future::<u32>();
    next(f.context.clone(), 50_000, last.clone());
    assert_eq!(f.block_on(last.into_future()).unwrap().unwrap(), 7);
}

fn w11_long_chain_of_done_callbacks_in_constant_stack<C: Context>(f: &Fixture<C>) {
    fn next<C: Context>(c: &C, left: u32) {
        if left == 0 {
            return;
        }
        let future = c.future::<()>();
        future.add_done_callback(move |c: &C, _: &_| next(c, left - 1)).unwrap();
        future.set_result(()).unwrap();
    }
    next(&f.context, 50_000);
    for _ in 0..50_001 {
        f.turn();
    }
    assert_eq!((f.statistics().ready, f.statistics().futures.live), (0, 0));
}

// TK-10
fn task_goes_on_without_handles<C: Context>(f: &Fixture<C>) {
    let (trace, c) = (Trace::new(), f.context.clone());
    let t = trace.clone();
    drop(f.context.task(async move {
        YieldNow::new(&c).await?;
        t.push("went on");
        Ok::<_, WaitError>(())
    }));
    f.settle();
    assert_eq!(trace.take(), ["went on"]);
    assert_eq!(f.statistics().tasks.live, 0);
}

fn task_is_gone_with_the_last_handle<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let result = trace.on_drop("result dropped");
    let task = f.context.task(async move { Ok::<_, Oops>(result) });
    f.turn();
    let other = task.clone();
    drop(task);
    assert!(trace.is_empty());
    drop(other);
    assert_eq!((trace.take(), f.statistics().tasks.live), (vec!["result dropped"], 0));
}

// Invariant 1: the one wait of a task can't fail, however often it is woken
fn spurious_wake_takes_no_call_slot<C: Context>(f: &Fixture<C>) {
    let future = f.context.future::<u32>();
    let waker = Rc::new(RefCell::new(None));
    let (w, awaited) = (waker.clone(), future.clone());
    let task = f.context.task(async move {
        core::future::poll_fn(|cx| {
            *w.borrow_mut() = Some(cx.waker().clone());
            Poll::Ready(())
        })
        .await;
        awaited.await.map_err(|_| Oops(0))
    });
    f.turn();
    for _ in 0..5 {
        waker.borrow().as_ref().unwrap().wake_by_ref();
        f.turn();
        assert_eq!(f.statistics().calls.live, 0);
    }
    future.set_result(3).unwrap();
    f.settle();
    assert_eq!(task.take(), Ok(Ok(3)));
}

// A wait that is dropped takes its node along: the next one finds it free.
fn abandoned_wait_leaves_nothing_behind<C: Context>(f: &Fixture<C>) {
    let (first, second) = (f.context.future::<()>(), f.context.future::<u32>());
    let steps = Rc::new(Cell::new(0));
    let (a, b, c, s) = (first.clone(), second.clone(), f.context.clone(), steps.clone());
    let task = f.context.task(async move {
        let mut waiting = core::pin::pin!(a.wait());
        // Polls once, and is polled again for another reason.
        core::future::poll_fn(|cx| {
            let _ = waiting.as_mut().poll(cx);
            Poll::Ready(())
        })
        .await;
        YieldNow::new(&c).await.map_err(|_| Oops(1))?;
        waiting.set(b.wait());
        core::future::poll_fn(|cx| {
            s.set(s.get() + 1);
            waiting.as_mut().poll(cx)
        })
        .await
        .map_err(|_| Oops(2))
    });
    f.settle();
    assert_eq!(f.statistics().calls.live, 0, "the second wait found the task's node free");
    assert_eq!(steps.get(), 1);
    first.set_result(()).unwrap();
    f.settle();
    assert_eq!(steps.get(), 1, "nobody waits for the first any more");
    second.set_result(1).unwrap();
    f.settle();
    assert_eq!((steps.get(), task.take()), (2, Ok(Ok(()))));
}

// K-08, W-06: a leaked awaitable outlives its task
fn forgotten_wait_wakes_no_stranger<C: Context>(f: &Fixture<C>) {
    let future = f.context.future::<()>();
    let awaited = future.clone();
    let task = f.context.task(async move {
        let mut waiting = Box::pin(awaited.wait());
        core::future::poll_fn(|cx| {
            let _ = waiting.as_mut().poll(cx);
            Poll::Ready(())
        })
        .await;
        core::mem::forget(waiting);
    });
    f.turn();
    drop(task);
    let steps = Rc::new(Cell::new(0));
    let (s, never) = (steps.clone(), f.context.future::<()>());
    let n = never.clone();
    let stranger = f.context.task(async move {
        let mut waiting = Box::pin(n.wait());
        core::future::poll_fn(|cx| {
            s.set(s.get() + 1);
            waiting.as_mut().poll(cx)
        })
        .await
    });
    f.settle();
    future.set_result(()).unwrap();
    f.settle();
    assert_eq!((steps.get(), stranger.done()), (1, false));
    assert_eq!(f.statistics().calls.live, 0);
    never.set_result(()).unwrap();
    f.settle();
    assert!(stranger.done());
}

// A pinned sleep may be handed on; the last poll's waker counts.
fn sleep_follows_its_waker_to_another_task<C: Context>(f: &Fixture<C>) {
    let sleep = Rc::new(RefCell::new(Box::pin(Sleep::new(&f.context, Duration::from_nanos(50)))));
    let (s, c) = (sleep.clone(), f.context.clone());
    f.context.task(async move {
        core::future::poll_fn(|cx| {
            assert!(s.borrow_mut().as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        Sleep::new(&c, Duration::from_secs(9)).await
    });
    f.turn();
    let s = sleep.clone();
    let second = f.context.task(core::future::poll_fn(move |cx| s.borrow_mut().as_mut().poll(cx)));
    f.turn();
    f.driver.advance(Duration::from_nanos(50));
    f.settle();
    assert_eq!(second.take(), Ok(Ok(())));
}

// F-4 for tasks
fn done_callbacks_of_tasks_run_in_order<C: Context>(f: &Fixture<C>) {
    let trace = Trace::new();
    let task = f.context.task(async { 5_u32 });
    for name in ["a", "b"] {
        let t = trace.clone();
        task.add_done_callback(move |_: &C, _: &Task<u32, C>| t.push(name)).unwrap();
    }
    let t = trace.clone();
    let removed = task.add_done_callback(move |_: &C, _: &Task<u32, C>| t.push("removed")).unwrap();
    assert!(task.remove_done_callback(removed));
    f.turn();
    assert!(trace.is_empty(), "one iteration later");
    let t = trace.clone();
    task.add_done_callback(move |_: &C, task: &Task<u32, C>| {
        t.push("late");
        assert_eq!(task.take(), Ok(5));
    })
    .unwrap();
    f.turn();
    assert_eq!(trace.take(), ["a", "b", "late"]);
}

fn task_polled_twice_is_not_queued_twice<C: Context>(f: &Fixture<C>) {
    let steps = Rc::new(Cell::new(0));
    let (s, c) = (steps.clone(), f.context.clone());
    let task = f.context.task(core::future::poll_fn(move |cx| {
        s.set(s.get() + 1);
        for _ in 0..3 {
            cx.waker().wake_by_ref();
            let _ = Pin::new(&mut YieldNow::new(&c)).poll(cx);
        }
        if s.get() == 4 { Poll::Ready(()) } else { Poll::Pending }
    }));
    for expected in 1..=4 {
        f.turn();
        assert_eq!(steps.get(), expected);
    }
    assert!(task.done());
}

// TK-12
#[test]
fn task_factory_sees_tasks_of_create_task_and_run_until_complete() {
    let f = core_loop();
    f.context.set_task_factory(Some(|_, task| {
        task.name = Some("made");
    }));
    assert!(f.context.task_factory().is_some());
    let task = f.context.create_task(async {}).unwrap();
    assert_eq!(task.name(), Some("made"));
    let c = f.context;
    let name = f.block_on(async move { c.current_task().and_then(|task| task.name()) });
    assert_eq!(name, Ok(Some("made")));
    f.context.set_task_factory(None);
    assert_eq!(f.context.create_task(async {}).unwrap().name(), None);
}

// TK-13
#[test]
fn too_large_future_is_given_back_and_runs_as_a_pinned_one() {
    let f = event_loop::<4, 0, 2, 64>();
    let large = [7_u8; 100];
    let c = f.context;
    let future = async move { c.yield_now().await.map(|()| large[99]) };
    let refused = f.context.create_task(future).unwrap_err();
    assert!(refused.is_too_large());
    let rondel_core::Refusal::TooLarge { size, limit, .. } = refused.refusal() else { panic!() };
    assert!(size > limit && limit == 64);
    let cell = crate::fixture::leak(TaskCell::new(refused.into_value()));
    let task = f.context.create_pinned_task(Pin::static_mut(cell)).unwrap();
    f.settle();
    assert_eq!(task.take(), Ok(Ok(7)));
}

#[test]
fn over_aligned_future_is_refused() {
    #[repr(align(64))]
    struct Aligned(u8);
    let f = event_loop::<4, 0, 2, 512>();
    let (aligned, c) = (Aligned(1), f.context);
    let refused = f
        .context
        .create_task(async move {
            let a = &aligned;
            c.yield_now().await.map(|()| a.0)
        })
        .unwrap_err();
    assert!(refused.is_too_large());
    assert_eq!(f.statistics().tasks.live, 0);
}

// TK-13
#[test]
fn full_and_closed_give_the_future_back() {
    let f = event_loop::<4, 0, 1, 64>();
    let trace = Trace::new();
    f.context.create_task(async {}).unwrap();
    let dropped = trace.on_drop("dropped");
    let refused = f.context.create_task(async move { drop(dropped) }).unwrap_err();
    assert!(refused.is_full() && trace.is_empty());
    f.turn();
    let task = f.context.create_task(refused.into_value()).expect("there is room again");
    f.turn();
    assert_eq!(trace.take(), ["dropped"]);
    drop(task);
    let owner: &EventLoop = f.owner.as_ref().unwrap();
    owner.close().unwrap();
    assert!(f.context.create_task(async {}).unwrap_err().is_closed());
}

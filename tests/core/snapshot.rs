//! What a loop shows of itself: each kind of item, and what tasks wait for.

use core::future::poll_fn;
use core::num::NonZeroU32;
use core::task::Poll;
use core::time::Duration;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use rondel_core::{
    Awaited, CallItem, CallRole, Context, Driver, FutureItem, Gather, Instant, Item, Sleep, SlotId, TaskId,
    TaskItem, TaskState, Timeout, WaitsFor,
};

use crate::fixture::{Calls, Fixture, event_loop, on_both_loops, own};

on_both_loops!(
    every_item_is_shown_once_with_its_location,
    a_chain_of_tasks_says_who_waits_for_whom,
    a_gather_says_which_tasks_it_counts,
    a_wait_through_a_combinator_names_the_task,
    a_task_that_nobody_knows_of_waits_for_its_waker,
    since_is_the_iteration_of_the_last_step,
    a_call_says_when_it_was_asked_for,
    a_timer_that_fell_due_says_when_it_was_armed,
    a_future_says_when_it_was_made_or_done,
    a_loop_that_is_busy_knows_the_time_to_64_iterations,
    a_run_begins_with_a_reading_of_the_clock,
    a_step_sees_itself_running,
    what_the_layer_above_says_stands_beside_what_is_known,
    the_task_of_a_waiter_is_known_through_a_combinator,
    a_visitor_that_panics_leaves_nothing_behind,
);

fn items<C: Context>(f: &Fixture<C>) -> Vec<Item> {
    let mut items = Vec::new();
    f.scheduler().visit(|_| (), |item| items.push(item));
    items
}

fn tasks<C: Context>(f: &Fixture<C>) -> Vec<TaskItem> {
    let only = |item| if let Item::Task(task) = item { Some(task) } else { None };
    items(f).into_iter().filter_map(only).collect()
}

fn calls<C: Context>(f: &Fixture<C>) -> Vec<CallItem> {
    let only = |item| if let Item::Call(call) = item { Some(call) } else { None };
    items(f).into_iter().filter_map(only).collect()
}

fn futures<C: Context>(f: &Fixture<C>) -> Vec<FutureItem> {
    let only = |item| if let Item::Future(future) = item { Some(future) } else { None };
    items(f).into_iter().filter_map(only).collect()
}

fn every_item_is_shown_once_with_its_location<C: Context>(f: &Fixture<C>) {
    let c = &f.context;
    let soon = c.soon(|_| ()).unwrap();
    let line = line!() - 1;
    let timer = c.later(7, |_| ()).unwrap();
    let future = c.future::<u32>();
    let hook = future.add_done_callback(|_, _| ()).unwrap();
    let task = c.task(async {});
    let found = items(f);
    assert_eq!(found.len(), 5);
    let Item::Task(shown) = found[0] else { panic!("tasks come first") };
    assert_eq!((shown.id, shown.state, shown.waiters), (task.id(), TaskState::Ready, 0));
    let all = calls(f);
    assert_eq!((all[0].id, all[0].role, all[0].location.line()), (soon.id(), CallRole::Ready, line));
    assert!(all[0].location.file().ends_with("snapshot.rs"));
    assert_eq!((all[1].id, all[1].role), (timer.id(), CallRole::Timer(Instant::from_nanos(7))));
    assert_eq!(all[2].role, CallRole::Done(Awaited::Future(future.id())));
    assert_eq!((futures(f)[0].id, futures(f)[0].state, futures(f)[0].waiters), (future.id(), "pending", 1));

    future.set_result(1).unwrap();
    assert_eq!((futures(f)[0].state, futures(f)[0].waiters), ("result", 0));
    f.turn();
    assert_eq!(tasks(f)[0].state, TaskState::Done, "somebody may still take its result");
    drop((task, timer.cancel(), future, hook));
    assert_eq!(items(f), []);
}

fn a_chain_of_tasks_says_who_waits_for_whom<C: Context>(f: &Fixture<C>) {
    let c = f.context.clone();
    let last = f.context.task(async move { Sleep::new(&c, Duration::from_nanos(50)).await.is_ok() });
    let last_id = last.id();
    let middle = f.context.task(async move { last.await });
    let middle_id = middle.id();
    let first = f.context.task(async move { middle.await.is_ok() });
    f.turn();
    let states: Vec<_> = tasks(f).iter().map(|task| (task.id, task.state, task.waiters)).collect();
    let expected = [
        (last_id, TaskState::Waiting(WaitsFor::Time(Instant::from_nanos(50))), 1),
        (middle_id, TaskState::Waiting(WaitsFor::Task(last_id)), 1),
        (first.id(), TaskState::Waiting(WaitsFor::Task(middle_id)), 0),
    ];
    assert_eq!(states, expected);
    assert_eq!(calls(f)[0].wakes, Some(last_id), "the timer of the sleep");
    assert_eq!(states, tasks(f).iter().map(|task| (task.id, task.state, task.waiters)).collect::<Vec<_>>());
    f.driver.advance(Duration::from_nanos(50));
    f.settle();
    assert_eq!(first.take(), Ok(true), "to look changes nothing");
}

fn a_gather_says_which_tasks_it_counts<C: Context>(f: &Fixture<C>) {
    let pending = || f.context.task(core::future::pending::<()>());
    let children = [pending(), pending()];
    let ids = children.each_ref().map(|child| child.id());
    let gather = Gather::new(&f.context, children).unwrap();
    let parent = f.context.task(async move { gather.await.is_ok() });
    f.turn();
    let Some(TaskItem { state: TaskState::Waiting(WaitsFor::Future(outer)), .. }) =
        tasks(f).into_iter().find(|task| task.id == parent.id())
    else {
        panic!("the parent waits for the future of the gather")
    };
    let edges: Vec<_> = calls(f).iter().map(|call| (call.role, call.completes)).collect();
    assert_eq!(edges, ids.map(|id| (CallRole::Done(Awaited::Task(id)), Some(outer))));
}

/// Polls both, each behind a waker of its own.
async fn either<A: Future + Unpin, B: Future + Unpin>(mut a: A, mut b: B) {
    struct Through(core::task::Waker);
    impl std::task::Wake for Through {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.wake_by_ref();
        }
    }
    poll_fn(|cx| {
        let waker = std::sync::Arc::new(Through(cx.waker().clone())).into();
        let mut cx = core::task::Context::from_waker(&waker);
        let is_over = core::pin::Pin::new(&mut a).poll(&mut cx).is_ready()
            | core::pin::Pin::new(&mut b).poll(&mut cx).is_ready();
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn a_wait_through_a_combinator_names_the_task<C: Context>(f: &Fixture<C>) {
    let future = f.context.future::<u32>();
    let (wait, sleep) = (future.wait(), Sleep::new(&f.context, Duration::from_nanos(9)));
    let task = f.context.task(async move { either(sleep, wait).await });
    f.turn();
    let state = TaskState::Waiting(WaitsFor::Future(future.id()));
    assert_eq!(tasks(f)[0].state, state, "what completes comes before time");
    let roles =
        [CallRole::Timer(Instant::from_nanos(9)), CallRole::Waiter(Some(Awaited::Future(future.id())))];
    assert_eq!(calls(f).iter().map(|call| call.role).collect::<Vec<_>>(), roles);
    assert!(calls(f).iter().all(|call| call.wakes == Some(task.id())));
    task.abort();
}

fn a_task_that_nobody_knows_of_waits_for_its_waker<C: Context>(f: &Fixture<C>) {
    let _task = f.context.task(core::future::pending::<()>());
    f.turn();
    assert_eq!(tasks(f)[0].state, TaskState::Waiting(WaitsFor::Waker));
    let c = f.context.clone();
    let limited = Timeout::new(&c, Duration::from_nanos(5), core::future::pending::<()>());
    let _task = f.context.task(async move { limited.await.is_ok() });
    f.turn();
    assert_eq!(tasks(f)[1].state, TaskState::Waiting(WaitsFor::Time(Instant::from_nanos(5))));
}

fn since_is_the_iteration_of_the_last_step<C: Context>(f: &Fixture<C>) {
    let since = || tasks(f).iter().map(|task| task.since.as_nanos()).collect::<Vec<_>>();
    f.driver.advance(Duration::from_nanos(50));
    f.turn();
    let _early = f.context.task(core::future::pending::<()>());
    f.driver.advance(Duration::from_nanos(50));
    assert_eq!(since(), [50], "made then, before its first step");
    f.turn();
    assert_eq!(since(), [100]);
    let _timer = f.context.later(1000, |_| ()).unwrap();
    let _late = f.context.task(core::future::pending::<()>());
    f.driver.advance(Duration::from_nanos(100));
    f.turn();
    f.driver.advance(Duration::from_nanos(100));
    f.turn();
    assert_eq!(since(), [100, 200], "not the later turn");
}

fn a_call_says_when_it_was_asked_for<C: Context>(f: &Fixture<C>) {
    const HOUR: u64 = 3_600_000_000_000;
    let at = |nanos| {
        f.driver.advance(Duration::from_nanos(nanos) - (f.driver.now() - Instant::ZERO));
        f.turn();
    };
    let c = &f.context;
    at(1000);
    let future = c.future::<u32>();
    let hook = future.add_done_callback(|_, _| ()).unwrap();
    let near = c.later(2000, |_| ()).unwrap();
    at(1500);
    let far = c.later(HOUR, |_| ()).unwrap();
    let here = core::panic::Location::caller();
    let handler = f.scheduler().add_handler(|_: &C| (), rondel_core::Callback::handler, here).unwrap();
    let soon = c.soon(|_| ()).unwrap();
    let shown = calls(f);
    let since = |role| {
        let found = shown.iter().find(|call| call.role == role).expect("it is shown");
        found.since.as_nanos()
    };
    assert_eq!(since(CallRole::Done(Awaited::Future(future.id()))), 1000);
    assert_eq!(since(CallRole::Timer(near.when())), 1000);
    assert_eq!(since(CallRole::Handler), 1500);
    assert_eq!(since(CallRole::Ready), 1500);
    let late = since(CallRole::Timer(far.when())) - 1500;
    assert!(late < HOUR / 1_000_000 * 8, "{late} ns too late");
    drop((near.cancel(), far.cancel(), soon.cancel(), hook, future));
    f.scheduler().cancel_call(c, handler);
}

fn a_timer_that_fell_due_says_when_it_was_armed<C: Context>(f: &Fixture<C>) {
    const MINUTE: u64 = 60_000_000_000;
    let since = Rc::new(Cell::new(None));
    let seen = since.clone();
    let looks = f.context.later(MINUTE, move |c: &C| {
        c.scheduler().visit(
            |_| (),
            |item| {
                if let Item::Call(CallItem { role: CallRole::Ready, since, .. }) = item {
                    seen.set(Some(since.as_nanos()));
                }
            },
        );
    });
    f.driver.advance(Duration::from_secs(5));
    f.turn();
    let _due = f.context.later(MINUTE - 5_000_000_000, |_| ()).unwrap();
    f.driver.advance(Duration::from_secs(55));
    f.turn();
    drop(looks);
    let late = since.get().expect("one is ready beside the one that looks") - 5_000_000_000;
    assert!(late < MINUTE / 1_000_000 * 8, "{late} ns too late");
}

fn a_future_says_when_it_was_made_or_done<C: Context>(f: &Fixture<C>) {
    let since = || futures(f).iter().map(|future| future.since.as_nanos()).collect::<Vec<_>>();
    f.driver.advance(Duration::from_nanos(100));
    f.turn();
    let future = f.context.future::<u32>();
    f.driver.advance(Duration::from_nanos(100));
    f.turn();
    let other = f.context.future::<u32>();
    assert_eq!(since(), [100, 200]);
    f.driver.advance(Duration::from_nanos(100));
    f.turn();
    future.set_result(1).unwrap();
    other.cancel();
    assert_eq!(since(), [300, 300]);
    f.driver.advance(Duration::from_nanos(100));
    f.turn();
    assert_eq!(future.take().ok(), Some(1));
    assert_eq!(since(), [300, 300], "done since then, also when its result was taken");
}

fn a_loop_that_is_busy_knows_the_time_to_64_iterations<C: Context>(f: &Fixture<C>) {
    let (c, driver) = (f.context.clone(), f.driver);
    let readings = f.block_on(async move {
        let (mut last, mut readings) = (Instant::MAX, 0);
        for _ in 0..640 {
            let time = c.scheduler().time();
            assert!(
                Driver::now(driver) - time <= Duration::from_nanos(64),
                "{time:?} at {:?}",
                Driver::now(driver)
            );
            readings += u32::from(time != last);
            last = time;
            // Each iteration takes a nanosecond, and is followed by one more.
            driver.advance(Duration::from_nanos(1));
            yield_now().await;
        }
        readings
    });
    assert_eq!(readings, Ok(10), "no more than that");
}

/// Is over in the next iteration.
async fn yield_now() {
    let mut is_over = false;
    poll_fn(|cx| {
        cx.waker().wake_by_ref();
        if core::mem::replace(&mut is_over, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn a_run_begins_with_a_reading_of_the_clock<C: Context>(f: &Fixture<C>) {
    for nanos in [1000, 2000] {
        f.driver.advance(Duration::from_nanos(1000));
        let _callback = f.context.soon(|_| ()).unwrap();
        f.turn();
        assert_eq!(f.scheduler().time(), Instant::from_nanos(nanos));
    }
}

fn a_step_sees_itself_running<C: Context>(f: &Fixture<C>) {
    let seen = Rc::new(Cell::new(None));
    let (inside, c) = (seen.clone(), f.context.clone());
    let task = f.context.task(async move {
        c.scheduler().visit(|_| (), |item| inside.set(Some(item)));
    });
    f.turn();
    let Some(Item::Task(shown)) = seen.get() else { panic!("there is one task") };
    assert_eq!((shown.id, shown.state), (task.id(), TaskState::Running));
}

fn what_the_layer_above_says_stands_beside_what_is_known<C: Context>(f: &Fixture<C>) {
    let slots: Rc<RefCell<Vec<SlotId>>> = Rc::default();
    let note = |c: C, slots: &Rc<RefCell<Vec<SlotId>>>| {
        let slots = slots.clone();
        poll_fn(move |cx| {
            slots.borrow_mut().extend(c.scheduler().task_of(cx.waker()));
            Poll::Ready(())
        })
    };
    let future = f.context.future::<u32>();
    let (wait, c, begun) = (future.wait(), f.context.clone(), slots.clone());
    let _known = f.context.task(async move {
        note(c, &begun).await;
        wait.await.is_ok()
    });
    let (c, begun) = (f.context.clone(), slots.clone());
    let _unknown = f.context.task(async move {
        note(c, &begun).await;
        core::future::pending::<()>().await;
    });
    f.turn();
    let (c, begun) = (f.context.clone(), slots.clone());
    let _ready = f.context.task(async move {
        note(c.clone(), &begun).await;
        c.scheduler().wake(*begun.borrow().last().unwrap());
        core::future::pending::<()>().await;
    });
    f.turn();
    assert_eq!(slots.borrow().len(), 3);
    let word = |n| NonZeroU32::new(n).unwrap();
    let mut found = Vec::new();
    f.scheduler().visit(
        |note| {
            for &slot in slots.borrow().iter() {
                note(slot, word(u32::MAX));
                note(slot, word(42));
            }
        },
        |item| {
            found.extend(if let Item::Task(task) = item { Some((task.state, task.outside)) } else { None });
        },
    );
    let expected = [
        (TaskState::Waiting(WaitsFor::Future(future.id())), Some(word(42))),
        (TaskState::Waiting(WaitsFor::Waker), Some(word(42))),
        (TaskState::Ready, None),
    ];
    assert_eq!(found, expected);
    assert!(tasks(f).iter().all(|task| task.outside.is_none()), "said for one visit");
    f.settle();
    future.set_result(1).unwrap();
    f.settle();
    assert_eq!(tasks(f)[0].state, TaskState::Done, "a note is in nobody's way");
}

fn the_task_of_a_waiter_is_known_through_a_combinator<C: Context>(f: &Fixture<C>) {
    let waiter = Rc::new(Cell::new(None));
    let (added, c) = (waiter.clone(), f.context.clone());
    let waiting = poll_fn(move |cx| {
        added.set(c.scheduler().add_waiter(cx.waker(), core::panic::Location::caller()).ok());
        Poll::<()>::Pending
    });
    let task = f.context.task(async move { either(waiting, core::future::pending::<()>()).await });
    f.turn();
    let waiter = waiter.get().expect("there is room");
    assert_eq!(f.scheduler().task_of_waiter(waiter).map(TaskId::from), Some(task.id()));
    task.abort();
    f.scheduler().wake_waiter(&f.context, waiter);
    assert_eq!(f.scheduler().task_of_waiter(waiter), None);
}

fn a_visitor_that_panics_leaves_nothing_behind<C: Context>(f: &Fixture<C>) {
    let c = f.context.clone();
    let sleeper = f.context.task(async move { Sleep::new(&c, Duration::from_nanos(5)).await.is_ok() });
    f.turn();
    let visited = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| {
        f.scheduler().visit(|_| (), |_| panic!("a visitor's"));
    }));
    assert!(visited.is_err());
    assert_eq!(tasks(f)[0].state, TaskState::Waiting(WaitsFor::Time(Instant::from_nanos(5))));
    f.driver.advance(Duration::from_nanos(5));
    f.settle();
    assert_eq!(sleeper.take(), Ok(true), "the loop goes on");
    let _next = f.context.task(core::future::pending::<()>());
    f.turn();
    assert_eq!(tasks(f).last().unwrap().state, TaskState::Waiting(WaitsFor::Waker));
}

#[test]
fn the_handle_shows_it_too() {
    let f = event_loop::<8, 4, 4, 256>();
    let _timer = f.context.later(1, |_| ()).unwrap();
    let mut count = 0;
    f.context.visit(|_| count += 1);
    assert_eq!(count, 1);
}

#[test]
fn a_hundred_thousand_tasks_and_timers_are_shown_without_an_allocation() {
    let f = own(100_000, 1, 100_000, 16);
    let c = f.context;
    for n in 0..100_000 {
        drop(c.task(async move { Sleep::new(&c, Duration::from_nanos(1000 + n)).await.is_ok() }));
    }
    f.turn();
    let before = crate::allocation::count();
    let (mut waiting, mut timers) = (0, 0);
    f.scheduler().visit(
        |_| (),
        |item| match item {
            Item::Task(task) if matches!(task.state, TaskState::Waiting(WaitsFor::Time(_))) => waiting += 1,
            Item::Call(call) if matches!(call.role, CallRole::Timer(_)) => timers += 1,
            _ => {}
        },
    );
    assert_eq!(crate::allocation::count(), before);
    assert_eq!((waiting, timers), (100_000, 100_000));
}

//! Full tables at every public call: C-01, C-02, C-04, C-10.

use core::cell::RefCell;
use core::time::Duration;
use std::rc::Rc;

use rondel_core::{
    Callback, FutureError, Gather, Refusal, Resource, RunError, Sleep, Task, TaskCell, WaitError,
};

use crate::fixture::{Calls, Fixture, Own, Trace, defer, event_loop, own};

/// Runs `test` at each capacity of calls, on both loops.
fn at_capacities(test: impl Fn(usize, &dyn Fn(usize) -> Fixture<Own>)) {
    for calls in [0, 1, 2, 7] {
        test(calls, &|tasks| own(calls, 2, tasks, 128));
    }
}

// C-01, CS-8, T-11: the callback comes back, and goes in when there is room
#[test]
fn c01_every_call_gives_its_callback_back_when_full() {
    at_capacities(|calls, make| {
        let (f, trace) = (make(2), Trace::new());
        let c = &f.context;
        let handles: Vec<_> = (0..calls).map(|_| c.soon(trace.note("held")).unwrap()).collect();
        let full = Refusal::Full { resource: Resource::Call, limit: calls };
        let t = trace.clone();
        let refused = c.soon(move |_: &Own| t.push("soon")).map(drop).unwrap_err();
        assert_eq!((refused.refusal(), refused.operation()), (full, "call_soon"));
        let t = trace.clone();
        let later = c.later(1, move |_: &Own| t.push("later")).map(drop).unwrap_err();
        assert_eq!((later.refusal(), later.operation()), (full, "call_later"));
        let at = c.at(1, |_: &Own| ()).map(drop).unwrap_err();
        assert_eq!((at.refusal(), at.operation()), (full, "call_at"));
        let handler = f
            .scheduler()
            .add_handler(|_: &Own| (), Callback::handler, core::panic::Location::caller())
            .unwrap_err();
        assert_eq!((handler.refusal(), handler.operation()), (full, "add_handler"));
        let future = c.future::<u8>();
        let done = future.add_done_callback(|_: &Own, _: &_| ()).unwrap_err();
        assert_eq!((done.refusal(), done.operation()), (full, "add_done_callback"));
        let task = c.task(async {});
        assert_eq!(task.add_done_callback(|_: &Own, _: &_| ()).unwrap_err().refusal(), full);
        assert_eq!(f.block_on(async {}), Err(RunError::Refused(full)));
        let s = f.statistics();
        assert_eq!((s.calls.live, s.timers, s.tasks.live), (calls, 0, 1), "nothing is half registered");
        if calls > 0 {
            handles[0].cancel();
            c.soon(refused.into_value()).expect("room again");
            assert!(c.soon(|_: &Own| ()).is_err());
        }
        f.turn();
        assert_eq!(trace.take().len(), calls);
        assert_eq!(f.statistics().calls.live, 0);
        if calls > 0 {
            c.later(0, later.into_value()).expect("room again");
            f.turn();
            assert_eq!(trace.take(), ["later"]);
        }
    });
}

// C-01: from a callback, a task, a destructor
#[test]
fn c01_full_from_a_callback_a_task_and_a_destructor() {
    let (f, trace) = (own(1, 1, 2, 128), Trace::new());
    let t = trace.clone();
    f.context
        .soon(move |c: &Own| {
            // The slot of the callback that runs is free already.
            c.soon(t.note("from a callback")).unwrap();
            assert!(c.soon(|_: &Own| ()).is_err_and(|refused| refused.is_full()));
        })
        .unwrap();
    f.turn();
    f.turn();
    assert_eq!(trace.take(), ["from a callback"]);
    let (c, t) = (f.context, trace.clone());
    f.context.task(async move {
        c.soon(t.note("held")).unwrap();
        let refused = c.soon(t.note("from a task")).map(drop).unwrap_err();
        rondel_core::YieldNow::new(&c).await.unwrap();
        c.soon(refused.into_value()).map(drop).expect("the callback before it ran");
    });
    f.settle();
    assert_eq!(trace.take(), ["held", "from a task"]);
    let (c, t) = (f.context, trace.clone());
    let hostile = defer(move || assert!(c.soon(t.note("from a destructor")).is_ok()));
    f.context.soon(move |_: &Own| drop(hostile)).unwrap().cancel();
    f.turn();
    assert_eq!(trace.take(), ["from a destructor"], "the slot is free before the destructor runs");
}

// C-02
#[test]
fn c02_future_table_full_at_each_capacity() {
    for futures in [0, 1, 2, 5] {
        let f = own(4, futures, 2, 128);
        let held: Vec<_> = (0..futures).map(|_| f.context.future::<u8>()).collect();
        let refused = rondel_core::Future::<u8, Own>::new(&f.context).unwrap_err();
        assert_eq!(refused.refusal(), Refusal::Full { resource: Resource::Future, limit: futures });
        let task = f.context.task(async { 1_u8 });
        let refused = Gather::new(&f.context, [task]).map(drop).unwrap_err();
        assert!(refused.is_full());
        drop(held);
        assert_eq!(rondel_core::Future::<u8, Own>::new(&f.context).is_ok(), futures > 0);
    }
}

// C-02, TK-13
#[test]
fn c02_task_table_full_at_each_capacity() {
    for tasks in [0, 1, 2, 5] {
        let f = own(4, 1, tasks, 128);
        let held: Vec<_> = (0..tasks).map(|_| f.context.task(core::future::pending::<()>())).collect();
        let trace = Trace::new();
        let dropped = trace.on_drop("dropped");
        let refused = Task::new(&f.context, async move { drop(dropped) }, TaskCell::new).unwrap_err();
        assert_eq!(refused.refusal(), Refusal::Full { resource: Resource::Task, limit: tasks });
        assert!(matches!(f.block_on(async {}), Err(RunError::Refused(Refusal::Full { .. }))));
        assert!(trace.is_empty());
        assert_eq!(f.statistics().calls.live, 0);
        if let Some(first) = held.into_iter().next() {
            first.abort();
            drop(first);
            Task::new(&f.context, refused.into_value(), TaskCell::new).expect("room again");
            f.turn();
            assert_eq!(trace.take(), ["dropped"]);
        }
    }
}

// C-02: one wait of a task can't fail; a second at the same time needs a call
#[test]
fn c02_second_simultaneous_wait_of_a_task() {
    for calls in [0, 1] {
        let f = own(calls, 2, 1, 256);
        let (a, b) = (f.context.future::<u8>(), f.context.future::<u8>());
        let (wait_a, wait_b) = (a.wait(), b.wait());
        let task = f.context.task(async move {
            let (mut wait_a, mut wait_b) = (core::pin::pin!(wait_a), core::pin::pin!(wait_b));
            let (mut first, mut second) = (None, None);
            core::future::poll_fn(move |cx| {
                if first.is_none()
                    && let core::task::Poll::Ready(result) = wait_a.as_mut().poll(cx)
                {
                    first = Some(result);
                }
                if second.is_none()
                    && let core::task::Poll::Ready(result) = wait_b.as_mut().poll(cx)
                {
                    second = Some(result);
                }
                match (first, second) {
                    (Some(first), Some(second)) => core::task::Poll::Ready((first, second)),
                    _ => core::task::Poll::Pending,
                }
            })
            .await
        });
        f.turn();
        b.set_result(1).unwrap();
        f.settle();
        a.set_result(1).unwrap();
        f.settle();
        let (first, second) = task.take().unwrap();
        assert_eq!(first, Ok(()), "the first has the task's own node");
        assert_eq!(second.is_ok(), calls == 1);
        assert_eq!(f.statistics().calls.live, 0);
    }
}

// C-02: awaitables say so instead of hanging
#[test]
fn c02_sleep_without_room_is_refused() {
    let f = own(0, 0, 1, 128);
    let c = f.context;
    let task = f.context.task(async move { Sleep::new(&c, Duration::from_nanos(1)).await });
    f.turn();
    assert!(matches!(task.take(), Ok(Err(WaitError::Refused(Refusal::Full { .. })))));
}

// C-04
#[test]
fn c04_a_loop_with_no_room_at_all_refuses_and_closes() {
    let f = event_loop::<0, 0, 0, 0>();
    f.turn();
    assert!(f.context.call_soon(|_: &_| ()).is_err());
    assert!(f.context.create_future::<u8>().is_err());
    assert!(f.context.create_task(async {}).is_err());
    assert!(f.block_on(async {}).is_err());
    assert!(f.context.all_tasks().next().is_none());
    f.close().unwrap();
}

// R-14, TK-13, K-04
#[test]
fn k04_closed_everywhere() {
    let f = event_loop::<4, 4, 4, 256>();
    let c = f.context;
    let (future, other) = (c.create_future::<u8>().unwrap(), c.create_future::<u8>().unwrap());
    let task = c.create_task(async { 1_u8 }).unwrap();
    let (sleep, wait, timeout) =
        (c.sleep(Duration::from_nanos(1)), future.wait(), c.timeout(Duration::from_nanos(1), async {}));
    f.close().unwrap();
    assert!(c.call_soon(|_: &_| ()).is_err_and(|refused| refused.is_closed()));
    assert!(c.call_later(Duration::ZERO, |_: &_| ()).is_err_and(|refused| refused.is_closed()));
    assert!(c.call_at(c.time(), |_: &_| ()).is_err_and(|refused| refused.is_closed()));
    assert!(c.add_handler(|_: &_| ()).is_err_and(|refused| refused.is_closed()));
    assert!(c.create_future::<u8>().is_err_and(|refused| refused.is_closed()));
    assert!(c.create_task(async {}).is_err_and(|refused| refused.is_closed()));
    assert!(
        c.create_pinned_task(Box::pin(TaskCell::new(async {}))).is_err_and(|refused| refused.is_closed())
    );
    assert!(future.add_done_callback(|_: &_, _: &_| ()).is_err_and(|refused| refused.is_closed()));
    assert!(task.add_done_callback(|_: &_, _: &_| ()).is_err_and(|refused| refused.is_closed()));
    assert!(c.gather([task]).is_err_and(|refused| refused.is_closed()));
    assert!(matches!(future.take(), Err(FutureError::Refused(Refusal::Closed))));
    assert!(f.owner.as_ref().unwrap().run_until_complete(async {}).is_err());
    // Awaitables end at once, on whatever executor.
    let mut cx = core::task::Context::from_waker(core::task::Waker::noop());
    assert!(core::pin::pin!(sleep).poll(&mut cx).is_ready());
    assert!(core::pin::pin!(wait).poll(&mut cx).is_ready());
    assert!(core::pin::pin!(timeout).poll(&mut cx).is_ready());
    assert!(core::pin::pin!(other.into_future()).poll(&mut cx).is_ready());
    c.stop();
    let _ = c.time();
    assert_eq!((c.all_tasks().count(), c.current_task().is_none()), (0, true));
}

// C-10, T-01
#[test]
fn c10_endless_churn_leaves_the_tables_as_they_were() {
    let f = own(16, 8, 8, 256);
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..3_000 {
        let c = f.context;
        let timer = c.later(random.u64(..1 << 40), |_: &Own| ());
        let future = c.future::<Rc<RefCell<u8>>>();
        let waiter = c.task({
            let future = future.clone();
            async move { future.await.map(drop).map_err(rondel_core::Exception::from) }
        });
        let sleeper = c.task(async move { Sleep::new(&c, Duration::from_secs(1)).await });
        let gather = rondel_core::GatherOutcomes::new(&c, [sleeper.clone()]);
        f.turn();
        match random.u8(..5) {
            0 => drop(future.set_result(Rc::default())),
            1 => drop(future.cancel()),
            2 => drop(waiter.cancel()),
            3 => drop(waiter.abort()),
            _ => {
                future.set_result(Rc::default()).unwrap();
                waiter.abort();
            }
        }
        if random.bool() {
            sleeper.cancel();
        } else {
            sleeper.abort();
        }
        timer.unwrap().cancel();
        drop((gather, future));
        f.settle();
        assert!(waiter.done() && sleeper.done());
        drop((waiter, sleeper));
        let s = f.statistics();
        assert_eq!(
            (s.calls.live, s.futures.live, s.tasks.live, s.timers, s.ready, s.tasks_retired),
            (0, 0, 0, 0, 0, 0)
        );
    }
    crate::fixture::reports();
}

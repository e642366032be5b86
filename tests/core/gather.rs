//! `gather`: order of values, first failure, cancellation.

use core::time::Duration;

use rondel_core::{
    Context, Gather, GatherError, GatherOutcomes, Sleep, Task, TaskError, Timeout, WaitError, YieldNow,
};

use crate::fixture::{Calls, Fixture, Oops, Trace, event_loop, on_both_loops, reports};

on_both_loops!(
    values_come_in_the_order_of_the_tasks,
    nothing_to_gather_is_ready_at_once,
    done_tasks_are_gathered_too,
    first_failure_in_time_ends_it_and_the_others_go_on,
    cancelled_child_is_a_failure_of_its_own,
    cancelling_the_awaiter_cancels_all_children,
    child_that_swallows_the_request_delays_the_end,
    error_of_a_child_that_is_cancelled_goes_to_the_awaiter,
    outcomes_waits_for_all,
    outcomes_cancelled_waits_for_all,
    timeout_over_gather_frees_its_calls,
    dropped_gather_leaves_the_children_alone,
);

type Sleeper<C> = Task<Result<u32, WaitError>, C>;

fn sleeper<C: Context>(f: &Fixture<C>, nanos: u64, value: u32) -> Sleeper<C> {
    let c = f.context.clone();
    f.context.task(async move { Sleep::new(&c, Duration::from_nanos(nanos)).await.map(|()| value) })
}

fn values_come_in_the_order_of_the_tasks<C: Context>(f: &Fixture<C>) {
    let gather = Gather::new(&f.context, [sleeper(f, 30, 1), sleeper(f, 10, 2), sleeper(f, 20, 3)]).unwrap();
    assert_eq!(f.block_on(async { gather.await.unwrap() }), Ok([1, 2, 3]));
    let s = f.statistics();
    assert_eq!((s.calls.live, s.futures.live, s.tasks.live), (0, 0, 0));
}

fn nothing_to_gather_is_ready_at_once<C: Context>(f: &Fixture<C>) {
    let gather = Gather::new(&f.context, [] as [Sleeper<C>; 0]).unwrap();
    let task = f.context.task(async move { gather.await.is_ok() });
    f.turn();
    assert_eq!(task.take(), Ok(true));
}

fn done_tasks_are_gathered_too<C: Context>(f: &Fixture<C>) {
    let tasks = [f.context.task(async { 1_u32 }), f.context.task(async { 2 })];
    f.turn();
    let gather = Gather::new(&f.context, tasks).unwrap();
    assert_eq!(f.block_on(async { gather.await.unwrap() }), Ok([1, 2]));
}

fn first_failure_in_time_ends_it_and_the_others_go_on<C: Context>(f: &Fixture<C>) {
    let make = |nanos, fails: bool| {
        let c = f.context.clone();
        f.context.task(async move {
            let _ = Sleep::new(&c, Duration::from_nanos(nanos)).await;
            if fails { Err(Oops(nanos as u32)) } else { Ok(()) }
        })
    };
    let tasks = [make(30, true), make(20, true), make(40, false)];
    let kept = tasks.each_ref().map(Task::clone);
    let gather = Gather::new(&f.context, tasks).unwrap();
    let failed =
        f.block_on(async { matches!(gather.await, Err(GatherError::Failed { index: 1, error: Oops(20) })) });
    assert_eq!(failed, Ok(true));
    assert!(!kept[0].done() && kept[1].done() && !kept[2].done());
    f.driver.advance(Duration::from_nanos(100));
    f.settle();
    assert!(kept.iter().all(Task::done));
    assert_eq!(kept[0].take(), Ok(Err(Oops(30))));
    drop(kept);
    assert_eq!(reports(), [""; 0]);
    assert_eq!((f.statistics().calls.live, f.statistics().tasks.live), (0, 0));
}

fn cancelled_child_is_a_failure_of_its_own<C: Context>(f: &Fixture<C>) {
    let tasks = [sleeper(f, 30, 1), sleeper(f, 40, 2)];
    let (first, second) = (tasks[0].clone(), tasks[1].clone());
    let gather = Gather::new(&f.context, tasks).unwrap();
    let task = f.context.task(async move {
        matches!(gather.await, Err(GatherError::Task { index: 0, error: TaskError::Cancelled }))
    });
    f.turn();
    first.cancel();
    f.settle();
    assert_eq!((task.take(), task.cancelled(), second.done()), (Ok(true), false, false));
}

fn cancelling_the_awaiter_cancels_all_children<C: Context>(f: &Fixture<C>) {
    let tasks = [sleeper(f, 30, 1), sleeper(f, 40, 2)];
    let kept = tasks.each_ref().map(Task::clone);
    let gather = Gather::new(&f.context, tasks).unwrap();
    let task = f.context.task(gather);
    f.turn();
    f.turn();
    task.cancel();
    f.settle();
    assert!(task.cancelled() && kept.iter().all(Task::cancelled));
    drop((kept, task));
    let s = f.statistics();
    assert_eq!((s.calls.live, s.futures.live, s.tasks.live), (0, 0, 0));
    assert_eq!(reports(), [""; 0]);
}

fn child_that_swallows_the_request_delays_the_end<C: Context>(f: &Fixture<C>) {
    let c = f.context.clone();
    let child = f.context.task(async move {
        let _ = Sleep::new(&c, Duration::from_secs(1)).await;
        YieldNow::new(&c).await.map(|()| 5_u32)
    });
    let kept = child.clone();
    let gather = Gather::new(&f.context, [child]).unwrap();
    let task = f.context.task(gather);
    f.turn();
    f.turn();
    task.cancel();
    f.turn();
    assert!(!task.done(), "waits for the child");
    f.settle();
    assert!(kept.done() && !kept.cancelled() && task.cancelled());
    assert_eq!(kept.take(), Ok(Ok(5)), "its value is not lost");
}

// Python: gather raises the child's error, not CancelledError
fn error_of_a_child_that_is_cancelled_goes_to_the_awaiter<C: Context>(f: &Fixture<C>) {
    let c = f.context.clone();
    let child = f.context.task(async move {
        let _ = Sleep::new(&c, Duration::from_secs(1)).await;
        Err::<(), _>(Oops(3))
    });
    let gather = Gather::new(&f.context, [child]).unwrap();
    let task = f
        .context
        .task(async move { matches!(gather.await, Err(GatherError::Failed { index: 0, error: Oops(3) })) });
    f.turn();
    task.cancel();
    f.settle();
    assert_eq!(task.take(), Ok(true));
    assert_eq!(reports(), [""; 0]);
}

fn outcomes_waits_for_all<C: Context>(f: &Fixture<C>) {
    let c = f.context.clone();
    let failing = f.context.task(async { Err(WaitError::Cancelled(rondel_core::Cancelled)) });
    let tasks =
        [failing, sleeper(f, 10, 7), f.context.task(async move { YieldNow::new(&c).await.map(|()| 9) })];
    let gather = GatherOutcomes::new(&f.context, tasks).unwrap();
    let outcomes = f.block_on(async { gather.await.unwrap() }).unwrap();
    assert_eq!(outcomes, [Err(TaskError::Cancelled), Ok(Ok(7)), Ok(Ok(9))]);
}

fn outcomes_cancelled_waits_for_all<C: Context>(f: &Fixture<C>) {
    let c = f.context.clone();
    let slow = f.context.task(async move {
        let ended = Sleep::new(&c, Duration::from_secs(1)).await;
        YieldNow::new(&c).await?;
        YieldNow::new(&c).await?;
        ended.map(|()| 1_u32)
    });
    let (quick, kept) = (sleeper(f, 30, 1), slow.clone());
    let gather = GatherOutcomes::new(&f.context, [quick, slow]).unwrap();
    let task = f.context.task(async move { gather.await.map(drop) });
    f.turn();
    task.cancel();
    f.turn();
    f.turn();
    assert!(!task.done() && !kept.done());
    f.settle();
    assert!(task.cancelled() && kept.cancelled());
}

// C-10: what nobody waits for holds no slots
fn timeout_over_gather_frees_its_calls<C: Context>(f: &Fixture<C>) {
    let child = sleeper(f, 1 << 40, 1);
    f.turn();
    let live = f.statistics().calls.live;
    for _ in 0..100 {
        let gather = GatherOutcomes::new(&f.context, [child.clone()]).unwrap();
        drop(gather);
        assert_eq!(f.statistics().calls.live, live);
    }
    let c = f.context.clone();
    let gather = Gather::new(&c, [child.clone()]).unwrap();
    let ended = f.block_on(async { Timeout::new(&c, Duration::from_nanos(5), gather).await.is_err() });
    assert_eq!(ended, Ok(true));
    assert_eq!((f.statistics().calls.live, f.statistics().futures.live), (0, 0));
    assert!(child.cancelled());
}

fn dropped_gather_leaves_the_children_alone<C: Context>(f: &Fixture<C>) {
    let t = Trace::new();
    let child = f.context.task({
        let t = t.clone();
        async move { t.push("ran") }
    });
    drop(Gather::new(&f.context, [child.clone()]).unwrap());
    f.settle();
    assert_eq!((t.take(), child.done()), (vec!["ran"], true));
}

// C-02
#[test]
fn refused_gather_gives_the_tasks_back_and_keeps_nothing() {
    let f = event_loop::<2, 1, 4, 512>();
    let tasks = [0_u32, 1, 2].map(|n| f.context.task(async move { n }));
    f.turn();
    let refused = f.context.gather(tasks).map(drop).unwrap_err();
    assert!(refused.is_full());
    let s = f.statistics();
    assert_eq!((s.calls.live, s.futures.live, s.ready), (0, 0, 0), "also of tasks that are done");
    let [a, b, c] = refused.into_value();
    let future = f.context.create_future::<()>().unwrap();
    let refused = f.context.gather([a, b]).map(drop).unwrap_err();
    drop(future);
    let gather = f.context.gather(refused.into_value()).expect("room again");
    let task = f.context.task(async move { gather.await.unwrap() });
    f.settle();
    assert_eq!((task.take(), c.take()), (Ok([0, 1]), Ok(2)));
}

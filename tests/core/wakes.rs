//! Wakes by `Waker`: W-01, W-06, W-07, design invariant 7.

use core::cell::{Cell, RefCell};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::task::{Poll, Waker};
use core::time::Duration;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use rondel_core::{Context, Event, Instant, Task, YieldNow};

use crate::fixture::{Calls, Fixture, Own, Trace, event_loop, on_both_loops, own, own_loop};

on_both_loops!(
    wake_makes_the_task_ready_once,
    w06_waker_outlives_its_task_and_wakes_no_stranger,
    w06_waker_outlives_its_loop,
    leaked_clones_retire_the_slot_and_show_in_the_statistics,
    waker_lent_to_poll_is_not_counted,
    wake_from_within_the_wait_costs_no_extra_turn,
    wake_during_the_step_runs_it_again,
    wake_of_a_done_task_does_nothing,
);

/// Makes a task that counts its steps and hands out its waker.
fn waiting<C: Context>(f: &Fixture<C>) -> (Task<(), C>, Rc<RefCell<Option<Waker>>>, Rc<Cell<u32>>) {
    let (waker, steps) = (Rc::new(RefCell::new(None)), Rc::new(Cell::new(0)));
    let (w, s) = (waker.clone(), steps.clone());
    let task = f.context.task(core::future::poll_fn(move |cx| {
        s.set(s.get() + 1);
        w.borrow_mut().get_or_insert_with(|| cx.waker().clone());
        Poll::<()>::Pending
    }));
    (task, waker, steps)
}

fn wake_makes_the_task_ready_once<C: Context>(f: &Fixture<C>) {
    let (_task, waker, steps) = waiting(f);
    f.turn();
    for _ in 0..5 {
        waker.borrow().as_ref().unwrap().wake_by_ref();
    }
    f.turn();
    f.turn();
    assert_eq!(steps.get(), 2);
}

// W-06
fn w06_waker_outlives_its_task_and_wakes_no_stranger<C: Context>(f: &Fixture<C>) {
    let (task, waker, _) = waiting(f);
    f.turn();
    let stale = waker.take().unwrap();
    task.abort();
    drop((task, waker));
    let strangers: Vec<_> = (0..5).map(|_| waiting(f)).collect();
    f.turn();
    stale.wake_by_ref();
    stale.wake_by_ref();
    f.settle();
    assert!(strangers.iter().all(|(_, _, steps)| steps.get() == 1));
    assert_eq!(f.statistics().tasks_retired, 1);
}

// W-06
fn w06_waker_outlives_its_loop<C: Context>(f: &Fixture<C>) {
    let (task, waker, _) = waiting(f);
    f.turn();
    let stale = waker.take().unwrap();
    f.close().unwrap();
    stale.wake_by_ref();
    drop(task);
    stale.wake();
}

// Invariant 7
fn leaked_clones_retire_the_slot_and_show_in_the_statistics<C: Context>(f: &Fixture<C>) {
    let capacity = f.statistics().tasks.capacity;
    let mut leaked = Vec::new();
    for n in 0..capacity {
        let (task, waker, _) = waiting(f);
        f.turn();
        leaked.push(waker.take().unwrap());
        task.abort();
        drop(task);
        assert_eq!((f.statistics().tasks_retired, f.statistics().tasks.live), (n + 1, 0));
    }
    let c = f.context.clone();
    let make = || Task::new(&c, async {}, rondel_core::TaskCell::new);
    assert!(make().is_err_and(|refused| refused.is_full()));
    // From the middle of the list of retired slots.
    drop(leaked.remove(capacity / 2));
    let task = make().expect("the slot is free again");
    f.turn();
    assert!(task.done());
    drop(task);
    assert!(make().is_ok(), "again, without a wait");
    leaked.clear();
    f.settle();
    let all: Vec<_> = (0..capacity).map(|_| make().expect("all are free again")).collect();
    assert_eq!(f.statistics().tasks_retired, 0);
    f.settle();
    assert!(all.iter().all(Task::done));
}

// Invariant 7
fn waker_lent_to_poll_is_not_counted<C: Context>(f: &Fixture<C>) {
    let c = f.context.clone();
    f.block_on(async {
        for _ in 0..10 {
            YieldNow::new(&c).await.unwrap();
        }
    })
    .unwrap();
    assert_eq!(f.statistics().tasks_retired, 0);
}

// Invariant 6
fn wake_from_within_the_wait_costs_no_extra_turn<C: Context>(f: &Fixture<C>) {
    let (_task, waker, steps) = waiting(f);
    f.turn();
    let when = Instant::from_nanos(40);
    f.driver.script(when, Event::Wake(waker.take().unwrap())).unwrap();
    f.scheduler().run_once(&f.context).unwrap();
    assert_eq!((steps.get(), f.context.now()), (2, when));
}

fn wake_during_the_step_runs_it_again<C: Context>(f: &Fixture<C>) {
    let mut steps = 0;
    let task = f.context.task(core::future::poll_fn(move |cx| {
        steps += 1;
        cx.waker().wake_by_ref();
        if steps == 3 { Poll::Ready(()) } else { Poll::Pending }
    }));
    f.turn();
    f.turn();
    assert!(!task.done());
    f.turn();
    assert!(task.done());
    assert_eq!(f.statistics().ready, 0);
    f.turn();
}

fn wake_of_a_done_task_does_nothing<C: Context>(f: &Fixture<C>) {
    let waker = Rc::new(RefCell::new(None));
    let w = waker.clone();
    let task = f.context.task(core::future::poll_fn(move |cx| {
        *w.borrow_mut() = Some(cx.waker().clone());
        Poll::Ready(1_u8)
    }));
    f.turn();
    waker.take().unwrap().wake();
    f.settle();
    assert_eq!((f.statistics().ready, task.take()), (0, Ok(1)));
}

// Invariant 7: on the loop's own thread wakes keep the order of call_soon
#[test]
fn wakes_on_the_loops_own_thread_are_first_in_first_out() {
    let (f, trace) = (own_loop(), Trace::new());
    let wakers: Vec<_> = ["0", "1", "2"]
        .map(|name| {
            let (t, waker) = (trace.clone(), Rc::new(RefCell::new(None)));
            let w = waker.clone();
            f.context.task(core::future::poll_fn(move |cx| {
                if w.borrow_mut().replace(cx.waker().clone()).is_some() {
                    t.push(name);
                }
                Poll::<()>::Pending
            }));
            waker
        })
        .into();
    f.turn();
    let wake = |n: usize| wakers[n].borrow().as_ref().unwrap().wake_by_ref();
    wake(2);
    f.context.soon(trace.note("callback")).unwrap();
    wake(0);
    wake(1);
    wake(2);
    f.turn();
    assert_eq!(trace.take(), ["2", "callback", "0", "1"]);
}

// A doorbell that can't tell threads apart: in slot order, after what is queued
#[test]
fn wakes_by_flag_join_in_slot_order() {
    let (f, trace) = (event_loop::<4, 0, 70, 128>(), Trace::new());
    let wakers: Vec<_> = (0..70)
        .map(|n| {
            let (t, waker) = (trace.clone(), Rc::new(RefCell::new(None)));
            let w = waker.clone();
            f.context.task(core::future::poll_fn(move |cx| {
                if w.borrow_mut().replace(cx.waker().clone()).is_some() {
                    t.push(if n == 3 { "3" } else { "69" });
                }
                Poll::<()>::Pending
            }));
            waker
        })
        .collect();
    f.turn();
    wakers[69].borrow().as_ref().unwrap().wake_by_ref();
    f.context.soon(trace.note("callback")).unwrap();
    wakers[3].borrow().as_ref().unwrap().wake_by_ref();
    f.turn();
    assert_eq!(trace.take(), ["callback", "3", "69"]);
}

// W-01, W-04: several threads wake random tasks while the loop sleeps and runs
#[test]
fn w01_every_task_is_polled_after_its_last_wake() {
    const TASKS: usize = 100;
    const THREADS: u64 = 4;
    const WAKES: u64 = 5_000;
    let f = own(8, 0, TASKS + 1, 64);
    f.context.0.blocks.set(true);
    let asked: Arc<Vec<AtomicU64>> = Arc::new((0..TASKS).map(|_| AtomicU64::new(0)).collect());
    let over = Arc::new(AtomicBool::new(false));
    let wakers: Arc<Mutex<Vec<Waker>>> = Arc::default();
    let seen: Rc<Vec<Cell<u64>>> = Rc::new((0..TASKS).map(|_| Cell::new(0)).collect());
    let tasks: Vec<_> = (0..TASKS)
        .map(|n| {
            let (asked, over, wakers, seen) = (asked.clone(), over.clone(), wakers.clone(), seen.clone());
            let mut is_known = false;
            f.context.task(core::future::poll_fn(move |cx| {
                if !core::mem::replace(&mut is_known, true) {
                    wakers.lock().unwrap().push(cx.waker().clone());
                }
                let is_over = over.load(Ordering::SeqCst);
                seen[n].set(asked[n].load(Ordering::SeqCst));
                if is_over { Poll::Ready(()) } else { Poll::Pending }
            }))
        })
        .collect();
    f.turn();
    let wakers = core::mem::take(&mut *wakers.lock().unwrap());
    assert_eq!(wakers.len(), TASKS);
    let threads: Vec<_> = (0..THREADS)
        .map(|seed| {
            let (asked, wakers) = (asked.clone(), wakers.clone());
            std::thread::spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                for _ in 0..WAKES {
                    let n = random.usize(..TASKS);
                    asked[n].fetch_add(1, Ordering::SeqCst);
                    wakers[n].wake_by_ref();
                    if random.u8(..20) == 0 {
                        std::thread::yield_now();
                    }
                }
            })
        })
        .collect();
    let (last, all) = (wakers.clone(), asked.clone());
    let ender = std::thread::spawn(move || {
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(all.iter().map(|asked| asked.load(Ordering::SeqCst)).sum::<u64>(), THREADS * WAKES);
        over.store(true, Ordering::SeqCst);
        last.iter().for_each(Waker::wake_by_ref);
    });
    // Hangs here if a wake is lost: the loop would park for ever.
    for task in tasks {
        f.block_on(task.wait()).unwrap().unwrap();
    }
    ender.join().unwrap();
    for (seen, asked) in seen.iter().zip(asked.iter()) {
        assert_eq!(seen.get(), asked.load(Ordering::SeqCst));
    }
    drop(wakers);
    assert_eq!(f.statistics().calls.live, 0);
}

// W-06: threads hold on to wakers of tasks whose slots are used again
#[test]
fn w06_wakers_in_other_threads_outlive_tasks_and_loop() {
    let f = own(8, 0, 4, 64);
    let (send, receive) = std::sync::mpsc::channel::<Waker>();
    let thread = std::thread::spawn(move || {
        let mut held = std::collections::VecDeque::new();
        for waker in receive {
            waker.wake_by_ref();
            held.push_back(waker);
            if held.len() > 2
                && let Some(oldest) = held.pop_front()
            {
                oldest.wake();
            }
        }
        held.iter().for_each(Waker::wake_by_ref);
    });
    let mut made = 0_u32;
    // The thread holds on to three of four slots at most: there is always progress.
    while made < 500 {
        let send = send.clone();
        let task = Task::new(
            &f.context,
            core::future::poll_fn(move |cx| {
                send.send(cx.waker().clone()).unwrap();
                Poll::Ready(())
            }),
            rondel_core::TaskCell::new,
        );
        made += u32::from(task.is_ok());
        if task.is_err() {
            std::thread::yield_now();
        }
        f.turn();
        assert_eq!(f.statistics().tasks.live, usize::from(task.is_ok()));
    }
    drop(send);
    f.close().unwrap();
    thread.join().unwrap();
    drop(f);
}

#[test]
fn timers_and_threads_share_the_wait() {
    let f = own_loop();
    f.context.later(5, |c: &Own| c.stop()).unwrap();
    f.run_forever().unwrap();
    assert_eq!(f.context.now() - Instant::ZERO, Duration::from_nanos(5));
}

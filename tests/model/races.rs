//! W-12: every order of completion, cancellation, expiry, abort and drop, in one
//! iteration or one apart: a result or a cancellation, never both, never neither.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use rondel_core::{Future, Gather, GatherError, Task as CoreTask, TaskCell, Timeout, TimeoutError};

use crate::lockstep::{check, reference};
use crate::ops::{Capacity, ENDLESS, Event, Op, Step, Task};
use crate::real::Real;

const ROOM: Capacity = Capacity(8, 3, 3, ENDLESS);

const LIMIT: u64 = 10;

/// Calls `visit` with every order of every selection of `len` things.
fn each_arrangement(len: usize, visit: &mut impl FnMut(&[usize])) {
    fn extend(len: usize, chosen: &mut Vec<usize>, visit: &mut impl FnMut(&[usize])) {
        visit(chosen);
        for next in 0..len {
            if !chosen.contains(&next) {
                chosen.push(next);
                extend(len, chosen, visit);
                chosen.pop();
            }
        }
    }
    extend(len, &mut Vec::new(), visit);
}

/// Lets everything happen to a task that does `step`, in every order.
fn race(step: &Step, swallows: bool) {
    let task = |step| Op::Spawn(Task { steps: vec![step], swallows });
    // Label 1 is a task that awaits the future, 2 the timer of those that have
    // none, 3 the waiter.
    let setup = [
        Op::NewFuture,
        Op::Spawn(Task { steps: vec![Step::Wait(0)], swallows: false }),
        Op::Later(LIMIT, vec![Op::CancelFuture(0)]),
        task(step.clone()),
        Op::Turn,
    ];
    let waiter = 1;
    let events = [
        Op::SetResult(0),
        Op::CancelTask(waiter),
        Op::Advance(LIMIT),
        Op::Abort(waiter),
        if matches!(step, Step::AwaitTask(_) | Step::WaitTask(_)) {
            Op::DropTask(0)
        } else {
            Op::DropFuture(0)
        },
    ];
    each_arrangement(events.len(), &mut |order| {
        for gaps in 0..1_u32 << order.len() {
            for in_callbacks in [false, true] {
                let mut ops = setup.to_vec();
                for (place, &event) in order.iter().enumerate() {
                    if gaps & (1 << place) != 0 {
                        ops.push(Op::Turn);
                    }
                    let mut event = events[event].clone();
                    if order[..place].contains(&4)
                        && let Op::CancelTask(pick) | Op::Abort(pick) = &mut event
                        && matches!(step, Step::AwaitTask(_) | Step::WaitTask(_))
                    {
                        // The other task's handle is gone, which was the first.
                        *pick = 0;
                    }
                    ops.push(if in_callbacks { Op::Soon(vec![event]) } else { event });
                }
                ops.extend([Op::Turn, Op::Turn, Op::Turn, Op::Turn]);
                ops.push(Op::Close);
                check::<false>(ROOM, &ops, "races");
                let ends = reference(ROOM, &ops)
                    .into_iter()
                    .filter(|event| matches!(event, Event::Woke(3, 0, _) | Event::TaskDropped(3)));
                assert_eq!(ends.count(), 1, "a result or a cancellation: {ops:?}");
            }
        }
    });
}

#[test]
fn w12_awaiting_a_future() {
    race(&Step::Await(0), false);
}

#[test]
fn w12_waiting_for_a_future() {
    race(&Step::Wait(0), false);
}

#[test]
fn w12_awaiting_a_task() {
    race(&Step::AwaitTask(0), false);
}

#[test]
fn w12_waiting_for_a_task() {
    race(&Step::WaitTask(0), false);
}

#[test]
fn w12_awaiting_with_a_timeout() {
    race(&Step::Timeout(LIMIT, 0), false);
}

#[test]
fn w12_awaiting_with_a_timeout_and_going_on() {
    race(&Step::Timeout(LIMIT, 0), true);
}

/// What a limited `gather` came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Gathered {
    Values,
    Failed,
    Cancelled,
    TimedOut,
    Dropped,
}

/// Says how a task ended, or that it was dropped.
struct Told(Rc<Cell<Vec<Gathered>>>, Option<Gathered>);

impl Told {
    fn tell(&mut self, how: Gathered) {
        self.1 = Some(how);
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let mut told = self.0.take();
        told.push(self.1.unwrap_or(Gathered::Dropped));
        self.0.set(told);
    }
}

#[test]
fn w12_a_gather_with_a_timeout() {
    each_arrangement(5, &mut |order| {
        for gaps in 0..1_u32 << order.len() {
            gather(order, gaps);
        }
    });
}

fn gather(order: &[usize], gaps: u32) {
    let real = Real::<true>::new(ROOM);
    let context = real.context();
    let futures = [(); 2].map(|()| Future::<u32, _>::new(&context).expect("room"));
    let children = futures.each_ref().map(|future| {
        let future = future.clone();
        let child = Box::pin(async move { future.await });
        CoreTask::new(&context, child, TaskCell::new).expect("room")
    });
    let gather = Gather::new(&context, children).expect("room");
    let told = Rc::new(Cell::new(Vec::new()));
    let mut guard = Told(told.clone(), None);
    let waiter = Box::pin(async move {
        let ended = Timeout::new(&context, Duration::from_nanos(LIMIT), gather).await;
        guard.tell(match ended {
            Ok(Ok(_)) => Gathered::Values,
            Ok(Err(GatherError::Cancelled(_))) | Err(TimeoutError::Cancelled(_)) => Gathered::Cancelled,
            Ok(Err(_)) => Gathered::Failed,
            Err(_) => Gathered::TimedOut,
        });
    });
    let waiter = CoreTask::new(&context, waiter, TaskCell::new).expect("room");
    real.apply(&Op::Turn);
    for (place, event) in order.iter().enumerate() {
        if gaps & (1 << place) != 0 {
            real.apply(&Op::Turn);
        }
        match event {
            0 | 1 => drop(futures[*event].set_result(7)),
            2 => drop(waiter.cancel()),
            3 => real.apply(&Op::Advance(LIMIT)),
            _ => drop(waiter.abort()),
        }
    }
    for _ in 0..6 {
        real.apply(&Op::Turn);
    }
    let has_both = order.contains(&0) && order.contains(&1);
    let is_decided = has_both || order.iter().any(|event| *event > 1);
    let ended = told.take();
    assert_eq!(ended.len(), usize::from(is_decided), "{order:?} {gaps:b}: {ended:?}");
    // The first to come decides, if an iteration lay between it and the next.
    if let [only] = order {
        let expected =
            [None, None, Some(Gathered::Cancelled), Some(Gathered::TimedOut), Some(Gathered::Dropped)];
        assert_eq!(ended.first().copied(), expected[*only]);
    }
    if let ([0, 1] | [1, 0], [how]) = (order, &*ended) {
        assert_eq!(*how, Gathered::Values);
    }
    told.set(Vec::new());
    // All slots are free when all are done and all handles gone.
    for future in &futures {
        let _ = future.set_result(8);
    }
    drop(futures);
    for _ in 0..3 {
        real.apply(&Op::Turn);
    }
    waiter.abort();
    drop(waiter);
    let tables = real.view().tables.map(|(live, _)| live);
    assert_eq!(tables, [0; 3], "{order:?} {gaps:b}");
}

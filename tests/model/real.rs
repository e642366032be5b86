//! The scheduler under test, talked to in the language of `ops`. Its memory is
//! freed with it: the exhaustive run makes millions of them.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::mem::MaybeUninit;
use core::panic::Location;
use core::time::Duration;

use rondel_core::raw::{
    Bodies, CallSlot, FutureSlot, HeapEntry, Link, Memory, Region, TaskSlot, WakeCell, WakeTable, Wheel,
};
use rondel_core::{
    Callback, Cancelled, Context, DoneCallback, Doorbell, ExceptionContext, Future, FutureError, Handle,
    Instant, Limits, Refusal, Refused, Scheduler, Sleep, Task, TaskCell, TaskError, Timeout, TimeoutError,
    TimerHandle, WaitError, YieldNow,
};

use crate::ops::{
    Answer, Capacity, Event, HANDLES_MAX, Op, Outcome, Pick, REPORTS, Script, Step, View, picked,
};

/// A context whose clock only the test moves, with a timer wheel or without.
#[derive(Clone, Copy)]
pub struct Own<const WHEEL: bool>(&'static Shared<WHEEL>);

struct Shared<const WHEEL: bool> {
    scheduler: Scheduler<Own<WHEEL>>,
    now: Cell<u64>,
    /// What was reported goes to where everything is recorded.
    trace: Rc<RefCell<Vec<Event>>>,
}

impl<const WHEEL: bool> Context for Own<WHEEL> {
    const HAS_WHEEL: bool = WHEEL;

    fn scheduler(&self) -> &Scheduler<Self> {
        &self.0.scheduler
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.now.get())
    }

    fn wait(&self, deadline: Option<Instant>) {
        let deadline = deadline.expect("the loop waits for something that never comes");
        self.0.now.set(self.0.now.get().max(deadline.as_nanos()));
    }

    fn call_exception_handler(&self, context: &ExceptionContext<'_>) {
        let known = REPORTS.into_iter().find(|message| *message == context.message);
        self.0.trace.borrow_mut().push(Event::Reported(known.unwrap_or("unknown report")));
    }
}

struct NoDoorbell;

// SAFETY: these loops and their wakers stay in the thread that made them.
unsafe impl Doorbell for NoDoorbell {
    fn ring(&self) {}

    fn is_loop_thread(&self) -> bool {
        true
    }
}

/// Memory that was lent as `'static`.
struct Lent<T>(*mut [T]);

impl<T> Lent<T> {
    fn new(len: usize, make: impl FnMut() -> T) -> Self {
        let mut make = make;
        Self(Box::into_raw((0..len).map(|_| make()).collect()))
    }

    fn uninit(len: usize) -> Lent<MaybeUninit<T>> {
        Lent::new(len, MaybeUninit::uninit)
    }

    fn get(&self) -> &'static mut [T] {
        // SAFETY: called once, by `Real::new`, and freed after all that uses it.
        unsafe { &mut *self.0 }
    }
}

impl<T> Drop for Lent<T> {
    fn drop(&mut self) {
        // SAFETY: made by `Box::into_raw`. What borrowed it was dropped before:
        // it stands before this in `Real`.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

/// Is the words of a task's slot: enough for a result, as their futures are boxed.
const WORDS: usize = 8;

pub struct Real<const WHEEL: bool> {
    state: Rc<World<WHEEL>>,
    /// In this order: the scheduler goes before its memory.
    _shared: Lent<Shared<WHEEL>>,
    _wake: Lent<WakeTable>,
    _cells: Lent<WakeCell>,
    _links: (Lent<Link>, Lent<[Link; 2]>),
    _calls: Lent<MaybeUninit<CallSlot<Own<WHEEL>>>>,
    _timers: (Lent<MaybeUninit<HeapEntry>>, Lent<MaybeUninit<Wheel>>),
    _slots: (Lent<MaybeUninit<FutureSlot>>, Lent<MaybeUninit<TaskSlot<Own<WHEEL>>>>),
    _bodies: Lent<MaybeUninit<u64>>,
}

type Output = Result<u32, WaitError>;

enum AnyHandle<C: Context> {
    Soon(Handle<C>),
    Timer(TimerHandle<C>),
}

struct World<const WHEEL: bool> {
    context: Own<WHEEL>,
    label: Cell<u32>,
    handles: RefCell<Vec<AnyHandle<Own<WHEEL>>>>,
    futures: RefCell<Vec<Future<u32, Own<WHEEL>>>>,
    tasks: RefCell<Vec<Task<Output, Own<WHEEL>>>>,
    last_done: Cell<Option<DoneCallback>>,
    trace: Rc<RefCell<Vec<Event>>>,
}

#[derive(Clone, Copy, Debug)]
struct Oops;

impl core::fmt::Display for Oops {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("oops")
    }
}

impl core::error::Error for Oops {}

impl<const WHEEL: bool> Real<WHEEL> {
    pub fn new(Capacity(calls, futures, tasks, creations): Capacity) -> Self {
        let cells = Lent::new(tasks, WakeCell::new);
        let links = (Lent::new(calls, || [0; 2]), Lent::new(tasks, || [[0; 2]; 2]));
        let wake =
            Lent::new(1, || WakeTable::new(cells.get(), links.0.get(), links.1.get(), const { &NoDoorbell }));
        let call_slots = Lent::uninit(calls);
        let timers = (Lent::uninit(calls), Lent::uninit(usize::from(WHEEL)));
        let slots = (Lent::uninit(futures), Lent::uninit(tasks));
        let bodies = Lent::uninit(tasks * WORDS);
        let trace = Rc::new(RefCell::new(Vec::new()));
        let shared = Lent::new(1, || {
            let memory = Memory {
                calls: Region::new(call_slots.get()),
                threadsafe_calls: 0,
                heap: Region::new(timers.0.get()),
                wheel: Region::new(timers.1.get()),
                futures: Region::new(slots.0.get()),
                tasks: Region::new(slots.1.get()),
                bodies: Bodies::new(bodies.get(), WORDS, |_| {}),
                wake: &wake.get()[0],
            };
            let scheduler = Scheduler::new(memory, Limits::DEFAULT);
            leave_creations(&scheduler, creations);
            Shared { scheduler, now: Cell::new(0), trace: trace.clone() }
        });
        let state = Rc::new(World {
            context: Own(&shared.get()[0]),
            label: Cell::new(0),
            handles: RefCell::default(),
            futures: RefCell::default(),
            tasks: RefCell::default(),
            last_done: Cell::new(None),
            trace,
        });
        Self {
            state,
            _shared: shared,
            _wake: wake,
            _cells: cells,
            _links: links,
            _calls: call_slots,
            _timers: timers,
            _slots: slots,
            _bodies: bodies,
        }
    }

    pub fn context(&self) -> Own<WHEEL> {
        self.state.context
    }

    pub fn apply(&self, op: &Op) {
        World::apply(&self.state, op);
    }

    pub fn take_trace(&self) -> Vec<Event> {
        self.state.trace.take()
    }

    pub fn view(&self) -> View {
        let world = &*self.state;
        let statistics = world.context.scheduler().statistics();
        let table = |usage: rondel_core::Usage| (usage.live, usage.peak);
        View {
            iterations: statistics.iterations,
            callbacks: statistics.callbacks,
            ready: statistics.ready,
            timers: statistics.timers,
            tables: [table(statistics.calls), table(statistics.futures), table(statistics.tasks)],
            futures: world.futures.borrow().iter().map(|it| (it.done(), it.cancelled())).collect(),
            tasks: world.tasks.borrow().iter().map(|it| (it.done(), it.cancelled())).collect(),
            handles: world
                .handles
                .borrow()
                .iter()
                .map(|handle| match handle {
                    AnyHandle::Soon(handle) => handle.cancelled(),
                    AnyHandle::Timer(handle) => handle.cancelled(),
                })
                .collect(),
            now: world.context.0.now.get(),
        }
    }
}

impl<const WHEEL: bool> Drop for Real<WHEEL> {
    fn drop(&mut self) {
        let world = &*self.state;
        world.handles.take();
        world.futures.take();
        world.tasks.take();
        // Callbacks and tasks hold the world: without closing, all would leak. A
        // loop that panicked amid a turn is left as it is.
        let context = world.context;
        let scheduler = context.scheduler();
        if scheduler.close(&context).is_err() {
            assert!(crate::is_panicking(), "a loop runs while it is dropped");
            return;
        }
        let statistics = scheduler.statistics();
        let live = [statistics.calls.live, statistics.futures.live, statistics.tasks.live];
        assert!(live == [0; 3] || crate::is_panicking(), "slots in use after close: {live:?}");
    }
}

#[cfg(rondel_few_creations)]
fn leave_creations<C: Context>(scheduler: &Scheduler<C>, creations: u64) {
    scheduler.leave_creations(creations);
}

#[cfg(not(rondel_few_creations))]
fn leave_creations<C: Context>(_scheduler: &Scheduler<C>, creations: u64) {
    assert_eq!(creations, crate::ops::ENDLESS, "this build has no end of creations");
}

/// Is dropped with the callback or the task that owns it.
struct Guard<const WHEEL: bool> {
    world: Rc<World<WHEEL>>,
    event: Option<Event>,
}

impl<const WHEEL: bool> Drop for Guard<WHEEL> {
    fn drop(&mut self) {
        if let Some(event) = self.event {
            self.world.trace.borrow_mut().push(event);
        }
    }
}

fn answer<T>(result: Result<T, Refused<impl Sized>>) -> Result<T, Answer> {
    result.map_err(|refused| if refused.is_full() { Answer::Full } else { Answer::Closed })
}

fn refused(refusal: Refusal) -> Outcome {
    if matches!(refusal, Refusal::Full { .. }) { Outcome::Full } else { Outcome::Closed }
}

fn yes(answer: bool) -> Answer {
    if answer { Answer::Yes } else { Answer::No }
}

fn invalid<V>(result: Result<(), rondel_core::InvalidState<V>>) -> Answer {
    result.map_or(Answer::InvalidState, |()| Answer::Ok)
}

impl<const WHEEL: bool> World<WHEEL> {
    fn next_label(&self) -> u32 {
        self.label.set(self.label.get() + 1);
        self.label.get()
    }

    fn apply(self: &Rc<Self>, op: &Op) {
        let answer = self.answer_of(op).unwrap_or(Answer::Nothing);
        self.trace.borrow_mut().push(Event::Answer(answer));
    }

    fn future(&self, pick: Pick) -> Option<Future<u32, Own<WHEEL>>> {
        let futures = self.futures.borrow();
        Some(futures[picked(pick, futures.len())?].clone())
    }

    fn task(&self, pick: Pick) -> Option<Task<Output, Own<WHEEL>>> {
        let tasks = self.tasks.borrow();
        Some(tasks[picked(pick, tasks.len())?].clone())
    }

    fn callback(self: &Rc<Self>, ops: &Script, fails: bool) -> impl FnOnce() -> Result<(), Oops> + 'static {
        let label = self.next_label();
        let guard = Guard { world: self.clone(), event: Some(Event::Dropped(label)) };
        let owned = Box::new((guard, ops.clone(), label));
        move || {
            let (mut guard, ops, label) = *owned;
            guard.event = None;
            guard.world.trace.borrow_mut().push(Event::Ran(label));
            for op in &ops {
                guard.world.apply(op);
            }
            if fails { Err(Oops) } else { Ok(()) }
        }
    }

    fn keep(&self, handle: Result<AnyHandle<Own<WHEEL>>, Answer>) -> Answer {
        match handle {
            Ok(handle) => {
                let mut handles = self.handles.borrow_mut();
                if handles.len() == HANDLES_MAX {
                    handles.remove(0);
                }
                handles.push(handle);
                Answer::Ok
            }
            Err(answer) => answer,
        }
    }

    /// Answers; `None` is that there is nothing to do it with.
    fn answer_of(self: &Rc<Self>, op: &Op) -> Option<Answer> {
        let context = &self.context;
        let scheduler = context.scheduler();
        let here = Location::caller();
        Some(match op {
            Op::Soon(ops) | Op::SoonFails(ops) => {
                let callback = self.callback(ops, matches!(op, Op::SoonFails(_)));
                let added = scheduler.call_soon(context, |_: &_| callback(), Callback::new, here);
                self.keep(answer(added).map(AnyHandle::Soon))
            }
            Op::Later(delay, ops) => {
                let callback = self.callback(ops, false);
                let delay = Duration::from_nanos(*delay);
                let added = scheduler.call_later(context, delay, |_: &_| callback(), Callback::new, here);
                self.keep(answer(added).map(AnyHandle::Timer))
            }
            Op::Cancel(pick) => {
                let handles = self.handles.borrow();
                match &handles[picked(*pick, handles.len())?] {
                    AnyHandle::Soon(handle) => handle.cancel(),
                    AnyHandle::Timer(handle) => handle.cancel(),
                }
                Answer::Ok
            }
            Op::DropHandle(pick) => {
                let mut handles = self.handles.borrow_mut();
                let at = picked(*pick, handles.len())?;
                handles.remove(at);
                Answer::Ok
            }
            Op::NewFuture => match answer(Future::new(context)) {
                Ok(future) => {
                    self.futures.borrow_mut().push(future);
                    Answer::Ok
                }
                Err(answer) => answer,
            },
            Op::SetResult(pick) => {
                let value = self.next_label();
                invalid(self.future(*pick)?.set_result(value))
            }
            Op::SetException(pick) => invalid(self.future(*pick)?.set_exception(Oops)),
            Op::CancelFuture(pick) => yes(self.future(*pick)?.cancel()),
            Op::DropFuture(pick) => {
                let at = picked(*pick, self.futures.borrow().len())?;
                let future = self.futures.borrow_mut().remove(at);
                drop(future);
                Answer::Ok
            }
            Op::AddDone(pick, ops) => {
                let Some(future) = self.future(*pick) else {
                    self.next_label();
                    return None;
                };
                let callback = self.callback(ops, false);
                self.added(answer(future.add_done_callback(|_: &_, _: &_| callback())))
            }
            Op::RemoveDone(pick) => yes(self.future(*pick)?.remove_done_callback(self.last_done.get()?)),
            Op::Spawn(script) => {
                let label = self.next_label();
                let guard = Guard { world: self.clone(), event: Some(Event::TaskDropped(label)) };
                let future = Box::pin(run(guard, label, script.clone()));
                match answer(Task::new(context, future, TaskCell::new)) {
                    Ok(task) => {
                        self.tasks.borrow_mut().push(task);
                        Answer::Ok
                    }
                    Err(answer) => answer,
                }
            }
            Op::CancelTask(pick) => yes(self.task(*pick)?.cancel()),
            Op::Abort(pick) => yes(self.task(*pick)?.abort()),
            Op::DropTask(pick) => {
                let at = picked(*pick, self.tasks.borrow().len())?;
                let task = self.tasks.borrow_mut().remove(at);
                drop(task);
                Answer::Ok
            }
            Op::AddTaskDone(pick, ops) => {
                let Some(task) = self.task(*pick) else {
                    self.next_label();
                    return None;
                };
                let callback = self.callback(ops, false);
                self.added(answer(task.add_done_callback(|_: &_, _: &_| callback())))
            }
            Op::Stop => {
                scheduler.stop();
                Answer::Ok
            }
            Op::Advance(nanos) => {
                context.0.now.set(context.0.now.get() + nanos);
                Answer::Ok
            }
            Op::Turn => {
                scheduler.stop();
                scheduler.run_forever(context).map_or(Answer::Closed, |()| Answer::Ok)
            }
            Op::Once => {
                let statistics = scheduler.statistics();
                if statistics.ready == 0 && statistics.timers == 0 {
                    return None;
                }
                scheduler.run_once(context).map_or(Answer::Closed, |()| Answer::Ok)
            }
            Op::Close => scheduler.close(context).map_or(Answer::No, |()| Answer::Ok),
        })
    }

    fn added(&self, added: Result<DoneCallback, Answer>) -> Answer {
        match added {
            Ok(callback) => {
                self.last_done.set(Some(callback));
                Answer::Ok
            }
            Err(answer) => answer,
        }
    }
}

/// Runs a task's script.
async fn run<const WHEEL: bool>(guard: Guard<WHEEL>, label: u32, script: crate::ops::Task) -> Output {
    let mut guard = guard;
    let world = guard.world.clone();
    for (place, step) in script.steps.iter().enumerate() {
        let (outcome, cancelled) = match step {
            Step::Fail => {
                guard.event = None;
                return Err(WaitError::AwaitsItself);
            }
            Step::Do(op) => {
                world.apply(op);
                (Outcome::Done, None)
            }
            step => run_step(&world, step).await,
        };
        world.trace.borrow_mut().push(Event::Woke(label, place, outcome));
        if let Some(cancelled) = cancelled.filter(|_| !script.swallows) {
            guard.event = None;
            return Err(WaitError::Cancelled(cancelled));
        }
    }
    guard.event = None;
    Ok(label)
}

type Told = (Outcome, Option<Cancelled>);

async fn run_step<const WHEEL: bool>(world: &World<WHEEL>, step: &Step) -> Told {
    let context = &world.context;
    match *step {
        Step::Await(pick) => match world.future(pick) {
            Some(future) => tell_future(future.await),
            None => (Outcome::Nothing, None),
        },
        Step::Wait(pick) => {
            let Some(wait) = world.future(pick).map(|future| future.wait()) else {
                return (Outcome::Nothing, None);
            };
            tell_wait(wait.await)
        }
        Step::AwaitTask(pick) => match world.task(pick) {
            Some(task) => tell_task(task.await),
            None => (Outcome::Nothing, None),
        },
        Step::WaitTask(pick) => {
            let Some(wait) = world.task(pick).map(|task| task.wait()) else {
                return (Outcome::Nothing, None);
            };
            tell_wait(wait.await)
        }
        Step::Sleep(nanos) => tell_wait(Sleep::new(context, Duration::from_nanos(nanos)).await),
        Step::Yield => tell_wait(YieldNow::new(context).await),
        Step::Timeout(limit, pick) => match world.future(pick) {
            Some(future) => match Timeout::new(context, Duration::from_nanos(limit), future).await {
                Ok(output) => tell_future(output),
                Err(TimeoutError::TimedOut) => (Outcome::TimedOut, None),
                Err(TimeoutError::Cancelled(cancelled)) => (Outcome::CallerCancelled, Some(cancelled)),
                Err(TimeoutError::Refused(refusal)) => (refused(refusal), None),
                Err(_) => (Outcome::Strange, None),
            },
            None => (Outcome::Nothing, None),
        },
        Step::Do(_) | Step::Fail => (Outcome::Strange, None),
    }
}

fn tell_wait(output: Result<(), WaitError>) -> Told {
    match output {
        Ok(()) => (Outcome::Done, None),
        Err(WaitError::Cancelled(cancelled)) => (Outcome::CallerCancelled, Some(cancelled)),
        Err(WaitError::AwaitsItself) => (Outcome::AwaitsItself, None),
        Err(WaitError::Refused(refusal)) => (refused(refusal), None),
        Err(_) => (Outcome::Strange, None),
    }
}

fn tell_future(output: Result<u32, FutureError>) -> Told {
    match output {
        Ok(value) => (Outcome::Value(value), None),
        Err(FutureError::Exception(_)) => (Outcome::Exception, None),
        Err(FutureError::Cancelled) => (Outcome::Cancelled, None),
        Err(FutureError::Taken) => (Outcome::Taken, None),
        Err(FutureError::CallerCancelled(cancelled)) => (Outcome::CallerCancelled, Some(cancelled)),
        Err(FutureError::Refused(refusal)) => (refused(refusal), None),
        Err(_) => (Outcome::Strange, None),
    }
}

fn tell_task(output: Result<Output, TaskError>) -> Told {
    match output {
        Ok(Ok(value)) => (Outcome::Value(value), None),
        Ok(Err(_)) => (Outcome::Exception, None),
        Err(TaskError::Cancelled) => (Outcome::Cancelled, None),
        Err(TaskError::Taken) => (Outcome::Taken, None),
        Err(TaskError::AwaitsItself) => (Outcome::AwaitsItself, None),
        Err(TaskError::CallerCancelled(cancelled)) => (Outcome::CallerCancelled, Some(cancelled)),
        Err(TaskError::Refused(refusal)) => (refused(refusal), None),
        Err(_) => (Outcome::Strange, None),
    }
}

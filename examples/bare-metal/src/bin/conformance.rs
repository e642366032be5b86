//! The scheduler against naive models, by random operations, on the processor
//! that it is for: a reduced set of what `tests/core` does on Linux.
#![no_std]
#![no_main]

use core::future::poll_fn;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use core::task::{Poll, Waker};
use core::time::Duration;

use bare_metal::board::{self, Interrupt};
use bare_metal::{Counter, SysTickDriver, memory, print};
use cortex_m::interrupt::Mutex;
use cortex_m_rt::entry;
use rondel_core::{
    Driver, EventLoop, EventLoopHandle, Instant, ManualDriver, Storage, Task, TaskError, TimeoutError,
    TimerHandle,
};

/// Is how many random scripts each part runs.
const SCRIPTS: u32 = 100;

static PASSED: Counter = Counter::new();
static FAILED: Counter = Counter::new();

#[entry]
fn main() -> ! {
    memory::paint_stack();
    if run().is_none() {
        check(false, "the set-up or a call that must succeed");
    }
    let (passed, failed) = (PASSED.get(), FAILED.get());
    print::print_line(format_args!("PASS {passed} FAIL {failed}"));
    memory::report();
    print::exit(failed == 0 && passed > 0)
}

fn run() -> Option<()> {
    static STORAGE: Storage<CALLS, 4, TASKS, 512> = Storage::new();
    let driver = &*cortex_m::singleton!(: ManualDriver = ManualDriver::new())?;
    let event_loop = EventLoop::new(STORAGE.take()?, driver);
    for seed in 1..=SCRIPTS {
        let mut random = Random(seed);
        calls_against_a_queue(&event_loop, &mut random)?;
        timers_against_a_list(&event_loop, driver, &mut random)?;
        wakes_against_a_set(&event_loop, &mut random, None)?;
        ends_against_their_order(&event_loop, driver, &mut random)?;
    }
    print::print_line(format_args!("by a manual clock: {} checks", PASSED.get()));

    static STORAGE_BY_INTERRUPT: Storage<CALLS, 4, TASKS, 512> = Storage::new();
    let systick = cortex_m::Peripherals::take()?.SYST;
    let driver = cortex_m::singleton!(: SysTickDriver<{ board::HZ }> = SysTickDriver::new(systick))?;
    let event_loop = EventLoop::new(STORAGE_BY_INTERRUPT.take()?, driver as &'static dyn Driver);
    board::unmask(Interrupt::GpioA);
    for seed in 1..=SCRIPTS {
        wakes_against_a_set(&event_loop, &mut Random(seed), Some(Interrupt::GpioA))?;
    }
    print::print_line(format_args!("with an interrupt: {} checks", PASSED.get()));
    Some(())
}

const CALLS: usize = 32;
const TASKS: usize = 8;

fn check(holds: bool, what: &str) {
    if holds {
        PASSED.add(1);
    } else if FAILED.add(1) < 10 {
        print::print_line(format_args!("failed: {what}"));
    }
}

/// Marsaglia's xorshift.
struct Random(u32);

impl Random {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 % limit
    }
}

/// What ran, in order.
static TRACE: [AtomicU32; 64] = [const { AtomicU32::new(0) }; 64];
static TRACED: Counter = Counter::new();

fn trace(id: u32) {
    let place = TRACED.add(1) as usize;
    if let Some(place) = TRACE.get(place) {
        place.store(id, Relaxed);
    }
}

/// Compares what ran with what should have, and begins anew.
fn check_trace(expected: &[u32], what: &str) {
    let len = TRACED.take() as usize;
    let ran = TRACE.iter().take(len).map(|id| id.load(Relaxed));
    check(len <= TRACE.len() && ran.eq(expected.iter().copied()), what);
}

/// Calls run in the order in which they were made, except for those that were
/// cancelled; a call from a call runs in the next iteration.
fn calls_against_a_queue(event_loop: &EventLoop, random: &mut Random) -> Option<()> {
    let mut expected = List::<CALLS>::new();
    let mut nested = List::<CALLS>::new();
    for id in 0..random.below(CALLS as u32 / 2) {
        match random.below(3) {
            0 => {
                event_loop.call_soon(move |_| trace(id)).ok()?;
                expected.push(id);
            }
            1 => {
                event_loop.call_soon(|_| trace(u32::MAX)).ok()?.cancel();
            }
            _ => {
                event_loop
                    .call_soon(move |event_loop| {
                        trace(id);
                        event_loop.call_soon(move |_| trace(id + 100)).is_ok()
                    })
                    .ok()?;
                expected.push(id);
                nested.push(id + 100);
            }
        }
    }
    event_loop.call_soon(|_| trace(99)).ok()?;
    expected.push(99);
    event_loop.run_once().ok()?;
    check_trace(expected.as_slice(), "the order of calls");
    event_loop.call_soon(|_| ()).ok()?;
    event_loop.run_once().ok()?;
    check_trace(nested.as_slice(), "the order of calls from calls");
    check(event_loop.statistics().calls.live == 0, "a call is left");
    Some(())
}

/// Timers fire when they are due, in the order of deadline and creation.
fn timers_against_a_list(event_loop: &EventLoop, driver: &ManualDriver, random: &mut Random) -> Option<()> {
    /// The model's timer; `id` is in the order of creation.
    #[derive(Clone, Copy)]
    struct Model {
        when: Instant,
        id: u32,
        index: usize,
    }

    driver.set_jumps(false);
    let mut handles: [Option<TimerHandle<EventLoopHandle>>; CALLS] = [const { None }; CALLS];
    let mut model: [Option<Model>; CALLS] = [None; CALLS];
    for id in 0..60 {
        let index = random.below(CALLS as u32 - 1) as usize;
        match (random.below(4), model[index]) {
            (0..=1, None) => {
                let when = event_loop.time() + Duration::from_nanos(u64::from(random.below(20)));
                handles[index] = Some(event_loop.call_at(when, move |_| trace(id)).ok()?);
                model[index] = Some(Model { when, id, index });
            }
            (0, Some(_)) => {
                handles[index].take()?.cancel();
                model[index] = None;
            }
            (1, Some(timer)) => {
                check(handles[index].as_ref()?.when() == timer.when, "a deadline changed");
            }
            _ => {
                driver.advance(Duration::from_nanos(u64::from(random.below(4))));
                // So that the loop doesn't wait.
                event_loop.call_soon(|_| ()).ok()?;
                event_loop.run_once().ok()?;
                let mut expected = List::<CALLS>::new();
                loop {
                    let due = model.iter().flatten().filter(|timer| timer.when <= driver.now());
                    let Some(&first) = due.min_by_key(|timer| (timer.when, timer.id)) else { break };
                    expected.push(first.id);
                    model[first.index] = None;
                    check(
                        handles[first.index].take().is_some_and(|timer| !timer.cancelled()),
                        "cancelled itself",
                    );
                }
                check_trace(expected.as_slice(), "the order of timers");
            }
        }
        let armed = model.iter().flatten().count();
        check(event_loop.statistics().timers == armed, "the number of timers");
    }
    for timer in handles.iter().flatten() {
        timer.cancel();
    }
    check(event_loop.statistics().calls.live == 0, "a timer is left");
    Some(())
}

/// The wakers of the tasks, and which of them the handler wakes.
static WAKERS: Mutex<core::cell::RefCell<[Option<Waker>; TASKS]>> =
    Mutex::new(core::cell::RefCell::new([const { None }; TASKS]));
static CHOSEN: AtomicU32 = AtomicU32::new(0);

fn wake_chosen() {
    let chosen = CHOSEN.load(Relaxed);
    cortex_m::interrupt::free(|section| {
        for (index, waker) in WAKERS.borrow(section).borrow().iter().enumerate() {
            if let (Some(waker), true) = (waker, chosen & (1 << index) != 0) {
                waker.wake_by_ref();
                // Once or twice is the same.
                let twice = waker.clone();
                twice.wake();
            }
        }
    });
}

#[unsafe(no_mangle)]
extern "C" fn GPIO_A() {
    wake_chosen();
}

/// A task that was woken is polled once, and no other is.
fn wakes_against_a_set(event_loop: &EventLoop, random: &mut Random, by: Option<Interrupt>) -> Option<()> {
    let mut tasks: [Option<Task<(), EventLoopHandle>>; TASKS] = [const { None }; TASKS];
    for (index, task) in tasks.iter_mut().enumerate() {
        let polled = poll_fn(move |cx| {
            trace(index as u32);
            cortex_m::interrupt::free(|section| {
                WAKERS.borrow(section).borrow_mut()[index] = Some(cx.waker().clone());
            });
            Poll::<()>::Pending
        });
        *task = Some(event_loop.create_task(polled).ok()?);
    }
    event_loop.run_once().ok()?;
    check_trace(&[0, 1, 2, 3, 4, 5, 6, 7], "the first steps");
    for _ in 0..8 {
        let chosen = random.below(1 << TASKS);
        CHOSEN.store(chosen, Relaxed);
        let while_running = random.below(2) == 0;
        match by {
            Some(interrupt) if while_running => {
                // While the loop runs: the handler interrupts a callback.
                event_loop.call_soon(move |_| board::pend(interrupt)).ok()?;
                event_loop.run_once().ok()?;
            }
            Some(interrupt) => board::pend(interrupt),
            None => wake_chosen(),
        }
        event_loop.call_soon(|_| ()).ok()?;
        event_loop.run_once().ok()?;
        let polled = TRACED.take();
        let set = TRACE.iter().take(polled as usize).fold(0, |set, index| set | 1 << index.load(Relaxed));
        check(set == chosen && polled == chosen.count_ones(), "the tasks that were woken");
    }
    for task in tasks.iter().flatten() {
        check(task.abort(), "a task ended by itself");
    }
    cortex_m::interrupt::free(|section| WAKERS.borrow(section).replace([const { None }; TASKS]));
    drop(tasks);
    // A slot is free again when the last waker is gone.
    event_loop.call_soon(|_| ()).ok()?;
    event_loop.run_once().ok()?;
    Some(())
}

/// A task sleeps within a time limit, and is cancelled: what comes first decides.
fn ends_against_their_order(
    event_loop: &EventLoop,
    driver: &ManualDriver,
    random: &mut Random,
) -> Option<()> {
    driver.set_jumps(true);
    let handle = event_loop.handle();
    // Three different instants; zero is before the first step.
    let sleep = u64::from(random.below(50)) * 3 + 1;
    let limit = u64::from(random.below(50)) * 3 + 2;
    let cancel = u64::from(random.below(50)) * 3;
    let task =
        handle.create_task(async move { handle.timeout(ms(limit), handle.sleep(ms(sleep))).await }).ok()?;
    if cancel == 0 {
        check(task.cancel(), "a new task can't be cancelled");
    } else {
        let cancelled = task.clone();
        handle.call_later(ms(cancel), move |_| trace(u32::from(cancelled.cancel()))).ok()?;
    }
    let start = event_loop.time();
    let ended = event_loop.run_until_complete(task.clone()).ok()?;
    let took = event_loop.time() - start;
    let first = sleep.min(limit).min(cancel);
    check(took == ms(first), "the time of the end");
    let is_right = if first == cancel {
        ended == Err(TaskError::Cancelled)
    } else if first == limit {
        ended == Ok(Err(TimeoutError::TimedOut))
    } else {
        ended == Ok(Ok(Ok(())))
    };
    check(is_right, "the kind of the end");
    check(task.done() && !task.cancel() && !task.abort(), "the end isn't the end");
    // The timer that cancels comes too late if it comes at all.
    while event_loop.statistics().timers > 0 {
        event_loop.run_once().ok()?;
    }
    let expected = [u32::from(first == cancel)];
    check_trace(if cancel == 0 { &[] } else { &expected }, "the answer of cancel");
    drop(task);
    let statistics = event_loop.statistics();
    check(statistics.tasks.live == 0 && statistics.calls.live == 0, "something is left of a task");
    Some(())
}

/// A list of a few numbers.
struct List<const N: usize> {
    items: [u32; N],
    len: usize,
}

impl<const N: usize> List<N> {
    const fn new() -> Self {
        Self { items: [0; N], len: 0 }
    }

    fn push(&mut self, item: u32) {
        if let Some(place) = self.items.get_mut(self.len) {
            *place = item;
            self.len += 1;
        }
    }

    fn as_slice(&self) -> &[u32] {
        &self.items[..self.len]
    }
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

//! The smallest sensible program: 3 tasks, 8 timers and 16 calls at once, without
//! `core::fmt`. Its flash and RAM are what rondel-core costs.
#![no_std]
#![no_main]

use core::time::Duration;

use bare_metal::{Counter, SysTickDriver, board, memory, print};
use cortex_m_rt::entry;
use rondel_core::{EventLoop, EventLoopHandle, Storage};

const TASKS: usize = 3;
const TIMERS: usize = 8;
const SOON: usize = 16;

/// Is the size of a task's future.
const TASK_BYTES: usize = 96;

// A timer is a call too.
static STORAGE: Storage<{ SOON + TIMERS }, 0, TASKS, TASK_BYTES, TIMERS> = Storage::new();

static RAN: Counter = Counter::new();

#[entry]
fn main() -> ! {
    memory::paint_stack();
    let Some(event_loop) = new_loop() else { print::exit(false) };
    let is_success = run(&event_loop).is_some() && RAN.get() == EXPECTED;
    memory::report();
    // Without an end, as firmware is: nothing drops the loop.
    print::exit(is_success)
}

fn new_loop() -> Option<EventLoop> {
    let systick = cortex_m::Peripherals::take()?.SYST;
    let driver = cortex_m::singleton!(: SysTickDriver<{ board::HZ }> = SysTickDriver::new(systick))?;
    Some(EventLoop::new(STORAGE.take()?, driver))
}

/// Is what the calls, the timers and the steps of the tasks add up to.
const EXPECTED: u32 = 16 + 100 * 5 + 10_000 * 6;

fn run(event_loop: &EventLoop) -> Option<()> {
    for _ in 0..SOON {
        event_loop.call_soon(|_| count(1)).ok()?;
    }
    // The tasks sleep by the other three.
    for index in 0..TIMERS - TASKS {
        event_loop.call_later(ms(index as u64), |_| count(100)).ok()?;
    }
    for index in 0..TASKS {
        event_loop.create_task(blink(event_loop.handle(), ms(2 + index as u64))).ok()?;
    }
    event_loop.run_once().ok()?;
    event_loop.call_later(ms(50), |event_loop| event_loop.stop()).ok()?;
    event_loop.run_forever().ok()
}

async fn blink(event_loop: EventLoopHandle, period: Duration) {
    for _ in 0..2 {
        if event_loop.sleep(period).await.is_err() {
            return;
        }
        count(10_000);
    }
}

fn count(what: u32) {
    RAN.add(what);
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

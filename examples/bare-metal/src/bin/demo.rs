//! What a firmware does with rondel-core: calls, timers, tasks, a future that one
//! task resolves for another, and two interrupts that wake a task. Each part
//! checks what it did; the exit code is 0 if all is well.
#![no_std]
#![no_main]

use core::cell::Cell;
use core::fmt;
use core::time::Duration;

use bare_metal::board::{self, Interrupt};
use bare_metal::{Signal, SysTickDriver, memory, print};
use cortex_m_rt::entry;
use rondel_core::{EventLoop, EventLoopHandle, Exception, Storage};

static STORAGE: Storage<24, 4, 6, 512> = Storage::new();

/// Comes from the handler of a software interrupt.
static PENDED: Signal = Signal::new();

/// Comes from the handler of a hardware timer.
static TIMER: Signal = Signal::new();

#[unsafe(no_mangle)]
extern "C" fn GPIO_A() {
    PENDED.signal();
}

#[unsafe(no_mangle)]
extern "C" fn TIMER_0A() {
    board::acknowledge_timer();
    TIMER.signal();
}

#[entry]
fn main() -> ! {
    memory::paint_stack();
    let is_success = match run() {
        Ok(()) => true,
        Err(error) => {
            print::print_line(format_args!("failed: {error}"));
            false
        }
    };
    memory::report();
    print::exit(is_success)
}

/// Why the demo failed.
#[derive(Debug)]
enum Failure {
    /// Something was taken twice, refused or stopped.
    Setup,
    /// A part didn't do what it is there to show.
    Part(&'static str),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setup => f.write_str("can't be set up"),
            Self::Part(part) => f.write_str(part),
        }
    }
}

fn run() -> Result<(), Failure> {
    let systick = cortex_m::Peripherals::take().ok_or(Failure::Setup)?.SYST;
    let driver = cortex_m::singleton!(: SysTickDriver<{ board::HZ }> = SysTickDriver::new(systick))
        .ok_or(Failure::Setup)?;
    let event_loop = EventLoop::new(STORAGE.take().ok_or(Failure::Setup)?, driver);
    let handle = event_loop.handle();
    let done = event_loop.run_until_complete(parts(handle)).map_err(|_| Failure::Setup)?;
    done.map_err(|_| Failure::Setup)??;
    clock_across_wraps(&event_loop)?;
    check(event_loop.unhandled_exceptions() == 0, "an exception nobody looked at")
}

async fn parts(event_loop: EventLoopHandle) -> Result<Result<(), Failure>, Exception> {
    for part in 0..5 {
        let checked = match part {
            0 => calls_and_timers(event_loop).await?,
            1 => future_between_tasks(event_loop).await?,
            2 => software_interrupt(event_loop).await?,
            3 => timer_interrupt(event_loop).await?,
            _ => interrupts_at_any_time(event_loop).await?,
        };
        if checked.is_err() {
            return Ok(checked);
        }
    }
    Ok(Ok(()))
}

type Part = Result<Result<(), Failure>, Exception>;

async fn calls_and_timers(event_loop: EventLoopHandle) -> Part {
    let order = cortex_m::singleton!(: Cell<u32> = Cell::new(0)).map(|cell| &*cell);
    let Some(order) = order else { return Ok(Err(Failure::Setup)) };
    let note = move |digit| order.set(order.get() * 10 + digit);
    let start = event_loop.time();
    event_loop.call_later(ms(20), move |_| note(4))?;
    event_loop.call_later(ms(10), move |_| note(3))?;
    event_loop.call_later(ms(15), move |_| note(9))?.cancel();
    event_loop.call_soon(move |_| note(1))?;
    event_loop.call_soon(move |_| note(2))?;
    event_loop.sleep(ms(30)).await?;
    let slept = event_loop.time() - start;
    print::print_line(format_args!(
        "calls and timers: order {}, slept {} us",
        order.get(),
        slept.as_micros()
    ));
    Ok(check(order.get() == 1234, "calls ran in another order")
        .and(check(slept >= ms(30) && slept < ms(35), "the clock and the sleep disagree")))
}

async fn future_between_tasks(event_loop: EventLoopHandle) -> Part {
    let reading = event_loop.create_future::<u32>()?;
    let setter = reading.clone();
    let sensor = event_loop.create_task(async move {
        event_loop.sleep(ms(5)).await?;
        Ok::<bool, Exception>(setter.set_result(21).is_ok())
    })?;
    let doubled = event_loop.create_task(async move { Ok::<u32, Exception>(reading.await? * 2) })?;
    let (was_set, doubled) = (sensor.await??, doubled.await??);
    print::print_line(format_args!("future between tasks: {doubled}"));
    Ok(check(was_set && doubled == 42, "the future's result is wrong"))
}

/// The handler runs at once, and the task in the next iteration.
async fn software_interrupt(event_loop: EventLoopHandle) -> Part {
    board::unmask(Interrupt::GpioA);
    let waiter = event_loop.create_task(async {
        for _ in 0..3 {
            PENDED.wait().await;
        }
    })?;
    for _ in 0..3 {
        event_loop.sleep(ms(2)).await?;
        board::pend(Interrupt::GpioA);
    }
    let ended = event_loop.timeout(ms(100), waiter).await;
    print::print_line(format_args!("software interrupt: woken thrice: {}", matches!(ended, Ok(Ok(())))));
    Ok(check(matches!(ended, Ok(Ok(()))), "a wake from a software interrupt was lost"))
}

/// The loop sleeps without a deadline: only the interrupt can end that.
async fn timer_interrupt(event_loop: EventLoopHandle) -> Part {
    let start = event_loop.time();
    board::start_timer(board::HZ / 50);
    TIMER.wait().await;
    let waited = event_loop.time() - start;
    print::print_line(format_args!("timer interrupt: after {} us", waited.as_micros()));
    Ok(check(waited >= ms(19) && waited < ms(25), "the clock and the hardware timer disagree"))
}

/// The interrupt comes at each cycle of the loop's way to sleep. A wake that falls
/// between the last look and WFI would be seen when SysTick wraps, after a second.
async fn interrupts_at_any_time(event_loop: EventLoopHandle) -> Part {
    let mut longest = Duration::ZERO;
    for cycles in 20..1_500 {
        let start = event_loop.time();
        board::start_timer(cycles);
        TIMER.wait().await;
        longest = longest.max(event_loop.time() - start);
    }
    print::print_line(format_args!("interrupts at any time: seen within {} us", longest.as_micros()));
    Ok(check(longest < ms(1), "a wake came too late"))
}

/// Busy and asleep for longer than the 24-bit counter counts.
fn clock_across_wraps(event_loop: &EventLoop) -> Result<(), Failure> {
    let start = event_loop.time();
    let handle = event_loop.handle();
    let slept = event_loop.run_until_complete(async move { handle.sleep(ms(5_000)).await });
    let asleep = event_loop.time() - start;
    let mut reads = 0_u32;
    let mut last = event_loop.time();
    let until = last + ms(3_000);
    while last < until {
        let now = event_loop.time();
        check(now >= last, "the clock went back")?;
        check(now - last < ms(1), "the clock jumped")?;
        last = now;
        reads += 1;
    }
    print::print_line(format_args!("clock across wraps: slept {} us, {reads} reads", asleep.as_micros()));
    check(slept.is_ok_and(|slept| slept.is_ok()), "the sleep failed")?;
    check(asleep >= ms(5_000) && asleep < ms(5_005), "the clock and a long sleep disagree")
}

fn check(holds: bool, part: &'static str) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::Part(part)) }
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

//! What watches the loop, what happens outside of it, and its end.

use core::sync::atomic::{AtomicU32, Ordering};
use core::task::Poll;

use rondel_core::{
    Cancelled, Event, EventLoop, Histogram, Instant, Instrument, ManualDriver, Resource, RunError, Running,
    WaitError,
};

use crate::check::{Checked, OrFail, check, check_trace, ms, trace};

pub fn scenario(event_loop: &EventLoop, driver: &ManualDriver) -> Checked {
    exceptions(event_loop)?;
    factory(event_loop)?;
    instrument(event_loop)?;
    figures(event_loop)?;
    wakes(event_loop, driver)?;
    idle(event_loop, driver)
}

fn exceptions(event_loop: &EventLoop) -> Checked {
    event_loop.call_soon(|_| Err::<(), _>(Cancelled)).or_fail()?;
    event_loop.run_once().or_fail()?;
    check(event_loop.unhandled_exceptions() == 1)?;

    event_loop.set_exception_handler(Some(|_, context| {
        let is_cancelled = context.exception.is_some_and(Cancelled::is_in);
        trace(if is_cancelled && context.location.is_some() { 1 } else { 2 });
    }));
    check(event_loop.exception_handler().is_some())?;
    event_loop.call_soon(|_| Err::<(), _>(Cancelled)).or_fail()?;
    drop(
        event_loop
            .create_task(async { Err::<(), _>(WaitError::Refused(rondel_core::Refusal::Closed)) })
            .or_fail()?,
    );
    event_loop.run_once().or_fail()?;
    event_loop.set_exception_handler(None);
    check(event_loop.unhandled_exceptions() == 1)?;
    check_trace(12)
}

fn factory(event_loop: &EventLoop) -> Checked {
    event_loop.set_task_factory(Some(|_, task| task.name = Some("made")));
    check(event_loop.task_factory().is_some())?;
    let task = event_loop.create_task(async {}).or_fail()?;
    event_loop.set_task_factory(None);
    check(task.name() == Some("made"))?;
    check(event_loop.run_until_complete(task) == Ok(Ok(())))
}

struct Counts {
    steps: AtomicU32,
    waits: AtomicU32,
    ready: AtomicU32,
}

impl Instrument for Counts {
    fn before_callback(&self, _: &Running) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    fn after_callback(&self, _: &Running) {
        self.steps.fetch_add(100, Ordering::Relaxed);
    }

    fn before_wait(&self, _: Option<Instant>) {
        self.waits.fetch_add(1, Ordering::Relaxed);
    }

    fn after_wait(&self) {
        self.waits.fetch_add(100, Ordering::Relaxed);
    }

    fn before_batch(&self, ready: usize) {
        self.ready.fetch_add(ready as u32, Ordering::Relaxed);
    }
}

fn instrument(event_loop: &EventLoop) -> Checked {
    static COUNTS: Counts =
        Counts { steps: AtomicU32::new(0), waits: AtomicU32::new(0), ready: AtomicU32::new(0) };
    event_loop.set_instrument(Some(&COUNTS));
    event_loop.call_soon(|_| ()).or_fail()?;
    event_loop.run_once().or_fail()?;
    event_loop.set_instrument(None);
    check(COUNTS.steps.load(Ordering::Relaxed) == 101)?;
    check(COUNTS.ready.load(Ordering::Relaxed) == 1)?;
    check(COUNTS.waits.load(Ordering::Relaxed) == 101)
}

fn figures(event_loop: &EventLoop) -> Checked {
    let mut histogram = Histogram::<96>::new();
    (1..=100).for_each(|value| histogram.record(value));
    histogram.record_duration(ms(1));
    histogram.merge(&histogram.clone());
    check((histogram.count(), histogram.max()) == (202, 1_000_000))?;
    check(histogram.quantile(0.5) == Some(55))?;
    check(histogram.buckets().last() == Some((u64::MAX, 0)))?;
    let refusals = event_loop.statistics().refusals;
    let sum: u64 = refusals.iter().map(|(_, count)| count).sum();
    check(refusals.total() == sum && refusals.of(Resource::Descriptor) == 0)
}

/// Wakes a task from within the wait, as an interrupt does.
fn wakes(event_loop: &EventLoop, driver: &ManualDriver) -> Checked {
    let when = event_loop.time() + ms(7);
    let mut has_slept = false;
    let woken = event_loop.run_until_complete(core::future::poll_fn(move |cx| {
        if core::mem::replace(&mut has_slept, true) {
            return Poll::Ready(true);
        }
        match driver.script(when, Event::Wake(cx.waker().clone())) {
            Ok(()) => Poll::Pending,
            Err(_) => Poll::Ready(false),
        }
    }));
    check(woken == Ok(true) && event_loop.time() == when)
}

fn idle(event_loop: &EventLoop, driver: &ManualDriver) -> Checked {
    driver.set_idle_hook(Some(|driver| {
        trace(1);
        driver.advance(ms(1));
    }));
    event_loop.run_once().or_fail()?;
    driver.set_idle_hook(None);
    check(driver.idle_waits() == 1 && driver.waits() > 1 && driver.last_deadline().is_none())?;
    let now = event_loop.time();
    check(driver.script(now, Event::Call(|digit| trace(digit as u64), 2)).is_ok())?;
    driver.set_jumps(false);
    driver.set_time(Instant::ZERO);
    event_loop.run_once().or_fail()?;
    driver.set_time(now);
    driver.set_jumps(true);
    event_loop.run_once().or_fail()?;
    check_trace(12)
}

/// Closes a loop that still has work, and drops it.
pub fn close(event_loop: EventLoop) -> Checked {
    let handle = event_loop.handle();
    handle.call_soon(|_| trace(9)).or_fail()?;
    handle.call_later(ms(1), |_| trace(9)).or_fail()?;
    let future = handle.create_future::<u32>().or_fail()?;
    let task = handle.create_task(async move { handle.sleep(ms(1)).await }).or_fail()?;
    handle.call_soon(|event_loop| trace(if event_loop.is_running() { 9 } else { 8 })).or_fail()?;

    event_loop.close().or_fail()?;
    event_loop.close().or_fail()?;
    check(event_loop.is_closed() && event_loop.run_forever() == Err(RunError::Closed))?;
    drop(event_loop);

    check(handle.call_soon(|_| ()).is_err_and(|refused| refused.is_closed()))?;
    check(handle.create_future::<()>().is_err_and(|refused| refused.is_closed()))?;
    check(handle.create_task(async {}).is_err_and(|refused| refused.is_closed()))?;
    check(task.done() && future.done() && handle.statistics().calls.live == 0)?;
    check_trace(0)
}

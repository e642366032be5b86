//! Tasks, and what they await.

use core::cell::Cell;
use core::error::Error;
use core::fmt;
use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};

use rondel_core::{
    Cancelled, EventLoop, EventLoopHandle, GatherError, RunError, TaskCell, TaskError, TimeoutError,
    WaitError,
};

use crate::check::{Checked, OrFail, check, check_trace, ms, trace};

pub fn scenario(event_loop: &EventLoop) -> Checked {
    life(event_loop)?;
    refusals(event_loop)?;
    sleeping(event_loop)?;
    time_limits(event_loop)?;
    cancelling(event_loop)?;
    gathering(event_loop)?;
    borrowing(event_loop)?;
    pinned(event_loop)
}

/// Why a sleeper has no value; prints little.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Failure {
    Zero,
    Ended(WaitError),
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failure")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failure")
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Zero => None,
            Self::Ended(error) => Some(error),
        }
    }
}

fn life(event_loop: &EventLoop) -> Checked {
    let handle = event_loop.handle();
    check(handle.current_task().is_none())?;
    let task = handle
        .create_task(async move {
            trace(2);
            let Some(task) = handle.current_task() else { return 0 };
            trace(handle.all_tasks().count() as u64);
            u32::from(task.name() == Some("guard"))
        })
        .or_fail()?;
    task.set_name("guard");
    check(task.name() == Some("guard") && task.as_ref().location().is_some())?;
    check(task.clone().id() == task.id() && !task.done())?;
    check(task.take() == Err(TaskError::NotReady))?;
    task.add_done_callback(|_, task| trace(if task.done() { 3 } else { 9 })).or_fail()?;
    let removed = task.add_done_callback(|_, _| trace(9)).or_fail()?;
    check(task.remove_done_callback(removed))?;
    trace(1);
    let waited = event_loop.run_until_complete(async {
        task.wait().await.ok()?;
        task.await.ok()
    });
    check(waited == Ok(Some(1)))?;
    // Two tasks live while the first runs; its done callback is last.
    check_trace(1223)
}

fn refusals(event_loop: &EventLoop) -> Checked {
    let handle = event_loop.handle();
    let large = [1_u8; 1024];
    let refused = handle.create_task(async move {
        handle.yield_now().await.ok();
        large.len() as u32
    });
    check(refused.is_err_and(|refused| refused.is_too_large()))?;

    let mut tasks = [const { None }; 4];
    for task in &mut tasks {
        *task = Some(handle.create_task(async {}).or_fail()?);
    }
    check(handle.create_task(async {}).is_err_and(|refused| refused.is_full()))?;
    check(event_loop.run_until_complete(async {}).is_err())?;
    for task in tasks.iter().flatten() {
        check(task.abort() && task.done() && task.cancelled())?;
    }
    Ok(())
}

fn sleeping(event_loop: &EventLoop) -> Checked {
    let handle = event_loop.handle();
    let start = event_loop.time();
    let slept = event_loop.run_until_complete(async move {
        handle.sleep(ms(10)).await?;
        handle.sleep_until(start + ms(20)).await?;
        handle.yield_now().await
    });
    check(slept == Ok(Ok(())) && event_loop.time() - start == ms(20))?;

    let handle = event_loop.handle();
    let nested = event_loop.run_until_complete(async move {
        handle.stop();
        handle.sleep(ms(10)).await
    });
    check(nested == Err(RunError::Stopped))
}

fn time_limits(event_loop: &EventLoop) -> Checked {
    let handle = event_loop.handle();
    let late =
        event_loop.run_until_complete(async move { handle.timeout(ms(5), handle.sleep(ms(10))).await });
    check(late == Ok(Err(TimeoutError::TimedOut)))?;
    let handle = event_loop.handle();
    let early = event_loop.run_until_complete(async move { handle.timeout(ms(5), async { 4 }).await });
    check(early == Ok(Ok(4)))
}

fn cancelling(event_loop: &EventLoop) -> Checked {
    let handle = event_loop.handle();
    let task = handle
        .create_task(async move {
            let ended = handle.sleep(ms(1000)).await;
            trace(if ended == Err(WaitError::Cancelled(Cancelled)) { 1 } else { 9 });
            handle.sleep(ms(1)).await?;
            trace(2);
            ended
        })
        .or_fail()?;
    event_loop.run_once().or_fail()?;
    check(task.cancel() && !task.done())?;
    let ended = event_loop.run_until_complete(task.clone());
    check(matches!(ended, Ok(Err(TaskError::Cancelled))))?;
    check(task.cancelled() && !task.cancel() && !task.abort())?;
    check_trace(12)
}

fn gathering(event_loop: &EventLoop) -> Checked {
    let handle = event_loop.handle();
    let sleeper = |time, value| handle.create_task(sleep_and_return(handle, time, value)).or_fail();

    let all = handle.gather([sleeper(3, 1)?, sleeper(1, 2)?, sleeper(2, 3)?]).or_fail()?;
    let all = event_loop.run_until_complete(all).or_fail()?;
    check(matches!(all, Ok([1, 2, 3])))?;

    let failing = handle.gather([sleeper(3, 1)?, sleeper(1, 0)?]).or_fail()?;
    let failing = event_loop.run_until_complete(failing).or_fail()?;
    check(matches!(failing, Err(GatherError::Failed { index: 1, error: Failure::Zero })))?;

    let outcomes = handle.gather_outcomes([sleeper(3, 1)?, sleeper(1, 0)?]).or_fail()?;
    let outcomes = event_loop.run_until_complete(outcomes).or_fail()?;
    check(matches!(outcomes, Ok([Ok(Ok(1)), Ok(Err(Failure::Zero))])))?;

    let cancelled = handle.gather([sleeper(3, 1)?, sleeper(1, 2)?]).or_fail()?;
    let gatherer = handle
        .create_task(async move { matches!(cancelled.await, Err(GatherError::Cancelled(_))) })
        .or_fail()?;
    event_loop.run_once().or_fail()?;
    gatherer.cancel();
    check(event_loop.run_until_complete(gatherer) == Ok(Ok(true)))
}

async fn sleep_and_return(event_loop: EventLoopHandle, time: u64, value: u32) -> Result<u32, Failure> {
    match event_loop.sleep(ms(time)).await {
        Ok(()) if value > 0 => Ok(value),
        Ok(()) => Err(Failure::Zero),
        Err(error) => Err(Failure::Ended(error)),
    }
}

/// A future that isn't of this crate, and borrows.
fn borrowing(event_loop: &EventLoop) -> Checked {
    let polls = Cell::new(0);
    let future = poll_fn(|cx| {
        polls.set(polls.get() + 1);
        if polls.get() == 3 {
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        waker.wake();
        Poll::Pending
    });
    event_loop.run_until_complete(pin!(future)).or_fail()?;
    check(polls.get() == 3)
}

/// A future too large for a task's bytes would live in a static like this one.
struct Elsewhere(u32);

impl Future for Elsewhere {
    type Output = u32;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<u32> {
        Poll::Ready(self.0)
    }
}

fn pinned(event_loop: &EventLoop) -> Checked {
    static mut CELL: TaskCell<Elsewhere> = TaskCell::new(Elsewhere(5));
    let cell: *mut TaskCell<Elsewhere> = &raw mut CELL;
    // SAFETY: the only reference there is: this function is called once.
    let cell = Pin::static_mut(unsafe { &mut *cell });
    let task = event_loop.create_pinned_task(cell).or_fail()?;
    check(event_loop.run_until_complete(task) == Ok(Ok(5)))
}

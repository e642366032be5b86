//! Futures and their done callbacks.

use rondel_core::{EventLoop, FutureError, WaitError};

use crate::check::{Checked, OrFail, check, check_trace, ms, trace};

pub fn scenario(event_loop: &EventLoop) -> Checked {
    results(event_loop)?;
    exceptions(event_loop)?;
    done_callbacks(event_loop)?;
    awaiting(event_loop)
}

fn results(event_loop: &EventLoop) -> Checked {
    let future = event_loop.create_future::<u32>().or_fail()?;
    check(!future.done() && matches!(future.take(), Err(FutureError::NotReady)))?;
    future.set_result(7).or_fail()?;
    check(future.done() && matches!(future.result(), Ok(7)))?;
    check(future.set_result(8).is_err_and(|refused| refused.into_value() == 8))?;
    check(matches!(future.take(), Ok(7)) && matches!(future.take(), Err(FutureError::Taken)))?;

    let cancelled = event_loop.create_future::<u32>().or_fail()?;
    check(cancelled.cancel() && !cancelled.cancel() && cancelled.cancelled())?;
    check(matches!(cancelled.take(), Err(FutureError::Cancelled)))?;

    let _third = event_loop.create_future::<()>().or_fail()?;
    let _fourth = event_loop.create_future::<()>().or_fail()?;
    check(event_loop.create_future::<()>().is_err_and(|refused| refused.is_full()))
}

fn exceptions(event_loop: &EventLoop) -> Checked {
    let future = event_loop.create_future::<u32>().or_fail()?;
    future.set_exception(WaitError::Cancelled(rondel_core::Cancelled)).or_fail()?;
    check(matches!(future.exception(|exception| exception.is_some()), Ok(true)))?;
    check(matches!(future.take(), Err(FutureError::Exception(_))))
}

fn done_callbacks(event_loop: &EventLoop) -> Checked {
    let future = event_loop.create_future::<u32>().or_fail()?;
    future.add_done_callback(|_, _| trace(1)).or_fail()?;
    let removed = future.add_done_callback(|_, _| trace(9)).or_fail()?;
    future
        .add_done_callback(|event_loop, future| {
            trace(u64::from(future.take().unwrap_or(9)));
            event_loop.stop();
        })
        .or_fail()?;
    check(future.remove_done_callback(removed) && !future.remove_done_callback(removed))?;
    future.set_result(2).or_fail()?;
    event_loop.run_forever().or_fail()?;
    check_trace(12)
}

fn awaiting(event_loop: &EventLoop) -> Checked {
    let handle = event_loop.handle();
    let future = handle.create_future::<u32>().or_fail()?;
    let setter = future.clone();
    handle.call_later(ms(5), move |_| setter.set_result(3)).or_fail()?;
    let waited = event_loop.run_until_complete(async move {
        future.wait().await.ok()?;
        future.await.ok()
    });
    check(waited == Ok(Some(3)))
}

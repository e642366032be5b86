//! A program of callbacks, timers, futures and tasks, written once: it runs on
//! any loop and prints the same trace on each.
//!
//! Deadlines that decide about the order are 50 ms apart or equal, so a slow
//! clock changes nothing.
#![no_std]

use core::fmt;
use core::time::Duration;

use rondel_core::{Cancelled, Context, ContextExt, Exception, TimeoutError};

/// Where the program runs: on which loop, and what it prints by.
pub trait World: 'static {
    /// Is the handle of the loop.
    type Context: Context;

    /// Prints one line.
    fn print(line: fmt::Arguments<'_>);
}

type Result<T> = core::result::Result<T, Exception>;

/// Runs all of it, one part after the other; then it is done.
///
/// # Errors
/// If a part fails, which it doesn't in a loop with 16 calls, 4 futures and 8
/// tasks of 512 bytes.
pub async fn program<W: World>(context: W::Context) -> Result<()> {
    callbacks::<W>(&context).await?;
    timers::<W>(&context).await?;
    futures::<W>(&context).await?;
    tasks::<W>(&context).await?;
    cancellation::<W>(&context).await?;
    W::print(format_args!("end"));
    Ok(())
}

async fn callbacks<W: World>(context: &W::Context) -> Result<()> {
    W::print(format_args!("callbacks: begin"));
    context.call_soon(|context: &W::Context| {
        W::print(format_args!("callbacks: first"));
        // The next iteration's, so after `second`.
        context.call_soon(|_| W::print(format_args!("callbacks: third"))).map(drop)
    })?;
    let cancelled = context.call_soon(|_| W::print(format_args!("callbacks: never")))?;
    context.call_soon(|_| W::print(format_args!("callbacks: second")))?;
    cancelled.cancel();
    context.yield_now().await?;
    context.yield_now().await?;
    W::print(format_args!("callbacks: end"));
    Ok(())
}

async fn timers<W: World>(context: &W::Context) -> Result<()> {
    W::print(format_args!("timers: begin"));
    let now = context.now();
    for (delay, name) in [(150, 4_u8), (50, 1), (100, 2), (100, 3)] {
        context.call_at(now + ms(delay), move |_| W::print(format_args!("timers: {name}")))?;
    }
    let cancelled = context.call_at(now + ms(75), |_| W::print(format_args!("timers: never")))?;
    context.sleep_until(now + ms(25)).await?;
    cancelled.cancel();
    W::print(format_args!("timers: cancelled one"));
    context.sleep_until(now + ms(200)).await?;
    W::print(format_args!("timers: end"));
    Ok(())
}

/// A result goes from a timer through a future to two tasks.
async fn futures<W: World>(context: &W::Context) -> Result<()> {
    W::print(format_args!("futures: begin"));
    let future = context.create_future::<u32>()?;
    future.add_done_callback(|_, future| {
        W::print(format_args!("futures: callback, cancelled: {}", future.cancelled()));
    })?;
    let waited = future.clone();
    let watcher = context.create_task(async move {
        waited.wait().await?;
        W::print(format_args!("futures: watcher sees that it is done"));
        Ok::<(), Exception>(())
    })?;
    let awaited = future.clone();
    let taker = context.create_task(async move {
        let result = awaited.await?;
        W::print(format_args!("futures: taker gets {result}"));
        Ok::<u32, Exception>(result + 1)
    })?;
    context.call_later(ms(50), move |_| {
        W::print(format_args!("futures: set"));
        future.set_result(42).is_ok()
    })?;
    watcher.await??;
    W::print(format_args!("futures: taker returned {}", taker.await??));

    let failed = context.create_future::<u32>()?;
    let setter = failed.clone();
    context.call_soon(move |_| setter.set_exception(Cancelled).is_ok())?;
    W::print(format_args!("futures: {:?}", failed.await.map_err(|error| error_name(&error))));
    Ok(())
}

fn error_name(error: &rondel_core::FutureError) -> &'static str {
    match error {
        rondel_core::FutureError::Exception(_) => "exception",
        rondel_core::FutureError::Cancelled => "cancelled",
        _ => "other",
    }
}

async fn tasks<W: World>(context: &W::Context) -> Result<()> {
    W::print(format_args!("tasks: begin"));
    let start = context.now();
    let workers = [(1_u32, 100), (2, 50), (3, 150)].map(|(worker, delay)| {
        let own = context.clone();
        context.create_task(async move {
            W::print(format_args!("tasks: {worker} begins"));
            own.yield_now().await?;
            W::print(format_args!("tasks: {worker} sleeps"));
            own.sleep_until(start + ms(delay)).await?;
            W::print(format_args!("tasks: {worker} ends"));
            Ok::<u32, Exception>(worker * 10)
        })
    });
    let [first, second, third] = workers;
    let results = context.gather([first?, second?, third?])?.await;
    W::print(format_args!("tasks: gathered {:?}", results.ok()));
    Ok(())
}

async fn cancellation<W: World>(context: &W::Context) -> Result<()> {
    W::print(format_args!("cancellation: begin"));
    let own = context.clone();
    let task = context.create_task(async move {
        let slept = own.sleep(ms(10_000)).await;
        W::print(format_args!("cancellation: sleep ended: {}", slept.is_err()));
        // Cleaning up takes time.
        own.sleep(ms(50)).await?;
        W::print(format_args!("cancellation: cleaned up"));
        slept?;
        Ok::<(), Exception>(())
    })?;
    let watched = task.clone();
    context.call_later(ms(50), move |_| {
        W::print(format_args!("cancellation: asked: {}", watched.cancel()));
    })?;
    task.wait().await?;
    W::print(format_args!("cancellation: cancelled: {}", task.cancelled()));

    let own = context.clone();
    let late = context.timeout(ms(50), async move { own.sleep(ms(10_000)).await }).await;
    W::print(format_args!("cancellation: timed out: {}", matches!(late, Err(TimeoutError::TimedOut))));
    let early = context.timeout(ms(10_000), async { 7_u32 }).await;
    W::print(format_args!("cancellation: in time: {:?}", early.ok()));

    let own = context.clone();
    let aborted = context.create_task(async move {
        W::print(format_args!("cancellation: aborted one begins"));
        let ended = own.sleep(ms(10_000)).await;
        W::print(format_args!("cancellation: never"));
        ended
    })?;
    context.yield_now().await?;
    aborted.abort();
    W::print(format_args!("cancellation: aborted: {}", aborted.cancelled()));
    Ok(())
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

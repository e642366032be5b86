//! A program that is one future.

use super::EventLoop;
use crate::{Error, EventLoopHandle, Result};

/// Makes a loop, runs the future that `main` makes of its handle, cancels the
/// tasks that are left, waits for their end, and closes the loop.
///
/// ```
/// # use core::time::Duration;
/// rondel::run(async |event_loop| {
///     event_loop.sleep(Duration::from_millis(1)).await?;
///     println!("Hello World");
///     Ok(())
/// })?;
/// # Ok::<(), rondel::Error>(())
/// ```
///
/// # Errors
/// The future's own error, or the loop's.
///
/// # Python
/// `asyncio.run(main())`.
#[track_caller]
pub fn run<F, T>(main: F) -> Result<T>
where
    F: AsyncFnOnce(EventLoopHandle) -> Result<T>,
    T: 'static,
{
    let event_loop = EventLoop::new()?;
    let result = event_loop.run_until_complete(main(event_loop.handle()));
    let cancelled = event_loop.cancel_all_tasks();
    event_loop.close()?;
    let value = result?;
    cancelled?;
    Ok(value)
}

impl EventLoop {
    /// Cancels all tasks and runs the loop until they are done.
    fn cancel_all_tasks(&self) -> Result<()> {
        let tasks: Vec<_> = self.all_tasks().collect();
        for task in &tasks {
            task.cancel();
        }
        self.run_until_complete(async {
            for task in &tasks {
                task.wait().await?;
            }
            Ok::<(), Error>(())
        })
    }
}

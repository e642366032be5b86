//! The default executor of a loop, and its end.

use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::Poll;
use core::time::Duration;
use std::sync::Arc;

use rondel_core::{Cancelled, TimeoutError, Usage};

use crate::executor::{Executor, JobRefusal, StuckJobs, ThreadPoolConfig, ThreadPoolExecutor};
use crate::{EventLoopHandle, Result, TaskWait};

/// Is where a loop's jobs go if nothing else is said.
#[derive(Default)]
pub(crate) struct DefaultExecutor {
    /// Is made by the first job.
    executor: RefCell<Option<Arc<dyn Executor>>>,
    is_shut_down: Cell<bool>,
}

impl DefaultExecutor {
    /// Lets go of the executor, whose drop is foreign code.
    pub(crate) fn take(&self) -> Option<Arc<dyn Executor>> {
        self.executor.take()
    }

    /// Returns the executor, if it was made.
    pub(crate) fn get(&self) -> Option<Arc<dyn Executor>> {
        self.executor.borrow().clone()
    }

    /// Tells how full its queue is.
    pub(crate) fn queue(&self) -> Usage {
        self.get().map_or_else(Usage::default, |executor| executor.queue())
    }
}

impl EventLoopHandle {
    /// Sets the executor of [`run_in_executor`](Self::run_in_executor); jobs of the former one go on.
    ///
    /// The loop holds it until it is closed and does not shut it down by itself: others may use it
    /// too. After [`shutdown_default_executor`](Self::shutdown_default_executor) a new one is not used
    /// either.
    ///
    /// # Python
    /// `loop.set_default_executor(executor)`.
    pub fn set_default_executor(&self, executor: Arc<dyn Executor>) {
        let former = self.inner.executor.executor.borrow_mut().replace(executor);
        drop(former);
    }

    /// Returns the default executor, made if need be.
    pub(super) fn default_executor(&self) -> Result<Arc<dyn Executor>, JobRefusal> {
        if self.is_closed() {
            return Err(JobRefusal::Closed);
        }
        let default = &self.inner.executor;
        if default.is_shut_down.get() {
            return Err(JobRefusal::ShutDown);
        }
        let mut executor = default.executor.borrow_mut();
        let made = executor.get_or_insert_with(|| {
            let config =
                ThreadPoolConfig { thread_name_prefix: "rondel-worker".into(), ..Default::default() };
            Arc::new(ThreadPoolExecutor::on_threads(config, self.inner.kernel.threads().threads()))
        });
        Ok(Arc::clone(made))
    }

    /// Shuts the default executor down without waiting, and returns what has not ended after `limit`.
    pub(crate) fn give_default_executor_up(&self, limit: Duration) -> StuckJobs {
        let default = &self.inner.executor;
        default.is_shut_down.set(true);
        let Some(executor) = default.get() else { return StuckJobs::new(Vec::new(), 0, limit) };
        executor.shutdown();
        executor.stuck_jobs(limit)
    }

    /// Shuts the default executor down and waits, without holding up the loop, until its jobs have
    /// ended and its threads are gone (contract EX-4).
    ///
    /// From the first poll on [`run_in_executor`](Self::run_in_executor) gives jobs back with
    /// [`JobRefusal::ShutDown`]. Jobs that were taken run to their end, and executors that are passed
    /// explicitly go on. It may be called again, to wait once more.
    ///
    /// ```
    /// # use core::time::Duration;
    /// # rondel::run(async |event_loop| {
    /// let job = event_loop.run_in_executor(|| 7)?;
    /// event_loop.shutdown_default_executor().timeout(Duration::from_secs(60)).await?;
    /// assert_eq!(job.await?, 7);
    /// # Ok(())
    /// # })?;
    /// # Ok::<(), rondel::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`StuckJobs`], of the kind `TimedOut`, if the
    /// [`timeout`](ShutdownDefaultExecutor::timeout) is over: it names the jobs, which go on.
    ///
    /// # Cancellation
    /// Ends the wait; the executor stays shut down.
    ///
    /// # Python
    /// `loop.shutdown_default_executor(timeout)`, which warns when the time is over, and waits in a
    /// thread. Names are looked up in threads of their own, which this leaves alone; so a loop still
    /// resolves names afterwards, and asyncio's doesn't. `asyncio.run` calls it by itself;
    /// [`run`](crate::run) doesn't, so that a job which never returns can't hold up the end of a program.
    pub fn shutdown_default_executor(&self) -> ShutdownDefaultExecutor {
        ShutdownDefaultExecutor { event_loop: self.clone(), limit: None }
    }
}

/// The options of a shutdown of the default executor; await it to begin. See
/// [`EventLoopHandle::shutdown_default_executor`].
#[must_use = "does nothing until it is awaited"]
pub struct ShutdownDefaultExecutor {
    event_loop: EventLoopHandle,
    limit: Option<Duration>,
}

impl ShutdownDefaultExecutor {
    /// Limits how long it waits; without a limit by default.
    ///
    /// # Python
    /// `timeout`.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    async fn shut_down(self) -> Result<()> {
        let Self { event_loop, limit } = self;
        let default = &event_loop.inner.executor;
        default.is_shut_down.set(true);
        let executor = default.executor.borrow().clone();
        let Some(executor) = executor else { return Ok(()) };
        executor.shutdown();
        let Some(limit) = limit else { return ended(&event_loop, &*executor).await };
        match event_loop.timeout(limit, ended(&event_loop, &*executor)).await {
            Ok(ended) => ended,
            Err(TimeoutError::TimedOut) => Err(executor.stuck_jobs(limit).into()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Waits for the end of an executor that was shut down.
async fn ended(event_loop: &EventLoopHandle, executor: &dyn Executor) -> Result<()> {
    let mut ended = executor.ended();
    let ended = poll_fn(|cx| {
        if event_loop.inner.scheduler.take_cancel() {
            return Poll::Ready(Err(Cancelled.into()));
        }
        ended.as_mut().poll(cx).map(Ok)
    });
    event_loop.name_wait(TaskWait::ExecutorShutdown, ended).await
}

impl IntoFuture for ShutdownDefaultExecutor {
    type Output = Result<()>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.shut_down())
    }
}

impl fmt::Debug for ShutdownDefaultExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShutdownDefaultExecutor({:?})", self.limit)
    }
}

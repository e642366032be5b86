//! The orderly end of a loop: with a deadline, and a report of what did not end in time.

use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::poll_fn;
use core::task::{Poll, Waker};
use core::time::Duration;

use rondel_core::TimeoutError;

use crate::process::Ending;
use crate::sources::Owner;
use crate::{Error, ErrorKind, EventLoop, EventLoopHandle, Result, StuckJobs, TaskRef, TaskWait};

/// Is the most names that a report holds; the others are counted.
const NAMES_MAX: usize = 100;

/// Is the most turns that what was aborted has for its end. It takes one, and one more for what its
/// `connection_lost` begins; what never comes to rest takes them all.
const LAST_TURNS: usize = 16;

/// How far a shutdown is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Phase {
    /// There is none.
    #[default]
    None,
    /// Nothing is accepted, and everything is to end by itself.
    Draining,
    /// The deadline has passed.
    Aborting,
}

/// What a loop knows of its shutdown.
#[derive(Debug, Default)]
pub(crate) struct ShutdownState {
    phase: Cell<Phase>,
    /// Is woken when a descriptor of ours is closed.
    waker: RefCell<Option<Waker>>,
    report: RefCell<ShutdownReport>,
}

impl ShutdownState {
    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Is told that a descriptor of ours was closed.
    pub(crate) fn closed_one(&self) {
        if self.phase.get() != Phase::None
            && let Some(waker) = self.waker.take()
        {
            waker.wake();
        }
    }

    /// Is told which jobs go on.
    fn gave_up(&self, jobs: &StuckJobs) {
        let mut report = self.report.borrow_mut();
        for job in jobs.running() {
            report.add(AbortedKind::Job, job);
        }
        report.unnamed += jobs.queued();
    }

    /// Is told what had to be aborted.
    pub(crate) fn aborted(&self, kind: AbortedKind, name: impl fmt::Display) {
        self.report.borrow_mut().add(kind, name);
    }
}

impl EventLoopHandle {
    /// Ends what the loop does, within `limit`, and says what did not end by itself.
    ///
    /// At once: servers stop accepting, and all tasks but this one are cancelled. When these
    /// have heard of it, transports and datagram endpoints are closed: they send what was written; and
    /// child processes get `SIGTERM`, unless they are [detached](crate::Process::detach).
    /// When all that is over the default executor is shut down, for good, and its jobs end. What
    /// has not ended after `limit` is aborted, and named in the report: a child process by `SIGKILL`,
    /// after which it is waited for, a second at the longest; a job that runs can't be, and is only
    /// named. A zero `limit` gives everything the one turn in which it hears of its end. Callbacks,
    /// timers and watched descriptors are left alone, for the loop's close. `connection_lost` is
    /// called once for each transport, as always (FAULTS K-05).
    ///
    /// ```
    /// use core::time::Duration;
    ///
    /// # rondel::run(async |event_loop| {
    /// let echo = async |mut reader: rondel::StreamReader, mut writer: rondel::StreamWriter| {
    ///     let line = reader.read_line().await?;
    ///     writer.write_all(line).await
    /// };
    /// let server = event_loop.start_server("127.0.0.1:0", echo).await?;
    /// // ... and when it is time to go:
    /// let report = event_loop.shutdown(Duration::from_secs(5)).await?;
    /// assert!(report.is_clean() && !server.is_serving());
    /// # Ok(())
    /// # })?;
    /// # Ok::<(), rondel::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Busy` during another shutdown; `Closed`; if the task is cancelled, or a table has no room
    /// for the wait.
    ///
    /// # Cancellation
    /// What was asked to end goes on with it; servers that have closed stay closed.
    ///
    /// # Python
    /// None: programs close servers and cancel tasks themselves, and `asyncio.run` cancels what is
    /// left without a limit.
    pub async fn shutdown(&self, limit: Duration) -> Result<ShutdownReport> {
        let underway = Underway::begin(self)?;
        let deadline = self.time() + limit;
        self.summon(Some(Owner::Server));
        let tasks = self.cancel_other_tasks();
        self.yield_now().await?;
        self.end_open();
        match self.timeout(deadline - self.time(), self.ended(tasks)).await {
            Ok(ended) => ended?,
            Err(TimeoutError::TimedOut) => self.abort_all(limit).await?,
            Err(error) => return Err(error.into()),
        }
        Ok(underway.report())
    }

    /// Waits until no task but this one is left, and no descriptor of ours.
    async fn ended(&self, mut tasks: Vec<TaskRef>) -> Result<()> {
        loop {
            for task in &tasks {
                task.wait().await?;
            }
            let open = self.end_open();
            // Each was asked once: these are what the end of the others has caused.
            tasks = self.cancel_other_tasks();
            match (tasks.is_empty(), open) {
                (true, 0) => return self.shutdown_default_executor().await,
                (true, _) => self.closed_one().await,
                (false, _) => {}
            }
        }
    }

    /// Has everything that isn't a task end by itself, and counts what hasn't yet.
    fn end_open(&self) -> usize {
        self.summon(None) + self.end_children(Ending::Ask)
    }

    async fn abort_all(&self, limit: Duration) -> Result<()> {
        let shutdown = &self.inner.shutdown;
        shutdown.phase.set(Phase::Aborting);
        if self.end_children(Ending::Abort) > 0 {
            // Those who hear of their exits may end by themselves.
            self.come_to_rest(|| ()).await?;
        }
        self.come_to_rest(|| self.abort_open()).await?;
        let jobs = self.give_default_executor_up(limit);
        shutdown.gave_up(&jobs);
        Ok(())
    }

    /// Aborts all other tasks, and everything that has a descriptor.
    fn abort_open(&self) {
        for task in self.other_tasks() {
            self.inner.shutdown.aborted(AbortedKind::Task, TaskName(&task));
            task.abort();
        }
        self.summon(None);
    }

    /// Does something before each turn until one leaves nothing ready, for [`LAST_TURNS`] at the longest.
    async fn come_to_rest(&self, before_turn: impl Fn()) -> Result<()> {
        for _ in 0..LAST_TURNS {
            before_turn();
            self.yield_now().await?;
            if self.statistics().ready == 0 {
                break;
            }
        }
        Ok(())
    }

    fn other_tasks(&self) -> impl Iterator<Item = TaskRef> {
        let current = self.current_task().map(|task| task.id());
        self.all_tasks().filter(move |task| Some(task.id()) != current)
    }

    fn cancel_other_tasks(&self) -> Vec<TaskRef> {
        let tasks: Vec<_> = self.other_tasks().collect();
        for task in &tasks {
            task.cancel();
        }
        tasks
    }

    /// Waits until a descriptor of ours is closed.
    async fn closed_one(&self) {
        let shutdown = &self.inner.shutdown;
        let mut is_first = true;
        let closed = poll_fn(|context| {
            if !core::mem::take(&mut is_first) && shutdown.waker.borrow().is_none() {
                return Poll::Ready(());
            }
            shutdown.waker.replace(Some(context.waker().clone()));
            Poll::Pending
        });
        self.name_wait(TaskWait::Shutdown, closed).await;
    }
}

impl EventLoop {
    /// Runs the loop until everything in it has ended, for `limit` at the longest, and closes it:
    /// [`EventLoopHandle::shutdown`], and then [`close`](Self::close).
    ///
    /// ```
    /// use core::time::Duration;
    /// use rondel::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// event_loop.call_soon(|event_loop| event_loop.stop())?; // a daemon: when a signal says so
    /// event_loop.run_forever()?;
    /// let report = event_loop.close_within(Duration::from_secs(5))?;
    /// if !report.is_clean() {
    ///     eprintln!("{report}");
    /// }
    /// # Ok::<(), rondel::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`EventLoop::run_until_complete`] and [`EventLoopHandle::shutdown`]; the loop is closed
    /// then, too, unless it runs: `Running` inside a callback.
    ///
    /// # Python
    /// `asyncio.Runner.close()`, which has no limit.
    pub fn close_within(&self, limit: Duration) -> Result<ShutdownReport> {
        let event_loop = self.handle();
        let report = self.run_until_complete(async move { event_loop.shutdown(limit).await });
        self.close()?;
        report
    }
}

/// A shutdown that goes on, until it is dropped.
struct Underway<'a>(&'a EventLoopHandle);

impl<'a> Underway<'a> {
    fn begin(event_loop: &'a EventLoopHandle) -> Result<Self> {
        if event_loop.is_closed() {
            return Err(Error::of(ErrorKind::Closed, "the loop is closed"));
        }
        let phase = &event_loop.inner.shutdown.phase;
        if phase.get() != Phase::None {
            return Err(Error::of(ErrorKind::Busy, "the loop is being shut down already"));
        }
        phase.set(Phase::Draining);
        Ok(Self(event_loop))
    }

    fn report(&self) -> ShutdownReport {
        self.0.inner.shutdown.report.take()
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        let shutdown = &self.0.inner.shutdown;
        shutdown.phase.set(Phase::None);
        drop((shutdown.waker.take(), shutdown.report.take()));
    }
}

/// What a shutdown had to abort: its deadline came first.
#[derive(Clone, Debug, Default)]
pub struct ShutdownReport {
    aborted: Vec<Aborted>,
    unnamed: usize,
}

impl ShutdownReport {
    /// Tells whether everything ended by itself.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.count() == 0
    }

    /// Returns what was aborted, in the order in which it was; the first 100 of it.
    #[must_use]
    pub fn aborted(&self) -> &[Aborted] {
        &self.aborted
    }

    /// Counts what was aborted.
    #[must_use]
    pub fn count(&self) -> usize {
        self.aborted.len() + self.unnamed
    }

    fn add(&mut self, kind: AbortedKind, name: impl fmt::Display) {
        if self.aborted.len() < NAMES_MAX {
            self.aborted.push(Aborted { kind, name: name.to_string() });
        } else {
            self.unnamed += 1;
        }
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_clean() {
            return f.write_str("everything ended in time");
        }
        write!(f, "aborted at the deadline: {}", self.count())?;
        for aborted in &self.aborted {
            write!(f, "\n  {aborted}")?;
        }
        if self.unnamed > 0 {
            write!(f, "\n  and {} more", self.unnamed)?;
        }
        Ok(())
    }
}

/// Something that a shutdown had to abort.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Aborted {
    /// Is what it was.
    pub kind: AbortedKind,
    /// Names it: a task by its name and the place of its creation, a connection by its peer, a child by
    /// its number and its program.
    pub name: String,
}

impl fmt::Display for Aborted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// What kinds of things a shutdown aborts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AbortedKind {
    /// A task, which went on after it was cancelled.
    Task,
    /// A connection, which had not sent everything.
    Connection,
    /// A datagram endpoint, which had not sent everything.
    DatagramEndpoint,
    /// A child process, which went on after `SIGTERM`.
    Child,
    /// A job of the default executor, which goes on; those that had not begun have no name.
    Job,
}

impl fmt::Display for AbortedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Task => "task",
            Self::Connection => "connection",
            Self::DatagramEndpoint => "datagram endpoint",
            Self::Child => "child process",
            Self::Job => "job",
        })
    }
}

/// Shows a task as a report does.
struct TaskName<'a>(&'a TaskRef);

impl fmt::Display for TaskName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.name() {
            Some(name) => f.write_str(name)?,
            None => write!(f, "{}", self.0.id())?,
        }
        match self.0.location() {
            Some(location) => write!(f, ", created at {location}"),
            None => Ok(()),
        }
    }
}

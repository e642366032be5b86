//! Snapshots of jobs: whoever runs them, from the moment they are handed in to their end.

use core::time::Duration;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use rondel::{
    EventLoop, EventLoopHandle, Executor, Job, JobExecutor, JobRefused, JobRow, JobState, ProcessPoolConfig,
    ProcessPoolExecutor, SnapshotRow, TaskWait, ThreadPoolConfig, ThreadPoolExecutor,
};

use crate::allocation::counted;
use crate::fixture::{manual, manual_with, real, scenarios, small, turns};
use crate::test_snapshot::{rows, tasks};

scenarios! {
    jobs_of_a_process_pool_say_in_which_process_they_run
    a_job_of_a_process_that_nobody_awaits_is_shown_until_its_end
}

pub fn jobs(event_loop: &EventLoopHandle) -> Vec<JobRow> {
    let only = |row| if let SnapshotRow::Job(row) = row { Some(row) } else { None };
    rows(event_loop).into_iter().filter_map(only).collect()
}

fn job_lines(event_loop: &EventLoopHandle) -> Vec<String> {
    let mut rows = vec![SnapshotRow::Empty; event_loop.snapshot_len()];
    let text = event_loop.snapshot(&mut rows).to_string();
    text.lines().filter(|line| line.starts_with("job ")).map(str::to_owned).collect()
}

/// Keeps the jobs until the test runs them.
#[derive(Default)]
struct ByHand(Mutex<Vec<Job>>);

impl ByHand {
    fn take(&self) -> Vec<Job> {
        core::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Executor for ByHand {
    fn execute(&self, job: Job) -> Result<(), JobRefused<Job>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(job);
        Ok(())
    }
}

fn by_hand() -> (Arc<ByHand>, Arc<dyn Executor>) {
    let hand = Arc::new(ByHand::default());
    (Arc::clone(&hand), hand)
}

/// Makes a job that runs until what is returned is dropped or sent to, and returns when it runs.
pub fn blocking(begun: &Sender<()>) -> (impl FnOnce() -> bool + Send + use<>, Sender<()>) {
    let (end, ends) = channel::<()>();
    let begun = begun.clone();
    let job = move || begun.send(()).is_ok() && ends.recv().is_ok();
    (job, end)
}

fn one_thread() -> Arc<dyn Executor> {
    let config = ThreadPoolConfig {
        max_workers: 1,
        thread_name_prefix: "diskworker".into(),
        ..ThreadPoolConfig::default()
    };
    Arc::new(ThreadPoolExecutor::new(config))
}

#[test]
fn a_job_is_queued_then_done_and_gone_when_its_result_is_taken() {
    let (event_loop, clock) = manual_with(small());
    let (hand, executor) = by_hand();
    clock.advance(Duration::from_secs(1));
    let line = line!() + 1;
    let job = event_loop.run_in_executor_of(&executor, || 7).unwrap();
    let task = event_loop.create_task(job).unwrap();
    clock.advance(Duration::from_secs(2));
    let [row] = jobs(&event_loop)[..] else { panic!("one job") };
    assert_eq!((row.executor, row.state, row.task), (JobExecutor::Other, JobState::Queued, None));
    assert_eq!((row.handed_in.as_nanos(), row.since()), (1_000_000_000, row.handed_in));
    assert_eq!((row.location.line(), row.is_abandoned), (line, false));
    assert!(row.location.file().ends_with("test_snapshot_jobs.rs"));
    assert!(row.name.as_str().ends_with("{{closure}}"), "{:?}", row.name);
    turns(&event_loop, 1);
    let [row] = jobs(&event_loop)[..] else { panic!("one job") };
    assert_eq!(row.task, Some(task.id()), "it is known from the first poll on");
    assert_eq!(tasks(&event_loop)[0].wait, Some(TaskWait::Job(row.number)));
    let expected = format!(
        "job {} of an executor, {}, is queued, for 2s, awaited by {}; created at ",
        row.number,
        row.name.as_str(),
        task.id()
    );
    let lines = job_lines(&event_loop);
    assert!(lines[0].starts_with(&expected), "{lines:?}");
    hand.take().into_iter().for_each(Job::run);
    assert_eq!(jobs(&event_loop)[0].state, JobState::Done, "its task is ready and has not run");
    assert_eq!(event_loop.run_until_complete(task).unwrap(), Ok(7));
    assert_eq!(jobs(&event_loop).len(), 0);
}

#[test]
fn a_job_that_runs_names_its_thread_and_the_one_behind_it_is_queued() {
    let (event_loop, clock) = manual_with(small());
    let (executor, (begun, has_begun)) = (one_thread(), channel());
    let (job, end) = blocking(&begun);
    let first = event_loop.run_in_executor_of(&executor, job).unwrap();
    let second = event_loop.run_in_executor_of(&executor, || 7).unwrap();
    has_begun.recv().unwrap();
    clock.advance(Duration::from_secs(3));
    let [running, queued] = jobs(&event_loop)[..] else { panic!("two jobs") };
    let JobState::InThread { thread, since } = running.state else { panic!("{running:?}") };
    assert_eq!((thread.as_str(), since), ("diskworker-0", None), "the thread can't read a test's clock");
    assert_eq!((queued.state, queued.since()), (JobState::Queued, queued.handed_in));
    assert!(running.number < queued.number);
    let lines = job_lines(&event_loop);
    assert!(lines[0].contains(" runs in thread diskworker-0, for 3s; created at "), "{lines:?}");
    end.send(()).unwrap();
    assert!(event_loop.run_until_complete(first).unwrap());
    assert_eq!(event_loop.run_until_complete(second).unwrap(), 7);
    assert_eq!(jobs(&event_loop).len(), 0);
}

#[test]
fn an_executor_of_ones_own_may_run_a_job_in_a_thread_without_a_name() {
    let event_loop = manual();
    let ((hand, executor), (begun, has_begun)) = (by_hand(), channel());
    let (job, end) = blocking(&begun);
    let job = event_loop.run_in_executor_of(&executor, job).unwrap();
    let running = std::thread::spawn(move || hand.take().into_iter().for_each(Job::run));
    has_begun.recv().unwrap();
    let [row] = jobs(&event_loop)[..] else { panic!("one job") };
    assert!(matches!(row.state, JobState::InThread { thread, since: None } if thread.as_str().is_empty()));
    assert!(job_lines(&event_loop)[0].contains(", runs in a thread, for 0ns; created at "));
    end.send(()).unwrap();
    assert!(event_loop.run_until_complete(job).unwrap());
    running.join().unwrap();
}

#[test]
fn on_the_clock_of_the_system_a_running_job_says_since_when() {
    let event_loop = real();
    let (begun, has_begun) = channel();
    let (job, end) = blocking(&begun);
    let job = event_loop.run_in_executor(job).unwrap();
    has_begun.recv().unwrap();
    let [row] = jobs(&event_loop)[..] else { panic!("one job") };
    let JobState::InThread { thread, since: Some(since) } = row.state else { panic!("{row:?}") };
    assert_eq!((row.executor, thread.as_str()), (JobExecutor::Default, "rondel-worker-0"));
    assert!(row.handed_in <= since && since <= event_loop.time() && row.since() == since);
    end.send(()).unwrap();
    assert!(event_loop.run_until_complete(job).unwrap());
}

#[test]
fn a_job_is_taken_back_with_its_row_and_a_refused_one_has_none() {
    let event_loop = manual();
    let (hand, executor) = by_hand();
    let task = event_loop.create_task(event_loop.run_in_executor_of(&executor, || 7).unwrap()).unwrap();
    drop(event_loop.run_in_executor_of(&executor, || 8).unwrap());
    turns(&event_loop, 1);
    assert_eq!(jobs(&event_loop).len(), 1);
    task.cancel();
    turns(&event_loop, 2);
    assert_eq!(jobs(&event_loop).len(), 0);
    let lost = event_loop.run_in_executor_of(&executor, || 9).unwrap();
    drop(hand.take());
    assert_eq!(jobs(&event_loop)[0].state, JobState::Done);
    event_loop.run_until_complete(lost).unwrap_err();
    let closed = one_thread();
    closed.shutdown();
    event_loop.run_in_executor_of(&closed, || ()).unwrap_err();
    assert_eq!(jobs(&event_loop).len(), 0);
}

#[test]
fn a_job_that_nobody_awaits_is_shown_for_as_long_as_it_takes_a_thread() {
    let event_loop = manual();
    let (executor, (begun, has_begun)) = (one_thread(), channel());
    let (job, end) = blocking(&begun);
    let job = event_loop.run_in_executor_of(&executor, job).unwrap();
    let task = event_loop.create_task(job).unwrap();
    has_begun.recv().unwrap();
    turns(&event_loop, 1);
    task.cancel();
    turns(&event_loop, 2);
    let [row] = jobs(&event_loop)[..] else { panic!("one job") };
    assert!(row.is_abandoned && matches!(row.state, JobState::InThread { .. }) && row.task.is_none());
    assert!(job_lines(&event_loop)[0].contains(", awaited by nobody; created at "));
    end.send(()).unwrap();
    // Behind it in the only thread: it has ended when this one has.
    let next = event_loop.run_in_executor_of(&executor, || 7).unwrap();
    assert_eq!(event_loop.run_until_complete(next).unwrap(), 7);
    assert_eq!(jobs(&event_loop).len(), 0);
}

#[test]
fn a_job_awaited_through_a_combinator_names_the_task_all_the_same() {
    struct Through(core::task::Waker);
    impl std::task::Wake for Through {
        fn wake(self: Arc<Self>) {
            self.0.wake_by_ref();
        }
    }
    let event_loop = manual();
    let (hand, executor) = by_hand();
    let mut job = Box::pin(event_loop.run_in_executor_of(&executor, || 7).unwrap());
    let task = event_loop
        .create_task(core::future::poll_fn(move |cx| {
            let waker = Arc::new(Through(cx.waker().clone())).into();
            job.as_mut().poll(&mut core::task::Context::from_waker(&waker))
        }))
        .unwrap();
    turns(&event_loop, 1);
    let [row] = jobs(&event_loop)[..] else { panic!("one job") };
    assert_eq!(row.task, Some(task.id()));
    assert_eq!(tasks(&event_loop)[0].wait, Some(TaskWait::Job(row.number)));
    hand.take().into_iter().for_each(Job::run);
    assert_eq!(event_loop.run_until_complete(task).unwrap(), Ok(7));
}

#[test]
fn rows_of_jobs_cost_no_allocation() {
    let event_loop = manual();
    let (executor, (begun, has_begun)) = (one_thread(), channel());
    let (job, end) = blocking(&begun);
    let running = event_loop.run_in_executor_of(&executor, job).unwrap();
    has_begun.recv().unwrap();
    let queued: Vec<_> =
        (0..100).map(|n| event_loop.run_in_executor_of(&executor, move || n).unwrap()).collect();
    let mut rows = vec![SnapshotRow::Empty; event_loop.snapshot_len()];
    assert_eq!(counted(|| _ = (event_loop.snapshot_len(), event_loop.snapshot(&mut rows))), 0);
    assert_eq!(jobs(&event_loop).len(), 101);
    drop(queued);
    assert_eq!(jobs(&event_loop).len(), 1);
    end.send(()).unwrap();
    assert!(event_loop.run_until_complete(running).unwrap());
}

fn processes(event_loop: &EventLoop) -> ProcessPoolExecutor {
    let config = ProcessPoolConfig {
        max_workers: 1,
        executable: Some(env!("CARGO_BIN_EXE_worker").into()),
        ..ProcessPoolConfig::default()
    };
    ProcessPoolExecutor::new(event_loop, config)
}

/// Runs the loop until a job is in a process, and returns in which.
fn taken(event_loop: &EventLoop, pool: &ProcessPoolExecutor) -> u32 {
    let queued = pool.queued_jobs();
    event_loop
        .run_until_complete(async {
            while pool.queued_jobs() >= queued {
                event_loop.yield_now().await?;
            }
            Ok::<_, rondel::Error>(())
        })
        .unwrap();
    pool.pids()[0].unsigned_abs()
}

fn jobs_of_a_process_pool_say_in_which_process_they_run() {
    let (event_loop, clock) = manual_with(small());
    // A worker has its time, in spite of the clock that jumps.
    clock.set_autojump_threshold(Duration::from_secs(60));
    let pool = processes(&event_loop);
    let line = line!() + 1;
    let running = pool.submit("block", []).start().unwrap();
    let queued = pool.submit("echo", []).start().unwrap();
    assert!(jobs(&event_loop).iter().all(|row| row.state == JobState::Queued));
    clock.advance(Duration::from_secs(1));
    let pid = taken(&event_loop, &pool);
    clock.advance(Duration::from_secs(2));
    let task = event_loop.create_task(async move { running.await.is_ok() }).unwrap();
    turns(&event_loop, 1);
    let [first, second] = jobs(&event_loop)[..] else { panic!("two jobs") };
    let JobState::InProcess { pid: shown, since } = first.state else { panic!("{first:?}") };
    assert_eq!((shown, since.as_nanos(), first.handed_in.as_nanos()), (pid, 1_000_000_000, 0));
    assert_eq!((first.executor, first.name.as_str()), (JobExecutor::Processes, "block"));
    assert_eq!((first.location.line(), first.task), (line, Some(task.id())));
    assert_eq!((second.state, second.name.as_str(), second.task), (JobState::Queued, "echo", None));
    assert_eq!(tasks(&event_loop)[0].wait, Some(TaskWait::Job(first.number)));
    let lines = job_lines(&event_loop);
    let expected = format!(" runs in process {pid}, for 2s, awaited by {}; created at ", task.id());
    assert!(lines[0].contains(&expected), "{lines:?}");
    drop(queued);
    assert_eq!(jobs(&event_loop).len(), 1);
    pool.kill_workers();
    assert_eq!(jobs(&event_loop)[0].state, JobState::Done);
    assert!(!event_loop.run_until_complete(task).unwrap());
    assert_eq!(jobs(&event_loop).len(), 0);
    event_loop.run_until_complete(pool.shutdown_and_wait()).unwrap();
}

fn a_job_of_a_process_that_nobody_awaits_is_shown_until_its_end() {
    let (event_loop, clock) = manual_with(small());
    clock.set_autojump_threshold(Duration::from_secs(60));
    let pool = processes(&event_loop);
    let running = pool.submit("block", []).start().unwrap();
    taken(&event_loop, &pool);
    drop(running);
    let [row] = jobs(&event_loop)[..] else { panic!("one job") };
    assert!(row.is_abandoned && matches!(row.state, JobState::InProcess { .. }), "{row:?}");
    pool.kill_workers();
    assert_eq!(jobs(&event_loop).len(), 0);
    event_loop.run_until_complete(pool.shutdown_and_wait()).unwrap();
}

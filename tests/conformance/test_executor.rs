//! Jobs in other threads (contract EX).

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use rondel::{Executor, Job, JobError, JobRefusal, JobRefused, ThreadPoolConfig, ThreadPoolExecutor};

use crate::fixture::{alone, manual, quietly, real, turns};

fn pool(max_workers: usize, jobs: usize) -> (Arc<ThreadPoolExecutor>, Arc<dyn Executor>) {
    let config = ThreadPoolConfig { max_workers, jobs, ..ThreadPoolConfig::default() };
    let pool = Arc::new(ThreadPoolExecutor::new(config));
    let executor: Arc<dyn Executor> = Arc::<ThreadPoolExecutor>::clone(&pool);
    (pool, executor)
}

// EX-1, EX-2
#[test]
fn ex1_a_job_runs_in_another_thread_and_its_value_comes_back() {
    let event_loop = real();
    let here = std::thread::current().id();
    let there = event_loop.run_until_complete(async {
        Ok::<_, rondel::Error>(event_loop.run_in_executor(|| std::thread::current().id())?.await?)
    });
    assert_ne!(there.unwrap(), here);
}

// EX-1, E-05
#[test]
fn e05_a_job_that_panics_fails_its_future_and_the_worker_goes_on() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic!("a destructor that panics");
            }
        }
    }
    let event_loop = real();
    let (pool, executor) = pool(1, 4);
    event_loop
        .run_until_complete(async {
            let job = event_loop.run_in_executor_of(&executor, || quietly(|| panic!("no {}", 7)))?;
            assert_eq!(job.await, Err::<(), _>(JobError::Panicked("no 7".into())));
            let job = event_loop.run_in_executor_of(&executor, || quietly(|| std::panic::panic_any(Bomb)))?;
            let error = job.await.unwrap_err();
            assert!(matches!(error, JobError::Panicked(_)), "{error}");
            assert_eq!(event_loop.run_in_executor_of(&executor, || 1)?.await?, 1);
            Ok::<_, rondel::Error>(())
        })
        .unwrap();
    assert_eq!(pool.workers(), 1);
}

// One thread is enough for jobs that follow one another.
#[test]
fn ex5_a_job_for_each_result_needs_no_further_thread() {
    let event_loop = real();
    let (pool, executor) = pool(4, 4);
    for n in 0..1000 {
        let job = event_loop.run_in_executor_of(&executor, move || n).unwrap();
        assert_eq!(event_loop.run_until_complete(job).unwrap(), n);
    }
    assert_eq!(pool.workers(), 1);
}

// EX-5, E-02
#[test]
fn e02_a_job_that_finds_the_queue_full_is_given_back() {
    let event_loop = real();
    let (pool, executor) = pool(1, 1);
    let (release, blocked) = mpsc::channel::<()>();
    let (started, starts) = mpsc::channel();
    let running = event_loop
        .run_in_executor_of(&executor, move || {
            started.send(()).unwrap();
            blocked.recv().unwrap();
        })
        .unwrap();
    starts.recv().unwrap();
    let queued = event_loop.run_in_executor_of(&executor, || 2).unwrap();
    let refused = event_loop.run_in_executor_of(&executor, || 3).unwrap_err();
    assert!(refused.is_full());
    assert_eq!((refused.into_value())(), 3);
    // From the queue's head a cancelled job makes room at once.
    drop(queued);
    assert_eq!(pool.queued_jobs(), 0);
    let queued = event_loop.run_in_executor_of(&executor, || 4).unwrap();
    release.send(()).unwrap();
    event_loop.run_until_complete(running).unwrap();
    assert_eq!(event_loop.run_until_complete(queued).unwrap(), 4);
}

/// Makes a job that waits to be released, tells when it begins, and records the end of what it holds.
struct Blocked {
    release: mpsc::Sender<()>,
    begun: mpsc::Receiver<()>,
    over: mpsc::Receiver<()>,
}

fn blocked() -> (Blocked, impl FnOnce() -> mpsc::Sender<()> + Send + 'static) {
    let (release, released) = mpsc::channel();
    let (begin, begun) = mpsc::channel();
    let (end, over) = mpsc::channel();
    let job = move || {
        begin.send(()).unwrap();
        let _ = released.recv();
        end
    };
    (Blocked { release, begun, over }, job)
}

impl Blocked {
    /// Tells whether job and result are dropped, once they are.
    fn is_over(&self) -> bool {
        self.over.recv().is_err()
    }
}

// EX-2
#[test]
fn ex2_the_default_executor_can_be_set() {
    /// Keeps the jobs for the test to run.
    #[derive(Default)]
    struct ByHand(Mutex<Vec<Job>>, Mutex<Vec<u64>>);

    impl Executor for ByHand {
        fn execute(&self, job: Job) -> Result<(), JobRefused<Job>> {
            self.0.lock().unwrap().push(job);
            Ok(())
        }

        fn forget(&self, job: u64) {
            self.1.lock().unwrap().push(job);
        }
    }

    let event_loop = real();
    let executor = Arc::new(ByHand::default());
    event_loop.set_default_executor(Arc::<ByHand>::clone(&executor));
    let run = event_loop.run_in_executor(|| 7).unwrap();
    let lost = event_loop.run_in_executor(|| 8).unwrap();
    let cancelled = event_loop.run_in_executor(|| 9).unwrap();
    drop(cancelled);
    let jobs: Vec<Job> = core::mem::take(&mut *executor.0.lock().unwrap());
    assert_eq!(*executor.1.lock().unwrap(), [jobs[2].id()]);
    assert!(jobs[0].location().file().ends_with("test_executor.rs"));
    let mut jobs = jobs.into_iter();
    jobs.next().unwrap().run();
    drop(jobs);
    assert_eq!(event_loop.run_until_complete(run).unwrap(), 7);
    assert!(event_loop.run_until_complete(lost).unwrap_err().to_string().contains("dropped the job"));
}

// EX-3
#[test]
fn ex3_cancelling_prevents_a_queued_job_and_drops_its_closure_at_once() {
    let event_loop = real();
    let (pool, executor) = pool(1, 4);
    let (first, job) = blocked();
    let running = event_loop.run_in_executor_of(&executor, job).unwrap();
    first.begun.recv().unwrap();
    let held = Arc::new(());
    let captured = Arc::clone(&held);
    let queued = event_loop.run_in_executor_of(&executor, move || drop(captured)).unwrap();
    let task = event_loop.create_task(queued).unwrap();
    turns(&event_loop, 2);
    task.cancel();
    turns(&event_loop, 2);
    assert!(task.done());
    assert_eq!((Arc::strong_count(&held), pool.queued_jobs()), (1, 0));
    first.release.send(()).unwrap();
    event_loop.run_until_complete(running).unwrap();
}

// EX-3
#[test]
fn ex3_cancelling_never_stops_a_running_job_whose_result_is_dropped() {
    let event_loop = real();
    let (pool, executor) = pool(1, 4);
    let (running, job) = blocked();
    let task = event_loop.create_task(event_loop.run_in_executor_of(&executor, job).unwrap()).unwrap();
    running.begun.recv().unwrap();
    turns(&event_loop, 2);
    task.cancel();
    turns(&event_loop, 2);
    assert!(task.done());
    running.release.send(()).unwrap();
    assert!(running.is_over());
    pool.shutdown_and_wait();
}

// EX-3, EX-4, E-04
#[test]
fn e04_a_job_that_ends_after_the_loop_was_closed_is_dropped_in_silence() {
    let event_loop = real();
    let (first, job) = blocked();
    let (second, other) = blocked();
    let in_task = event_loop.run_in_executor(job).unwrap();
    let in_hand = event_loop.run_in_executor(other).unwrap();
    event_loop.create_task(in_task).unwrap();
    first.begun.recv().unwrap();
    second.begun.recv().unwrap();
    turns(&event_loop, 2);
    // Doesn't wait for either.
    event_loop.close().unwrap();
    first.release.send(()).unwrap();
    assert!(first.is_over());
    drop(event_loop);
    second.release.send(()).unwrap();
    drop(in_hand);
    assert!(second.is_over());
}

// EX-4
#[test]
fn ex4_a_closed_loop_and_a_pool_that_was_shut_down_give_the_job_back() {
    let event_loop = real();
    let (pool, executor) = pool(1, 4);
    let (running, job) = blocked();
    let future = event_loop.run_in_executor_of(&executor, job).unwrap();
    running.begun.recv().unwrap();
    let queued = event_loop.run_in_executor_of(&executor, || 7).unwrap();
    pool.shutdown();
    let refused = event_loop.run_in_executor_of(&executor, || 8).unwrap_err();
    assert!(matches!(refused.reason(), JobRefusal::ShutDown));
    assert!(refused.to_string().contains("shutdown has been called"), "{refused}");
    assert_eq!((refused.into_value())(), 8);
    // What it had taken it runs.
    running.release.send(()).unwrap();
    event_loop.run_until_complete(future).unwrap();
    assert_eq!(event_loop.run_until_complete(queued).unwrap(), 7);
    pool.shutdown_and_wait();
    assert_eq!(pool.workers(), 0);
    event_loop.close().unwrap();
    assert!(matches!(event_loop.run_in_executor(|| ()).unwrap_err().reason(), JobRefusal::Closed));
}

// E-03
#[test]
fn e03_a_job_that_never_returns_is_named_by_the_shutdown_that_gives_up() {
    let event_loop = real();
    let (pool, executor) = pool(1, 4);
    let (stuck, job) = blocked();
    let line = line!() + 1;
    let running = event_loop.run_in_executor_of(&executor, job).unwrap();
    let queued = event_loop.run_in_executor_of(&executor, || ()).unwrap();
    stuck.begun.recv().unwrap();
    let error = pool.shutdown_timeout(Duration::ZERO).unwrap_err();
    assert_eq!((error.running().len(), error.queued()), (1, 1));
    assert_eq!(error.running()[0].location().line(), line);
    assert!(error.running()[0].place().starts_with("thread rondel-pool"), "{error}");
    assert!(error.to_string().contains("test_executor.rs"), "{error}");
    assert!(rondel::Error::from(error).is_timed_out());
    assert_eq!(pool.cancel_queued_jobs(), 1);
    assert!(matches!(
        event_loop.run_until_complete(async { Ok::<_, rondel::Error>(queued.await) }),
        Ok(Err(JobError::Lost))
    ));
    stuck.release.send(()).unwrap();
    event_loop.run_until_complete(running).unwrap();
    pool.shutdown_timeout(Duration::from_secs(3600)).unwrap();
}

// E-06
#[test]
fn e06_the_last_reference_to_a_pool_may_go_on_its_own_worker() {
    let event_loop = real();
    let (pool, executor) = pool(2, 4);
    let (running, job) = blocked();
    let (done, over) = mpsc::channel();
    let inside = Arc::clone(&executor);
    let future = event_loop.run_in_executor_of(&executor, move || {
        let end = job();
        drop(inside);
        done.send(end).unwrap();
    });
    running.begun.recv().unwrap();
    drop((future, executor, pool));
    running.release.send(()).unwrap();
    over.recv().unwrap();
}

// E-06
#[test]
fn e06_a_job_that_waits_for_the_end_of_its_own_pool_does_not_wait_for_itself() {
    let event_loop = real();
    let (pool, executor) = pool(2, 4);
    let jobs: Vec<_> = (0..2)
        .map(|_| {
            let pool = Arc::clone(&pool);
            event_loop.run_in_executor_of(&executor, move || pool.shutdown_and_wait())
        })
        .collect();
    for job in jobs.into_iter().flatten() {
        event_loop.run_until_complete(job).unwrap();
    }
    pool.shutdown_and_wait();
    assert_eq!(pool.workers(), 0);
}

// E-02, EX-5
#[test]
fn e02_jobs_are_refused_in_a_callback_too_and_no_thread_is_too_many() {
    let event_loop = real();
    let (pool, executor) = pool(2, 3);
    let (first, job) = blocked();
    let (second, other) = blocked();
    let running = event_loop.run_in_executor_of(&executor, job).unwrap();
    let also_running = event_loop.run_in_executor_of(&executor, other).unwrap();
    first.begun.recv().unwrap();
    second.begun.recv().unwrap();
    let queued: Vec<_> =
        (0..3).map(|n| event_loop.run_in_executor_of(&executor, move || n).unwrap()).collect();
    let (told, answer) = mpsc::channel();
    let full = Arc::clone(&executor);
    event_loop
        .call_soon(move |event_loop| {
            let refused = event_loop.run_in_executor_of(&full, || 4).unwrap_err();
            told.send((refused.is_full(), (refused.into_value())())).unwrap();
        })
        .unwrap();
    turns(&event_loop, 1);
    assert_eq!(answer.recv().unwrap(), (true, 4));
    assert_eq!(pool.workers(), 2);
    first.release.send(()).unwrap();
    second.release.send(()).unwrap();
    event_loop.run_until_complete(running).unwrap();
    event_loop.run_until_complete(also_running).unwrap();
    for (n, job) in queued.into_iter().enumerate() {
        assert_eq!(event_loop.run_until_complete(job).unwrap(), n);
    }
}

// E-07: the jobs' pool is full, and names are resolved all the same.
#[test]
fn e07_jobs_that_never_end_keep_no_lookup_waiting() {
    let event_loop = real();
    let (pool, executor) = pool(1, 1);
    event_loop.set_default_executor(executor);
    let (stuck, job) = blocked();
    let running = event_loop.run_in_executor(job).unwrap();
    stuck.begun.recv().unwrap();
    let _queued = event_loop.run_in_executor(|| ()).unwrap();
    assert!(event_loop.run_in_executor(|| ()).unwrap_err().is_full());
    event_loop.run_until_complete(event_loop.getaddrinfo("127.1", 80)).unwrap();
    stuck.release.send(()).unwrap();
    event_loop.run_until_complete(running).unwrap();
    assert!(pool.workers() <= 1);
}

// EX-4: asyncio's `shutdown_default_executor`.
#[test]
fn ex4_the_default_executor_ends_without_holding_up_the_loop() {
    let event_loop = real();
    let (running, job) = blocked();
    let first = event_loop.run_in_executor(job).unwrap();
    let queued = event_loop.run_in_executor(|| 7).unwrap();
    running.begun.recv().unwrap();
    let given_up = event_loop.create_task(event_loop.shutdown_default_executor().into_future()).unwrap();
    let ends = event_loop.create_task(event_loop.shutdown_default_executor().into_future()).unwrap();
    turns(&event_loop, 3);
    assert!(!ends.done());
    let refused = event_loop.run_in_executor(|| 8).unwrap_err();
    assert!(matches!(refused.reason(), JobRefusal::ShutDown), "{refused}");
    assert_eq!((refused.into_value())(), 8);
    given_up.cancel();
    turns(&event_loop, 2);
    assert!(event_loop.run_until_complete(given_up).is_err());
    assert!(!ends.done());
    running.release.send(()).unwrap();
    event_loop.run_until_complete(ends).unwrap().unwrap();
    // What was taken was run, and a new executor changes nothing.
    event_loop.run_until_complete(first).unwrap();
    assert_eq!(event_loop.run_until_complete(queued).unwrap(), 7);
    let (_, executor) = pool(1, 1);
    event_loop.set_default_executor(Arc::clone(&executor));
    assert!(matches!(event_loop.run_in_executor(|| ()).unwrap_err().reason(), JobRefusal::ShutDown));
    // One that is passed goes on, and so do names.
    let job = event_loop.run_in_executor_of(&executor, || 9).unwrap();
    assert_eq!(event_loop.run_until_complete(job).unwrap(), 9);
    event_loop.run_until_complete(event_loop.getaddrinfo("localhost", 80)).unwrap();
}

// EX-4
#[test]
fn ex4_a_default_executor_that_was_never_used_is_shut_down_at_once() {
    let event_loop = manual();
    event_loop.run_until_complete(event_loop.shutdown_default_executor()).unwrap();
    assert!(matches!(event_loop.run_in_executor(|| ()).unwrap_err().reason(), JobRefusal::ShutDown));
    event_loop.close().unwrap();
    assert!(matches!(event_loop.run_in_executor(|| ()).unwrap_err().reason(), JobRefusal::Closed));
}

// E-03: the clock is the loop's.
#[test]
fn e03_a_shutdown_of_the_default_executor_that_gives_up_names_the_job() {
    let event_loop = manual();
    let (_, executor) = pool(1, 4);
    event_loop.set_default_executor(executor);
    let (stuck, job) = blocked();
    let line = line!() + 1;
    let running = event_loop.run_in_executor(job).unwrap();
    let queued = event_loop.run_in_executor(|| 7).unwrap();
    stuck.begun.recv().unwrap();
    let before = event_loop.time();
    let limit = Duration::from_secs(300);
    let error =
        event_loop.run_until_complete(event_loop.shutdown_default_executor().timeout(limit)).unwrap_err();
    assert!(error.is_timed_out());
    assert_eq!(event_loop.time() - before, limit);
    let text = error.to_string();
    let place = format!("test_executor.rs:{line}:");
    assert!(text.contains("after 300s") && text.contains(&place) && text.contains("1 more wait"), "{text}");
    stuck.release.send(()).unwrap();
    event_loop.run_until_complete(event_loop.shutdown_default_executor()).unwrap();
    event_loop.run_until_complete(running).unwrap();
    assert_eq!(event_loop.run_until_complete(queued).unwrap(), 7);
}

// E-03
#[test]
fn e03_a_process_with_a_job_that_never_returns_ends_all_the_same() {
    alone("test_executor::e03_a_process_with_a_job_that_never_returns_ends_all_the_same", 128, || {
        let (begin, begun) = mpsc::channel();
        rondel::run(async |event_loop| {
            let job = move || loop {
                let _ = begin.send(());
                std::thread::park();
            };
            let future = event_loop.run_in_executor::<_, ()>(job)?;
            begun.recv().unwrap();
            drop(future);
            Ok(())
        })
        .unwrap();
    });
}

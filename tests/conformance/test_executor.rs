//! Jobs in other threads (contract EX).

use std::sync::{Arc, mpsc};

use rondel::{Executor, JobError, ThreadPoolConfig, ThreadPoolExecutor};

use crate::fixture::{quietly, real};

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

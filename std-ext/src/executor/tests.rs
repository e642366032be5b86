//! The pool on threads that a test starts, or refuses.

use core::time::Duration;
use std::io;
use std::sync::{Arc, Mutex, mpsc};

use crate::executor::{Executor, JobRefusal, ThreadPoolConfig, ThreadPoolExecutor};
use crate::sys::{RealThreads, Threads};
use crate::{ErrorKind, EventLoop, SnapshotRow};

/// Starts so many threads, and refuses further ones as a system without resources does.
#[derive(Default)]
struct Scarce(Mutex<usize>);

impl Threads for Scarce {
    fn start(
        &self,
        name: String,
        stack_bytes: Option<usize>,
        body: Box<dyn FnOnce() + Send>,
    ) -> io::Result<()> {
        let mut left = self.0.lock().unwrap();
        if *left == 0 {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        *left -= 1;
        RealThreads.start(name, stack_bytes, body)
    }
}

fn scarce(threads: usize) -> (&'static Scarce, Arc<ThreadPoolExecutor>, Arc<dyn Executor>) {
    let scarce: &'static Scarce = Box::leak(Box::default());
    *scarce.0.lock().unwrap() = threads;
    let config = ThreadPoolConfig { max_workers: 4, jobs: 4, ..ThreadPoolConfig::default() };
    let pool = Arc::new(ThreadPoolExecutor::on_threads(config, scarce));
    (scarce, Arc::clone(&pool), pool)
}

// E-01
#[test]
fn e01_without_any_thread_the_job_is_given_back_and_later_taken() {
    let event_loop = EventLoop::new().unwrap();
    let (threads, pool, executor) = scarce(0);
    let refused = event_loop.run_in_executor_of(&executor, || 7).unwrap_err();
    assert!(matches!(refused.reason(), JobRefusal::NoThread(_)), "{refused}");
    let job = refused.into_value();
    assert_eq!((pool.workers(), pool.queued_jobs()), (0, 0));
    *threads.0.lock().unwrap() = 1;
    let future = event_loop.run_in_executor_of(&executor, job).unwrap();
    assert_eq!(event_loop.run_until_complete(future).unwrap(), 7);
    let error = crate::Error::from(event_loop.run_in_executor_of(&scarce(0).2, || ()).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Io);
}

// E-01
#[test]
fn e01_where_a_further_thread_is_refused_an_existing_one_runs_the_job() {
    let event_loop = EventLoop::new().unwrap();
    let (_, pool, executor) = scarce(1);
    let (release, blocked) = mpsc::channel::<()>();
    let first = event_loop.run_in_executor_of(&executor, move || blocked.recv().is_ok()).unwrap();
    let second = event_loop.run_in_executor_of(&executor, || 7).unwrap();
    assert_eq!(pool.workers(), 1);
    release.send(()).unwrap();
    assert_eq!(event_loop.run_until_complete(second).unwrap(), 7);
    assert!(event_loop.run_until_complete(first).unwrap());
}

// E-01: refused by the system itself.
#[test]
fn e01_a_stack_that_the_system_refuses_is_a_typed_error() {
    let event_loop = EventLoop::new().unwrap();
    let config = ThreadPoolConfig { stack_bytes: Some(1 << 60), ..ThreadPoolConfig::default() };
    let executor: Arc<dyn Executor> = Arc::new(ThreadPoolExecutor::new(config));
    let refused = event_loop.run_in_executor_of(&executor, || ()).unwrap_err();
    assert!(matches!(refused.reason(), JobRefusal::NoThread(_)), "{refused}");
}

#[test]
fn a_worker_without_a_job_ends_after_its_time_and_another_comes() {
    let event_loop = EventLoop::new().unwrap();
    let config = ThreadPoolConfig { idle_timeout: Duration::ZERO, ..ThreadPoolConfig::default() };
    let pool = Arc::new(ThreadPoolExecutor::new(config));
    let executor: Arc<dyn Executor> = Arc::<ThreadPoolExecutor>::clone(&pool);
    for _ in 0..20 {
        let future = event_loop.run_in_executor_of(&executor, || 7).unwrap();
        assert_eq!(event_loop.run_until_complete(future).unwrap(), 7);
    }
    pool.shutdown_and_wait();
    assert_eq!(pool.workers(), 0);
}

// C-10
#[test]
fn c10_jobs_that_nobody_awaits_leave_no_entries_behind() {
    let event_loop = EventLoop::new().unwrap();
    let config = ThreadPoolConfig { max_workers: 1, ..ThreadPoolConfig::default() };
    let executor: Arc<dyn Executor> = Arc::new(ThreadPoolExecutor::new(config));
    let (begun, has_begun) = mpsc::channel();
    for _ in 0..100 {
        let (release, blocked) = mpsc::channel::<()>();
        let begun = begun.clone();
        let job = move || begun.send(()).is_ok() && blocked.recv().is_ok();
        let job = event_loop.run_in_executor_of(&executor, job).unwrap();
        has_begun.recv().unwrap();
        drop(job);
        assert!(event_loop.inner.jobs.len() <= 2, "this one, and the last, which may just have ended");
        release.send(()).unwrap();
    }
    // Begins when the last has ended.
    let last = event_loop.run_in_executor_of(&executor, || ()).unwrap();
    event_loop.run_until_complete(last).unwrap();
    let mut rows = vec![SnapshotRow::Empty; event_loop.snapshot_len()];
    assert!(event_loop.snapshot(&mut rows).rows().is_empty());
}

//! How long a job is on its way: from the loop to a thread that waits for jobs, and its result back.

#![allow(unsafe_code, reason = "the bare doorbell is libc's")]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rondel::{EventLoop, ProcessPoolConfig, ProcessPoolExecutor, WorkerFunction};
use tokio::runtime::Builder;

use crate::case::{Case, ns_each};
use crate::python;

pub(crate) fn round_trip(case: &mut Case<'_>) {
    case.name("job -> thread -> result");
    let count = case.scaled(2_000);
    case.add("bare condvar, eventfd, mio", || bare(count));
    case.add("tokio spawn_blocking", || tokio_blocking(count));
    case.try_add("asyncio run_in_executor", || python::rounds("asyncio", "jobs", count));
    case.try_add("uvloop run_in_executor", || python::rounds("uvloop", "jobs", count));
    case.add("rondel", || jobs(count));
}

/// Are the functions of the worker processes.
pub(crate) const FUNCTIONS: &[(&str, WorkerFunction)] = &[("bytes", |bytes| Ok(bytes.into()))];

pub(crate) fn process_round_trip(case: &mut Case<'_>) {
    case.name("100 bytes -> process -> 100 bytes");
    let count = case.scaled(1_000);
    case.try_add("asyncio ProcessPoolExecutor", || python::rounds("asyncio", "process_jobs", count));
    case.try_add("uvloop ProcessPoolExecutor", || python::rounds("uvloop", "process_jobs", count));
    case.add("rondel", || process_jobs(count));
}

/// A place for one job, and what tells that there is one.
#[derive(Default)]
struct Desk {
    job: Mutex<Job>,
    wanted: Condvar,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum Job {
    #[default]
    None,
    Some,
    Last,
}

/// Ends the thread.
struct Clerk(Arc<Desk>);

impl Drop for Clerk {
    fn drop(&mut self) {
        *self.0.job.lock().expect("no panic") = Job::Last;
        self.0.wanted.notify_one();
    }
}

fn bare(count: usize) -> impl FnMut() -> f64 {
    // SAFETY: the descriptor is nobody else's.
    let bell = unsafe { OwnedFd::from_raw_fd(libc::eventfd(0, libc::EFD_NONBLOCK)) };
    let number = bell.as_raw_fd();
    let mut poll = Poll::new().expect("opens");
    poll.registry().register(&mut SourceFd(&number), Token(0), Interest::READABLE).expect("is watched");
    let desk = Arc::new(Desk::default());
    let clerk = Clerk(Arc::clone(&desk));
    std::thread::spawn(move || {
        let _open = bell;
        loop {
            let waits = |job: &mut Job| *job == Job::None;
            let job = desk.job.lock().expect("no panic");
            let mut job = desk.wanted.wait_while(job, waits).expect("no panic");
            if *job == Job::Last {
                return;
            }
            *job = Job::None;
            drop(job);
            let one = 1_u64;
            // SAFETY: 8 bytes, good for reading.
            unsafe { libc::write(number, (&raw const one).cast(), 8) };
        }
    });
    let mut events = Events::with_capacity(16);
    move || {
        ns_each(count, || {
            for _ in 0..count {
                *clerk.0.job.lock().expect("no panic") = Job::Some;
                clerk.0.wanted.notify_one();
                poll.poll(&mut events, None).expect("waits");
                assert!(!events.is_empty());
            }
        })
    }
}

fn tokio_blocking(count: usize) -> impl FnMut() -> f64 {
    let runtime = Builder::new_current_thread().enable_all().build().expect("opens");
    move || {
        ns_each(count, || {
            runtime.block_on(async {
                for job in 0..count {
                    assert_eq!(tokio::task::spawn_blocking(move || job).await.expect("ends"), job);
                }
            });
        })
    }
}

fn jobs(count: usize) -> impl FnMut() -> f64 {
    let event_loop = EventLoop::new().expect("opens");
    move || {
        ns_each(count, || {
            let all = async {
                for job in 0..count {
                    assert_eq!(event_loop.run_in_executor(move || job)?.await?, job);
                }
                Ok::<(), rondel::Error>(())
            };
            event_loop.run_until_complete(all).expect("they end");
        })
    }
}

fn process_jobs(count: usize) -> impl FnMut() -> f64 {
    let event_loop = EventLoop::new().expect("opens");
    let config = ProcessPoolConfig { max_workers: 1, ..ProcessPoolConfig::default() };
    let pool = ProcessPoolExecutor::new(&event_loop, config);
    move || {
        ns_each(count, || {
            let all = async {
                for _ in 0..count {
                    assert_eq!(pool.submit("bytes", [7; 100]).await?, [7; 100]);
                }
                Ok::<(), rondel::Error>(())
            };
            event_loop.run_until_complete(all).expect("they end");
        })
    }
}

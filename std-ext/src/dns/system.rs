//! The system's resolver, in threads of its own.

use core::panic::Location;
use std::sync::Arc;

use crate::dns::{AddrInfo, NameInfo, NameInfoFlags, Query};
use crate::executor::{Executor, JobFuture, ThreadPoolConfig, ThreadPoolExecutor};
use crate::snapshot::JobExecutor;
use crate::sys::names;
use crate::{EventLoopHandle, Result};

/// Asks the system for the addresses of a host.
pub(super) async fn getaddrinfo(event_loop: &EventLoopHandle, query: Query) -> Result<Vec<AddrInfo>> {
    let lane = lane(event_loop);
    let (location, ask) = (query.hints.location, move || names::getaddrinfo(&query));
    let answer = JobFuture::start(event_loop, &lane, JobExecutor::Lookups, ask, location)?;
    Ok(answer.await??)
}

/// Asks the system for the names of an address.
pub(super) async fn getnameinfo(
    event_loop: &EventLoopHandle,
    addr: core::net::SocketAddr,
    flags: NameInfoFlags,
    location: &'static Location<'static>,
) -> Result<NameInfo> {
    let lane = lane(event_loop);
    let ask = move || names::getnameinfo(addr, flags);
    let answer = JobFuture::start(event_loop, &lane, JobExecutor::Lookups, ask, location)?;
    let (host, service) = answer.await??;
    Ok(NameInfo { host, service })
}

/// Returns the threads that look up names: a lane of their own, so that a resolver which doesn't
/// answer keeps no other job waiting, nor the other way round (FAULTS E-07).
fn lane(event_loop: &EventLoopHandle) -> Arc<dyn Executor> {
    let lookups = &event_loop.inner.lookups;
    let mut lane = lookups.lane.borrow_mut();
    let made = lane.get_or_insert_with(|| {
        let config = ThreadPoolConfig {
            max_workers: lookups.threads,
            jobs: lookups.limit,
            thread_name_prefix: "rondel-lookup".into(),
            ..ThreadPoolConfig::default()
        };
        Arc::new(ThreadPoolExecutor::on_threads(config, event_loop.inner.kernel.threads().threads()))
    });
    Arc::clone(made)
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::io;
    use std::sync::Mutex;

    use super::*;
    use crate::sys::Threads;
    use crate::{Config, EventLoop, SnapshotRow, TaskWait};

    /// Starts threads that do nothing: a resolver that never answers.
    #[derive(Default)]
    struct Silent(Mutex<Vec<Box<dyn FnOnce() + Send>>>);

    impl Threads for Silent {
        fn start(&self, _: String, _: Option<usize>, body: Box<dyn FnOnce() + Send>) -> io::Result<()> {
            self.0.lock().unwrap().push(body);
            Ok(())
        }
    }

    /// Makes a loop whose look-ups have two threads and room for three more, and are never answered.
    fn silent() -> (EventLoop, &'static Silent, Arc<ThreadPoolExecutor>) {
        let (event_loop, _) = EventLoop::with_manual_clock(Config::default()).unwrap();
        let threads: &'static Silent = Box::leak(Box::default());
        let config = ThreadPoolConfig { max_workers: 2, jobs: 3, ..ThreadPoolConfig::default() };
        let pool = Arc::new(ThreadPoolExecutor::on_threads(config, threads));
        *event_loop.inner.lookups.lane.borrow_mut() = Some(Arc::<ThreadPoolExecutor>::clone(&pool));
        (event_loop, threads, pool)
    }

    // E-07, EX-5
    #[test]
    fn e07_lookups_without_an_answer_take_no_thread_of_other_jobs() {
        let (event_loop, threads, pool) = silent();
        let lookup = || event_loop.getaddrinfo("host.example", 80).into_future();
        let waiting: Vec<_> = (0..3).map(|_| event_loop.create_task(lookup()).unwrap()).collect();
        // One too many is told so.
        assert!(event_loop.run_until_complete(lookup()).unwrap_err().is_full());
        assert_eq!(threads.0.lock().unwrap().len(), 2);
        let mut rows = vec![SnapshotRow::Empty; event_loop.snapshot_len()];
        let snapshot = event_loop.snapshot(&mut rows);
        let is_lookup =
            |row: &&SnapshotRow| matches!(row, SnapshotRow::Task(row) if row.wait == Some(TaskWait::Lookup));
        assert_eq!(snapshot.rows().iter().filter(is_lookup).count(), 3);
        let is_job =
            |row: &&SnapshotRow| matches!(row, SnapshotRow::Job(row) if row.executor == JobExecutor::Lookups);
        assert_eq!(snapshot.rows().iter().filter(is_job).count(), 3);
        // Other jobs run, and addresses need no resolver.
        let job = event_loop.run_in_executor(|| 7).unwrap();
        assert_eq!(event_loop.run_until_complete(job).unwrap(), 7);
        event_loop.run_until_complete(event_loop.getaddrinfo("127.0.0.1", 80)).unwrap();
        // The place of one that nobody waits for is free at once.
        waiting[1].cancel();
        event_loop.run_until_complete(event_loop.yield_now()).unwrap();
        event_loop.run_until_complete(event_loop.yield_now()).unwrap();
        assert!(waiting[1].done());
        assert_eq!(pool.queued_jobs(), 2);
    }

    // E-07
    #[test]
    fn e07_a_lookup_may_be_given_a_time_of_its_own() {
        let (event_loop, _, pool) = silent();
        let lookup = event_loop.getaddrinfo("host.example", 80);
        let error = event_loop.run_until_complete(event_loop.timeout(Duration::from_secs(5), lookup));
        assert!(error.unwrap_err().is_timed_out());
        assert_eq!(pool.queued_jobs(), 0);
    }

    // DN-4: what runs then finds that nobody waits.
    #[test]
    fn dn4_an_answer_after_the_close_is_dropped() {
        let (event_loop, threads, pool) = silent();
        for _ in 0..2 {
            event_loop.create_task(event_loop.getaddrinfo("localhost", 80).into_future()).unwrap();
        }
        event_loop.run_until_complete(event_loop.yield_now()).unwrap();
        drop(event_loop);
        assert_eq!(pool.queued_jobs(), 0);
        pool.shutdown();
        for body in core::mem::take(&mut *threads.0.lock().unwrap()) {
            body();
        }
        assert_eq!(pool.workers(), 0);
    }
}

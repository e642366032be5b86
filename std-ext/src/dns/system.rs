//! The system's resolver, in threads of its own.

use std::sync::Arc;

use crate::dns::{AddrInfo, NameInfo, NameInfoFlags, Query};
use crate::executor::{Executor, JobFuture, ThreadPoolConfig, ThreadPoolExecutor};
use crate::sys::names;
use crate::{EventLoopHandle, Result};

/// Asks the system for the addresses of a host.
pub(super) async fn getaddrinfo(event_loop: &EventLoopHandle, query: Query) -> Result<Vec<AddrInfo>> {
    let lane = lane(event_loop);
    let answer = JobFuture::start(event_loop, &lane, move || names::getaddrinfo(&query))?;
    Ok(answer.await??)
}

/// Asks the system for the names of an address.
pub(super) async fn getnameinfo(
    event_loop: &EventLoopHandle,
    addr: core::net::SocketAddr,
    flags: NameInfoFlags,
) -> Result<NameInfo> {
    let lane = lane(event_loop);
    let answer = JobFuture::start(event_loop, &lane, move || names::getnameinfo(addr, flags))?;
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
        Arc::new(ThreadPoolExecutor::on_threads(config, event_loop.inner.kernel.threads()))
    });
    Arc::clone(made)
}

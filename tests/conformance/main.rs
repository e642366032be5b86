//! Puts `rondel` to the test against asyncio's contract, in modules named after
//! CPython's `test_asyncio`.
#![allow(missing_docs, reason = "tests are sentences; nobody imports them")]
#![allow(unreachable_pub, reason = "the modules of one test binary share their items")]
#![allow(unsafe_code, reason = "the allocator counts, and descriptors are borrowed by number")]
#![allow(clippy::std_instead_of_core, reason = "tests have std")]

mod fixture;
mod peer;
mod pipe_fixture;
mod probe;
mod protocols;
mod tls_fixture;

mod test_base_events;
mod test_connections;
mod test_datagrams;
mod test_debug;
mod test_dns;
mod test_dns_in_loop;
mod test_embedding;
mod test_events;
mod test_exception_contexts;
mod test_exceptions;
mod test_executor;
mod test_futures;
mod test_interop;
mod test_metrics;
mod test_orphans;
mod test_pipes;
mod test_process_pool;
mod test_selector_events;
mod test_sendfile;
mod test_servers;
mod test_shutdown;
mod test_signals;
mod test_sites;
mod test_snapshot;
mod test_snapshot_jobs;
mod test_snapshot_waits;
mod test_sock;
mod test_standard_streams;
mod test_streams;
mod test_subprocess;
mod test_subprocess_faults;
mod test_subprocess_pipes;
mod test_subprocess_protocols;
mod test_supervision;
mod test_tasks;
mod test_threadsafe;
mod test_tls;
mod test_tls_config;
mod test_tls_ends;
mod test_tls_interop;
mod test_tls_peers;
mod test_tls_revocation;
mod test_tls_transports;
mod test_transports;
mod test_unix;
mod test_watchdog;

mod allocation;
mod bridges;
mod capacity;
mod faults;
mod forbidden;
mod injected;
mod kernels;
mod stress;

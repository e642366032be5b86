//! What the resolver in the loop knows.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::path::PathBuf;

/// What [`Resolver::in_loop`](crate::Resolver::in_loop) knows.
#[derive(Clone, Debug)]
pub struct InLoopConfig {
    /// Says which servers are asked, and how.
    pub name_servers: NameServerSource,
    /// Is the file of hosts; `None` for no file.
    pub hosts: Option<PathBuf>,
    /// Is the file of services; `None` for no file.
    pub services: Option<PathBuf>,
    /// Is the most answers that are kept for as long as their server allows; 0
    /// is no cache.
    pub cache_entries: usize,
}

impl Default for InLoopConfig {
    /// The system's files, and no cache.
    fn default() -> Self {
        Self {
            name_servers: NameServerSource::File("/etc/resolv.conf".into()),
            hosts: Some("/etc/hosts".into()),
            services: Some("/etc/services".into()),
            cache_entries: 0,
        }
    }
}

/// Where the servers are written.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum NameServerSource {
    /// In a file such as `/etc/resolv.conf`.
    File(PathBuf),
    /// Here.
    These(NameServers),
}

/// Servers, and how they are asked
/// ([resolv.conf(5)](https://man7.org/linux/man-pages/man5/resolv.conf.5.html)).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NameServers {
    /// Are the servers, in the order in which they are asked.
    pub servers: Vec<SocketAddr>,
    /// Are the domains in which a short name is looked for.
    pub search: Vec<String>,
    /// Is how many dots a name has that is looked for as it is before the search
    /// list.
    pub ndots: usize,
    /// Is how long one server has to answer.
    pub timeout: Duration,
    /// Is how often each server is asked.
    pub attempts: u32,
    /// Tells whether each look-up begins with the next server.
    pub rotate: bool,
}

impl Default for NameServers {
    /// A server on this machine, as an empty file means.
    fn default() -> Self {
        Self {
            servers: vec![(Ipv4Addr::LOCALHOST, 53).into()],
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
            rotate: false,
        }
    }
}

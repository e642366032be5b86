//! Peers that are not rondel: asyncio itself, by `peer.py`, and socat.
//!
//! Each conversation is held over TCP, a UNIX socket and an abstract name, with streams, protocols
//! and plain sockets on either side. A peer is a process of its own that ends by itself.

mod asyncio_clients;
mod asyncio_datagrams;
mod asyncio_servers;
mod digest;
mod place;
mod servers;
mod socat;

use std::path::PathBuf;

use rondel::{Config, EventLoop, Result, Server};

use crate::fixture::small;
use crate::peer::PATIENCE;

/// Is how many bytes a large conversation is about.
const MEGABYTES: usize = 5 << 20;

/// Is how many connections there are at once with each server.
const CROWD: usize = 150;

/// Is room for all of the crowd: a UNIX socket without any refuses its clients.
const BACKLOG: u32 = 512;

/// A directory for sockets, which goes with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rondel-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("a path in UTF-8").to_owned()
    }

    /// Returns an abstract name that no other test has.
    fn name(&self, name: &str) -> String {
        format!("\0{}", self.path(name))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn roomy() -> EventLoop {
    let config = Config { descriptors: 1024, tasks: 1024, futures: 1024, calls: 8192, ..small() };
    EventLoop::with_config(config).expect("a loop")
}

/// Holds a conversation to its end, which must come while the peers live.
fn hold(event_loop: &EventLoop, conversation: impl core::future::Future<Output = Result<()>>) {
    let ended = event_loop.run_until_complete(event_loop.timeout(2 * PATIENCE, conversation));
    ended.expect("an end of the conversation").expect("a conversation");
}

/// How the other side spells the address of a server.
fn spelled(server: &Server) -> String {
    let addr = &server.sockets()[0];
    match addr.as_unix() {
        None => format!("tcp:{addr}"),
        Some(addr) => match addr.as_abstract_name() {
            Some(name) => format!("unix:@{}", String::from_utf8_lossy(name)),
            None => format!("unix:{}", addr.as_path().expect("a path").display()),
        },
    }
}

//! Who is compared: each sends back what it receives, its own way.

mod epoll;
#[cfg(feature = "libuv")]
mod libuv;
mod rondel;
mod smol;
mod tokio;
#[cfg(feature = "libuv")]
mod uv;

use crate::socket::Socket;

/// Is the buffer of each connection, for those that have one.
pub(crate) const BUFFER: usize = 64 * 1024;

pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) serve: Serve,
    /// Tells that it serves datagrams, too.
    pub(crate) has_datagrams: bool,
    /// Tells that all of its memory is from Rust's allocator.
    pub(crate) has_rust_memory: bool,
}

/// Serves a socket with buffers of a size, for ever; calls the function when it
/// is ready.
pub(crate) type ServeSocket = fn(Socket, usize, &dyn Fn()) -> Result<(), String>;

#[derive(Clone, Copy)]
pub(crate) enum Serve {
    Here(ServeSocket),
    /// By [`PYTHON`].
    Python,
    #[cfg_attr(feature = "libuv", allow(dead_code, reason = "all are there"))]
    Absent(&'static str),
}

pub(crate) const PYTHON: &str = include_str!("python.py");

#[cfg(feature = "libuv")]
const LIBUV: Serve = Serve::Here(libuv::serve);
#[cfg(not(feature = "libuv"))]
const LIBUV: Serve = Serve::Absent("built without the feature libuv");

/// Is what all others are compared with.
pub(crate) const REFERENCE: &str = "epoll";

pub(crate) const PEERS: &[Peer] = &[
    Peer { name: REFERENCE, serve: Serve::Here(epoll::serve), has_datagrams: true, has_rust_memory: true },
    Peer {
        name: "rondel",
        serve: Serve::Here(rondel::serve_protocols),
        has_datagrams: true,
        has_rust_memory: true,
    },
    Peer {
        name: "rondel-streams",
        serve: Serve::Here(rondel::serve_streams),
        has_datagrams: false,
        has_rust_memory: true,
    },
    Peer { name: "libuv", serve: LIBUV, has_datagrams: false, has_rust_memory: false },
    Peer { name: "tokio", serve: Serve::Here(tokio::serve), has_datagrams: true, has_rust_memory: true },
    Peer { name: "smol", serve: Serve::Here(smol::serve), has_datagrams: false, has_rust_memory: true },
    Peer { name: "uvloop", serve: Serve::Python, has_datagrams: true, has_rust_memory: false },
    Peer { name: "asyncio", serve: Serve::Python, has_datagrams: true, has_rust_memory: false },
];

pub(crate) fn find(name: &str) -> Result<&'static Peer, String> {
    PEERS.iter().find(|peer| peer.name == name).ok_or_else(|| format!("no peer {name}"))
}

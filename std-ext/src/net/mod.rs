//! Connections and servers.

pub(crate) mod address;
mod address_error;
mod adopt;

pub(crate) mod options;

pub(crate) mod connection;
pub(crate) mod finally;
pub(crate) mod flow;
pub(crate) mod read_buffer;
pub(crate) mod readiness;

pub(crate) mod client;
pub(crate) mod connect;

mod acceptor;
pub(crate) mod listener;
pub(crate) mod server;
pub(crate) mod unix;

pub(crate) mod datagram;

pub(crate) mod to_addrs;

//! Connections and servers.

pub(crate) mod connection;

pub(crate) mod server;

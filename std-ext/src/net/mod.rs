//! Connections and servers.

pub(crate) mod address;

pub(crate) mod connection;

pub(crate) mod server;

pub(crate) mod to_addrs;

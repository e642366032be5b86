//! Datagram endpoints: UDP, and UNIX datagrams.

pub(crate) mod protocol;
pub(crate) mod transport;

pub(crate) mod create;
pub(crate) mod endpoint;
pub(crate) mod opened;

pub(crate) mod buffers;
pub(crate) mod queue;

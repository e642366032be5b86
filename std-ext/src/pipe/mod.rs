//! Pipes and devices: what is read or written as a file, in one direction.

pub(crate) mod connect;
pub(crate) mod protocol;
pub(crate) mod transport;

pub(crate) mod end;
mod standard;
pub(crate) mod terminal;

//! What a resolver answers.

use core::net::SocketAddr;

use crate::dns::{IpFamily, SocketType};

/// An address, and the socket for it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct AddrInfo {
    /// Is what kind of socket it is for.
    pub kind: SocketType,
    /// Is the protocol's number: 6 for TCP, 17 for UDP.
    pub protocol: i32,
    /// Is the host's full name, in the first answer, if it was asked for.
    pub canonical_name: Option<String>,
    /// Is the address, with its port, and the zone of a link-local one.
    pub addr: SocketAddr,
}

impl AddrInfo {
    /// Returns the family of the address.
    #[must_use]
    pub fn family(&self) -> IpFamily {
        match self.addr {
            SocketAddr::V4(_) => IpFamily::V4,
            SocketAddr::V6(_) => IpFamily::V6,
        }
    }
}

/// The names of an address.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct NameInfo {
    /// Is the name of the host, or its address as text.
    pub host: String,
    /// Is the name of the service, or its port as text.
    pub service: String,
}

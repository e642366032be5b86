//! What a socket is: whose addresses it has, and what passes through it.

use core::net::SocketAddr;

use crate::net::address::Address;

/// The family of a socket's addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Family {
    Ipv4,
    Ipv6,
    Unix,
}

impl Family {
    /// Returns the family that `addr` belongs to.
    pub(crate) const fn of(addr: &Address) -> Self {
        match addr {
            Address::Inet(SocketAddr::V4(_)) => Self::Ipv4,
            Address::Inet(SocketAddr::V6(_)) => Self::Ipv6,
            Address::Unix(_) => Self::Unix,
        }
    }

    pub(super) const fn number(self) -> i32 {
        match self {
            Self::Ipv4 => libc::AF_INET,
            Self::Ipv6 => libc::AF_INET6,
            Self::Unix => libc::AF_UNIX,
        }
    }
}

/// What passes through a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SocketKind {
    Stream,
    Datagram,
}

impl SocketKind {
    pub(super) const fn number(self) -> i32 {
        match self {
            Self::Stream => libc::SOCK_STREAM,
            Self::Datagram => libc::SOCK_DGRAM,
        }
    }
}

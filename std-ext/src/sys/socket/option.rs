//! The options of a socket.

/// An option that is a number; a switch is 0 or 1.
#[allow(dead_code, reason = "the rooms of the network use the rest")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SocketOption {
    /// Read only: its number, 0 where a family has one alone.
    Protocol,
    ReuseAddress,
    ReusePort,
    Broadcast,
    KeepAlive,
    /// In bytes. The system keeps twice as many.
    ReceiveBuffer,
    /// In bytes. The system keeps twice as many.
    SendBuffer,
    V6Only,
    NoDelay,
    /// In seconds, until the first probe.
    KeepIdle,
    /// In seconds, between two probes.
    KeepInterval,
    /// How many probes.
    KeepCount,
    /// In milliseconds.
    UserTimeout,
    /// How many routers multicast datagrams pass, IPv4.
    MulticastTtl4,
    /// How many routers multicast datagrams pass, IPv6.
    MulticastTtl6,
    /// This machine receives its own multicast datagrams, IPv4.
    MulticastLoop4,
    /// This machine receives its own multicast datagrams, IPv6.
    MulticastLoop6,
}

impl SocketOption {
    pub(super) const fn level_and_name(self) -> (i32, i32) {
        match self {
            Self::Protocol => (libc::SOL_SOCKET, libc::SO_PROTOCOL),
            Self::ReuseAddress => (libc::SOL_SOCKET, libc::SO_REUSEADDR),
            Self::ReusePort => (libc::SOL_SOCKET, libc::SO_REUSEPORT),
            Self::Broadcast => (libc::SOL_SOCKET, libc::SO_BROADCAST),
            Self::KeepAlive => (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
            Self::ReceiveBuffer => (libc::SOL_SOCKET, libc::SO_RCVBUF),
            Self::SendBuffer => (libc::SOL_SOCKET, libc::SO_SNDBUF),
            Self::V6Only => (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY),
            Self::NoDelay => (libc::IPPROTO_TCP, libc::TCP_NODELAY),
            Self::KeepIdle => (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE),
            Self::KeepInterval => (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL),
            Self::KeepCount => (libc::IPPROTO_TCP, libc::TCP_KEEPCNT),
            Self::UserTimeout => (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT),
            Self::MulticastTtl4 => (libc::IPPROTO_IP, libc::IP_MULTICAST_TTL),
            Self::MulticastTtl6 => (libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_HOPS),
            Self::MulticastLoop4 => (libc::IPPROTO_IP, libc::IP_MULTICAST_LOOP),
            Self::MulticastLoop6 => (libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_LOOP),
        }
    }
}

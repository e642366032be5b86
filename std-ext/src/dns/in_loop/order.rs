//! Which address to try first (RFC 6724, the rules that need no more than a look at the routes).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::EventLoopHandle;
use crate::net::address::Address;
use crate::sys::{Family, SocketKind};

/// Puts addresses that can be reached first (rule 1), and then by precedence (rule 6); otherwise the
/// server's order stays (rule 10).
pub(super) fn sort(event_loop: &EventLoopHandle, addrs: &mut [IpAddr]) {
    if addrs.len() > 1 {
        addrs.sort_by_cached_key(|&ip| (!has_route(event_loop, ip), core::cmp::Reverse(precedence(ip))));
    }
}

/// Tells whether this machine has an address of a family; as in musl, by connecting to its own.
pub(super) fn has_family(event_loop: &EventLoopHandle, is_v6: bool) -> bool {
    let own: IpAddr = if is_v6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
    has_route(event_loop, own)
}

/// Connects a UDP socket, which sends nothing and tells whether there is a way.
fn has_route(event_loop: &EventLoopHandle, ip: IpAddr) -> bool {
    let kernel = &event_loop.inner.kernel;
    let addr = Address::Inet((ip, 65_535).into());
    let Ok(fd) = kernel.socket(Family::of(&addr), SocketKind::Datagram, 0) else { return false };
    let connected = kernel.connect(fd, &addr);
    kernel.close(fd);
    connected.is_ok()
}

/// Returns the precedence of RFC 6724, 2.1.
fn precedence(ip: IpAddr) -> u8 {
    let ip = match ip {
        IpAddr::V4(_) => return 35,
        IpAddr::V6(ip) => ip,
    };
    match ip.segments() {
        _ if ip.is_loopback() => 50,
        [0, 0, 0, 0, 0, 0xffff, ..] => 35,
        [0x2002, ..] => 30,
        [0x2001, 0, ..] => 5,
        [first, ..] if first & 0xfe00 == 0xfc00 => 3,
        [0, 0, 0, 0, 0, 0, ..] | [0x3ffe, ..] => 1,
        [first, ..] if first & 0xffc0 == 0xfec0 => 1,
        _ => 40,
    }
}

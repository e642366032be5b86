//! Addresses that need no resolver (contract DN-2).

use core::net::{IpAddr, SocketAddr};

use crate::dns::{AddrInfo, AddrInfoFlags, EaiError, Hints, IpFamily, Query, Service, SocketType};

const TCP: i32 = 6;
const UDP: i32 = 17;

/// Answers a query for a literal address without a zone, with a numeric port or none, as the system
/// would; `None` for any other.
pub(crate) fn answer(query: &Query) -> Option<Result<Vec<AddrInfo>, EaiError>> {
    let host = query.host.as_deref()?;
    let ip: IpAddr = host.parse().ok()?;
    let port = match query.service {
        Service::None => 0,
        Service::Port(port) => port,
        Service::Name(_) => return None,
    };
    let sockets = sockets(&query.hints)?;
    let ip = match in_family(ip, &query.hints) {
        Ok(ip) => ip,
        Err(error) => return Some(Err(error)),
    };
    Some(Ok(expand(&[ip], port, sockets, query.hints.flags, host)))
}

/// Returns the kinds of sockets that the hints ask for, each with its protocol; `None` for odd ones,
/// about which the system knows more.
pub(crate) fn sockets(hints: &Hints) -> Option<&'static [(SocketType, i32)]> {
    use SocketType::{Datagram, Raw, Stream};
    Some(match (hints.kind, hints.protocol) {
        (None, 0) => &[(Stream, TCP), (Datagram, UDP), (Raw, 0)],
        (Some(Stream) | None, TCP) | (Some(Stream), 0) => &[(Stream, TCP)],
        (Some(Datagram) | None, UDP) | (Some(Datagram), 0) => &[(Datagram, UDP)],
        _ => return None,
    })
}

/// Brings an address into the family that was asked for.
pub(crate) fn in_family(ip: IpAddr, hints: &Hints) -> Result<IpAddr, EaiError> {
    match (hints.family, ip) {
        (None, ip) | (Some(IpFamily::V4), ip @ IpAddr::V4(_)) | (Some(IpFamily::V6), ip @ IpAddr::V6(_)) => {
            Ok(ip)
        }
        (Some(IpFamily::V6), IpAddr::V4(ip)) if hints.flags.contains(AddrInfoFlags::V4_MAPPED) => {
            Ok(ip.to_ipv6_mapped().into())
        }
        (Some(IpFamily::V4), IpAddr::V6(ip)) => {
            ip.to_ipv4_mapped().map(IpAddr::V4).ok_or(EaiError::AddressFamily)
        }
        (Some(IpFamily::V6), IpAddr::V4(_)) => Err(EaiError::AddressFamily),
    }
}

/// Makes an answer of each address and socket, in the system's order.
pub(crate) fn expand(
    ips: &[IpAddr],
    port: u16,
    sockets: &[(SocketType, i32)],
    flags: AddrInfoFlags,
    name: &str,
) -> Vec<AddrInfo> {
    let each = ips.iter().flat_map(|&ip| sockets.iter().map(move |&socket| (ip, socket)));
    let answers = each.map(|(ip, (kind, protocol))| {
        let addr = SocketAddr::new(ip, port);
        AddrInfo { kind, protocol, canonical_name: None, addr }
    });
    let mut answers: Vec<_> = answers.collect();
    if let Some(first) = answers.first_mut().filter(|_| flags.contains(AddrInfoFlags::CANONICAL_NAME)) {
        first.canonical_name = Some(name.to_owned());
    }
    answers
}

#[cfg(test)]
mod tests {
    use core::panic::Location;

    use super::*;
    use crate::sys::names;

    // DN-1: whatever is answered here, the system answers in the same way.
    #[test]
    fn dn1_a_literal_address_is_answered_as_the_system_answers_it() {
        let flags = [
            AddrInfoFlags::PASSIVE,
            AddrInfoFlags::CANONICAL_NAME,
            AddrInfoFlags::NUMERIC_HOST,
            AddrInfoFlags::V4_MAPPED,
            AddrInfoFlags::ALL,
            AddrInfoFlags::NUMERIC_SERVICE,
        ];
        let mut answered = 0;
        for set in 0..1 << flags.len() {
            let chosen = flags.iter().enumerate().filter(|(bit, _)| set >> bit & 1 == 1);
            let flags = chosen.fold(AddrInfoFlags::default(), |all, (_, &flag)| all | flag);
            for host in ["127.0.0.1", "::1", "::ffff:192.0.2.1"] {
                for family in [None, Some(IpFamily::V4), Some(IpFamily::V6)] {
                    for kind in [None, Some(SocketType::Stream), Some(SocketType::Datagram)] {
                        for protocol in [0, TCP, UDP] {
                            for service in [Service::None, Service::Port(80)] {
                                let hints =
                                    Hints { family, kind, protocol, flags, ..Hints::at(Location::caller()) };
                                let query = Query { host: Some(host.to_owned()), service, hints };
                                let Some(answer) = super::answer(&query) else { continue };
                                assert_eq!(answer, names::getaddrinfo(&query), "{query:?}");
                                answered += 1;
                            }
                        }
                    }
                }
            }
        }
        assert!(answered > 1000);
    }
}

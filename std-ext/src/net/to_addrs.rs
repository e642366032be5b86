//! What can be given as an address: a socket's, some of them, or a name to be resolved.

use core::future::{Ready, ready};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::dns::{self, AddrInfoFlags, EaiError, Hints, IpFamily, Query, Resolving, Service};
use crate::{EventLoopHandle, Result};

/// Is implemented for everything that names one or more IP addresses with a port.
///
/// | argument | |
/// |---|---|
/// | `SocketAddr`, `(IpAddr, u16)` and their kin; slices, arrays and `Vec`s of `SocketAddr` | used as they are |
/// | `"host:port"`, `"[::1]:80"`, `"localhost:http"` | resolved |
/// | `("host", 80)`, `("host", "http")` | resolved |
///
/// An empty host is all addresses of this machine when listening, and an error
/// when connecting. A program that only uses the first row links no resolver.
///
/// # Python
/// The arguments `host` and `port`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no address",
    note = "use a `SocketAddr`, (\"host\", port) or \"host:port\""
)]
pub trait ToAddrs: Resolve {}

impl<A: Resolve> ToAddrs for A {}

/// Turns an argument into addresses; out of reach of other crates, which seals [`ToAddrs`].
pub trait Resolve {
    /// Is ready at once for addresses.
    type Addrs: Future<Output = Result<Vec<SocketAddr>>> + 'static;

    /// Returns the host as it was named, `None` if there are several.
    fn host(&self) -> Option<String>;

    /// Returns the addresses that fit the hints, one at least.
    fn resolve(self, event_loop: &EventLoopHandle, hints: Hints) -> Self::Addrs;
}

macro_rules! literal {
    ($($type:ty),* $(,)?) => {$(
        impl Resolve for $type {
            type Addrs = Ready<Result<Vec<SocketAddr>>>;

            fn host(&self) -> Option<String> {
                Some(SocketAddr::from(*self).ip().to_string())
            }

            fn resolve(self, _: &EventLoopHandle, hints: Hints) -> Self::Addrs {
                ready(fitting(vec![SocketAddr::from(self)], &hints))
            }
        }
    )*};
}

literal! { SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16) }

impl Resolve for Vec<SocketAddr> {
    type Addrs = Ready<Result<Self>>;

    fn host(&self) -> Option<String> {
        None
    }

    fn resolve(self, _: &EventLoopHandle, hints: Hints) -> Self::Addrs {
        ready(fitting(self, &hints))
    }
}

impl Resolve for &[SocketAddr] {
    type Addrs = Ready<Result<Vec<SocketAddr>>>;

    fn host(&self) -> Option<String> {
        None
    }

    fn resolve(self, _: &EventLoopHandle, hints: Hints) -> Self::Addrs {
        ready(fitting(self.to_vec(), &hints))
    }
}

impl<const N: usize> Resolve for [SocketAddr; N] {
    type Addrs = Ready<Result<Vec<SocketAddr>>>;

    fn host(&self) -> Option<String> {
        None
    }

    fn resolve(self, _: &EventLoopHandle, hints: Hints) -> Self::Addrs {
        ready(fitting(self.into(), &hints))
    }
}

impl<const N: usize> Resolve for &[SocketAddr; N] {
    type Addrs = Ready<Result<Vec<SocketAddr>>>;

    fn host(&self) -> Option<String> {
        None
    }

    fn resolve(self, _: &EventLoopHandle, hints: Hints) -> Self::Addrs {
        ready(fitting(self.to_vec(), &hints))
    }
}

impl Resolve for &str {
    type Addrs = Resolving<Vec<SocketAddr>>;

    fn host(&self) -> Option<String> {
        split(self).map(|(host, _)| host.to_owned())
    }

    fn resolve(self, event_loop: &EventLoopHandle, hints: Hints) -> Self::Addrs {
        match split(self) {
            Some((host, port)) => name(event_loop, host.to_owned(), port.into(), hints),
            None => Resolving::new(ready(Err(no_port(self)))),
        }
    }
}

impl Resolve for String {
    type Addrs = Resolving<Vec<SocketAddr>>;

    fn host(&self) -> Option<String> {
        self.as_str().host()
    }

    fn resolve(self, event_loop: &EventLoopHandle, hints: Hints) -> Self::Addrs {
        self.as_str().resolve(event_loop, hints)
    }
}

impl Resolve for &String {
    type Addrs = Resolving<Vec<SocketAddr>>;

    fn host(&self) -> Option<String> {
        self.as_str().host()
    }

    fn resolve(self, event_loop: &EventLoopHandle, hints: Hints) -> Self::Addrs {
        self.as_str().resolve(event_loop, hints)
    }
}

macro_rules! host_and_service {
    ($($host:ty, $service:ty);* $(;)?) => {$(
        impl Resolve for ($host, $service) {
            type Addrs = Resolving<Vec<SocketAddr>>;

            fn host(&self) -> Option<String> {
                Some(self.0.to_string())
            }

            fn resolve(self, event_loop: &EventLoopHandle, hints: Hints) -> Self::Addrs {
                name(event_loop, self.0.into(), self.1.into(), hints)
            }
        }
    )*};
}

host_and_service! { &str, u16; String, u16; &String, u16; &str, &str; String, &str; String, String }

/// Splits `host:port`; an IPv6 address stands in brackets.
fn split(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    match host.strip_prefix('[') {
        Some(host) => Some((host.strip_suffix(']')?, port)),
        None if host.contains(':') => None,
        None => Some((host, port)),
    }
}

fn no_port(text: &str) -> crate::Error {
    let message = format!("{text:?} is no host and port; an IPv6 address stands in brackets");
    crate::Error::of(crate::ErrorKind::NameResolution, message)
}

fn name(
    event_loop: &EventLoopHandle,
    host: String,
    service: Service,
    hints: Hints,
) -> Resolving<Vec<SocketAddr>> {
    let event_loop = event_loop.clone();
    // To listen on no host in particular is to listen on all addresses.
    let is_wildcard = host.is_empty() && hints.flags.contains(AddrInfoFlags::PASSIVE);
    let query = Query { host: (!is_wildcard).then_some(host), service, hints };
    Resolving::new(async move {
        let answers = dns::resolve(&event_loop, query).await?;
        let mut addrs: Vec<SocketAddr> = Vec::new();
        for answer in answers {
            if !addrs.contains(&answer.addr) {
                addrs.push(answer.addr);
            }
        }
        if addrs.is_empty() {
            return Err(EaiError::NoData.into());
        }
        Ok(addrs)
    })
}

/// Keeps the addresses of the family that is asked for.
fn fitting(mut addrs: Vec<SocketAddr>, hints: &Hints) -> Result<Vec<SocketAddr>> {
    if let Some(family) = hints.family {
        addrs.retain(|addr| addr.is_ipv4() == (family == IpFamily::V4));
    }
    if addrs.is_empty() {
        return Err(EaiError::AddressFamily.into());
    }
    Ok(addrs)
}

#[cfg(test)]
mod tests {
    use core::panic::Location;

    use super::*;
    use crate::{EventLoop, SocketType};

    fn run<A: ToAddrs>(addrs: A, hints: Hints) -> Result<Vec<String>> {
        let event_loop = EventLoop::without_descriptors(crate::Config::default())?;
        let addrs = event_loop.run_until_complete(addrs.resolve(&event_loop, hints))?;
        Ok(addrs.iter().map(ToString::to_string).collect())
    }

    const STREAM: Hints = Hints {
        kind: Some(SocketType::Stream),
        flags: AddrInfoFlags::PASSIVE,
        ..Hints::at(Location::caller())
    };

    // DN-2: the kernel of these tests has neither threads nor a resolver.
    #[test]
    fn dn2_what_is_an_address_is_used_as_it_is() {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 80));
        let one = vec!["127.0.0.1:80".to_owned()];
        assert_eq!(run(addr, STREAM).unwrap(), one);
        assert_eq!(run((Ipv4Addr::LOCALHOST, 80), STREAM).unwrap(), one);
        assert_eq!(run((IpAddr::from(Ipv4Addr::LOCALHOST), 80), STREAM).unwrap(), one);
        assert_eq!(run([addr], STREAM).unwrap(), one);
        let array = &[addr];
        assert_eq!(run(array, STREAM).unwrap(), one);
        assert_eq!(run([addr].as_slice(), STREAM).unwrap(), one);
        assert_eq!(run(vec![addr], STREAM).unwrap(), one);
        assert_eq!(run((Ipv6Addr::LOCALHOST, 80), STREAM).unwrap(), ["[::1]:80"]);
    }

    #[test]
    fn dn2_a_literal_address_in_a_text_needs_no_resolver() {
        assert_eq!(run("127.0.0.1:80", STREAM).unwrap(), ["127.0.0.1:80"]);
        assert_eq!(run("[::1]:80", STREAM).unwrap(), ["[::1]:80"]);
        assert_eq!(run("[::1]:80".to_owned(), STREAM).unwrap(), ["[::1]:80"]);
        assert_eq!(run(("::1", 80), STREAM).unwrap(), ["[::1]:80"]);
        assert_eq!(run(("127.0.0.1", "80"), STREAM).unwrap(), ["127.0.0.1:80"]);
        assert_eq!(run(("127.0.0.1".to_owned(), 80), STREAM).unwrap(), ["127.0.0.1:80"]);
    }

    #[test]
    fn a_text_without_a_port_or_without_brackets_is_refused() {
        for text in ["localhost", "::1:80", "[::1]80", "[::1", ""] {
            let error = run(text, STREAM).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::NameResolution, "{text}");
        }
        // Not 65536 modulo 65536.
        assert_eq!(run("127.0.0.1:65536", STREAM).unwrap_err().as_eai(), Some(EaiError::Service));
    }

    #[test]
    fn only_the_family_that_is_asked_for_is_left() {
        let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, 80));
        let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, 80));
        let hints = Hints { family: Some(IpFamily::V6), ..STREAM };
        assert_eq!(run([v4, v6], hints).unwrap(), ["[::1]:80"]);
        assert_eq!(run(v4, hints).unwrap_err().as_eai(), Some(EaiError::AddressFamily));
        assert_eq!(run("127.0.0.1:80", hints).unwrap_err().as_eai(), Some(EaiError::AddressFamily));
    }

    // E-08
    #[test]
    fn e08_an_empty_host_is_for_listening_only() {
        let connecting = Hints { flags: AddrInfoFlags::default(), ..STREAM };
        assert!(run(("", 80), connecting).unwrap_err().to_string().contains("empty"));
        // The system's resolver knows all addresses of this machine, and there is no thread here.
        assert_eq!(run(("", 80), STREAM).unwrap_err().kind(), crate::ErrorKind::Io);
    }
}

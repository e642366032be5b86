//! A resolver inside the loop: no thread, no C library, no file beyond those that are named to it.
//!
//! ```text
//!  no host, an address in any form --------------------------------------> answered
//!  hosts file -----------------------------------------------------------> answered
//!  localhost ------------------------------------------------------------> answered
//!  search list: for each name  --> cache --> servers, in turn, by UDP,
//!                                            and by TCP what is truncated -> answered
//! ```
//!
//! The files are read at each look-up, as musl does, so that a change of them is seen.

mod config;

mod hosts;
mod resolv_conf;
mod services;

mod numeric;

mod message;

mod exchange;
mod socket;

mod cache;

mod search;

mod order;

use core::cell::{Cell, RefCell};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::panic::Location;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use crate::dns::resolver::{Resolve, Start};
use crate::dns::{
    AddrInfo, AddrInfoFlags, EaiError, IpFamily, NameInfo, NameInfoFlags, Query, Resolver, Resolving,
    Service, SocketType, literal,
};
use crate::{EventLoopHandle, Result};

pub use config::{InLoopConfig, NameServerSource, NameServers};

use cache::Cache;
use message::{Kind, Records};

/// Is the most bytes that are read of a file.
const FILE_BYTES_MAX: usize = 1 << 20;

impl Resolver {
    /// Chooses the resolver inside the loop: it needs no thread and knows the hosts file and DNS, and
    /// no other of the system's sources of names.
    ///
    /// ```
    /// use rondel::{Config, EventLoop, InLoopConfig, NameServerSource, NameServers, Resolver};
    ///
    /// let servers = NameServers { servers: vec![([192, 0, 2, 53], 53).into()], ..NameServers::default() };
    /// let config = InLoopConfig { name_servers: NameServerSource::These(servers), ..InLoopConfig::default() };
    /// let config = Config { resolver: Resolver::in_loop(config), ..Config::default() };
    /// let event_loop = EventLoop::with_config(config)?;
    /// # Ok::<(), rondel::Error>(())
    /// ```
    #[must_use]
    pub fn in_loop(config: InLoopConfig) -> Self {
        Self::other(Arc::new(config))
    }
}

impl Start for InLoopConfig {
    fn start(&self) -> Rc<dyn Resolve> {
        let cache = RefCell::new(Cache::new(self.cache_entries));
        Rc::new(InLoop { config: self.clone(), cache, first_server: Cell::new(0) })
    }
}

/// The resolver of a loop.
pub(super) struct InLoop {
    config: InLoopConfig,
    cache: RefCell<Cache>,
    /// Counts the look-ups, to rotate the servers.
    first_server: Cell<usize>,
}

impl Resolve for InLoop {
    fn getaddrinfo(self: Rc<Self>, event_loop: &EventLoopHandle, query: Query) -> Resolving<Vec<AddrInfo>> {
        let event_loop = event_loop.clone();
        Resolving::new(async move { self.addresses(&event_loop, &query).await })
    }

    fn getnameinfo(
        self: Rc<Self>,
        event_loop: &EventLoopHandle,
        addr: SocketAddr,
        flags: NameInfoFlags,
        location: &'static Location<'static>,
    ) -> Resolving<NameInfo> {
        let event_loop = event_loop.clone();
        Resolving::new(
            async move { self.names(Asker { event_loop: &event_loop, location }, addr, flags).await },
        )
    }
}

/// Who asks the servers, and where the look-up was asked for.
#[derive(Clone, Copy)]
struct Asker<'a> {
    event_loop: &'a EventLoopHandle,
    location: &'static Location<'static>,
}

/// The addresses of a host, and its full name.
#[derive(Clone, Debug, Default)]
struct Found {
    addrs: Vec<IpAddr>,
    zone: u32,
    canonical_name: Option<String>,
}

impl InLoop {
    async fn addresses(&self, event_loop: &EventLoopHandle, query: &Query) -> Result<Vec<AddrInfo>> {
        let flags = query.hints.flags;
        if flags.contains(AddrInfoFlags::CANONICAL_NAME) && query.host.is_none() {
            return Err(EaiError::BadFlags.into());
        }
        if query.host.is_none() && query.service == Service::None {
            return Err(EaiError::NoName.into());
        }
        let sockets = self.sockets(event_loop, query)?;
        let found = match &query.host {
            None => no_host(query),
            Some(host) => self.host(event_loop, host, query).await?,
        };
        let name = found.canonical_name.as_deref().or(query.host.as_deref()).unwrap_or_default();
        let mut answers = Vec::new();
        for &ip in &found.addrs {
            for &(kind, protocol, port) in &sockets {
                answers.extend(literal::expand(
                    &[ip],
                    port,
                    &[(kind, protocol)],
                    AddrInfoFlags::default(),
                    name,
                ));
            }
        }
        for answer in &mut answers {
            if let SocketAddr::V6(addr) = &mut answer.addr {
                addr.set_scope_id(found.zone);
            }
        }
        if let Some(first) = answers.first_mut().filter(|_| flags.contains(AddrInfoFlags::CANONICAL_NAME)) {
            first.canonical_name = Some(name.to_owned());
        }
        Ok(answers)
    }

    /// Returns the kinds of sockets, each with its protocol and port.
    fn sockets(&self, event_loop: &EventLoopHandle, query: &Query) -> Result<Vec<(SocketType, i32, u16)>> {
        let sockets = literal::sockets(&query.hints).ok_or(match query.hints.kind {
            Some(_) => EaiError::SocketType,
            None => EaiError::Service,
        })?;
        let with = |port: u16| sockets.iter().map(|&(kind, protocol)| (kind, protocol, port)).collect();
        match &query.service {
            Service::None => Ok(with(0)),
            Service::Port(port) => Ok(with(*port)),
            Service::Name(_) if query.hints.flags.contains(AddrInfoFlags::NUMERIC_SERVICE) => {
                Err(EaiError::NoName.into())
            }
            Service::Name(name) => {
                let text = read(event_loop, self.config.services.as_deref());
                let port = |&(kind, protocol): &(SocketType, i32)| {
                    let transport = services::transport(kind)?;
                    Some((kind, protocol, services::port(&text, name, transport)?))
                };
                let known: Vec<_> = sockets.iter().filter_map(port).collect();
                if known.is_empty() { Err(EaiError::Service.into()) } else { Ok(known) }
            }
        }
    }

    async fn host(&self, event_loop: &EventLoopHandle, host: &str, query: &Query) -> Result<Found> {
        let hints = &query.hints;
        if let Some((ip, zone)) = numeric::parse(host)? {
            let addrs = vec![literal::in_family(ip, hints)?];
            return Ok(Found { addrs, zone, canonical_name: None });
        }
        if hints.flags.contains(AddrInfoFlags::NUMERIC_HOST) {
            return Err(EaiError::NoName.into());
        }
        if let Some(found) = self.known_in_hosts(event_loop, host, query) {
            return Ok(found);
        }
        if is_localhost(host) {
            let addrs = in_families(&[Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()], query);
            return Ok(Found { addrs, ..Found::default() });
        }
        let mut kinds = self.kinds(query);
        if hints.flags.contains(AddrInfoFlags::ADDRESS_CONFIGURED) {
            kinds.retain(|kind| order::has_family(event_loop, *kind == Kind::Aaaa));
        }
        if kinds.is_empty() {
            return Err(EaiError::NoName.into());
        }
        let records = self.search(Asker { event_loop, location: hints.location }, host, &kinds).await?;
        let canonical_name = Some(records.name);
        let mut addrs = in_families(&records.addrs, query);
        if addrs.is_empty() {
            return Err(EaiError::NoData.into());
        }
        order::sort(event_loop, &mut addrs);
        Ok(Found { addrs, zone: 0, canonical_name })
    }

    /// Returns which records to ask for.
    fn kinds(&self, query: &Query) -> Vec<Kind> {
        match query.hints.family {
            Some(IpFamily::V4) => vec![Kind::A],
            Some(IpFamily::V6) if query.hints.flags.contains(AddrInfoFlags::V4_MAPPED) => {
                vec![Kind::A, Kind::Aaaa]
            }
            Some(IpFamily::V6) => vec![Kind::Aaaa],
            None => vec![Kind::A, Kind::Aaaa],
        }
    }

    fn known_in_hosts(&self, event_loop: &EventLoopHandle, host: &str, query: &Query) -> Option<Found> {
        let text = read(event_loop, self.config.hosts.as_deref());
        let (all, name) = hosts::addresses(&text, host);
        let addrs = in_families(&all, query);
        (!addrs.is_empty()).then(|| Found { addrs, zone: 0, canonical_name: name.map(str::to_owned) })
    }

    async fn names(&self, asker: Asker<'_>, addr: SocketAddr, flags: NameInfoFlags) -> Result<NameInfo> {
        let service = self.service(asker.event_loop, addr.port(), flags);
        let mut host = None;
        if !flags.contains(NameInfoFlags::NUMERIC_HOST) {
            host = self.name_of(asker, addr.ip()).await?;
        }
        let host = match host {
            Some(name) => name,
            None if flags.contains(NameInfoFlags::NAME_REQUIRED) => return Err(EaiError::NoName.into()),
            None => numeric::text(addr),
        };
        let host = match host.split_once('.') {
            Some((label, _)) if flags.contains(NameInfoFlags::NO_FULL_NAME) && !is_numeric(&host) => {
                label.to_owned()
            }
            _ => host,
        };
        Ok(NameInfo { host, service })
    }

    /// Returns the name of an address, if it has one.
    async fn name_of(&self, asker: Asker<'_>, ip: IpAddr) -> Result<Option<String>> {
        let text = read(asker.event_loop, self.config.hosts.as_deref());
        if let Some(name) = hosts::name(&text, ip) {
            return Ok(Some(name.to_owned()));
        }
        match self.ask(asker, &numeric::reverse_name(ip), &[Kind::Ptr]).await {
            Ok(records) => Ok(records.pointer),
            Err(error) if matches!(error.as_eai(), Some(EaiError::NoName | EaiError::NoData)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn service(&self, event_loop: &EventLoopHandle, port: u16, flags: NameInfoFlags) -> String {
        let name = if flags.contains(NameInfoFlags::NUMERIC_SERVICE) {
            None
        } else {
            let transport = if flags.contains(NameInfoFlags::DATAGRAM) { "udp" } else { "tcp" };
            let text = read(event_loop, self.config.services.as_deref());
            services::name(&text, port, transport).map(str::to_owned)
        };
        name.unwrap_or_else(|| port.to_string())
    }

    /// Asks for one name, as it is, or the cache.
    async fn ask(&self, asker: Asker<'_>, name: &str, kinds: &[Kind]) -> Result<Records> {
        let event_loop = asker.event_loop;
        if let Some(records) = self.cache.borrow_mut().find(name, kinds, event_loop.time()) {
            return Ok(records);
        }
        let servers = self.servers(event_loop);
        let first = self.first_server.get();
        if servers.rotate {
            self.first_server.set(first.wrapping_add(1));
        }
        let records = exchange::resolve(asker, &servers, first, name, kinds).await?;
        self.cache.borrow_mut().keep(name, kinds, &records, event_loop.time());
        Ok(records)
    }

    fn servers(&self, event_loop: &EventLoopHandle) -> NameServers {
        match &self.config.name_servers {
            NameServerSource::These(servers) => servers.clone(),
            NameServerSource::File(path) => resolv_conf::parse(&read(event_loop, Some(path))),
        }
    }
}

/// Reads a file; one that isn't there, or is none that can be read, is empty.
fn read(event_loop: &EventLoopHandle, path: Option<&Path>) -> String {
    let read = |path| event_loop.inner.kernel.read_file(path, FILE_BYTES_MAX);
    let bytes = path.and_then(|path| read(path).ok()).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Answers a query without a host.
fn no_host(query: &Query) -> Found {
    let addrs: [IpAddr; 2] = if query.hints.flags.contains(AddrInfoFlags::PASSIVE) {
        [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()]
    } else {
        [Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()]
    };
    Found { addrs: in_families(&addrs, query), ..Found::default() }
}

/// Keeps the addresses of the family that is asked for, or brings them into it.
fn in_families(addrs: &[IpAddr], query: &Query) -> Vec<IpAddr> {
    let hints = &query.hints;
    let is_v6 = hints.family == Some(IpFamily::V6);
    let native = addrs.iter().copied().filter(|ip| match hints.family {
        None => true,
        Some(family) => ip.is_ipv4() == (family == IpFamily::V4),
    });
    let mut native: Vec<IpAddr> = native.collect();
    let wants_mapped = is_v6 && hints.flags.contains(AddrInfoFlags::V4_MAPPED);
    if wants_mapped && (native.is_empty() || hints.flags.contains(AddrInfoFlags::ALL)) {
        let mapped = addrs.iter().filter(|ip| ip.is_ipv4());
        native.extend(mapped.filter_map(|&ip| literal::in_family(ip, hints).ok()));
    }
    native
}

/// Tells whether a name means this machine, whatever a server says (RFC 6761).
fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let label = host.rsplit('.').next().unwrap_or(host);
    label.eq_ignore_ascii_case("localhost")
}

fn is_numeric(host: &str) -> bool {
    host.contains(':') || host.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests;

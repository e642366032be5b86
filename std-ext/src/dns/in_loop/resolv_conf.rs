//! The file of name servers, `resolv.conf`.

use core::net::{IpAddr, SocketAddr, SocketAddrV6};
use core::time::Duration;

use super::config::NameServers;
use super::numeric;

/// Is the most servers that are used; further ones are not (`MAXNS` is 3 in the C libraries).
const SERVERS_MAX: usize = 8;

/// Is the most domains of the search list that are used.
const DOMAINS_MAX: usize = 16;

/// Reads the file; what is not understood is passed over, and numbers are kept within the bounds
/// that the C libraries keep them in.
pub(super) fn parse(text: &str) -> NameServers {
    let mut config = NameServers::default();
    let mut servers = Vec::new();
    for line in text.lines() {
        let line = line.split(['#', ';']).next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("nameserver") => servers.extend(words.next().and_then(server)),
            // The last one of these holds.
            Some("domain") => config.search = words.next().into_iter().map(str::to_owned).collect(),
            Some("search") => config.search = words.take(DOMAINS_MAX).map(str::to_owned).collect(),
            Some("options") => words.for_each(|word| option(&mut config, word)),
            _ => {}
        }
    }
    servers.truncate(SERVERS_MAX);
    if !servers.is_empty() {
        config.servers = servers;
    }
    config
}

fn server(word: &str) -> Option<SocketAddr> {
    let (ip, zone) = numeric::parse(word).ok()??;
    Some(match ip {
        IpAddr::V4(ip) => (ip, 53).into(),
        IpAddr::V6(ip) => SocketAddrV6::new(ip, 53, 0, zone).into(),
    })
}

fn option(config: &mut NameServers, word: &str) {
    let (name, value) = word.split_once(':').unwrap_or((word, ""));
    let number = value.parse::<u32>().ok();
    match (name, number) {
        ("ndots", Some(number)) => config.ndots = number.min(15) as usize,
        ("timeout", Some(number)) => config.timeout = Duration::from_secs(number.clamp(1, 30).into()),
        ("attempts", Some(number)) => config.attempts = number.clamp(1, 5),
        ("rotate", _) => config.rotate = true,
        _ => {}
    }
}

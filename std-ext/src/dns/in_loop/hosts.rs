//! The file of hosts, `/etc/hosts`: lines of an address, a full name and aliases.

use core::net::IpAddr;

/// Returns the addresses of a host, in the file's order, and its full name.
pub(super) fn addresses<'a>(text: &'a str, host: &str) -> (Vec<IpAddr>, Option<&'a str>) {
    let host = host.strip_suffix('.').unwrap_or(host);
    let mut addrs = Vec::new();
    let mut full_name = None;
    for (ip, mut names) in entries(text) {
        let Some(first) = names.next() else { continue };
        if core::iter::once(first).chain(names).any(|name| name.eq_ignore_ascii_case(host)) {
            full_name = full_name.or(Some(first));
            if !addrs.contains(&ip) {
                addrs.push(ip);
            }
        }
    }
    (addrs, full_name)
}

/// Returns the full name of an address.
pub(super) fn name(text: &str, addr: IpAddr) -> Option<&str> {
    entries(text).find(|(ip, _)| *ip == addr).and_then(|(_, mut names)| names.next())
}

fn entries(text: &str) -> impl Iterator<Item = (IpAddr, impl Iterator<Item = &str>)> {
    text.lines().filter_map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let ip = words.next()?.parse().ok()?;
        Some((ip, words))
    })
}

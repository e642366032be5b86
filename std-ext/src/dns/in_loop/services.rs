//! The file of services, `/etc/services`: lines of a name, a port with its transport, and aliases.

use crate::SocketType;

/// Returns what a transport is called in the file.
pub(super) fn transport(kind: SocketType) -> Option<&'static str> {
    match kind {
        SocketType::Stream => Some("tcp"),
        SocketType::Datagram => Some("udp"),
        _ => None,
    }
}

/// Returns the port of a service.
pub(super) fn port(text: &str, service: &str, transport: &str) -> Option<u16> {
    entries(text)
        .filter(|entry| entry.transport == transport)
        .find(|entry| entry.name == service || entry.aliases().any(|alias| alias == service))
        .map(|entry| entry.port)
}

/// Returns the service of a port.
pub(super) fn name<'a>(text: &'a str, port: u16, transport: &str) -> Option<&'a str> {
    entries(text).find(|entry| entry.port == port && entry.transport == transport).map(|entry| entry.name)
}

struct Entry<'a> {
    name: &'a str,
    port: u16,
    transport: &'a str,
    line: &'a str,
}

impl<'a> Entry<'a> {
    fn aliases(&self) -> impl Iterator<Item = &'a str> {
        self.line.split_ascii_whitespace().skip(2)
    }
}

fn entries(text: &str) -> impl Iterator<Item = Entry<'_>> {
    text.lines().filter_map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let name = words.next()?;
        let (port, transport) = words.next()?.split_once('/')?;
        Some(Entry { name, port: port.parse().ok()?, transport, line })
    })
}

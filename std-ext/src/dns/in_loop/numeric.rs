//! Addresses as text: with zones, in odd forms, and turned round.

use core::fmt::Write as _;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::dns::EaiError;
use crate::sys::names;

/// Reads an address in any form, and its zone; `None` for a name.
///
/// # Errors
/// `NoName` for a zone that this machine doesn't have.
pub(super) fn parse(host: &str) -> Result<Option<(IpAddr, u32)>, EaiError> {
    if let Ok(ip) = host.parse() {
        return Ok(Some((ip, 0)));
    }
    if let Some((addr, zone)) = host.split_once('%')
        && let Ok(ip @ IpAddr::V6(_)) = addr.parse()
    {
        let number = zone.parse().ok().or_else(|| names::interface_number(zone));
        return Ok(Some((ip, number.ok_or(EaiError::NoName)?)));
    }
    Ok(odd_v4(host).map(|ip| (ip.into(), 0)))
}

/// Reads what `inet_aton` does: one to four numbers, decimal, octal or hexadecimal, of which the last
/// fills all bytes that are left.
fn odd_v4(host: &str) -> Option<Ipv4Addr> {
    let parts: Vec<&str> = host.split('.').collect();
    if parts.len() > 4 {
        return None;
    }
    let (last, first) = parts.split_last()?;
    let mut addr: u32 = 0;
    for (index, part) in first.iter().enumerate() {
        let byte = number(part).filter(|byte| *byte <= 255)?;
        addr |= byte << (24 - 8 * index);
    }
    let bits_left = 32 - 8 * first.len() as u32;
    let rest = number(last).filter(|rest| u64::from(*rest) < 1 << bits_left)?;
    Some(Ipv4Addr::from(addr | rest))
}

fn number(text: &str) -> Option<u32> {
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        let starts_well = digits.starts_with(|first: char| first.is_ascii_hexdigit());
        return starts_well.then(|| u32::from_str_radix(digits, 16).ok()).flatten();
    }
    let radix = if text.len() > 1 && text.starts_with('0') { 8 } else { 10 };
    u32::from_str_radix(text, radix).ok()
}

/// Writes an address with its zone.
pub(super) fn text(addr: SocketAddr) -> String {
    match addr {
        SocketAddr::V6(addr) if addr.scope_id() != 0 => {
            let number = addr.scope_id();
            let zone = names::interface_name(number).unwrap_or_else(|| number.to_string());
            format!("{}%{zone}", addr.ip())
        }
        addr => addr.ip().to_string(),
    }
}

/// Returns the name under which DNS keeps the name of an address.
pub(super) fn reverse_name(ip: IpAddr) -> String {
    let mut name = String::new();
    match ip {
        IpAddr::V4(ip) => {
            for byte in ip.octets().iter().rev() {
                let _ = write!(name, "{byte}.");
            }
            name + "in-addr.arpa."
        }
        IpAddr::V6(ip) => {
            for byte in ip.octets().iter().rev() {
                let _ = write!(name, "{:x}.{:x}.", byte & 15, byte >> 4);
            }
            name + "ip6.arpa."
        }
    }
}

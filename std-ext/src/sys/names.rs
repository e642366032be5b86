//! The system's resolver: `getaddrinfo` and `getnameinfo`. Both block, and so belong in a thread of
//! their own.

#![allow(unsafe_code, reason = "this is where libc is called")]

use core::ffi::CStr;
use core::net::SocketAddr;
use core::ptr;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::address::RawAddress;
use crate::dns::{AddrInfo, AddrInfoFlags, EaiError, IpFamily, NameInfoFlags, Query, SocketType};
use crate::net::address::Address;

// `dns` writes the flags as Linux counts them; both of its C libraries agree.
const _: () = {
    assert!(AddrInfoFlags::PASSIVE.bits() == libc::AI_PASSIVE);
    assert!(AddrInfoFlags::CANONICAL_NAME.bits() == libc::AI_CANONNAME);
    assert!(AddrInfoFlags::NUMERIC_HOST.bits() == libc::AI_NUMERICHOST);
    assert!(AddrInfoFlags::V4_MAPPED.bits() == libc::AI_V4MAPPED);
    assert!(AddrInfoFlags::ALL.bits() == libc::AI_ALL);
    assert!(AddrInfoFlags::ADDRESS_CONFIGURED.bits() == libc::AI_ADDRCONFIG);
    assert!(AddrInfoFlags::NUMERIC_SERVICE.bits() == libc::AI_NUMERICSERV);
    assert!(NameInfoFlags::NUMERIC_HOST.bits() == libc::NI_NUMERICHOST);
    assert!(NameInfoFlags::NUMERIC_SERVICE.bits() == libc::NI_NUMERICSERV);
    assert!(NameInfoFlags::NO_FULL_NAME.bits() == libc::NI_NOFQDN);
    assert!(NameInfoFlags::NAME_REQUIRED.bits() == libc::NI_NAMEREQD);
    assert!(NameInfoFlags::DATAGRAM.bits() == libc::NI_DGRAM);
    assert!(SocketType::Stream.number() == libc::SOCK_STREAM);
    assert!(SocketType::Datagram.number() == libc::SOCK_DGRAM);
    assert!(SocketType::Raw.number() == libc::SOCK_RAW);
};

/// Is room for any name that the system answers with (`NI_MAXHOST` of glibc).
const HOST_BYTES_MAX: usize = 1025;

/// Is room for any service's name, more than the 32 of `NI_MAXSERV`.
const SERVICE_BYTES_MAX: usize = 64;

/// Asks the system for the addresses of a host.
///
/// # Errors
/// What the resolver says; `NoName` for a host or service with a NUL.
pub(crate) fn getaddrinfo(query: &Query) -> Result<Vec<AddrInfo>, EaiError> {
    let text = |text: Option<&str>| text.map(CString::new).transpose().map_err(|_| EaiError::NoName);
    let host = text(query.host.as_deref())?;
    let service = text(query.service.as_text().as_deref())?;
    // SAFETY: all zeros is a valid `addrinfo`, with null pointers.
    let mut hints: libc::addrinfo = unsafe { core::mem::zeroed() };
    hints.ai_flags = query.hints.flags.bits();
    hints.ai_family = query.hints.family.map_or(libc::AF_UNSPEC, number_of_family);
    hints.ai_socktype = query.hints.kind.map_or(0, SocketType::number);
    hints.ai_protocol = query.hints.protocol;
    let pointer = |text: &Option<CString>| text.as_ref().map_or(ptr::null(), |text| text.as_ptr());
    let mut list: *mut libc::addrinfo = ptr::null_mut();
    // SAFETY: both texts are null or end with a NUL; `hints` is good for reading and `list` for writing.
    let code =
        unsafe { libc::getaddrinfo(pointer(&host), pointer(&service), &raw const hints, &raw mut list) };
    if code != 0 {
        return Err(error_of(code));
    }
    let list = List(list);
    Ok(list.iter().filter_map(decode).collect())
}

/// Asks the system for the names of an address: the host's and the service's.
///
/// # Errors
/// What the resolver says.
pub(crate) fn getnameinfo(addr: SocketAddr, flags: NameInfoFlags) -> Result<(String, String), EaiError> {
    let raw = RawAddress::from(&Address::Inet(addr));
    let mut host = [0u8; HOST_BYTES_MAX];
    let mut service = [0u8; SERVICE_BYTES_MAX];
    // SAFETY: `raw` is good for reading its length, both buffers are good for writing theirs.
    let code = unsafe {
        libc::getnameinfo(
            raw.as_ptr(),
            raw.length(),
            host.as_mut_ptr().cast(),
            HOST_BYTES_MAX as libc::socklen_t,
            service.as_mut_ptr().cast(),
            SERVICE_BYTES_MAX as libc::socklen_t,
            flags.bits(),
        )
    };
    if code != 0 {
        return Err(error_of(code));
    }
    let text = |bytes: &[u8]| {
        let text = CStr::from_bytes_until_nul(bytes).map_err(|_| EaiError::Overflow)?;
        Ok(text.to_string_lossy().into_owned())
    };
    Ok((text(&host)?, text(&service)?))
}

/// Returns the number of a network interface: the zone of a link-local address.
#[allow(dead_code, reason = "used with the feature `dns` alone")]
pub(crate) fn interface_number(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: the text ends with a NUL.
    let number = unsafe { libc::if_nametoindex(name.as_ptr()) };
    (number != 0).then_some(number)
}

/// Returns the name of a network interface.
#[allow(dead_code, reason = "used with the feature `dns` alone")]
pub(crate) fn interface_name(number: u32) -> Option<String> {
    let mut name = [0u8; libc::IF_NAMESIZE];
    // SAFETY: `name` is good for writing as many bytes as a name may have, its NUL included.
    let found = unsafe { libc::if_indextoname(number, name.as_mut_ptr().cast()) };
    if found.is_null() {
        return None;
    }
    Some(CStr::from_bytes_until_nul(&name).ok()?.to_string_lossy().into_owned())
}

/// Reads a file that tells about names, `bytes_max` of it at most.
pub(super) fn read_file(path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn number_of_family(family: IpFamily) -> i32 {
    match family {
        IpFamily::V4 => libc::AF_INET,
        IpFamily::V6 => libc::AF_INET6,
    }
}

fn error_of(code: i32) -> EaiError {
    if code == libc::EAI_SYSTEM {
        let error = io::Error::last_os_error();
        return EaiError::System(error.raw_os_error().unwrap_or(0));
    }
    EaiError::from_code(code)
}

/// Reads an entry; `None` for a family that is no internet address.
fn decode(entry: &libc::addrinfo) -> Option<AddrInfo> {
    // SAFETY: the resolver says how long the address is.
    let raw = unsafe { RawAddress::copy_from(entry.ai_addr, entry.ai_addrlen) }?;
    let addr = raw.decode().ok()?.as_inet()?;
    let canonical_name = (!entry.ai_canonname.is_null()).then(|| {
        // SAFETY: the resolver's text ends with a NUL, and lives as long as the list.
        unsafe { CStr::from_ptr(entry.ai_canonname) }.to_string_lossy().into_owned()
    });
    let kind = SocketType::from_number(entry.ai_socktype);
    Some(AddrInfo { kind, protocol: entry.ai_protocol, canonical_name, addr })
}

/// The resolver's list, freed when dropped.
struct List(*mut libc::addrinfo);

impl List {
    fn iter(&self) -> impl Iterator<Item = &libc::addrinfo> {
        // SAFETY: the entries live as long as the list, and the last one's link is null.
        let follow = |entry: *mut libc::addrinfo| unsafe { entry.as_ref() };
        core::iter::successors(follow(self.0), move |entry| follow(entry.ai_next))
    }
}

impl Drop for List {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: it came from `getaddrinfo` and is freed once.
            unsafe { libc::freeaddrinfo(self.0) };
        }
    }
}

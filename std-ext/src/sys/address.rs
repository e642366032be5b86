//! Addresses, ours and the system's.

#![allow(unsafe_code, reason = "sockaddr is a family of structs behind one pointer")]

use core::mem::{MaybeUninit, offset_of, size_of};
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::io;

use crate::net::address::{Address, UnixAddr};

/// Is where the path begins in the address of a UNIX socket.
const UNIX_HEADER: usize = offset_of!(libc::sockaddr_un, sun_path);

/// Holds an address in the system's form.
pub(super) struct RawAddress {
    /// Invariant: all bytes are initialised; it begins as zeros.
    storage: libc::sockaddr_storage,
    length: libc::socklen_t,
}

impl RawAddress {
    /// Makes room for the system to write any address to.
    pub(super) fn unspecified() -> Self {
        // SAFETY: all zeros is a valid `sockaddr_storage` of family `AF_UNSPEC`.
        let storage: libc::sockaddr_storage = unsafe { MaybeUninit::zeroed().assume_init() };
        Self { storage, length: size_of::<libc::sockaddr_storage>() as libc::socklen_t }
    }

    /// Copies an address of the system's; `None` for one that is longer than any, or null.
    ///
    /// # Safety
    /// `addr` is null or good for reading `length` bytes.
    pub(super) unsafe fn copy_from(addr: *const libc::sockaddr, length: libc::socklen_t) -> Option<Self> {
        let mut raw = Self::unspecified();
        if addr.is_null() || length > raw.length {
            return None;
        }
        // SAFETY: the caller vouches for the source; the storage is as long as this at least.
        unsafe {
            core::ptr::copy_nonoverlapping(
                addr.cast::<u8>(),
                (&raw mut raw.storage).cast::<u8>(),
                length as usize,
            );
        }
        raw.length = length;
        Some(raw)
    }

    /// Returns the address to read from.
    pub(super) fn as_ptr(&self) -> *const libc::sockaddr {
        (&raw const self.storage).cast()
    }

    /// Returns the number of bytes to read.
    pub(super) fn length(&self) -> libc::socklen_t {
        self.length
    }

    /// Returns where the system may write an address and its length.
    pub(super) fn as_mut_ptrs(&mut self) -> (*mut libc::sockaddr, *mut libc::socklen_t) {
        ((&raw mut self.storage).cast(), &raw mut self.length)
    }

    /// Makes room again for the system to write any address to.
    pub(super) fn reset(&mut self) {
        self.length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    }

    /// Tells whether it is an internet address, of this length.
    pub(super) fn is_inet(&self, length: libc::socklen_t) -> bool {
        let family = i32::from(self.storage.ss_family);
        length as usize >= UNIX_HEADER && (family == libc::AF_INET || family == libc::AF_INET6)
    }

    /// Reads the address into `into`, now that the system says how long it is. The address of the
    /// same UNIX socket as before is left where it is, so a peer costs memory once.
    pub(super) fn decode_into(&mut self, length: libc::socklen_t, into: &mut Address) {
        self.length = length;
        if (length as usize) < UNIX_HEADER {
            // No address at all: what stands here is an earlier one.
            if !into.as_unix().is_some_and(UnixAddr::is_unnamed) {
                *into = UnixAddr::default().into();
            }
            return;
        }
        if i32::from(self.storage.ss_family) == libc::AF_UNIX
            && let Some(former) = into.as_unix()
        {
            // SAFETY: as in `decode`.
            let raw: &libc::sockaddr_un = unsafe { &*self.as_ptr().cast() };
            let name = former.as_kernel();
            let closing = usize::from(former.as_path().is_some());
            let is_same = length as usize == UNIX_HEADER + name.len() + closing
                && raw.sun_path.iter().zip(name).all(|(&raw, &byte)| raw as u8 == byte);
            if is_same {
                return;
            }
        }
        // Sockets of other families have no endpoint.
        *into = self.decode().unwrap_or_else(|_| UnixAddr::default().into());
    }

    /// Reads the address.
    ///
    /// # Errors
    /// `Unsupported` if it is neither an internet address nor that of a UNIX socket.
    pub(super) fn decode(&self) -> io::Result<Address> {
        match i32::from(self.storage.ss_family) {
            libc::AF_INET => {
                // SAFETY: the family says which struct it is; the storage is large enough for each
                // of them, aligned for each of them, and initialised.
                let raw: &libc::sockaddr_in = unsafe { &*self.as_ptr().cast() };
                let ip = Ipv4Addr::from(raw.sin_addr.s_addr.to_ne_bytes());
                Ok(Address::Inet(SocketAddrV4::new(ip, u16::from_be(raw.sin_port)).into()))
            }
            libc::AF_INET6 => {
                // SAFETY: as above.
                let raw: &libc::sockaddr_in6 = unsafe { &*self.as_ptr().cast() };
                let ip = Ipv6Addr::from(raw.sin6_addr.s6_addr);
                let port = u16::from_be(raw.sin6_port);
                let addr = SocketAddrV6::new(ip, port, raw.sin6_flowinfo, raw.sin6_scope_id);
                Ok(Address::Inet(addr.into()))
            }
            libc::AF_UNIX => {
                // SAFETY: as above.
                let raw: &libc::sockaddr_un = unsafe { &*self.as_ptr().cast() };
                let length = (self.length as usize).saturating_sub(UNIX_HEADER).min(raw.sun_path.len());
                let name = raw.sun_path[..length].iter().map(|&byte| byte as u8);
                Ok(Address::Unix(UnixAddr::from_kernel(&name.collect::<Vec<u8>>())))
            }
            // A datagram from a socket without a name, or the peer of such a one, has no family at all.
            libc::AF_UNSPEC => Ok(Address::Unix(UnixAddr::default())),
            _ => Err(io::Error::new(io::ErrorKind::Unsupported, "neither an internet nor a UNIX address")),
        }
    }
}

impl From<&Address> for RawAddress {
    fn from(addr: &Address) -> Self {
        let mut raw = Self::unspecified();
        raw.length = match addr {
            Address::Inet(SocketAddr::V4(addr)) => {
                // SAFETY: the storage is large enough and aligned for each address struct, and
                // zeros are a valid one.
                let v4: &mut libc::sockaddr_in = unsafe { &mut *(&raw mut raw.storage).cast() };
                v4.sin_family = libc::AF_INET as libc::sa_family_t;
                v4.sin_port = addr.port().to_be();
                v4.sin_addr.s_addr = u32::from_ne_bytes(addr.ip().octets());
                size_of::<libc::sockaddr_in>() as libc::socklen_t
            }
            Address::Inet(SocketAddr::V6(addr)) => {
                // SAFETY: as above.
                let v6: &mut libc::sockaddr_in6 = unsafe { &mut *(&raw mut raw.storage).cast() };
                v6.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                v6.sin6_port = addr.port().to_be();
                v6.sin6_addr.s6_addr = addr.ip().octets();
                v6.sin6_flowinfo = addr.flowinfo();
                v6.sin6_scope_id = addr.scope_id();
                size_of::<libc::sockaddr_in6>() as libc::socklen_t
            }
            Address::Unix(addr) => {
                // SAFETY: as above.
                let unix: &mut libc::sockaddr_un = unsafe { &mut *(&raw mut raw.storage).cast() };
                unix.sun_family = libc::AF_UNIX as libc::sa_family_t;
                let name = addr.as_kernel();
                for (place, &byte) in unix.sun_path.iter_mut().zip(name) {
                    *place = byte as libc::c_char;
                }
                // The NUL that closes a path counts; the name of an abstract one ends where it ends.
                let closing = usize::from(addr.as_path().is_some());
                (UNIX_HEADER + name.len() + closing) as libc::socklen_t
            }
        };
        raw
    }
}

//! The socket calls themselves, for every kernel with real descriptors.
//!
//! Each socket made here is non-blocking and closed on exec from its first moment; writing to one
//! whose peer is gone is an error and no signal. The caller vouches for the numbers it passes: a
//! wrong one is `EBADF`, or somebody else's file, and never a memory error.

#![allow(unsafe_code, reason = "this is where libc is called")]

mod family;
mod option;

use core::mem::{MaybeUninit, size_of};
use core::net::IpAddr;
use core::ptr;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

pub(crate) use self::family::{Family, SocketKind};
pub(crate) use self::option::SocketOption;
use super::address::RawAddress;
use super::fd::Fd;
use super::file::file_offset;
use super::sigpipe::without_sigpipe;
use super::syscall::{retry, syscall, transfer};
use crate::net::address::Address;

/// How many slices Linux takes at once (`IOV_MAX`); more would be an error.
const SLICES_MAX: usize = 1024;

/// Asks not to wait, at each call. On a socket of ours, which doesn't block, it changes nothing and
/// costs nothing: the system sets this flag itself then. A standard stream may be a socket that
/// others have too and that blocks for them, and so `O_NONBLOCK` stays as it is (FAULTS P-14).
const RECEIVE_FLAGS: libc::c_int = libc::MSG_DONTWAIT;

/// Sending raises no signal either (FAULTS N-10).
const SEND_FLAGS: libc::c_int = RECEIVE_FLAGS | libc::MSG_NOSIGNAL;

/// A datagram that was received.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Received {
    /// Is how many bytes are in the buffer.
    pub(crate) length: usize,
    /// Is who sent it.
    pub(crate) from: Address,
    /// Tells that the buffer was too short for it, and the rest is lost.
    pub(crate) is_truncated: bool,
}

/// The file at a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FileAt {
    /// Names the file on this machine, for as long as it exists.
    pub(crate) device_and_inode: (u64, u64),
    pub(crate) is_socket: bool,
}

/// Makes a socket.
pub(super) fn open(family: Family, kind: SocketKind, protocol: i32) -> io::Result<Fd> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers.
    unsafe { syscall!(socket(family.number(), kind.number() | flags, protocol)) }.map(Fd::from_raw)
}

/// Gives a socket its own address.
pub(super) fn bind(fd: Fd, addr: &Address) -> io::Result<()> {
    let raw = RawAddress::from(addr);
    // SAFETY: `raw` is good for reading that many bytes.
    unsafe { syscall!(bind(fd.as_raw(), raw.as_ptr(), raw.length())) }.map(drop)
}

/// Lets a socket listen.
pub(super) fn listen(fd: Fd, backlog: i32) -> io::Result<()> {
    // SAFETY: no pointers.
    unsafe { syscall!(listen(fd.as_raw(), backlog)) }.map(drop)
}

/// Takes the next connection.
pub(super) fn accept(fd: Fd) -> io::Result<(Fd, Address)> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let mut peer = RawAddress::unspecified();
    let (address, length) = peer.as_mut_ptrs();
    // SAFETY: the pointers are good for writing, `length` says how much.
    let socket = retry(|| unsafe { syscall!(accept4(fd.as_raw(), address, length, flags)) })?;
    // SAFETY: made above and nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    let peer = peer.decode()?;
    Ok((give_away(socket), peer))
}

/// Connects, or begins to; tells whether it is done.
pub(super) fn connect(fd: Fd, addr: &Address) -> io::Result<bool> {
    let raw = RawAddress::from(addr);
    // SAFETY: `raw` is good for reading that many bytes.
    match unsafe { syscall!(connect(fd.as_raw(), raw.as_ptr(), raw.length())) } {
        Ok(_) => Ok(true),
        Err(error) if goes_on(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Tells whether a connection is made in the background. Interrupted, it is so all the same and must
/// not be repeated; begun before, by somebody who has ceased to wait for it, too.
fn goes_on(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR | libc::EALREADY))
}

/// Makes two stream sockets connected to each other.
pub(super) fn pair() -> io::Result<(Fd, Fd)> {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let mut fds = [-1; 2];
    // SAFETY: room for two numbers.
    unsafe { syscall!(socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr())) }?;
    Ok((Fd::from_raw(fds[0]), Fd::from_raw(fds[1])))
}

/// Returns the socket's pending error and clears it.
pub(super) fn take_error(fd: Fd) -> io::Result<Option<io::Error>> {
    let errno = option_raw(fd, libc::SOL_SOCKET, libc::SO_ERROR)?;
    Ok((errno != 0).then(|| io::Error::from_raw_os_error(errno)))
}

/// Receives what is there, up to the length of `buf`; 0 is the end of the stream.
pub(super) fn recv(fd: Fd, buf: &mut [u8]) -> io::Result<usize> {
    let (start, length) = (buf.as_mut_ptr().cast(), buf.len());
    // SAFETY: `buf` is good for writing its length.
    transfer(|| unsafe { libc::recv(fd.as_raw(), start, length, RECEIVE_FLAGS) })
}

/// Sends as much of `buf` as there is room for.
pub(super) fn send(fd: Fd, buf: &[u8]) -> io::Result<usize> {
    let (start, length) = (buf.as_ptr().cast(), buf.len());
    // SAFETY: `buf` is good for reading its length.
    transfer(|| unsafe { libc::send(fd.as_raw(), start, length, SEND_FLAGS) })
}

/// Sends as much of `bufs`, one after the other, as there is room for; of more than 1,024 only so many.
pub(super) fn send_vectored(fd: Fd, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    // SAFETY: all zeros is a valid `msghdr`: no address, no slices, no control data.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    // `IoSlice` is an `iovec` by its documentation; `sendmsg` only reads through the pointer.
    message.msg_iov = bufs.as_ptr().cast_mut().cast();
    message.msg_iovlen = bufs.len().min(SLICES_MAX) as _;
    let message = &raw const message;
    // SAFETY: `message` and the slices it names outlive the call.
    let sent = retry(|| unsafe { syscall!(sendmsg(fd.as_raw(), message, SEND_FLAGS)) })?;
    Ok(sent as usize)
}

/// Sends the end of the stream; receiving goes on.
pub(super) fn shutdown_write(fd: Fd) -> io::Result<()> {
    // SAFETY: no pointers.
    unsafe { syscall!(shutdown(fd.as_raw(), libc::SHUT_WR)) }.map(drop)
}

/// Receives one datagram, and tells whether all of it.
pub(super) fn recv_from(fd: Fd, buf: &mut [u8]) -> io::Result<Received> {
    let mut from = RawAddress::unspecified();
    let (address, length) = from.as_mut_ptrs();
    let (start, size) = (buf.as_mut_ptr().cast(), buf.len());
    let received = retry(|| {
        // SAFETY: `buf` is good for writing its length; so are the others, `length` says how much.
        unsafe { syscall!(recvfrom(fd.as_raw(), start, size, libc::MSG_TRUNC, address, length)) }
    })?;
    let whole = received as usize;
    Ok(Received { length: whole.min(size), from: from.decode()?, is_truncated: whole > size })
}

/// Sends one datagram.
pub(super) fn send_to(fd: Fd, buf: &[u8], addr: &Address) -> io::Result<usize> {
    let raw = RawAddress::from(addr);
    let (start, size) = (buf.as_ptr().cast(), buf.len());
    let sent = retry(|| {
        // SAFETY: `buf` and `raw` are good for reading their lengths.
        unsafe { syscall!(sendto(fd.as_raw(), start, size, libc::MSG_NOSIGNAL, raw.as_ptr(), raw.length())) }
    })?;
    Ok(sent as usize)
}

/// Sends a part of a file.
pub(super) fn sendfile(fd: Fd, file: Fd, offset: u64, count: usize) -> io::Result<usize> {
    let mut offset = file_offset(offset)?;
    // SAFETY: `offset` is good for reading and writing.
    without_sigpipe(|| unsafe { libc::sendfile64(fd.as_raw(), file.as_raw(), &raw mut offset, count) })
}

/// Returns the address the socket is bound to.
pub(super) fn local_addr(fd: Fd) -> io::Result<Address> {
    let mut raw = RawAddress::unspecified();
    let (address, length) = raw.as_mut_ptrs();
    // SAFETY: the pointers are good for writing, `length` says how much.
    unsafe { syscall!(getsockname(fd.as_raw(), address, length)) }?;
    raw.decode()
}

/// Returns the address the socket is connected to.
pub(super) fn peer_addr(fd: Fd) -> io::Result<Address> {
    let mut raw = RawAddress::unspecified();
    let (address, length) = raw.as_mut_ptrs();
    // SAFETY: the pointers are good for writing, `length` says how much.
    unsafe { syscall!(getpeername(fd.as_raw(), address, length)) }?;
    raw.decode()
}

/// Sets an option.
pub(super) fn set_option(fd: Fd, option: SocketOption, value: i32) -> io::Result<()> {
    let (level, name) = option.level_and_name();
    set_option_raw(fd, level, name, &value)
}

/// Returns an option.
pub(super) fn option(fd: Fd, option: SocketOption) -> io::Result<i32> {
    let (level, name) = option.level_and_name();
    option_raw(fd, level, name)
}

/// Chooses how long a close may wait to send what is left.
pub(super) fn set_linger(fd: Fd, seconds: Option<u16>) -> io::Result<()> {
    let linger =
        libc::linger { l_onoff: seconds.is_some().into(), l_linger: seconds.unwrap_or_default().into() };
    set_option_raw(fd, libc::SOL_SOCKET, libc::SO_LINGER, &linger)
}

/// Counts what the system dropped, as `SO_RXQ_OVFL` does, but without control data at each datagram.
pub(super) fn receive_drops(fd: Fd) -> io::Result<u32> {
    /// Is the place of the count (`SK_MEMINFO_DROPS` of linux/sock_diag.h).
    const DROPS: usize = 8;
    let mut info = [0_u32; DROPS + 1];
    let mut length = size_of_val(&info) as libc::socklen_t;
    let place = info.as_mut_ptr().cast();
    // SAFETY: `place` is good for writing `length` bytes.
    unsafe { syscall!(getsockopt(fd.as_raw(), libc::SOL_SOCKET, libc::SO_MEMINFO, place, &raw mut length)) }?;
    Ok(info[DROPS])
}

/// Joins or leaves a multicast group.
pub(super) fn set_membership(fd: Fd, group: IpAddr, interface: u32, joins: bool) -> io::Result<()> {
    match group {
        IpAddr::V4(group) => {
            let name = if joins { libc::IP_ADD_MEMBERSHIP } else { libc::IP_DROP_MEMBERSHIP };
            let request = libc::ip_mreqn {
                imr_multiaddr: libc::in_addr { s_addr: u32::from_ne_bytes(group.octets()) },
                imr_address: libc::in_addr { s_addr: 0 },
                imr_ifindex: interface as libc::c_int,
            };
            set_option_raw(fd, libc::IPPROTO_IP, name, &request)
        }
        IpAddr::V6(group) => {
            let name = if joins { libc::IPV6_ADD_MEMBERSHIP } else { libc::IPV6_DROP_MEMBERSHIP };
            let request = libc::ipv6_mreq {
                ipv6mr_multiaddr: libc::in6_addr { s6_addr: group.octets() },
                ipv6mr_interface: interface as _,
            };
            set_option_raw(fd, libc::IPPROTO_IPV6, name, &request)
        }
    }
}

/// Returns what kind of socket it is.
pub(super) fn socket_kind(fd: Fd) -> io::Result<(Family, SocketKind)> {
    let unknown = |what| io::Error::new(io::ErrorKind::Unsupported, what);
    let family = match option_raw(fd, libc::SOL_SOCKET, libc::SO_DOMAIN)? {
        libc::AF_INET => Family::Ipv4,
        libc::AF_INET6 => Family::Ipv6,
        libc::AF_UNIX => Family::Unix,
        _ => return Err(unknown("neither an internet nor a UNIX socket")),
    };
    let kind = match option_raw(fd, libc::SOL_SOCKET, libc::SO_TYPE)? {
        libc::SOCK_STREAM => SocketKind::Stream,
        libc::SOCK_DGRAM => SocketKind::Datagram,
        _ => return Err(unknown("neither a stream nor a datagram socket")),
    };
    Ok((family, kind))
}

/// Makes that operations don't block.
pub(super) fn set_nonblocking(fd: Fd) -> io::Result<()> {
    // SAFETY: no pointers.
    let flags = unsafe { syscall!(fcntl(fd.as_raw(), libc::F_GETFL)) }?;
    if flags & libc::O_NONBLOCK != 0 {
        return Ok(());
    }
    // SAFETY: no pointers.
    unsafe { syscall!(fcntl(fd.as_raw(), libc::F_SETFL, flags | libc::O_NONBLOCK)) }.map(drop)
}

/// Makes that operations on the user's socket don't block, and returns what passes through it if
/// that has a name here.
///
/// # Errors
/// `ENOTSOCK`; otherwise as `fcntl`.
pub(crate) fn prepare(socket: BorrowedFd<'_>) -> io::Result<Option<SocketKind>> {
    let fd = Fd::from_raw(socket.as_raw_fd());
    let kind = match option_raw(fd, libc::SOL_SOCKET, libc::SO_TYPE)? {
        libc::SOCK_STREAM => Some(SocketKind::Stream),
        libc::SOCK_DGRAM => Some(SocketKind::Datagram),
        _ => None,
    };
    set_nonblocking(fd)?;
    Ok(kind)
}

/// Tells which file is at `path`; a symbolic link is a file of its own.
pub(super) fn file_at(path: &Path) -> io::Result<FileAt> {
    let found = std::fs::symlink_metadata(path)?;
    Ok(FileAt { device_and_inode: (found.dev(), found.ino()), is_socket: found.file_type().is_socket() })
}

/// Removes the name of a file.
pub(super) fn unlink(path: &Path) -> io::Result<()> {
    std::fs::remove_file(path)
}

/// Gives a descriptor of ours away.
pub(super) fn hand_over(fd: Fd) -> OwnedFd {
    // SAFETY: open and nobody else's; the caller vouches for the number, and forgets it.
    unsafe { OwnedFd::from_raw_fd(fd.as_raw()) }
}

/// Closes the descriptor, once: Linux has freed the number even when it answers `EINTR`, and by a
/// second attempt it may be somebody else's.
pub(super) fn close(fd: Fd) {
    // SAFETY: no pointers; whose number it is, the caller vouches for.
    if let Err(error) = unsafe { syscall!(close(fd.as_raw())) } {
        let twice = error.raw_os_error() == Some(libc::EBADF);
        debug_assert!(!twice, "{fd:?} closed twice");
        log::debug!("close of {fd:?}: {error}");
    }
}

fn set_option_raw<T>(fd: Fd, level: i32, name: i32, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the pointer is good for reading `length` bytes.
    unsafe { syscall!(setsockopt(fd.as_raw(), level, name, ptr::from_ref(value).cast(), length)) }.map(drop)
}

pub(super) fn option_raw(fd: Fd, level: i32, name: i32) -> io::Result<i32> {
    let mut value: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    let place = (&raw mut value).cast();
    // SAFETY: `place` is good for writing `length` bytes.
    unsafe { syscall!(getsockopt(fd.as_raw(), level, name, place, &raw mut length)) }?;
    Ok(value)
}

/// Leaves the safety of `OwnedFd`, which has closed the socket on every way out until here.
fn give_away(socket: OwnedFd) -> Fd {
    Fd::from_raw(socket.into_raw_fd())
}

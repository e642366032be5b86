//! The socket calls themselves, for every kernel with real descriptors.
//!
//! Each socket made here is non-blocking and closed on exec from its first moment; writing to one
//! whose peer is gone is an error and no signal. The caller vouches for the numbers it passes: a
//! wrong one is `EBADF`, or somebody else's file, and never a memory error.

#![allow(unsafe_code, reason = "this is where libc is called")]

use core::mem::{MaybeUninit, size_of};
use core::net::SocketAddr;
use core::ptr;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};

use super::address::RawAddress;
use super::fd::Fd;
use super::syscall::{retry, syscall};

/// How many slices Linux takes at once (`IOV_MAX`); more would be an error.
const SLICES_MAX: usize = 1024;

/// Makes a socket that listens on `addr`, an IPv6 one for IPv6 alone.
pub(super) fn listen_tcp(addr: SocketAddr, backlog: i32, reuse_address: bool) -> io::Result<Fd> {
    let socket = tcp_socket(&addr)?;
    if reuse_address {
        set_option(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    }
    if addr.is_ipv6() {
        set_option(&socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
    }
    let raw = RawAddress::from(addr);
    // SAFETY: `raw` is good for reading that many bytes.
    unsafe { syscall!(bind(socket.as_raw_fd(), raw.as_ptr(), raw.length())) }?;
    // SAFETY: no pointers.
    unsafe { syscall!(listen(socket.as_raw_fd(), backlog)) }?;
    Ok(give_away(socket))
}

/// Takes the next connection.
pub(super) fn accept(fd: Fd) -> io::Result<(Fd, SocketAddr)> {
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

/// Begins to connect. The socket turns writable when that is decided, and `take_error` says how.
pub(super) fn connect_tcp(addr: SocketAddr) -> io::Result<Fd> {
    let socket = tcp_socket(&addr)?;
    let raw = RawAddress::from(addr);
    // SAFETY: `raw` is good for reading that many bytes.
    match unsafe { syscall!(connect(socket.as_raw_fd(), raw.as_ptr(), raw.length())) } {
        Ok(_) => Ok(give_away(socket)),
        // Interrupted, it goes on in the background all the same and must not be repeated.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR)) => {
            Ok(give_away(socket))
        }
        Err(error) => Err(error),
    }
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
    let mut errno: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    let value = (&raw mut errno).cast();
    // SAFETY: `value` is good for writing `length` bytes.
    unsafe { syscall!(getsockopt(fd.as_raw(), libc::SOL_SOCKET, libc::SO_ERROR, value, &raw mut length)) }?;
    Ok((errno != 0).then(|| io::Error::from_raw_os_error(errno)))
}

/// Receives what is there, up to the length of `buf`; 0 is the end of the stream.
pub(super) fn recv(fd: Fd, buf: &mut [u8]) -> io::Result<usize> {
    let (start, length) = (buf.as_mut_ptr().cast(), buf.len());
    // SAFETY: `buf` is good for writing its length.
    let received = retry(|| unsafe { syscall!(recv(fd.as_raw(), start, length, 0)) })?;
    Ok(received as usize)
}

/// Sends as much of `buf` as there is room for.
pub(super) fn send(fd: Fd, buf: &[u8]) -> io::Result<usize> {
    let (start, length) = (buf.as_ptr().cast(), buf.len());
    // SAFETY: `buf` is good for reading its length.
    let sent = retry(|| unsafe { syscall!(send(fd.as_raw(), start, length, libc::MSG_NOSIGNAL)) })?;
    Ok(sent as usize)
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
    let sent = retry(|| unsafe { syscall!(sendmsg(fd.as_raw(), message, libc::MSG_NOSIGNAL)) })?;
    Ok(sent as usize)
}

/// Sends the end of the stream; receiving goes on.
pub(super) fn shutdown_write(fd: Fd) -> io::Result<()> {
    // SAFETY: no pointers.
    unsafe { syscall!(shutdown(fd.as_raw(), libc::SHUT_WR)) }.map(drop)
}

/// Returns the address the socket is bound to.
pub(super) fn local_addr(fd: Fd) -> io::Result<SocketAddr> {
    let mut raw = RawAddress::unspecified();
    let (address, length) = raw.as_mut_ptrs();
    // SAFETY: the pointers are good for writing, `length` says how much.
    unsafe { syscall!(getsockname(fd.as_raw(), address, length)) }?;
    raw.decode()
}

/// Returns the address the socket is connected to.
pub(super) fn peer_addr(fd: Fd) -> io::Result<SocketAddr> {
    let mut raw = RawAddress::unspecified();
    let (address, length) = raw.as_mut_ptrs();
    // SAFETY: the pointers are good for writing, `length` says how much.
    unsafe { syscall!(getpeername(fd.as_raw(), address, length)) }?;
    raw.decode()
}

/// Sends small pieces at once, or collects them.
pub(super) fn set_nodelay(fd: Fd, on: bool) -> io::Result<()> {
    set_option_raw(fd.as_raw(), libc::IPPROTO_TCP, libc::TCP_NODELAY, on.into())
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

fn tcp_socket(addr: &SocketAddr) -> io::Result<OwnedFd> {
    let family = if addr.is_ipv6() { libc::AF_INET6 } else { libc::AF_INET };
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers.
    let fd = unsafe { syscall!(socket(family, kind, 0)) }?;
    // SAFETY: made above and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn set_option(socket: &OwnedFd, level: i32, name: i32, value: libc::c_int) -> io::Result<()> {
    set_option_raw(socket.as_raw_fd(), level, name, value)
}

fn set_option_raw(fd: i32, level: i32, name: i32, value: libc::c_int) -> io::Result<()> {
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the pointer is good for reading `length` bytes.
    unsafe { syscall!(setsockopt(fd, level, name, ptr::from_ref(&value).cast(), length)) }.map(drop)
}

/// Leaves the safety of `OwnedFd`, which has closed the socket on every way out until here.
fn give_away(socket: OwnedFd) -> Fd {
    Fd::from_raw(socket.into_raw_fd())
}

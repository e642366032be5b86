//! Calls that are about sockets.

use std::io::{self, IoSlice};

use super::{Files, unsupported};
use crate::net::address::Address;
use crate::sys::fd::Fd;
use crate::sys::socket::{Family, SocketKind, SocketOption};

/// Has sockets.
pub(crate) trait Sockets: Files {
    /// Makes a socket: it doesn't block, and is closed on exec, from its first moment.
    ///
    /// # Errors
    /// As `socket`, `EMFILE` and `EAFNOSUPPORT` included.
    fn socket(&self, family: Family, kind: SocketKind, protocol: i32) -> io::Result<Fd> {
        let _ = (family, kind, protocol);
        unsupported("socket")
    }

    /// Makes two stream sockets connected to each other.
    ///
    /// # Errors
    /// As `socketpair`.
    fn socket_pair(&self) -> io::Result<(Fd, Fd)> {
        unsupported("socket_pair")
    }

    /// Returns what kind of socket it is; for one that came from outside.
    ///
    /// # Errors
    /// `ENOTSOCK`; `Unsupported` for a family or kind that has no name here.
    fn socket_kind(&self, fd: Fd) -> io::Result<(Family, SocketKind)> {
        let _ = fd;
        unsupported("socket_kind")
    }

    /// Gives a socket its own address.
    ///
    /// # Errors
    /// As `bind`.
    fn bind(&self, fd: Fd, addr: &Address) -> io::Result<()> {
        let _ = (fd, addr);
        unsupported("bind")
    }

    /// Lets a socket listen, with room for `backlog` connections that nobody accepted yet.
    ///
    /// # Errors
    /// As `listen`.
    fn listen(&self, fd: Fd, backlog: i32) -> io::Result<()> {
        let _ = (fd, backlog);
        unsupported("listen")
    }

    /// Takes the next connection of a listening socket, and the address of its peer.
    ///
    /// # Errors
    /// `WouldBlock` when there is none; else as `accept`, `EMFILE` and `ECONNABORTED` included.
    fn accept(&self, fd: Fd) -> io::Result<(Fd, Address)> {
        let _ = fd;
        unsupported("accept")
    }

    /// Connects, or begins to; tells whether it is done. Otherwise the socket turns writable when it
    /// is decided; how, [`take_error`](Self::take_error) says.
    ///
    /// # Errors
    /// As `connect`, when the failure is known at once; an attempt that goes on already is none.
    /// `WouldBlock` only for UNIX sockets: the
    /// listener's backlog is full, and nothing will tell when it isn't any more.
    fn connect(&self, fd: Fd, addr: &Address) -> io::Result<bool> {
        let _ = (fd, addr);
        unsupported("connect")
    }

    /// Returns the socket's pending error and clears it.
    ///
    /// # Errors
    /// As `getsockopt`.
    fn take_error(&self, fd: Fd) -> io::Result<Option<io::Error>> {
        let _ = fd;
        unsupported("take_error")
    }

    /// Receives up to the length of `buf`; 0 is the end of the stream, unless `buf` is empty.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; else as `recv`. Never `Interrupted`.
    fn recv(&self, fd: Fd, buf: &mut [u8]) -> io::Result<usize> {
        let _ = (fd, buf);
        unsupported("recv")
    }

    /// Sends as much of `buf` as there is room for and returns how much that was.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room; `BrokenPipe`, without a signal, when nobody will read it;
    /// else as `send`. Never `Interrupted`.
    fn send(&self, fd: Fd, buf: &[u8]) -> io::Result<usize> {
        let _ = (fd, buf);
        unsupported("send")
    }

    /// Sends as much of `bufs`, in their order, as there is room for. It may take only the first 1,024.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    fn send_vectored(&self, fd: Fd, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let _ = (fd, bufs);
        unsupported("send_vectored")
    }

    /// Sends up to `count` bytes of `file` from `offset` on, without copying them through the process.
    ///
    /// # Errors
    /// As `sendfile`: `EINVAL` for what it can't send from, `WouldBlock` when there is no room.
    fn sendfile(&self, fd: Fd, file: Fd, offset: u64, count: usize) -> io::Result<usize> {
        let _ = (fd, file, offset, count);
        unsupported("sendfile")
    }

    /// Sends the end of the stream; receiving goes on.
    ///
    /// # Errors
    /// `NotConnected` when the peer is gone already.
    fn shutdown_write(&self, fd: Fd) -> io::Result<()> {
        let _ = fd;
        unsupported("shutdown_write")
    }

    /// Returns the address that the socket is bound to.
    ///
    /// # Errors
    /// `Unsupported` for a socket of another family; else as `getsockname`.
    fn local_addr(&self, fd: Fd) -> io::Result<Address> {
        let _ = fd;
        unsupported("local_addr")
    }

    /// Returns the address that the socket is connected to.
    ///
    /// # Errors
    /// `NotConnected`; `Unsupported` for a socket of another family.
    fn peer_addr(&self, fd: Fd) -> io::Result<Address> {
        let _ = fd;
        unsupported("peer_addr")
    }

    /// Sets an option of a socket.
    ///
    /// # Errors
    /// As `setsockopt`.
    fn set_option(&self, fd: Fd, option: SocketOption, value: i32) -> io::Result<()> {
        let _ = (fd, option, value);
        unsupported("setsockopt")
    }

    /// Returns an option of a socket.
    ///
    /// # Errors
    /// As `getsockopt`.
    fn option(&self, fd: Fd, option: SocketOption) -> io::Result<i32> {
        let _ = (fd, option);
        unsupported("getsockopt")
    }

    /// Chooses how long a close may wait to send what is left; `None` is the system's way, in the
    /// background, and zero seconds drops it and resets the connection (`SO_LINGER`).
    ///
    /// # Errors
    /// As `setsockopt`.
    fn set_linger(&self, fd: Fd, seconds: Option<u16>) -> io::Result<()> {
        let _ = (fd, seconds);
        unsupported("setsockopt")
    }
}

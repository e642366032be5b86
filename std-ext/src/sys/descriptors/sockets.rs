//! Sockets, by system calls.

use std::io::{self, IoSlice};

use super::RealDescriptors;
use crate::net::address::Address;
use crate::sys::fd::Fd;
use crate::sys::kernel::Sockets;
use crate::sys::socket;
use crate::sys::socket::{Family, SocketKind, SocketOption};

impl<K: RealDescriptors> Sockets for K {
    fn socket(&self, family: Family, kind: SocketKind, protocol: i32) -> io::Result<Fd> {
        socket::open(family, kind, protocol)
    }

    fn socket_pair(&self) -> io::Result<(Fd, Fd)> {
        socket::pair()
    }

    fn socket_kind(&self, fd: Fd) -> io::Result<(Family, SocketKind)> {
        socket::socket_kind(fd)
    }

    fn bind(&self, fd: Fd, addr: &Address) -> io::Result<()> {
        socket::bind(fd, addr)
    }

    fn listen(&self, fd: Fd, backlog: i32) -> io::Result<()> {
        socket::listen(fd, backlog)
    }

    fn accept(&self, fd: Fd) -> io::Result<(Fd, Address)> {
        socket::accept(fd)
    }

    fn connect(&self, fd: Fd, addr: &Address) -> io::Result<bool> {
        socket::connect(fd, addr)
    }

    fn take_error(&self, fd: Fd) -> io::Result<Option<io::Error>> {
        socket::take_error(fd)
    }

    fn recv(&self, fd: Fd, buf: &mut [u8]) -> io::Result<usize> {
        socket::recv(fd, buf)
    }

    fn send(&self, fd: Fd, buf: &[u8]) -> io::Result<usize> {
        socket::send(fd, buf)
    }

    fn send_vectored(&self, fd: Fd, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        socket::send_vectored(fd, bufs)
    }

    fn sendfile(&self, fd: Fd, file: Fd, offset: u64, count: usize) -> io::Result<usize> {
        socket::sendfile(fd, file, offset, count)
    }

    fn shutdown_write(&self, fd: Fd) -> io::Result<()> {
        socket::shutdown_write(fd)
    }

    fn local_addr(&self, fd: Fd) -> io::Result<Address> {
        socket::local_addr(fd)
    }

    fn peer_addr(&self, fd: Fd) -> io::Result<Address> {
        socket::peer_addr(fd)
    }

    fn set_option(&self, fd: Fd, option: SocketOption, value: i32) -> io::Result<()> {
        socket::set_option(fd, option, value)
    }

    fn option(&self, fd: Fd, option: SocketOption) -> io::Result<i32> {
        socket::option(fd, option)
    }

    fn set_linger(&self, fd: Fd, seconds: Option<u16>) -> io::Result<()> {
        socket::set_linger(fd, seconds)
    }
}

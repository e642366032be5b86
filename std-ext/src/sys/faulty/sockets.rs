//! Sockets that fail.

use std::io::{self, IoSlice};

use super::{FaultyKernel, scripted};
use crate::faults::Operation;
use crate::net::address::Address;
use crate::sys::fd::Fd;
use crate::sys::kernel::Sockets;
use crate::sys::socket::{Family, SocketKind, SocketOption};

impl Sockets for FaultyKernel {
    fn socket(&self, family: Family, kind: SocketKind, protocol: i32) -> io::Result<Fd> {
        self.before(Operation::Socket, Fd::NONE)?;
        self.kernel.socket(family, kind, protocol)
    }

    fn socket_pair(&self) -> io::Result<(Fd, Fd)> {
        self.before(Operation::SocketPair, Fd::NONE)?;
        self.kernel.socket_pair()
    }

    fn recv(&self, fd: Fd, buf: &mut [u8]) -> io::Result<usize> {
        self.before(Operation::Recv, fd)?;
        let count = self.faults.limited(Operation::Recv, buf.len());
        let received = self.kernel.recv(fd, &mut buf[..count])?;
        if received == count && count < buf.len() {
            // Short, and yet more may be there: as by a peer that has just sent it.
            self.report_again(fd);
        }
        Ok(received)
    }

    fn send(&self, fd: Fd, buf: &[u8]) -> io::Result<usize> {
        self.before(Operation::Send, fd)?;
        let count = self.faults.limited(Operation::Send, buf.len());
        let sent = self.kernel.send(fd, &buf[..count])?;
        if sent == count && count < buf.len() {
            self.report_again(fd);
        }
        Ok(sent)
    }

    fn send_vectored(&self, fd: Fd, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let total = bufs.iter().map(|buf| buf.len()).sum();
        if self.faults.limited(Operation::Send, total) == total {
            self.before(Operation::Send, fd)?;
            return self.kernel.send_vectored(fd, bufs);
        }
        let first = bufs.iter().find(|buf| !buf.is_empty());
        let sent = self.send(fd, first.map_or(&[], |buf| buf))?;
        self.report_again(fd);
        Ok(sent)
    }

    fn sendfile(&self, fd: Fd, file: Fd, offset: u64, count: usize) -> io::Result<usize> {
        self.before(Operation::Sendfile, fd)?;
        self.kernel.sendfile(fd, file, offset, self.faults.limited(Operation::Sendfile, count))
    }

    scripted! {
        SocketKind: socket_kind(fd) -> (Family, SocketKind);
        Bind: bind(fd, addr: &Address) -> ();
        Listen: listen(fd, backlog: i32) -> ();
        Accept: accept(fd) -> (Fd, Address);
        Connect: connect(fd, addr: &Address) -> bool;
        TakeError: take_error(fd) -> Option<io::Error>;
        ShutdownWrite: shutdown_write(fd) -> ();
        LocalAddr: local_addr(fd) -> Address;
        PeerAddr: peer_addr(fd) -> Address;
        SetOption: set_option(fd, option: SocketOption, value: i32) -> ();
        Option: option(fd, option: SocketOption) -> i32;
        SetOption: set_linger(fd, seconds: Option<u16>) -> ();
    }
}

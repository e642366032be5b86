//! Calls that are about sockets of datagrams.

use core::net::IpAddr;
use std::io;

use super::{Sockets, unsupported};
use crate::net::address::Address;
use crate::sys::datagrams::{Batch, ReceiveBatch, SendBatch};
use crate::sys::fd::Fd;
use crate::sys::socket::Received;

/// Sends and receives datagrams.
pub(crate) trait Datagrams: Sockets {
    /// Receives one datagram.
    ///
    /// # Errors
    /// As [`recv`](Sockets::recv); also what an earlier datagram met, such as `ConnectionRefused`.
    fn recv_from(&self, fd: Fd, buf: &mut [u8]) -> io::Result<Received> {
        let _ = (fd, buf);
        unsupported("recv_from")
    }

    /// Sends one datagram, whole or not at all.
    ///
    /// # Errors
    /// As [`send`](Sockets::send), `EMSGSIZE` for one that is too large.
    fn send_to(&self, fd: Fd, buf: &[u8], addr: &Address) -> io::Result<usize> {
        let _ = (fd, buf, addr);
        unsupported("send_to")
    }

    /// Receives up to `most` datagrams, without waiting for more than there are. `batch` has them
    /// until the next call.
    ///
    /// # Errors
    /// As [`recv_from`](Self::recv_from), if it met the first; one that it met later comes with the
    /// next call.
    fn recv_batch(&self, fd: Fd, batch: &mut ReceiveBatch, most: usize) -> io::Result<Batch> {
        let _ = most;
        batch.fill_one(|buf| self.recv_from(fd, buf))
    }

    /// Sends the datagrams of `batch` from number `first` on, and returns how many were sent, one at
    /// least.
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to), if it met the first; the others were not tried. A socket that is
    /// connected may lose an error that it met later: `sendmmsg` has no way to return it.
    fn send_batch(&self, fd: Fd, batch: &mut SendBatch, first: usize) -> io::Result<usize> {
        let (data, to) = batch.get(first);
        self.send_to(fd, data, to).map(|_| 1)
    }

    /// Counts the datagrams that the system received for the socket and dropped, for want of room
    /// in its buffer most often; it wraps around.
    ///
    /// # Errors
    /// As `getsockopt`: `ENOPROTOOPT` before Linux 4.12.
    fn receive_drops(&self, fd: Fd) -> io::Result<u32> {
        let _ = fd;
        unsupported("getsockopt")
    }

    /// Joins or leaves a multicast group, on the interface of this number; 0 is the system's choice.
    ///
    /// # Errors
    /// As `setsockopt`: `ENODEV` for an interface that isn't there, `EADDRINUSE` for a group joined
    /// already, `EADDRNOTAVAIL` for one that was not.
    fn set_membership(&self, fd: Fd, group: IpAddr, interface: u32, joins: bool) -> io::Result<()> {
        let _ = (fd, group, interface, joins);
        unsupported("setsockopt")
    }
}

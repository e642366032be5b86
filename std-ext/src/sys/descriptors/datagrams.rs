//! Datagrams, by system calls.

use core::net::IpAddr;
use std::io;

use super::RealDescriptors;
use crate::net::address::Address;
use crate::sys::datagrams::{Batch, ReceiveBatch, SendBatch};
use crate::sys::fd::Fd;
use crate::sys::kernel::Datagrams;
use crate::sys::socket::Received;
use crate::sys::{datagrams, socket};

impl<K: RealDescriptors> Datagrams for K {
    fn recv_from(&self, fd: Fd, buf: &mut [u8]) -> io::Result<Received> {
        socket::recv_from(fd, buf)
    }

    fn send_to(&self, fd: Fd, buf: &[u8], addr: &Address) -> io::Result<usize> {
        socket::send_to(fd, buf, addr)
    }

    fn recv_batch(&self, fd: Fd, batch: &mut ReceiveBatch, most: usize) -> io::Result<Batch> {
        datagrams::recv_batch(fd, batch, most)
    }

    fn send_batch(&self, fd: Fd, batch: &mut SendBatch, first: usize) -> io::Result<usize> {
        datagrams::send_batch(fd, batch, first)
    }

    fn receive_drops(&self, fd: Fd) -> io::Result<u32> {
        socket::receive_drops(fd)
    }

    fn set_membership(&self, fd: Fd, group: IpAddr, interface: u32, joins: bool) -> io::Result<()> {
        socket::set_membership(fd, group, interface, joins)
    }
}

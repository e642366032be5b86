//! Datagrams that fail.

use core::net::IpAddr;

use super::{FaultyKernel, scripted};
use crate::net::address::Address;
use crate::sys::datagrams::{Batch, ReceiveBatch, SendBatch};
use crate::sys::kernel::Datagrams;
use crate::sys::socket::Received;

impl Datagrams for FaultyKernel {
    scripted! {
        RecvFrom: recv_from(fd, buf: &mut [u8]) -> Received;
        SendTo: send_to(fd, buf: &[u8], addr: &Address) -> usize;
        RecvFrom: recv_batch(fd, batch: &mut ReceiveBatch, most: usize) -> Batch;
        SendTo: send_batch(fd, batch: &mut SendBatch, first: usize) -> usize;
        Option: receive_drops(fd) -> u32;
        SetOption: set_membership(fd, group: IpAddr, interface: u32, joins: bool) -> ();
    }
}

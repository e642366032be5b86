//! Datagrams in batches: `recvmmsg` and `sendmmsg`.
//!
//! The memory of a batch is made once; only the slots that a call may use are prepared for it, so a
//! small batch costs little.

#![allow(unsafe_code, reason = "the system's headers point into the batch")]

use core::mem::MaybeUninit;
use core::ptr;
use std::io;

use super::address::RawAddress;
use super::fd::Fd;
use super::memory;
use super::socket::{self, Received};
use super::syscall::{retry, syscall};
use crate::net::address::{Address, UnixAddr};

/// Keeps the slots of a batch from falling on the same lines of a cache.
const SKEW: usize = 2048 + 64;

/// What the system is told about each datagram of a batch.
struct Heads {
    heads: Vec<libc::mmsghdr>,
    slices: Vec<libc::iovec>,
    addresses: Vec<RawAddress>,
}

impl Heads {
    fn new(count: usize) -> Self {
        // SAFETY: all zeros are valid numbers and null pointers.
        let (head, slice) =
            unsafe { (MaybeUninit::zeroed().assume_init(), MaybeUninit::zeroed().assume_init()) };
        Self {
            heads: vec![head; count],
            slices: vec![slice; count],
            addresses: (0..count).map(|_| RawAddress::unspecified()).collect(),
        }
    }

    /// Lets head `index` name `length` bytes at `start` and the address of the same number.
    fn point(&mut self, index: usize, start: *mut u8, length: usize) {
        assert!(index < self.heads.len(), "no such slot");
        // SAFETY: the three have the same length. No reference to all of them is made, which would
        // end the pointers that earlier heads got.
        unsafe {
            let slice = self.slices.as_mut_ptr().add(index);
            slice.write(libc::iovec { iov_base: start.cast(), iov_len: length });
            let address = &mut *self.addresses.as_mut_ptr().add(index);
            let head = &mut (*self.heads.as_mut_ptr().add(index)).msg_hdr;
            head.msg_namelen = address.length();
            head.msg_name = address.as_mut_ptrs().0.cast();
            head.msg_iov = slice;
            head.msg_iovlen = 1;
            head.msg_flags = 0;
        }
    }
}

/// A datagram in a [`ReceiveBatch`].
struct Slot {
    length: usize,
    is_truncated: bool,
    /// Tells which of the two is its sender; the other is kept for the next of its
    /// family.
    is_inet: bool,
    inet: Address,
    unix: Address,
}

impl Slot {
    fn empty() -> Self {
        let (inet, unix) = (UnixAddr::default().into(), UnixAddr::default().into());
        Self { length: 0, is_truncated: false, is_inet: false, inet, unix }
    }

    fn from(&mut self) -> &mut Address {
        if self.is_inet { &mut self.inet } else { &mut self.unix }
    }
}

/// How a receiving call ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Batch {
    /// Is how many datagrams are in the batch, one at least.
    pub(crate) count: usize,
    /// Tells that there was no other, unless an error waits.
    pub(crate) is_drained: bool,
}

/// Room for some datagrams.
pub(crate) struct ReceiveBatch {
    bytes: Box<[u8]>,
    /// Is how many bytes of one datagram there is room for.
    room: usize,
    slots: Box<[Slot]>,
    heads: Heads,
}

impl ReceiveBatch {
    /// Makes room for `count` datagrams of up to `room` bytes. No page of it is touched.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub(crate) fn new(count: usize, room: usize) -> io::Result<Self> {
        let bytes = room.checked_add(SKEW).and_then(|each| each.checked_mul(count));
        let bytes = memory::zeroed(bytes.ok_or(io::ErrorKind::OutOfMemory)?)?;
        let slots = (0..count).map(|_| Slot::empty()).collect();
        Ok(Self { bytes, room, slots, heads: Heads::new(count) })
    }

    /// Returns a datagram of the last call: its bytes, its sender, and whether it was cut off.
    pub(crate) fn get(&self, index: usize) -> (&[u8], &Address, bool) {
        let slot = &self.slots[index];
        let start = index * (self.room + SKEW);
        let from = if slot.is_inet { &slot.inet } else { &slot.unix };
        (&self.bytes[start..][..slot.length], from, slot.is_truncated)
    }

    /// Receives a single one by `receive`: how a system without batches does it.
    pub(crate) fn fill_one(
        &mut self,
        receive: impl FnOnce(&mut [u8]) -> io::Result<Received>,
    ) -> io::Result<Batch> {
        let Received { length, from, is_truncated } = receive(&mut self.bytes[..self.room])?;
        let slot = &mut self.slots[0];
        (slot.length, slot.is_truncated) = (length, is_truncated);
        slot.is_inet = from.as_inet().is_some();
        *slot.from() = from;
        Ok(Batch { count: 1, is_drained: false })
    }
}

/// Receives up to `most` datagrams, as many as there is room for.
pub(super) fn recv_batch(fd: Fd, batch: &mut ReceiveBatch, most: usize) -> io::Result<Batch> {
    let most = most.min(batch.slots.len());
    let start = batch.bytes.as_mut_ptr();
    for address in batch.heads.addresses.iter_mut().take(most) {
        address.reset();
    }
    for index in 0..most {
        // SAFETY: so many slots are in `bytes`.
        let slot = unsafe { start.add(index * (batch.room + SKEW)) };
        batch.heads.point(index, slot, batch.room);
    }
    let heads = batch.heads.heads.as_mut_ptr();
    let received = retry(|| {
        // SAFETY: so many heads are prepared; what they point to is good for writing as much as they
        // say, and outlives the call.
        unsafe { syscall!(recvmmsg(fd.as_raw(), heads, most as libc::c_uint, 0, ptr::null_mut())) }
    });
    let count = match received {
        Ok(count) => count as usize,
        Err(error) if is_missing(&error) => return batch.fill_one(|buf| socket::recv_from(fd, buf)),
        Err(error) => return Err(error),
    };
    for (index, slot) in batch.slots.iter_mut().enumerate().take(count) {
        let head = &batch.heads.heads[index];
        slot.length = (head.msg_len as usize).min(batch.room);
        slot.is_truncated = head.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        let address = &mut batch.heads.addresses[index];
        slot.is_inet = address.is_inet(head.msg_hdr.msg_namelen);
        address.decode_into(head.msg_hdr.msg_namelen, slot.from());
    }
    Ok(Batch { count, is_drained: count < most })
}

/// Datagrams that are about to be sent.
pub(crate) struct SendBatch {
    /// Invariant: grows to no more than it was made with.
    bytes: Vec<u8>,
    /// Is where each begins, how long it is and where it goes.
    /// Invariant: grows to no more than it was made with.
    datagrams: Vec<(usize, usize, Address)>,
    heads: Heads,
}

impl SendBatch {
    /// Makes room for `count` datagrams, of `room` bytes together.
    pub(crate) fn new(count: usize, room: usize) -> Self {
        let (bytes, datagrams) = (Vec::with_capacity(room), Vec::with_capacity(count));
        Self { bytes, datagrams, heads: Heads::new(count) }
    }

    pub(crate) fn len(&self) -> usize {
        self.datagrams.len()
    }

    /// Tells whether there is room for another of so many bytes.
    pub(crate) fn has_room(&self, length: usize) -> bool {
        self.datagrams.len() < self.datagrams.capacity().min(self.heads.heads.len())
            && length <= self.bytes.capacity() - self.bytes.len()
    }

    /// Appends one, for which there is room.
    pub(crate) fn push(&mut self, data: &[u8], to: &Address) {
        self.datagrams.push((self.bytes.len(), data.len(), to.clone()));
        self.bytes.extend_from_slice(data);
    }

    pub(crate) fn get(&self, index: usize) -> (&[u8], &Address) {
        let (start, length, to) = &self.datagrams[index];
        (&self.bytes[*start..][..*length], to)
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.datagrams.clear();
    }
}

/// Sends the datagrams from number `first` on, as many as there is room for, up to one that fails.
pub(super) fn send_batch(fd: Fd, batch: &mut SendBatch, first: usize) -> io::Result<usize> {
    let start = batch.bytes.as_mut_ptr();
    for (address, (_, _, to)) in batch.heads.addresses.iter_mut().zip(&batch.datagrams).skip(first) {
        *address = RawAddress::from(to);
    }
    for (index, (offset, length, _)) in batch.datagrams.iter().enumerate().skip(first) {
        // SAFETY: lies within `bytes`.
        let data = unsafe { start.add(*offset) };
        batch.heads.point(index, data, *length);
    }
    let count = (batch.datagrams.len() - first) as libc::c_uint;
    let heads = batch.heads.heads[first..].as_mut_ptr();
    let sent = retry(|| {
        // SAFETY: so many heads are prepared; the system only reads what they point to, and that
        // outlives the call.
        unsafe { syscall!(sendmmsg(fd.as_raw(), heads, count, libc::MSG_NOSIGNAL as _)) }
    });
    match sent {
        Ok(sent) => Ok(sent as usize),
        Err(error) if is_missing(&error) => {
            let (data, to) = batch.get(first);
            socket::send_to(fd, data, to).map(|_| 1)
        }
        Err(error) => Err(error),
    }
}

/// Tells whether the system doesn't know the call, or a sandbox forbids it (FAULTS P-13).
/// `EPERM` may be a firewall's answer too; the single call then gives the same.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM))
}

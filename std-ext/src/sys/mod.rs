//! The seam to the operating system, and the only place that names `libc` and `mio`.
//!
//! The loop is *given* its world: whatever it wants from outside it asks of one [`Kernel`], held as
//! `Rc<dyn Kernel>`. A virtual call costs nothing beside a system call, and in exchange the same
//! program runs unmodified on each of them:
//!
//! | kernel | descriptors | clock | a wait with nothing ready |
//! |---|---|---|---|
//! | [`RealKernel`] | real | `CLOCK_MONOTONIC` | sleeps |
//! | [`ManualKernel`] | real | the test moves it | jumps to the deadline |
//! | [`FaultyKernel`] | real, with answers from a script | the test moves it | jumps to the deadline |
//! | [`NullKernel`] | none | moves by waits | jumps to the deadline |
//!
//! Inside the seam a descriptor is a plain number, [`Fd`]; it is closed by its owner through the
//! kernel that made it. [`Doorbell`] is the one thing here that other threads and signal handlers
//! may touch.
//!
//! Where is what: [`fd`] the values, [`doorbell`] waking, [`real`], [`manual`], [`faulty`] and
//! [`null`] the kernels, [`poller`] readiness by mio, [`forks`] whose it is, [`clock`] time and exact deadlines, [`socket`],
//! [`datagrams`] and [`address`] the socket calls, [`file`], [`pipe`], [`lent`], [`sigpipe`] and [`terminal`] those of files, [`child`] processes, [`worker`] those of a pool, [`names`] the system's resolver, [`inherited`] and
//! [`limits`] what the process was given and may use, [`processes`], [`threads`] and
//! [`entropy`] what they are called, [`signals`] signals, [`memory`] the tables' memory, [`syscall`] how errors are read.

mod fd;

mod doorbell;
mod gate;

pub(crate) mod inherited;

mod limits;

mod real;

#[allow(dead_code, reason = "chosen by tests alone; always compiled, so that the seam stays honest")]
mod manual;

mod faulty;

#[allow(dead_code, reason = "chosen by tests alone; always compiled, so that the seam stays honest")]
mod null;

mod forks;
mod poller;

mod clock;

mod socket;

mod datagrams;

mod file;

pub(crate) mod child;

mod lent;
mod pipe;
mod sigpipe;

pub(crate) mod terminal;

mod address;

pub(crate) mod names;

mod entropy;

mod processes;
mod threads;

pub(crate) mod worker;

pub(crate) mod signals;

pub(crate) mod memory;

mod syscall;

#[cfg(test)]
mod tests;

use core::net::IpAddr;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::SystemTime;

use rondel_core::Instant;

use crate::net::address::Address;
use crate::sources::Direction;
use crate::supervision::ResourceLimit;

pub(crate) use clock::ThreadClock;
pub(crate) use datagrams::{Batch, ReceiveBatch, SendBatch};
pub(crate) use doorbell::Doorbell;
pub(crate) use faulty::FaultyKernel;
pub(crate) use fd::{Event, Events, Fd, Interest, Token};
pub(crate) use file::{FileFlags, FileKind};
pub(crate) use limits::Limited;
pub(crate) use manual::ManualKernel;
pub(crate) use null::NullKernel;
pub(crate) use processes::{ProcessSource, Processes};
pub(crate) use real::RealKernel;
pub(crate) use socket::{Family, FileAt, Received, SocketKind, SocketOption, prepare};
pub(crate) use syscall::{
    is_always_ready, is_family_unknown, is_of_one_connection, is_out_of_resources, is_terminal_gone,
};
pub(crate) use threads::{RealThreads, ThreadSource, Threads};

/// Everything that the loop wants from outside.
///
/// All methods take `&self`, none calls back into the loop, and all belong to the loop's thread. What
/// needs a descriptor is `Unsupported` unless a kernel has it. Each method stands in [`faulty`] too,
/// so that a test can have it fail.
#[allow(dead_code, reason = "the rooms of the network use the rest; each kernel has all of it, tested")]
pub(crate) trait Kernel {
    /// Reads the clock, counted from the kernel's construction; never earlier than the reading before
    /// (FAULTS T-05).
    fn now(&self) -> Instant;

    /// Returns the same clock for other threads; `None` where only the loop's thread can read it.
    fn thread_clock(&self) -> Option<ThreadClock> {
        None
    }

    /// Reads the wall clock, which may jump: for certificates and logs, never for deadlines.
    fn wall_clock(&self) -> SystemTime;

    /// Begins to watch `fd`; its events carry `token`.
    ///
    /// Edge-triggered: an event comes when something changes, and once for what is ready already.
    ///
    /// # Errors
    /// `EPERM` for what is always ready, as regular files are; `EEXIST` for a descriptor watched
    /// already; `InvalidInput` for a token that is the kernel's own.
    fn register(&self, fd: Fd, token: Token, interest: Interest) -> io::Result<()> {
        let _ = (fd, token, interest);
        unsupported("register")
    }

    /// Changes what is watched, and has what is ready now reported again: how a level-triggered
    /// promise is kept on edges.
    ///
    /// # Errors
    /// `ENOENT` for a descriptor that isn't watched; otherwise as [`register`](Self::register).
    fn reregister(&self, fd: Fd, token: Token, interest: Interest) -> io::Result<()> {
        let _ = (fd, token, interest);
        unsupported("reregister")
    }

    /// Ceases to watch `fd`. To be called before closing it, on every path: a duplicate elsewhere
    /// would keep the registration alive.
    ///
    /// # Errors
    /// `ENOENT` for a descriptor that isn't watched.
    fn deregister(&self, fd: Fd) -> io::Result<()> {
        let _ = fd;
        unsupported("deregister")
    }

    /// Waits until a descriptor is ready, the doorbell rings or `deadline` has come, and leaves the
    /// events in `events`, whatever was in there before.
    ///
    /// `None` and [`Instant::MAX`] are "for ever". A deadline that has passed, such as
    /// [`Instant::ZERO`], looks without waiting; that is one system call and reads no clock. Other
    /// deadlines are met to the precision of the clock and never missed; signals neither end the
    /// wait nor stretch it. It may return early and empty-handed; the caller looks at the clock and
    /// waits again.
    ///
    /// # Errors
    /// `Deadlock` when the kernel knows that nothing can ever end this wait.
    fn wait(&self, deadline: Option<Instant>, events: &mut Events) -> io::Result<()>;

    /// Keeps the processor busy until `end`, or until `is_over`. Not at all where the clock is not the
    /// world's.
    fn spin(&self, end: Instant, is_over: &dyn Fn() -> bool) {
        let _ = (end, is_over);
    }

    /// Makes `bell` end this kernel's waits; what rang before rings now. One bell at a time.
    ///
    /// # Errors
    /// `AlreadyExists` when kernel or bell are taken; else when no descriptor is left, or the system
    /// denies writing to it.
    fn attach_doorbell(&self, bell: &'static Doorbell) -> io::Result<()>;

    /// Lets go of `bell` and closes its descriptor; later rings do nothing. A bell that isn't this
    /// kernel's is left alone. Dropping the kernel does the same.
    fn detach_doorbell(&self, bell: &'static Doorbell);

    /// Makes a socket: it doesn't block, and is closed on exec, from its first moment.
    ///
    /// # Errors
    /// As `socket`, `EMFILE` and `EAFNOSUPPORT` included.
    fn socket(&self, family: Family, kind: SocketKind, protocol: i32) -> io::Result<Fd> {
        let _ = (family, kind, protocol);
        unsupported("socket")
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

    /// Receives one datagram.
    ///
    /// # Errors
    /// As [`recv`](Self::recv); also what an earlier datagram met, such as `ConnectionRefused`.
    fn recv_from(&self, fd: Fd, buf: &mut [u8]) -> io::Result<Received> {
        let _ = (fd, buf);
        unsupported("recv_from")
    }

    /// Sends one datagram, whole or not at all.
    ///
    /// # Errors
    /// As [`send`](Self::send), `EMSGSIZE` for one that is too large.
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

    /// Sends up to `count` bytes of `file` from `offset` on, without copying them through the process.
    ///
    /// # Errors
    /// As `sendfile`: `EINVAL` for what it can't send from, `WouldBlock` when there is no room.
    fn sendfile(&self, fd: Fd, file: Fd, offset: u64, count: usize) -> io::Result<usize> {
        let _ = (fd, file, offset, count);
        unsupported("sendfile")
    }

    /// Reads a part of a file from `offset` on, wherever its position is; 0 is its end. May wait for
    /// the disk.
    ///
    /// # Errors
    /// As `pread`.
    fn read_at(&self, fd: Fd, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let _ = (fd, buf, offset);
        unsupported("pread")
    }

    /// Sets the position of a file, counted in bytes from its begin.
    ///
    /// # Errors
    /// As `lseek`.
    fn seek(&self, fd: Fd, offset: u64) -> io::Result<()> {
        let _ = (fd, offset);
        unsupported("lseek")
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

    /// Returns what kind of socket it is; for one that came from outside.
    ///
    /// # Errors
    /// `ENOTSOCK`; `Unsupported` for a family or kind that has no name here.
    fn socket_kind(&self, fd: Fd) -> io::Result<(Family, SocketKind)> {
        let _ = fd;
        unsupported("socket_kind")
    }

    /// Makes that operations on `fd` don't block. Concerns everyone who shares the open file.
    ///
    /// # Errors
    /// As `fcntl`.
    fn set_nonblocking(&self, fd: Fd) -> io::Result<()> {
        let _ = fd;
        unsupported("set_nonblocking")
    }

    /// Makes that operations on `fd`, which others share, don't block until all that were lent to this process
    /// are given back; tells whether this one has to be, as it is unless others made it so.
    ///
    /// # Errors
    /// As `fcntl`.
    fn lend(&self, fd: Fd) -> io::Result<bool> {
        let _ = fd;
        unsupported("lend")
    }

    /// Gives back what was lent; once for each time.
    fn give_back(&self) {}

    /// Tells what `fd` is open on.
    ///
    /// # Errors
    /// As `fstat`.
    fn file_kind(&self, fd: Fd) -> io::Result<FileKind> {
        let _ = fd;
        unsupported("fstat")
    }

    /// Tells how the file of `fd` was opened.
    ///
    /// # Errors
    /// As `fcntl`.
    fn file_flags(&self, fd: Fd) -> io::Result<FileFlags> {
        let _ = fd;
        unsupported("file_flags")
    }

    /// Makes a pipe: the end to read from, and the end to write to. Both are closed on exec and block,
    /// since the other end may be for somebody who knows nothing else.
    ///
    /// # Errors
    /// As `pipe`.
    fn pipe(&self) -> io::Result<(Fd, Fd)> {
        unsupported("pipe")
    }

    /// Makes a second descriptor of the same open file, which is closed on exec.
    ///
    /// # Errors
    /// As `dup`.
    fn duplicate(&self, fd: Fd) -> io::Result<Fd> {
        let _ = fd;
        unsupported("duplicate")
    }

    /// Opens the file of `fd` once more, for one direction, without blocking: what is set for it holds
    /// for nobody else. Position and contents of a file on a disk would not be shared either.
    ///
    /// # Errors
    /// As `open`: `ENXIO` for a socket, `EACCES` for the terminal of somebody else, `ENOENT` without
    /// `/proc`.
    fn reopen(&self, fd: Fd, direction: Direction) -> io::Result<Fd> {
        let _ = (fd, direction);
        unsupported("reopen")
    }

    /// Reads up to the length of `buf`; 0 is the end, unless `buf` is empty.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; else as `read`. Never `Interrupted`.
    fn read(&self, fd: Fd, buf: &mut [u8]) -> io::Result<usize> {
        let _ = (fd, buf);
        unsupported("read")
    }

    /// Writes as much of `buf` as there is room for and returns how much that was.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room; `BrokenPipe`, without a signal, when nobody will read it;
    /// else as `write`. Never `Interrupted`.
    fn write(&self, fd: Fd, buf: &[u8]) -> io::Result<usize> {
        let _ = (fd, buf);
        unsupported("write")
    }

    /// Writes as much of `bufs`, in their order, as there is room for. It may take only the first 1,024.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    fn write_vectored(&self, fd: Fd, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let _ = (fd, bufs);
        unsupported("write_vectored")
    }

    /// Tells which file is at `path`: by this a socket's owner knows whether it is still its own.
    ///
    /// # Errors
    /// As `lstat`; `NotFound` when there is none.
    fn file_at(&self, path: &Path) -> io::Result<FileAt> {
        let _ = path;
        unsupported("lstat")
    }

    /// Removes the name of a file.
    ///
    /// # Errors
    /// As `unlink`.
    fn unlink(&self, path: &Path) -> io::Result<()> {
        let _ = path;
        unsupported("unlink")
    }

    /// Makes two stream sockets connected to each other.
    ///
    /// # Errors
    /// As `socketpair`.
    fn socket_pair(&self) -> io::Result<(Fd, Fd)> {
        unsupported("socket_pair")
    }

    /// Closes `fd`, which was deregistered before; never repeated, whatever the system answers.
    fn close(&self, fd: Fd) {
        let _ = fd;
    }

    /// Gives a descriptor that isn't registered to the user, who closes it.
    ///
    /// # Errors
    /// `Unsupported` if it is none of the process.
    fn hand_over(&self, fd: Fd) -> io::Result<OwnedFd> {
        let _ = fd;
        unsupported("hand_over")
    }

    /// Reads a small file, `bytes_max` of it at most.
    ///
    /// # Errors
    /// As `open` and `read`.
    fn read_file(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        let _ = (path, bytes_max);
        unsupported("read_file")
    }

    /// Tells by whom children are started.
    fn processes(&self) -> ProcessSource<'_> {
        ProcessSource::Kernel(&processes::NoProcesses)
    }

    /// Fills `buf` with bytes that nobody can foresee.
    ///
    /// # Errors
    /// As `getrandom`; `Unsupported` from a kernel without a source of them.
    fn entropy(&self, buf: &mut [u8]) -> io::Result<()> {
        let _ = buf;
        unsupported("entropy")
    }

    /// Reads `CLOCK_MONOTONIC` as other programs do, in microseconds.
    fn monotonic_micros(&self) -> u64 {
        clock::monotonic_micros()
    }

    /// Returns a limit of the process.
    ///
    /// # Errors
    /// As `getrlimit`.
    fn limit(&self, limited: Limited) -> io::Result<ResourceLimit> {
        let _ = limited;
        unsupported("getrlimit")
    }

    /// Changes a limit of the process.
    ///
    /// # Errors
    /// As `setrlimit`: `EPERM` for a hard limit that would rise.
    fn set_limit(&self, limited: Limited, limit: ResourceLimit) -> io::Result<()> {
        let _ = (limited, limit);
        unsupported("setrlimit")
    }

    /// Has a signal put into the [mailboxes](signals::Mailbox) of the process that want it. Counted.
    ///
    /// # Errors
    /// As `sigaction`.
    fn catch_signal(&self, signal: i32) -> io::Result<()> {
        let _ = signal;
        unsupported("sigaction")
    }

    /// Undoes one [`catch_signal`](Self::catch_signal); the last brings back exactly what was before.
    fn release_signal(&self, signal: i32) {
        let _ = signal;
    }

    /// Lets a signal reach this thread; tells whether it was blocked.
    ///
    /// # Errors
    /// As `pthread_sigmask`.
    fn unblock_signal(&self, signal: i32) -> io::Result<bool> {
        let _ = signal;
        unsupported("pthread_sigmask")
    }

    /// Keeps a signal from this thread again.
    ///
    /// # Errors
    /// As `pthread_sigmask`.
    fn block_signal(&self, signal: i32) -> io::Result<()> {
        let _ = signal;
        unsupported("pthread_sigmask")
    }

    /// Tells where threads for jobs that block come from.
    fn threads(&self) -> ThreadSource {
        ThreadSource::Kernel(&threads::NoThreads)
    }

    /// Tells whether an [`Fd`] of this kernel is a descriptor of the process.
    fn has_real_descriptors(&self) -> bool {
        false
    }
}

/// Is the answer of a kernel to what it doesn't have.
fn unsupported<T>(operation: &str) -> io::Result<T> {
    let message = format!("{operation}: this kernel has no descriptors");
    Err(io::Error::new(io::ErrorKind::Unsupported, message))
}

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
//! | [`NullKernel`] | none | moves by waits | jumps to the deadline |
//!
//! Inside the seam a descriptor is a plain number, [`Fd`]; it is closed by its owner through the
//! kernel that made it. [`Doorbell`] is the one thing here that other threads and signal handlers
//! may touch.
//!
//! Where is what: [`fd`] the values, [`doorbell`] waking, [`real`], [`manual`] and [`null`] the
//! kernels, [`poller`] readiness by mio, [`clock`] time and exact deadlines, [`socket`] and
//! [`address`] the socket calls, [`memory`] the tables' memory, [`syscall`] how errors are read.

mod fd;

mod doorbell;
mod gate;

mod real;

#[allow(dead_code, reason = "chosen by tests alone; always compiled, so that the seam stays honest")]
mod manual;

#[allow(dead_code, reason = "chosen by tests alone; always compiled, so that the seam stays honest")]
mod null;

mod poller;

mod clock;

mod socket;

mod address;

pub(crate) mod memory;

mod syscall;

#[cfg(test)]
mod tests;

use core::net::SocketAddr;
use std::io::{self, IoSlice};
use std::time::SystemTime;

use rondel_core::Instant;

pub(crate) use doorbell::Doorbell;
pub(crate) use fd::{Event, Events, Fd, Interest, Token};
pub(crate) use manual::ManualKernel;
pub(crate) use null::NullKernel;
pub(crate) use real::RealKernel;
pub(crate) use syscall::is_out_of_resources;

/// Everything that the loop wants from outside.
///
/// All methods take `&self`, none calls back into the loop, and all belong to the loop's thread. A
/// kernel without descriptors answers `Unsupported` to whatever needs one.
#[allow(dead_code, reason = "the rooms of the network use the rest; each kernel has all of it, tested")]
pub(crate) trait Kernel {
    /// Reads the clock, counted from the kernel's construction; never earlier than the reading before
    /// (FAULTS T-05).
    fn now(&self) -> Instant;

    /// Reads the wall clock, which may jump: for certificates and logs, never for deadlines.
    fn wall_clock(&self) -> SystemTime;

    /// Begins to watch `fd`; its events carry `token`.
    ///
    /// Edge-triggered: an event comes when something changes, and once for what is ready already.
    ///
    /// # Errors
    /// `EPERM` for what is always ready, as regular files are; `EEXIST` for a descriptor watched
    /// already; `InvalidInput` for a token that is the kernel's own.
    fn register(&self, fd: Fd, token: Token, interest: Interest) -> io::Result<()>;

    /// Changes what is watched, and has what is ready now reported again: how a level-triggered
    /// promise is kept on edges.
    ///
    /// # Errors
    /// `ENOENT` for a descriptor that isn't watched; otherwise as [`register`](Self::register).
    fn reregister(&self, fd: Fd, token: Token, interest: Interest) -> io::Result<()>;

    /// Ceases to watch `fd`. To be called before closing it, on every path: a duplicate elsewhere
    /// would keep the registration alive.
    ///
    /// # Errors
    /// `ENOENT` for a descriptor that isn't watched.
    fn deregister(&self, fd: Fd) -> io::Result<()>;

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

    /// Makes `bell` end this kernel's waits; what rang before rings now. One bell at a time.
    ///
    /// # Errors
    /// `AlreadyExists` when kernel or bell are taken; else when no descriptor is left, or the system
    /// denies writing to it.
    fn attach_doorbell(&self, bell: &'static Doorbell) -> io::Result<()>;

    /// Lets go of `bell` and closes its descriptor; later rings do nothing. A bell that isn't this
    /// kernel's is left alone. Dropping the kernel does the same.
    fn detach_doorbell(&self, bell: &'static Doorbell);

    /// Makes a listening socket, an IPv6 one for IPv6 alone.
    ///
    /// # Errors
    /// As `socket`, `setsockopt`, `bind` and `listen`; no descriptor is left behind.
    fn listen_tcp(&self, addr: SocketAddr, backlog: i32, reuse_address: bool) -> io::Result<Fd>;

    /// Takes the next connection of a listening socket, and the address of its peer.
    ///
    /// # Errors
    /// `WouldBlock` when there is none; else as `accept`, `EMFILE` and `ECONNABORTED` included.
    fn accept(&self, fd: Fd) -> io::Result<(Fd, SocketAddr)>;

    /// Begins to connect. The socket turns writable when that is decided; how,
    /// [`take_error`](Self::take_error) says.
    ///
    /// # Errors
    /// As `socket` and `connect`, when the failure is known at once; no descriptor is left behind.
    fn connect_tcp(&self, addr: SocketAddr) -> io::Result<Fd>;

    /// Returns the socket's pending error and clears it.
    ///
    /// # Errors
    /// As `getsockopt`.
    fn take_error(&self, fd: Fd) -> io::Result<Option<io::Error>>;

    /// Receives up to the length of `buf`; 0 is the end of the stream, unless `buf` is empty.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; else as `recv`. Never `Interrupted`.
    fn recv(&self, fd: Fd, buf: &mut [u8]) -> io::Result<usize>;

    /// Sends as much of `buf` as there is room for and returns how much that was.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room; `BrokenPipe`, without a signal, when nobody will read it;
    /// else as `send`. Never `Interrupted`.
    fn send(&self, fd: Fd, buf: &[u8]) -> io::Result<usize>;

    /// Sends as much of `bufs`, in their order, as there is room for. It may take only the first 1,024.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    fn send_vectored(&self, fd: Fd, bufs: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Sends the end of the stream; receiving goes on.
    ///
    /// # Errors
    /// `NotConnected` when the peer is gone already.
    fn shutdown_write(&self, fd: Fd) -> io::Result<()>;

    /// Returns the address that the socket is bound to.
    ///
    /// # Errors
    /// `Unsupported` for a socket that isn't an internet one; else as `getsockname`.
    fn local_addr(&self, fd: Fd) -> io::Result<SocketAddr>;

    /// Returns the address that the socket is connected to.
    ///
    /// # Errors
    /// `NotConnected`; `Unsupported` for a socket that isn't an internet one.
    fn peer_addr(&self, fd: Fd) -> io::Result<SocketAddr>;

    /// Sends small pieces at once, or has them collected (`TCP_NODELAY`).
    ///
    /// # Errors
    /// As `setsockopt`.
    fn set_nodelay(&self, fd: Fd, on: bool) -> io::Result<()>;

    /// Makes two stream sockets connected to each other.
    ///
    /// # Errors
    /// As `socketpair`.
    fn socket_pair(&self) -> io::Result<(Fd, Fd)>;

    /// Closes `fd`, which was deregistered before; never repeated, whatever the system answers.
    fn close(&self, fd: Fd);

    /// Tells whether an [`Fd`] of this kernel is a descriptor of the process.
    fn has_real_descriptors(&self) -> bool;
}

//! The system calls that std doesn't have.
#![allow(unsafe_code, reason = "calls the operating system")]

use core::mem::{self, MaybeUninit};
use core::time::Duration;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use libc::{c_int, c_void};

/// Turns an answer below zero into the error.
fn check(answer: c_int) -> Result<c_int> {
    if answer < 0 { Err(Error::last_os_error()) } else { Ok(answer) }
}

pub(crate) const READABLE: u32 = libc::EPOLLIN as u32;
pub(crate) const WRITABLE: u32 = libc::EPOLLOUT as u32;

/// An event, with the number that its descriptor was added with.
pub(crate) type Event = libc::epoll_event;

pub(crate) const NO_EVENT: Event = Event { events: 0, u64: 0 };

/// An epoll, triggered by levels.
pub(crate) struct Epoll(OwnedFd);

impl Epoll {
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: no pointers; the descriptor is new.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) }))
    }

    pub(crate) fn add(&self, fd: RawFd, events: u32, number: u64) -> Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, events, number)
    }

    pub(crate) fn modify(&self, fd: RawFd, events: u32, number: u64) -> Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, events, number)
    }

    fn control(&self, operation: c_int, fd: RawFd, events: u32, number: u64) -> Result<()> {
        let mut event = Event { events, u64: number };
        // SAFETY: the event is valid for the call.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), operation, fd, &raw mut event) })?;
        Ok(())
    }

    /// Waits; without a timeout, for ever.
    #[inline]
    pub(crate) fn wait<'a>(&self, events: &'a mut [Event], timeout: Option<Duration>) -> &'a [Event] {
        let timeout_ms = timeout.map_or(-1, |timeout| timeout.as_millis() as c_int);
        // SAFETY: the events are valid for the call.
        let count = unsafe {
            libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), events.len() as c_int, timeout_ms)
        };
        &events[..count.max(0) as usize]
    }
}

/// Receives; `None` if there is nothing at the moment.
#[inline]
pub(crate) fn receive(fd: RawFd, buffer: &mut [u8]) -> Result<Option<usize>> {
    // SAFETY: the buffer is valid for the call.
    moved(unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), 0) })
}

/// Sends a part; `None` if nothing can be sent at the moment.
#[inline]
pub(crate) fn send(fd: RawFd, data: &[u8]) -> Result<Option<usize>> {
    // SAFETY: the data is valid for the call.
    moved(unsafe { libc::send(fd, data.as_ptr().cast(), data.len(), libc::MSG_NOSIGNAL) })
}

#[inline]
fn moved(count: isize) -> Result<Option<usize>> {
    if count >= 0 {
        return Ok(Some(count as usize));
    }
    match Error::last_os_error() {
        error if error.kind() == ErrorKind::WouldBlock => Ok(None),
        error => Err(error),
    }
}

/// Where a datagram came from.
pub(crate) struct Sender {
    address: MaybeUninit<libc::sockaddr_storage>,
    length: libc::socklen_t,
}

#[inline]
pub(crate) fn receive_from(fd: RawFd, buffer: &mut [u8]) -> Option<(usize, Sender)> {
    let mut sender = Sender {
        address: MaybeUninit::uninit(),
        length: mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t,
    };
    // SAFETY: the buffer and the room for the address are valid for the call.
    let count = unsafe {
        let address = sender.address.as_mut_ptr().cast();
        libc::recvfrom(fd, buffer.as_mut_ptr().cast(), buffer.len(), 0, address, &raw mut sender.length)
    };
    (count >= 0).then_some((count as usize, sender))
}

#[inline]
pub(crate) fn send_to(fd: RawFd, data: &[u8], receiver: &Sender) {
    // SAFETY: the data and so much of the address are valid for the call.
    unsafe {
        let address = receiver.address.as_ptr().cast();
        libc::sendto(fd, data.as_ptr().cast(), data.len(), 0, address, receiver.length);
    }
}

/// Accepts a connection that doesn't block.
pub(crate) fn accept(listener: RawFd) -> Option<OwnedFd> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: asks for no address; the descriptor is new.
    unsafe {
        let fd = libc::accept4(listener, core::ptr::null_mut(), core::ptr::null_mut(), flags);
        (fd >= 0).then(|| OwnedFd::from_raw_fd(fd))
    }
}

fn set_option<T>(fd: RawFd, level: c_int, name: c_int, value: &T) -> Result<()> {
    let length = mem::size_of::<T>() as libc::socklen_t;
    // SAFETY: the value is valid for the call.
    check(unsafe { libc::setsockopt(fd, level, name, core::ptr::from_ref(value).cast::<c_void>(), length) })?;
    Ok(())
}

pub(crate) fn set_no_delay(fd: RawFd) -> Result<()> {
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, &1)
}

pub(crate) fn reset_on_close(fd: RawFd) -> Result<()> {
    set_option(fd, libc::SOL_SOCKET, libc::SO_LINGER, &libc::linger { l_onoff: 1, l_linger: 0 })
}

/// Lets many connect at once.
pub(crate) fn set_backlog(listener: &impl AsRawFd) -> Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::listen(listener.as_raw_fd(), 4096) })?;
    Ok(())
}

/// Lets this process have as many descriptors as it may.
pub(crate) fn raise_descriptor_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit is valid for the calls.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

/// Returns the cores that this process may use.
pub(crate) fn cores() -> Vec<usize> {
    // SAFETY: all zeros is a set; it is valid for the calls.
    unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::sched_getaffinity(0, mem::size_of_val(&set), &raw mut set);
        (0..libc::CPU_SETSIZE as usize).filter(|&core| libc::CPU_ISSET(core, &set)).collect()
    }
}

/// Keeps this thread, and what it starts, on one core.
pub(crate) fn pin(core: usize) {
    // SAFETY: all zeros is a set; it is valid for the calls.
    unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, mem::size_of_val(&set), &raw const set);
    }
}

/// Returns the CPU time that a process has used.
pub(crate) fn cpu_time(process: u32) -> Duration {
    let mut clock = 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock and time are valid for the calls.
    unsafe {
        if libc::clock_getcpuclockid(process as libc::pid_t, &raw mut clock) == 0 {
            libc::clock_gettime(clock, &raw mut time);
        }
    }
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Asks a process to end.
pub(crate) fn terminate(process: u32) {
    // SAFETY: no pointers; the process is one that was started here.
    unsafe { libc::kill(process as libc::pid_t, libc::SIGTERM) };
}

/// Has `handler` called when this process is asked to end, and ends it then.
///
/// # Safety
/// `handler` does only what a signal handler may.
pub(crate) unsafe fn on_termination(handler: extern "C" fn(c_int)) {
    // SAFETY: our caller's promise.
    unsafe { libc::signal(libc::SIGTERM, handler as *const () as libc::sighandler_t) };
}

/// Writes to standard output and ends the process, as a signal handler may.
pub(crate) fn write_and_exit(text: &[u8]) -> ! {
    // SAFETY: the text is valid for the call.
    unsafe {
        libc::write(libc::STDOUT_FILENO, text.as_ptr().cast(), text.len());
        libc::_exit(0)
    }
}

pub(crate) fn page_size() -> usize {
    // SAFETY: no pointers.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

//! The doorbell: how anybody else's thread, or a signal handler, ends the loop's sleep.
//!
//! It carries no data. Whoever has something to say leaves it in an atomic flag or a queue first and
//! rings afterwards; the loop looks at all of them whenever it wakes.
//!
//! # Why not an eventfd in an `Arc`
//! A waker outlives its loop, so a ring may come after the loop has closed the eventfd, and by then
//! its number may name somebody's socket: the eight bytes would go into a stranger's stream. Keeping
//! the eventfd open for ever leaks one per loop; a lock around it can't be taken in a signal handler;
//! an `Arc` can't be dropped there. So ringers pass a [`Gate`].

#![allow(unsafe_code, reason = "write(2) and errno, in a form that signal handlers may use")]

use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::io;

use super::fd::Fd;
use super::gate::Gate;
use super::syscall::syscall;

/// Stands for "no thread"; no thread-local lies at this address.
const NOBODY: usize = 0;

thread_local! {
    /// Its address tells threads apart.
    ///
    /// Constant and without destructor, so that it costs two instructions, allocates nothing and
    /// works until the thread's last breath.
    static HERE: u8 = const { 0 };
}

/// Wakes a sleeping kernel from any thread and from signal handlers.
///
/// It lives for ever (`'static`), because wakers do; a loop opens it when it begins and closes it
/// when it ends, and the next loop may open it again.
#[derive(Debug)]
pub(crate) struct Doorbell {
    /// Holds the eventfd to write to.
    /// Invariant: what is in it is open, and this doorbell's own.
    gate: Gate,
    /// Which thread runs the loop: the address of its [`HERE`], or [`NOBODY`].
    thread: AtomicUsize,
}

impl Doorbell {
    /// Makes a doorbell without a descriptor, fit for a `static`.
    pub(crate) const fn new() -> Self {
        Self { gate: Gate::new(), thread: AtomicUsize::new(NOBODY) }
    }

    /// Ends the current wait of the loop, or makes its next one return at once.
    ///
    /// Callable from any thread at any time, also after the loop is gone, and async-signal-safe: a
    /// few atomics and one `write(2)`, no lock, no allocation, `errno` as it was. Without a
    /// descriptor the ring is remembered for [`take_missed`](Self::take_missed).
    pub(crate) fn ring(&self) {
        self.gate.ring(strike_keeping_errno);
    }

    /// Tells, once, that somebody rang while there was no descriptor: how a kernel without
    /// descriptors hears its doorbell.
    pub(crate) fn take_missed(&self) -> bool {
        self.gate.take_missed()
    }

    /// Gives the doorbell an eventfd, which belongs to it from now on. What rang before rings now.
    ///
    /// # Errors
    /// `AlreadyExists` if it has one; the eventfd remains the caller's.
    pub(super) fn open(&self, fd: Fd) -> io::Result<()> {
        if self.gate.open(fd.as_raw(), strike_keeping_errno) {
            Ok(())
        } else {
            Err(io::Error::new(io::ErrorKind::AlreadyExists, "the doorbell is open already"))
        }
    }

    /// Closes the eventfd, if there is one, and forgets the loop's thread.
    ///
    /// Waits for the ringers that are between reading the descriptor and writing to it; those that
    /// come later don't count, so the wait is as long as one `write`. Not for signal handlers.
    pub(super) fn close(&self) {
        self.thread.store(NOBODY, Ordering::SeqCst);
        if let Some(fd) = self.gate.close() {
            // SAFETY: `open` made `fd` ours; the gate gave it to this call alone; no ringer holds it.
            // Linux frees the number whatever `close` answers.
            unsafe { libc::close(fd) };
        }
    }

    /// Declares the current thread to be the loop's, until the doorbell is closed.
    pub(crate) fn enter_thread(&self) {
        let here = HERE.with(|here| ptr::from_ref(here).addr());
        self.thread.store(here, Ordering::Relaxed);
    }

    /// Tells whether this is the loop's thread; false when no thread has entered. Not for signal
    /// handlers, to which it says what it says to the code that they interrupt.
    ///
    /// Relaxed suffices: a thread can only find its own address if it stored it itself.
    pub(crate) fn is_loop_thread(&self) -> bool {
        HERE.with(|here| self.thread.load(Ordering::Relaxed) == ptr::from_ref(here).addr())
    }
}

// SAFETY: `is_loop_thread` is true on the thread alone that entered. Of signal handlers, ours rings
// and never asks (see `signals`), and one that the user installed by unsafe code of his own must not
// use a `Waker`.
unsafe impl rondel_core::Doorbell for Doorbell {
    fn ring(&self) {
        self.ring();
    }

    fn is_loop_thread(&self) -> bool {
        self.is_loop_thread()
    }
}

/// Makes an eventfd that is known to work: non-blocking, closed on exec, its counter at 0.
///
/// A sandbox may deny the write; that shows here, as an error when the loop is built, and not as a
/// hang when the first ring is lost (FAULTS W-03).
pub(super) fn eventfd() -> io::Result<Fd> {
    // SAFETY: no pointers.
    let fd = unsafe { syscall!(eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC)) }?;
    strike(fd).inspect_err(|_| {
        // SAFETY: made above and known to nobody else.
        unsafe { libc::close(fd) };
    })?;
    drain(fd);
    Ok(Fd::from_raw(fd))
}

fn strike_keeping_errno(fd: i32) {
    // SAFETY: the address of this thread's `errno` is always valid.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let before = unsafe { *errno };
    // There is nobody to tell: `eventfd` has seen this very write work.
    let _ = strike(fd);
    // SAFETY: as above.
    unsafe { *errno = before };
}

/// Adds 1 to the counter. Each addition is an edge to epoll, whatever the counter was, so nobody
/// needs to read it between two rings. It would be full after 2^64 of them; then it is emptied.
fn strike(fd: i32) -> io::Result<()> {
    match add_one(fd) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            drain(fd);
            match add_one(fd) {
                // Full again: others rang meanwhile, which is as good as our ring.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
                answer => answer,
            }
        }
        answer => answer,
    }
}

fn add_one(fd: i32) -> io::Result<()> {
    let one = 1_u64;
    // SAFETY: the pointer is good for reading 8 bytes.
    unsafe { syscall!(write(fd, ptr::from_ref(&one).cast(), 8)) }.map(drop)
}

fn drain(fd: i32) {
    let mut count = 0_u64;
    // SAFETY: the pointer is good for writing 8 bytes. Empty already is fine too.
    unsafe { libc::read(fd, ptr::from_mut(&mut count).cast(), 8) };
}

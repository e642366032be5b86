//! The doorbell: how anybody else's thread, or a signal handler, ends the loop's sleep.
//!
//! It carries no data. Whoever has something to say leaves it in an atomic flag or a queue first and
//! rings afterwards; the loop looks at all of them whenever it wakes.
//!
//! # Why not an eventfd in an `Arc`
//! A waker outlives its loop, so a ring may come after the loop has closed the eventfd, and by then
//! its number may name somebody's socket: the eight bytes would go into a stranger's stream. Keeping
//! the eventfd open for ever leaks one per loop; a lock around it can't be taken in a signal handler;
//! an `Arc` can't be dropped there. So ringers pass a gate:
//!
//! ```text
//!  ring:   ringers += 1  ->  fd?  -- open --> write(fd)  ->  ringers -= 1
//!                             '---- closed --> missed = true
//!  close:  fd = CLOSED   ->  wait until ringers == 0     ->  close(fd)
//! ```
//!
//! With sequentially consistent atomics, either the ringer sees `CLOSED` or `close` sees the ringer.

#![allow(unsafe_code, reason = "write(2) and errno, in a form that signal handlers may use")]

use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU32, AtomicUsize, Ordering};
use std::io;
use std::thread;

use super::fd::Fd;
use super::syscall::syscall;

/// Stands for "no descriptor".
const CLOSED: i32 = -1;

/// Stands for "no thread"; no thread-local lies at this address.
const NOBODY: usize = 0;

thread_local! {
    /// Its address tells threads apart; its value is how many of our signal handlers run on it.
    ///
    /// Constant and without destructor, so that it costs two instructions, allocates nothing and
    /// works until the thread's last breath, in signal handlers too.
    static HERE: AtomicU8 = const { AtomicU8::new(0) };
}

/// Wakes a sleeping kernel from any thread and from signal handlers.
///
/// It lives for ever (`'static`), because wakers do; a loop opens it when it begins and closes it
/// when it ends, and the next loop may open it again.
#[derive(Debug)]
pub(crate) struct Doorbell {
    /// The eventfd to write to, or [`CLOSED`].
    /// Invariant: names an eventfd that is open for as long as `ringers` isn't 0.
    fd: AtomicI32,
    /// How many ringers may be holding a copy of `fd`.
    ringers: AtomicU32,
    /// Set by a ring that found no descriptor.
    missed: AtomicBool,
    /// Which thread runs the loop: the address of its [`HERE`], or [`NOBODY`].
    thread: AtomicUsize,
}

impl Doorbell {
    /// Makes a doorbell without a descriptor, fit for a `static`.
    pub(crate) const fn new() -> Self {
        Self {
            fd: AtomicI32::new(CLOSED),
            ringers: AtomicU32::new(0),
            missed: AtomicBool::new(false),
            thread: AtomicUsize::new(NOBODY),
        }
    }

    /// Ends the current wait of the loop, or makes its next one return at once.
    ///
    /// Callable from any thread at any time, also after the loop is gone, and async-signal-safe: a
    /// few atomics and one `write(2)`, no lock, no allocation, `errno` as it was. Without a
    /// descriptor the ring is remembered for [`take_missed`](Self::take_missed).
    pub(crate) fn ring(&self) {
        while !self.try_ring() {}
    }

    /// Tells, once, that somebody rang while there was no descriptor: how a kernel without
    /// descriptors hears its doorbell.
    pub(crate) fn take_missed(&self) -> bool {
        // The load spares the line of memory when there is nothing, and must be as strong as the swap.
        self.missed.load(Ordering::SeqCst) && self.missed.swap(false, Ordering::SeqCst)
    }

    /// Gives the doorbell an eventfd, which belongs to it from now on. What rang before rings now.
    ///
    /// # Errors
    /// `AlreadyExists` if it has one; the eventfd remains the caller's.
    pub(super) fn open(&self, fd: Fd) -> io::Result<()> {
        self.fd
            .compare_exchange(CLOSED, fd.as_raw(), Ordering::SeqCst, Ordering::SeqCst)
            .map_err(|_| io::Error::new(io::ErrorKind::AlreadyExists, "the doorbell is open already"))?;
        if self.take_missed() {
            self.ring();
        }
        Ok(())
    }

    /// Closes the eventfd, if there is one, and forgets the loop's thread.
    ///
    /// Waits for the ringers that are between reading the descriptor and writing to it; those that
    /// come later don't count, so the wait is as long as one `write`. Not for signal handlers.
    pub(super) fn close(&self) {
        self.thread.store(NOBODY, Ordering::SeqCst);
        let fd = self.fd.swap(CLOSED, Ordering::SeqCst);
        if fd == CLOSED {
            return;
        }
        while self.ringers.load(Ordering::SeqCst) != 0 {
            thread::yield_now();
        }
        // SAFETY: `open` made `fd` ours; the swap gave it to this call alone; no ringer holds it.
        // Linux frees the number whatever `close` answers.
        unsafe { libc::close(fd) };
    }

    /// Declares the current thread to be the loop's, until the doorbell is closed.
    pub(crate) fn enter_thread(&self) {
        let here = HERE.with(|here| ptr::from_ref(here).addr());
        self.thread.store(here, Ordering::Relaxed);
    }

    /// Tells whether this is the loop's thread, outside [`in_signal_handler`]; false when no thread
    /// has entered.
    ///
    /// Relaxed suffices: a thread can only find its own address if it stored it itself.
    pub(crate) fn is_loop_thread(&self) -> bool {
        HERE.with(|here| {
            self.thread.load(Ordering::Relaxed) == ptr::from_ref(here).addr()
                && here.load(Ordering::Relaxed) == 0
        })
    }

    /// Passes the gate; answers false if the doorbell was closed or opened at that very moment, and
    /// the ring must begin anew.
    fn try_ring(&self) -> bool {
        if self.fd.load(Ordering::SeqCst) == CLOSED {
            self.missed.store(true, Ordering::SeqCst);
            // `open` stores the descriptor and then looks at `missed`, so one of us sees the other.
            // Not counted among the ringers until here, so that `close` needn't wait for latecomers.
            return self.fd.load(Ordering::SeqCst) == CLOSED;
        }
        self.ringers.fetch_add(1, Ordering::SeqCst);
        let fd = self.fd.load(Ordering::SeqCst);
        if fd != CLOSED {
            strike_keeping_errno(fd);
        }
        self.ringers.fetch_sub(1, Ordering::SeqCst);
        fd != CLOSED
    }
}

// SAFETY: `is_loop_thread` is true on the thread alone that entered, and false there too while a
// handler runs that the loop installed: each of them runs `in_signal_handler`. A handler that the
// user installed by unsafe code of his own may ring, and must not use a `Waker`.
unsafe impl rondel_core::Doorbell for Doorbell {
    fn ring(&self) {
        self.ring();
    }

    fn is_loop_thread(&self) -> bool {
        self.is_loop_thread()
    }
}

/// Runs the body of a signal handler, so that no doorbell takes it for the loop's own code that it
/// interrupts. Async-signal-safe, and nests.
#[allow(dead_code, reason = "signal handlers come with their own room")]
pub(crate) fn in_signal_handler<T>(body: impl FnOnce() -> T) -> T {
    HERE.with(|here| here.fetch_add(1, Ordering::Relaxed));
    let result = body();
    HERE.with(|here| here.fetch_sub(1, Ordering::Relaxed));
    result
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

//! Signals: what the process does when one arrives, and how the loops hear of it.
//!
//! ```text
//!  kernel -> on_signal: for each mailbox that wants it:  arrived |= bit  ->  wake table: pending, ring if asleep
//!  loop:     announce the sleep  ->  arrived == 0?  ->  wait  ->  take `arrived`
//! ```
//!
//! A signal handler may interrupt anything, `malloc` and a locked mutex included. So this one touches
//! atomics and an eventfd, nothing else: no lock, no memory, no thread-local of ours, and no [`Waker`].
//! A mailbox has one bit for each signal: a flood of one takes no room and hides no other. Who arrives
//! sets the bit and then tells the wake table; the loop announces its sleep and then looks at the bits.
//! So the loop sees the bit, or it is rung: what threads rely on (`tests/loom`) carries signals too.
//!
//! [`Waker`]: core::task::Waker

#![allow(unsafe_code, reason = "this is where libc is called, and where its signals arrive")]

use core::ptr;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU64};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rondel_core::raw::WakeTable;

use super::syscall::syscall;

/// What the signals are called.
pub(crate) mod number {
    use core::ops::RangeInclusive;

    pub(crate) use libc::{
        SIGABRT, SIGALRM, SIGBUS, SIGCHLD, SIGCONT, SIGFPE, SIGHUP, SIGILL, SIGINT, SIGIO, SIGKILL, SIGPIPE,
        SIGPROF, SIGPWR, SIGQUIT, SIGSEGV, SIGSTOP, SIGSYS, SIGTERM, SIGTRAP, SIGTSTP, SIGTTIN, SIGTTOU,
        SIGURG, SIGUSR1, SIGUSR2, SIGVTALRM, SIGWINCH, SIGXCPU, SIGXFSZ,
    };

    /// Is the highest number that a mailbox has a bit for: all that Linux has, but on MIPS.
    pub(crate) const MAX: i32 = 64;

    /// Returns the real-time signals that the C library leaves to the program.
    pub(crate) fn real_time() -> RangeInclusive<i32> {
        libc::SIGRTMIN()..=libc::SIGRTMAX().min(MAX)
    }
}

/// The signals that have arrived for one loop.
///
/// It lives for ever, because a handler may be reading it in any thread when the loop ends; the next
/// loop with signals uses it again.
#[derive(Debug)]
pub(crate) struct Mailbox {
    /// Are the signals that the loop listens to, a bit each.
    wanted: AtomicU64,
    /// Are those that came and were not taken.
    arrived: AtomicU64,
    /// Is the process of the loop. What was forked off has the handlers, and perhaps this very memory,
    /// until it is another program; its signals are none of ours (FAULTS G-06).
    process: AtomicI32,
    /// Is the wake table of the loop.
    /// Invariant: `'static`, and not null before the first signal is wanted.
    table: AtomicPtr<WakeTable>,
    /// Is the next in the list of all mailboxes.
    next: Option<&'static Self>,
}

/// Is the mailbox that was made last: where the list of them begins. None is ever taken out.
static FIRST: AtomicPtr<Mailbox> = AtomicPtr::new(ptr::null_mut());

impl Mailbox {
    /// Takes a mailbox that no loop uses, or makes one.
    pub(crate) fn take(table: &'static WakeTable) -> &'static Self {
        let mut spare = lock(&SPARE);
        let mailbox = spare.pop().unwrap_or_else(Self::make);
        mailbox.process.store(this_process(), Relaxed);
        mailbox.table.store(ptr::from_ref(table).cast_mut(), Release);
        mailbox
    }

    /// Makes a mailbox, and shows it to the handler. Called under the lock of the spare ones.
    fn make() -> &'static Self {
        // SAFETY: null, or leaked by an earlier call.
        let next = unsafe { FIRST.load(Acquire).as_ref() };
        let mailbox = Box::leak(Box::new(Self {
            wanted: AtomicU64::new(0),
            arrived: AtomicU64::new(0),
            process: AtomicI32::new(0),
            table: AtomicPtr::new(ptr::null_mut()),
            next,
        }));
        FIRST.store(mailbox, Release);
        mailbox
    }

    /// Gives the mailbox to the next loop. No signal is wanted any more.
    pub(crate) fn give_back(&'static self) {
        debug_assert_eq!(self.wanted.load(Relaxed), 0, "all signals were refused before");
        // Of a handler that had begun before.
        self.arrived.store(0, SeqCst);
        lock(&SPARE).push(self);
    }

    /// Wants `signal` from now on.
    pub(crate) fn accept(&self, signal: i32) {
        self.wanted.fetch_or(bit(signal), SeqCst);
    }

    /// Doesn't want `signal` any more, and forgets that one came.
    pub(crate) fn refuse(&self, signal: i32) {
        self.wanted.fetch_and(!bit(signal), SeqCst);
        self.arrived.fetch_and(!bit(signal), SeqCst);
    }

    /// Tells whether a signal has come. As strong as what it may see: a loop that looks here after it
    /// announced its sleep misses none.
    #[inline]
    pub(crate) fn is_used(&self) -> bool {
        self.arrived.load(SeqCst) != 0
    }

    /// Takes the signals that have come, a bit each.
    pub(crate) fn take_arrived(&self) -> u64 {
        self.arrived.swap(0, SeqCst)
    }

    /// Puts a signal in and wakes the loop, if it wants that. Async-signal-safe.
    fn put(&self, signal: u64, process: i32) {
        if self.wanted.load(SeqCst) & signal == 0 || self.process.load(Relaxed) != process {
            return;
        }
        self.arrived.fetch_or(signal, SeqCst);
        // SAFETY: wake tables are `'static`; set before anything was wanted.
        if let Some(table) = unsafe { self.table.load(Acquire).as_ref() } {
            table.notify();
        }
    }
}

/// Returns the bit of a signal.
pub(crate) fn bit(signal: i32) -> u64 {
    1_u64.checked_shl((signal - 1) as u32).unwrap_or(0)
}

/// Is what the process does when a signal arrives.
///
/// Leaves `errno` alone: `getpid` doesn't fail, and a ring puts back what it found.
extern "C" fn on_signal(signal: i32) {
    let process = this_process();
    // SAFETY: null, or a mailbox, none of which is ever freed.
    let mut next = unsafe { FIRST.load(Acquire).as_ref() };
    while let Some(mailbox) = next {
        mailbox.put(bit(signal), process);
        next = mailbox.next;
    }
}

/// Returns the number of the process; async-signal-safe. It is asked for each time: between fork and
/// exec a child may share everything else with its parent.
fn this_process() -> i32 {
    // SAFETY: no pointers.
    unsafe { libc::getpid() }
}

/// One signal.
#[derive(Clone, Copy)]
struct Caught {
    /// Counts the loops that listen to it.
    loops: usize,
    /// Is what was done with it before.
    previous: Option<Previous>,
}

/// What the process does with its signals, by number; the first is nobody's. Nothing but zeros at first,
/// which take no room in a program's file.
static CAUGHT: Mutex<[Caught; number::MAX as usize + 1]> =
    Mutex::new([Caught { loops: 0, previous: None }; number::MAX as usize + 1]);

/// The mailboxes that no loop uses.
static SPARE: Mutex<Vec<&'static Mailbox>> = Mutex::new(Vec::new());

/// Enters one of the two, which no handler does.
fn lock<T>(mutex: &'static Mutex<T>) -> MutexGuard<'static, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has `signal` put into the mailboxes that want it, and keeps what was done with it before.
///
/// If somebody else has put a handler in the place of ours meanwhile, that is what was done before.
///
/// # Errors
/// As `sigaction`.
pub(super) fn catch(signal: i32) -> io::Result<()> {
    let caught = &mut lock(&CAUGHT)[signal as usize];
    if !is_ours(&disposition(signal)?) {
        let previous = Previous::of(signal)?;
        set_disposition(signal, &ours())?;
        caught.previous = Some(previous);
    }
    caught.loops += 1;
    Ok(())
}

/// Undoes one [`catch`]; the last puts back what was done before, with its flags and its mask.
///
/// If somebody else has put a handler in the place of ours meanwhile, it stays.
pub(super) fn release(signal: i32) {
    let caught = &mut lock(&CAUGHT)[signal as usize];
    caught.loops = caught.loops.saturating_sub(1);
    if caught.loops > 0 {
        return;
    }
    if !disposition(signal).is_ok_and(|current| is_ours(&current)) {
        // Who came after us may yet put our handler back; then the next to release it needs `previous`.
        return;
    }
    if let Some(previous) = caught.previous.take() {
        // It was accepted once, so it is again.
        let _ = previous.restore(signal);
    }
}

/// Lets `signal` reach this thread; tells whether it could not before.
///
/// # Errors
/// As `pthread_sigmask`.
pub(super) fn unblock(signal: i32) -> io::Result<bool> {
    let before = change_mask(libc::SIG_UNBLOCK, signal)?;
    // SAFETY: a set that the system has filled.
    Ok(unsafe { libc::sigismember(&raw const before, signal) } == 1)
}

/// Keeps `signal` from this thread.
///
/// # Errors
/// As `pthread_sigmask`.
pub(super) fn block(signal: i32) -> io::Result<()> {
    change_mask(libc::SIG_BLOCK, signal).map(drop)
}

/// Changes the thread's mask by one signal, and returns what it was.
fn change_mask(how: i32, signal: i32) -> io::Result<libc::sigset_t> {
    // SAFETY: all zeros is a valid set, which is emptied once more; both are good for the calls.
    let (mut changed, mut before) = unsafe { core::mem::zeroed::<(libc::sigset_t, libc::sigset_t)>() };
    // SAFETY: as above.
    let errno = unsafe {
        libc::sigemptyset(&raw mut changed);
        libc::sigaddset(&raw mut changed, signal);
        libc::pthread_sigmask(how, &raw const changed, &raw mut before)
    };
    if errno == 0 { Ok(before) } else { Err(io::Error::from_raw_os_error(errno)) }
}

/// Returns what we do with a signal: interrupted calls begin anew (contract SG-9), and the handler runs
/// on the stack for signals where a thread has one. It isn't interrupted by another: as many frames as
/// there are signals need not fit there.
fn ours() -> libc::sigaction {
    // SAFETY: all zeros is a valid value.
    let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
    action.sa_sigaction = on_signal as extern "C" fn(i32) as usize;
    action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
    // SAFETY: good for writing.
    unsafe { libc::sigfillset(&raw mut action.sa_mask) };
    action
}

fn is_ours(action: &libc::sigaction) -> bool {
    action.sa_sigaction == ours().sa_sigaction
}

fn disposition(signal: i32) -> io::Result<libc::sigaction> {
    // SAFETY: all zeros is a valid value, good for writing.
    let mut current: libc::sigaction = unsafe { core::mem::zeroed() };
    // SAFETY: as above; nothing is changed.
    unsafe { syscall!(sigaction(signal, ptr::null(), &raw mut current)) }.map(|_| current)
}

fn set_disposition(signal: i32, action: &libc::sigaction) -> io::Result<()> {
    // SAFETY: `action` is ours, whose handler is async-signal-safe; the null asks for nothing.
    unsafe { syscall!(sigaction(signal, ptr::from_ref(action), ptr::null_mut())) }.map(drop)
}

/// What the kernel has noted of a signal, to the bit: nobody here looks into it. The C library's
/// `sigaction` adds a flag of its own to what it is given.
#[derive(Clone, Copy)]
#[repr(C)]
struct Previous([u64; 8]);

impl Previous {
    fn of(signal: i32) -> io::Result<Self> {
        let mut previous = Self([0; 8]);
        let (new, old) = (ptr::null::<Self>(), &raw mut previous);
        // SAFETY: nothing is changed; the kernel's structure has 40 bytes at most.
        unsafe { syscall!(syscall(libc::SYS_rt_sigaction, signal, new, old, mask_bytes())) }?;
        Ok(previous)
    }

    fn restore(&self, signal: i32) -> io::Result<()> {
        let (new, old) = (ptr::from_ref(self), ptr::null_mut::<Self>());
        // SAFETY: the kernel's own answer about the same signal.
        unsafe { syscall!(syscall(libc::SYS_rt_sigaction, signal, new, old, mask_bytes())) }.map(drop)
    }
}

/// Returns how large a mask is for the kernel: a bit for each signal.
fn mask_bytes() -> usize {
    (libc::SIGRTMAX() as usize + 1) / 8
}

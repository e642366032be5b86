//! What goes wrong on request: the script of a loop made by `EventLoop::with_faults`.

use core::cell::{Cell, RefCell};
use core::fmt;
use std::rc::Rc;

/// Scripts what the operating system answers to a loop made by
/// [`EventLoop::with_faults`](crate::EventLoop::with_faults): failures that no
/// network brings about on demand.
///
/// Nothing goes wrong at first. An answer that is injected stands in the place of
/// the call: nothing was done. `EINTR` needs no injection, since it never gets as
/// far as the loop: it is dealt with where system calls are made.
///
/// ```
/// use rondel::{Config, EventLoop, Operation};
///
/// const ENOMEM: i32 = 12;
///
/// let (event_loop, _clock, faults) = EventLoop::with_faults(Config::default())?;
/// faults.fail(Operation::Socket, ENOMEM);
/// let connecting = event_loop.open_connection("127.0.0.1:9");
/// let error = event_loop.run_until_complete(async { connecting.await.map(drop) }).unwrap_err();
/// assert_eq!(error.as_io().map(|error| error.kind()), Some(std::io::ErrorKind::OutOfMemory));
/// # Ok::<(), rondel::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Faults {
    script: Rc<Script>,
}

impl Faults {
    /// Fails the next call with an error number of the system, as in `errno.h`.
    /// Asked for several times, it fails as many calls, in this order.
    pub fn fail(&self, operation: Operation, errno: i32) {
        self.fail_nth(operation, 1, errno);
    }

    /// Fails one call, the `nth` from now on; the first is 1.
    pub fn fail_nth(&self, operation: Operation, nth: u64, errno: i32) {
        self.add(
            operation,
            Rule { skips: nth.saturating_sub(1), is_kept: false, fault: Fault::Errno(errno) },
        );
    }

    /// Fails every call, until it is [healed](Self::heal).
    pub fn fail_every(&self, operation: Operation, errno: i32) {
        self.add(operation, Rule { skips: 0, is_kept: true, fault: Fault::Errno(errno) });
    }

    /// Lets the next call find nothing, although the descriptor was ready, which
    /// is then reported once more: a readiness that was spurious. For `Accept` and
    /// the transfers.
    pub fn block(&self, operation: Operation) {
        self.add(operation, Rule { skips: 0, is_kept: false, fault: Fault::Spurious });
    }

    /// Lets the next wait report every watched descriptor as ready, whether it is
    /// or not.
    pub fn wake_all(&self) {
        self.script.wakes_all.set(true);
    }

    /// Lets each transfer move so many bytes at most, at least 1, as small kernel
    /// buffers do; until it is [healed](Self::heal). For `Recv`, `Send`,
    /// `Read`, `Write` and `Sendfile`.
    pub fn limit(&self, operation: Operation, bytes_max: usize) {
        self.script.with(operation, |plan| plan.bytes_max = Some(bytes_max.max(1)));
    }

    /// Lets an operation work again.
    pub fn heal(&self, operation: Operation) {
        self.script.with(operation, |plan| {
            plan.rules.clear();
            plan.bytes_max = None;
        });
    }

    /// Counts the calls since the start, those that failed included.
    #[must_use]
    pub fn calls(&self, operation: Operation) -> u64 {
        self.script.with(operation, |plan| plan.calls)
    }

    fn add(&self, operation: Operation, rule: Rule) {
        self.script.with(operation, |plan| plan.rules.push(rule));
    }
}

/// What the kernel asks of the script.
impl Faults {
    /// Counts a call, and returns what is to become of it.
    pub(crate) fn next(&self, operation: Operation) -> Option<Fault> {
        self.script.with(operation, |plan| {
            plan.calls += 1;
            let due = plan.rules.iter().position(|rule| rule.skips == 0);
            let fault = due.map(|index| plan.rules[index].fault);
            if let Some(index) = due
                && !plan.rules[index].is_kept
            {
                plan.rules.remove(index);
            }
            let later = plan.rules.iter_mut().filter(|rule| rule.skips > 0);
            later.for_each(|rule| rule.skips -= 1);
            fault
        })
    }

    /// Returns how many of `count` bytes may be moved.
    pub(crate) fn limited(&self, operation: Operation, count: usize) -> usize {
        self.script.with(operation, |plan| plan.bytes_max.map_or(count, |bytes_max| count.min(bytes_max)))
    }

    /// Tells, once, that everything is to be reported.
    pub(crate) fn take_wakes_all(&self) -> bool {
        self.script.wakes_all.take()
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.script.plans.borrow().iter().map(|(key, plan)| (key, plan))).finish()
    }
}

/// What a loop asks of the operating system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Operation {
    /// Begins to watch a descriptor (`EPOLL_CTL_ADD`).
    Register,
    /// Changes what is watched (`EPOLL_CTL_MOD`).
    Reregister,
    /// Ceases to watch a descriptor (`EPOLL_CTL_DEL`).
    Deregister,
    /// Waits for events; a failure ends the run.
    Wait,
    /// `socket`.
    Socket,
    /// `bind`.
    Bind,
    /// `listen`.
    Listen,
    /// `accept`.
    Accept,
    /// `connect`.
    Connect,
    /// Reads the pending error of a socket (`SO_ERROR`): how connecting in the
    /// background ended.
    TakeError,
    /// `recv`.
    Recv,
    /// `send`, also of several buffers at once.
    Send,
    /// `recvfrom`.
    RecvFrom,
    /// `sendto`.
    SendTo,
    /// `sendfile`.
    Sendfile,
    /// `pread`.
    ReadAt,
    /// `lseek`.
    Seek,
    /// `shutdown`.
    ShutdownWrite,
    /// `getsockname`.
    LocalAddr,
    /// `getpeername`.
    PeerAddr,
    /// `setsockopt`.
    SetOption,
    /// `getsockopt`.
    Option,
    /// Asks what kind of socket it is.
    SocketKind,
    /// Makes that operations don't block (`fcntl`).
    SetNonblocking,
    /// Makes that operations don't block on a file that others share (`fcntl`).
    Lend,
    /// Asks what a descriptor is open on (`fstat`).
    FileKind,
    /// Asks how a file was opened (`fcntl`).
    FileFlags,
    /// `pipe`.
    Pipe,
    /// `dup`.
    Duplicate,
    /// Opens the file of a descriptor once more.
    Reopen,
    /// `read`.
    Read,
    /// `write`, also of several buffers at once.
    Write,
    /// `lstat`.
    FileAt,
    /// `unlink`.
    Unlink,
    /// `socketpair`.
    SocketPair,
    /// Reads a small file, whole.
    ReadFile,
    /// `getrandom`.
    Entropy,
    /// Starts a child process.
    Spawn,
    /// Takes the pidfd of a child; without one a thread waits for it, whatever the number.
    OpenPidfd,
    /// `waitid`, of a child that is said to have exited.
    WaitChild,
    /// Sends a signal to a child.
    SignalChild,
    /// Begins to catch a signal (`sigaction`).
    CatchSignal,
    /// Lets a signal reach the loop's thread (`pthread_sigmask`).
    UnblockSignal,
}

/// What becomes of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// It fails with this number.
    Errno(i32),
    /// It finds nothing, and the descriptor is reported again.
    Spurious,
}

/// What is planned for each operation.
#[derive(Default)]
struct Script {
    plans: RefCell<Vec<(Operation, Plan)>>,
    wakes_all: Cell<bool>,
}

impl Script {
    fn with<R>(&self, operation: Operation, look: impl FnOnce(&mut Plan) -> R) -> R {
        let mut plans = self.plans.borrow_mut();
        let index = plans.iter().position(|(key, _)| *key == operation).unwrap_or_else(|| {
            plans.push((operation, Plan::default()));
            plans.len() - 1
        });
        look(&mut plans[index].1)
    }
}

/// What is planned for one operation.
#[derive(Default, Debug)]
struct Plan {
    calls: u64,
    rules: Vec<Rule>,
    bytes_max: Option<usize>,
}

/// A fault, and when.
#[derive(Debug)]
struct Rule {
    /// Counts the calls that come before.
    skips: u64,
    /// Tells that it is for all calls from then on.
    is_kept: bool,
    fault: Fault,
}

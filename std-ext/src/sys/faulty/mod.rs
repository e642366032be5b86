//! The kernel that a test of failures runs on: the manual one, with answers from a script.

mod children;
mod datagrams;
mod files;
mod process;
mod sockets;

use core::cell::RefCell;
use core::time::Duration;
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::time::SystemTime;

use rondel_core::Instant;

use crate::faults::{Fault, Faults, Operation};
use crate::sys::ManualKernel;
use crate::sys::clock::ThreadClock;
use crate::sys::doorbell::Doorbell;
use crate::sys::fd::{Event, Events, Fd, Interest, Readiness, Token};
use crate::sys::kernel::{Time, Watching};

/// Does what a [`ManualKernel`] does, unless the script says otherwise.
///
/// It injects above the system calls, so what those deal with themselves, `EINTR`, is none of its
/// business; whatever else a call may answer, and the short transfers, are.
pub(crate) struct FaultyKernel {
    kernel: Rc<ManualKernel>,
    faults: Faults,
    /// Is what is watched, for reports that the system doesn't make.
    watched: RefCell<Vec<(Fd, Token, Interest)>>,
}

impl FaultyKernel {
    /// Puts a script before `kernel`.
    pub(crate) fn new(kernel: Rc<ManualKernel>, faults: Faults) -> Self {
        Self { kernel, faults, watched: RefCell::new(Vec::new()) }
    }

    /// Asks the script; `fd` is what the call is about, or none.
    fn before(&self, operation: Operation, fd: Fd) -> io::Result<()> {
        match self.faults.next(operation) {
            None => Ok(()),
            Some(Fault::Errno(errno)) => Err(io::Error::from_raw_os_error(errno)),
            Some(Fault::Spurious) => {
                self.report_again(fd);
                Err(io::ErrorKind::WouldBlock.into())
            }
        }
    }

    /// Has the system report again what is ready, after an edge was wasted.
    fn report_again(&self, fd: Fd) {
        let found = self.watched.borrow().iter().find(|entry| entry.0 == fd).copied();
        if let Some((fd, token, interest)) = found {
            // Fails only if the descriptor is gone, and then there is nothing to report.
            let _ = self.kernel.reregister(fd, token, interest);
        }
    }

    fn forget(&self, fd: Fd) {
        self.watched.borrow_mut().retain(|entry| entry.0 != fd);
    }

    /// Reports everything that is watched, as far as there is room.
    fn report_all(&self, events: &mut Events) {
        let readiness = Readiness { readable: true, writable: true, ..Readiness::default() };
        for &(_, token, _) in &*self.watched.borrow() {
            if events.list.len() < events.list.capacity() {
                events.list.push(Event { token, readiness });
            }
        }
    }
}

/// Writes the methods that ask the script and then the kernel.
macro_rules! scripted {
    ($($operation:ident: $method:ident(fd $(, $argument:ident: $type:ty)*) -> $answer:ty;)*) => {$(
        fn $method(&self, fd: $crate::sys::Fd $(, $argument: $type)*) -> std::io::Result<$answer> {
            self.before($crate::faults::Operation::$operation, fd)?;
            self.kernel.$method(fd $(, $argument)*)
        }
    )*};
}
use scripted;

impl Time for FaultyKernel {
    fn now(&self) -> Instant {
        self.kernel.now()
    }

    fn thread_clock(&self) -> Option<ThreadClock> {
        self.kernel.thread_clock()
    }

    fn wall_clock(&self) -> SystemTime {
        self.kernel.wall_clock()
    }

    fn monotonic_micros(&self) -> u64 {
        self.kernel.monotonic_micros()
    }

    fn wait(&self, deadline: Option<Instant>, events: &mut Events) -> io::Result<()> {
        if let Err(error) = self.before(Operation::Wait, Fd::NONE) {
            events.clear();
            return Err(error);
        }
        if self.faults.take_wakes_all() {
            self.kernel.wait(Some(Instant::ZERO), events)?;
            self.report_all(events);
            return Ok(());
        }
        self.kernel.wait(deadline, events)
    }

    fn prepare(&self, deadline: Option<Instant>) -> io::Result<Option<Duration>> {
        self.kernel.prepare(deadline)
    }

    fn spin(&self, end: Instant, is_over: &dyn Fn() -> bool) {
        self.kernel.spin(end, is_over);
    }
}

impl Watching for FaultyKernel {
    fn register(&self, fd: Fd, token: Token, interest: Interest) -> io::Result<()> {
        self.before(Operation::Register, fd)?;
        self.kernel.register(fd, token, interest)?;
        self.watched.borrow_mut().push((fd, token, interest));
        Ok(())
    }

    fn reregister(&self, fd: Fd, token: Token, interest: Interest) -> io::Result<()> {
        self.before(Operation::Reregister, fd)?;
        self.kernel.reregister(fd, token, interest)?;
        self.forget(fd);
        self.watched.borrow_mut().push((fd, token, interest));
        Ok(())
    }

    fn deregister(&self, fd: Fd) -> io::Result<()> {
        self.forget(fd);
        self.before(Operation::Deregister, fd)?;
        self.kernel.deregister(fd)
    }

    fn backend_fd(&self) -> io::Result<BorrowedFd<'_>> {
        self.kernel.backend_fd()
    }

    fn attach_doorbell(&self, bell: &'static Doorbell) -> io::Result<()> {
        self.kernel.attach_doorbell(bell)
    }

    fn detach_doorbell(&self, bell: &'static Doorbell) {
        self.kernel.detach_doorbell(bell);
    }
}

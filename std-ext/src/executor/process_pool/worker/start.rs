//! The start of a worker process.

use core::cell::{Cell, RefCell};
use core::panic::Location;
use std::io;
use std::path::Path;
use std::rc::Rc;

use super::{Phase, Worker};
use crate::executor::process_pool::pool::Pool;
use crate::sources::Owner;
use crate::sys::child::Child;
use crate::sys::{Fd, Interest, Kernel, Token, worker};
use crate::{Error, EventLoopHandle};

impl Worker {
    /// Starts a process, which will be idle when it has said hello.
    ///
    /// # Errors
    /// If the system refuses one, or the tables of the loop are full; then nothing is left of it.
    pub(in crate::executor::process_pool) fn start(pool: &Rc<Pool>) -> io::Result<Rc<Self>> {
        if worker::is_unaware() {
            let message = "this process is a worker itself: its main has to call process_worker first";
            return Err(io::Error::other(message));
        }
        let event_loop = &pool.event_loop;
        let kernel = &*event_loop.inner.kernel;
        let executable = pool.config.executable.as_deref().unwrap_or(Path::new(worker::THIS_PROGRAM));
        let (ours, theirs) = Opened::pair(kernel)?;
        let (stdin, nobody) = Opened::pair(kernel)?;
        drop(nobody);
        let command = worker::command(executable, theirs.fd, stdin.fd)?;
        let socket = Watched::new(event_loop, ours, Interest::BOTH, pool.location)?;
        let child = kernel.processes().spawn(&command).map_err(|error| {
            let message = format!("{}: {error} (ProcessPoolConfig::executable)", executable.display());
            io::Error::new(error.error.kind(), message)
        })?;
        let unwatched = Newborn { kernel, child };
        let child_token =
            event_loop.watch(child.watched(), Owner::Worker, Interest::READABLE, pool.location)?;
        core::mem::forget(unwatched);
        let (socket, socket_token) = socket.keep();
        let started = Rc::new(Self {
            pool: Rc::clone(pool),
            child,
            socket,
            socket_token,
            child_token,
            phase: Cell::new(Phase::Greeting),
            owes_hello: Cell::new(true),
            is_cut_off: Cell::new(false),
            exit: Cell::new(None),
            work: RefCell::new(None),
            taken: Cell::new(0),
            outgoing: RefCell::default(),
            incoming: RefCell::default(),
            timer: Cell::new(None),
        });
        match started.drive().and_then(|()| started.arm(pool.config.grace)) {
            Ok(()) => Ok(started),
            Err(refusal) => {
                started.abandon();
                Err(Error::from(refusal).into())
            }
        }
    }
}

/// A descriptor, closed unless it is kept.
struct Opened<'a> {
    kernel: &'a dyn Kernel,
    fd: Fd,
}

impl<'a> Opened<'a> {
    fn pair(kernel: &'a dyn Kernel) -> io::Result<(Self, Self)> {
        let (a, b) = worker::socket_pair(kernel)?;
        Ok((Self { kernel, fd: a }, Self { kernel, fd: b }))
    }
}

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        self.kernel.close(self.fd);
    }
}

/// A descriptor that the loop watches, unless it is kept no more.
struct Watched<'a> {
    event_loop: &'a EventLoopHandle,
    token: Token,
    /// Is closed after it is watched no more.
    opened: Opened<'a>,
}

impl<'a> Watched<'a> {
    fn new(
        event_loop: &'a EventLoopHandle,
        opened: Opened<'a>,
        interest: Interest,
        location: &'static Location<'static>,
    ) -> io::Result<Self> {
        let token = event_loop.watch(opened.fd, Owner::Worker, interest, location)?;
        Ok(Self { event_loop, token, opened })
    }

    fn keep(self) -> (Fd, Token) {
        let kept = (self.opened.fd, self.token);
        core::mem::forget(self);
        kept
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.event_loop.unwatch(self.token);
    }
}

/// A process that nothing watches yet.
struct Newborn<'a> {
    kernel: &'a dyn Kernel,
    child: Child,
}

impl Drop for Newborn<'_> {
    fn drop(&mut self) {
        worker::kill(self.kernel, self.child);
        self.kernel.processes().reap_killed(self.child);
    }
}

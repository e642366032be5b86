//! A process in the table of its loop.

use core::cell::{Cell, OnceCell, RefCell};
use core::panic::Location;
use std::ffi::OsStr;
use std::io;
use std::rc::{Rc, Weak};

use rondel_core::{Callback, Refusal, Resource, SlotId, Usage};
use slab::Slab;

use super::status::ExitStatus;
use super::subprocess::Subprocess;
use crate::observers::metrics::{Peak, usage};
use crate::shutdown::AbortedKind;
use crate::snapshot::{Describe, DescriptorRow, ShortText};
use crate::sources::{Direction, Owner};
use crate::sys::child::{self as sys, Command, SpawnError};
use crate::sys::{Interest, Token};
use crate::{Error, EventLoopHandle, Future, Result, TaskWait};

/// The processes of a loop that run, or were not reaped yet.
#[derive(Debug)]
pub(crate) struct Children {
    list: RefCell<Slab<Rc<Child>>>,
    peak: Peak,
    limit: usize,
    /// Ends those that are left, from the first that is started: a program without children doesn't link
    /// what that takes.
    end_all: Cell<Option<fn(&EventLoopHandle, Ending) -> usize>>,
}

/// How the processes of a loop are ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending {
    /// By `SIGTERM`, once each; those count that are left. Those that outlive the loop don't.
    Ask,
    /// By `SIGKILL`, and named in the report of the shutdown.
    Abort,
    /// With the loop.
    Close,
}

impl Children {
    pub(crate) fn new(limit: usize) -> Self {
        Self { list: RefCell::default(), peak: Peak::default(), limit, end_all: Cell::new(None) }
    }

    pub(crate) fn len(&self) -> usize {
        self.list.borrow().len()
    }

    pub(crate) fn usage(&self) -> Usage {
        usage(self.len(), self.peak.get(), self.limit)
    }

    fn check_room(&self) -> Result<(), Refusal> {
        if self.len() < self.limit {
            return Ok(());
        }
        Err(Refusal::Full { resource: Resource::ChildProcess, limit: self.limit })
    }
}

/// A process. Its handler reaps it when it has exited, whether anybody asks or not.
pub(crate) struct Child {
    event_loop: EventLoopHandle,
    /// Is where it was asked for.
    pub(super) location: &'static Location<'static>,
    /// Is the process, and the source that tells of its end. Set before anybody sees it.
    started: OnceCell<(sys::Child, Token)>,
    /// Is its place in the table.
    key: Cell<usize>,
    status: Cell<Option<ExitStatus>>,
    /// Is done when it has exited and was reaped.
    exited: Future<ExitStatus>,
    /// Is told of the exit, too.
    subprocess: RefCell<Weak<Subprocess>>,
    outlives_loop: Cell<bool>,
    /// Names it to people: the program, as its user did.
    program: ShortText,
    /// It was asked to end, by a shutdown.
    is_summoned: Cell<bool>,
}

/// The place of a process that is about to be started; given back when dropped.
pub(super) struct Reserved {
    child: Rc<Child>,
    handler: SlotId,
}

impl Reserved {
    /// Returns the process that is to be.
    pub(super) fn child(&self) -> &Rc<Child> {
        &self.child
    }

    /// Starts the process, watches it and puts it into the table.
    ///
    /// # Errors
    /// What failed of the start; nothing is left of it.
    pub(super) fn start(self, command: &Command) -> Result<Rc<Child>> {
        let Self { child, handler } = &self;
        let (event_loop, inner) = (&child.event_loop, &child.event_loop.inner);
        let started = inner.kernel.processes().spawn(command)?;
        let watched = event_loop.watch(started.watched(), Owner::Child, Interest::READABLE, child.location);
        let token = watched.inspect_err(|_| {
            let _ = inner.kernel.processes().signal_child(started, sys::SIGKILL);
            inner.kernel.processes().reap_killed(started);
        })?;
        // Empty until here.
        let _ = child.started.set((started, token));
        child.key.set(inner.children.list.borrow_mut().insert(Rc::clone(child)));
        inner.children.peak.note(inner.children.len());
        event_loop.listen(token, Direction::Read, *handler);
        event_loop.set_description(token, Rc::<Child>::downgrade(child));
        Ok(Rc::clone(child))
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if self.child.started.get().is_none() {
            let event_loop = &self.child.event_loop;
            event_loop.inner.scheduler.cancel_call(event_loop, self.handler);
        }
    }
}

impl Child {
    /// Takes what a process needs of the loop's tables, before there is one.
    ///
    /// # Errors
    /// `Full`, `Closed`.
    pub(super) fn reserve(
        event_loop: &EventLoopHandle,
        program: &OsStr,
        location: &'static Location<'static>,
    ) -> Result<Reserved> {
        let inner = &event_loop.inner;
        if event_loop.is_closed() {
            return Err(Refusal::Closed.into());
        }
        inner.children.check_room().map_err(|full| inner.scheduler.note_refusal(full))?;
        inner.sources.borrow().check_room()?;
        inner.children.end_all.set(Some(EventLoopHandle::end_all_children));
        let child = Rc::new(Self {
            event_loop: event_loop.clone(),
            location,
            started: OnceCell::new(),
            key: Cell::new(0),
            status: Cell::new(None),
            exited: event_loop.create_future_from(location)?,
            subprocess: RefCell::default(),
            outlives_loop: Cell::new(false),
            program: ShortText::end_of(&program.to_string_lossy()),
            is_summoned: Cell::new(false),
        });
        let erase = |child: Rc<Self>| Callback::handler(move |_: &EventLoopHandle| child.look());
        let handler = inner.scheduler.add_handler(Rc::clone(&child), erase, location);
        let handler = handler.map_err(|refused| refused.refusal())?;
        Ok(Reserved { child, handler })
    }

    pub(super) fn event_loop(&self) -> &EventLoopHandle {
        &self.event_loop
    }

    pub(super) fn pid(&self) -> i32 {
        self.started.get().map_or(0, |(started, _)| started.pid())
    }

    pub(super) fn status(&self) -> Option<ExitStatus> {
        self.status.get()
    }

    /// Lets the process run on when the loop is closed.
    pub(super) fn outlive_loop(&self) {
        self.outlives_loop.set(true);
    }

    /// Has the exit told to a transport.
    pub(super) fn tell_exit_to(&self, subprocess: Weak<Subprocess>) {
        self.subprocess.replace(subprocess);
    }

    /// Waits until the process has exited.
    ///
    /// # Errors
    /// `Cancelled`; `Closed` if the loop was closed before.
    pub(super) async fn wait(&self) -> Result<ExitStatus> {
        let what = TaskWait::Child(self.pid().unsigned_abs());
        self.event_loop.name_wait(what, self.exited.wait()).await?;
        self.status().ok_or_else(|| Refusal::Closed.into())
    }

    /// Sends a signal to the process, and to no other that has its number.
    ///
    /// # Errors
    /// `NotFound` if it has exited, whether that was noticed or not (contract SB-9).
    pub(super) fn send_signal(&self, signal: i32) -> Result<()> {
        self.look();
        let Some((started, _)) = self.started.get().filter(|_| self.status().is_none()) else {
            return Err(no_such_process());
        };
        match self.event_loop.inner.kernel.processes().signal_child(*started, signal) {
            Err(error) if sys::is_gone(&error) => Err(no_such_process()),
            sent => Ok(sent?),
        }
    }

    /// Ends the process; nothing is to be done about one that has ended.
    pub(super) fn kill(&self) {
        let _ = self.send_signal(sys::SIGKILL);
    }

    /// Reaps the process if it has exited. What tells of its end may be mistaken (FAULTS R-09).
    fn look(&self) {
        let Some((started, _)) = self.started.get().filter(|_| self.status().is_none()) else { return };
        let kernel = &self.event_loop.inner.kernel;
        match kernel.processes().try_wait(*started) {
            Ok(None) => {}
            Ok(Some(exit)) => {
                let watched = started.watched();
                self.finish(exit.into());
                kernel.close(watched);
            }
            Err(error) => {
                log::warn!("waiting for process {}: {error}", started.pid());
                self.finish(ExitStatus::Unknown);
                kernel.processes().reap_later(*started);
            }
        }
    }

    /// Leaves the table, and tells who waits.
    fn finish(&self, status: ExitStatus) {
        let Some(&(started, token)) = self.started.get() else { return };
        if status == ExitStatus::Unknown {
            log::warn!("unknown child process {}: somebody else has waited for it", started.pid());
        }
        self.status.set(Some(status));
        // The handler that runs may hold the last reference but this.
        let child = self.event_loop.inner.children.list.borrow_mut().try_remove(self.key.get());
        self.event_loop.unwatch(token);
        // Refused only by a loop that is closed, and then nobody waits.
        let _ = self.exited.set_result(status);
        let subprocess = self.subprocess.borrow().upgrade();
        if let Some(subprocess) = subprocess {
            subprocess.exited();
        }
        drop(child);
    }
}

impl EventLoopHandle {
    /// Counts the child processes that run, or were not reaped yet.
    #[must_use]
    pub fn child_processes(&self) -> usize {
        self.inner.children.len()
    }

    /// Has all processes end, and returns how many that concerns.
    pub(crate) fn end_children(&self, how: Ending) -> usize {
        self.inner.children.end_all.get().map_or(0, |end_all| end_all(self, how))
    }

    fn end_all_children(&self, how: Ending) -> usize {
        match how {
            Ending::Ask => self.terminate_children(),
            Ending::Abort => self.abort_children(),
            Ending::Close => self.close_children(),
        }
    }

    /// Asks the processes to end, once each, and returns how many are left.
    fn terminate_children(&self) -> usize {
        let children = self.mortal_children();
        for child in &children {
            if !child.is_summoned.replace(true) {
                // It may have exited just now.
                let _ = child.send_signal(sys::SIGTERM);
            }
        }
        children.iter().filter(|child| child.status().is_none()).count()
    }

    /// Kills the processes that are left, names them in the report of the shutdown, reaps them, and
    /// returns how many there were.
    fn abort_children(&self) -> usize {
        let processes = self.inner.kernel.processes();
        let children = self.mortal_children();
        // All of them first, so that they end at the same time.
        for child in &children {
            child.kill();
        }
        let mut aborted = 0;
        for child in children.iter().filter(|child| child.status().is_none()) {
            let name = format_args!("pid {} ({})", child.pid(), child.program.as_str());
            self.inner.shutdown.aborted(AbortedKind::Child, name);
            let Some(&(started, token)) = child.started.get() else { continue };
            // Before its number can be used again.
            self.unwatch(token);
            let exit = processes.reap_killed(started);
            child.finish(exit.map_or(ExitStatus::Unknown, ExitStatus::from));
            aborted += 1;
        }
        aborted
    }

    /// Returns the processes that don't outlive the loop.
    fn mortal_children(&self) -> Vec<Rc<Child>> {
        let children = self.inner.children.list.borrow();
        children
            .iter()
            .filter(|(_, child)| !child.outlives_loop.get())
            .map(|(_, child)| Rc::clone(child))
            .collect()
    }

    /// Ends the processes that are left, and reaps them. Those that may go on are left to threads, so that
    /// they don't become zombies.
    fn close_children(&self) -> usize {
        let processes = self.inner.kernel.processes();
        let children: Vec<_> = self.inner.children.list.take().into_iter().map(|(_, child)| child).collect();
        let ended = |child: &&Rc<Child>| !child.outlives_loop.get();
        // All of them first, so that they end at the same time.
        for (started, _) in children.iter().filter(ended).filter_map(|child| child.started.get()) {
            let _ = processes.signal_child(*started, sys::SIGKILL);
        }
        for child in &children {
            let Some(&(started, token)) = child.started.get() else { continue };
            self.unwatch(token);
            if child.outlives_loop.get() {
                processes.reap_later(started);
            } else {
                child.status.set(processes.reap_killed(started).map(ExitStatus::from));
            }
        }
        children.len()
    }
}

impl Describe for Child {
    fn location(&self) -> &'static Location<'static> {
        self.location
    }

    fn describe(&self, row: &mut DescriptorRow) {
        row.process = Some((self.pid().unsigned_abs(), self.program));
        row.state = if self.is_summoned.get() { "asked to end" } else { "running" };
    }
}

impl From<SpawnError> for Error {
    fn from(failed: SpawnError) -> Self {
        Self::from(failed.error).during(failed.stage.name())
    }
}

/// Is the answer to a signal for a process that has exited.
fn no_such_process() -> Error {
    io::Error::new(io::ErrorKind::NotFound, "no such process: it has exited").into()
}

impl core::fmt::Debug for Child {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.status() {
            Some(status) => write!(f, "process {} {status}", self.pid()),
            None => write!(f, "process {} running", self.pid()),
        }
    }
}

//! A child process with a protocol, as the loop drives it.

use core::cell::{Cell, RefCell};
use core::fmt;
use std::collections::VecDeque;
use std::rc::Rc;

use rondel_core::{Callback, Refusal, SlotId};

use super::child::Child;
use super::pipe_protocol::PipeProtocol;
use super::pipes::OurEnds;
use super::protocol::{AnySubprocessProtocol, Event, Protocol};
use super::transport::SubprocessTransport;
use crate::exception::subject::{Callee, Subject};
use crate::net::connection::Connection;
use crate::net::finally::Finally;
use crate::transport::Transport;
use crate::{Error, EventLoopHandle, Future, Result};

/// The child's descriptors.
pub(super) const STDIN: usize = 0;
pub(super) const STDOUT: usize = 1;
pub(super) const STDERR: usize = 2;

/// A process with a protocol, driven by a handler of the loop.
pub(super) struct Subprocess {
    child: Rc<Child>,
    state: Cell<State>,
    pipes: [Option<Rc<Connection>>; 3],
    /// Invariant: there until the protocol was told of the end.
    protocol: RefCell<Option<Protocol>>,
    /// Is what the protocol has to be told of when it can be.
    later: RefCell<VecDeque<Later>>,
    driver: Cell<Option<SlotId>>,
    /// Is done when `connection_made` has returned.
    made: Future<()>,
}

/// What a subprocess has been through, a bit for each.
#[derive(Clone, Copy)]
struct State(u8);

impl State {
    /// The pipes that are open, a bit each, by the number of the descriptor.
    const PIPES: u8 = 0b111;
    /// `connection_made` was not called yet.
    const STARTING: u8 = 1 << 3;
    /// The process has exited, and the protocol knows.
    const EXITED: u8 = 1 << 4;
    const CLOSING: u8 = 1 << 5;
}

/// Is told later: before `connection_made`, and while a method runs, nothing is.
#[derive(Clone, Copy)]
pub(super) enum Later {
    PipeLost(usize),
    Paused,
    Resumed,
    Exited,
}

impl Subprocess {
    /// Makes one of a process that is about to be started, and takes all that it needs for its whole
    /// life.
    ///
    /// # Errors
    /// `Full`; the pipes are closed then.
    pub(super) fn new(child: &Rc<Child>, ours: OurEnds, protocol: Protocol) -> Result<Rc<Self>> {
        let event_loop = child.event_loop();
        let subprocess = Rc::new(Self {
            child: Rc::clone(child),
            state: Cell::new(State(State::STARTING)),
            pipes: [ours.stdin, ours.stdout, ours.stderr],
            protocol: RefCell::new(Some(protocol)),
            later: RefCell::default(),
            driver: Cell::new(None),
            made: event_loop.create_future_from(child.location)?,
        });
        let driven = Driven(Rc::clone(&subprocess));
        let erase = |driven: Driven| Callback::handler(move |_: &EventLoopHandle| driven.0.turn());
        let driver = event_loop.inner.scheduler.add_handler(driven, erase, child.location);
        subprocess.driver.set(Some(driver.map_err(|refused| refused.refusal())?));
        child.tell_exit_to(Rc::downgrade(&subprocess));
        for fd in [STDIN, STDOUT, STDERR] {
            if let Err(error) = subprocess.start_pipe(fd) {
                subprocess.forget();
                return Err(error);
            }
        }
        Ok(subprocess)
    }

    /// Has a pipe driven by the loop. It is read from when the protocol knows of the process.
    fn start_pipe(self: &Rc<Self>, fd: usize) -> Result<()> {
        let Some(connection) = &self.pipes[fd] else { return Ok(()) };
        if fd != STDIN {
            connection.pause_reading();
        }
        let name = self.protocol.borrow().as_ref().map_or("", |protocol| protocol.type_name());
        connection.start(Rc::new(PipeProtocol::new(self, fd, name)))?;
        self.set(1 << fd);
        Ok(())
    }

    /// Gives everything back, at once and without a word to the protocol: there is no process.
    pub(super) fn forget(&self) {
        self.protocol.replace(None);
        self.pipes.iter().flatten().for_each(|pipe| pipe.finish());
        self.end();
    }

    /// Has the protocol told of the process, which was started, and waits until it was.
    pub(super) async fn made(&self) -> Result<()> {
        self.drive_soon();
        Ok(self.made.wait().await?)
    }

    pub(super) fn child(&self) -> &Child {
        &self.child
    }

    pub(super) fn is_closing(&self) -> bool {
        self.has(State::CLOSING)
    }

    fn has(&self, flags: u8) -> bool {
        self.state.get().0 & flags != 0
    }

    fn set(&self, flags: u8) -> bool {
        let state = self.state.get();
        self.state.set(State(state.0 | flags));
        state.0 & flags != 0
    }

    fn unset(&self, flags: u8) {
        self.state.set(State(self.state.get().0 & !flags));
    }

    pub(super) fn pipe(&self, fd: usize) -> Option<Transport> {
        Some(Transport { connection: Rc::clone(self.pipes[fd].as_ref()?) })
    }

    pub(super) fn close(&self) {
        if self.set(State::CLOSING) {
            return;
        }
        self.close_pipes();
        self.child.kill();
    }

    /// Closes the pipes; whoever else has their other ends needn't agree.
    fn close_pipes(&self) {
        self.pipes.iter().flatten().for_each(|pipe| pipe.abort());
    }

    fn drive_soon(&self) {
        if let Some(driver) = self.driver.get() {
            self.child.event_loop().inner.scheduler.make_ready(driver);
        }
    }

    /// Is the handler: tells the protocol what it was not told yet.
    fn turn(self: &Rc<Self>) {
        // What a method that unwinds has kept from being told.
        let rest = Finally(|| self.drive_soon());
        if self.has(State::STARTING) {
            self.make();
        }
        while let Some(later) = self.next_later() {
            self.tell_later(later);
        }
        if self.has(State::EXITED) && !self.has(State::PIPES) {
            self.lose(None);
        }
        core::mem::forget(rest);
    }

    fn next_later(&self) -> Option<Later> {
        self.later.borrow_mut().pop_front()
    }

    fn make(self: &Rc<Self>) {
        self.unset(State::STARTING);
        // Refused if whoever waited is gone, or the loop.
        let _ = self.made.set_result(());
        // Nothing is read before the next turn, and what the protocol pauses stays so.
        self.pipes[STDOUT..].iter().flatten().for_each(|pipe| pipe.resume_reading());
        self.tell(&Event::Made);
    }

    fn tell_later(self: &Rc<Self>, later: Later) {
        match later {
            Later::PipeLost(fd) => self.pipe_lost(fd, None),
            Later::Paused => self.tell(&Event::Paused),
            Later::Resumed => self.tell(&Event::Resumed),
            Later::Exited => {
                self.set(State::EXITED);
                self.tell(&Event::Exited);
            }
        }
    }

    fn tell(self: &Rc<Self>, event: &Event<'_>) {
        let protocol = self.protocol.borrow().clone();
        if let Some(protocol) = protocol {
            self.tell_it(&*protocol, event);
        }
    }

    /// Calls one method, and reports the error that it came back with.
    fn tell_it(self: &Rc<Self>, protocol: &dyn AnySubprocessProtocol, event: &Event<'_>) {
        let event_loop = self.child.event_loop();
        let callee = || Callee { method: event.method(), subject: self.subject(protocol) };
        let tell = || protocol.tell(&SubprocessTransport::new(Rc::clone(self)), event);
        if let Err(error) = event_loop.call_method(callee, tell) {
            event_loop.report_about(&self.subject(protocol), event.method().failed(), Some(&error));
        }
    }

    fn subject(self: &Rc<Self>, protocol: &dyn AnySubprocessProtocol) -> Subject {
        Subject {
            protocol: Some(protocol.type_name()),
            transport: Some(Rc::<Self>::clone(self)),
            location: Some(self.child.location),
            ..Subject::default()
        }
    }

    /// Notes what the protocol is to be told in a turn of its own.
    pub(super) fn note(&self, later: Later) {
        self.later.borrow_mut().push_back(later);
        self.drive_soon();
    }

    /// Notes that the process has exited.
    pub(super) fn exited(&self) {
        self.note(Later::Exited);
    }

    pub(super) fn data_received(self: &Rc<Self>, fd: usize, data: &[u8]) -> Result<()> {
        let protocol = self.protocol.borrow().clone();
        let Some(protocol) = protocol else { return Ok(()) };
        protocol.data(&SubprocessTransport::new(Rc::clone(self)), fd as i32, data)
    }

    pub(super) fn pipe_lost(self: &Rc<Self>, fd: usize, error: Option<&Error>) {
        let is_entered = self.protocol.borrow().as_ref().is_some_and(|protocol| protocol.is_entered());
        if self.has(State::STARTING) || is_entered {
            return self.note(Later::PipeLost(fd));
        }
        self.unset(1 << fd);
        self.drive_soon();
        self.tell(&Event::PipeLost(fd as i32, error));
    }

    /// Tells the protocol of the end, and gives everything back.
    fn lose(self: &Rc<Self>, error: Option<&Error>) {
        let _ended = Finally(|| self.end());
        let protocol = self.protocol.take();
        if let Some(protocol) = protocol.filter(|_| !self.has(State::STARTING)) {
            self.tell_it(&*protocol, &Event::Lost(error));
        }
    }

    fn end(&self) {
        self.set(State::CLOSING);
        self.close_pipes();
        if let Some(driver) = self.driver.take() {
            let event_loop = self.child.event_loop();
            event_loop.inner.scheduler.cancel_call(event_loop, driver);
        }
    }
}

impl fmt::Debug for Subprocess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.child.fmt(f)
    }
}

/// A subprocess in the hands of the loop, which may be closed before its end.
struct Driven(Rc<Subprocess>);

impl Drop for Driven {
    fn drop(&mut self) {
        self.0.driver.set(None);
        if self.0.protocol.borrow().is_some() {
            self.0.lose(Some(&Refusal::Closed.into()));
        }
    }
}

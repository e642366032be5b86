//! A worker process, from the side of its pool.

mod start;

use core::cell::{Cell, RefCell};
use core::time::Duration;
use std::io::{self, IoSlice};
use std::rc::Rc;

use rondel_core::{Callback, Refusal};

use crate::executor::process_pool::error::{ProcessJobError, WorkerExit};
use crate::executor::process_pool::incoming::{Answer, Incoming};
use crate::executor::process_pool::job::Work;
use crate::executor::process_pool::outgoing::Outgoing;
use crate::executor::process_pool::pool::Pool;
use crate::executor::{JobRefusal, JobRefused, StuckJob};
use crate::net::read_buffer::SharedBuffer;
use crate::sources::Direction;
use crate::sys::child::Child;
use crate::sys::{Fd, Kernel, Token, worker};
use crate::{EventLoopHandle, TimerHandle};

/// Is how many transfers a turn makes, before others have theirs.
const TRANSFERS_PER_TURN: usize = 16;

/// A worker process.
///
/// ```text
///            hello            job               told, or idle for too long
/// Greeting -------> Idle <===========> Busy      |
///    |                |     answer      |        | the process has exited
///    '----------------+-----------------'-> Leaving ----------------------> Gone
/// ```
pub(super) struct Worker {
    pool: Rc<Pool>,
    child: Child,
    socket: Fd,
    socket_token: Token,
    child_token: Token,
    phase: Cell<Phase>,
    /// Tells that it neither said hello nor was given up for that.
    owes_hello: Cell<bool>,
    /// Tells that nothing more comes from it.
    is_cut_off: Cell<bool>,
    exit: Cell<Option<WorkerExit>>,
    work: RefCell<Option<Rc<Work>>>,
    /// Counts the jobs that it took.
    taken: Cell<u64>,
    outgoing: RefCell<Outgoing>,
    incoming: RefCell<Incoming>,
    timer: Cell<Option<TimerHandle>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Greeting,
    Idle,
    Busy,
    Leaving,
    Gone,
}

impl Worker {
    /// Has the loop call [`turn`](Self::turn) when something happens.
    fn drive(self: &Rc<Self>) -> Result<(), Refusal> {
        let event_loop = &self.pool.event_loop;
        let erase = |driven: Driven| Callback::handler(move |_: &EventLoopHandle| driven.0.turn());
        let driven = Driven(Rc::clone(self));
        let driver = event_loop.inner.scheduler.add_handler(driven, erase, self.pool.location);
        let driver = driver.map_err(|refused| refused.refusal())?;
        event_loop.listen(self.socket_token, Direction::Read, driver);
        event_loop.listen(self.socket_token, Direction::Write, driver);
        event_loop.listen(self.child_token, Direction::Read, driver);
        Ok(())
    }

    fn drive_soon(&self) {
        let event_loop = &self.pool.event_loop;
        if let Some(driver) = event_loop.handler(self.socket_token, Direction::Read) {
            event_loop.inner.scheduler.make_ready(driver);
        }
    }

    fn kernel(&self) -> &dyn Kernel {
        &*self.pool.event_loop.inner.kernel
    }

    pub(super) fn pid(&self) -> i32 {
        self.child.pid()
    }

    pub(super) fn is_greeting(&self) -> bool {
        self.phase.get() == Phase::Greeting
    }

    pub(super) fn runs(&self, work: &Rc<Work>) -> bool {
        self.work.borrow().as_ref().is_some_and(|own| Rc::ptr_eq(own, work))
    }

    /// Names its job.
    pub(super) fn stuck_job(&self) -> Option<StuckJob> {
        let work = self.work.borrow();
        let work = work.as_ref()?;
        let place = format!("process {}", self.pid());
        Some(StuckJob::of(work.id, work.function.to_string(), work.location, place))
    }
}

/// What the pool asks of it.
impl Worker {
    /// Takes a job. Without a timer for it, it is given back, and the worker stays idle.
    pub(super) fn begin(self: &Rc<Self>, work: Rc<Work>) {
        self.disarm();
        if let Some(limit) = work.limit
            && let Err(refusal) = self.arm(limit)
        {
            let refused = JobRefused::new(JobRefusal::NoTimer(refusal), work.arguments.take());
            self.pool.rest(self);
            return work.finish(Err(ProcessJobError::Refused(refused)));
        }
        let answer_bytes_max = self.pool.config.result_bytes_max as u64;
        *self.outgoing.borrow_mut() = Outgoing::request(&work, answer_bytes_max);
        self.phase.set(Phase::Busy);
        self.taken.set(self.taken.get() + 1);
        work.taken_by(self.pid(), self.pool.event_loop.time());
        *self.work.borrow_mut() = Some(work);
        self.flush();
    }

    /// Begins to count the time without a job.
    pub(super) fn wait_for_work(self: &Rc<Self>) {
        let timer = self.timer.take();
        let is_armed = timer.is_some();
        self.timer.set(timer);
        if !is_armed && self.arm(self.pool.config.idle_timeout).is_err() {
            self.retire();
        }
    }

    /// Lets go of it: it reads an end, and exits.
    pub(super) fn retire(self: &Rc<Self>) {
        self.leave();
        let _ = self.kernel().shutdown_write(self.socket);
        if self.arm(self.pool.config.grace).is_err() {
            worker::kill(self.kernel(), self.child);
        }
    }

    /// Kills it, and fails its job, or the one that it was started for.
    pub(super) fn condemn(self: &Rc<Self>, error: ProcessJobError) {
        let work = self.work.take();
        let work = work.or_else(|| if self.owes_hello.take() { self.pool.take_queued() } else { None });
        self.leave();
        worker::kill(self.kernel(), self.child);
        match work {
            Some(work) => work.finish(Err(error)),
            None => log::debug!(target: "rondel", "worker process {}: {error}", self.pid()),
        }
    }

    /// Kills it without the loop: now, as nobody will look later.
    fn abandon(self: &Rc<Self>) {
        if self.phase.get() == Phase::Gone {
            return;
        }
        self.let_go();
        worker::kill(self.kernel(), self.child);
        self.kernel().processes().reap_killed(self.child);
        if let Some(work) = self.work.take() {
            work.finish(Err(ProcessJobError::Lost));
        }
    }
}

/// What happens to it.
impl Worker {
    fn turn(self: &Rc<Self>) {
        if self.phase.get() == Phase::Gone {
            return;
        }
        self.look_for_exit();
        self.flush();
        let is_drained = self.receive();
        if let (true, Some(exit)) = (is_drained, self.exit.get()) {
            self.end(exit);
        }
    }

    fn look_for_exit(&self) {
        let noticed = self.pool.event_loop.take_readiness(self.child_token);
        if self.exit.get().is_some() || !noticed.is_some_and(|noticed| noticed.is_readable) {
            return;
        }
        match self.kernel().processes().try_wait(self.child) {
            Ok(exit) => self.exit.set(exit.map(WorkerExit::from)),
            Err(_) => self.exit.set(Some(WorkerExit::Unknown)),
        }
    }

    /// Sends what is left of a request, as far as there is room.
    fn flush(self: &Rc<Self>) {
        for _ in 0..TRANSFERS_PER_TURN {
            let sent = {
                let outgoing = self.outgoing.borrow();
                let [head, body] = outgoing.rest();
                if head.is_empty() && body.is_empty() {
                    return;
                }
                self.kernel().send_vectored(self.socket, &[IoSlice::new(head), IoSlice::new(body)])
            };
            match sent {
                Ok(sent) => self.outgoing.borrow_mut().advance(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return self.be_cut_off(),
            }
        }
        self.drive_soon();
    }

    /// Takes in what it says; tells whether that is all for now.
    fn receive(self: &Rc<Self>) -> bool {
        let event_loop = &self.pool.event_loop;
        let mut buffer = SharedBuffer::take(event_loop);
        for _ in 0..TRANSFERS_PER_TURN {
            if self.is_cut_off.get() {
                return true;
            }
            match event_loop.inner.kernel.recv(self.socket, &mut buffer.bytes) {
                Ok(0) => self.be_cut_off(),
                Ok(count) => self.hear(&buffer.bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(_) => self.be_cut_off(),
            }
        }
        self.drive_soon();
        false
    }

    fn hear(self: &Rc<Self>, bytes: &[u8]) {
        match self.phase.get() {
            Phase::Greeting => self.hear_hello(bytes),
            Phase::Busy => self.hear_answer(bytes),
            Phase::Idle => self.condemn(ProcessJobError::Garbled("it spoke without being asked")),
            // What it says now nobody wants to know.
            Phase::Leaving | Phase::Gone => {}
        }
    }

    fn hear_hello(self: &Rc<Self>, bytes: &[u8]) {
        let is_complete = self.incoming.borrow_mut().hello(bytes);
        match is_complete {
            Some(true) => {}
            Some(false) => return,
            None => return self.condemn(ProcessJobError::NotAWorker("it said something else".into())),
        }
        self.owes_hello.set(false);
        self.pool.rest(self);
        self.pool.dispatch();
    }

    fn hear_answer(self: &Rc<Self>, bytes: &[u8]) {
        let Some(work) = self.work.borrow().clone() else { return };
        let limit = self.pool.config.result_bytes_max;
        let answer = self.incoming.borrow_mut().answer(bytes, work.id, limit);
        let answer = match answer {
            Ok(Some(answer)) => answer,
            Ok(None) => return,
            Err(what) => return self.condemn(ProcessJobError::Garbled(what)),
        };
        let Answer { kind, body, is_last } = answer;
        let result = kind.into_result(body, &work.function, limit);
        *self.work.borrow_mut() = None;
        let is_worn = self.pool.config.max_tasks_per_child.is_some_and(|most| self.taken.get() >= most.get());
        if !is_last {
            self.condemn(ProcessJobError::Garbled("it said more than it was asked"));
        } else if is_worn {
            self.retire();
        } else {
            self.pool.rest(self);
        }
        self.pool.dispatch();
        work.finish(result);
    }

    /// Becomes idle, if it can: for the pool, which keeps the list.
    pub(super) fn be_idle(&self) {
        self.disarm();
        self.phase.set(Phase::Idle);
    }

    /// Notes that the other end of the socket is closed: it exits, or else is made to. Its job is told
    /// when it is known how it ended, which a signal doesn't change once it has begun.
    fn be_cut_off(self: &Rc<Self>) {
        if !self.is_cut_off.replace(true) {
            *self.outgoing.borrow_mut() = Outgoing::default();
            self.leave();
            worker::kill(self.kernel(), self.child);
        }
    }

    /// Takes no further job.
    fn leave(self: &Rc<Self>) {
        self.disarm();
        self.phase.set(Phase::Leaving);
        self.pool.remove_idle(self);
    }

    /// Notes its exit, and lets another take its place.
    fn end(self: &Rc<Self>, exit: WorkerExit) {
        self.let_go();
        self.kernel().close(self.child.watched());
        if let Some(work) = self.work.take() {
            work.finish(Err(ProcessJobError::BrokenProcess(exit)));
        } else if self.owes_hello.take()
            && let Some(work) = self.pool.take_queued()
        {
            work.finish(Err(ProcessJobError::NotAWorker(exit.to_string())));
        }
        self.pool.dispatch();
    }

    /// Gives everything back but the process itself and what watches it.
    fn let_go(self: &Rc<Self>) {
        self.leave();
        self.phase.set(Phase::Gone);
        self.pool.remove(self);
        let event_loop = &self.pool.event_loop;
        event_loop.unwatch(self.child_token);
        event_loop.unwatch(self.socket_token);
        self.kernel().close(self.socket);
    }
}

/// Its one timer.
impl Worker {
    fn arm(self: &Rc<Self>, limit: Duration) -> Result<(), Refusal> {
        let worker = Rc::clone(self);
        let expire = move |_: &EventLoopHandle| worker.expire();
        let timer = self.pool.event_loop.call_later_from(limit, expire, self.pool.location);
        self.disarm();
        self.timer.set(Some(timer.map_err(|refused| refused.refusal())?));
        Ok(())
    }

    fn disarm(&self) {
        if let Some(timer) = self.timer.take() {
            timer.cancel();
        }
    }

    fn expire(self: &Rc<Self>) {
        self.timer.take();
        match self.phase.get() {
            Phase::Greeting => self.condemn(ProcessJobError::NotAWorker("it said nothing in time".into())),
            Phase::Idle => self.retire(),
            Phase::Busy => {
                let limit = self.work.borrow().as_ref().and_then(|work| work.limit);
                self.condemn(ProcessJobError::TimedOut(limit.unwrap_or_default()));
            }
            Phase::Leaving => worker::kill(self.kernel(), self.child),
            Phase::Gone => {}
        }
    }
}

/// What the loop holds; dropped with it.
struct Driven(Rc<Worker>);

impl Drop for Driven {
    fn drop(&mut self) {
        if self.0.pool.event_loop.is_closed() {
            self.0.abandon();
            self.0.pool.lose_queued();
        }
    }
}

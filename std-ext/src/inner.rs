//! What all handles of a loop refer to, and what the scheduler asks of it.

use core::cell::{Cell, RefCell};
use core::fmt;
use core::panic::{AssertUnwindSafe, Location};
use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::panic::catch_unwind;
use std::rc::Rc;
use std::sync::Arc;

use rondel_core::{
    Context, ExceptionContext, Histogram, Hooks, Instant, Limits, NewTask, Outcome, Panicked, Refused,
    Running, Scheduler, SlotId, Task, TaskCell,
};

use crate::config::PanicPolicy;
use crate::dns::Lookups;
use crate::exception::ExceptionHandler;
use crate::exception::reporter::Reporter;
use crate::exception::subject::Callee;
use crate::executor::{DefaultExecutor, ListedJobs};
use crate::net::datagram::buffers::DatagramBuffers;
use crate::net::flow::WriteBudget;
use crate::net::readiness::StepBudget;
use crate::observers::Observers;
use crate::observers::debug::Debug;
use crate::observers::metrics::Meters;
use crate::process::Children;
use crate::shutdown::ShutdownState;
use crate::signal::WatchedSignals;
use crate::snapshot::NamedWaits;
use crate::sources::Sources;
use crate::supervision::process_limits;
use crate::sys::{Event, Events, Kernel, memory};
use crate::tables::{self, WakeTables};
use crate::threadsafe::{self, Call, Inbox};
use crate::{Config, EventLoopHandle, Result};

/// A function that sees each new task before its first step.
pub type TaskFactory = Rc<dyn Fn(&EventLoopHandle, &mut NewTask)>;

/// The loop itself.
pub(crate) struct Inner {
    pub(crate) scheduler: Scheduler<EventLoopHandle>,
    pub(crate) kernel: Rc<dyn Kernel>,
    wake: WakeTables,
    events: RefCell<Events>,
    pub(crate) sources: RefCell<Sources>,
    pub(crate) signals: WatchedSignals,
    pub(crate) inbox: Arc<Inbox>,
    /// Is the other ring of the inbox: empty between two turns, unless a panic
    /// left calls unrun.
    pub(crate) received: RefCell<VecDeque<(u64, Call)>>,
    pub(crate) read_buffer: Cell<Box<[u8]>>,
    pub(crate) read_buffer_bytes: usize,
    /// Are the buffers of the ciphertext that is received and to be sent; made by
    /// the first session.
    #[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "only TLS uses it"))]
    pub(crate) cipher_buffers: Cell<(Box<[u8]>, Vec<u8>)>,
    pub(crate) datagrams: DatagramBuffers,
    pub(crate) write_budget: WriteBudget,
    pub(crate) children: Children,
    pub(crate) step_budget: StepBudget,
    /// Counts the writes to transports that were closing or gone.
    pub(crate) dropped_writes: Cell<u64>,
    pub(crate) exception_handler: RefCell<Option<ExceptionHandler>>,
    /// Tells that the exception handler runs: a report meanwhile goes to the
    /// default one (FAULTS K-03).
    pub(crate) is_handling_exception: Cell<bool>,
    /// Is whose method unwinds, until that is reported.
    pub(crate) unwound: Cell<Option<Callee>>,
    pub(crate) reporter: Reporter,
    pub(crate) task_factory: RefCell<Option<TaskFactory>>,
    pub(crate) executor: DefaultExecutor,
    pub(crate) jobs: ListedJobs,
    pub(crate) named_waits: NamedWaits,
    pub(crate) lookups: Lookups,
    pub(crate) shutdown: ShutdownState,
    pub(crate) debug: Debug,
    pub(crate) observers: Observers,
    pub(crate) meters: Meters,
    spin: Duration,
    panic_policy: PanicPolicy,
    /// Is why the last wait failed; ends the run.
    pub(crate) wait_error: Cell<Option<io::Error>>,
}

impl Inner {
    pub(crate) fn new(config: &Config, kernel: Rc<dyn Kernel>) -> Result<Self> {
        let wake = WakeTables::take(config)?;
        let opened = Opened { wake, kernel: Some(Rc::clone(&kernel)) };
        kernel.attach_doorbell(wake.doorbell)?;
        wake.doorbell.enter_thread();
        let read_buffer = memory::zeroed(config.read_buffer_bytes.max(1)).map_err(tables::too_large)?;
        let limits =
            Limits { timers_per_turn: config.timers_per_turn, turns_per_poll: config.turns_per_poll };
        let ring = || threadsafe::ring(config.threadsafe_calls);
        let inner = Self {
            scheduler: Scheduler::new(tables::reserve(config, wake.table)?, limits),
            kernel,
            wake,
            events: RefCell::new(Events::with_capacity(config.events_per_turn)),
            sources: RefCell::new(Sources::new(config.descriptors)),
            signals: WatchedSignals::default(),
            inbox: Arc::new(Inbox::new(ring()?, config.threadsafe_calls, wake.table)),
            received: RefCell::new(ring()?),
            read_buffer_bytes: read_buffer.len(),
            cipher_buffers: Cell::default(),
            read_buffer: Cell::new(read_buffer),
            datagrams: DatagramBuffers::new(config.datagrams_per_turn),
            write_budget: WriteBudget::new(config.write_buffers_bytes, config.write_buffer_bytes),
            children: Children::new(config.children),
            step_budget: StepBudget::default(),
            dropped_writes: Cell::new(0),
            exception_handler: RefCell::new(None),
            is_handling_exception: Cell::new(false),
            unwound: Cell::new(None),
            reporter: Reporter::new(config),
            task_factory: RefCell::new(None),
            executor: DefaultExecutor::default(),
            jobs: ListedJobs::default(),
            named_waits: NamedWaits::default(),
            lookups: Lookups::new(config),
            shutdown: ShutdownState::default(),
            observers: Observers::new(config.debug, config.metrics),
            debug: Debug::new(config.debug, config.slow_callback_duration),
            meters: Meters::new(config.metrics),
            spin: config.spin,
            panic_policy: config.panic_policy,
            wait_error: Cell::new(None),
        };
        process_limits::report_limits(&*inner.kernel, config.descriptors);
        opened.keep();
        Ok(inner)
    }

    pub(crate) fn propagates_panics(&self) -> bool {
        self.panic_policy == PanicPolicy::Propagate
    }

    /// Tells whether a call of another thread or a signal is to be taken in.
    #[inline]
    pub(crate) fn has_come(&self) -> bool {
        self.inbox.is_used() || self.signals.is_used()
    }

    /// Makes the current or the next wait return.
    pub(crate) fn ring(&self) {
        self.wake.doorbell.ring();
    }

    /// Lets go of the other threads, and returns the calls of theirs that were
    /// not received.
    pub(crate) fn close(&self) -> VecDeque<(u64, Call)> {
        let mut calls = self.received.take();
        calls.append(&mut self.inbox.close());
        self.kernel.detach_doorbell(self.wake.doorbell);
        calls
    }
}

impl Drop for Inner {
    /// Gives the wake table to the next loop: only now does no handle of this
    /// one reach it any more.
    fn drop(&mut self) {
        self.wake.give_back();
    }
}

/// Undoes the first half of a construction whose second half fails.
struct Opened {
    wake: WakeTables,
    kernel: Option<Rc<dyn Kernel>>,
}

impl Opened {
    fn keep(mut self) {
        self.kernel = None;
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some(kernel) = self.kernel.take() {
            kernel.detach_doorbell(self.wake.doorbell);
            self.wake.give_back();
        }
    }
}

/// Dispatches the events of a wait, when dropped: no edge is lost when a foreign
/// waker unwinds.
struct Batch<'a> {
    event_loop: &'a EventLoopHandle,
    next: usize,
}

impl Batch<'_> {
    #[inline]
    fn next(&mut self) -> Option<Event> {
        let event = self.event_loop.inner.events.borrow().get(self.next);
        self.next += 1;
        event
    }
}

impl Drop for Batch<'_> {
    #[inline]
    fn drop(&mut self) {
        while let Some(event) = self.next() {
            let rest = Batch { event_loop: self.event_loop, next: self.next };
            self.event_loop.dispatch(event);
            core::mem::forget(rest);
        }
    }
}

impl Context for EventLoopHandle {
    #[inline]
    fn scheduler(&self) -> &Scheduler<Self> {
        &self.inner.scheduler
    }

    #[inline]
    fn now(&self) -> Instant {
        self.inner.kernel.now()
    }

    /// Always inlined, for the reason that `Poller::poll` gives.
    #[inline(always)]
    fn wait(&self, deadline: Option<Instant>) {
        // What came after the last look has told the loop, and the loop may have taken
        // note of that and not of the call or signal.
        let deadline = if self.inner.has_come() { Some(Instant::ZERO) } else { deadline };
        let mut events = self.inner.events.borrow_mut();
        if let Err(error) = self.inner.kernel.wait(deadline, &mut events) {
            self.inner.wait_error.set(Some(error));
            self.inner.scheduler.stop();
        }
        let has_events = !events.is_empty();
        drop(events);
        if has_events || deadline != Some(Instant::ZERO) {
            self.inner.scheduler.note_time(self.now());
        }
        if has_events {
            drop(Batch { event_loop: self, next: 0 });
        }
        if self.inner.signals.is_used() {
            self.receive_signals();
        }
        if self.inner.inbox.is_used() {
            self.receive_threadsafe_calls();
        }
    }

    fn call_exception_handler(&self, context: &ExceptionContext<'_>) {
        Self::call_exception_handler(self, context);
    }

    #[inline]
    fn guard<R>(&self, step: impl FnOnce() -> R) -> Result<R, Panicked> {
        // A second panic while one unwinds would end the program.
        if self.inner.propagates_panics() && !std::thread::panicking() {
            return Ok(step());
        }
        catch_unwind(AssertUnwindSafe(step)).map_err(|payload| {
            self.report_panic(payload);
            Panicked
        })
    }

    #[inline]
    fn hooks(&self) -> Option<&'static Hooks<Self>> {
        self.is_observed().then_some(Hooks::of())
    }

    fn before_callback(&self, running: &Running) {
        self.inner.observers.begin_callback(running);
        self.begin_measured();
    }

    fn after_callback(&self, running: &Running) {
        self.end_measured_callback(running);
    }

    fn before_batch(&self, ready: usize) {
        self.inner.meters.note_ready(ready);
    }

    fn timer_lateness(&self) -> Option<&RefCell<Histogram>> {
        self.inner.meters.timer_lateness()
    }

    #[inline]
    fn before_wait(&self, deadline: Option<Instant>) {
        if self.is_observed() {
            self.begin_observed_wait();
        }
        if !self.inner.spin.is_zero() && deadline != Some(Instant::ZERO) {
            self.spin(deadline);
        }
    }

    #[inline]
    fn after_wait(&self) {
        if self.is_observed() {
            self.end_observed_wait();
        }
    }

    fn create_large_task<F>(
        &self,
        refused: Refused<F>,
        location: &'static Location<'static>,
    ) -> Result<Task<F::Output, Self>, Refused<F>>
    where
        F: Future<Output: Outcome + 'static> + 'static,
    {
        Task::new_at(self, refused.into_value(), |future| Box::pin(TaskCell::new(future)), location)
    }

    fn task_created(&self, task: &mut NewTask) {
        let factory = self.inner.task_factory.borrow().clone();
        if let Some(factory) = factory {
            factory(self, task);
        }
    }
}

impl EventLoopHandle {
    /// Returns the slot of the task whose step runs, whatever waker it polls by.
    pub(crate) fn running_task(&self) -> Option<SlotId> {
        self.inner.scheduler.running().and_then(|running| running.task()).map(SlotId::from)
    }

    #[inline]
    fn is_observed(&self) -> bool {
        self.inner.observers.is_any()
    }

    /// Looks for what other threads do, for a while: before the wait is announced,
    /// so that they needn't ring.
    #[cold]
    fn spin(&self, deadline: Option<Instant>) {
        let Inner { kernel, inbox, wake, spin, .. } = &*self.inner;
        let end = self.now() + *spin;
        let end = deadline.map_or(end, |deadline| end.min(deadline));
        kernel.spin(end, &|| inbox.is_used() || wake.table.is_pending());
    }

    /// Returns the duration from which debug mode reports a callback as slow.
    ///
    /// # Python
    /// `loop.slow_callback_duration`.
    #[must_use]
    pub fn slow_callback_duration(&self) -> Duration {
        self.inner.debug.slow_callback_duration()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.scheduler.fmt(f)
    }
}

//! Metrics: what a loop has done, how long it took, and how full it was.

use core::cell::{Cell, RefCell};

use rondel_core::{Context, Histogram, Instant, Running, Statistics, Usage};

use crate::EventLoopHandle;
use crate::observers::METRICS;

/// The figures of a loop at one moment: counters since its beginning, high-water marks, and
/// histograms of durations in nanoseconds. See [`EventLoopHandle::metrics`].
///
/// A plain value of fixed size, about 6 KB, without a reference to the loop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Metrics {
    /// Are iterations and callbacks, how full the tables of the scheduler are and were, and what was
    /// refused, of every resource.
    pub statistics: Statistics,
    /// Are the descriptors that the loop watches.
    pub descriptors: Usage,
    /// Are the child processes that run.
    pub children: Usage,
    /// Are the calls from other threads that wait for the next turn. The peak is that of the moments
    /// at which the loop took them in.
    pub threadsafe_calls: Usage,
    /// Are the bytes that all transports keep of what they could not send yet.
    pub write_buffers: Usage,
    /// Is the most bytes that a single transport ever kept.
    pub write_buffer_peak: usize,
    /// Is the most bytes that the reader of a single stream ever kept of what nobody had read yet.
    pub read_buffer_peak: usize,
    /// Is the most datagrams that were ever received at once.
    pub datagram_batch_peak: usize,
    /// Are the jobs that wait for a thread of the default executor, as far as that tells
    /// ([`Executor::queue`](crate::Executor::queue)).
    pub jobs: Usage,
    /// Are the look-ups of names that wait for a thread.
    pub lookups: Usage,
    /// Counts the jobs, look-ups among them, that executors did not take because their queues were
    /// full.
    pub jobs_refused: u64,
    /// Counts the connections that the servers of the loop accepted and took on.
    pub connections_accepted: u64,
    /// Counts those that were accepted and could not be served, or whose handshake failed.
    pub connections_refused: u64,
    /// Counts the connections that became transports or streams, accepted and made, and ends of pipes.
    pub connections_opened: u64,
    /// Counts those of them that were closed.
    pub connections_closed: u64,
    /// Counts the bytes that were received from sockets and pipes, by transports, streams, datagram
    /// endpoints and `sock_*`; with TLS the encrypted ones.
    pub bytes_received: u64,
    /// Counts the bytes that sockets and pipes took, likewise.
    pub bytes_sent: u64,
    /// Counts the datagrams that endpoints received.
    pub datagrams_received: u64,
    /// Counts the datagrams that endpoints sent.
    pub datagrams_sent: u64,
    /// Counts the datagrams that endpoints were to send and did not: see
    /// [`dropped_sends`](crate::DatagramTransport::dropped_sends).
    pub datagrams_dropped: u64,
    /// Counts the writes to transports that were closing or gone.
    pub writes_dropped: u64,
    /// Tells whether durations are measured; the histograms below stay as they are while not.
    pub is_measuring: bool,
    /// Is how long callbacks and steps of tasks ran, in nanoseconds.
    pub callback_time: Histogram,
    /// Is how long the loop waited, in nanoseconds: all looks at the outside, also those for which it
    /// had no time, and with [`Config::spin`](crate::Config::spin).
    pub wait_time: Histogram,
    /// Is how late timers were, in nanoseconds: from the deadline to the iteration that made them ready.
    pub timer_lateness: Histogram,
    /// Is how many callbacks and steps were ready at the beginning of an iteration.
    pub ready: Histogram,
}

/// Is what a loop counts beside its scheduler, and measures when it is told to.
#[derive(Default)]
pub(crate) struct Meters {
    pub(crate) jobs_refused: Counter,
    pub(crate) connections_accepted: Counter,
    pub(crate) connections_refused: Counter,
    pub(crate) connections_opened: Counter,
    pub(crate) connections_closed: Counter,
    pub(crate) bytes_received: Counter,
    pub(crate) bytes_sent: Counter,
    pub(crate) datagrams_received: Counter,
    pub(crate) datagrams_sent: Counter,
    pub(crate) datagrams_dropped: Counter,
    pub(crate) datagram_batch: Peak,
    pub(crate) read_buffer: Peak,
    pub(crate) threadsafe_calls: Peak,
    is_on: Cell<bool>,
    /// Is when the callback or wait that runs began, if durations were measured then.
    begun: Cell<Option<Instant>>,
    callback_time: RefCell<Histogram>,
    wait_time: RefCell<Histogram>,
    timer_lateness: RefCell<Histogram>,
    ready: RefCell<Histogram>,
}

impl Meters {
    pub(crate) fn new(is_on: bool) -> Self {
        Self { is_on: Cell::new(is_on), ..Self::default() }
    }

    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.is_on.get()
    }

    pub(crate) fn begin(&self, now: Instant) {
        if self.is_on() {
            self.begun.set(Some(now));
        }
    }

    pub(crate) fn end_callback(&self, now: Instant) {
        self.end(now, &self.callback_time);
    }

    pub(crate) fn end_wait(&self, now: Instant) {
        self.end(now, &self.wait_time);
    }

    fn end(&self, now: Instant, histogram: &RefCell<Histogram>) {
        if let Some(begun) = self.begun.take() {
            histogram.borrow_mut().record_duration(now - begun);
        }
    }

    pub(crate) fn note_ready(&self, ready: usize) {
        if self.is_on() {
            self.ready.borrow_mut().record(ready as u64);
        }
    }

    pub(crate) fn timer_lateness(&self) -> Option<&RefCell<Histogram>> {
        self.is_on().then_some(&self.timer_lateness)
    }

    /// Counts a batch of datagrams.
    pub(crate) fn note_received(&self, datagrams: usize, bytes: usize) {
        self.datagrams_received.add(datagrams);
        self.bytes_received.add(bytes);
        self.datagram_batch.note(datagrams);
    }
}

/// Counts; wraps after centuries.
#[derive(Default, Debug)]
pub(crate) struct Counter(Cell<u64>);

impl Counter {
    #[inline]
    pub(crate) fn add(&self, count: usize) {
        self.0.set(self.0.get().wrapping_add(count as u64));
    }

    fn get(&self) -> u64 {
        self.0.get()
    }
}

/// Is the most that there ever was.
#[derive(Default, Debug)]
pub(crate) struct Peak(Cell<usize>);

impl Peak {
    #[inline]
    pub(crate) fn note(&self, count: usize) {
        if count > self.0.get() {
            self.0.set(count);
        }
    }

    pub(crate) fn get(&self) -> usize {
        self.0.get()
    }
}

/// Puts a usage together, of a table outside of the scheduler.
pub(crate) fn usage(live: usize, peak: usize, capacity: usize) -> Usage {
    let mut usage = Usage::default();
    (usage.live, usage.peak, usage.capacity) = (live, peak.max(live), capacity);
    usage
}

impl EventLoopHandle {
    /// Returns the figures of the loop, at any time, without an allocation.
    ///
    /// What costs nothing is always counted. Durations need two readings of the clock for each
    /// callback and each wait, so they are measured only with
    /// [`Config::metrics`](crate::Config::metrics) or after [`set_metrics`](Self::set_metrics).
    /// For Prometheus see the example `metrics`.
    ///
    /// ```
    /// use core::time::Duration;
    /// use rondel::{Config, EventLoop};
    ///
    /// let config = Config { metrics: true, ..Config::default() };
    /// let (event_loop, clock) = EventLoop::with_manual_clock(config)?;
    /// event_loop.call_soon(move |event_loop| {
    ///     clock.advance(Duration::from_millis(5));
    ///     event_loop.stop();
    /// })?;
    /// event_loop.run_forever()?;
    /// let metrics = event_loop.metrics();
    /// assert_eq!(metrics.statistics.callbacks, 1);
    /// assert_eq!(metrics.callback_time.max(), 5_000_000);
    /// # Ok::<(), rondel::Error>(())
    /// ```
    ///
    /// # Python
    /// There is no counterpart. Of another thread's loop the figures come by
    /// [`Remote::create_task`](crate::Remote::create_task).
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let inner = &self.inner;
        let meters = &inner.meters;
        let (waiting, limit) = inner.inbox.len_and_limit();
        Metrics {
            statistics: self.statistics(),
            descriptors: inner.sources.borrow().usage(),
            children: inner.children.usage(),
            threadsafe_calls: usage(waiting, meters.threadsafe_calls.get(), limit),
            write_buffers: inner.write_budget.usage(),
            write_buffer_peak: inner.write_budget.peak_of_transport(),
            read_buffer_peak: meters.read_buffer.get(),
            datagram_batch_peak: meters.datagram_batch.get(),
            jobs: inner.executor.queue(),
            lookups: inner.lookups.queue(),
            jobs_refused: meters.jobs_refused.get(),
            connections_accepted: meters.connections_accepted.get(),
            connections_refused: meters.connections_refused.get(),
            connections_opened: meters.connections_opened.get(),
            connections_closed: meters.connections_closed.get(),
            bytes_received: meters.bytes_received.get(),
            bytes_sent: meters.bytes_sent.get(),
            datagrams_received: meters.datagrams_received.get(),
            datagrams_sent: meters.datagrams_sent.get(),
            datagrams_dropped: meters.datagrams_dropped.get(),
            writes_dropped: inner.dropped_writes.get(),
            is_measuring: meters.is_on(),
            callback_time: *meters.callback_time.borrow(),
            wait_time: *meters.wait_time.borrow(),
            timer_lateness: *meters.timer_lateness.borrow(),
            ready: *meters.ready.borrow(),
        }
    }

    /// Turns the measuring of durations on or off, also while the loop runs. What was measured stays;
    /// it never changes what runs when.
    pub fn set_metrics(&self, enabled: bool) {
        self.inner.meters.is_on.set(enabled);
        self.inner.meters.begun.set(None);
        self.inner.observers.set(METRICS, enabled);
    }

    /// Notes when a callback or wait begins, for debug mode and metrics.
    pub(crate) fn begin_measured(&self) {
        if self.inner.observers.are_measuring() {
            let now = self.now();
            self.inner.debug.begin(now);
            self.inner.meters.begin(now);
        }
    }

    pub(crate) fn end_measured_callback(&self, running: &Running) {
        if self.inner.observers.are_measuring() {
            let now = self.now();
            self.inner.debug.end_callback(now, running);
            self.inner.meters.end_callback(now);
        }
    }

    /// Tells all who look on that the loop looks at the outside.
    #[cold]
    pub(crate) fn begin_observed_wait(&self) {
        self.inner.observers.begin_wait();
        self.begin_measured();
    }

    #[cold]
    pub(crate) fn end_observed_wait(&self) {
        if self.inner.observers.are_measuring() {
            let now = self.now();
            self.inner.scheduler.note_time(now);
            self.inner.debug.end_wait(now);
            self.inner.meters.end_wait(now);
        }
    }
}

//! How much a loop may hold, and how it behaves.

use core::time::Duration;

use crate::dns::Resolver;

/// The capacities and choices of an [`EventLoop`](crate::EventLoop).
///
/// Capacities are reserved once, at construction, as address space; a page
/// becomes memory when it is first used. So the defaults are generous and cost
/// almost nothing.
///
/// ```
/// use rondel::{Config, EventLoop};
///
/// let config = Config { tasks: 64, calls: 256, ..Config::default() };
/// let event_loop = EventLoop::with_config(config)?;
/// assert_eq!(event_loop.statistics().tasks.capacity, 64);
/// # Ok::<(), rondel::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    /// Is the most callbacks, timers, handlers and waiters at once.
    pub calls: usize,
    /// Is the most futures at once.
    pub futures: usize,
    /// Is the most tasks at once.
    pub tasks: usize,
    /// Is the size of a task slot in bytes, 16 at least; a larger future is
    /// boxed, and has the slot as well. By default as much as a handler of a
    /// connection takes that waits in
    /// [`readable`](crate::StreamReader::readable).
    pub task_bytes: usize,
    /// Is the most calls from other threads that wait for the next turn.
    pub threadsafe_calls: usize,
    /// Is the most descriptors watched at once.
    pub descriptors: usize,
    /// Is the most events taken from the kernel in one turn; the others follow
    /// in the next turns, in rotation.
    pub events_per_turn: usize,
    /// Is the most timers made ready in one turn.
    pub timers_per_turn: usize,
    /// Is the number of turns after which a loop that is never idle looks at
    /// descriptors; 1 is every turn, as in asyncio.
    pub turns_per_poll: u32,
    /// Is how long an idle loop looks for calls and wakes of other threads before
    /// it sleeps, with the processor busy; zero by default. For a thread that waits
    /// for an answer of the loop, it saves the way through the kernel, twice.
    /// Descriptors and signals are not looked for meanwhile.
    pub spin: Duration,
    /// Is the size of the buffer that all reads of the loop share, in bytes; the
    /// most that one readiness of one connection delivers at once.
    pub read_buffer_bytes: usize,
    /// Is the most datagrams that one endpoint receives in one turn, 1 at least;
    /// the others follow in the next. Memory for so many, of `read_buffer_bytes`
    /// each, is reserved by the first endpoint, and used as far as they fill it.
    pub datagrams_per_turn: usize,
    /// Is the most bytes that one transport keeps of what it could not send yet;
    /// a write beyond is refused. Whoever heeds `pause_writing` never meets it.
    pub write_buffer_bytes: usize,
    /// Is the most bytes that all transports of the loop keep together.
    pub write_buffers_bytes: usize,
    /// Is the most child processes at once, those that have ended and were not reaped yet included.
    pub children: usize,
    /// Is the clock that the loop counts by; loops with a manual clock, and those
    /// without descriptors, have their own and read none of the system's.
    pub clock: Clock,
    /// Says who resolves host names.
    pub resolver: Resolver,
    /// Is the most threads that ask the system's resolver, apart from all other
    /// jobs (FAULTS E-07).
    pub lookup_threads: usize,
    /// Is the most look-ups that wait for such a thread.
    pub lookups: usize,
    /// Tells what a panic in a callback or task does.
    pub panic_policy: PanicPolicy,
    /// Is the most errors of one kind that
    /// [`default_exception_handler`](crate::EventLoopHandle::default_exception_handler)
    /// writes in one `report_interval`; the others are counted, and one line says
    /// how many they were (FAULTS K-07). A kind is a message together with the place
    /// where the callback, future or task was created; 32 are told apart, and all
    /// others are one more. A handler of one's own gets every error.
    pub reports_per_interval: u32,
    /// Is the interval of `reports_per_interval`; zero writes everything.
    pub report_interval: Duration,
    /// Logs what blocks the loop, while it does, from this duration on: see
    /// [`start_watchdog`](crate::EventLoopHandle::start_watchdog). Takes a thread;
    /// nobody watches by default.
    pub watchdog: Option<Duration>,
    /// Starts in debug mode; by default the environment variable `RONDEL_DEBUG`
    /// decides, by being set and not empty.
    pub debug: bool,
    /// Measures from the start how long callbacks and waits take and how late timers are; see
    /// [`metrics`](crate::EventLoopHandle::metrics). Not by default.
    pub metrics: bool,
    /// Is the duration from which debug mode reports a callback as slow.
    pub slow_callback_duration: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            calls: 1 << 16,
            futures: 1 << 14,
            tasks: 1 << 14,
            task_bytes: 80,
            threadsafe_calls: 1 << 12,
            descriptors: 1 << 14,
            events_per_turn: 256,
            timers_per_turn: 1024,
            turns_per_poll: 1,
            spin: Duration::ZERO,
            read_buffer_bytes: 64 * 1024,
            datagrams_per_turn: 32,
            write_buffer_bytes: 16 << 20,
            write_buffers_bytes: 256 << 20,
            children: 1 << 10,
            clock: Clock::default(),
            resolver: Resolver::default(),
            lookup_threads: 4,
            lookups: 1 << 10,
            panic_policy: PanicPolicy::Report,
            reports_per_interval: 16,
            report_interval: Duration::from_secs(10),
            watchdog: None,
            debug: std::env::var_os("RONDEL_DEBUG").is_some_and(|value| !value.is_empty()),
            metrics: false,
            slow_callback_duration: Duration::from_millis(100),
        }
    }
}

/// Which clock of the system a loop counts by: what [`time`](crate::EventLoopHandle::time) reads,
/// what timers and all limits of time are due by, and how jobs are timed (FAULTS T-06).
///
/// Both go forward only, and neither knows of a change of the date; they differ while the machine
/// is suspended. Neither wakes it: what fell due meanwhile runs once, when the machine is awake.
/// Each loop has its own choice; instants of different loops can't be compared anyway.
///
/// ```
/// use rondel::{Clock, Config, EventLoop};
///
/// // A lease of ten minutes ends in ten minutes, with the lid closed or not.
/// let event_loop = EventLoop::with_config(Config { clock: Clock::Boottime, ..Config::default() })?;
/// # Ok::<(), rondel::Error>(())
/// ```
///
/// A supervisor counts by `CLOCK_MONOTONIC`, and what it is told of the time is always that. A
/// [`Notifier`](crate::Notifier) on a loop of `Boottime` feeds its watchdog too early after a
/// suspension, never too late.
///
/// # Python
/// asyncio has `time.monotonic()` alone, which is `Monotonic`; there is no counterpart to the choice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Clock {
    /// Is `CLOCK_MONOTONIC`, which stands still while the machine is suspended: a timer of an hour
    /// is an hour in which the program could have run. See clock_gettime(2).
    #[default]
    Monotonic,
    /// Is `CLOCK_BOOTTIME`, which counts that time too: a timer of an hour is an hour of the
    /// world's, and one that ended in the suspension is due at once after it. It takes Linux 3.15,
    /// see clock_gettime(2) and timerfd_create(2); older systems refuse the loop.
    Boottime,
}

/// What a panic in user code does (contract R-8, TK-9). In a program built with `panic = "abort"` it ends
/// the program by `SIGABRT` after its message, whatever is set here (FAULTS K-02).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum PanicPolicy {
    /// Reports it to the exception handler; the loop goes on. The task ends with
    /// [`TaskError::Panicked`](crate::TaskError).
    #[default]
    Report,
    /// Lets it unwind out of `run_forever`. The loop stays valid: what had not
    /// run is run by the next one.
    Propagate,
}

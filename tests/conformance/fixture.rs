//! What every test stands on: a trace, loops whose clock jumps, reports, a log
//! that each test reads for itself, and peers in other threads.

use core::cell::{Cell, RefCell};
use core::future::Future;
use core::net::{Ipv4Addr, SocketAddr};
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::rc::Rc;
use std::sync::Once;
use std::thread::JoinHandle;

use rondel::{
    Config, Error, EventLoop, EventLoopHandle, Faults, ManualClock, PanicPolicy, Refused, Server,
    StreamReader, StreamWriter,
};

/// Records what happened, in order.
#[derive(Clone, Default, Debug)]
pub struct Trace(Rc<RefCell<Vec<String>>>);

impl Trace {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn push(&self, what: impl Into<String>) {
        self.0.borrow_mut().push(what.into());
    }

    /// Returns the record and empties it.
    pub fn take(&self) -> Vec<String> {
        self.0.take()
    }

    pub fn count(&self) -> usize {
        self.0.borrow().len()
    }

    /// Makes a callback that records `what`.
    pub fn note(&self, what: &'static str) -> impl FnOnce(&EventLoopHandle) + use<> + 'static {
        let trace = self.clone();
        move |_| trace.push(what)
    }

    /// Makes a value that records `what` when it is dropped.
    pub fn on_drop(&self, what: &'static str) -> OnDrop {
        OnDrop(self.clone(), what)
    }
}

/// Records its own drop.
pub struct OnDrop(Trace, &'static str);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.push(self.1);
    }
}

/// Runs a closure when dropped: the hostile destructor.
pub struct Defer<F: FnOnce()>(Option<F>);

pub fn defer<F: FnOnce()>(f: F) -> Defer<F> {
    Defer(Some(f))
}

impl<F: FnOnce()> Drop for Defer<F> {
    fn drop(&mut self) {
        if let Some(f) = self.0.take() {
            f();
        }
    }
}

/// Is a callback that must not run.
pub fn never(_: &EventLoopHandle) {
    unreachable!("a callback ran that must not");
}

/// Counts in a way that closures can share.
#[derive(Clone, Default)]
pub struct Counter(Rc<Cell<usize>>);

impl Counter {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn add(&self) -> usize {
        self.0.set(self.0.get() + 1);
        self.0.get()
    }

    pub fn get(&self) -> usize {
        self.0.get()
    }
}

/// An error to fail with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Oops(pub u32);

impl core::fmt::Display for Oops {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "oops {}", self.0)
    }
}

impl core::error::Error for Oops {}

/// Small tables: a test that leaks is soon out of them.
pub fn small() -> Config {
    Config {
        calls: 64,
        futures: 32,
        tasks: 32,
        task_bytes: 256,
        threadsafe_calls: 8,
        descriptors: 16,
        debug: false,
        ..Config::default()
    }
}

/// Makes a loop whose clock jumps.
pub fn manual() -> EventLoop {
    manual_with(small()).0
}

pub fn manual_with(config: Config) -> (EventLoop, ManualClock) {
    EventLoop::with_manual_clock(config).expect("a loop")
}

/// Makes a loop that lets panics through.
pub fn propagating() -> EventLoop {
    manual_with(Config { panic_policy: PanicPolicy::Propagate, ..small() }).0
}

/// Makes a loop on the real clock.
pub fn real() -> EventLoop {
    EventLoop::with_config(small()).expect("a loop")
}

/// Runs the loop until nothing is ready and no timer is armed.
pub fn run_until_idle(event_loop: &EventLoop) {
    for _ in 0..100_000 {
        let statistics = event_loop.statistics();
        if statistics.ready == 0 && statistics.timers == 0 {
            return;
        }
        event_loop.run_once().expect("a turn");
    }
    panic!("the loop is never idle");
}

/// Runs `turns` iterations, each of which looks at descriptors without waiting.
pub fn turns(event_loop: &EventLoop, turns: usize) {
    for _ in 0..turns {
        event_loop.stop();
        event_loop.run_forever().expect("a turn");
    }
}

/// Collects what the exception handler is told: the message and the error.
pub fn reports(event_loop: &EventLoopHandle) -> Trace {
    let trace = Trace::new();
    let reports = trace.clone();
    event_loop.set_exception_handler(move |_, context| {
        let error = context.exception.map_or_else(String::new, |error| format!(": {error}"));
        reports.push(format!("{}{error}", context.message));
    });
    trace
}

thread_local! {
    static LOG: RefCell<Vec<(log::Level, String)>> = const { RefCell::new(Vec::new()) };
    static LOG_PANICS: Cell<bool> = const { Cell::new(false) };
}

/// Gives each thread, so each test, its own log.
struct ThreadLog;

impl log::Log for ThreadLog {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        assert!(!LOG_PANICS.get(), "the logger is broken");
        if record.target().starts_with("rondel") {
            LOG.with_borrow_mut(|log| log.push((record.level(), record.args().to_string())));
        }
    }

    fn flush(&self) {}
}

/// Starts to collect what is logged in this thread.
pub fn log_lines() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        log::set_logger(&ThreadLog).expect("the only logger");
        log::set_max_level(log::LevelFilter::Trace);
    });
    LOG.take();
}

/// Returns what was logged at `level` and above in this thread, and empties the log.
pub fn logged(level: log::Level) -> Vec<String> {
    let lines = LOG.take();
    lines.into_iter().filter(|line| line.0 <= level).map(|line| line.1).collect()
}

/// Makes the logger panic in this thread.
pub fn break_log(broken: bool) {
    LOG_PANICS.set(broken);
}

/// Runs `test` and swallows the messages of its panics.
pub fn quietly<R>(test: impl FnOnce() -> R) -> R {
    thread_local! {
        static QUIET: Cell<bool> = const { Cell::new(false) };
    }
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                loud(info);
            }
        }));
    });
    let was = QUIET.replace(true);
    let _restored = defer(move || QUIET.set(was));
    test()
}

/// Fails with the text of a panic when `step` did not panic.
pub fn panics<R>(step: impl FnOnce() -> R) -> bool {
    quietly(|| std::panic::catch_unwind(core::panic::AssertUnwindSafe(step)).is_err())
}

/// Returns the value that was refused, which must have been for lack of room.
#[track_caller]
pub fn full<T, F>(result: Result<T, Refused<F>>) -> F {
    match result {
        Ok(_) => panic!("there was room"),
        Err(refused) => {
            assert!(refused.is_full(), "{refused}");
            refused.into_value()
        }
    }
}

/// The address that lets the system choose a port.
pub fn any_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// Sends one byte out of band.
pub fn send_out_of_band(stream: &TcpStream, byte: u8) {
    // SAFETY: one byte, good for reading.
    let sent = unsafe { libc::send(stream.as_raw_fd(), (&raw const byte).cast(), 1, libc::MSG_OOB) };
    assert_eq!(sent, 1);
}

/// Has a connection be reset when it is closed.
pub fn reset_at_close(stream: &TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: one structure of this size, good for reading.
    let set = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        )
    };
    assert_eq!(set, 0);
}

/// Waits until the system has brought all that was sent to the other end.
pub fn brought(stream: &TcpStream) {
    let mut unacknowledged: libc::c_int = 1;
    while unacknowledged > 0 {
        // SAFETY: one number, good for writing.
        let asked = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut unacknowledged) };
        assert_eq!(asked, 0);
        std::thread::yield_now();
    }
}

/// Runs a TCP peer in a thread of its own.
pub fn peer<R: Send + 'static>(
    addr: SocketAddr,
    talk: impl FnOnce(TcpStream) -> R + Send + 'static,
) -> JoinHandle<R> {
    std::thread::spawn(move || talk(TcpStream::connect(addr).expect("connected")))
}

/// Accepts the one connection that `connect` makes, of streams with that limit, and returns them with what
/// `connect` returned.
pub async fn accept_one<C>(
    event_loop: &EventLoopHandle,
    limit: usize,
    connect: impl FnOnce(SocketAddr) -> C,
) -> Result<(C, StreamReader, StreamWriter), Error> {
    let accepted = event_loop.create_future::<Box<(StreamReader, StreamWriter)>>()?;
    let give = accepted.clone();
    let server = event_loop
        .start_server(any_port(), move |reader, writer| {
            let _ = give.set_result(Box::new((reader, writer)));
            core::future::ready(())
        })
        .limit(limit)
        .await?;
    let client = connect(server.local_addr());
    let (reader, writer) = *accepted.await?;
    Ok((client, reader, writer))
}

/// Makes a peer that sends `data`, ends its side, unless it was reset already, and reads all there is.
pub fn sends(addr: SocketAddr, data: impl Into<Vec<u8>>) -> JoinHandle<Vec<u8>> {
    let data = data.into();
    peer(addr, move |mut stream| {
        stream.write_all(&data).expect("written");
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        answer
    })
}

/// Leaves a socket file behind that nobody listens on.
///
/// A process that another test is starting may hold the socket until it is
/// another program.
pub fn leave_dead_socket(path: &std::path::Path) {
    use std::os::unix::net::{UnixListener, UnixStream};
    drop(UnixListener::bind(path).unwrap());
    until_refused(|| UnixStream::connect(path).map(drop));
}

/// As [`leave_dead_socket`], of datagrams.
pub fn leave_dead_datagram_socket(path: &std::path::Path) {
    use std::os::unix::net::UnixDatagram;
    drop(UnixDatagram::bind(path).unwrap());
    until_refused(|| UnixDatagram::unbound()?.connect(path));
}

fn until_refused(connect: impl Fn() -> std::io::Result<()>) {
    while !connect().is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused) {
        std::thread::yield_now();
    }
}

/// Makes two connected sockets that don't block.
pub fn pair() -> (std::os::unix::net::UnixStream, std::os::unix::net::UnixStream) {
    let (a, b) = std::os::unix::net::UnixStream::pair().expect("a pair");
    a.set_nonblocking(true).expect("non-blocking");
    b.set_nonblocking(true).expect("non-blocking");
    (a, b)
}

/// Is set in the process that [`alone`] starts.
pub const ALONE: &str = "RONDEL_TEST_ALONE";

/// Runs `body` in a process of its own, where nothing else opens descriptors,
/// under a limit of their number: the test `name` starts itself once more.
pub fn alone(name: &str, descriptors: usize, body: impl FnOnce()) {
    if std::env::var_os(ALONE).is_some() {
        return body();
    }
    let binary = std::env::current_exe().unwrap();
    let script = format!("ulimit -n {descriptors}; exec \"$0\" --exact {name} --test-threads=1");
    let output = Command::new("sh").args(["-c", &script]).arg(binary).env(ALONE, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// Runs `body` in a process of its own that is the first of a namespace of processes, where numbers
/// can be had again, and what others leave behind is its own: the test `name` starts itself once more.
/// Where that isn't permitted, it says so and does nothing.
pub fn first_of_a_namespace(name: &str, body: impl FnOnce()) {
    if std::env::var_os(ALONE).is_some() {
        assert_eq!(std::process::id(), 1);
    }
    unshared(name, &["--pid", "--fork", "--kill-child", "--mount-proc"], "processes", body);
}

/// Runs `body` in a process of its own where `CLOCK_BOOTTIME` is `ahead` of what it is elsewhere, in
/// seconds, with the right to move it: the test `name` starts itself once more. Where that isn't
/// permitted, it says so and does nothing.
pub fn where_boottime_is(ahead: u32, name: &str, body: impl FnOnce()) {
    let ahead = ahead.to_string();
    let namespace = ["--map-root-user", "--time", "--boottime", &ahead, "--fork", "--kill-child"];
    unshared(name, &namespace, "time", body);
}

/// Runs `body` in a namespace of `what`, to which `unshare` is told the way.
fn unshared(name: &str, namespace: &[&str], what: &str, body: impl FnOnce()) {
    if std::env::var_os(ALONE).is_some() {
        return body();
    }
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(namespace);
        command
    };
    if !unshare().arg("true").output().is_ok_and(|ended| ended.status.success()) {
        return skip(&format!("no namespace of {what} is permitted"));
    }
    let binary = std::env::current_exe().unwrap();
    let output = unshare().arg(binary).args(["--exact", name, "--test-threads=1"]).env(ALONE, "1").output();
    let output = output.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// Says what a test lacks here: `.ci/run` compares it with `tests/skips`.
pub fn skip(lacks: &str) {
    // Not by `eprintln`, which the harness keeps to itself.
    writeln!(std::io::stderr(), "\nSKIP {lacks}").expect("standard error");
}

/// Counts the descriptors of the process in the given range of numbers.
pub fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("procfs").count()
}

/// As that in a process of its own; 0 where other tests open some meanwhile.
pub fn own_descriptors() -> usize {
    if std::env::var_os(ALONE).is_some() { descriptors() } else { 0 }
}

/// Is pending for ever and wakes nobody; records how often it was polled.
pub struct Pending(pub Counter);

impl Future for Pending {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        self.0.add();
        Poll::Pending
    }
}

/// Returns the waker of the task that awaits it.
pub struct TakeWaker;

impl Future for TakeWaker {
    type Output = Waker;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Waker> {
        Poll::Ready(cx.waker().clone())
    }
}

impl rondel::Outcome for Trace {
    type Value = Self;
    type Error = core::convert::Infallible;

    fn error(&self) -> Option<&(dyn core::error::Error + 'static)> {
        None
    }

    fn into_result(self) -> Result<Self, Self::Error> {
        Ok(self)
    }
}

/// Runs `test` on a loop that fails on request, and has nothing left in the end.
#[track_caller]
pub fn run_with_faults(test: impl AsyncFnOnce(EventLoopHandle, Faults) -> Result<(), Error>) {
    let (event_loop, _clock, faults) = EventLoop::with_faults(small()).unwrap();
    event_loop.run_until_complete(test(event_loop.handle(), faults)).unwrap();
    turns(&event_loop, 3);
    assert_nothing_left(&event_loop);
}

/// Asserts that the loop has nothing left.
#[track_caller]
pub fn assert_nothing_left(event_loop: &EventLoopHandle) {
    let statistics = event_loop.statistics();
    let left = (event_loop.watched_descriptors(), statistics.calls.live, statistics.tasks.live);
    assert_eq!(left, (0, 0, 0), "descriptors, calls, tasks");
    assert_eq!(event_loop.write_buffers_size(), 0);
}

/// Gives the loop some turns.
pub async fn settle(event_loop: &EventLoopHandle) {
    for _ in 0..12 {
        event_loop.yield_now().await.unwrap();
    }
}

/// Ends a server and whatever it has.
pub async fn end(server: &Server) -> Result<(), Error> {
    server.close();
    server.abort_clients();
    server.wait_closed().await
}

/// Makes each scenario a test, and one more test that runs them all in a process
/// of its own and counts its descriptors after each (FAULTS C-11).
macro_rules! scenarios {
    ($($name:ident)*) => {
        mod scenario {
            $(#[test]
            fn $name() {
                super::$name();
            })*
        }

        #[test]
        fn c11_no_scenario_leaves_a_descriptor() {
            let test = concat!(module_path!(), "::c11_no_scenario_leaves_a_descriptor");
            let all: &[(&str, fn())] = &[$((stringify!($name), $name)),*];
            $crate::fixture::count_descriptors(test, all);
        }
    };
}
pub(crate) use scenarios;

pub fn count_descriptors(test: &str, scenarios: &[(&str, fn())]) {
    let (_, test) = test.split_once("::").expect("a module of this crate");
    alone(test, 128, || {
        for (name, scenario) in scenarios {
            let before = descriptors();
            scenario();
            assert_eq!(descriptors(), before, "{name}");
        }
    });
}

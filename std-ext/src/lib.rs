//! asyncio's event loop for Rust: single-threaded, bounded, deterministic.
//!
//! A program gets an [`EventLoop`], gives it callbacks, timers and tasks, and
//! runs it. Names and guarantees are asyncio's; ownership and errors are Rust's.
//!
//! ```
//! use core::time::Duration;
//!
//! fn main() -> rondel::Result<()> {
//!     rondel::run(async |event_loop| {
//!         event_loop.sleep(Duration::from_millis(1)).await?;
//!         println!("Hello World");
//!         Ok(())
//!     })
//! }
//! ```
//!
//! This page is a tour; each part names where to read on. The guide, a chapter for each
//! topic, is `docs/guide/` in the repository; whoever comes from asyncio or tokio finds a table
//! in `docs/asyncio.md` and `docs/tokio.md`.
//!
//! # Callbacks
//!
//! [`call_soon`](EventLoopHandle::call_soon) runs a closure in the next iteration,
//! [`call_later`](EventLoopHandle::call_later) and [`call_at`](EventLoopHandle::call_at) at
//! their time. The order is that of scheduling, and of deadlines; equal ones are in the order of arming. A
//! dropped [`Handle`] cancels nothing.
//!
//! ```
//! use core::time::Duration;
//! use rondel::EventLoop;
//!
//! let event_loop = EventLoop::new()?;
//! event_loop.call_later(Duration::from_millis(1), |event_loop| event_loop.stop())?;
//! let timer = event_loop.call_later(Duration::from_secs(60), |_| println!("never"))?;
//! timer.cancel();
//! event_loop.run_forever()?;
//! # Ok::<(), rondel::Error>(())
//! ```
//!
//! # Tasks and futures
//!
//! [`create_task`](EventLoopHandle::create_task) runs a future, which needn't be `Send`. A
//! [`Future`] is a result that somebody sets. [`timeout`](EventLoopHandle::timeout) limits,
//! [`gather`](EventLoopHandle::gather) waits for several, [`Task::cancel`] asks, `abort` drops.
//!
//! ```
//! use core::time::Duration;
//!
//! rondel::run(async |event_loop| {
//!     let answer = event_loop.create_future::<&str>()?;
//!     let setter = answer.clone();
//!     event_loop.call_later(Duration::from_millis(1), move |_| setter.set_result("done"))?;
//!     let task = event_loop.create_task(answer.into_future())?;
//!     assert_eq!(event_loop.timeout(Duration::from_secs(1), task).await???, "done");
//!     Ok(())
//! })?;
//! # Ok::<(), rondel::Error>(())
//! ```
//!
//! # Connections
//!
//! A [`Protocol`] is told what happens to its connection and answers through a [`Transport`];
//! [`create_server`](EventLoopHandle::create_server) and
//! [`create_connection`](EventLoopHandle::create_connection) take what makes one. A
//! [`StreamReader`] and a [`StreamWriter`] are the same connection for a task, by
//! [`start_server`](EventLoopHandle::start_server) and
//! [`open_connection`](EventLoopHandle::open_connection). All four exist for UNIX sockets
//! too. Here a protocol serves a stream:
//!
//! ```
//! use rondel::{Protocol, Transport};
//!
//! struct Upper;
//!
//! impl Protocol for Upper {
//!     fn data_received(&mut self, transport: &Transport, data: &[u8]) -> rondel::Result<()> {
//!         transport.write(&data.to_ascii_uppercase())
//!     }
//! }
//!
//! rondel::run(async |event_loop| {
//!     let server = event_loop.create_server(|| Upper, "127.0.0.1:0").await?;
//!     let (mut reader, mut writer) = event_loop.open_connection(server.local_addr()).await?;
//!     writer.write_all(b"hello\n").await?;
//!     assert_eq!(reader.read_line().await?, b"HELLO\n");
//!     Ok(())
//! })?;
//! # Ok::<(), rondel::Error>(())
//! ```
//!
//! # Datagrams
//!
//! A [`DatagramProtocol`] answers through a [`DatagramTransport`], over UDP and UNIX sockets; see
//! [`create_datagram_endpoint`](EventLoopHandle::create_datagram_endpoint).
//!
//! ```
//! use rondel::{Address, DatagramProtocol, DatagramTransport};
//!
//! struct Echo;
//!
//! impl DatagramProtocol for Echo {
//!     fn datagram_received(
//!         &mut self,
//!         transport: &DatagramTransport,
//!         data: &[u8],
//!         from: &Address,
//!     ) -> rondel::Result<()> {
//!         transport.sendto(data, from)
//!     }
//! }
//!
//! rondel::run(async |event_loop| {
//!     let (transport, _) = event_loop.create_datagram_endpoint(|| Echo).local_addr("127.0.0.1:0").await?;
//!     transport.close();
//!     Ok(())
//! })?;
//! # Ok::<(), rondel::Error>(())
//! ```
//!
//! # TLS
//!
//! With the feature `tls`, which is on by default, whatever connects or listens has a method `tls` that
//! takes a `TlsClientConfig` or a `TlsServerConfig`, and `start_tls` encrypts a stream that stands.
//!
//! ```no_run
//! # #[cfg(feature = "tls")]
//! rondel::run(async |event_loop| {
//!     let config = rondel::TlsClientConfig::create_default_context()?;
//!     let (_reader, mut writer) = event_loop.open_connection("example.org:443").tls(config).await?;
//!     writer.write_all(b"HEAD / HTTP/1.0\r\n\r\n").await
//! })?;
//! # Ok::<(), rondel::Error>(())
//! ```
//!
//! # Names
//!
//! Whatever takes an address takes a name as well ([`ToAddrs`]): `("localhost", 80)`,
//! `"example.org:http"`. By themselves names are looked up by
//! [`getaddrinfo`](EventLoopHandle::getaddrinfo) and
//! [`getnameinfo`](EventLoopHandle::getnameinfo). [`Config::resolver`] says who is asked: the
//! system, in threads, or, with the feature `dns`, a resolver in the loop.
//!
//! ```
//! # rondel::run(async |event_loop| {
//! let answers = event_loop.getaddrinfo("127.0.0.1", 80).kind(rondel::SocketType::Stream).await?;
//! assert_eq!(answers[0].addr.to_string(), "127.0.0.1:80");
//! # Ok(())
//! # })?;
//! # Ok::<(), rondel::Error>(())
//! ```
//!
//! # Plain sockets and descriptors
//!
//! A socket of one's own becomes [`NonBlocking`], and then the `sock_*` operations wait for it;
//! [`add_reader`](EventLoopHandle::add_reader) watches any descriptor.
//!
//! ```
//! use std::os::unix::net::UnixStream;
//!
//! use rondel::NonBlocking;
//!
//! # rondel::run(async |event_loop| {
//! let (a, b) = UnixStream::pair()?;
//! let (a, b) = (NonBlocking::new(a)?, NonBlocking::new(b)?);
//! event_loop.sock_sendall(&a, b"hello").await?;
//! assert_eq!(event_loop.sock_recv(&b, 100).await?, b"hello");
//! # Ok(())
//! # })?;
//! # Ok::<(), rondel::Error>(())
//! ```
//!
//! # Pipes
//!
//! [`connect_read_pipe`](EventLoopHandle::connect_read_pipe) and
//! [`connect_write_pipe`](EventLoopHandle::connect_write_pipe) give a pipe, a FIFO or a terminal a
//! protocol; [`open_read_pipe`](EventLoopHandle::open_read_pipe) and
//! [`open_write_pipe`](EventLoopHandle::open_write_pipe) make streams of them, and
//! [`open_stdin`](EventLoopHandle::open_stdin) of standard input, without harm to the shell.
//!
//! ```
//! rondel::run(async |event_loop| {
//!     let (reading, writing) = std::io::pipe()?;
//!     let mut reader = event_loop.open_read_pipe(reading).await?;
//!     let mut writer = event_loop.open_write_pipe(writing).await?;
//!     writer.write_all(b"hello\n").await?;
//!     assert_eq!(reader.read_line().await?, b"hello\n");
//!     Ok(())
//! })?;
//! # Ok::<(), rondel::Error>(())
//! ```
//!
//! A file on a disk is always ready, however long the disk takes, so it can't be waited for
//! ([`NotAPipe`]). A job in another thread reads it:
//!
//! ```
//! rondel::run(async |event_loop| {
//!     let reading = event_loop.run_in_executor(|| std::fs::read("Cargo.toml"))?;
//!     let contents = reading.await.map_err(rondel::Error::new)??;
//!     println!("{} bytes", contents.len());
//!     Ok(())
//! })?;
//! # Ok::<(), rondel::Error>(())
//! ```
//!
//! # Signals
//!
//! [`add_signal_handler`](EventLoopHandle::add_signal_handler) calls back for a [`Signal`], in any loop;
//! [`signals`](EventLoopHandle::signals) is a stream of some, for a task, and
//! [`wait_signal`](EventLoopHandle::wait_signal) waits for one. What the process did with a signal
//! before comes back when nobody listens any more.
//!
//! ```
//! use rondel::{EventLoop, Signal};
//!
//! let event_loop = EventLoop::new()?;
//! event_loop.add_signal_handler(Signal::SIGTERM, |event_loop| event_loop.stop())?;
//! # event_loop.stop();
//! event_loop.run_forever()?;
//! # Ok::<(), rondel::Error>(())
//! ```
//!
//! # Child processes
//!
//! [`create_subprocess_exec`](EventLoopHandle::create_subprocess_exec) starts a program and
//! [`create_subprocess_shell`](EventLoopHandle::create_subprocess_shell) a line of the shell's language. The
//! [`Process`] that they give waits for it and signals it, and its pipes are streams;
//! [`communicate`](Process::communicate) writes and reads all at once. A [`SubprocessProtocol`] is told of
//! both, by [`subprocess_exec`](EventLoopHandle::subprocess_exec). The loop reaps it in any case.
//!
//! ```
//! use rondel::Stdio;
//!
//! rondel::run(async |event_loop| {
//!     let mut date = event_loop.create_subprocess_exec("date").stdout(Stdio::pipe()).await?;
//!     let mut stdout = date.stdout.take().expect("a pipe");
//!     assert!(stdout.read_line().await?.ends_with(b"\n"));
//!     assert!(date.wait().await?.success());
//!     Ok(())
//! })?;
//! # Ok::<(), rondel::Error>(())
//! ```
//!
//! # Threads and processes
//!
//! [`run_in_executor`](EventLoopHandle::run_in_executor) runs what blocks in a thread; a
//! [`Remote`] calls into the loop from one, and makes tasks in it. A [`ProcessPoolExecutor`] runs
//! functions in processes, where a crash fails its own job.
//!
//! ```
//! rondel::run(async |event_loop| {
//!     let remote = event_loop.remote();
//!     let sum = event_loop.run_in_executor(move || {
//!         remote.call_soon_threadsafe(|_| println!("from a thread")).map_err(|error| error.to_string())?;
//!         Ok::<u32, String>((1..=10).sum())
//!     })?;
//!     assert_eq!(sum.await?, Ok(55));
//!     Ok(())
//! })?;
//! # Ok::<(), rondel::Error>(())
//! ```
//!
//! # Errors, and who holds the loop up
//!
//! An [`Error`] has a [`kind`](Error::kind) for programs and a text for people. One that a callback or
//! task ends with and nobody looks at reaches the exception handler, once; so does a panic, and the
//! loop goes on. Debug mode ([`set_debug`](EventLoopHandle::set_debug), or `RONDEL_DEBUG=1`) names callbacks that
//! took long, and [`start_watchdog`](EventLoopHandle::start_watchdog) those that don't return.
//!
//! ```
//! use rondel::EventLoop;
//!
//! let event_loop = EventLoop::new()?;
//! event_loop.set_exception_handler(|event_loop, context| {
//!     event_loop.default_exception_handler(context); // which logs
//!     event_loop.stop();
//! });
//! event_loop.call_soon(|_| Err::<(), _>(rondel::Error::from("the sensor doesn't answer")))?;
//! event_loop.run_forever()?;
//! # Ok::<(), rondel::Error>(())
//! ```
//!
//! # What a loop holds
//!
//! [`snapshot`](EventLoopHandle::snapshot) shows every task with what it waits for, every timer,
//! every descriptor and every job, each with where it was asked for;
//! [`dump_on_signal`](EventLoopHandle::dump_on_signal) prints it when a signal asks.
//! [`metrics`](EventLoopHandle::metrics) are counters, high-water marks and, when asked for, histograms
//! of how long everything takes, to be read at any time; [`statistics`](EventLoopHandle::statistics) are some of them.
//!
//! ```
//! use rondel::SnapshotRow;
//!
//! rondel::run(async |event_loop| {
//!     let mut rows = vec![SnapshotRow::Empty; event_loop.snapshot_len()];
//!     println!("{}", event_loop.snapshot(&mut rows));
//!     Ok(())
//! })?;
//! # Ok::<(), rondel::Error>(())
//! ```
//!
//! # Supervision and shutdown
//!
//! [`listen_fds`] takes the sockets that systemd opened, a [`Notifier`] tells it how the service is
//! and feeds its watchdog. [`shutdown`](EventLoopHandle::shutdown) ends servers, tasks, transports,
//! child processes and jobs within a limit, and names what it had to abort.
//!
//! ```
//! use core::time::Duration;
//! use rondel::Notifier;
//!
//! rondel::run(async |event_loop| {
//!     let supervisor = Notifier::from_env(&event_loop)?;
//!     let _feeding = supervisor.feed_watchdog()?;
//!     supervisor.ready()?;
//!     // ... until a signal comes, and then:
//!     supervisor.stopping()?;
//!     let report = event_loop.shutdown(Duration::from_secs(5)).await?;
//!     assert!(report.is_clean(), "{report}");
//!     Ok(())
//! })?;
//! # Ok::<(), rondel::Error>(())
//! ```
//!
//! # Bounded memory
//!
//! Where asyncio's tables grow, these are full: every call that takes something answers with a typed
//! error that gives it back, [`Refused`]. [`Config`] says how much there may be; nothing that was
//! accepted is lost, and no end of anything needs room.
//!
//! ```
//! use rondel::{Config, EventLoop};
//!
//! let event_loop = EventLoop::with_config(Config { calls: 1, ..Config::default() })?;
//! event_loop.call_soon(|_| ())?;
//! let refused = event_loop.call_soon(|_| ()).unwrap_err();
//! assert!(refused.is_full());
//! let callback = refused.into_value();
//! # callback(&event_loop);
//! # Ok::<(), rondel::Error>(())
//! ```
//!
//! # Tests
//!
//! [`EventLoop::with_manual_clock`] has a clock that jumps, [`EventLoop::with_faults`] an operating
//! system that fails on request: no test sleeps.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `tls`, on by default | TLS on all streams, by rustls with ring's cryptography |
//! | `tls-aws-lc` | the same with AWS-LC's |
//! | `webpki-roots` | Mozilla's list of authorities, built in |
//! | `dns` | a resolver of names in the loop, without threads |
//! | `futures-io`, `tokio` | [`Stream`] as the `AsyncRead` and `AsyncWrite` of these |

mod config;
mod embedding;
mod error;
mod event_loop;
mod inner;
mod schedule;
mod sync;
mod tables;
mod threadsafe;

mod reader_writer;
mod signal;
mod sources;

mod net;
mod pipe;
mod protocol;
mod sendfile;
mod sock;
mod streams;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;
mod transport;

mod dns;
mod executor;
mod process;

mod exception;
mod faults;
mod observers;
mod shutdown;
mod snapshot;
mod supervision;

pub(crate) mod sys;

pub use rondel_core::{
    Awaited, CallItem, CallRole, Cancelled, DoneCallback, Exception, ExceptionContext, FutureError, FutureId,
    FutureItem, GatherError, HandleId, Histogram, Instant, InvalidState, NewTask, Outcome, Refusal, Refusals,
    Refused, Resource, RunError, Running, Statistics, TaskError, TaskId, TaskItem, TaskState, TimeoutError,
    Usage, WaitError, WaitsFor,
};

pub use crate::config::{Clock, Config, PanicPolicy};
pub use crate::dns::{
    AddrInfo, AddrInfoFlags, EaiError, GetAddrInfo, GetNameInfo, Host, HostNameError, IpFamily, NameInfo,
    NameInfoFlags, Resolver, Resolving, Service, SocketType,
};
#[cfg(feature = "dns")]
pub use crate::dns::{InLoopConfig, NameServerSource, NameServers};
pub use crate::error::{Error, ErrorKind, Result};
pub use crate::event_loop::{EventLoop, EventLoopHandle, ManualClock, run, running_loop};
pub use crate::exception::ExceptionHandler;
pub use crate::executor::{
    Executor, Job, JobError, JobFuture, JobRefusal, JobRefused, ProcessJob, ProcessJobError,
    ProcessPoolConfig, ProcessPoolExecutor, ShutdownDefaultExecutor, StuckJob, StuckJobs, SubmitJob,
    ThreadPoolConfig, ThreadPoolExecutor, WorkerExit, WorkerFunction, process_worker,
};
pub use crate::faults::{Faults, Operation};
pub use crate::inner::TaskFactory;
pub use crate::net::address::{Address, UnixAddr, UnixAddrError};
pub use crate::net::client::CreateConnection;
pub use crate::net::connect::ConnectError;
pub use crate::net::datagram::create::CreateDatagramEndpoint;
pub use crate::net::datagram::protocol::DatagramProtocol;
pub use crate::net::datagram::transport::{DATAGRAM_CHARGE, DatagramTransport};
pub use crate::net::flow::{LimitsError, WriteBufferLimits};
pub use crate::net::options::{KeepAlive, SocketOptions};
pub use crate::net::server::{CreateServer, Server};
pub use crate::net::to_addrs::ToAddrs;
pub use crate::observers::metrics::Metrics;
pub use crate::observers::pulse::Pulse;
pub use crate::pipe::connect::OpenReadPipe;
pub use crate::pipe::end::NotAPipe;
pub use crate::pipe::protocol::{ReadPipeProtocol, WritePipeProtocol};
pub use crate::pipe::terminal::RawTerminal;
pub use crate::pipe::transport::{ReadTransport, WriteTransport};
pub use crate::process::{
    AsProcess, AsTransport, Communicate, CreateSubprocess, ExitStatus, OrphanReaper, Output, Process,
    ProcessLimit, Stdio, SubprocessProtocol, SubprocessTransport,
};
pub use crate::protocol::{AfterEof, BufferedProtocol, Protocol, ProtocolRef, StreamProtocol, kind};
pub use crate::reader_writer::WatchError;
pub use crate::sendfile::Sendfile;
pub use crate::shutdown::{Aborted, AbortedKind, ShutdownReport};
pub use crate::signal::{RemoveOnDrop, Signal, SignalError, SignalHandle, SignalSet, Signals};
pub use crate::snapshot::{
    AwaitTree, DescriptorOwner, DescriptorRow, FutureRow, JobExecutor, JobRow, JobState, ShortText, Snapshot,
    SnapshotAddr, SnapshotRow, TaskRow, TaskWait, Watcher,
};
pub use crate::sock::{Datagram, NonBlocking, SendError, SockSendfile, ToAddress};
pub use crate::streams::{IncompleteRead, Stream, StreamReader, StreamWriter};
pub use crate::supervision::{
    ListenFd, ListenFdKind, ListenFdsError, Notifier, NotifyError, ProcessLimits, ResourceLimit,
    WatchdogFeeding, listen_fds,
};
pub use crate::threadsafe::remote_task::RemoteTask;
pub use crate::threadsafe::{Remote, RemoteHandle};
#[cfg(feature = "tls")]
pub use crate::tls::{
    Pem, StartTls, TlsClientConfig, TlsClientConfigBuilder, TlsClientOptions, TlsError, TlsInfo,
    TlsServerConfig, TlsServerConfigBuilder, TlsServerOptions, TlsVersion,
};
pub use crate::transport::Transport;

/// The library that TLS is made with, for what is not said in asyncio's terms.
#[cfg(feature = "tls")]
pub use rustls;

pub use crate::observers::watchdog::Blocked;

/// A callback that was scheduled.
pub type Handle = rondel_core::Handle<EventLoopHandle>;

/// A timer that was armed.
pub type TimerHandle = rondel_core::TimerHandle<EventLoopHandle>;

/// A result that will be set.
pub type Future<T> = rondel_core::Future<T, EventLoopHandle>;

/// A future that the loop runs.
pub type Task<T> = rondel_core::Task<T, EventLoopHandle>;

/// A task whose result's type is not known.
pub type TaskRef = rondel_core::TaskRef<EventLoopHandle>;

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
//!         let future = event_loop.create_future::<&str>()?;
//!         let setter = future.clone();
//!         event_loop.call_later(Duration::from_millis(1), move |_| setter.set_result("done"))?;
//!         println!("{}", future.await?);
//!         Ok(())
//!     })
//! }
//! ```
//!
//! Where asyncio's tables grow, these are full: every call that takes something
//! answers with a typed error that gives it back, [`Refused`].
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
//! A [`DatagramProtocol`] answers through a [`DatagramTransport`]; see
//! [`create_datagram_endpoint`](EventLoopHandle::create_datagram_endpoint).
//!
//! # Names
//!
//! Whatever takes an address takes a name as well ([`ToAddrs`]): `("localhost", 80)`,
//! `"example.org:http"`. By themselves names are looked up by
//! [`getaddrinfo`](EventLoopHandle::getaddrinfo) and
//! [`getnameinfo`](EventLoopHandle::getnameinfo):
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
//! # Child processes
//!
//! [`create_subprocess_exec`](EventLoopHandle::create_subprocess_exec) starts a program,
//! [`create_subprocess_shell`](EventLoopHandle::create_subprocess_shell) a line of the shell's language; a [`Process`]
//! can be waited for and signalled. None becomes a zombie, whatever becomes of its handle.
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
//! # Running for years
//!
//! [`listen_fds`] takes the sockets that a supervisor opened, and a [`Notifier`] tells it how the
//! service is and feeds its watchdog from the loop. [`snapshot`](EventLoopHandle::snapshot) shows what
//! the loop holds and what its tasks wait for;
//! [`dump_on_signal`](EventLoopHandle::dump_on_signal) prints it from a process that runs.
//!
//! # Threads
//!
//! [`run_in_executor`](EventLoopHandle::run_in_executor) runs what blocks in a thread; a
//! [`Remote`] calls into the loop from one. A [`ProcessPoolExecutor`] runs functions in processes.

mod config;
mod error;
mod event_loop;
mod schedule;

mod handover;
mod inbox;
mod sync;
mod threadsafe;

mod remote_task;

mod reader_writer;

mod signal;

mod protocol;
mod transport;

mod sock;

mod sendfile;

mod streams;

mod net;

mod pipe;

mod process;

mod dns;

#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;

mod executor;

mod exception;
mod method;
mod observers;
mod pulse;
mod reporter;
mod watchdog;

mod debug;

mod shutdown;

mod faults;

mod supervision;

mod snapshot;

mod inner;
mod sources;
mod tables;

pub(crate) mod sys;

pub use rondel_core::{
    Awaited, CallItem, CallRole, Cancelled, DoneCallback, Exception, ExceptionContext, FutureError, FutureId,
    FutureItem, GatherError, HandleId, Instant, InvalidState, NewTask, Outcome, Refusal, Refused, Resource,
    RunError, Running, Statistics, TaskError, TaskId, TaskItem, TaskState, TimeoutError, Usage, WaitError,
    WaitsFor,
};

pub use crate::config::{Config, PanicPolicy};
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
pub use crate::pipe::connect::OpenReadPipe;
pub use crate::pipe::end::NotAPipe;
pub use crate::pipe::protocol::{ReadPipeProtocol, WritePipeProtocol};
pub use crate::pipe::terminal::RawTerminal;
pub use crate::pipe::transport::{ReadTransport, WriteTransport};
pub use crate::process::{CreateSubprocess, ExitStatus, Process, ProcessLimit, Stdio};
pub use crate::protocol::{AfterEof, BufferedProtocol, Protocol, ProtocolRef, StreamProtocol, kind};
pub use crate::pulse::Pulse;
pub use crate::reader_writer::WatchError;
pub use crate::remote_task::RemoteTask;
pub use crate::sendfile::Sendfile;
pub use crate::shutdown::{Aborted, AbortedKind, ShutdownReport};
pub use crate::signal::{RemoveOnDrop, Signal, SignalError, SignalHandle, Signals};
pub use crate::snapshot::{
    AwaitTree, DescriptorOwner, DescriptorRow, FutureRow, JobRow, ShortText, Snapshot, SnapshotAddr,
    SnapshotRow, TaskRow, Watcher,
};
pub use crate::sock::{Datagram, NonBlocking, SendError, SockSendfile, ToAddress};
pub use crate::streams::{IncompleteRead, Stream, StreamReader, StreamWriter};
pub use crate::supervision::{
    ListenFd, ListenFdKind, ListenFdsError, Notifier, NotifyError, ProcessLimits, ResourceLimit,
    WatchdogFeeding, listen_fds,
};
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

pub use crate::watchdog::Blocked;

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

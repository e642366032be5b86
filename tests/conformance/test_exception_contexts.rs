//! Every source of a report, and what its context names: EH-3, EH-7, EH-8, FAULTS K-01.
//!
//! A report is written down as its message and the keys that the default handler prints, in their order;
//! of the protocol also the name, without its path.

use core::future::pending;
use core::time::Duration;
use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, BorrowedFd};

use rondel::{
    Address, BufferedProtocol, Config, CreateServer, DatagramProtocol, DatagramTransport, Error, ErrorKind,
    EventLoop, EventLoopHandle, Faults, NonBlocking, Operation, ReadPipeProtocol, ReadTransport, Result,
    Server, Signal, StreamReader, StreamWriter, SubprocessProtocol, SubprocessTransport, TlsClientOptions,
    Transport, WriteBufferLimits, WritePipeProtocol, WriteTransport,
};

use crate::fixture::{
    Oops, Trace, any_port, defer, manual, manual_with, pair, panics, quietly, run_until_idle, small, turns,
};
use crate::probe::{Probe, until};
use crate::test_selector_events::take_number;
use crate::tls_fixture::{client, server};

/// Writes down the reports of a loop.
fn contexts(event_loop: &EventLoopHandle) -> Trace {
    let told = Trace::new();
    let noted = told.clone();
    event_loop.set_exception_handler(move |_, context| {
        let mut keys = vec![context.message.to_owned()];
        for (key, is_there) in [
            ("created_at", context.location.is_some()),
            ("exception", context.exception.is_some()),
            ("future", context.future.is_some()),
            ("handle", context.handle.is_some()),
            ("protocol", context.protocol.is_some()),
            ("socket", context.socket.is_some()),
            ("task", context.task.is_some()),
            ("transport", context.transport.is_some()),
        ] {
            keys.extend(is_there.then(|| key.to_owned()));
        }
        // EH-7
        let printed = context.to_string();
        assert!(printed.lines().map(|line| line.split(": ").next().unwrap()).eq(&keys), "{printed}");
        // DB-4: it is the user's line, not one of the library's.
        if let Some(location) = context.location {
            assert!(location.file().ends_with("/test_exception_contexts.rs"), "{printed}");
        }
        if let (Some(transport), Some(socket)) = (context.transport, context.socket) {
            assert!(format!("{transport:?}").starts_with(&format!("fd={socket:?}")), "{transport:?}");
        }
        if let Some(protocol) = context.protocol {
            let name = format!("{protocol:?}");
            let key = keys.iter_mut().find(|key| *key == "protocol").unwrap();
            *key = format!("protocol={}", name.rsplit("::").next().unwrap());
        }
        noted.push(keys.join(" "));
    });
    told
}

/// Fails, by an error or by a panic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Failure {
    Error,
    Panic,
}

const FAILURES: [Failure; 2] = [Failure::Error, Failure::Panic];

impl Failure {
    fn now(self) -> Result<()> {
        assert!(self == Self::Error, "a panic");
        Err(Error::new(Oops(1)))
    }

    /// Says what a report says of a method that fails so.
    fn of(self, method: &str) -> String {
        match self {
            Self::Error => format!("{method}() failed"),
            Self::Panic => format!("{method}() panicked"),
        }
    }

    /// Says what a report says of a callback that fails so.
    fn of_callback(self) -> &'static str {
        match self {
            Self::Error => "Exception in callback",
            Self::Panic => "Callback panicked",
        }
    }
}

#[test]
fn eh8_callbacks_are_named_wherever_they_were_given_to_the_loop() {
    for failure in FAILURES {
        let event_loop = manual();
        let told = contexts(&event_loop);
        let fails = move |_: &EventLoopHandle| failure.now();
        let (watched, mut peer) = pair();
        peer.write_all(b"x").unwrap();
        event_loop.call_soon(fails).unwrap();
        event_loop.call_at(event_loop.time(), fails).unwrap();
        event_loop.call_later(Duration::ZERO, fails).unwrap();
        event_loop.remote().call_soon_threadsafe(move |_| failure.now()).unwrap();
        event_loop.add_reader(&watched, fails).unwrap();
        event_loop.add_signal_handler(Signal::SIGURG, fails).unwrap();
        // SAFETY: no pointers.
        assert_eq!(unsafe { libc::raise(libc::SIGURG) }, 0);
        let future = event_loop.create_future::<()>().unwrap();
        future.add_done_callback(move |_, _| failure.now()).unwrap();
        future.set_result(()).unwrap();
        quietly(|| {
            turns(&event_loop, 1);
            event_loop.remove_reader(&watched);
            turns(&event_loop, 2);
        });
        let expected = format!("{} created_at exception handle", failure.of_callback());
        assert_eq!(told.take(), vec![expected; 7]);
    }
}

#[test]
fn eh8_futures_and_tasks_are_named() {
    let event_loop = manual();
    let told = contexts(&event_loop);
    event_loop.create_future::<()>().unwrap().set_exception(Oops(1)).unwrap();
    assert_eq!(told.take(), ["Future exception was never retrieved created_at exception future"]);
    drop(event_loop.create_task(async { Failure::Error.now() }).unwrap());
    quietly(|| {
        drop(event_loop.create_task(async { Failure::Panic.now() }).unwrap());
        run_until_idle(&event_loop);
    });
    drop(event_loop.create_task(pending::<()>()).unwrap());
    event_loop.close().unwrap();
    assert_eq!(
        told.take(),
        [
            "Task exception was never retrieved created_at exception task",
            "Task panicked created_at exception task",
            "Task was destroyed but it is pending! created_at task",
        ]
    );
}

#[test]
fn eh8_destructors_and_the_task_factory_are_named_by_what_runs() {
    let event_loop = manual();
    let told = contexts(&event_loop);
    let hostile = defer(|| panic!("a destructor"));
    event_loop.call_soon(move |_| drop(hostile)).unwrap();
    event_loop.call_soon(|event_loop| event_loop.create_task(pending::<()>()).map(drop).unwrap()).unwrap();
    event_loop.set_task_factory(|_, _| panic!("a factory"));
    quietly(|| turns(&event_loop, 2));
    let hostile = defer(|| panic!("another"));
    let cancelled = event_loop.call_soon(move |_| drop(hostile)).unwrap();
    // Nothing runs here.
    assert!(panics(|| cancelled.cancel()));
    assert_eq!(told.take(), vec!["Callback panicked created_at exception handle"; 2]);
}

/// Fails in one of its methods.
struct Failing {
    method: &'static str,
    failure: Failure,
    buffer: [u8; 4],
}

impl Failing {
    fn run(&self, method: &str) -> Result<()> {
        if self.method == method { self.failure.now() } else { Ok(()) }
    }
}

/// Has each method of a protocol fail in each way: `provoke` calls them all, and the report has to name the
/// keys that `keys` says.
fn every_method(
    methods: &[&'static str],
    keys: impl Fn(&str) -> &'static str,
    provoke: impl Fn(&EventLoop, &Faults, Failing),
) {
    for &method in methods {
        for failure in FAILURES {
            let config = Config { read_buffer_bytes: 1000, ..small() };
            let (event_loop, _clock, faults) = EventLoop::with_faults(config).unwrap();
            let told = contexts(&event_loop);
            quietly(|| provoke(&event_loop, &faults, Failing { method, failure, buffer: [0; 4] }));
            let mut told = told.take();
            told.dedup();
            let message = failure.of(&format!("protocol.{method}"));
            assert_eq!(told, [format!("{message} {}", keys(method))]);
        }
    }
}

/// Has a callback do something.
fn within_a_callback(event_loop: &EventLoop, act: impl FnOnce() + 'static) {
    event_loop.call_soon(|_| act()).unwrap();
    turns(event_loop, 3);
}

fn no_buffer() -> WriteBufferLimits {
    WriteBufferLimits::new(Some(0), Some(0)).unwrap()
}

impl BufferedProtocol for Failing {
    fn buffer(&mut self, _: usize) -> &mut [u8] {
        &mut self.buffer
    }

    fn buffer_updated(&mut self, _: &Transport, _: usize) -> Result<()> {
        self.run("buffer_updated")
    }
}

#[test]
fn eh8_the_methods_of_a_buffered_protocol_are_named() {
    let keys = |_: &str| "created_at exception handle protocol=Failing socket transport";
    every_method(&["buffer_updated"], keys, |event_loop, _, failing| {
        let (ours, mut theirs) = pair();
        theirs.write_all(b"x").unwrap();
        let connecting = event_loop.create_connection_with_sock(|| failing, ours);
        event_loop.run_until_complete(connecting.into_future()).unwrap();
        turns(event_loop, 3);
    });
}

impl DatagramProtocol for Failing {
    fn connection_made(&mut self, _: &DatagramTransport) -> Result<()> {
        self.run("connection_made")
    }

    fn datagram_received(&mut self, _: &DatagramTransport, _: &[u8], _: &Address) -> Result<()> {
        self.run("datagram_received")
    }

    fn datagram_truncated(&mut self, _: &DatagramTransport, _: &[u8], _: &Address) -> Result<()> {
        self.run("datagram_truncated")
    }

    fn error_received(&mut self, _: &DatagramTransport, _: &Error) -> Result<()> {
        self.run("error_received")
    }

    fn pause_writing(&mut self, _: &DatagramTransport) -> Result<()> {
        self.run("pause_writing")
    }

    fn resume_writing(&mut self, _: &DatagramTransport) -> Result<()> {
        self.run("resume_writing")
    }

    fn connection_lost(&mut self, _: &DatagramTransport, _: Option<&Error>) -> Result<()> {
        self.run("connection_lost")
    }
}

#[test]
fn eh8_the_methods_of_a_datagram_protocol_are_named() {
    let methods = [
        "connection_made",
        "datagram_received",
        "datagram_truncated",
        "error_received",
        "pause_writing",
        "resume_writing",
        "connection_lost",
    ];
    let keys = |_: &str| "created_at exception handle protocol=Failing socket transport";
    every_method(&methods, keys, |event_loop, faults, failing| {
        let endpoint = event_loop.create_datagram_endpoint(|| failing).local_addr(any_port());
        let (transport, _) = event_loop.run_until_complete(endpoint.into_future()).unwrap();
        let (peer, addr) = (UdpSocket::bind(any_port()).unwrap(), transport.local_addr().unwrap());
        let to = Address::from(peer.local_addr().unwrap());
        for size in [1, 1001] {
            peer.send_to(&vec![0; size], addr.as_inet().unwrap()).unwrap();
            turns(event_loop, 3);
        }
        let (sender, receiver) = (transport.clone(), to.clone());
        // More than any datagram may have.
        within_a_callback(event_loop, move || drop(sender.sendto(&vec![0; 70_000], &receiver)));
        transport.set_write_buffer_limits(no_buffer());
        faults.block(Operation::SendTo);
        let sender = transport.clone();
        within_a_callback(event_loop, move || drop(sender.sendto(b"x", &to)));
        transport.close();
        turns(event_loop, 3);
    });
}

impl ReadPipeProtocol for Failing {
    fn connection_made(&mut self, _: &ReadTransport) -> Result<()> {
        self.run("connection_made")
    }

    fn data_received(&mut self, _: &ReadTransport, _: &[u8]) -> Result<()> {
        self.run("data_received")
    }

    fn eof_received(&mut self, _: &ReadTransport) -> Result<()> {
        self.run("eof_received")
    }

    fn connection_lost(&mut self, _: &ReadTransport, _: Option<&Error>) -> Result<()> {
        self.run("connection_lost")
    }
}

impl WritePipeProtocol for Failing {
    fn connection_made(&mut self, _: &WriteTransport) -> Result<()> {
        self.run("connection_made")
    }

    fn pause_writing(&mut self, _: &WriteTransport) -> Result<()> {
        self.run("pause_writing")
    }

    fn resume_writing(&mut self, _: &WriteTransport) -> Result<()> {
        self.run("resume_writing")
    }

    fn connection_lost(&mut self, _: &WriteTransport, _: Option<&Error>) -> Result<()> {
        self.run("connection_lost")
    }
}

#[test]
fn eh8_the_methods_of_pipe_protocols_are_named() {
    let keys = |_: &str| "created_at exception handle protocol=Failing socket transport";
    let methods = ["connection_made", "data_received", "eof_received", "connection_lost"];
    every_method(&methods, keys, |event_loop, _, failing| {
        let (reading, mut writing) = std::io::pipe().unwrap();
        event_loop.run_until_complete(event_loop.connect_read_pipe(|| failing, reading)).unwrap();
        writing.write_all(b"x").unwrap();
        turns(event_loop, 3);
        drop(writing);
        // A process that another test starts may hold it until it is another program.
        until(event_loop, || event_loop.watched_descriptors() == 0);
    });
    let methods = ["connection_made", "pause_writing", "resume_writing", "connection_lost"];
    every_method(&methods, keys, |event_loop, faults, failing| {
        let (_reading, writing) = std::io::pipe().unwrap();
        let connecting = event_loop.connect_write_pipe(|| failing, writing);
        let (transport, _) = event_loop.run_until_complete(connecting).unwrap();
        transport.set_write_buffer_limits(no_buffer());
        faults.block(Operation::Write);
        let writer = transport.clone();
        within_a_callback(event_loop, move || writer.write(b"x").unwrap());
        transport.close();
        turns(event_loop, 3);
    });
}

impl SubprocessProtocol for Failing {
    fn connection_made(&mut self, _: &SubprocessTransport) -> Result<()> {
        self.run("connection_made")
    }

    fn pipe_data_received(&mut self, _: &SubprocessTransport, _: i32, _: &[u8]) -> Result<()> {
        self.run("pipe_data_received")
    }

    fn pipe_connection_lost(&mut self, _: &SubprocessTransport, _: i32, _: Option<&Error>) -> Result<()> {
        self.run("pipe_connection_lost")
    }

    fn pause_writing(&mut self, _: &SubprocessTransport) -> Result<()> {
        self.run("pause_writing")
    }

    fn resume_writing(&mut self, _: &SubprocessTransport) -> Result<()> {
        self.run("resume_writing")
    }

    fn process_exited(&mut self, _: &SubprocessTransport) -> Result<()> {
        self.run("process_exited")
    }

    fn connection_lost(&mut self, _: &SubprocessTransport, _: Option<&Error>) -> Result<()> {
        self.run("connection_lost")
    }
}

#[test]
fn eh8_the_methods_of_a_subprocess_protocol_are_named() {
    let methods = [
        "connection_made",
        "pipe_data_received",
        "pipe_connection_lost",
        "pause_writing",
        "resume_writing",
        "process_exited",
        "connection_lost",
    ];
    let keys = |method: &str| match method {
        // The pipe is the transport.
        "pipe_data_received" => "created_at exception handle protocol=Failing socket transport",
        _ => "created_at exception handle protocol=Failing transport",
    };
    every_method(&methods, keys, |event_loop, faults, failing| {
        let shell = event_loop.subprocess_shell(|| failing, "read line; echo \"$line\"");
        let (transport, _) = event_loop.run_until_complete(shell.into_future()).unwrap();
        let stdin = transport.stdin().unwrap();
        stdin.set_write_buffer_limits(no_buffer());
        faults.block(Operation::Write);
        stdin.write(b"a line\n").unwrap();
        while event_loop.statistics().calls.live > 0 {
            event_loop.run_once().unwrap();
        }
    });
}

/// Connects a client to a server, which its first connection is to make trouble.
fn served<T, M>(event_loop: &EventLoop, server: CreateServer<T, M>)
where
    CreateServer<T, M>: IntoFuture<Output = Result<Server>>,
{
    let server = event_loop.run_until_complete(server.into_future()).unwrap();
    let mut client = TcpStream::connect(server.local_addr()).unwrap();
    client.write_all(b"what is no TLS\n").unwrap();
    quietly(|| turns(event_loop, 5));
}

#[test]
fn eh8_what_becomes_of_an_accepted_connection_is_named() {
    let event_loop = manual();
    let told = contexts(&event_loop);
    served(&event_loop, event_loop.create_server(|| -> Failing { panic!("no protocol") }, any_port()));
    let broken = |_: StreamReader, _: StreamWriter| -> core::future::Ready<()> { panic!("no handler") };
    served(&event_loop, event_loop.start_server(any_port(), broken));
    for failure in FAILURES {
        let fails = move |_: StreamReader, _: StreamWriter| async move { failure.now() };
        served(&event_loop, event_loop.start_server(any_port(), fails));
    }
    let config = server().build().unwrap();
    served(&event_loop, event_loop.start_server(any_port(), async |_, _| ()).tls(config.clone()));
    let refused = event_loop.start_server(any_port(), async |_, _| ()).tls(config);
    served(&event_loop, refused.on_refused(|_, _| panic!("a hook")));
    assert_eq!(
        told.take(),
        [
            "protocol_factory() panicked created_at exception handle socket transport",
            "client_connected() panicked created_at exception handle socket transport",
            "Unhandled exception in client_connected created_at exception socket task transport",
            "Task panicked created_at exception task",
            "connection refused created_at exception handle socket transport",
            "on_refused() panicked created_at exception handle socket transport",
        ]
    );
    for (config, keys) in [
        (Config { tasks: 1, ..small() }, "created_at exception handle socket transport"),
        // There is room for the listening socket, and the connection never became one.
        (Config { descriptors: 1, ..small() }, "created_at exception handle socket"),
    ] {
        let event_loop = manual_with(config).0;
        let told = contexts(&event_loop);
        let server = event_loop.start_server(any_port(), async |_, _| pending::<()>().await);
        let server = event_loop.run_until_complete(server.into_future()).unwrap();
        let _clients = [(); 2].map(|()| TcpStream::connect(server.local_addr()).unwrap());
        turns(&event_loop, 2);
        let mut told = told.take();
        told.dedup();
        assert_eq!(told, [format!("connection refused {keys}")]);
        event_loop.reset_exception_handler();
    }
}

#[test]
fn eh8_what_tls_calls_is_named_and_its_connection_ends_at_once() {
    let event_loop = manual();
    let told = contexts(&event_loop);
    let broken = client().wall_clock(|| panic!("a clock")).build().unwrap();
    let (ours, theirs) = pair();
    let accepting = event_loop.open_connection_with_sock(theirs).tls_server(server().build().unwrap());
    let options = TlsClientOptions::from(broken).server_hostname("localhost");
    let connecting = event_loop.open_connection_with_sock(ours).tls(options);
    let handle = event_loop.handle();
    let fails = async move {
        let error = connecting.await.map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Panicked);
        assert_eq!(handle.time().as_nanos(), 0, "nobody has waited for a limit");
    };
    let both = futures_lite::future::zip(fails, accepting.into_future());
    let ((), accepted) =
        quietly(|| event_loop.run_until_complete(async { Ok::<_, Error>(both.await) })).unwrap();
    assert!(accepted.is_err());
    assert_eq!(told.take(), ["handshake() panicked created_at exception handle socket transport"]);
}

#[test]
fn eh8_transports_that_break_are_named() {
    for (operation, message) in [
        (Operation::Recv, "read from the transport failed"),
        (Operation::Send, "write to the transport failed"),
        (Operation::ShutdownWrite, "shutdown failed"),
    ] {
        let (event_loop, _clock, faults) = EventLoop::with_faults(small()).unwrap();
        let told = contexts(&event_loop);
        let (ours, mut theirs) = pair();
        let connecting = event_loop.create_connection_with_sock(|| Probe::quiet(&Trace::new()), ours);
        let (transport, _) = event_loop.run_until_complete(connecting).unwrap();
        faults.fail(operation, libc::EIO);
        theirs.write_all(b"x").unwrap();
        within_a_callback(&event_loop, move || {
            let _ = transport.write(b"x");
            let _ = transport.write_eof();
        });
        let keys = "created_at exception handle protocol=Probe socket transport";
        assert_eq!(told.take(), [format!("{message} {keys}")]);
    }
}

#[test]
fn eh8_a_server_that_can_not_accept_is_named() {
    for (errno, message) in
        [(libc::EMFILE, "accept is out of system resources"), (libc::EIO, "accept failed")]
    {
        let (event_loop, _clock, faults) = EventLoop::with_faults(small()).unwrap();
        let told = contexts(&event_loop);
        faults.fail(Operation::Accept, errno);
        served(&event_loop, event_loop.start_server(any_port(), async |_, _| ()));
        assert_eq!(told.take(), [format!("{message} created_at exception handle socket")]);
    }
}

/// Puts a stranger in the place of a descriptor that is closed, and has the loop notice.
fn replaced(event_loop: &EventLoop, number: i32) {
    let (stranger, _peer) = take_number(number);
    event_loop.add_writer(&stranger, |_| ()).unwrap();
    event_loop.remove_writer(&stranger);
}

#[test]
fn eh8_p02_who_watched_a_descriptor_that_was_closed_is_named() {
    let event_loop = manual();
    let told = contexts(&event_loop);
    let (watched, _peer) = pair();
    event_loop.add_writer(&watched, |_| ()).unwrap();
    let number = watched.as_raw_fd();
    drop(watched);
    replaced(&event_loop, number);
    assert_eq!(
        told.take(),
        ["a watched descriptor was closed before it was removed created_at handle socket"]
    );
    let (ours, _theirs) = pair();
    let number = ours.as_raw_fd();
    let handle = event_loop.handle();
    let task = event_loop.create_task(async move {
        // SAFETY: good until it is closed below, which is what the test is about.
        let wrapper = NonBlocking::new(unsafe { BorrowedFd::borrow_raw(number) })?;
        handle.sock_recv(&wrapper, 1).await.map(drop)
    });
    let task = task.unwrap();
    turns(&event_loop, 1);
    drop(ours);
    replaced(&event_loop, number);
    assert_eq!(told.take(), ["a watched descriptor was closed before it was removed created_at socket task"]);
    task.abort();
    turns(&event_loop, 1);
}

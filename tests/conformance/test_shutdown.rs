//! The orderly end of a loop: `shutdown` and `close_within`.

use core::time::Duration;
use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rondel::{
    Aborted, AbortedKind, Error, ErrorKind, EventLoop, EventLoopHandle, ExitStatus, Protocol, Stdio,
    SubprocessProtocol, SubprocessTransport, Transport, WaitError,
};

use crate::fixture::{
    Counter, Trace, alone, any_port, descriptors, manual, never, real, reports, scenarios, settle,
};
use crate::protocols::Silent;
use crate::tls_fixture;

const SECOND: Duration = Duration::from_secs(1);

/// Records what it is told, and sends the given number of bytes.
struct Teller {
    trace: Trace,
    sends: usize,
    transport: Rc<RefCell<Option<Transport>>>,
}

impl Teller {
    fn new(trace: &Trace, sends: usize) -> Self {
        Self { trace: trace.clone(), sends, transport: Rc::default() }
    }
}

impl Protocol for Teller {
    fn connection_made(&mut self, transport: &Transport) -> rondel::Result<()> {
        self.trace.push("made");
        self.transport.replace(Some(transport.clone()));
        transport.write(&vec![b'x'; self.sends])
    }

    fn data_received(&mut self, _: &Transport, _: &[u8]) -> rondel::Result<()> {
        self.trace.push("data");
        Ok(())
    }

    fn connection_lost(&mut self, _: &Transport, error: Option<&Error>) -> rondel::Result<()> {
        self.trace.push(error.map_or("lost".into(), |error| format!("lost: {error}")));
        Ok(())
    }
}

/// Runs a body on a loop whose clock jumps, where nothing may be reported.
fn run(body: impl AsyncFnOnce(EventLoopHandle) -> rondel::Result<()>) {
    let event_loop = manual();
    let told = reports(&event_loop);
    event_loop.run_until_complete(body(event_loop.handle())).expect("no error");
    event_loop.close().expect("closed");
    assert_eq!(told.take(), [""; 0]);
}

/// A future that hears of no request to end, and ends after a while.
async fn stubborn(event_loop: EventLoopHandle, trace: Trace, lasts: Duration) -> Result<(), WaitError> {
    let end = event_loop.time() + lasts;
    while event_loop.time() < end {
        match event_loop.sleep_until(end).await {
            Err(WaitError::Cancelled(_)) => trace.push("asked"),
            slept => slept?,
        }
    }
    trace.push("ended");
    Ok(())
}

scenarios! {
    k05_everything_ends_by_itself_and_the_report_is_clean
    k05_what_has_not_ended_at_the_deadline_is_aborted_and_named
    k05_a_task_that_is_cancelled_may_still_say_goodbye
    k05_what_the_end_causes_ends_too
    k05_what_a_done_callback_begins_ends_too
    k05_nothing_is_accepted_any_more
    k05_datagrams_that_wait_are_sent_and_those_that_never_can_be_are_named
    k05_a_tls_peer_without_an_end_is_aborted
    k05_a_tls_peer_in_its_handshake_is_let_go
    k05_streams_of_the_task_itself_are_its_own
    k05_jobs_end_in_time
    k05_a_job_that_never_returns_is_named_and_those_behind_it_are_counted
    k05_children_are_asked_to_end
    k05_a_child_that_does_not_heed_is_killed_and_named
    k05_who_hears_of_a_killed_child_ends_by_itself_however_far_from_it
    k05_a_child_that_is_detached_is_left_alone
    a_limit_of_zero_aborts_at_once
    one_shutdown_at_a_time
    a_cancelled_shutdown_leaves_a_loop_that_serves
    a_report_names_a_hundred_and_counts_the_others
    close_within_runs_to_the_end_and_closes
    close_within_closes_although_the_run_is_stopped
    close_within_is_refused_while_the_loop_runs
}

fn k05_everything_ends_by_itself_and_the_report_is_clean() {
    run(async |event_loop| {
        let trace = Trace::new();
        let made = trace.clone();
        let server = event_loop.create_server(move || Teller::new(&made, 10), any_port()).await?;
        let mut client = TcpStream::connect(server.local_addr())?;
        let (on, told) = (event_loop.clone(), trace.clone());
        let task = event_loop.create_task(async move {
            let slept = on.sleep(60 * SECOND).await;
            told.push("asked");
            on.sleep(SECOND).await.expect("time to clean up");
            told.push("cleaned up");
            slept
        })?;
        settle(&event_loop).await;
        let before = event_loop.time();
        let report = event_loop.shutdown(5 * SECOND).await?;
        assert!(report.is_clean(), "{report}");
        assert_eq!((report.count(), report.to_string()), (0, "everything ended in time".into()));
        assert_eq!(trace.take(), ["made", "asked", "lost", "cleaned up"]);
        assert_eq!(event_loop.time() - before, SECOND, "no longer than it took");
        assert!(task.cancelled() && !server.is_serving() && server.sockets().is_empty());
        let mut received = Vec::new();
        client.read_to_end(&mut received)?;
        assert_eq!(received, [b'x'; 10]);
        Ok(())
    });
}

fn k05_what_has_not_ended_at_the_deadline_is_aborted_and_named() {
    run(async |event_loop| {
        let trace = Trace::new();
        let made = trace.clone();
        let server = event_loop.create_server(move || Teller::new(&made, 6 << 20), any_port()).await?;
        // Never reads.
        let client = TcpStream::connect(server.local_addr())?;
        let task = event_loop.create_task(stubborn(event_loop.clone(), trace.clone(), 60 * SECOND))?;
        task.set_name("stubborn");
        let line = line!() - 2;
        settle(&event_loop).await;
        let before = event_loop.time();
        let report = event_loop.shutdown(5 * SECOND).await?;
        assert_eq!(event_loop.time() - before, 5 * SECOND);
        assert_eq!(trace.take(), ["made", "asked", "lost"], "asked once");
        let [task, connection] = report.aborted() else { panic!("{report}") };
        let name = format!("stubborn, created at {}:{line}:{}", file!(), 31);
        assert_eq!(*task, Aborted { kind: AbortedKind::Task, name });
        assert_eq!(connection.kind, AbortedKind::Connection);
        let peer = client.local_addr()?.to_string();
        assert!(connection.name.starts_with(&peer) && connection.name.ends_with("bytes unsent"), "{report}");
        assert!(report.to_string().starts_with("aborted at the deadline: 2\n  task stubborn, "), "{report}");
        assert_eq!(event_loop.all_tasks().count(), 1, "this one");
        // As far as it came, and a reset, not an end (N-05).
        let error = (&client).read_to_end(&mut Vec::new()).expect_err("a part is not the whole");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        Ok(())
    });
}

fn k05_a_task_that_is_cancelled_may_still_say_goodbye() {
    run(async |event_loop| {
        let trace = Trace::new();
        let made = trace.clone();
        let transport = Rc::new(RefCell::new(None));
        let of_protocol = Rc::clone(&transport);
        let factory = move || Teller { trace: made.clone(), sends: 0, transport: Rc::clone(&of_protocol) };
        let server = event_loop.create_server(factory, any_port()).await?;
        let mut by_protocol = TcpStream::connect(server.local_addr())?;
        let on = event_loop.clone();
        let streams = event_loop
            .start_server(any_port(), move |_reader, mut writer| {
                let on = on.clone();
                async move {
                    let slept = on.sleep(60 * SECOND).await;
                    writer.write_all(b"goodbye from a task").await.expect("sent");
                    slept
                }
            })
            .await?;
        let mut by_stream = TcpStream::connect(streams.local_addr())?;
        let on = event_loop.clone();
        event_loop.create_task(async move {
            let slept = on.sleep(60 * SECOND).await;
            let transport = transport.borrow();
            transport.as_ref().expect("connected").write(b"goodbye").expect("sent");
            slept
        })?;
        settle(&event_loop).await;
        let report = event_loop.shutdown(5 * SECOND).await?;
        assert!(report.is_clean(), "{report}");
        let mut received = String::new();
        by_protocol.read_to_string(&mut received)?;
        by_stream.read_to_string(&mut received)?;
        assert_eq!(received, "goodbyegoodbye from a task");
        assert_eq!(trace.take(), ["made", "lost"]);
        Ok(())
    });
}

/// Begins something new when it ends.
struct Hydra {
    trace: Trace,
}

impl Protocol for Hydra {
    fn data_received(&mut self, _: &Transport, _: &[u8]) -> rondel::Result<()> {
        Ok(())
    }

    fn connection_lost(&mut self, transport: &Transport, _: Option<&Error>) -> rondel::Result<()> {
        let (on, trace) = (transport.event_loop().clone(), self.trace.clone());
        transport.event_loop().create_task(async move {
            trace.push("another head");
            let slept = on.sleep(60 * SECOND).await;
            trace.push("cut off");
            slept
        })?;
        Ok(())
    }
}

fn k05_what_the_end_causes_ends_too() {
    run(async |event_loop| {
        let trace = Trace::new();
        let made = trace.clone();
        let server = event_loop.create_server(move || Hydra { trace: made.clone() }, any_port()).await?;
        let _client = TcpStream::connect(server.local_addr())?;
        settle(&event_loop).await;
        let before = event_loop.time();
        let report = event_loop.shutdown(5 * SECOND).await?;
        assert!(report.is_clean(), "{report}");
        // Cancelled before its first step, or in it: it is gone either way.
        let told = trace.take();
        assert!(told.is_empty() || told == ["another head", "cut off"], "{told:?}");
        assert_eq!((event_loop.all_tasks().count(), event_loop.time()), (1, before));
        Ok(())
    });
}

fn k05_what_a_done_callback_begins_ends_too() {
    run(async |event_loop| {
        let trace = Trace::new();
        let first = event_loop.create_task(stubborn(event_loop.clone(), trace.clone(), SECOND))?;
        let (on, told) = (event_loop.clone(), trace.clone());
        first.add_done_callback(move |event_loop, _| {
            let second = event_loop.create_task(async move {
                told.push("second");
                on.sleep(60 * SECOND).await
            });
            second.map(drop).map_err(|refused| refused.refusal())
        })?;
        settle(&event_loop).await;
        let before = event_loop.time();
        let report = event_loop.shutdown(5 * SECOND).await?;
        assert!(report.is_clean(), "{report}");
        assert_eq!(event_loop.time() - before, SECOND);
        assert_eq!(trace.take(), ["asked", "ended"]);
        assert_eq!(event_loop.all_tasks().count(), 1);
        Ok(())
    });
}

fn k05_nothing_is_accepted_any_more() {
    run(async |event_loop| {
        let trace = Trace::new();
        let made = trace.clone();
        let server = event_loop.create_server(move || Teller::new(&made, 0), any_port()).await?;
        let addr = server.local_addr();
        let (on, told) = (event_loop.clone(), trace.clone());
        event_loop.create_task(async move {
            let slept = on.sleep(60 * SECOND).await;
            // In the turn after that in which the shutdown began.
            told.push(
                TcpStream::connect(addr).map_or_else(|error| error.kind().to_string(), |_| "in".into()),
            );
            slept
        })?;
        settle(&event_loop).await;
        let (on, told) = (event_loop.clone(), trace.clone());
        event_loop.create_task(async move {
            let slept = on.sleep(60 * SECOND).await;
            let late = on.create_server(move || Teller::new(&told, 0), any_port()).await.expect("a server");
            settle(&on).await;
            assert!(!late.is_serving(), "one that begins during a shutdown ends with it");
            slept
        })?;
        settle(&event_loop).await;
        let report = event_loop.shutdown(5 * SECOND).await?;
        assert!(report.is_clean(), "{report}");
        assert_eq!(trace.take(), ["connection refused"]);
        Ok(())
    });
}

fn k05_datagrams_that_wait_are_sent_and_those_that_never_can_be_are_named() {
    use std::os::unix::net::UnixDatagram;
    run(async |event_loop| {
        let peer = UdpSocket::bind(any_port())?;
        let endpoint = event_loop.create_datagram_endpoint(|| Silent).remote_addr(peer.local_addr()?).await?;
        endpoint.0.send(b"last words")?;
        // Nobody reads these, and a UNIX socket has room for a few alone.
        let (ours, _theirs) = UnixDatagram::pair()?;
        let stuck = event_loop.create_datagram_endpoint_with_sock(|| Silent, ours).await?;
        for _ in 0..2000 {
            stuck.0.send(&[0; 1024])?;
        }
        let report = event_loop.shutdown(SECOND).await?;
        let [aborted] = report.aborted() else { panic!("{report}") };
        assert_eq!(aborted.kind, AbortedKind::DatagramEndpoint);
        assert!(aborted.name.ends_with("datagrams unsent"), "{report}");
        let mut buffer = [0; 64];
        assert_eq!(peer.recv(&mut buffer)?, 10);
        Ok(())
    });
}

fn k05_a_tls_peer_without_an_end_is_aborted() {
    use rondel::rustls;
    run(async |event_loop| {
        let config = tls_fixture::server().build()?;
        let trace = Trace::new();
        let made = trace.clone();
        let server = event_loop.create_server(move || Teller::new(&made, 0), any_port()).tls(&config).await?;
        let addr = server.local_addr();
        let (connected, is_connected) = std::sync::mpsc::channel();
        let (over, until_over) = std::sync::mpsc::channel::<()>();
        let client = std::thread::spawn(move || {
            let config = tls_fixture::client().build().expect("a configuration");
            let name = rustls::pki_types::ServerName::try_from("localhost").expect("a name");
            let mut session = rustls::ClientConnection::new(config.into(), name).expect("a session");
            let mut stream = TcpStream::connect(addr).expect("connected");
            while session.is_handshaking() {
                session.complete_io(&mut stream).expect("shaken hands");
            }
            session.writer().write_all(b"x").expect("taken");
            session.complete_io(&mut stream).expect("sent");
            connected.send(()).expect("somebody waits");
            // Holds the connection, and never ends it.
            let _ = until_over.recv();
        });
        while trace.count() < 2 {
            event_loop.yield_now().await?;
        }
        is_connected.recv().expect("connected");
        let report = event_loop.shutdown(SECOND).await?;
        let [aborted] = report.aborted() else { panic!("{report}") };
        assert_eq!(aborted.kind, AbortedKind::Connection);
        assert_eq!(trace.take(), ["made", "data", "lost"]);
        drop(over);
        client.join().expect("no panic");
        Ok(())
    });
}

fn k05_a_tls_peer_in_its_handshake_is_let_go() {
    run(async |event_loop| {
        let config = tls_fixture::server().build()?;
        let trace = Trace::new();
        let made = trace.clone();
        let server = event_loop
            .create_server(move || Teller::new(&made, 0), any_port())
            .tls(&config)
            .on_refused(|_, _| {})
            .await?;
        let mut client = TcpStream::connect(server.local_addr())?;
        settle(&event_loop).await;
        let before = event_loop.time();
        let report = event_loop.shutdown(5 * SECOND).await?;
        assert!(report.is_clean(), "{report}");
        assert_eq!((event_loop.time(), server.connections()), (before, 0));
        assert_eq!(trace.take(), [""; 0], "it never heard of the connection");
        assert_eq!(client.read(&mut [0])?, 0);
        Ok(())
    });
}

fn k05_streams_of_the_task_itself_are_its_own() {
    run(async |event_loop| {
        let listener = std::net::TcpListener::bind(any_port())?;
        let (mut reader, mut writer) = event_loop.open_connection(listener.local_addr()?).await?;
        let (mut peer, _) = listener.accept()?;
        let report = event_loop.shutdown(SECOND).await?;
        assert!(report.is_clean(), "{report}");
        writer.write_all(b"still here\n").await?;
        let mut line = [0; 11];
        peer.read_exact(&mut line)?;
        peer.write_all(&line)?;
        assert_eq!(reader.read_line().await?, b"still here\n");
        Ok(())
    });
}

fn k05_jobs_end_in_time() {
    let event_loop = EventLoop::new().expect("a loop");
    let (go, goes) = std::sync::mpsc::channel();
    let job = event_loop.run_in_executor(move || goes.recv()).expect("room");
    go.send(()).expect("somebody listens");
    let report = event_loop.close_within(60 * SECOND).expect("closed");
    assert!(report.is_clean(), "{report}");
    drop(job);
}

fn k05_a_job_that_never_returns_is_named_and_those_behind_it_are_counted() {
    use rondel::{ThreadPoolConfig, ThreadPoolExecutor};
    let (go, goes) = std::sync::mpsc::channel::<()>();
    let config = ThreadPoolConfig { max_workers: 1, ..ThreadPoolConfig::default() };
    let pool = std::sync::Arc::new(ThreadPoolExecutor::new(config));
    let executor = std::sync::Arc::clone(&pool);
    run(async |event_loop| {
        event_loop.set_default_executor(executor);
        let (begun, begins) = std::sync::mpsc::channel();
        let stuck = event_loop.run_in_executor(move || {
            begun.send(()).expect("somebody listens");
            goes.recv()
        })?;
        let line = line!() - 4;
        let behind = event_loop.run_in_executor(|| ())?;
        begins.recv().expect("begun");
        let report = event_loop.shutdown(5 * SECOND).await?;
        assert_eq!((report.count(), report.is_clean()), (2, false));
        let [job] = report.aborted() else { panic!("{report}") };
        assert_eq!(job.kind, AbortedKind::Job);
        assert!(job.name.contains(&format!("{}:{line}:", file!())), "{report}");
        let refused = event_loop.run_in_executor(|| ()).map(drop).expect_err("shut down for good");
        assert!(matches!(refused.reason(), rondel::JobRefusal::ShutDown));
        drop((stuck, behind));
        Ok(())
    });
    go.send(()).expect("somebody listens");
    pool.shutdown_and_wait();
}

/// Records how a child ends.
struct Ends(Trace);

impl SubprocessProtocol for Ends {
    fn process_exited(&mut self, transport: &SubprocessTransport) -> rondel::Result<()> {
        self.0.push(transport.returncode().expect("exited").to_string());
        Ok(())
    }

    fn connection_lost(&mut self, _: &SubprocessTransport, error: Option<&Error>) -> rondel::Result<()> {
        self.0.push(error.map_or("lost".into(), |error| format!("lost: {error}")));
        Ok(())
    }
}

fn k05_children_are_asked_to_end() {
    // They end in the time of the system, of which the limit is far more.
    let event_loop = real();
    let (handle, trace) = (event_loop.handle(), Trace::new());
    let ends = trace.clone();
    let ended = event_loop.run_until_complete(async move {
        let sleep = handle.create_subprocess_exec("sleep").arg("1000").await?;
        let (transport, _) = handle.subprocess_exec(|| Ends(ends), "sleep").arg("1000").await?;
        let report = handle.shutdown(600 * SECOND).await?;
        assert!(report.is_clean(), "{report}");
        assert_eq!(handle.child_processes(), 0);
        Ok::<_, Error>([sleep.returncode(), transport.returncode()])
    });
    assert_eq!(ended.expect("no error"), [Some(ExitStatus::Signal(libc::SIGTERM)); 2]);
    event_loop.close().expect("closed");
    assert_eq!(trace.take(), ["ended by signal 15", "lost"]);
}

/// Stops a child, so that it heeds no `SIGTERM`; returns when it stands still.
fn stop(transport: &SubprocessTransport) -> rondel::Result<()> {
    transport.send_signal(libc::SIGSTOP)?;
    let path = format!("/proc/{}/stat", transport.pid());
    while !std::fs::read_to_string(&path)?.contains(") T ") {
        std::thread::yield_now();
    }
    Ok(())
}

fn k05_a_child_that_does_not_heed_is_killed_and_named() {
    run(async |event_loop| {
        let trace = Trace::new();
        let ends = trace.clone();
        let line = "trap '' TERM; echo deaf; read line";
        let (gate, _opener) = std::io::pipe()?;
        let shell = event_loop.create_subprocess_shell(line).stdin(OwnedFd::from(gate)).stdout(Stdio::pipe());
        let mut shell = shell.await?;
        let (transport, _) = event_loop.subprocess_exec(|| Ends(ends), "sleep").arg("1000").await?;
        stop(&transport)?;
        assert_eq!(shell.stdout.as_mut().expect("a pipe").read_line().await?, b"deaf\n");
        let report = event_loop.shutdown(SECOND).await?;
        let expected = [(shell.pid(), "/bin/sh"), (transport.pid(), "sleep")].map(|(pid, program)| Aborted {
            kind: AbortedKind::Child,
            name: format!("pid {pid} ({program})"),
        });
        assert_eq!(report.aborted(), expected);
        let killed = Some(ExitStatus::Signal(libc::SIGKILL));
        assert_eq!([shell.returncode(), transport.returncode()], [killed; 2]);
        assert_eq!(
            (event_loop.child_processes(), trace.take()),
            (0, vec!["ended by signal 9".into(), "lost".into()])
        );
        Ok(())
    });
}

fn k05_who_hears_of_a_killed_child_ends_by_itself_however_far_from_it() {
    run(async |event_loop| {
        let (transport, _) = event_loop.subprocess_exec(|| Ends(Trace::new()), "sleep").arg("1000").await?;
        stop(&transport)?;
        // Each waits for the one before, and all go on when they are cancelled.
        let child = transport.clone();
        let mut last = event_loop.create_task(async move { while child.wait().await.is_err() {} })?;
        for _ in 0..8 {
            let former = last;
            last = event_loop.create_task(async move { while former.wait().await.is_err() {} })?;
        }
        settle(&event_loop).await;
        let report = event_loop.shutdown(SECOND).await?;
        let name = format!("pid {} (sleep)", transport.pid());
        assert_eq!(report.aborted(), [Aborted { kind: AbortedKind::Child, name }]);
        assert!(last.done() && !last.cancelled());
        Ok(())
    });
}

fn k05_a_child_that_is_detached_is_left_alone() {
    run(async |event_loop| {
        let (gate, opener) = std::io::pipe()?;
        event_loop.create_subprocess_exec("cat").stdin(OwnedFd::from(gate)).await?.detach();
        let report = event_loop.shutdown(SECOND).await?;
        assert!(report.is_clean(), "{report}");
        assert_eq!(event_loop.child_processes(), 1);
        drop(opener);
        while event_loop.child_processes() > 0 {
            event_loop.yield_now().await?;
        }
        Ok(())
    });
}

fn a_limit_of_zero_aborts_at_once() {
    run(async |event_loop| {
        let trace = Trace::new();
        event_loop.create_task(stubborn(event_loop.clone(), trace.clone(), SECOND))?;
        let (on, told) = (event_loop.clone(), trace.clone());
        event_loop.create_task(async move {
            let slept = on.sleep(SECOND).await;
            told.push("heard");
            slept
        })?;
        settle(&event_loop).await;
        let before = event_loop.time();
        let report = event_loop.shutdown(Duration::ZERO).await?;
        assert_eq!((report.count(), event_loop.time()), (1, before), "{report}");
        assert_eq!(trace.take(), ["asked", "heard"]);
        Ok(())
    });
}

fn one_shutdown_at_a_time() {
    run(async |event_loop| {
        let on = event_loop.clone();
        let answer = Rc::new(RefCell::new(None));
        let given = Rc::clone(&answer);
        event_loop.create_task(async move {
            let slept = on.sleep(SECOND).await;
            given.replace(Some(on.shutdown(SECOND).await));
            slept
        })?;
        settle(&event_loop).await;
        assert!(event_loop.shutdown(SECOND).await?.is_clean());
        let second = answer.take().expect("an answer").expect_err("there is one already");
        assert_eq!(second.kind(), ErrorKind::Busy);
        // And again, when it is over.
        assert!(event_loop.shutdown(SECOND).await?.is_clean());
        Ok(())
    });
    let event_loop = manual();
    event_loop.close().expect("closed");
    let error = event_loop.close_within(SECOND).expect_err("closed");
    assert_eq!(error.kind(), ErrorKind::Closed);
}

fn a_cancelled_shutdown_leaves_a_loop_that_serves() {
    let event_loop = manual();
    let trace = Trace::new();
    event_loop.create_task(stubborn(event_loop.handle(), trace.clone(), 60 * SECOND)).expect("room");
    let on = event_loop.handle();
    let shutdown = event_loop.create_task(async move { on.shutdown(30 * SECOND).await.map(drop) });
    let shutdown = shutdown.expect("room");
    let canceller = shutdown.clone();
    event_loop
        .call_later(SECOND, move |_| {
            canceller.cancel();
        })
        .expect("room");
    event_loop.call_later(2 * SECOND, |event_loop| event_loop.stop()).expect("room");
    event_loop.run_forever().expect("a run");
    assert!(shutdown.cancelled());
    let made = trace.clone();
    event_loop
        .run_until_complete(async {
            let server = event_loop.create_server(move || Teller::new(&made, 0), any_port()).await?;
            let _client = TcpStream::connect(server.local_addr())?;
            settle(&event_loop).await;
            Ok::<(), Error>(())
        })
        .expect("served");
    assert_eq!(trace.take(), ["asked", "made"]);
}

fn a_report_names_a_hundred_and_counts_the_others() {
    let (event_loop, _) =
        crate::fixture::manual_with(rondel::Config { tasks: 200, calls: 400, ..crate::fixture::small() });
    for _ in 0..150 {
        event_loop.create_task(stubborn(event_loop.handle(), Trace::new(), 60 * SECOND)).expect("room");
    }
    let report = event_loop.close_within(SECOND).expect("closed");
    assert_eq!((report.aborted().len(), report.count()), (100, 150));
    let text = report.to_string();
    assert_eq!(text.lines().count(), 102);
    assert_eq!(text.lines().last(), Some("  and 50 more"));
}

fn close_within_runs_to_the_end_and_closes() {
    let event_loop = EventLoop::new().expect("a loop");
    let trace = Trace::new();
    let made = trace.clone();
    let handle = event_loop.handle();
    let addr = event_loop
        .run_until_complete(async {
            let server = handle.create_server(move || Teller::new(&made, 3), any_port()).await?;
            Ok::<_, Error>(server.local_addr())
        })
        .expect("a server");
    let mut client = TcpStream::connect(addr).expect("connected");
    event_loop
        .call_soon(|event_loop| event_loop.call_soon(|event_loop| event_loop.stop()).map(drop))
        .expect("room");
    event_loop.run_forever().expect("a run");
    let report = event_loop.close_within(60 * SECOND).expect("closed");
    assert!(report.is_clean() && event_loop.is_closed(), "{report}");
    let mut received = Vec::new();
    client.read_to_end(&mut received).expect("an end");
    assert_eq!((received, trace.take()), (b"xxx".to_vec(), vec!["made".to_owned(), "lost".to_owned()]));
}

fn close_within_closes_although_the_run_is_stopped() {
    let event_loop = manual();
    event_loop.create_task(stubborn(event_loop.handle(), Trace::new(), 60 * SECOND)).expect("room");
    event_loop.call_later(SECOND, |event_loop| event_loop.stop()).expect("room");
    let error = event_loop.close_within(30 * SECOND).expect_err("stopped");
    assert!(event_loop.is_closed(), "{error}");
    assert_eq!(error.kind(), ErrorKind::Stopped);
}

fn close_within_is_refused_while_the_loop_runs() {
    let event_loop = Rc::new(manual());
    let owner = Rc::clone(&event_loop);
    event_loop
        .call_soon(move |event_loop| {
            let error = owner.close_within(SECOND).expect_err("it runs");
            assert_eq!(error.kind(), ErrorKind::Running);
            event_loop.stop();
        })
        .expect("room");
    event_loop.run_forever().expect("a run");
    assert!(!event_loop.is_closed());
}

/// Talks to a server for as long as it is there.
async fn chatter(
    mut reader: rondel::StreamReader,
    mut writer: rondel::StreamWriter,
    answers: Counter,
) -> rondel::Result<()> {
    loop {
        writer.write_all(b"hello\n").await?;
        if reader.read_line().await?.is_empty() {
            return Ok(());
        }
        answers.add();
    }
}

#[test]
fn k05_sigterm_under_load_ends_everything_in_time() {
    use rondel::{Config, Signal, StreamReader, StreamWriter};
    const PLAIN: usize = 150;
    const WITH_TLS: usize = 50;
    const CHILDREN: usize = 5;
    alone("test_shutdown::k05_sigterm_under_load_ends_everything_in_time", 1024, || {
        let before = descriptors();
        let event_loop = EventLoop::with_config(Config { calls: 4096, tasks: 1024, ..Config::default() });
        let event_loop = event_loop.expect("a loop");
        let told = reports(&event_loop);
        let answers = Counter::new();
        let counted = answers.clone();
        let children = event_loop
            .run_until_complete(async move {
                let event_loop = rondel::running_loop().expect("a loop");
                let echo = async |mut reader: StreamReader, mut writer: StreamWriter| {
                    while let line @ [_, ..] = reader.read_line().await? {
                        writer.write_all(line).await?;
                    }
                    Ok::<(), Error>(())
                };
                let plain = event_loop.start_server(any_port(), echo).await?;
                let config = tls_fixture::server().build()?;
                let with_tls = event_loop.start_server(any_port(), echo).tls(&config).await?;
                let trust = tls_fixture::client().build()?;
                for _ in 0..PLAIN {
                    let (reader, writer) = event_loop.open_connection(plain.local_addr()).await?;
                    event_loop.create_task(chatter(reader, writer, counted.clone()))?;
                }
                for _ in 0..WITH_TLS {
                    let connecting = event_loop.open_connection(with_tls.local_addr()).tls(&trust);
                    let (reader, writer) = connecting.await?;
                    event_loop.create_task(chatter(reader, writer, counted.clone()))?;
                }
                for number in 0..500 {
                    event_loop.call_later(SECOND * 3600 + number * SECOND, never)?;
                }
                let mut children = Vec::new();
                for _ in 0..CHILDREN {
                    children.push(event_loop.create_subprocess_exec("sleep").arg("1000").await?);
                }
                Ok::<_, Error>(children)
            })
            .expect("connected");
        event_loop.add_signal_handler(Signal::SIGTERM, |event_loop| event_loop.stop()).expect("a handler");
        // When all of them are at work.
        let (on, under_way) = (event_loop.handle(), answers.clone());
        event_loop
            .create_task(async move {
                while under_way.get() < 20 * (PLAIN + WITH_TLS) {
                    on.yield_now().await?;
                }
                // SAFETY: a signal to this process, which listens to it.
                unsafe { libc::kill(libc::getpid(), libc::SIGTERM) };
                Ok::<(), WaitError>(())
            })
            .expect("room");
        event_loop.run_forever().expect("a run");
        let report = event_loop.close_within(60 * SECOND).expect("closed");
        assert!(report.is_clean(), "{report}");
        assert_eq!(told.take(), [""; 0]);
        drop((children, event_loop));
        assert_eq!(descriptors(), before);
        // SAFETY: asks, and takes nothing.
        let zombies = unsafe {
            let mut info = core::mem::zeroed();
            libc::waitid(libc::P_ALL, 0, &raw mut info, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT)
        };
        assert_eq!((zombies, std::io::Error::last_os_error().raw_os_error()), (-1, Some(libc::ECHILD)));
    });
}

//! What a snapshot says that tasks wait for: each kind of wait by its name.

use core::future::poll_fn;
use core::net::{Ipv4Addr, SocketAddr};
use core::task::Poll;
use core::time::Duration;
use std::future::Future;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::channel;

use rondel::{
    EventLoop, EventLoopHandle, NonBlocking, ProcessPoolConfig, ProcessPoolExecutor, Signal, SnapshotRow,
    StreamReader, StreamWriter, Task, TaskState, TaskWait, WaitsFor,
};

use crate::allocation::counted;
use crate::fixture::{any_port, manual, manual_with, pair, scenarios, small, turns};
use crate::pipe_fixture::pipe;
use crate::test_snapshot::{rows, tasks};
use crate::test_snapshot_jobs::jobs;

scenarios! {
    each_side_of_a_descriptor_is_named_also_through_a_combinator
    a_writer_that_drains_waits_for_its_connection
    a_writer_that_drains_waits_for_its_pipe
    a_writer_that_closes_waits_for_its_connection
    a_handshake_is_waited_for
    a_child_is_waited_for
    signals_are_waited_for_by_name
    a_server_is_waited_for
    the_jobs_of_an_executor_are_waited_for
    a_process_pool_is_waited_for
    a_shutdown_waits_for_what_it_ends
}

/// Starts a task and lets it come to its wait.
fn waiting<T: 'static>(
    event_loop: &EventLoopHandle,
    future: impl Future<Output = rondel::Result<T>> + 'static,
) -> Task<rondel::Result<T>> {
    event_loop.create_task(future).unwrap()
}

/// Returns what a task waits for, and its line without the begin and the end.
fn wait_of<T>(event_loop: &EventLoopHandle, task: &Task<T>) -> (TaskWait, String) {
    let row = tasks(event_loop).into_iter().find(|row| row.task.id == task.id()).expect("a row");
    let mut memory = vec![SnapshotRow::Empty; event_loop.snapshot_len()];
    let text = event_loop.snapshot(&mut memory).to_string();
    let name = format!("{} ", task.id());
    let line = text.lines().find_map(|line| line.strip_prefix(&name)).expect("a line");
    let line = line.split([',', ';']).next().unwrap_or_default();
    (row.wait.unwrap_or_else(|| panic!("{:?}", row.task.state)), line.to_owned())
}

fn descriptor(event_loop: &EventLoopHandle) -> i32 {
    let only = |row| if let SnapshotRow::Descriptor(row) = row { Some(row.fd) } else { None };
    let found: Vec<i32> = rows(event_loop).into_iter().filter_map(only).collect();
    let [fd] = found[..] else { panic!("{found:?}") };
    fd
}

/// Polls a future behind a waker of its own, as combinators do.
async fn through<F: Future>(future: F) -> F::Output {
    struct Through(core::task::Waker);
    impl std::task::Wake for Through {
        fn wake(self: Arc<Self>) {
            self.0.wake_by_ref();
        }
    }
    let mut future = Box::pin(future);
    poll_fn(move |cx| {
        let waker = Arc::new(Through(cx.waker().clone())).into();
        future.as_mut().poll(&mut core::task::Context::from_waker(&waker))
    })
    .await
}

fn each_side_of_a_descriptor_is_named_also_through_a_combinator() {
    for is_wrapped in [false, true] {
        let event_loop = manual();
        let (ours, _theirs) = pair();
        let (handle, sock) = (event_loop.handle(), NonBlocking::new(ours).unwrap());
        let reading = async move { handle.sock_recv(&sock, 10).await.map(drop) };
        let reading =
            if is_wrapped { waiting(&event_loop, through(reading)) } else { waiting(&event_loop, reading) };
        turns(&event_loop, 1);
        let fd = descriptor(&event_loop);
        let expected = (TaskWait::Readable { fd }, format!("waits to read from descriptor {fd}"));
        assert_eq!(wait_of(&event_loop, &reading), expected);
        reading.cancel();
        turns(&event_loop, 2);
    }
    let event_loop = manual();
    let (ours, _theirs) = pair();
    let (handle, sock) = (event_loop.handle(), NonBlocking::new(ours).unwrap());
    let writing = waiting(&event_loop, async move {
        handle.sock_sendall(&sock, &vec![7; 8 << 20]).await.map(drop).map_err(rondel::Error::from)
    });
    turns(&event_loop, 1);
    let fd = descriptor(&event_loop);
    let expected = (TaskWait::Writable { fd }, format!("waits to write to descriptor {fd}"));
    assert_eq!(wait_of(&event_loop, &writing), expected);
    writing.cancel();
    turns(&event_loop, 2);
}

/// Opens a connection whose peer reads nothing.
fn connected(event_loop: &EventLoop) -> (TcpListener, StreamReader, StreamWriter) {
    let listener = TcpListener::bind(any_port()).unwrap();
    let addr = listener.local_addr().unwrap();
    let (reader, writer) = event_loop.run_until_complete(event_loop.open_connection(addr)).unwrap();
    (listener, reader, writer)
}

fn a_writer_that_drains_waits_for_its_connection() {
    let event_loop = manual();
    let (_listener, reader, mut writer) = connected(&event_loop);
    let fd = descriptor(&event_loop);
    let draining = waiting(&event_loop, async move {
        writer.write(&vec![7; 8 << 20])?;
        writer.drain().await
    });
    turns(&event_loop, 1);
    let line = format!("waits for descriptor {fd} to send what is queued");
    assert_eq!(wait_of(&event_loop, &draining), (TaskWait::Drained { fd }, line));
    draining.cancel();
    drop(reader);
    turns(&event_loop, 3);
}

fn a_writer_that_drains_waits_for_its_pipe() {
    let event_loop = manual();
    let (_theirs, ours) = pipe();
    let mut writer = event_loop.run_until_complete(event_loop.open_write_pipe(ours)).unwrap();
    let fd = descriptor(&event_loop);
    let draining = waiting(&event_loop, async move {
        writer.write(&vec![7; 1 << 20])?;
        writer.drain().await
    });
    turns(&event_loop, 1);
    let line = format!("waits for descriptor {fd} to send what is queued");
    assert_eq!(wait_of(&event_loop, &draining), (TaskWait::Drained { fd }, line));
    draining.cancel();
    turns(&event_loop, 3);
}

fn a_writer_that_closes_waits_for_its_connection() {
    let event_loop = manual();
    let (_listener, _reader, mut writer) = connected(&event_loop);
    let fd = descriptor(&event_loop);
    let closing = waiting(&event_loop, async move { writer.wait_closed().await });
    turns(&event_loop, 1);
    let line = format!("waits for descriptor {fd} to close");
    assert_eq!(wait_of(&event_loop, &closing), (TaskWait::Closed { fd }, line));
    closing.cancel();
    turns(&event_loop, 3);
}

fn a_handshake_is_waited_for() {
    let event_loop = manual();
    let listener = TcpListener::bind(any_port()).unwrap();
    let (addr, handle) = (listener.local_addr().unwrap(), event_loop.handle());
    let config = crate::tls_fixture::client().build().unwrap();
    let opening =
        waiting(&event_loop, async move { handle.open_connection(addr).tls(&config).await.map(drop) });
    turns(&event_loop, 8);
    let fd = descriptor(&event_loop);
    let line = format!("waits for descriptor {fd} to open");
    assert_eq!(wait_of(&event_loop, &opening), (TaskWait::Opened { fd }, line));
    opening.cancel();
    turns(&event_loop, 3);
}

fn a_child_is_waited_for() {
    let event_loop = manual();
    let handle = event_loop.handle();
    let started = async move { handle.create_subprocess_exec("sleep").arg("1000").await };
    let mut sleep = event_loop.run_until_complete(started).unwrap();
    let pid = sleep.pid();
    let communicating = waiting(&event_loop, async move { sleep.communicate("").await.map(drop) });
    turns(&event_loop, 1);
    let expected = (TaskWait::Child(pid), format!("waits for child process {pid}"));
    assert_eq!(wait_of(&event_loop, &communicating), expected);
    assert!(matches!(tasks(&event_loop)[0].task.state, TaskState::Waiting(WaitsFor::Future(_))));
    communicating.cancel();
    turns(&event_loop, 2);
    event_loop.close_within(Duration::ZERO).unwrap();
}

fn signals_are_waited_for_by_name() {
    let event_loop = manual();
    let handle = event_loop.handle();
    let hearing =
        waiting(&event_loop, async move { handle.wait_signal([Signal::SIGWINCH, Signal::SIGHUP]).await });
    turns(&event_loop, 1);
    let (wait, line) = wait_of(&event_loop, &hearing);
    assert_eq!(line, "waits for SIGHUP or SIGWINCH");
    let TaskWait::Signal(set) = wait else { panic!("{wait:?}") };
    assert!(set.contains(Signal::SIGHUP) && !set.contains(Signal::SIGTERM));
    assert_eq!(set.iter().collect::<Vec<_>>(), [Signal::SIGHUP, Signal::SIGWINCH]);
    hearing.cancel();
    turns(&event_loop, 2);
}

fn a_server_is_waited_for() {
    let event_loop = manual();
    let serving = async |_: StreamReader, _: StreamWriter| core::future::pending::<()>().await;
    let server = event_loop.start_server((Ipv4Addr::LOCALHOST, 0), serving);
    let server = event_loop.run_until_complete(server.into_future()).unwrap();
    let addr: SocketAddr = server.local_addr();
    let forever = waiting(&event_loop, async move { server.serve_forever().await });
    turns(&event_loop, 1);
    let expected = (TaskWait::Server(addr), format!("waits for server {addr} to close"));
    assert_eq!(wait_of(&event_loop, &forever), expected);
    forever.cancel();
    turns(&event_loop, 2);
}

fn the_jobs_of_an_executor_are_waited_for() {
    let event_loop = manual();
    let (begun, has_begun) = channel();
    let (job, end) = crate::test_snapshot_jobs::blocking(&begun);
    let job = event_loop.run_in_executor(job).unwrap();
    has_begun.recv().unwrap();
    let handle = event_loop.handle();
    let ending = waiting(&event_loop, async move { handle.shutdown_default_executor().await });
    turns(&event_loop, 1);
    let expected = (TaskWait::ExecutorShutdown, "waits for the jobs of an executor".to_owned());
    assert_eq!(wait_of(&event_loop, &ending), expected);
    end.send(()).unwrap();
    assert!(event_loop.run_until_complete(job).unwrap());
    event_loop.run_until_complete(ending).unwrap().unwrap();
}

fn a_process_pool_is_waited_for() {
    let (event_loop, clock) = manual_with(small());
    // The worker has its time, in spite of the clock that jumps.
    clock.set_autojump_threshold(Duration::from_secs(60));
    let config = ProcessPoolConfig {
        executable: Some(env!("CARGO_BIN_EXE_worker").into()),
        ..ProcessPoolConfig::default()
    };
    let pool = ProcessPoolExecutor::new(&event_loop, config);
    let job = pool.submit("echo", "7").start().unwrap();
    let ending = waiting(&event_loop, async move { pool.shutdown_and_wait().await });
    turns(&event_loop, 1);
    assert_eq!(wait_of(&event_loop, &ending).0, TaskWait::ExecutorShutdown);
    event_loop.run_until_complete(ending).unwrap().unwrap();
    let job = async { Ok::<_, rondel::Error>(job.await.unwrap()) };
    assert_eq!(event_loop.run_until_complete(job).unwrap(), b"7");
}

fn a_shutdown_waits_for_what_it_ends() {
    let event_loop = manual();
    let (_listener, _reader, mut writer) = connected(&event_loop);
    writer.write(&vec![7; 8 << 20]).unwrap();
    let handle = event_loop.handle();
    let ending = waiting(&event_loop, async move { handle.shutdown(Duration::from_secs(9)).await.map(drop) });
    // Not so long that the clock jumps.
    turns(&event_loop, 4);
    let expected = (TaskWait::Shutdown, "waits for what the shutdown ends".to_owned());
    assert_eq!(wait_of(&event_loop, &ending), expected);
    // Not in a task, which would be cancelled.
    while !ending.done() {
        event_loop.run_once().unwrap();
    }
    event_loop.run_until_complete(ending).unwrap().unwrap();
}

#[test]
fn a_wait_for_a_task_comes_before_ours_and_what_nobody_knows_is_a_waker() {
    let event_loop = manual();
    let unknown = event_loop.create_task(core::future::pending::<()>()).unwrap();
    let (handle, awaited) = (event_loop.handle(), unknown.clone());
    let both = event_loop
        .create_task(async move {
            let mut signal = Box::pin(handle.wait_signal([Signal::SIGWINCH]));
            let mut wait = Box::pin(async move { awaited.wait().await.is_ok() });
            poll_fn(|cx| {
                let is_over = wait.as_mut().poll(cx).is_ready() | signal.as_mut().poll(cx).is_ready();
                if is_over { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        })
        .unwrap();
    turns(&event_loop, 1);
    assert_eq!(wait_of(&event_loop, &both).0, TaskWait::Task(unknown.id()));
    assert_eq!(wait_of(&event_loop, &unknown), (TaskWait::Waker, "waits for its waker".to_owned()));
    let (begun, has_begun) = channel();
    let (job, end) = crate::test_snapshot_jobs::blocking(&begun);
    let limited = event_loop.timeout(Duration::from_secs(5), event_loop.run_in_executor(job).unwrap());
    let limited = event_loop.create_task(async move { limited.await.is_ok() }).unwrap();
    has_begun.recv().unwrap();
    turns(&event_loop, 1);
    let number = jobs(&event_loop)[0].number;
    assert_eq!(wait_of(&event_loop, &limited).0, TaskWait::Job(number), "not only its time");
    both.cancel();
    unknown.cancel();
    limited.cancel();
    turns(&event_loop, 2);
    drop(end);
}

#[test]
fn to_name_waits_costs_a_snapshot_no_allocation() {
    let event_loop = manual();
    let mut kept = Vec::new();
    for _ in 0..5 {
        let (ours, theirs) = pair();
        let (handle, sock) = (event_loop.handle(), NonBlocking::new(ours).unwrap());
        waiting(&event_loop, async move { handle.sock_recv(&sock, 10).await.map(drop) });
        let handle = event_loop.handle();
        waiting(&event_loop, async move { handle.wait_signal([Signal::SIGWINCH]).await });
        kept.push(theirs);
    }
    turns(&event_loop, 1);
    let mut memory = vec![SnapshotRow::Empty; event_loop.snapshot_len()];
    assert_eq!(counted(|| _ = event_loop.snapshot(&mut memory)), 0);
    let named =
        |row: &rondel::TaskRow| matches!(row.wait, Some(TaskWait::Readable { .. } | TaskWait::Signal(_)));
    assert!(tasks(&event_loop).iter().all(named));
}

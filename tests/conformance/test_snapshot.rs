//! Looking at a loop that runs: what `python -m asyncio ps` and `pstree` show, and what they don't.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::cell::RefCell;
use std::rc::Rc;

use rondel::{
    CallRole, Config, DescriptorOwner, DescriptorRow, EventLoopHandle, Protocol, SnapshotAddr, SnapshotRow,
    Task, TaskRow, TaskState, TaskWait, Transport, WaitsFor, Watcher,
};

use crate::allocation::counted;
use crate::fixture::{manual, manual_with, pair, scenarios, small, turns};
use crate::pipe_fixture::pipe;

scenarios! {
    connections_servers_and_endpoints_say_what_they_are
    pipes_say_what_they_are
    a_child_says_its_number_and_its_program
    a_task_that_reads_waits_for_its_descriptor
    a_watched_descriptor_names_its_callbacks
}

pub fn rows(event_loop: &EventLoopHandle) -> Vec<SnapshotRow> {
    let mut rows = vec![SnapshotRow::Empty; event_loop.snapshot_len()];
    let snapshot = event_loop.snapshot(&mut rows);
    assert_eq!((snapshot.missing(), snapshot.rows().len()), (0, snapshot.rows().len()));
    snapshot.rows().to_vec()
}

fn descriptors(event_loop: &EventLoopHandle) -> Vec<DescriptorRow> {
    let only = |row| if let SnapshotRow::Descriptor(row) = row { Some(row) } else { None };
    rows(event_loop).into_iter().filter_map(only).collect()
}

pub fn tasks(event_loop: &EventLoopHandle) -> Vec<TaskRow> {
    let only = |row| if let SnapshotRow::Task(row) = row { Some(row) } else { None };
    rows(event_loop).into_iter().filter_map(only).collect()
}

/// Returns the tree, without where and when tasks began, and with letters for numbers.
fn tree(event_loop: &EventLoopHandle, names: &[(rondel::TaskId, &str)]) -> String {
    let mut rows = vec![SnapshotRow::Empty; event_loop.snapshot_len()];
    let text = event_loop.snapshot(&mut rows).tree().to_string();
    let lines = text.lines().map(|line| {
        let line = line.split(';').next().unwrap_or_default().replace(", for 0ns", "");
        // `Task-12` contains `Task-1`.
        let words = line.split(' ').map(|word| {
            let (word, comma) = word.strip_suffix(',').map_or((word, ""), |word| (word, ","));
            let name = names.iter().find(|(id, _)| id.to_string() == word);
            format!("{}{comma}", name.map_or(word, |(_, name)| name))
        });
        words.collect::<Vec<_>>().join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_kind_of_row_is_there_and_prints() {
    let (event_loop, clock) = manual_with(small());
    let future = event_loop.create_future::<u32>().unwrap();
    event_loop.call_later(Duration::from_secs(3), |_| ()).unwrap();
    event_loop.call_soon(|_| ()).unwrap();
    future.add_done_callback(|_, _| ()).unwrap();
    let task = event_loop.create_task(async { 1 }).unwrap();
    clock.advance(Duration::from_secs(2));
    let mut memory = vec![SnapshotRow::Empty; 10];
    let snapshot = event_loop.snapshot(&mut memory);
    assert_eq!((snapshot.rows().len(), snapshot.missing()), (5, 0));
    let text = snapshot.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "at 2.000000000s: 1 tasks, 3 calls, 1 futures, 0 descriptors, 0 jobs");
    assert!(lines[1].starts_with(&format!("{} is ready, for 2s; created at ", task.id())), "{text}");
    assert!(lines[2].contains(" is due in 1s, there for 2s; created at "), "{text}");
    assert!(lines[3].contains(" is ready, there for 2s; created at "), "{text}");
    assert!(lines[4].contains(&format!(" follows {}, there for 2s; created at ", future.id())), "{text}");
    assert!(lines[5].starts_with(&format!("{} is pending, for 2s, awaited by 1; ", future.id())), "{text}");
    assert!(lines[1..].iter().all(|line| line.contains("test_snapshot.rs:")), "{text}");
}

#[test]
fn what_finds_no_room_is_counted() {
    let event_loop = manual();
    for _ in 0..5 {
        event_loop.call_soon(|_| ()).unwrap();
    }
    let mut memory = [SnapshotRow::Empty; 2];
    let snapshot = event_loop.snapshot(&mut memory);
    assert_eq!((snapshot.rows().len(), snapshot.missing()), (2, 3));
    assert!(snapshot.to_string().ends_with("and 3 more\n"));
    let snapshot = event_loop.snapshot(&mut []);
    assert_eq!((snapshot.rows().len(), snapshot.missing()), (0, 5));
    assert_eq!(snapshot.tree().to_string(), "");
}

#[test]
fn a_task_says_what_it_waits_for_and_since_when() {
    let (event_loop, clock) = manual_with(small());
    let handle = event_loop.handle();
    let task = event_loop
        .create_task(async move {
            handle.sleep(Duration::from_secs(2)).await?;
            handle.sleep(Duration::from_secs(5)).await
        })
        .unwrap();
    event_loop.run_until_complete(event_loop.sleep(Duration::from_secs(3))).unwrap();
    clock.advance(Duration::from_secs(1));
    let shown = tasks(&event_loop)[0].task;
    assert_eq!(shown.id, task.id());
    let TaskState::Waiting(WaitsFor::Time(deadline)) = shown.state else { panic!("{:?}", shown.state) };
    assert_eq!(deadline.as_nanos(), 7_000_000_000);
    assert_eq!(shown.since.as_nanos(), 2_000_000_000);
    let mut memory = vec![SnapshotRow::Empty; 10];
    let text = event_loop.snapshot(&mut memory).tree().to_string();
    assert!(text.starts_with(&format!("{} sleeps for 3s more, for 2s; created at ", task.id())), "{text}");
}

#[test]
fn a_chain_and_a_gather_are_a_tree() {
    let event_loop = manual();
    let never = || event_loop.create_task(core::future::pending::<()>()).unwrap();
    let (a, b, c) = (never(), never(), never());
    let (a_id, b_id, c_id) = (a.id(), b.id(), c.id());
    let middle = event_loop.create_task(async move { a.await.is_ok() }).unwrap();
    let middle_id = middle.id();
    let both = event_loop.gather([b, c]).unwrap();
    let gathers = event_loop.create_task(async move { both.await.is_ok() }).unwrap();
    let gathers_id = gathers.id();
    let top = event_loop.gather([middle, gathers]).unwrap();
    let top = event_loop.create_task(async move { top.await.is_ok() }).unwrap();
    let lone = never();
    turns(&event_loop, 3);
    let names = [
        (a_id, "a"),
        (b_id, "b"),
        (c_id, "c"),
        (middle_id, "middle"),
        (gathers_id, "gathers"),
        (top.id(), "top"),
        (lone.id(), "lone"),
    ];
    let tree: Vec<String> = tree(&event_loop, &names)
        .lines()
        .map(|line| line.split(" waits").next().unwrap_or_default().to_owned())
        .collect();
    let expected = ["top", "├── middle", "│   └── a", "└── gathers", "    ├── b", "    └── c", "lone"];
    assert_eq!(tree, expected);
}

#[test]
fn a_task_that_many_await_stands_once_in_the_tree() {
    let event_loop = manual();
    let awaited = event_loop.create_task(core::future::pending::<()>()).unwrap();
    let wait = |task: &Task<()>| {
        let task = task.clone();
        event_loop.create_task(async move { task.wait().await.is_ok() }).unwrap()
    };
    let (one, other) = (wait(&awaited), wait(&awaited));
    turns(&event_loop, 2);
    let names = [(awaited.id(), "awaited"), (one.id(), "one"), (other.id(), "other")];
    let expected = "one waits for awaited\n└── awaited waits for its waker\nother waits for awaited";
    assert_eq!(tree(&event_loop, &names), expected);
}

#[test]
fn a_cycle_can_not_hang_the_tree() {
    let event_loop = manual();
    let first: Rc<RefCell<Option<Task<bool>>>> = Rc::default();
    let awaited = first.clone();
    let a = event_loop
        .create_task(async move {
            let other = awaited.borrow_mut().take().unwrap();
            other.await.is_ok()
        })
        .unwrap();
    let a_id = a.id();
    let b = event_loop.create_task(async move { a.await.is_ok() }).unwrap();
    let b_id = b.id();
    // One that waits for the cycle from outside of it.
    let c = {
        let b = b.clone();
        event_loop.create_task(async move { b.wait().await.is_ok() }).unwrap()
    };
    *first.borrow_mut() = Some(b);
    turns(&event_loop, 3);
    let names = [(a_id, "a"), (b_id, "b"), (c.id(), "c")];
    let expected = "b waits for a, and through others for itself\n└── a waits for b\nc waits for b";
    assert_eq!(tree(&event_loop, &names), expected);
}

#[test]
fn a_chain_that_is_deep_prints_without_a_stack() {
    const DEPTH: usize = 10_000;
    let config = Config { tasks: DEPTH + 1, calls: 2 * DEPTH, ..small() };
    let event_loop = manual_with(config).0;
    // So many that are left behind needn't be reported.
    event_loop.set_exception_handler(|_, _| ());
    let mut last: Task<bool> = event_loop.create_task(core::future::pending()).unwrap();
    for _ in 0..DEPTH {
        last = event_loop.create_task(async move { last.await.is_ok() }).unwrap();
    }
    turns(&event_loop, 2);
    let mut rows = vec![SnapshotRow::Empty; event_loop.snapshot_len()];
    let text = event_loop.snapshot(&mut rows).tree().to_string();
    assert_eq!(text.lines().count(), DEPTH + 1);
    assert!(text.lines().nth(DEPTH).unwrap().starts_with("10000 deep: "));
}

struct Quiet;

impl Protocol for Quiet {
    fn data_received(&mut self, _: &Transport, _: &[u8]) -> rondel::Result<()> {
        Ok(())
    }
}

impl rondel::DatagramProtocol for Quiet {
    fn datagram_received(
        &mut self,
        _: &rondel::DatagramTransport,
        _: &[u8],
        _: &rondel::Address,
    ) -> rondel::Result<()> {
        Ok(())
    }
}

fn connections_servers_and_endpoints_say_what_they_are() {
    let event_loop = manual();
    let handle = event_loop.handle();
    let made = event_loop.run_until_complete(async move {
        let server = handle.create_server(|| Quiet, (Ipv4Addr::LOCALHOST, 0)).await?;
        let (client, _) = handle.create_connection(|| Quiet, server.local_addr()).await?;
        let (endpoint, _) =
            handle.create_datagram_endpoint(|| Quiet).local_addr((Ipv4Addr::LOCALHOST, 0)).await?;
        while server.connections() == 0 {
            handle.yield_now().await?;
        }
        Ok::<_, rondel::Error>((server, client, endpoint))
    });
    let (server, client, endpoint) = made.unwrap();
    // More than the system has room for.
    client.write(&vec![7; 8 << 20]).unwrap();
    let queued = client.write_buffer_size();
    assert!(queued > 0);
    let found = descriptors(&event_loop);
    let of = |owner| found.iter().filter(move |row| row.owner == owner).collect::<Vec<_>>();
    let [listening] = of(DescriptorOwner::Server)[..] else { panic!("{found:?}") };
    assert_eq!(listening.local, SnapshotAddr::Inet(server.local_addr()));
    assert_eq!((listening.connections, listening.state), (Some(1), "listening"));
    let [udp] = of(DescriptorOwner::Datagrams)[..] else { panic!("{found:?}") };
    assert_eq!((udp.peer, udp.state), (SnapshotAddr::None, "open"));
    let connections = of(DescriptorOwner::Connection);
    assert_eq!(connections.len(), 2);
    let ours = connections.iter().find(|row| row.peer == SnapshotAddr::Inet(server.local_addr())).unwrap();
    assert!(ours.protocol.ends_with("test_snapshot::Quiet"), "{}", ours.protocol);
    assert_eq!((ours.queued, ours.state), (queued, "open, writing paused"));
    assert!(matches!(ours.reader, Watcher::Callback(_)));
    let theirs = connections.iter().find(|row| row.local == SnapshotAddr::Inet(server.local_addr())).unwrap();
    assert_eq!((theirs.peer, theirs.queued, theirs.state), (ours.local, 0, "open"));
    let line = listening.to_string();
    let expected =
        format!("server {} is listening, {}, connections: 1, read by ", listening.fd, server.local_addr());
    assert!(line.starts_with(&expected), "{line}");
    client.abort();
    endpoint.abort();
    server.close();
    server.abort_clients();
    turns(&event_loop, 4);
    assert_eq!(descriptors(&event_loop).len(), 0);
}

impl rondel::WritePipeProtocol for Quiet {}

fn pipes_say_what_they_are() {
    let event_loop = manual();
    let (_theirs, ours) = pipe();
    let connecting = event_loop.connect_write_pipe(|| Quiet, ours);
    let (transport, _) = event_loop.run_until_complete(connecting).unwrap();
    // More than the system has room for.
    transport.write(&vec![7; 1 << 20]).unwrap();
    let queued = transport.write_buffer_size();
    assert!(queued > 0);
    let found = descriptors(&event_loop);
    let [written] = found[..] else { panic!("{found:?}") };
    assert_eq!((written.owner, written.state), (DescriptorOwner::Pipe, "open, writing paused"));
    assert!(written.protocol.ends_with("test_snapshot::Quiet"), "{}", written.protocol);
    assert_eq!(
        (written.local, written.peer, written.queued),
        (SnapshotAddr::None, SnapshotAddr::None, queued)
    );
    let line =
        format!("pipe {} is open, writing paused, conformance::test_snapshot::Quiet, queued: ", written.fd);
    assert!(written.to_string().starts_with(&line), "{written}");
    transport.abort();
    turns(&event_loop, 3);

    let (ours, _theirs) = pipe();
    let opening = event_loop.open_read_pipe(ours).into_future();
    let mut stream = event_loop.run_until_complete(opening).unwrap();
    let reading = event_loop.create_task(async move { stream.read_line().await.map(drop) }).unwrap();
    turns(&event_loop, 2);
    let found = descriptors(&event_loop);
    let [read] = found[..] else { panic!("{found:?}") };
    assert_eq!(read.to_string(), format!("pipe {} is open, read by {}", read.fd, reading.id()));
    reading.cancel();
    turns(&event_loop, 3);
    assert_eq!(descriptors(&event_loop).len(), 0);
}

fn a_child_says_its_number_and_its_program() {
    let event_loop = manual();
    for (program, shown) in
        [("sleep", "sleep"), ("/usr/bin/../../usr/bin/../bin/sleep", "in/../../usr/bin/../bin/sleep")]
    {
        a_child_is_shown(&event_loop, program, shown);
    }
}

fn a_child_is_shown(event_loop: &rondel::EventLoop, path: &'static str, shown: &str) {
    let handle = event_loop.handle();
    let started = async move { handle.create_subprocess_exec(path).arg("1000").await };
    let sleep = event_loop.run_until_complete(started).unwrap();
    let found = descriptors(event_loop);
    let [row] = found[..] else { panic!("{found:?}") };
    assert_eq!((row.owner, row.state), (DescriptorOwner::Child, "running"));
    let (pid, program) = row.process.unwrap();
    assert_eq!((pid, program.as_str()), (sleep.pid(), shown));
    let line = row.to_string();
    let expected = format!("child process {} is running, pid {pid} ({shown}), read by ", row.fd);
    assert!(line.starts_with(&expected), "{line}");
    sleep.kill().unwrap();
    event_loop.run_until_complete(async move { sleep.wait().await }).unwrap();
    assert_eq!(descriptors(event_loop).len(), 0);
}

fn a_task_that_reads_waits_for_its_descriptor() {
    let event_loop = manual();
    let handle = event_loop.handle();
    let (ours, _theirs) = pair();
    let reading = event_loop
        .create_task(async move {
            let sock = rondel::NonBlocking::new(ours)?;
            handle.sock_recv(&sock, 10).await.map(|_| ())
        })
        .unwrap();
    turns(&event_loop, 2);
    let found = descriptors(&event_loop);
    assert_eq!((found.len(), found[0].owner), (1, DescriptorOwner::User));
    assert_eq!((found[0].reader, found[0].writer), (Watcher::Task(reading.id()), Watcher::None));
    let [task] = tasks(&event_loop)[..] else { panic!("one task") };
    assert_eq!((task.task.state, task.task.outside), (TaskState::Waiting(WaitsFor::Waker), None));
    assert_eq!(task.wait, Some(TaskWait::Readable { fd: found[0].fd }));
    let line = tree(&event_loop, &[(reading.id(), "reading")]);
    assert_eq!(line, format!("reading waits to read from descriptor {}", found[0].fd));
    reading.cancel();
    turns(&event_loop, 2);
}

fn a_watched_descriptor_names_its_callbacks() {
    let event_loop = manual();
    let (ours, _theirs) = pair();
    event_loop.add_reader(&ours, |_| ()).unwrap();
    let found = rows(&event_loop);
    let [SnapshotRow::Call(handler), SnapshotRow::Descriptor(descriptor)] = found[..] else {
        panic!("{found:?}")
    };
    assert_eq!((handler.role, descriptor.reader), (CallRole::Handler, Watcher::Callback(handler.id)));
    assert!(handler.location.file().ends_with("test_snapshot.rs"));
    event_loop.remove_reader(&ours);
}

#[test]
fn a_hundred_thousand_tasks_and_timers_cost_no_allocation() {
    const COUNT: usize = 100_000;
    let config = Config { tasks: COUNT, calls: COUNT, ..small() };
    let event_loop = manual_with(config).0;
    event_loop.set_exception_handler(|_, _| ());
    for n in 0..COUNT as u64 {
        event_loop.create_task(event_loop.sleep(Duration::from_millis(1000 + n))).unwrap();
    }
    turns(&event_loop, 1);
    let mut rows = vec![SnapshotRow::Empty; event_loop.snapshot_len()];
    assert_eq!(counted(|| _ = event_loop.snapshot(&mut rows)), 0);
    let snapshot = event_loop.snapshot(&mut rows);
    assert_eq!((snapshot.rows().len(), snapshot.missing()), (2 * COUNT, 0));
    let sleeping = |row: &SnapshotRow| matches!(row, SnapshotRow::Task(row) if matches!(row.task.state, TaskState::Waiting(WaitsFor::Time(_))));
    assert_eq!(snapshot.rows().iter().filter(|row| sleeping(row)).count(), COUNT);
}

#[test]
fn every_wait_has_a_begin() {
    let (event_loop, clock) = manual_with(small());
    let never = || event_loop.create_task(core::future::pending::<()>()).unwrap();
    let _first = never();
    turns(&event_loop, 1);
    clock.advance(Duration::from_secs(4));
    let _second = never();
    turns(&event_loop, 1);
    let since: Vec<_> = tasks(&event_loop).iter().map(|row| row.task.since.as_nanos()).collect();
    assert_eq!(since, [0, 4_000_000_000]);
}

/// Is written to by the loop and read by the test; full after so many bytes.
#[derive(Clone)]
struct Shared(Rc<RefCell<Vec<u8>>>, usize);

impl std::io::Write for Shared {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        let mut written = self.0.borrow_mut();
        if written.len() + data.len() > self.1 {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        written.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Sends a signal to the thread that calls, and lets the loop handle it.
fn raise(event_loop: &rondel::EventLoop, signal: rondel::Signal) {
    // SAFETY: no pointers.
    assert_eq!(unsafe { libc::raise(signal.as_raw()) }, 0);
    turns(event_loop, 3);
}

#[test]
fn a_signal_prints_what_the_loop_holds_each_time_it_comes() {
    let event_loop = manual();
    let signal = rondel::Signal::SIGWINCH;
    let out = Shared(Rc::default(), usize::MAX);
    event_loop.dump_on_signal_to(signal, 3, out.clone()).unwrap();
    let task = event_loop.create_task(core::future::pending::<()>()).unwrap();
    raise(&event_loop, signal);
    let text = String::from_utf8(out.0.take()).unwrap();
    let line = format!("{} waits for its waker, for 0ns; created at ", task.id());
    assert_eq!(text.matches(&line).count(), 2, "in the list and in the tree: {text}");
    assert!(text.contains(&format!("\nwho awaits whom:\n{line}")), "{text}");
    for _ in 0..5 {
        event_loop.call_later(Duration::from_secs(9), |_| ()).unwrap();
    }
    raise(&event_loop, signal);
    let text = String::from_utf8(out.0.take()).unwrap();
    assert!(text.contains("1 tasks, 2 calls") && text.contains("\nand 4 more\n"), "{text}");
}

#[test]
fn a_dump_that_can_not_be_written_is_reported_and_the_loop_goes_on() {
    let event_loop = manual();
    let reports = crate::fixture::reports(&event_loop);
    let signal = rondel::Signal::SIGIO;
    let out = Shared(Rc::default(), 0);
    event_loop.dump_on_signal_to(signal, 100, out.clone()).unwrap();
    raise(&event_loop, signal);
    assert_eq!(reports.count(), 1);
    raise(&event_loop, signal);
    assert_eq!((reports.count(), out.0.borrow().len()), (2, 0));
}

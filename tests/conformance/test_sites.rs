//! Where everything that a loop holds was asked for, and since when it waits: of each kind of row.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::io::Write;
use std::net::UdpSocket;

use rondel::{
    Address, Config, DatagramProtocol, DatagramTransport, DescriptorOwner, DescriptorRow, EventLoop,
    EventLoopHandle, InLoopConfig, Instant, ManualClock, NameServerSource, NameServers, NonBlocking,
    Protocol, ReadPipeProtocol, ReadTransport, Resolver, SnapshotRow, Stdio, SubprocessProtocol,
    SubprocessTransport, Transport, WaitsFor, Watcher,
};

use crate::fixture::{any_port, manual_with, pair, scenarios, small, turns};
use crate::pipe_fixture::pipe;
use crate::tls_fixture;

scenarios! {
    a_users_descriptor_comes_from_where_it_was_given_a_callback
    a_socket_of_the_users_comes_from_where_it_became_non_blocking
    protocols_come_from_their_call_and_their_server
    streams_come_from_their_call_and_their_server
    tls_changes_nothing_of_it
    a_connection_that_is_being_made_says_where_it_was_asked_for
    an_endpoint_comes_from_its_call
    pipes_come_from_their_call
    a_child_and_its_pipes_come_from_its_call
    a_worker_process_comes_from_its_pool
    a_look_up_comes_from_whoever_asks
}

const SECOND: Duration = Duration::from_secs(1);

/// Makes a loop that is a second old.
fn aged() -> (EventLoop, ManualClock) {
    let (event_loop, clock) = manual_with(Config { calls: 128, ..small() });
    clock.advance(SECOND);
    (event_loop, clock)
}

fn rows(event_loop: &EventLoopHandle) -> Vec<SnapshotRow> {
    let mut rows = vec![SnapshotRow::Empty; event_loop.snapshot_len()];
    let snapshot = event_loop.snapshot(&mut rows);
    assert_eq!(snapshot.missing(), 0);
    snapshot.rows().to_vec()
}

/// Returns the descriptors, after a look whether everything comes from this file.
fn descriptors(event_loop: &EventLoopHandle) -> Vec<DescriptorRow> {
    let mut descriptors = Vec::new();
    for row in rows(event_loop) {
        let location = match row {
            SnapshotRow::Task(row) => row.task.location,
            SnapshotRow::Call(call) => call.location,
            SnapshotRow::Future(row) => row.future.location,
            SnapshotRow::Descriptor(row) => {
                descriptors.push(row);
                row.location
            }
            SnapshotRow::Job(row) => row.location,
            other => panic!("{other:?}"),
        };
        assert!(location.file().ends_with("test_sites.rs"), "{row:?}");
    }
    descriptors
}

/// Returns the lines that the descriptors of `owner` come from, and since when they wait, in seconds.
fn sites(event_loop: &EventLoopHandle, owner: DescriptorOwner) -> Vec<(u32, u64)> {
    let found = descriptors(event_loop);
    let of_owner = found.iter().filter(|row| row.owner == owner);
    let mut sites: Vec<_> = of_owner.map(|row| (row.location.line(), seconds(row.since))).collect();
    sites.sort_unstable();
    sites
}

/// Returns the whole second nearest to `time`, which a descriptor knows to a fifteenth.
fn seconds(time: Instant) -> u64 {
    (time + SECOND / 2).as_nanos() / at(1).as_nanos()
}

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

fn a_users_descriptor_comes_from_where_it_was_given_a_callback() {
    let (event_loop, clock) = aged();
    let (ours, mut theirs) = pair();
    event_loop.add_reader(&ours, |_| ()).unwrap();
    let reader = line!() - 1;
    assert_eq!(sites(&event_loop, DescriptorOwner::User), [(reader, 1)]);
    clock.advance(2 * SECOND);
    turns(&event_loop, 1);
    assert_eq!(sites(&event_loop, DescriptorOwner::User), [(reader, 1)], "nothing has come");
    theirs.write_all(b"x").unwrap();
    turns(&event_loop, 1);
    assert_eq!(sites(&event_loop, DescriptorOwner::User), [(reader, 3)]);
    event_loop.add_writer(&ours, |_| ()).unwrap();
    let writer = line!() - 1;
    assert_eq!(sites(&event_loop, DescriptorOwner::User), [(writer, 3)], "by the last callback");
    let mut memory = vec![SnapshotRow::Empty; 10];
    clock.advance(2 * SECOND);
    let text = event_loop.snapshot(&mut memory).to_string();
    assert!(
        text.contains(&format!(", quiet for 2.0s; created at tests/conformance/test_sites.rs:{writer}:")),
        "{text}"
    );
    event_loop.remove_reader(&ours);
    event_loop.remove_writer(&ours);
}

fn a_socket_of_the_users_comes_from_where_it_became_non_blocking() {
    let (event_loop, clock) = aged();
    let (ours, mut theirs) = pair();
    let sock = NonBlocking::new(ours).unwrap();
    let made = line!() - 1;
    let handle = event_loop.handle();
    let reading = event_loop
        .create_task(async move {
            handle.sock_recv(&sock, 10).await?;
            // Through a combinator, so that it waits by a call.
            handle.timeout(9 * SECOND, tokio_like(handle.sock_recv(&sock, 10))).await?
        })
        .unwrap();
    turns(&event_loop, 2);
    assert_eq!(sites(&event_loop, DescriptorOwner::User), [(made, 1)]);
    clock.advance(SECOND);
    theirs.write_all(b"x").unwrap();
    turns(&event_loop, 3);
    assert_eq!(sites(&event_loop, DescriptorOwner::User), [(made, 2)]);
    assert!(matches!(descriptors(&event_loop)[0].reader, Watcher::Waiter(_)));
    reading.cancel();
    turns(&event_loop, 3);
    assert_eq!(descriptors(&event_loop).len(), 0);
}

/// Polls a future by another waker than the task's.
async fn tokio_like<F: Future>(future: F) -> F::Output {
    struct Through(core::task::Waker);
    impl std::task::Wake for Through {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.wake_by_ref();
        }
    }
    let mut future = core::pin::pin!(future);
    core::future::poll_fn(|cx| {
        let waker = std::sync::Arc::new(Through(cx.waker().clone())).into();
        future.as_mut().poll(&mut core::task::Context::from_waker(&waker))
    })
    .await
}

/// A protocol that does nothing.
struct Quiet;

impl Protocol for Quiet {
    fn data_received(&mut self, _: &Transport, _: &[u8]) -> rondel::Result<()> {
        Ok(())
    }
}

impl DatagramProtocol for Quiet {
    fn datagram_received(&mut self, _: &DatagramTransport, _: &[u8], _: &Address) -> rondel::Result<()> {
        Ok(())
    }
}

impl ReadPipeProtocol for Quiet {
    fn data_received(&mut self, _: &ReadTransport, _: &[u8]) -> rondel::Result<()> {
        Ok(())
    }
}

impl SubprocessProtocol for Quiet {
    fn pipe_data_received(&mut self, _: &SubprocessTransport, _: i32, _: &[u8]) -> rondel::Result<()> {
        Ok(())
    }
}

fn protocols_come_from_their_call_and_their_server() {
    let (event_loop, clock) = aged();
    let server = event_loop.create_server(|| Quiet, any_port());
    let listening = line!() - 1;
    let server = event_loop.run_until_complete(server.into_future()).unwrap();
    assert_eq!(sites(&event_loop, DescriptorOwner::Server), [(listening, 1)]);
    clock.advance(SECOND);
    let connecting = event_loop.create_connection(|| Quiet, server.local_addr());
    let asked = line!() - 1;
    let (client, _) = event_loop.run_until_complete(connecting.into_future()).unwrap();
    turns(&event_loop, 3);
    assert_eq!(sites(&event_loop, DescriptorOwner::Server), [(listening, 2)]);
    assert_eq!(sites(&event_loop, DescriptorOwner::Connection), [(listening, 2), (asked, 2)]);
    clock.advance(2 * SECOND);
    client.write(b"x").unwrap();
    turns(&event_loop, 2);
    assert_eq!(sites(&event_loop, DescriptorOwner::Connection), [(listening, 4), (asked, 2)]);
    client.abort();
    server.close();
    turns(&event_loop, 3);
    assert_eq!(descriptors(&event_loop).len(), 0);
}

fn streams_come_from_their_call_and_their_server() {
    let (event_loop, clock) = aged();
    let server = event_loop.start_server(any_port(), async |mut reader, mut writer| {
        while let line @ [_, ..] = reader.read_line().await? {
            writer.write_all(line).await?;
        }
        rondel::Result::<()>::Ok(())
    });
    let listening = line!() - 6;
    let server = event_loop.run_until_complete(server.into_future()).unwrap();
    let connecting = event_loop.open_connection(server.local_addr());
    let asked = line!() - 1;
    let (reader, mut writer) = event_loop.run_until_complete(connecting.into_future()).unwrap();
    turns(&event_loop, 3);
    let tasks = || {
        let only = |row| if let SnapshotRow::Task(row) = row { Some(row.task) } else { None };
        rows(&event_loop).into_iter().filter_map(only).collect::<Vec<_>>()
    };
    let [handler] = tasks()[..] else { panic!("one handler") };
    assert_eq!((handler.location.line(), handler.since), (listening, at(1)));
    clock.advance(SECOND);
    event_loop.run_until_complete(async { writer.write_all(b"hello\n").await }).unwrap();
    turns(&event_loop, 3);
    assert_eq!(tasks()[0].since, at(2));
    assert_eq!(sites(&event_loop, DescriptorOwner::Connection), [(listening, 2), (asked, 2)]);
    drop((reader, writer));
    server.close();
    turns(&event_loop, 4);
    assert_eq!(descriptors(&event_loop).len(), 0);
}

fn tls_changes_nothing_of_it() {
    let (event_loop, _clock) = aged();
    let serving = tls_fixture::server().build().unwrap();
    let server = event_loop.create_server(|| Quiet, any_port()).tls(serving);
    let listening = line!() - 1;
    let server = event_loop.run_until_complete(server.into_future()).unwrap();
    let options = tls_fixture::client().build().unwrap();
    let addr = ("localhost".to_owned(), server.local_addr().port());
    let connecting = event_loop.create_connection(|| Quiet, SocketAddr::from((Ipv4Addr::LOCALHOST, addr.1)));
    let asked = line!() - 1;
    let connecting = event_loop.create_task(connecting.tls(options).into_future()).unwrap();
    // With the timers of the handshakes, while these go on.
    while !connecting.done() {
        turns(&event_loop, 1);
        descriptors(&event_loop);
    }
    let (client, _) = connecting.take().unwrap().unwrap();
    assert_eq!(sites(&event_loop, DescriptorOwner::Connection), [(listening, 1), (asked, 1)]);
    client.abort();
    server.close();
    server.abort_clients();
    turns(&event_loop, 4);
    assert_eq!(descriptors(&event_loop).len(), 0);
}

fn a_connection_that_is_being_made_says_where_it_was_asked_for() {
    let (event_loop, _clock) = aged();
    // TEST-NET-1: nobody is there. Where the network says so at once, there is nothing to see.
    let connecting = event_loop.create_connection(|| Quiet, (Ipv4Addr::new(192, 0, 2, 1), 9));
    let asked = line!() - 1;
    let connecting = event_loop.create_task(connecting.into_future()).unwrap();
    turns(&event_loop, 1);
    for site in sites(&event_loop, DescriptorOwner::Connection) {
        assert_eq!(site, (asked, 1));
    }
    connecting.cancel();
    turns(&event_loop, 2);
    assert_eq!(descriptors(&event_loop).len(), 0);
}

fn an_endpoint_comes_from_its_call() {
    let (event_loop, clock) = aged();
    let endpoint = event_loop.create_datagram_endpoint(|| Quiet).receive_rate(1, 9 * SECOND);
    let asked = line!() - 1;
    let endpoint = endpoint.local_addr((Ipv4Addr::LOCALHOST, 0));
    let (endpoint, _) = event_loop.run_until_complete(endpoint.into_future()).unwrap();
    assert_eq!(sites(&event_loop, DescriptorOwner::Datagrams), [(asked, 1)]);
    clock.advance(SECOND);
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let Some(Address::Inet(addr)) = endpoint.local_addr() else { panic!("an internet address") };
    // The second is over the rate, which arms a timer.
    sender.send_to(b"x", addr).unwrap();
    sender.send_to(b"x", addr).unwrap();
    turns(&event_loop, 3);
    assert_eq!(sites(&event_loop, DescriptorOwner::Datagrams), [(asked, 2)]);
    endpoint.abort();
    turns(&event_loop, 2);
    assert_eq!(descriptors(&event_loop).len(), 0);
}

fn pipes_come_from_their_call() {
    let (event_loop, clock) = aged();
    let (reader, mut writer) = pipe();
    let connecting = event_loop.connect_read_pipe(|| Quiet, reader);
    let asked = line!() - 1;
    let (transport, _) = event_loop.run_until_complete(connecting).unwrap();
    let (_other, ours) = pipe();
    let opening = event_loop.open_write_pipe(ours);
    let opened = line!() - 1;
    let stream = event_loop.run_until_complete(opening).unwrap();
    turns(&event_loop, 1);
    let lines =
        || sites(&event_loop, DescriptorOwner::Pipe).into_iter().map(|site| site.0).collect::<Vec<_>>();
    assert_eq!(lines(), [asked, opened]);
    clock.advance(SECOND);
    writer.write_all(b"x").unwrap();
    turns(&event_loop, 1);
    assert_eq!(sites(&event_loop, DescriptorOwner::Pipe)[0], (asked, 2));
    transport.close();
    drop(stream);
    turns(&event_loop, 3);
    assert_eq!(descriptors(&event_loop).len(), 0);
}

fn a_child_and_its_pipes_come_from_its_call() {
    let (event_loop, clock) = aged();
    let starting = event_loop.create_subprocess_exec("cat").stdin(Stdio::pipe()).stdout(Stdio::pipe());
    let started = line!() - 1;
    let mut cat = event_loop.run_until_complete(starting.into_future()).unwrap();
    clock.advance(SECOND);
    let starting = event_loop.subprocess_exec(|| Quiet, "sleep").arg("1000");
    let asked = line!() - 1;
    let (sleep, _) = event_loop.run_until_complete(starting.into_future()).unwrap();
    turns(&event_loop, 2);
    assert_eq!(sites(&event_loop, DescriptorOwner::Child), [(started, 1), (asked, 2)]);
    let pipes = sites(&event_loop, DescriptorOwner::Pipe);
    let lines: Vec<u32> = pipes.into_iter().map(|site| site.0).collect();
    assert_eq!(lines, [started, started, asked, asked, asked]);
    sleep.close();
    cat.stdin.take();
    event_loop.run_until_complete(async move { (cat.wait().await, sleep.wait().await).0 }).unwrap();
    turns(&event_loop, 4);
}

fn a_worker_process_comes_from_its_pool() {
    let (event_loop, _clock) = aged();
    let config = rondel::ProcessPoolConfig {
        executable: Some(env!("CARGO_BIN_EXE_worker").into()),
        ..rondel::ProcessPoolConfig::default()
    };
    let pool = rondel::ProcessPoolExecutor::new(&event_loop, config);
    let made = line!() - 1;
    let job = pool.submit("echo", b"x".to_vec()).start().unwrap();
    // Its socket, and what tells its end.
    assert_eq!(sites(&event_loop, DescriptorOwner::Worker), [(made, 1), (made, 1)]);
    pool.kill_workers();
    event_loop
        .run_until_complete(async move { (job.await.is_err(), pool.shutdown_and_wait().await).1 })
        .unwrap();
    assert_eq!(descriptors(&event_loop).len(), 0);
}

fn a_look_up_comes_from_whoever_asks() {
    // A server that says nothing.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let servers = NameServers { servers: vec![silent.local_addr().unwrap()], ..NameServers::default() };
    let resolver = InLoopConfig { name_servers: NameServerSource::These(servers), ..InLoopConfig::default() };
    let resolver = Resolver::in_loop(resolver);
    let (event_loop, clock) = manual_with(Config { resolver, ..small() });
    clock.advance(SECOND);
    let look_up = event_loop.getaddrinfo("host.example", 80);
    let asked = line!() - 1;
    let connecting = event_loop.open_connection(("other.example", 80));
    let connects = line!() - 1;
    let of_address = event_loop.getnameinfo(SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 80)));
    let names = line!() - 1;
    let look_up = event_loop.create_task(look_up.into_future()).unwrap();
    let connecting = event_loop.create_task(connecting.into_future()).unwrap();
    let of_address = event_loop.create_task(of_address.into_future()).unwrap();
    turns(&event_loop, 2);
    let found = rows(&event_loop);
    let only = |row: &SnapshotRow| match row {
        SnapshotRow::Descriptor(row) if row.owner == DescriptorOwner::Lookup => {
            assert!(row.location.file().ends_with("test_sites.rs"));
            Some((row.location.line(), seconds(row.since)))
        }
        _ => None,
    };
    let mut sites: Vec<_> = found.iter().filter_map(only).collect();
    sites.sort_unstable();
    assert_eq!(sites, [(asked, 1), (connects, 1), (names, 1)]);
    look_up.cancel();
    connecting.cancel();
    of_address.cancel();
    turns(&event_loop, 2);
    assert_eq!(descriptors(&event_loop).len(), 0);
}

#[test]
fn a_look_up_in_a_thread_comes_from_whoever_asks() {
    let resolver = Resolver::system();
    let (event_loop, _clock) = manual_with(Config { resolver, ..small() });
    let look_up = event_loop.getaddrinfo("localhost", 80);
    let asked = line!() - 1;
    let look_up = event_loop.create_task(look_up.into_future()).unwrap();
    turns(&event_loop, 1);
    let found = rows(&event_loop);
    let Some(SnapshotRow::Job(row)) = found.last() else { panic!("{found:?}") };
    assert_eq!((row.location.file(), row.location.line()), (file!(), asked));
    look_up.cancel();
    turns(&event_loop, 1);
}

#[test]
fn a_task_of_another_threads_comes_from_its_call() {
    let (event_loop, _clock) = aged();
    let remote = event_loop.remote();
    let (asked, task) = std::thread::spawn(move || {
        let task = remote.create_task(|_| core::future::pending::<()>());
        (line!() - 1, task)
    })
    .join()
    .unwrap();
    turns(&event_loop, 2);
    let found = rows(&event_loop);
    let [SnapshotRow::Task(row), ..] = found[..] else { panic!("{found:?}") };
    assert_eq!((row.task.location.line(), row.task.since), (asked, at(1)));
    assert!(matches!(row.task.state, rondel::TaskState::Waiting(WaitsFor::Waker)));
    drop(task);
}

//! Metrics: what a loop counts and measures about itself.

use core::time::Duration;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use rondel::{
    Config, DATAGRAM_CHARGE, Error, EventLoop, Executor, Job, JobRefused, Metrics, NonBlocking, Resource,
    ThreadPoolConfig, ThreadPoolExecutor, Usage,
};

use crate::allocation::counted;
use crate::fixture::{Trace, any_port, manual, manual_with, pair, peer, real, run_until_idle, small, turns};
use crate::protocols::Echo;

const MS: Duration = Duration::from_millis(1);
const MS_NANOS: u64 = 1_000_000;

/// Makes a loop that measures, with a clock that the test moves.
fn measuring() -> (EventLoop, rondel::ManualClock) {
    manual_with(Config { metrics: true, ..small() })
}

fn live_peak_capacity(usage: Usage) -> (usize, usize, usize) {
    (usage.live, usage.peak, usage.capacity)
}

#[test]
fn callbacks_and_steps_are_measured_exactly() {
    let (event_loop, clock) = measuring();
    for ms in [1, 2, 30] {
        let clock = clock.clone();
        event_loop.call_soon(move |_| clock.advance(ms * MS)).unwrap();
    }
    let stepping = clock.clone();
    event_loop
        .create_task(async move {
            stepping.advance(4 * MS);
            rondel::running_loop().unwrap().yield_now().await.unwrap();
            stepping.advance(5 * MS);
        })
        .unwrap();
    run_until_idle(&event_loop);
    let times = event_loop.metrics().callback_time;
    assert_eq!((times.count(), times.sum(), times.max()), (5, 42 * MS_NANOS, 30 * MS_NANOS));
    let median = times.quantile(0.5).unwrap();
    assert!((4 * MS_NANOS..=5 * MS_NANOS).contains(&median), "{median}");
    assert_eq!(event_loop.metrics().statistics.callbacks, 5);
}

#[test]
fn waits_are_measured_exactly() {
    let (event_loop, _clock) = measuring();
    event_loop.call_later(7 * MS, |_| ()).unwrap();
    event_loop.call_later(20 * MS, |_| ()).unwrap();
    run_until_idle(&event_loop);
    let waits = event_loop.metrics().wait_time;
    assert_eq!((waits.sum(), waits.max()), (20 * MS_NANOS, 13 * MS_NANOS));
    assert_eq!(waits.count(), event_loop.metrics().statistics.iterations);
}

#[test]
fn the_lateness_of_timers_is_measured_exactly() {
    let (event_loop, clock) = measuring();
    event_loop.call_later(5 * MS, |_| ()).unwrap();
    event_loop.call_later(8 * MS, |_| ()).unwrap();
    let cancelled = event_loop.call_later(9 * MS, |_| ()).unwrap();
    event_loop.call_later(50 * MS, |_| ()).unwrap();
    event_loop
        .call_soon(move |_| {
            clock.advance(15 * MS);
            cancelled.cancel();
        })
        .unwrap();
    run_until_idle(&event_loop);
    let lateness = event_loop.metrics().timer_lateness;
    // The third was waited for, so it is on time.
    assert_eq!((lateness.count(), lateness.sum(), lateness.max()), (3, 17 * MS_NANOS, 10 * MS_NANOS));
}

#[test]
fn the_length_of_the_ready_queue_is_measured_at_the_begin_of_each_iteration() {
    let (event_loop, _clock) = measuring();
    for _ in 0..3 {
        event_loop.call_soon(|event_loop| drop(event_loop.call_soon(|_| ()))).unwrap();
    }
    run_until_idle(&event_loop);
    let ready = event_loop.metrics().ready;
    assert_eq!((ready.count(), ready.sum(), ready.max()), (2, 6, 3));
}

#[test]
fn durations_are_measured_only_when_asked_for() {
    let (event_loop, clock) = manual_with(small());
    let busy = |event_loop: &EventLoop| {
        let clock = clock.clone();
        event_loop.call_soon(move |_| clock.advance(MS)).unwrap();
        event_loop.call_later(Duration::ZERO, |_| ()).unwrap();
        run_until_idle(event_loop);
        event_loop.metrics()
    };
    let counts = |metrics: &Metrics| {
        [metrics.callback_time, metrics.wait_time, metrics.timer_lateness, metrics.ready].map(|h| h.count())
    };
    let before = busy(&event_loop);
    assert_eq!((before.is_measuring, counts(&before)), (false, [0; 4]));
    assert_eq!(before.statistics.callbacks, 2, "what costs nothing is counted");
    event_loop.set_metrics(true);
    let during = busy(&event_loop);
    assert!(during.is_measuring && counts(&during).iter().all(|count| *count > 0), "{during:?}");
    assert_eq!(during.callback_time.sum(), MS_NANOS);
    event_loop.set_metrics(false);
    let after = busy(&event_loop);
    assert_eq!((after.is_measuring, counts(&after)), (false, counts(&during)));
}

#[test]
fn turned_on_within_a_callback_the_next_one_is_the_first() {
    // And debug mode beside it changes nothing.
    let (event_loop, clock) = manual_with(Config { debug: true, ..small() });
    let (first, second) = (clock.clone(), clock);
    event_loop
        .call_soon(move |event_loop| {
            event_loop.set_metrics(true);
            first.advance(MS);
        })
        .unwrap();
    event_loop
        .call_soon(move |event_loop| {
            second.advance(2 * MS);
            event_loop.set_debug(false);
        })
        .unwrap();
    event_loop.call_soon(|event_loop| event_loop.set_metrics(false)).unwrap();
    run_until_idle(&event_loop);
    let times = event_loop.metrics().callback_time;
    assert_eq!((times.count(), times.sum()), (1, 2 * MS_NANOS));
}

#[test]
fn metrics_never_change_what_runs_when() {
    let run = |metrics| {
        let (event_loop, _clock) = manual_with(Config { metrics, ..small() });
        let trace = Trace::new();
        event_loop.call_later(MS, trace.note("timer")).unwrap();
        event_loop.call_soon(trace.note("soon")).unwrap();
        let (noted, handle) = (trace.clone(), event_loop.handle());
        event_loop
            .create_task(async move {
                noted.push("step");
                handle.sleep(MS).await.unwrap();
                noted.push("slept");
            })
            .unwrap();
        run_until_idle(&event_loop);
        (trace.take(), event_loop.statistics().iterations)
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn refusals_are_counted_at_each_capacity() {
    // FAULTS C-01, C-02
    let (event_loop, _clock) = manual_with(Config {
        calls: 2,
        futures: 1,
        tasks: 1,
        task_bytes: 64,
        threadsafe_calls: 1,
        descriptors: 1,
        ..small()
    });
    let future = event_loop.create_future::<u8>().unwrap();
    event_loop.create_future::<u8>().unwrap_err();
    let task = event_loop.create_task(core::future::pending::<()>()).unwrap();
    event_loop.create_task(async {}).unwrap_err();
    let remote = event_loop.remote();
    thread::spawn(move || {
        remote.call_soon_threadsafe(|_| ()).unwrap();
        remote.call_soon_threadsafe(|_| ()).unwrap_err();
        remote.call_soon_threadsafe(|_| ()).unwrap_err();
    })
    .join()
    .unwrap();
    let (a, b) = pair();
    event_loop.add_reader(&a, |_| ()).unwrap();
    event_loop.add_reader(&b, |_| ()).unwrap_err();
    event_loop.call_soon(|_| ()).unwrap();
    event_loop.call_soon(|_| ()).unwrap_err();
    event_loop.call_later(MS, |_| ()).unwrap_err();
    future.add_done_callback(|_, _| ()).unwrap_err();
    let metrics = event_loop.metrics();
    let refusals: Vec<_> = metrics.statistics.refusals.iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(
        refusals,
        [
            (Resource::Call, 3),
            (Resource::Future, 1),
            (Resource::Task, 1),
            (Resource::ThreadsafeCall, 2),
            (Resource::Descriptor, 1),
        ]
    );
    assert_eq!(live_peak_capacity(metrics.threadsafe_calls), (1, 1, 1));
    assert_eq!(live_peak_capacity(metrics.descriptors), (1, 1, 1));
    turns(&event_loop, 1);
    event_loop.remove_reader(&a);
    let metrics = event_loop.metrics();
    assert_eq!(live_peak_capacity(metrics.threadsafe_calls), (0, 1, 1));
    assert_eq!(live_peak_capacity(metrics.descriptors), (0, 1, 1));
    task.abort();
    assert_eq!(event_loop.metrics().statistics.tasks.peak, 1);
}

#[test]
fn child_processes_that_find_no_room_are_counted() {
    let (event_loop, _clock) = manual_with(Config { children: 1, ..small() });
    let children = || live_peak_capacity(event_loop.metrics().children);
    assert_eq!(children(), (0, 0, 1));
    event_loop
        .run_until_complete(async {
            let process = event_loop.create_subprocess_exec("sleep").arg("60").await?;
            assert_eq!(children(), (1, 1, 1));
            assert!(event_loop.create_subprocess_exec("true").await.unwrap_err().is_full());
            process.kill()?;
            process.wait().await
        })
        .unwrap();
    assert_eq!(children(), (0, 1, 1));
    assert_eq!(event_loop.statistics().refusals.of(Resource::ChildProcess), 1);
}

#[test]
fn connections_and_their_bytes_are_counted() {
    let event_loop = real();
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async move {
            let server = handle.create_server(|| Echo, any_port()).await?;
            let clients: Vec<_> = (1..=3)
                .map(|length| {
                    peer(server.local_addr(), move |mut stream: TcpStream| {
                        let sent = vec![7; length * 100];
                        stream.write_all(&sent).unwrap();
                        let mut echoed = vec![0; sent.len()];
                        stream.read_exact(&mut echoed).unwrap();
                        assert_eq!(echoed, sent);
                    })
                })
                .collect();
            while handle.metrics().connections_closed < 3 {
                handle.yield_now().await?;
            }
            clients.into_iter().for_each(|client| client.join().unwrap());
            let metrics = handle.metrics();
            assert_eq!((metrics.connections_accepted, metrics.connections_refused), (3, 0));
            assert_eq!((metrics.connections_opened, metrics.connections_closed), (3, 3));
            assert_eq!((metrics.bytes_received, metrics.bytes_sent), (600, 600));
            server.close();
            Ok::<_, Error>(())
        })
        .unwrap();
}

#[test]
fn a_connection_that_is_not_taken_on_is_counted_as_refused() {
    let (event_loop, _clock) = manual_with(Config { descriptors: 1, ..small() });
    event_loop.set_exception_handler(|_, _| ());
    let server = event_loop.run_until_complete(async { event_loop.create_server(|| Echo, any_port()).await });
    let server = server.unwrap();
    let _client = TcpStream::connect(server.local_addr()).unwrap();
    while event_loop.metrics().connections_refused == 0 {
        turns(&event_loop, 1);
    }
    let metrics = event_loop.metrics();
    assert_eq!((metrics.connections_accepted, metrics.connections_opened), (0, 0));
    assert_eq!(metrics.statistics.refusals.of(Resource::Descriptor), 1);
}

#[test]
fn what_could_not_be_sent_yet_leaves_its_mark() {
    // TR-24
    let config = Config { write_buffer_bytes: 4 << 20, write_buffers_bytes: 5 << 20, ..small() };
    let (event_loop, _clock) = manual_with(config);
    let (ours, mut theirs) = pair();
    let made = event_loop.create_connection_with_sock(|| Echo, ours);
    let (transport, _) = event_loop.run_until_complete(made).unwrap();
    transport.write(&vec![1; 4 << 20]).unwrap();
    transport.write(&vec![1; 4 << 20]).unwrap_err();
    let metrics = event_loop.metrics();
    let queued = (4 << 20) - metrics.bytes_sent as usize;
    assert_eq!(live_peak_capacity(metrics.write_buffers), (queued, queued, 5 << 20));
    assert_eq!((metrics.write_buffer_peak, queued > 0), (queued, true));
    assert_eq!(metrics.statistics.refusals.of(Resource::WriteBuffer), 1);
    theirs.set_nonblocking(false).unwrap();
    let reader = thread::spawn(move || {
        let mut received = vec![0; 4 << 20];
        theirs.read_exact(&mut received).unwrap();
    });
    while event_loop.metrics().write_buffers.live > 0 {
        turns(&event_loop, 1);
    }
    reader.join().unwrap();
    let metrics = event_loop.metrics();
    assert_eq!(live_peak_capacity(metrics.write_buffers), (0, queued, 5 << 20));
    assert_eq!((metrics.bytes_sent, metrics.write_buffer_peak), (4 << 20, queued));
    transport.close();
    transport.write(b"late").unwrap();
    assert_eq!(event_loop.metrics().writes_dropped, 1);
}

#[test]
fn what_was_not_read_yet_leaves_its_mark() {
    let event_loop = manual();
    let (ours, mut theirs) = pair();
    let opening = event_loop.open_connection_with_sock(ours);
    let (mut reader, _writer) = event_loop.run_until_complete(opening.into_future()).unwrap();
    assert_eq!(event_loop.metrics().read_buffer_peak, 0);
    for (sent, line, peak) in [
        ("a line\nand the begin", "a line\n", 20),
        (" of one\n", "and the begin of one\n", 21),
        ("short\n", "short\n", 21),
    ] {
        theirs.write_all(sent.as_bytes()).unwrap();
        let read = event_loop.run_until_complete(async { reader.read_line().await.map(<[u8]>::to_vec) });
        assert_eq!(read.unwrap(), line.as_bytes());
        assert_eq!(event_loop.metrics().read_buffer_peak, peak);
    }
}

#[test]
fn operations_on_plain_sockets_count_their_bytes() {
    let event_loop = manual();
    let (a, b) = pair();
    let (a, b) = (NonBlocking::new(a).unwrap(), NonBlocking::new(b).unwrap());
    event_loop
        .run_until_complete(async {
            event_loop.sock_sendall(&a, b"hello").await?;
            assert_eq!(event_loop.sock_recv(&b, 2).await?, b"he");
            event_loop.sock_recv_into(&b, &mut [0; 2]).await?;
            event_loop.sock_recvfrom(&b, 9).await?;
            Ok::<_, Error>(())
        })
        .unwrap();
    let metrics = event_loop.metrics();
    assert_eq!((metrics.bytes_sent, metrics.bytes_received), (5, 5));
}

#[test]
fn datagrams_are_counted_with_their_bytes_and_those_that_were_not_sent() {
    // FAULTS U-03
    let config = Config { write_buffer_bytes: DATAGRAM_CHARGE, ..small() };
    let (event_loop, _clock, faults) = EventLoop::with_faults(config).unwrap();
    let endpoint = event_loop.create_datagram_endpoint(|| Echo).local_addr(any_port());
    let (endpoint, _) = event_loop.run_until_complete(endpoint).unwrap();
    let addr = endpoint.local_addr().and_then(|addr| addr.as_inet()).unwrap();
    let peer = UdpSocket::bind(any_port()).unwrap();
    for length in [10, 20, 30] {
        peer.send_to(&vec![1; length], addr).unwrap();
    }
    while event_loop.metrics().datagrams_sent < 3 {
        turns(&event_loop, 1);
    }
    let metrics = event_loop.metrics();
    assert_eq!((metrics.datagrams_received, metrics.datagrams_sent, metrics.datagrams_dropped), (3, 3, 0));
    assert_eq!((metrics.bytes_received, metrics.bytes_sent), (60, 60));
    assert!((1..=3).contains(&metrics.datagram_batch_peak), "{}", metrics.datagram_batch_peak);
    // The kernel has no room, and the queue has none for a byte.
    let peer_addr = peer.local_addr().unwrap();
    faults.fail(rondel::Operation::SendTo, libc::EAGAIN);
    endpoint.sendto(b"x", &peer_addr.into()).unwrap_err();
    let metrics = event_loop.metrics();
    assert_eq!((metrics.datagrams_sent, metrics.datagrams_dropped), (3, 1));
    assert_eq!(metrics.statistics.refusals.of(Resource::WriteBuffer), 1);
}

#[test]
fn the_queue_of_the_default_executor_is_watched() {
    // EX-5
    let event_loop = real();
    assert_eq!(live_peak_capacity(event_loop.metrics().jobs), (0, 0, 0), "there is none yet");
    let config = ThreadPoolConfig { max_workers: 1, jobs: 2, ..ThreadPoolConfig::default() };
    event_loop.set_default_executor(Arc::new(ThreadPoolExecutor::new(config)));
    let (begun, begins) = mpsc::channel();
    let (end, ends) = mpsc::channel::<()>();
    let runs = event_loop
        .run_in_executor(move || {
            begun.send(()).unwrap();
            ends.recv().unwrap();
        })
        .unwrap();
    begins.recv().unwrap();
    let waits = [0, 1].map(|number| event_loop.run_in_executor(move || number).unwrap());
    assert!(event_loop.run_in_executor(|| ()).is_err());
    let metrics = event_loop.metrics();
    assert_eq!((live_peak_capacity(metrics.jobs), metrics.jobs_refused), ((2, 2, 2), 1));
    end.send(()).unwrap();
    event_loop
        .run_until_complete(async {
            runs.await?;
            for job in waits {
                job.await?;
            }
            Ok::<_, Error>(())
        })
        .unwrap();
    assert_eq!(live_peak_capacity(event_loop.metrics().jobs), (0, 2, 2));
}

/// An executor that never runs anything and says nothing of its queue.
#[derive(Default)]
struct Shelf(Mutex<Vec<Job>>);

impl Executor for Shelf {
    fn execute(&self, job: Job) -> Result<(), JobRefused<Job>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(job);
        Ok(())
    }
}

#[test]
fn an_executor_that_tells_nothing_is_no_error() {
    let event_loop = manual();
    event_loop.set_default_executor(Arc::new(Shelf::default()));
    let job = event_loop.run_in_executor(|| ()).unwrap();
    assert_eq!(live_peak_capacity(event_loop.metrics().jobs), (0, 0, 0));
    drop(job);
}

#[test]
fn measuring_and_reading_allocate_nothing() {
    // FAULTS C-10
    let (event_loop, clock) = measuring();
    let allocations = counted(|| {
        let clock = clock.clone();
        event_loop.call_soon(move |_| clock.advance(MS)).unwrap();
        event_loop.call_later(Duration::ZERO, |_| ()).unwrap();
        turns(&event_loop, 2);
        assert!(event_loop.metrics().callback_time.count() > 0);
    });
    assert_eq!(allocations, 0);
}

#[test]
fn metrics_can_be_read_within_callbacks_and_after_the_close() {
    let (event_loop, _clock) = measuring();
    event_loop
        .call_later(MS, |event_loop| {
            let metrics = event_loop.metrics();
            assert_eq!((metrics.timer_lateness.count(), metrics.callback_time.count()), (1, 0));
        })
        .unwrap();
    run_until_idle(&event_loop);
    event_loop.close().unwrap();
    assert_eq!(event_loop.metrics().callback_time.count(), 1);
}

//! After warm-up the loop's side allocates nothing.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::fmt;
use core::time::Duration;
use std::alloc::System;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::sync::mpsc::channel;
use std::thread;

use rondel::{BufferedProtocol, Error, NonBlocking, Stream, Transport};

use crate::fixture::{Pending, accept_one, any_port, manual, pair, peer, real, turns};
use crate::protocols::Echo;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static LIVE_BYTES: Cell<isize> = const { Cell::new(0) };
}

/// Returns how many bytes this thread has allocated and not given back; less, if it
/// gave back those of others.
pub fn live_bytes() -> isize {
    LIVE_BYTES.get()
}

fn count(difference: isize) {
    LIVE_BYTES.set(LIVE_BYTES.get() + difference);
}

// SAFETY: passes everything on to the system's allocator; the counter is
// constant and has no destructor, so that it allocates nothing itself.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        count(layout.size().cast_signed());
        // SAFETY: by the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: by the caller's contract.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        count(layout.size().cast_signed());
        // SAFETY: by the caller's contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        count(size.cast_signed() - layout.size().cast_signed());
        // SAFETY: by the caller's contract.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Counts what this thread allocates while `step` runs, after one run to warm up.
pub fn counted(mut step: impl FnMut()) -> usize {
    step();
    let before = ALLOCATIONS.get();
    (0..100).for_each(|_| step());
    ALLOCATIONS.get() - before
}

#[test]
fn calls_timers_futures_and_turns_allocate_nothing() {
    // FAULTS C-10
    let event_loop = manual();
    let allocations = counted(|| {
        event_loop.call_soon(|_| ()).unwrap();
        event_loop.call_later(Duration::from_secs(1), |_| ()).unwrap().cancel();
        event_loop.call_later(Duration::ZERO, |_| ()).unwrap();
        let future = event_loop.create_future::<u32>().unwrap();
        future.add_done_callback(|_, _| ()).unwrap();
        future.set_result(1).unwrap();
        turns(&event_loop, 2);
    });
    assert_eq!(allocations, 0);
}

#[test]
fn tasks_wakes_and_sleeps_allocate_nothing() {
    // FAULTS C-10
    let event_loop = manual();
    let handle = event_loop.handle();
    let allocations = counted(|| {
        let inner = handle.clone();
        event_loop
            .run_until_complete(async {
                let sleeper = inner.clone();
                let task = inner.create_task(async move { sleeper.sleep(Duration::from_secs(1)).await })?;
                inner.yield_now().await?;
                inner.timeout(Duration::from_secs(5), task).await??.map_err(Error::from)?;
                Ok::<(), Error>(())
            })
            .unwrap();
        let task = event_loop.create_task(Pending(crate::fixture::Counter::default())).unwrap();
        turns(&event_loop, 1);
        task.abort();
    });
    // The counter of `Pending` is the test's own.
    assert_eq!(allocations, 100);
}

#[test]
fn thread_safe_calls_allocate_nothing_on_either_side() {
    // FAULTS C-10
    let event_loop = real();
    let remote = event_loop.remote();
    let (go, wait) = channel::<()>();
    let thread = thread::spawn(move || {
        wait.recv().unwrap();
        let allocations = counted(|| {
            while remote.call_soon_threadsafe(|_| ()).is_err() {
                thread::yield_now();
            }
        });
        remote.stop();
        allocations
    });
    go.send(()).unwrap();
    let before = ALLOCATIONS.get();
    event_loop.run_forever().unwrap();
    assert_eq!((ALLOCATIONS.get() - before, thread.join().unwrap()), (0, 0));
}

#[test]
fn a_line_echo_allocates_nothing_per_line() {
    // FAULTS C-10
    let event_loop = real();
    let handle = event_loop.handle();
    let allocations = event_loop
        .run_until_complete(async move {
            let talk = |mut stream: TcpStream| {
                let mut answer = [0; 10];
                for _ in 0..300 {
                    stream.write_all(b"ping pong\n").unwrap();
                    stream.read_exact(&mut answer).unwrap();
                    assert_eq!(&answer, b"ping pong\n");
                }
            };
            let (client, mut reader, mut writer) =
                accept_one(&handle, 1 << 16, |addr| peer(addr, talk)).await?;
            let mut before = 0;
            for round in 0..300 {
                if round == 20 {
                    before = ALLOCATIONS.get();
                }
                writer.write_all(reader.read_line().await?).await?;
            }
            let allocations = ALLOCATIONS.get() - before;
            client.join().unwrap();
            Ok::<_, Error>(allocations)
        })
        .unwrap();
    assert_eq!(allocations, 0);
}

#[test]
fn operations_on_a_socket_allocate_nothing_though_they_wait() {
    // FAULTS C-10
    let event_loop = manual();
    let (ours, mut theirs) = pair();
    let (socket, handle) = (NonBlocking::new(ours).unwrap(), event_loop.handle());
    let task = event_loop
        .create_task(async move {
            let mut buffer = [0; 64];
            loop {
                let count = handle.sock_recv_into(&socket, &mut buffer).await?;
                if count == 0 {
                    return Ok::<(), Error>(());
                }
                handle.sock_sendall(&socket, &buffer[..count]).await?;
            }
        })
        .unwrap();
    turns(&event_loop, 2);
    let mut answer = [0; 5];
    let allocations = counted(|| {
        theirs.write_all(b"hello").unwrap();
        turns(&event_loop, 2);
        theirs.read_exact(&mut answer).unwrap();
    });
    assert_eq!((allocations, &answer), (0, b"hello"));
    drop(theirs);
    event_loop.run_until_complete(task).unwrap().unwrap();
}

#[test]
fn echoed_datagrams_allocate_nothing() {
    // FAULTS C-10
    let event_loop = real();
    let path = std::env::temp_dir().join(format!("rondel-echo-{}", std::process::id()));
    let handle = event_loop.handle();
    let (udp, unix) = event_loop
        .run_until_complete(async {
            let (udp, _) = handle.create_datagram_endpoint(|| Echo).local_addr(any_port()).await?;
            let (unix, _) = handle.create_unix_datagram_endpoint(|| Echo).local_path(&path).await?;
            Ok::<_, Error>((udp, unix))
        })
        .unwrap();
    let peers: Vec<UdpSocket> = (0..3).map(|_| UdpSocket::bind(any_port()).unwrap()).collect();
    let unix_path = path.with_extension("peer");
    let _ = std::fs::remove_file(&unix_path);
    let unix_peer = UnixDatagram::bind(&unix_path).unwrap();
    let server = udp.local_addr().and_then(|addr| addr.as_inet()).unwrap();
    let mut buffer = [0; 2000];
    let mut number = 0;
    let allocations = counted(|| {
        // Alone and together: singly and in batches.
        number += 1;
        let together = if number % 2 == 0 { 1 } else { 5 };
        for peer in &peers {
            for _ in 0..together {
                peer.send_to(&[1; 1024], server).unwrap();
            }
        }
        turns(&event_loop, 3);
        for peer in &peers {
            for _ in 0..together {
                assert_eq!(peer.recv(&mut buffer).unwrap(), 1024);
            }
        }
        ALLOCATIONS.with(|allocations| {
            // Sending to a path allocates in the standard library.
            let before = allocations.get();
            unix_peer.send_to(&[2; 100], &path).unwrap();
            allocations.set(before);
        });
        turns(&event_loop, 3);
        assert_eq!(unix_peer.recv(&mut buffer).unwrap(), 100);
    });
    assert_eq!(allocations, 0);
    udp.close();
    unix.close();
    turns(&event_loop, 2);
    std::fs::remove_file(unix_path).unwrap();
}

struct BufferedEcho([u8; 64]);

impl BufferedProtocol for BufferedEcho {
    fn buffer(&mut self, _: usize) -> &mut [u8] {
        &mut self.0
    }

    fn buffer_updated(&mut self, transport: &Transport, count: usize) -> rondel::Result<()> {
        transport.write(&self.0[..count])
    }
}

#[test]
fn a_protocol_that_echoes_allocates_nothing_per_message() {
    // FAULTS C-10
    let event_loop = manual();
    let (ours, mut peer) = pair();
    let echo = event_loop.create_connection_with_sock(|| Echo, ours);
    let _kept = event_loop.run_until_complete(echo).unwrap();
    let (ours, mut other_peer) = pair();
    let echo = event_loop.create_connection_with_sock(|| BufferedEcho([0; 64]), ours);
    let _kept = event_loop.run_until_complete(echo).unwrap();
    let allocations = counted(|| {
        for peer in [&mut peer, &mut other_peer] {
            peer.write_all(b"ping pong").unwrap();
            turns(&event_loop, 2);
            let mut answer = [0; 9];
            peer.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"ping pong");
        }
    });
    assert_eq!(allocations, 0);
}

#[test]
fn polled_streams_allocate_nothing_per_operation() {
    // FAULTS C-10
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let event_loop = real();
    let handle = event_loop.handle();
    let allocations = event_loop
        .run_until_complete(async move {
            let (ours, theirs) = pair();
            let mut ours = Stream::from(handle.open_connection_with_sock(ours).await?);
            let mut theirs = Stream::from(handle.open_connection_with_sock(theirs).await?);
            let echo = handle.create_task(async move {
                let mut buffer = [0; 8];
                while AsyncReadExt::read_exact(&mut theirs, &mut buffer).await.is_ok() {
                    futures_lite::AsyncWriteExt::write_all(&mut theirs, &buffer).await?;
                }
                Ok::<_, Error>(())
            })?;
            let mut before = 0;
            for round in 0..300 {
                if round == 20 {
                    before = ALLOCATIONS.get();
                }
                AsyncWriteExt::write_all(&mut ours, b"ping").await?;
                handle.yield_now().await?;
                AsyncWriteExt::write_all(&mut ours, b"pong").await?;
                futures_lite::AsyncReadExt::read_exact(&mut ours, &mut [0; 8]).await?;
            }
            let allocations = ALLOCATIONS.get() - before;
            drop(ours);
            echo.await??;
            Ok::<_, Error>(allocations)
        })
        .unwrap();
    assert_eq!(allocations, 0);
}

#[test]
fn k07_a_storm_of_errors_allocates_nothing() {
    let event_loop = manual();
    let storm = || {
        let context = rondel::ExceptionContext::new("storm").with_exception(&fmt::Error);
        (0..1000).for_each(|_| event_loop.call_exception_handler(&context));
    };
    assert_eq!(counted(storm), 0);
}

//! Operations on the user's sockets: SK.

use core::future::Future;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::fs::File;
use std::io::{ErrorKind as Kind, Read, Seek, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::rc::Rc;
use std::thread;

use rondel::{Address, Error, ErrorKind, EventLoop, EventLoopHandle, NonBlocking, Task, TaskError, UnixAddr};

use crate::fixture::{
    Counter, any_port, manual, never, real, reports, scenarios, send_out_of_band, small, turns,
};

type Sock = NonBlocking<UnixStream>;

/// Runs `test` on a loop that has nothing left of it in the end.
#[track_caller]
fn run(test: impl AsyncFnOnce(EventLoopHandle) -> Result<(), Error>) {
    let event_loop = manual();
    event_loop.run_until_complete(test(event_loop.handle())).unwrap();
    turns(&event_loop, 1);
    let statistics = event_loop.statistics();
    let left = (event_loop.watched_descriptors(), statistics.calls.live, statistics.tasks.live);
    assert_eq!(left, (0, 0, 0), "descriptors, calls, tasks");
}

/// Makes two connected sockets. They block, which `NonBlocking` changes.
fn pair() -> (Sock, Sock) {
    let (a, b) = UnixStream::pair().unwrap();
    (NonBlocking::new(a).unwrap(), NonBlocking::new(b).unwrap())
}

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(any_port()).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

/// Polls once, with a waker that wakes nobody.
fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Starts a task and runs it to its first wait.
async fn waiting<F, T>(event_loop: &EventLoopHandle, future: F) -> Task<Result<T, Error>>
where
    F: Future<Output = Result<T, Error>> + 'static,
    T: 'static,
{
    let task = event_loop.create_task(future).unwrap();
    for _ in 0..3 {
        event_loop.yield_now().await.unwrap();
    }
    assert!(!task.done());
    task
}

/// Writes until the system takes no more; returns how much it took.
fn fill(socket: &Sock) -> usize {
    let mut filled = 0;
    while let Ok(count) = socket.get_ref().write(&[1; 4096]) {
        filled += count;
    }
    filled
}

/// Reads all there is.
fn drain(socket: &Sock) -> usize {
    let (mut drained, mut buffer) = (0, [0; 65536]);
    while let Ok(count @ 1..) = socket.get_ref().read(&mut buffer) {
        drained += count;
    }
    drained
}

/// Tells whether a task ended because it was cancelled.
fn was_cancelled<T>(ended: Result<T, TaskError>) -> bool {
    matches!(ended, Err(TaskError::Cancelled))
}

fn io_kind(error: &Error) -> Kind {
    error.as_io().unwrap_or_else(|| panic!("{error:?}")).kind()
}

fn assert_busy(error: &Error, operation: &str, owner: &str) {
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    let text = error.to_string();
    assert!(text.starts_with(operation) && text.contains(owner), "{text}");
}

unsafe extern "C" {
    fn bind(fd: i32, addr: *const u8, length: u32) -> i32;
    fn listen(fd: i32, backlog: i32) -> i32;
}

/// Binds a TCP socket to a port of 127.0.0.1; `std` can't without connecting.
fn bind_to(socket: &impl AsFd, port: u16) -> SocketAddr {
    let mut raw = [0_u8; 16];
    raw[..2].copy_from_slice(&2_u16.to_ne_bytes());
    raw[2..4].copy_from_slice(&port.to_be_bytes());
    raw[4..8].copy_from_slice(&[127, 0, 0, 1]);
    let socket = socket.as_fd();
    // SAFETY: a valid sockaddr_in and its length.
    assert_eq!(unsafe { bind(socket.as_raw_fd(), raw.as_ptr(), 16) }, 0);
    // Only asks for its address.
    TcpStream::from(socket.try_clone_to_owned().unwrap()).local_addr().unwrap()
}

/// Makes a listener that has room for one connection.
fn full_listener(event_loop: &EventLoopHandle) -> (TcpListener, TcpStream) {
    let socket = event_loop.stream_socket(any_port()).unwrap();
    let addr = bind_to(&socket, 0);
    // SAFETY: no pointers.
    assert_eq!(unsafe { listen(socket.as_fd().as_raw_fd(), 0) }, 0);
    let listener = TcpListener::from(socket.into_inner());
    (listener, TcpStream::connect(addr).unwrap())
}

scenarios! {
    sk1_any_socket_becomes_nonblocking_and_nothing_else_does
    sk2_an_operation_is_tried_at_once_and_then_needs_no_registration
    sk2_a_socket_stays_registered_between_waits_and_goes_with_its_wrapper
    sk3_recv_gives_one_to_n_bytes_and_none_at_the_end
    sk3_sendall_ends_when_every_byte_is_with_the_kernel
    sk3_sendall_of_nothing_asks_nobody
    sk3_the_error_of_sendall_tells_how_many_bytes_were_sent
    sk4_a_connection_in_progress_is_waited_for_and_its_error_is_the_sockets
    sk4_a_socket_that_was_refused_can_try_again
    sk4_connect_to_a_unix_path_and_to_an_abstract_name
    sk5_a_name_is_resolved_for_the_family_and_kind_of_the_socket
    sk6_accept_gives_a_nonblocking_connection_and_the_peers_address
    sk7_a_cancelled_operation_leaves_its_side_at_once
    sk7_the_end_of_one_operation_does_not_remove_the_next
    sk8_cancelling_a_recv_loses_no_byte_also_when_data_comes_with_it
    sk8_a_timeout_loses_no_byte
    sk9_a_second_waiter_of_a_direction_is_busy_and_the_first_goes_on
    sk9_both_directions_of_a_socket_work_at_once
    sk9_nothing_comes_between_the_parts_of_a_sendall
    io6_a_descriptor_of_a_server_is_busy_for_operations
    io6_callbacks_and_operations_share_a_descriptor_a_side_each
    w13_a_cancelled_connect_can_be_repeated_and_its_number_reused
    w13_a_cancelled_accept_loses_no_connection
    w13_the_number_of_a_cancelled_operations_socket_can_be_used_at_once
    p02_a_registration_left_behind_by_a_forgotten_wrapper_is_found_out
    a06_a_socket_that_meets_itself_is_refused_and_its_port_is_free
    a08_a_refused_connection_is_an_error_and_the_loop_has_nothing_left
    a08_a_timeout_ends_a_connect_that_nobody_answers
    u01_an_unreachable_datagram_is_an_error_once
    u02_datagrams_of_all_sizes_and_truncation_is_flagged
    n13_an_out_of_band_byte_wakes_nobody_and_harms_no_other_byte
    recvfrom_on_a_stream_loses_nothing
    sendfile_sends_a_part_and_moves_the_position
    sendfile_to_a_slow_reader_sends_all
    sendfile_falls_back_to_reading_unless_refused
    sendfile_that_is_cancelled_tells_how_far_it_came
    a_socket_serves_two_loops_in_turn_and_outlives_both
    a_closed_loop_and_one_without_descriptors_refuse
    full_tables_refuse_and_a_socket_works_later
}

fn sk1_any_socket_becomes_nonblocking_and_nothing_else_does() {
    let (a, b) = UnixStream::pair().unwrap();
    let borrowed = NonBlocking::new(&a).unwrap();
    assert_eq!({ *borrowed.get_ref() }.read(&mut [0]).unwrap_err().kind(), Kind::WouldBlock);
    drop(borrowed);
    let a = NonBlocking::new(a).unwrap().into_inner();
    assert_eq!((&a).read(&mut [0]).unwrap_err().kind(), Kind::WouldBlock, "it stays so");
    NonBlocking::new(Rc::new(b)).unwrap();
    NonBlocking::new(OwnedFd::from(a)).unwrap();
    let (c, s) = tcp_pair();
    NonBlocking::new(c).unwrap();
    NonBlocking::new(&s).unwrap();
    NonBlocking::new(TcpListener::bind(any_port()).unwrap()).unwrap();
    NonBlocking::new(UdpSocket::bind(any_port()).unwrap()).unwrap();
    NonBlocking::new(UnixDatagram::unbound().unwrap()).unwrap();
    let refused = NonBlocking::new(File::open("/dev/null").unwrap()).unwrap_err();
    assert_eq!((refused.kind(), refused.as_io().unwrap().raw_os_error()), (ErrorKind::Io, Some(88)));
    assert!(refused.to_string().starts_with("NonBlocking::new: "), "{refused}");
}

fn sk2_an_operation_is_tried_at_once_and_then_needs_no_registration() {
    run(async |event_loop| {
        let (ours, theirs) = pair();
        let Poll::Ready(sent) = poll_once(event_loop.sock_sendall(&ours, b"hello")) else { unreachable!() };
        sent?;
        let Poll::Ready(got) = poll_once(event_loop.sock_recv(&theirs, 10)) else { unreachable!() };
        assert_eq!(got?, b"hello");
        assert_eq!(event_loop.watched_descriptors(), 0);
        Ok(())
    });
}

fn sk2_a_socket_stays_registered_between_waits_and_goes_with_its_wrapper() {
    run(async |event_loop| {
        let (ours, theirs) = pair();
        let theirs = Rc::new(theirs);
        for round in 0..10_u8 {
            let (receiver, handle) = (Rc::clone(&theirs), event_loop.clone());
            let got = waiting(&event_loop, async move { handle.sock_recv(&receiver, 10).await }).await;
            event_loop.sock_sendall(&ours, &[round]).await?;
            assert_eq!(got.await??, [round]);
            assert_eq!(event_loop.watched_descriptors(), 1, "kept for the next wait");
        }
        let theirs = Rc::into_inner(theirs).unwrap().into_inner();
        assert_eq!(event_loop.watched_descriptors(), 0);
        // The socket itself is as good as new, borrowed and twice.
        let (one, two) = (NonBlocking::new(&theirs)?, NonBlocking::new(&theirs)?);
        for wrapper in [&one, &two, &one] {
            assert!(poll_once(event_loop.sock_recv(wrapper, 1)).is_pending());
            assert_eq!(event_loop.watched_descriptors(), 1);
        }
        drop(one);
        assert_eq!(event_loop.watched_descriptors(), 1);
        drop(two);
        assert_eq!(event_loop.watched_descriptors(), 0);
        Ok(())
    });
}

fn sk3_recv_gives_one_to_n_bytes_and_none_at_the_end() {
    run(async |event_loop| {
        let (ours, theirs) = pair();
        event_loop.sock_sendall(&ours, b"abcdef").await?;
        assert_eq!(event_loop.sock_recv(&theirs, 2).await?, b"ab");
        let mut buffer = [0; 3];
        assert_eq!(event_loop.sock_recv_into(&theirs, &mut buffer).await?, 3);
        assert_eq!(&buffer, b"cde");
        // More than the loop's buffer holds.
        assert_eq!(event_loop.sock_recv(&theirs, 1 << 20).await?, b"f");
        ours.get_ref().shutdown(Shutdown::Write)?;
        assert_eq!(event_loop.sock_recv(&theirs, 9).await?, b"");
        assert_eq!(event_loop.sock_recv_into(&theirs, &mut buffer).await?, 0);
        // The end also wakes who waits for it.
        let (handle, ours) = (event_loop.clone(), Rc::new(ours));
        let receiver = Rc::clone(&ours);
        let got = waiting(&event_loop, async move { handle.sock_recv(&receiver, 10).await }).await;
        drop(theirs);
        assert_eq!(got.await??, b"");
        Ok(())
    });
}

fn sk3_sendall_ends_when_every_byte_is_with_the_kernel() {
    run(async |event_loop| {
        let (ours, mut theirs) = tcp_pair();
        let ours = NonBlocking::new(ours)?;
        let data: Vec<u8> = (0..=255).cycle().take(16 << 20).collect();
        let expected = data.clone();
        let reader = thread::spawn(move || {
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).unwrap();
            assert!(all == expected, "{} bytes came", all.len());
        });
        event_loop.sock_sendall(&ours, &data).await?;
        drop(ours);
        reader.join().unwrap();
        Ok(())
    });
}

fn sk3_sendall_of_nothing_asks_nobody() {
    run(async |event_loop| {
        let (ours, theirs) = pair();
        drop(theirs);
        event_loop.sock_sendall(&ours, b"").await?;
        let broken = event_loop.sock_sendall(&ours, b"x").await.unwrap_err();
        assert_eq!((io_kind(broken.error()), broken.sent()), (Kind::BrokenPipe, 0));
        Ok(())
    });
}

fn sk3_the_error_of_sendall_tells_how_many_bytes_were_sent() {
    run(async |event_loop| {
        // The peer goes away with data unread.
        let (ours, theirs) = pair();
        let (handle, data) = (event_loop.clone(), vec![7; 16 << 20]);
        let task = event_loop
            .create_task(async move {
                let broken = handle.sock_sendall(&ours, &data).await.unwrap_err();
                assert!(broken.to_string().starts_with("sock_sendall: "), "{broken}");
                assert!([Kind::BrokenPipe, Kind::ConnectionReset].contains(&io_kind(broken.error())));
                broken.sent()
            })
            .unwrap();
        event_loop.yield_now().await?;
        event_loop.yield_now().await?;
        let first = event_loop.sock_recv(&theirs, 1000).await?;
        drop(theirs);
        let sent = task.await?;
        assert!(sent > first.len() && sent < 16 << 20, "{sent}");
        // The task is cancelled: what was sent before is what arrives.
        let (ours, theirs) = pair();
        let (handle, data) = (event_loop.clone(), vec![7; 16 << 20]);
        let task = event_loop
            .create_task(async move {
                let cut = handle.sock_sendall(&ours, &data).await.unwrap_err();
                assert!(cut.error().is_cancelled());
                assert_eq!(ours.get_ref().write(b"x").unwrap_err().kind(), Kind::WouldBlock);
                cut.sent()
            })
            .unwrap();
        event_loop.yield_now().await?;
        task.cancel();
        assert_eq!(task.await?, drain(&theirs));
        Ok(())
    });
}

fn sk4_a_connection_in_progress_is_waited_for_and_its_error_is_the_sockets() {
    run(async |event_loop| {
        for addr in [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), SocketAddr::from((Ipv6Addr::LOCALHOST, 0))] {
            let Ok(listener) = TcpListener::bind(addr) else { continue };
            let addr = listener.local_addr()?;
            let socket = event_loop.stream_socket(addr)?;
            event_loop.sock_connect(&socket, addr).await?;
            let (mut accepted, peer) = listener.accept()?;
            let stream = TcpStream::from(socket.into_inner());
            assert_eq!((stream.peer_addr()?, stream.local_addr()?), (addr, peer));
            let stream = NonBlocking::new(stream)?;
            accepted.write_all(b"hello")?;
            assert_eq!(event_loop.sock_recv(&stream, 10).await?, b"hello");
            // Connected already: the system's own error.
            let accepted = NonBlocking::new(accepted)?;
            let again = event_loop.sock_connect(&accepted, addr).await.unwrap_err();
            assert_eq!(again.as_io().unwrap().raw_os_error(), Some(106), "EISCONN: {again}");
            drop(listener);
            let socket = event_loop.stream_socket(addr)?;
            let refused = event_loop.sock_connect(&socket, addr).await.unwrap_err();
            assert_eq!(io_kind(&refused), Kind::ConnectionRefused);
            assert!(refused.to_string().starts_with("sock_connect: "), "{refused}");
        }
        Ok(())
    });
}

fn sk4_a_socket_that_was_refused_can_try_again() {
    run(async |event_loop| {
        let holder = event_loop.stream_socket(any_port())?;
        let addr = bind_to(&holder, 0);
        let socket = event_loop.stream_socket(addr)?;
        for _ in 0..3 {
            let refused = event_loop.sock_connect(&socket, addr).await.unwrap_err();
            assert_eq!(io_kind(&refused), Kind::ConnectionRefused);
        }
        assert_eq!(event_loop.watched_descriptors(), 1, "registered before the next attempt");
        // SAFETY: no pointers.
        assert_eq!(unsafe { listen(holder.as_fd().as_raw_fd(), 1) }, 0);
        event_loop.sock_connect(&socket, addr).await?;
        let (accepted, _) = event_loop.sock_accept(&holder).await?;
        event_loop.sock_sendall(&accepted, b"hello").await?;
        assert_eq!(event_loop.sock_recv(&socket, 10).await?, b"hello");
        Ok(())
    });
}

fn sk4_connect_to_a_unix_path_and_to_an_abstract_name() {
    run(async |event_loop| {
        let path = std::env::temp_dir().join(format!("rondel-sk4-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = NonBlocking::new(UnixListener::bind(&path)?)?;
        let addr = UnixAddr::from_path(&path).unwrap();
        let socket = event_loop.stream_socket(addr.clone())?;
        event_loop.sock_connect(&socket, addr.clone()).await?;
        let (accepted, peer) = event_loop.sock_accept(&listener).await?;
        assert!(peer.as_unix().unwrap().is_unnamed());
        event_loop.sock_sendall(&accepted, b"hello").await?;
        assert_eq!(event_loop.sock_recv(&socket, 10).await?, b"hello");
        std::fs::remove_file(&path)?;
        let socket = event_loop.stream_socket(addr.clone())?;
        let refused = event_loop.sock_connect(&socket, addr).await.unwrap_err();
        assert_eq!(io_kind(&refused), Kind::NotFound);
        let nobody = UnixAddr::from_abstract_name(path.to_str().unwrap()).unwrap();
        let refused = event_loop.sock_connect(&socket, nobody).await.unwrap_err();
        assert_eq!(io_kind(&refused), Kind::ConnectionRefused);
        Ok(())
    });
}

fn sk5_a_name_is_resolved_for_the_family_and_kind_of_the_socket() {
    run(async |event_loop| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let text = format!("localhost:{port}");
        // Of "localhost", the address that an IPv4 socket can connect to.
        let socket = event_loop.stream_socket(any_port())?;
        event_loop.sock_connect(&socket, ("localhost", port)).await?;
        assert_eq!(listener.accept()?.1.ip(), Ipv4Addr::LOCALHOST);
        for literal in ["127.0.0.1", "localhost"] {
            let socket = event_loop.stream_socket(any_port())?;
            event_loop.sock_connect(&socket, format!("{literal}:{port}")).await?;
            listener.accept()?;
        }
        // A datagram socket takes the same name, and any port answers.
        let socket = event_loop.datagram_socket(any_port())?;
        event_loop.sock_connect(&socket, &*text).await?;
        let socket = event_loop.stream_socket(SocketAddr::from((Ipv6Addr::LOCALHOST, 0)))?;
        let refused = event_loop.sock_connect(&socket, "127.0.0.1:1").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NameResolution, "{refused}");
        let refused = event_loop.sock_connect(&socket, ("", 1)).await.unwrap_err();
        assert!(refused.to_string().starts_with("sock_connect: "), "{refused}");
        Ok(())
    });
}

fn sk6_accept_gives_a_nonblocking_connection_and_the_peers_address() {
    run(async |event_loop| {
        let listener = Rc::new(NonBlocking::new(TcpListener::bind(any_port())?)?);
        let addr = listener.get_ref().local_addr()?;
        let (handle, shared) = (event_loop.clone(), Rc::clone(&listener));
        let first = waiting(&event_loop, async move { handle.sock_accept(&shared).await }).await;
        let clients = [TcpStream::connect(addr)?, TcpStream::connect(addr)?, TcpStream::connect(addr)?];
        let (one, from) = first.await??;
        assert_eq!(from, Address::from(clients[0].local_addr()?));
        // The others wait in the backlog, and no event comes for them.
        let (two, from) = event_loop.sock_accept(&listener).await?;
        assert_eq!(from, Address::from(clients[1].local_addr()?));
        let (three, _) = event_loop.sock_accept(&listener).await?;
        let three = TcpStream::from(three.into_inner());
        assert_eq!((&three).read(&mut [0]).unwrap_err().kind(), Kind::WouldBlock);
        event_loop.sock_sendall(&two, b"hello").await?;
        let mut got = [0; 5];
        { &clients[1] }.read_exact(&mut got)?;
        drop(one);
        assert_eq!({ &clients[0] }.read(&mut got)?, 0, "closed with its wrapper");
        Ok(())
    });
}

fn sk7_a_cancelled_operation_leaves_its_side_at_once() {
    run(async |event_loop| {
        let (ours, theirs) = pair();
        let (ours, handle) = (Rc::new(ours), event_loop.clone());
        let receiver = Rc::clone(&ours);
        let task = waiting(&event_loop, async move { handle.sock_recv(&receiver, 10).await }).await;
        task.cancel();
        assert!(was_cancelled(task.await));
        event_loop.add_reader(&*ours, never)?;
        assert!(event_loop.remove_reader(&*ours));
        // Dropped instead: at once too.
        let receiver = Rc::clone(&ours);
        let handle = event_loop.clone();
        let task = waiting(&event_loop, async move { handle.sock_recv(&receiver, 10).await }).await;
        task.abort();
        assert!(poll_once(event_loop.sock_recv(&ours, 10)).is_pending());
        event_loop.sock_sendall(&theirs, b"late").await?;
        assert_eq!(event_loop.sock_recv(&ours, 10).await?, b"late");
        // A cancellation that came before the operation ends it before its attempt.
        event_loop.sock_sendall(&theirs, b"more").await?;
        let (receiver, handle) = (Rc::clone(&ours), event_loop.clone());
        let task = event_loop
            .create_task(async move {
                handle.current_task().unwrap().cancel();
                let cancelled = handle.sock_recv(&receiver, 10).await.unwrap_err();
                assert!(cancelled.is_cancelled());
                handle.sock_recv(&receiver, 10).await
            })
            .unwrap();
        assert_eq!(task.await??, b"more");
        Ok(())
    });
}

fn sk7_the_end_of_one_operation_does_not_remove_the_next() {
    run(async |event_loop| {
        let (ours, theirs) = pair();
        let (handle, received) = (event_loop.clone(), Counter::new());
        let counted = received.clone();
        let task = waiting(&event_loop, async move {
            loop {
                // Each begins in the very step in which the former ended.
                if handle.sock_recv(&ours, 1).await?.is_empty() {
                    return Ok(());
                }
                counted.add();
            }
        })
        .await;
        for _ in 0..20 {
            event_loop.sock_sendall(&theirs, b"x").await?;
            event_loop.yield_now().await?;
            event_loop.yield_now().await?;
        }
        drop(theirs);
        task.await??;
        assert_eq!(received.get(), 20);
        Ok(())
    });
}

fn sk8_cancelling_a_recv_loses_no_byte_also_when_data_comes_with_it() {
    // In every order of: data, cancelling, and turns of the loop between them.
    for (data_first, between) in [(true, 0), (true, 1), (true, 2), (false, 0), (false, 1), (false, 2)] {
        run(async |event_loop| {
            let (ours, theirs) = pair();
            let (ours, handle) = (Rc::new(ours), event_loop.clone());
            let receiver = Rc::clone(&ours);
            let task = waiting(&event_loop, async move { handle.sock_recv(&receiver, 10).await }).await;
            if data_first {
                theirs.get_ref().write_all(b"hello")?;
            } else {
                task.cancel();
            }
            for _ in 0..between {
                event_loop.yield_now().await?;
            }
            if data_first {
                task.cancel();
            } else {
                theirs.get_ref().write_all(b"hello")?;
            }
            let got = match task.await {
                Ok(got) => got?,
                cancelled => {
                    assert!(was_cancelled(cancelled));
                    event_loop.sock_recv(&ours, 10).await?
                }
            };
            assert_eq!(got, b"hello");
            Ok(())
        });
    }
}

fn sk8_a_timeout_loses_no_byte() {
    run(async |event_loop| {
        let (ours, theirs) = pair();
        for _ in 0..3 {
            let limit = Duration::from_secs(60);
            let over = event_loop.timeout(limit, event_loop.sock_recv(&ours, 10)).await;
            assert!(Error::from(over.unwrap_err()).is_timed_out());
        }
        event_loop.sock_sendall(&theirs, b"hello").await?;
        assert_eq!(event_loop.sock_recv(&ours, 10).await?, b"hello");
        Ok(())
    });
}

fn sk9_a_second_waiter_of_a_direction_is_busy_and_the_first_goes_on() {
    run(async |event_loop| {
        let (ours, theirs) = pair();
        let (ours, handle) = (Rc::new(ours), event_loop.clone());
        let receiver = Rc::clone(&ours);
        let first = waiting(&event_loop, async move { handle.sock_recv(&receiver, 10).await }).await;
        let owner = "a pending sock_* operation, which waits to receive";
        let busy = event_loop.sock_recv(&ours, 10).await.unwrap_err();
        assert_busy(&busy, "sock_recv: ", owner);
        // Another wrapper of the descriptor is no way around it.
        let other = NonBlocking::new(ours.get_ref())?;
        let busy = event_loop.sock_recv_into(&other, &mut [0]).await.unwrap_err();
        assert_busy(&busy, "sock_recv_into: ", owner);
        let busy = event_loop.sock_recvfrom(&other, 1).await.unwrap_err();
        assert_busy(&busy, "sock_recvfrom: ", owner);
        let busy = event_loop.sock_accept(&other).await.unwrap_err();
        assert_busy(&busy, "sock_accept: ", owner);
        let busy = event_loop.add_reader(&*ours, never).unwrap_err();
        assert_busy(busy.error(), "add_reader: ", owner);
        assert!(!event_loop.remove_reader(&*ours), "nothing of add_reader's is there");
        theirs.get_ref().write_all(b"hello")?;
        // It has come, and is still the first one's.
        let busy = event_loop.sock_recv(&ours, 10).await.unwrap_err();
        assert_busy(&busy, "sock_recv: ", owner);
        assert_eq!(first.await??, b"hello");
        Ok(())
    });
}

fn sk9_both_directions_of_a_socket_work_at_once() {
    run(async |event_loop| {
        let (ours, theirs) = pair();
        let filled = fill(&ours);
        let ours = Rc::new(ours);
        let (handle, receiver) = (event_loop.clone(), Rc::clone(&ours));
        let received = waiting(&event_loop, async move { handle.sock_recv(&receiver, 10).await }).await;
        let (handle, sender) = (event_loop.clone(), Rc::clone(&ours));
        let sent = waiting(&event_loop, async move { Ok(handle.sock_sendall(&sender, b"x").await?) }).await;
        theirs.get_ref().write_all(b"hello")?;
        assert_eq!(received.await??, b"hello");
        assert!(!sent.done());
        let mut drained = drain(&theirs);
        sent.await??;
        drained += drain(&theirs);
        assert_eq!(drained, filled + 1);
        Ok(())
    });
}

fn sk9_nothing_comes_between_the_parts_of_a_sendall() {
    run(async |event_loop| {
        let (ours, theirs) = pair();
        let (ours, handle) = (Rc::new(ours), event_loop.clone());
        let sender = Rc::clone(&ours);
        let data = vec![1; 4 << 20];
        let task = waiting(&event_loop, async move { Ok(handle.sock_sendall(&sender, &data).await?) }).await;
        let mut received = 0;
        while !task.done() {
            let got = event_loop.sock_recv(&theirs, 65536).await?;
            assert!(got.iter().all(|&byte| byte == 1));
            received += got.len();
            // There is room now, and it is the first one's.
            if !task.done() {
                let busy = event_loop.sock_sendall(&ours, b"\0").await.unwrap_err();
                assert_busy(busy.error(), "sock_sendall: ", "which waits to send");
                assert_eq!(busy.sent(), 0);
            }
            event_loop.yield_now().await?;
        }
        task.await??;
        assert_eq!(received + drain(&theirs), 4 << 20);
        Ok(())
    });
}

fn io6_a_descriptor_of_a_server_is_busy_for_operations() {
    let event_loop = real();
    let handle = event_loop.handle();
    let test = async move {
        let server = handle.start_server(any_port(), |_, _| core::future::ready(())).await?;
        let text = format!("{server:?}");
        let number = text.split("fd=").nth(1).unwrap().split(|c: char| !c.is_ascii_digit()).next().unwrap();
        // SAFETY: open for as long as the server is.
        let borrowed = unsafe { BorrowedFd::borrow_raw(number.parse()?) };
        let socket = NonBlocking::new(borrowed)?;
        assert_busy(&handle.sock_accept(&socket).await.unwrap_err(), "sock_accept: ", "in use by a server");
        assert_busy(&handle.sock_recv(&socket, 1).await.unwrap_err(), "sock_recv: ", "in use by a server");
        let busy = handle.sock_sendall(&socket, b"x").await.unwrap_err();
        assert_busy(busy.error(), "sock_sendall: ", "in use by a server");
        Ok::<(), Error>(())
    };
    event_loop.run_until_complete(test).unwrap();
}

fn io6_callbacks_and_operations_share_a_descriptor_a_side_each() {
    run(async |event_loop| {
        let (ours, theirs) = pair();
        let (ours, calls) = (Rc::new(ours), Counter::new());
        let counted = calls.clone();
        event_loop.add_writer(&*ours, move |_| counted.add())?;
        let (handle, receiver) = (event_loop.clone(), Rc::clone(&ours));
        let task = waiting(&event_loop, async move { handle.sock_recv(&receiver, 10).await }).await;
        assert!(calls.get() > 1);
        let before = calls.get();
        event_loop.yield_now().await?;
        assert!(calls.get() > before, "level-triggered beside the operation");
        theirs.get_ref().write_all(b"hello")?;
        assert_eq!(task.await??, b"hello");
        assert!(event_loop.remove_writer(&*ours));
        // A callback has the side: an operation may succeed at once, and not wait.
        event_loop.add_reader(&*ours, |_| ())?;
        theirs.get_ref().write_all(b"x")?;
        assert_eq!(event_loop.sock_recv(&ours, 10).await?, b"x");
        let busy = event_loop.sock_recv(&ours, 10).await.unwrap_err();
        assert_busy(&busy, "sock_recv: ", "add_reader");
        assert!(event_loop.remove_reader(&*ours));
        // Kept by its wrapper all the while, without a callback or an operation.
        assert_eq!(event_loop.watched_descriptors(), 1);
        drop(ours);
        assert_eq!(event_loop.watched_descriptors(), 0);
        Ok(())
    });
}

fn w13_a_cancelled_connect_can_be_repeated_and_its_number_reused() {
    run(async |event_loop| {
        let (listener, filler) = full_listener(&event_loop);
        let addr = listener.local_addr()?;
        let socket = Rc::new(event_loop.stream_socket(addr)?);
        let (handle, shared) = (event_loop.clone(), Rc::clone(&socket));
        let task = waiting(&event_loop, async move { handle.sock_connect(&shared, addr).await }).await;
        task.cancel();
        assert!(was_cancelled(task.await));
        // Still on its way: the next one waits for the same attempt.
        let (handle, shared) = (event_loop.clone(), Rc::clone(&socket));
        let task = waiting(&event_loop, async move { handle.sock_connect(&shared, addr).await }).await;
        let busy = event_loop.sock_connect(&socket, addr).await.unwrap_err();
        assert_busy(&busy, "sock_connect: ", "which waits to send or connect");
        task.abort();
        let number = socket.as_fd().as_raw_fd();
        drop(socket);
        assert_eq!(event_loop.watched_descriptors(), 0);
        disturbed_by_nobody(&event_loop, number).await?;
        drop(filler);
        Ok(())
    });
}

/// Opens a socket of this number, and looks whether anything of a former one
/// comes to it.
async fn disturbed_by_nobody(event_loop: &EventLoopHandle, number: i32) -> Result<(), Error> {
    let (ours, theirs) = crate::test_selector_events::take_number(number);
    let (ours, theirs) = (NonBlocking::new(ours)?, NonBlocking::new(theirs)?);
    let handle = event_loop.clone();
    let task = waiting(event_loop, async move { handle.sock_recv(&ours, 10).await }).await;
    event_loop.sock_sendall(&theirs, b"mine").await?;
    assert_eq!(task.await??, b"mine");
    Ok(())
}

fn w13_a_cancelled_accept_loses_no_connection() {
    for between in 0..3 {
        run(async |event_loop| {
            let listener = Rc::new(NonBlocking::new(TcpListener::bind(any_port())?)?);
            let addr = listener.get_ref().local_addr()?;
            let (handle, shared) = (event_loop.clone(), Rc::clone(&listener));
            let task = waiting(&event_loop, async move { handle.sock_accept(&shared).await }).await;
            let mut client = TcpStream::connect(addr)?;
            for _ in 0..between {
                event_loop.yield_now().await?;
            }
            task.cancel();
            let (accepted, peer) = match task.await {
                Ok(accepted) => accepted?,
                cancelled => {
                    assert!(was_cancelled(cancelled));
                    event_loop.sock_accept(&listener).await?
                }
            };
            assert_eq!(peer, Address::from(client.local_addr()?));
            event_loop.sock_sendall(&accepted, b"x").await?;
            client.read_exact(&mut [0])?;
            Ok(())
        });
    }
    // A result that nobody takes is closed with the task.
    run(async |event_loop| {
        let listener = Rc::new(NonBlocking::new(TcpListener::bind(any_port())?)?);
        let addr = listener.get_ref().local_addr()?;
        let (handle, shared) = (event_loop.clone(), Rc::clone(&listener));
        let task = waiting(&event_loop, async move { handle.sock_accept(&shared).await }).await;
        let mut client = TcpStream::connect(addr)?;
        while !task.done() {
            event_loop.yield_now().await?;
        }
        drop(task);
        assert_eq!(client.read(&mut [0])?, 0);
        Ok(())
    });
}

fn w13_the_number_of_a_cancelled_operations_socket_can_be_used_at_once() {
    type Start = fn(EventLoopHandle, Rc<Sock>) -> core::pin::Pin<Box<dyn Future<Output = Result<(), Error>>>>;
    let starts: [Start; 6] = [
        |handle, socket| Box::pin(async move { handle.sock_recv(&socket, 10).await.map(drop) }),
        |handle, socket| Box::pin(async move { handle.sock_recv_into(&socket, &mut [0]).await.map(drop) }),
        |handle, socket| Box::pin(async move { handle.sock_recvfrom(&socket, 10).await.map(drop) }),
        |handle, socket| {
            Box::pin(async move { handle.sock_recvfrom_into(&socket, &mut [0]).await.map(drop) })
        },
        |handle, socket| Box::pin(async move { Ok(handle.sock_sendall(&socket, &[0; 100]).await?) }),
        |handle, socket| {
            let file = File::open("/proc/self/exe").unwrap();
            Box::pin(async move { Ok(handle.sock_sendfile(&socket, &file, 0, None).await.map(drop)?) })
        },
    ];
    for start in starts {
        for is_aborted in [false, true] {
            run(async |event_loop| {
                let (ours, theirs) = pair();
                fill(&ours);
                let ours = Rc::new(ours);
                let number = ours.as_fd().as_raw_fd();
                // A duplicate keeps the description alive: only a removal stops the events.
                let duplicate = ours.get_ref().try_clone()?;
                let task = waiting(&event_loop, start(event_loop.clone(), ours)).await;
                assert_eq!(event_loop.watched_descriptors(), 1);
                if is_aborted {
                    task.abort();
                } else {
                    task.cancel();
                    assert!(was_cancelled(task.await));
                }
                assert_eq!(event_loop.watched_descriptors(), 0);
                theirs.get_ref().write_all(b"late")?;
                drain(&theirs);
                disturbed_by_nobody(&event_loop, number).await?;
                drop(duplicate);
                Ok(())
            });
        }
    }
}

fn p02_a_registration_left_behind_by_a_forgotten_wrapper_is_found_out() {
    run(async |event_loop| {
        let reported = reports(&event_loop);
        let (ours, theirs) = UnixStream::pair()?;
        let wrapper = NonBlocking::new(&ours)?;
        assert!(poll_once(event_loop.sock_recv(&wrapper, 1)).is_pending());
        core::mem::forget(wrapper);
        let number = ours.as_raw_fd();
        drop((ours, theirs));
        disturbed_by_nobody(&event_loop, number).await?;
        assert_eq!(reported.take(), ["a watched descriptor was closed before it was removed"]);
        event_loop.reset_exception_handler();
        Ok(())
    });
}

fn a06_a_socket_that_meets_itself_is_refused_and_its_port_is_free() {
    run(async |event_loop| {
        let socket = event_loop.stream_socket(any_port())?;
        let addr = bind_to(&socket, 0);
        let refused = event_loop.sock_connect(&socket, addr).await.unwrap_err();
        assert_eq!(io_kind(&refused), Kind::ConnectionRefused, "{refused}");
        drop(socket);
        let again = event_loop.stream_socket(any_port())?;
        assert_eq!(bind_to(&again, addr.port()), addr, "it lingers nowhere");
        Ok(())
    });
}

fn a08_a_refused_connection_is_an_error_and_the_loop_has_nothing_left() {
    run(async |event_loop| {
        let socket = event_loop.stream_socket(any_port())?;
        let addr = bind_to(&socket, 0);
        for _ in 0..20 {
            let client = event_loop.stream_socket(addr)?;
            let refused = event_loop.sock_connect(&client, addr).await.unwrap_err();
            assert_eq!(io_kind(&refused), Kind::ConnectionRefused);
        }
        let client = event_loop.stream_socket(addr)?;
        let wrong = SocketAddr::from((Ipv6Addr::LOCALHOST, addr.port()));
        let refused = event_loop.sock_connect(&client, wrong).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NameResolution, "the family is not the socket's: {refused}");
        Ok(())
    });
}

fn a08_a_timeout_ends_a_connect_that_nobody_answers() {
    run(async |event_loop| {
        let (listener, filler) = full_listener(&event_loop);
        let addr = listener.local_addr()?;
        let socket = event_loop.stream_socket(addr)?;
        let limit = Duration::from_secs(5);
        let over = event_loop.timeout(limit, event_loop.sock_connect(&socket, addr)).await;
        assert!(Error::from(over.unwrap_err()).is_timed_out());
        drop((filler, listener));
        Ok(())
    });
}

fn u01_an_unreachable_datagram_is_an_error_once() {
    run(async |event_loop| {
        let socket = NonBlocking::new(UdpSocket::bind(any_port())?)?;
        let peer = UdpSocket::bind(any_port())?;
        let addr = peer.local_addr()?;
        drop(peer);
        event_loop.sock_connect(&socket, addr).await?;
        event_loop.sock_sendall(&socket, b"lost").await?;
        let refused = event_loop.sock_recvfrom(&socket, 10).await.unwrap_err();
        assert_eq!(io_kind(&refused), Kind::ConnectionRefused);
        let peer = UdpSocket::bind(addr)?;
        event_loop.sock_sendall(&socket, b"found").await?;
        peer.send_to(b"answer", socket.get_ref().local_addr()?)?;
        assert_eq!(event_loop.sock_recv(&socket, 10).await?, b"answer");
        Ok(())
    });
}

fn u02_datagrams_of_all_sizes_and_truncation_is_flagged() {
    run(async |event_loop| {
        let one = event_loop.datagram_socket(any_port())?;
        bind_to(&one, 0);
        let one = NonBlocking::new(UdpSocket::from(one.into_inner()))?;
        let two = NonBlocking::new(UdpSocket::bind(any_port())?)?;
        let (from, to) = (one.get_ref().local_addr()?, two.get_ref().local_addr()?);
        for size in [0, 1, 1000, 65_507] {
            assert_eq!(event_loop.sock_sendto(&one, &vec![7; size], to).await?, size);
            let datagram = event_loop.sock_recvfrom(&two, 65_536).await?;
            assert_eq!((datagram.data.len(), datagram.is_truncated), (size, false));
            assert_eq!(datagram.from, Address::from(from));
        }
        let large = event_loop.sock_sendto(&one, &[0; 65_508], to).await.unwrap_err();
        assert_eq!(large.as_io().unwrap().raw_os_error(), Some(90), "EMSGSIZE: {large}");
        for _ in 0..2 {
            event_loop.sock_sendto(&one, b"abcdef", to).await?;
        }
        let datagram = event_loop.sock_recvfrom(&two, 4).await?;
        assert_eq!((&datagram.data[..], datagram.is_truncated), (&b"abcd"[..], true));
        let mut buffer = [0; 6];
        let datagram = event_loop.sock_recvfrom_into(&two, &mut buffer).await?;
        assert_eq!((&*datagram.data, datagram.is_truncated), (&b"abcdef"[..], false));
        // And for one who waits.
        let (handle, two) = (event_loop.clone(), Rc::new(two));
        let receiver = Rc::clone(&two);
        let task = waiting(&event_loop, async move { handle.sock_recvfrom(&receiver, 10).await }).await;
        event_loop.sock_sendto(&one, b"", to).await?;
        assert!(task.await??.data.is_empty(), "empty, and no end");
        // Between two sockets of this machine's own.
        let (a, b) = UnixDatagram::pair()?;
        let (a, b) = (NonBlocking::new(a)?, NonBlocking::new(b)?);
        event_loop.sock_sendall(&a, b"hello").await?;
        let datagram = event_loop.sock_recvfrom(&b, 2).await?;
        assert!(datagram.is_truncated && datagram.from.as_unix().unwrap().is_unnamed());
        Ok(())
    });
}

fn n13_an_out_of_band_byte_wakes_nobody_and_harms_no_other_byte() {
    run(async |event_loop| {
        let (ours, mut theirs) = tcp_pair();
        let ours = NonBlocking::new(ours)?;
        let handle = event_loop.clone();
        let task = waiting(&event_loop, async move {
            let mut all = Vec::new();
            while all.len() < 4 {
                all.extend(handle.sock_recv(&ours, 10).await?);
            }
            Ok(all)
        })
        .await;
        theirs.write_all(b"ab")?;
        send_out_of_band(&theirs, b'!');
        for _ in 0..10 {
            event_loop.yield_now().await?;
        }
        assert!(!task.done());
        theirs.write_all(b"cd")?;
        assert_eq!(task.await??, b"abcd");
        Ok(())
    });
}

fn recvfrom_on_a_stream_loses_nothing() {
    run(async |event_loop| {
        let (ours, theirs) = tcp_pair();
        let (ours, theirs) = (NonBlocking::new(ours)?, NonBlocking::new(theirs)?);
        event_loop.sock_sendall(&ours, b"abcdef").await?;
        let piece = event_loop.sock_recvfrom(&theirs, 2).await?;
        assert_eq!((&piece.data[..], piece.is_truncated), (&b"ab"[..], false));
        assert_eq!(piece.from, Address::from(ours.get_ref().local_addr()?));
        assert_eq!(event_loop.sock_recv(&theirs, 10).await?, b"cdef");
        Ok(())
    });
}

/// Makes a file without a name.
fn file_of(data: &[u8]) -> File {
    let path = std::env::temp_dir().join(format!("rondel-sock-{:?}", thread::current().id()));
    let path = path.with_extension(std::process::id().to_string());
    let mut file = File::create_new(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    file.write_all(data).unwrap();
    file.rewind().unwrap();
    // Written only, so open it for reading by its link.
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap()
}

fn sendfile_sends_a_part_and_moves_the_position() {
    run(async |event_loop| {
        let mut file = file_of(b"0123456789");
        let (ours, theirs) = tcp_pair();
        let (ours, theirs) = (NonBlocking::new(ours)?, NonBlocking::new(theirs)?);
        for (offset, count, expected, position) in [
            (0, None, "0123456789", 10),
            (3, None, "3456789", 10),
            (3, Some(4), "3456", 7),
            (8, Some(100), "89", 10),
            (5, Some(0), "", 10),
            (10, None, "", 10),
            (99, Some(1), "", 10),
        ] {
            let sent = event_loop.sock_sendfile(&ours, &file, offset, count).await?;
            assert_eq!((sent, file.stream_position()?), (expected.len() as u64, position));
            if sent > 0 {
                assert_eq!(event_loop.sock_recv(&theirs, 100).await?, expected.as_bytes());
            }
        }
        let far = event_loop.sock_sendfile(&ours, &file, u64::MAX, None).await.unwrap_err();
        assert_eq!((far.error().kind(), far.sent()), (ErrorKind::Io, 0));
        let datagrams = NonBlocking::new(UdpSocket::bind(any_port())?)?;
        let refused = event_loop.sock_sendfile(&datagrams, &file, 0, None).await.unwrap_err();
        assert_eq!(io_kind(refused.error()), Kind::InvalidInput);
        Ok(())
    });
}

fn sendfile_to_a_slow_reader_sends_all() {
    run(async |event_loop| {
        let data: Vec<u8> = (0..=250).cycle().take(8 << 20).collect();
        let file = file_of(&data);
        let (ours, theirs) = pair();
        let handle = event_loop.clone();
        let task =
            event_loop.create_task(async move { handle.sock_sendfile(&ours, &file, 0, None).await }).unwrap();
        let mut got = Vec::new();
        loop {
            let piece = event_loop.sock_recv(&theirs, 1 << 20).await?;
            if piece.is_empty() {
                break;
            }
            got.extend_from_slice(&piece);
        }
        assert_eq!(task.await??, 8 << 20);
        assert!(got == data);
        Ok(())
    });
}

fn sendfile_falls_back_to_reading_unless_refused() {
    run(async |event_loop| {
        let mut expected = Vec::new();
        // Made on demand: nothing to send from.
        let mut file = File::open("/proc/kallsyms").or_else(|_| File::open("/proc/filesystems"))?;
        file.read_to_end(&mut expected)?;
        let expected = if expected.len() > 4 << 20 { expected[..4 << 20].to_vec() } else { expected };
        let count = Some(expected.len() as u64);
        let (ours, theirs) = pair();
        let refused = event_loop.sock_sendfile(&ours, &file, 0, count).fallback(false).await;
        if let Err(refused) = refused {
            assert_eq!(io_kind(refused.error()), Kind::Unsupported);
        } else {
            // A kernel that can.
            return Ok(());
        }
        let handle = event_loop.clone();
        let task = event_loop
            .create_task(async move { handle.sock_sendfile(&ours, &file, 0, count).await })
            .unwrap();
        let mut got = Vec::new();
        loop {
            let piece = event_loop.sock_recv(&theirs, 1 << 20).await?;
            if piece.is_empty() {
                break;
            }
            got.extend_from_slice(&piece);
        }
        assert_eq!(task.await??, got.len() as u64);
        assert!(got == expected);
        Ok(())
    });
}

fn sendfile_that_is_cancelled_tells_how_far_it_came() {
    run(async |event_loop| {
        let file = Rc::new(file_of(&vec![7; 16 << 20]));
        let (ours, theirs) = pair();
        let (handle, shared) = (event_loop.clone(), Rc::clone(&file));
        let task = event_loop
            .create_task(async move {
                let cut = handle.sock_sendfile(&ours, &*shared, 1000, None).await.unwrap_err();
                assert!(cut.error().is_cancelled());
                cut.sent()
            })
            .unwrap();
        event_loop.yield_now().await?;
        event_loop.yield_now().await?;
        task.cancel();
        let sent = task.await?;
        assert_eq!(sent, drain(&theirs) as u64);
        assert_eq!({ &*file }.stream_position()?, 1000 + sent);
        Ok(())
    });
}

fn a_socket_serves_two_loops_in_turn_and_outlives_both() {
    let (ours, theirs) = pair();
    let loops = [manual(), manual()];
    for turn in 0..6 {
        let event_loop = &loops[turn % 2];
        let handle = event_loop.handle();
        let got = event_loop.run_until_complete(async {
            assert!(poll_once(handle.sock_recv(&ours, 10)).is_pending());
            theirs.get_ref().write_all(b"hello")?;
            handle.sock_recv(&ours, 10).await
        });
        assert_eq!(got.unwrap(), b"hello");
        assert_eq!(event_loop.watched_descriptors(), 1);
        assert_eq!(loops[(turn + 1) % 2].watched_descriptors(), 0, "one loop at a time");
    }
    // Waiting in one, and used in the other: neither disturbs the other.
    let [one, two] = &loops;
    let (ours, handle) = (Rc::new(ours), one.handle());
    let receiver = Rc::clone(&ours);
    let task = one.create_task(async move { handle.sock_recv(&receiver, 10).await }).unwrap();
    turns(one, 2);
    fill(&ours);
    two.run_until_complete(async {
        assert!(poll_once(two.sock_sendall(&ours, b"x")).is_pending());
        drain(&theirs);
        two.sock_sendall(&ours, b"x").await
    })
    .unwrap();
    theirs.get_ref().write_all(b"hello").unwrap();
    assert_eq!(one.run_until_complete(task).unwrap().unwrap(), b"hello");
    let [one, two] = loops;
    one.close().unwrap();
    two.close().unwrap();
    drop((one, two));
    drop(ours);
}

fn a_closed_loop_and_one_without_descriptors_refuse() {
    let (ours, _theirs) = pair();
    let event_loop = manual();
    let handle = event_loop.handle();
    event_loop.close().unwrap();
    let Poll::Ready(refused) = poll_once(handle.sock_recv(&ours, 1)) else { unreachable!() };
    assert!(refused.unwrap_err().is_closed());
    let Poll::Ready(refused) = poll_once(handle.sock_sendall(&ours, b"x")) else { unreachable!() };
    assert!(refused.unwrap_err().error().is_closed());
    // Closed while it waits.
    let event_loop = manual();
    let handle = event_loop.handle();
    let mut waiting = Box::pin(handle.sock_recv(&ours, 1));
    assert!(poll_once(&mut waiting).is_pending());
    event_loop.close().unwrap();
    let Poll::Ready(refused) = poll_once(&mut waiting) else { unreachable!() };
    assert!(refused.unwrap_err().is_closed());
    drop(waiting);
    drop(event_loop);
    let event_loop = EventLoop::without_descriptors(small()).unwrap();
    let Poll::Ready(refused) = poll_once(event_loop.sock_recv(&ours, 1)) else { unreachable!() };
    assert_eq!(io_kind(&refused.unwrap_err()), Kind::Unsupported);
    assert_eq!(io_kind(&event_loop.stream_socket(any_port()).unwrap_err()), Kind::Unsupported);
}

fn full_tables_refuse_and_a_socket_works_later() {
    run(async |event_loop| {
        let pairs: Vec<_> = (0..16).map(|_| pair()).collect();
        for (ours, _) in &pairs {
            assert!(poll_once(event_loop.sock_recv(ours, 1)).is_pending());
        }
        let (ours, theirs) = pair();
        let full = event_loop.sock_recv(&ours, 1).await.unwrap_err();
        assert!(full.is_full() && full.to_string().starts_with("sock_recv: "), "{full}");
        drop(pairs);
        assert!(poll_once(event_loop.sock_recv(&ours, 1)).is_pending());
        event_loop.sock_sendall(&theirs, b"x").await?;
        assert_eq!(event_loop.sock_recv(&ours, 1).await?, b"x");
        Ok(())
    });
}

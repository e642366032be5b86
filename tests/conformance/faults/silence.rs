//! Row N-08: a peer that is dead without notice, as behind a cut wire.

use core::cell::RefCell;
use core::time::Duration;
use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::rc::Rc;

use rondel::{AfterEof, EventLoop, KeepAlive, SocketOptions, TimeoutError, Transport};

use crate::fixture::{Trace, any_port, assert_nothing_left, manual_with, real, small, turns};
use crate::probe::{Probe, Told, until};

/// Drops all that comes for `socket`, before its kernel looks at it: nothing is acknowledged, and nothing
/// answered.
fn cut(socket: &TcpStream) {
    // "Accept no byte."
    let mut program = [libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: 0 }];
    let program = libc::sock_fprog { len: 1, filter: program.as_mut_ptr() };
    // SAFETY: the program is there during the call, which copies it.
    let attached = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            size_of_val(&program) as libc::socklen_t,
        )
    };
    assert_eq!(attached, 0, "{}", std::io::Error::last_os_error());
}

/// Makes a connection and the socket of its peer. The trace keeps the kind of error that it is lost with.
fn connection(event_loop: &EventLoop) -> (Transport, Trace, TcpStream) {
    let listener = TcpListener::bind(any_port()).unwrap();
    let address = listener.local_addr().unwrap();
    let trace = Trace::new();
    let (told, noted) = (Trace::new(), trace.clone());
    let probe = Probe::new(&told, move |told, _| {
        if let Told::Lost(error) = told {
            let kind = error.and_then(|error| error.as_io()).map(std::io::Error::kind);
            noted.push(format!("lost: {kind:?}"));
        }
        Ok(AfterEof::Close)
    });
    let connecting = event_loop.create_connection(|| probe, address);
    let (transport, _) = event_loop.run_until_complete(connecting).unwrap();
    (transport, trace, listener.accept().unwrap().0)
}

/// Runs the loop until the kernel has given the connection up.
fn assert_is_given_up(set: impl FnOnce(&SocketOptions), send: &[u8]) {
    let event_loop = real();
    let (transport, trace, peer) = connection(&event_loop);
    set(&transport.socket_options().unwrap());
    cut(&peer);
    transport.write(send).unwrap();
    until(&event_loop, || trace.count() > 0);
    assert_eq!(trace.take(), [format!("lost: {:?}", Some(ErrorKind::TimedOut))]);
    drop(transport);
    assert_nothing_left(&event_loop);
}

#[test]
fn n08_what_a_dead_peer_does_not_acknowledge_ends_the_connection_by_the_user_timeout() {
    let short = Duration::from_millis(50);
    assert_is_given_up(|options| options.set_user_timeout(Some(short)).unwrap(), b"unheard");
}

#[test]
fn n08_an_idle_connection_to_a_dead_peer_ends_by_its_keepalive() {
    // The shortest that there is.
    let second = Duration::from_secs(1);
    let keepalive = KeepAlive { idle: second, interval: second, probes: 1 };
    assert_is_given_up(|options| options.set_keepalive(Some(keepalive)).unwrap(), b"");
}

#[test]
fn n08_without_options_an_idle_timer_of_the_protocol_closes() {
    let (event_loop, clock) = manual_with(small());
    let (transport, trace, mut peer) = connection(&event_loop);
    cut(&peer);
    transport.write(b"unheard").unwrap();
    let idle = Duration::from_secs(30);
    let silent = transport.clone();
    event_loop.call_later(idle, move |_| silent.abort()).unwrap();
    turns(&event_loop, 4);
    assert_eq!(trace.count(), 0, "the loop knows nothing of it");
    clock.advance(idle);
    turns(&event_loop, 4);
    assert_eq!(trace.take(), ["lost: None"]);
    drop(transport);
    assert_nothing_left(&event_loop);
    peer.set_nonblocking(true).unwrap();
    assert!(peer.read(&mut [0]).is_err(), "not even the reset arrives");
}

#[test]
fn n08_a_stream_that_waits_for_a_dead_peer_ends_by_a_timeout() {
    let (event_loop, clock) = manual_with(small());
    let listener = TcpListener::bind(any_port()).unwrap();
    let address = listener.local_addr().unwrap();
    let handle = event_loop.handle();
    let ended = Rc::new(RefCell::new(None));
    let result = ended.clone();
    let opening = event_loop.open_connection(address);
    let (mut reader, mut writer) = event_loop.run_until_complete(opening).unwrap();
    let peer = listener.accept().unwrap().0;
    cut(&peer);
    let waiting = event_loop.create_task(async move {
        writer.write_all(b"unheard").await.unwrap();
        let read = handle.timeout(Duration::from_secs(30), reader.read(&mut [0; 16])).await;
        *result.borrow_mut() = Some(matches!(read, Err(TimeoutError::TimedOut)));
        writer.abort();
    });
    turns(&event_loop, 4);
    assert_eq!(*ended.borrow(), None);
    clock.advance(Duration::from_secs(30));
    turns(&event_loop, 6);
    assert_eq!(*ended.borrow(), Some(true));
    drop(waiting);
    assert_nothing_left(&event_loop);
}

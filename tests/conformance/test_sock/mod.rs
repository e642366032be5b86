//! Operations on the user's sockets: SK.

mod cancelling;
mod claims;
mod connects;
mod loops;
mod sendfile;
mod transfers;

use core::future::Future;
use core::net::SocketAddr;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::io::{ErrorKind as Kind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;

use rondel::{Error, ErrorKind, EventLoopHandle, NonBlocking, Task};

use crate::fixture::{any_port, assert_nothing_left, manual, turns};

type Sock = NonBlocking<UnixStream>;

/// Runs `test` on a loop that has nothing left of it in the end.
#[track_caller]
fn run(test: impl AsyncFnOnce(EventLoopHandle) -> Result<(), Error>) {
    let event_loop = manual();
    event_loop.run_until_complete(test(event_loop.handle())).unwrap();
    turns(&event_loop, 1);
    assert_nothing_left(&event_loop);
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

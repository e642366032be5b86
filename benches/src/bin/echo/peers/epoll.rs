//! Bare system calls: an epoll, one buffer for all, nothing allocated while all
//! goes well.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use super::BUFFER;
use crate::socket::Socket;
use crate::sys::{self, Epoll, NO_EVENT, READABLE, WRITABLE};

pub(super) fn serve(socket: Socket, _buffer: usize, ready: &dyn Fn()) -> Result<(), String> {
    let serve = if matches!(socket, Socket::Udp(_)) { datagrams } else { connections };
    serve(socket, ready).map_err(|error| error.to_string())
}

/// A connection, with what the kernel didn't take yet.
struct Connection {
    socket: OwnedFd,
    unsent: Vec<u8>,
}

fn connections(socket: Socket, ready: &dyn Fn()) -> std::io::Result<()> {
    let is_tcp = socket.is_tcp();
    let listener = socket.into_fd();
    let listener_fd = listener.as_raw_fd();
    let epoll = Epoll::new()?;
    epoll.add(listener_fd, READABLE, listener_fd as u64)?;
    let mut buffer = vec![0; BUFFER];
    let mut events = vec![NO_EVENT; 1024];
    // By descriptor.
    let mut connections: Vec<Option<Connection>> = Vec::new();
    ready();
    loop {
        for event in epoll.wait(&mut events, None) {
            let fd = event.u64 as RawFd;
            if fd == listener_fd {
                while let Some(socket) = sys::accept(listener_fd) {
                    if is_tcp {
                        sys::set_no_delay(socket.as_raw_fd())?;
                    }
                    let place = socket.as_raw_fd() as usize;
                    epoll.add(socket.as_raw_fd(), READABLE, place as u64)?;
                    if connections.len() <= place {
                        connections.resize_with(place + 1, || None);
                    }
                    connections[place] = Some(Connection { socket, unsent: Vec::new() });
                }
                continue;
            }
            let place = &mut connections[fd as usize];
            let Some(connection) = place else { continue };
            let is_alive = if connection.unsent.is_empty() {
                connection.echo(&epoll, &mut buffer)
            } else {
                connection.flush(&epoll)
            };
            if !is_alive.unwrap_or(false) {
                *place = None;
            }
        }
    }
}

impl Connection {
    /// Sends back what there is; false at the end.
    #[inline]
    fn echo(&mut self, epoll: &Epoll, buffer: &mut [u8]) -> std::io::Result<bool> {
        let fd = self.socket.as_raw_fd();
        let Some(received) = sys::receive(fd, buffer)? else { return Ok(true) };
        let sent = sys::send(fd, &buffer[..received])?.unwrap_or(0);
        if sent < received {
            // Reads no more before it is sent.
            self.unsent.extend_from_slice(&buffer[sent..received]);
            epoll.modify(fd, WRITABLE, fd as u64)?;
        }
        Ok(received > 0)
    }

    #[cold]
    fn flush(&mut self, epoll: &Epoll) -> std::io::Result<bool> {
        let fd = self.socket.as_raw_fd();
        let sent = sys::send(fd, &self.unsent)?.unwrap_or(0);
        self.unsent.drain(..sent);
        if self.unsent.is_empty() {
            epoll.modify(fd, READABLE, fd as u64)?;
        }
        Ok(true)
    }
}

/// One by one, all that there are.
fn datagrams(socket: Socket, ready: &dyn Fn()) -> std::io::Result<()> {
    let socket = socket.into_fd();
    let fd = socket.as_raw_fd();
    let epoll = Epoll::new()?;
    epoll.add(fd, READABLE, 0)?;
    let mut buffer = vec![0; BUFFER];
    let mut events = [NO_EVENT; 8];
    ready();
    loop {
        epoll.wait(&mut events, None);
        while let Some((count, sender)) = sys::receive_from(fd, &mut buffer) {
            sys::send_to(fd, &buffer[..count], &sender);
        }
    }
}

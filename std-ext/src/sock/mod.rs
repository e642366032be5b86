//! Operations on the user's sockets: `sock_recv`, `sock_sendall` and the others.
//!
//! Each is tried at once and waits only if it would block (contract SK-2). One
//! operation per direction and socket may wait; two directions at once are fine.
//! A task that is cancelled, or a future that is dropped, leaves the socket as it
//! was: nothing received is lost, and nobody watches it for the operation any more.

mod nonblocking;
mod operation;
mod send_error;
pub(crate) mod sendfile;
mod to_address;

use core::fmt;
use core::panic::Location;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

pub use nonblocking::NonBlocking;
pub use send_error::SendError;
pub use sendfile::SockSendfile;
pub use to_address::ToAddress;

use crate::dns::Hints;
use crate::net::address::Address;
use crate::net::read_buffer::SharedBuffer;
use crate::sources::Direction;
use crate::sys::{Family, Fd, Kernel, Received, SocketKind, SocketOption};
use crate::{EventLoopHandle, IpFamily, Result, SocketType};
use operation::Operation;

/// A datagram that was received, with the address of its sender.
#[derive(Clone, PartialEq, Eq)]
pub struct Datagram<D> {
    /// Is what it carries: the bytes, or as much of them as there was room for.
    pub data: D,
    /// Is who sent it; on a stream the peer.
    pub from: Address,
    /// Tells that it was longer than the room for it, and the rest is lost.
    pub is_truncated: bool,
}

impl EventLoopHandle {
    /// Receives 1 to `max` bytes; none at the end of the stream (contract SK-3).
    ///
    /// From a datagram socket it takes one datagram, and drops what exceeds `max`
    /// without a word; [`EventLoopHandle::sock_recvfrom`] tells. A `max` of zero
    /// asks the system for nothing, and gets nothing when there is something.
    ///
    /// ```
    /// # use std::os::unix::net::UnixStream;
    /// # use rondel::NonBlocking;
    /// # rondel::run(async |event_loop| {
    /// let (ours, theirs) = UnixStream::pair()?;
    /// let (ours, theirs) = (NonBlocking::new(ours)?, NonBlocking::new(theirs)?);
    /// event_loop.sock_sendall(&ours, b"Hello World").await?;
    /// assert_eq!(event_loop.sock_recv(&theirs, 100).await?, b"Hello World");
    /// # Ok(())
    /// # })?;
    /// # Ok::<(), rondel::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Io`, if the system refuses, as after a reset. `Busy`, if an operation
    /// that receives or accepts waits for this socket already, or it is a
    /// stream's or server's; or, once it has to wait, `add_reader`'s. `Full`, if
    /// the descriptor table or the call table is. `Closed`, if the loop is.
    /// `Cancelled`.
    ///
    /// # Cancellation
    /// Safe: nothing is received.
    ///
    /// # Python
    /// `loop.sock_recv(sock, n)`.
    pub async fn sock_recv<S: AsFd>(&self, sock: &NonBlocking<S>, max: usize) -> Result<Vec<u8>> {
        let received = self.attempt(sock, Direction::Read, |kernel, fd| {
            let (data, ()) = self.receive_new(max, |room| Ok((self.received(kernel.recv(fd, room))?, ())))?;
            Ok(data)
        });
        received.await.map_err(|error| error.during("sock_recv"))
    }

    /// Receives into `buffer`: at least a byte, unless it is empty or the stream
    /// has ended; zero is the end. See [`EventLoopHandle::sock_recv`].
    ///
    /// # Errors
    /// As [`EventLoopHandle::sock_recv`].
    ///
    /// # Cancellation
    /// Safe: nothing is received.
    ///
    /// # Python
    /// `loop.sock_recv_into(sock, buffer)`.
    pub async fn sock_recv_into<S: AsFd>(&self, sock: &NonBlocking<S>, buffer: &mut [u8]) -> Result<usize> {
        let received =
            self.attempt(sock, Direction::Read, |kernel, fd| self.received(kernel.recv(fd, buffer)));
        received.await.map_err(|error| error.during("sock_recv_into"))
    }

    /// Receives a datagram of up to `max` bytes; a longer one is cut off, and
    /// says so. An empty datagram has no data and is no end.
    ///
    /// # Errors
    /// As [`EventLoopHandle::sock_recv`]; on a connected socket also what an
    /// earlier datagram met, such as `ConnectionRefused`, once.
    ///
    /// # Cancellation
    /// Safe: nothing is received.
    ///
    /// # Python
    /// `loop.sock_recvfrom(sock, bufsize)`, which cuts off silently.
    pub async fn sock_recvfrom<S: AsFd>(
        &self,
        sock: &NonBlocking<S>,
        max: usize,
    ) -> Result<Datagram<Vec<u8>>> {
        let received = self.attempt(sock, Direction::Read, |kernel, fd| {
            let (data, received) = self.receive_new(max, |room| {
                let received = self.receive_from(kernel, fd, sock.kind(), room)?;
                Ok((received.length, received))
            })?;
            Ok(Datagram { data, from: received.from, is_truncated: received.is_truncated })
        });
        received.await.map_err(|error| error.during("sock_recvfrom"))
    }

    /// Receives a datagram into `buffer`, and lends the part that it fills.
    ///
    /// # Errors
    /// As [`EventLoopHandle::sock_recvfrom`].
    ///
    /// # Cancellation
    /// Safe: nothing is received.
    ///
    /// # Python
    /// `loop.sock_recvfrom_into(sock, buf)`.
    pub async fn sock_recvfrom_into<'b, S: AsFd>(
        &self,
        sock: &NonBlocking<S>,
        buffer: &'b mut [u8],
    ) -> Result<Datagram<&'b mut [u8]>> {
        let received = self
            .attempt(sock, Direction::Read, |kernel, fd| self.receive_from(kernel, fd, sock.kind(), buffer));
        let received = received.await.map_err(|error| error.during("sock_recvfrom_into"))?;
        let Received { length, from, is_truncated } = received;
        Ok(Datagram { data: &mut buffer[..length], from, is_truncated })
    }

    async fn attempt<S: AsFd, T>(
        &self,
        sock: &NonBlocking<S>,
        direction: Direction,
        attempt: impl FnMut(&dyn Kernel, Fd) -> io::Result<T>,
    ) -> Result<T> {
        Operation::begin(self, sock, direction)?.run(attempt).await
    }

    /// Receives into new memory: by way of the loop's buffer if that is large
    /// enough, so that what waits takes none, and what is short no more than its
    /// length.
    fn receive_new<T>(
        &self,
        max: usize,
        receive: impl FnOnce(&mut [u8]) -> io::Result<(usize, T)>,
    ) -> io::Result<(Vec<u8>, T)> {
        if let Some(shared) = SharedBuffer::take(self).bytes.get_mut(..max) {
            let (length, rest) = receive(shared)?;
            return Ok((shared[..length].to_vec(), rest));
        }
        let mut data = vec![0; max];
        let (length, rest) = receive(&mut data)?;
        data.truncate(length);
        data.shrink_to_fit();
        Ok((data, rest))
    }

    /// Sends all of `data`; done when the system has taken every byte. No data is
    /// sent without asking the system (SK-3).
    ///
    /// No other send comes between its parts: it is `Busy` until this one ends.
    ///
    /// # Errors
    /// As [`EventLoopHandle::sock_recv`], for operations that send or connect and
    /// `add_writer`. The error tells how many bytes were sent.
    ///
    /// # Cancellation
    /// A part may have been sent. The error of a task that was cancelled tells
    /// how much; a future that is dropped tells nobody.
    ///
    /// # Python
    /// `loop.sock_sendall(sock, data)`, which does not tell how much was sent.
    pub async fn sock_sendall<S: AsFd>(&self, sock: &NonBlocking<S>, data: &[u8]) -> Result<(), SendError> {
        let mut sent = 0;
        let result = self.send_all(sock, data, &mut sent).await;
        result.map_err(|error| SendError::new(error.during("sock_sendall"), sent))
    }

    async fn send_all<S: AsFd>(&self, sock: &NonBlocking<S>, data: &[u8], sent: &mut usize) -> Result<()> {
        let mut operation = Operation::begin(self, sock, Direction::Write)?;
        while *sent < data.len() {
            *sent += operation.run(|kernel, fd| self.sent(kernel.send(fd, &data[*sent..]))).await?;
            if *sent < data.len() {
                operation.moved().await?;
            }
        }
        Ok(())
    }

    /// Sends a datagram to `addr`, whole or not at all; returns its length.
    ///
    /// # Errors
    /// `Io` with `EMSGSIZE` for one that is too large (FAULTS U-02). As
    /// [`EventLoopHandle::sock_sendall`].
    ///
    /// # Cancellation
    /// Safe: nothing is sent.
    ///
    /// # Python
    /// `loop.sock_sendto(sock, data, address)`.
    pub async fn sock_sendto<S: AsFd>(
        &self,
        sock: &NonBlocking<S>,
        data: &[u8],
        addr: impl Into<Address>,
    ) -> Result<usize> {
        let addr = addr.into();
        let sent =
            self.attempt(sock, Direction::Write, |kernel, fd| self.sent(kernel.send_to(fd, data, &addr)));
        sent.await.map_err(|error| error.during("sock_sendto"))
    }

    /// Connects to `addr`. A name is resolved first, with the family, the type and
    /// the protocol of the socket, and the first answer counts (SK-5).
    ///
    /// # Errors
    /// `NameResolution`; `Io` if the connection is refused; `TimedOut` after the system's own
    /// limit, minutes. A TCP socket that met itself, as may happen on a port of
    /// the ephemeral range where nobody listens, is `ConnectionRefused` too
    /// (FAULTS A-06): drop it, and its port is free. A UNIX socket whose
    /// listener has no room is `WouldBlock` at once, since nothing tells when
    /// there is; asyncio calls it connected. As [`EventLoopHandle::sock_sendall`].
    ///
    /// # Cancellation
    /// The system goes on connecting; another `sock_connect` to the same address
    /// waits for that, and dropping the socket ends it.
    ///
    /// # Python
    /// `loop.sock_connect(sock, address)`.
    pub async fn sock_connect<S: AsFd>(&self, sock: &NonBlocking<S>, addr: impl ToAddress) -> Result<()> {
        let connected = self.connect(sock, addr).await;
        connected.map_err(|error| error.during("sock_connect"))
    }

    async fn connect<S: AsFd>(&self, sock: &NonBlocking<S>, addr: impl ToAddress) -> Result<()> {
        // Asked before as well as after the resolving, which may take its time.
        drop(Operation::begin(self, sock, Direction::Write)?);
        let hints = hints_of(&*self.inner.kernel, sock.fd(), sock.attachment().location)?;
        let addr = &addr.resolve_one(self, hints).await?;
        let mut operation = Operation::begin(self, sock, Direction::Write)?;
        let (kernel, fd) = (operation.kernel(), operation.fd());
        let mut is_connected = match kernel.connect(fd, addr) {
            // Of an earlier attempt that failed, and whose error was told: this was its end.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => kernel.connect(fd, addr)?,
            answer => answer?,
        };
        while !is_connected {
            operation.wait().await?;
            if let Some(error) = kernel.take_error(fd)? {
                return Err(error.into());
            }
            // Readiness may turn out false; a socket that has a peer has not.
            let peer = kernel.peer_addr(fd);
            is_connected = !peer.is_err_and(|error| error.kind() == io::ErrorKind::NotConnected);
        }
        if sock.kind() == Some(SocketKind::Stream) && has_met_itself(kernel, fd) {
            // Without this the port would stay taken for a minute after the close.
            let _ = kernel.set_linger(fd, Some(0));
            let message = "the socket met itself; nobody listens there";
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, message).into());
        }
        Ok(())
    }

    /// Accepts a connection: gives it and the address of its peer. The connection
    /// doesn't block, and is closed on exec.
    ///
    /// A connection that its peer gave up before is passed over.
    ///
    /// # Errors
    /// As [`EventLoopHandle::sock_recv`]. If descriptors ran out, the connection
    /// stays in the backlog, and the next call may succeed.
    ///
    /// # Cancellation
    /// Safe: a connection that comes is left to the next call, or closed if this
    /// one had taken it.
    ///
    /// # Python
    /// `loop.sock_accept(sock)`.
    pub async fn sock_accept<S: AsFd>(
        &self,
        sock: &NonBlocking<S>,
    ) -> Result<(NonBlocking<OwnedFd>, Address)> {
        let accepted = self.attempt(sock, Direction::Read, accept);
        let accepted = accepted
            .await
            .and_then(|(fd, peer)| Ok((self.own_socket(fd, sock.kind(), sock.attachment().location)?, peer)));
        accepted.map_err(|error| error.during("sock_accept"))
    }
}

/// Accepts the next connection that is still there.
fn accept(kernel: &dyn Kernel, fd: Fd) -> io::Result<(Fd, Address)> {
    loop {
        match kernel.accept(fd) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            answer => return answer,
        }
    }
}

impl EventLoopHandle {
    /// Receives a datagram, or a piece of a stream, of which nothing is cut off.
    fn receive_from(
        &self,
        kernel: &dyn Kernel,
        fd: Fd,
        kind: Option<SocketKind>,
        buffer: &mut [u8],
    ) -> io::Result<Received> {
        let received = match kind {
            Some(SocketKind::Stream) => {
                let from = kernel.peer_addr(fd)?;
                Received { length: kernel.recv(fd, buffer)?, from, is_truncated: false }
            }
            _ => kernel.recv_from(fd, buffer)?,
        };
        self.inner.meters.bytes_received.add(received.length);
        Ok(received)
    }

    /// Counts what was received.
    fn received(&self, count: io::Result<usize>) -> io::Result<usize> {
        count.inspect(|count| self.inner.meters.bytes_received.add(*count))
    }

    /// Counts what was sent.
    fn sent(&self, count: io::Result<usize>) -> io::Result<usize> {
        count.inspect(|count| self.inner.meters.bytes_sent.add(*count))
    }
}

/// Returns what a resolver has to know of a socket.
fn hints_of(kernel: &dyn Kernel, fd: Fd, location: &'static Location<'static>) -> io::Result<Hints> {
    let (family, kind) = match kernel.socket_kind(fd) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(Hints::at(location)),
        answer => answer?,
    };
    let family = match family {
        Family::Ipv4 => Some(IpFamily::V4),
        Family::Ipv6 => Some(IpFamily::V6),
        Family::Unix => None,
    };
    let kind = match kind {
        SocketKind::Stream => SocketType::Stream,
        SocketKind::Datagram => SocketType::Datagram,
    };
    let protocol = kernel.option(fd, SocketOption::Protocol)?;
    Ok(Hints { family, kind: Some(kind), protocol, ..Hints::at(location) })
}

/// Tells whether TCP has connected the socket to itself, as it does when both
/// choose the same port.
fn has_met_itself(kernel: &dyn Kernel, fd: Fd) -> bool {
    match (kernel.local_addr(fd), kernel.peer_addr(fd)) {
        (Ok(Address::Inet(local)), Ok(Address::Inet(peer))) => local == peer,
        _ => false,
    }
}

impl<D: AsRef<[u8]>> fmt::Debug for Datagram<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = if self.is_truncated { ", truncated" } else { "" };
        write!(f, "Datagram({} bytes from {}{cut})", self.data.as_ref().len(), self.from)
    }
}

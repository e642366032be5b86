//! tokio, with a task and a buffer for each connection, on one thread.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket, UnixListener};
use tokio::runtime::Builder;

use super::BUFFER;
use crate::socket::Socket;

pub(super) fn serve(socket: Socket, buffer: usize, ready: &dyn Fn()) -> Result<(), String> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let served = runtime.block_on(async {
        match socket {
            Socket::Tcp(listener) => tcp(TcpListener::from_std(listener)?, buffer, ready).await,
            Socket::Unix(listener) => unix(UnixListener::from_std(listener)?, buffer, ready).await,
            Socket::Udp(socket) => datagrams(UdpSocket::from_std(socket)?, ready).await,
        }
    });
    served.map_err(|error| error.to_string())
}

async fn tcp(listener: TcpListener, buffer: usize, ready: &dyn Fn()) -> io::Result<()> {
    ready();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(echo(stream, buffer));
    }
}

async fn unix(listener: UnixListener, buffer: usize, ready: &dyn Fn()) -> io::Result<()> {
    ready();
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(echo(stream, buffer));
    }
}

async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin, buffer: usize) -> io::Result<()> {
    let mut buffer = vec![0; buffer];
    loop {
        let received = stream.read(&mut buffer).await?;
        if received == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..received]).await?;
    }
}

async fn datagrams(socket: UdpSocket, ready: &dyn Fn()) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    ready();
    loop {
        let (received, sender) = socket.recv_from(&mut buffer).await?;
        socket.send_to(&buffer[..received], sender).await?;
    }
}

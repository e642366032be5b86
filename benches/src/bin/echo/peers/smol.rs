//! smol: an executor of one thread, with a task and a buffer for each connection.

use std::io;

use smol::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use smol::net::{TcpListener, unix::UnixListener};
use smol::{Async, LocalExecutor};

use crate::socket::Socket;

pub(super) fn serve(socket: Socket, buffer: usize, ready: &dyn Fn()) -> Result<(), String> {
    let executor = LocalExecutor::new();
    let served = smol::block_on(executor.run(async {
        match socket {
            Socket::Tcp(listener) => tcp(&executor, Async::new(listener)?.into(), buffer, ready).await,
            Socket::Unix(listener) => unix(&executor, Async::new(listener)?.into(), buffer, ready).await,
            Socket::Udp(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }));
    served.map_err(|error: io::Error| error.to_string())
}

async fn tcp(
    executor: &LocalExecutor<'_>,
    listener: TcpListener,
    buffer: usize,
    ready: &dyn Fn(),
) -> io::Result<()> {
    ready();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        executor.spawn(echo(stream, buffer)).detach();
    }
}

async fn unix(
    executor: &LocalExecutor<'_>,
    listener: UnixListener,
    buffer: usize,
    ready: &dyn Fn(),
) -> io::Result<()> {
    ready();
    loop {
        let (stream, _) = listener.accept().await?;
        executor.spawn(echo(stream, buffer)).detach();
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

//! Where a peer serves, and how rondel talks to it there.

use core::net::SocketAddr;
use std::rc::Rc;

use rondel::{Error, EventLoopHandle, Future, Protocol, Result, StreamReader, StreamWriter, Transport};

/// Where a client connects to.
pub enum Place {
    Tcp(SocketAddr),
    Unix(String),
}

impl Place {
    /// Reads what the other side prints.
    pub fn read(addr: &str) -> Self {
        match addr.split_once(':').expect("a kind") {
            ("unix", path) => Self::Unix(path.replacen('@', "\0", 1)),
            (_, addr) => Self::Tcp(addr.parse().expect("an address")),
        }
    }

    pub async fn open(&self, event_loop: &EventLoopHandle) -> Result<(StreamReader, StreamWriter)> {
        match self {
            Self::Tcp(addr) => event_loop.open_connection(*addr).await,
            Self::Unix(path) => event_loop.open_unix_connection(path).await,
        }
    }

    /// Sends `data` by streams, and returns what comes back meanwhile and after.
    pub async fn talk(&self, event_loop: &EventLoopHandle, data: Rc<[u8]>) -> Result<Vec<u8>> {
        let (mut reader, mut writer) = self.open(event_loop).await?;
        let sender = event_loop.create_task(async move {
            writer.write_all(&data).await?;
            writer.write_eof()
        })?;
        let (mut answer, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
        while let count @ 1.. = reader.read(&mut buffer).await? {
            answer.extend_from_slice(&buffer[..count]);
        }
        sender.await??;
        Ok(answer)
    }

    /// The same by a protocol.
    pub async fn converse(&self, event_loop: &EventLoopHandle, data: Rc<[u8]>) -> Result<Vec<u8>> {
        let over = event_loop.create_future()?;
        let client = Client { data, answer: Vec::new(), over: over.clone() };
        let (_transport, protocol) = match self {
            Self::Tcp(addr) => event_loop.create_connection(|| client, *addr).await?,
            Self::Unix(path) => event_loop.create_unix_connection(|| client, path).await?,
        };
        over.await?;
        protocol.with(|client| core::mem::take(&mut client.answer))
    }

    /// The same by a plain socket, which hears only when all was said.
    pub async fn exchange(&self, event_loop: &EventLoopHandle, data: Rc<[u8]>) -> Result<Vec<u8>> {
        let sock = match self {
            Self::Tcp(addr) => {
                let sock = event_loop.stream_socket(*addr)?;
                event_loop.sock_connect(&sock, *addr).await?;
                sock
            }
            Self::Unix(path) => {
                let addr = rondel::UnixAddr::try_from(path.as_str())?;
                let sock = event_loop.stream_socket(addr.clone())?;
                event_loop.sock_connect(&sock, addr).await?;
                sock
            }
        };
        event_loop.sock_sendall(&sock, &data).await.map_err(Error::from)?;
        std::net::TcpStream::from(std::os::fd::AsFd::as_fd(&sock).try_clone_to_owned().unwrap())
            .shutdown(std::net::Shutdown::Write)
            .unwrap();
        let mut answer = Vec::new();
        loop {
            match event_loop.sock_recv(&sock, 10_000).await? {
                data if data.is_empty() => return Ok(answer),
                data => answer.extend(data),
            }
        }
    }
}

/// Sends all, ends its side, and collects the answer.
struct Client {
    data: Rc<[u8]>,
    answer: Vec<u8>,
    over: Future<()>,
}

impl Protocol for Client {
    fn connection_made(&mut self, transport: &Transport) -> Result<()> {
        transport.write(&self.data)?;
        transport.write_eof()
    }

    fn data_received(&mut self, _: &Transport, data: &[u8]) -> Result<()> {
        self.answer.extend_from_slice(data);
        Ok(())
    }

    fn connection_lost(&mut self, _: &Transport, error: Option<&Error>) -> Result<()> {
        assert!(error.is_none(), "{error:?}");
        let _ = self.over.set_result(());
        Ok(())
    }
}

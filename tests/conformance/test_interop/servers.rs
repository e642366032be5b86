//! What rondel serves to peers.

use rondel::{AfterEof, EventLoopHandle, Protocol, Result, Server, StreamReader, StreamWriter, Transport};

use super::digest::Digest;
use super::{BACKLOG, Directory};
use crate::fixture::any_port;

/// Takes in all, and answers with its digest.
#[derive(Default)]
pub struct DigestServer(Digest);

impl Protocol for DigestServer {
    fn data_received(&mut self, _: &Transport, data: &[u8]) -> Result<()> {
        self.0.update(data);
        Ok(())
    }

    fn eof_received(&mut self, transport: &Transport) -> Result<AfterEof> {
        transport.write(self.0.to_string().as_bytes())?;
        Ok(AfterEof::Close)
    }
}

pub async fn serve_digest(mut reader: StreamReader, mut writer: StreamWriter) -> Result<()> {
    let (mut digest, mut buffer) = (Digest::default(), vec![0; 1 << 16]);
    while let count @ 1.. = reader.read(&mut buffer).await? {
        digest.update(&buffer[..count]);
    }
    writer.write_all(digest.to_string().as_bytes()).await
}

pub async fn serve_echo(mut reader: StreamReader, mut writer: StreamWriter) -> Result<()> {
    let mut buffer = vec![0; 1 << 16];
    while let count @ 1.. = reader.read(&mut buffer).await? {
        writer.write_all(&buffer[..count]).await?;
    }
    Ok(())
}

/// Listens on TCP, a UNIX socket and an abstract name, by protocols and by streams.
pub async fn serve_everywhere<P, Fut>(
    event_loop: &EventLoopHandle,
    directory: &Directory,
    factory: fn() -> P,
    client_connected: fn(StreamReader, StreamWriter) -> Fut,
) -> Result<Vec<Server>>
where
    P: Protocol,
    Fut: core::future::Future<Output = Result<()>> + 'static,
{
    let (file, other_file) = (directory.path("protocol"), directory.path("streams"));
    let (name, other_name) = (directory.name("protocol"), directory.name("streams"));
    Ok(vec![
        event_loop.create_server(factory, any_port()).backlog(BACKLOG).await?,
        event_loop.create_unix_server(factory, file).backlog(BACKLOG).await?,
        event_loop.create_unix_server(factory, name).backlog(BACKLOG).await?,
        event_loop.start_server(any_port(), client_connected).backlog(BACKLOG).await?,
        event_loop.start_unix_server(other_file, client_connected).backlog(BACKLOG).await?,
        event_loop.start_unix_server(other_name, client_connected).backlog(BACKLOG).await?,
    ])
}

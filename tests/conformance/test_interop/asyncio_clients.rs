//! asyncio connects, rondel serves.

use core::cell::RefCell;
use std::net::TcpListener;
use std::rc::Rc;

use rondel::{
    AfterEof, BufferedProtocol, Error, EventLoopHandle, Protocol, Result, Server, StreamReader, StreamWriter,
    Transport,
};

use super::digest::Digest;
use super::servers::{DigestServer, serve_digest, serve_echo, serve_everywhere};
use super::{CROWD, Directory, MEGABYTES, hold, roomy, spelled};
use crate::fixture::any_port;
use crate::peer::{Peer, with_tool};
use crate::protocols::Echo;

/// The same, into memory of its own.
struct BufferedDigestServer(Digest, Vec<u8>);

impl BufferedDigestServer {
    fn new() -> Self {
        Self(Digest::default(), vec![0; 5000])
    }
}

impl BufferedProtocol for BufferedDigestServer {
    fn buffer(&mut self, _: usize) -> &mut [u8] {
        &mut self.1
    }

    fn buffer_updated(&mut self, _: &Transport, count: usize) -> Result<()> {
        self.0.update(&self.1[..count]);
        Ok(())
    }

    fn eof_received(&mut self, transport: &Transport) -> Result<AfterEof> {
        transport.write(self.0.to_string().as_bytes())?;
        Ok(AfterEof::Close)
    }
}

/// Has asyncio's clients talk to all servers, and ends the servers in order.
async fn visited(event_loop: &EventLoopHandle, servers: &[Server], conversation: &[&str]) -> Result<()> {
    let addrs: Vec<_> = servers.iter().map(spelled).collect();
    let mut arguments = conversation.to_vec();
    arguments.extend(addrs.iter().map(String::as_str));
    Peer::python(&arguments).ends_well(event_loop).await;
    for server in servers {
        assert!(server.accepted() > 0 && server.refused() == 0, "{server:?}");
        server.close();
        server.wait_closed().await?;
    }
    Ok(())
}

#[test]
fn asyncio_clients_send_megabytes_end_their_side_and_are_answered() {
    with_tool("python3", || {
        let (event_loop, directory) = (roomy(), Directory::new("digest"));
        hold(&event_loop, async {
            let mut servers =
                serve_everywhere(&event_loop, &directory, DigestServer::default, serve_digest).await?;
            servers.push(event_loop.create_server(BufferedDigestServer::new, any_port()).await?);
            let listener = TcpListener::bind(any_port()).unwrap();
            servers.push(event_loop.create_server_with_sock(DigestServer::default, listener).await?);
            visited(&event_loop, &servers, &["digest", "client", &MEGABYTES.to_string()]).await
        });
    });
}

#[test]
fn asyncio_clients_get_megabytes_back_while_they_send() {
    with_tool("python3", || {
        let (event_loop, directory) = (roomy(), Directory::new("echo"));
        hold(&event_loop, async {
            let servers = serve_everywhere(&event_loop, &directory, || Echo, serve_echo).await?;
            visited(&event_loop, &servers, &["echo", "client", &MEGABYTES.to_string()]).await
        });
        assert_eq!((event_loop.dropped_writes(), event_loop.write_buffers_size()), (0, 0));
    });
}

#[test]
fn asyncio_clients_come_in_a_crowd() {
    with_tool("python3", || {
        let (event_loop, directory) = (roomy(), Directory::new("crowd"));
        hold(&event_loop, async {
            let servers = serve_everywhere(&event_loop, &directory, || Echo, serve_echo).await?;
            visited(&event_loop, &servers, &["crowd", "client", &CROWD.to_string()]).await
        });
        assert_eq!(event_loop.statistics().tasks.live, 0);
    });
}

/// Says farewell first, ends its side, and takes in what the peer has to say still.
struct PartingServer(Digest, Rc<RefCell<Vec<String>>>);

impl Protocol for PartingServer {
    fn connection_made(&mut self, transport: &Transport) -> Result<()> {
        transport.write(b"farewell")?;
        transport.write_eof()
    }

    fn data_received(&mut self, _: &Transport, data: &[u8]) -> Result<()> {
        self.0.update(data);
        Ok(())
    }

    fn connection_lost(&mut self, _: &Transport, error: Option<&Error>) -> Result<()> {
        assert!(error.is_none(), "{error:?}");
        self.1.borrow_mut().push(self.0.to_string());
        Ok(())
    }
}

#[test]
fn asyncio_clients_go_on_sending_when_the_server_has_ended_its_side() {
    with_tool("python3", || {
        let event_loop = roomy();
        let digests = Rc::new(RefCell::new(Vec::new()));
        let (of_protocols, of_streams) = (Rc::clone(&digests), Rc::clone(&digests));
        hold(&event_loop, async {
            let factory = move || PartingServer(Digest::default(), Rc::clone(&of_protocols));
            let client_connected = move |mut reader: StreamReader, mut writer: StreamWriter| {
                let digests = Rc::clone(&of_streams);
                async move {
                    writer.write_all(b"farewell").await?;
                    writer.write_eof()?;
                    let (mut digest, mut buffer) = (Digest::default(), vec![0; 1 << 16]);
                    while let count @ 1.. = reader.read(&mut buffer).await? {
                        digest.update(&buffer[..count]);
                    }
                    digests.borrow_mut().push(digest.to_string());
                    Ok::<(), Error>(())
                }
            };
            let servers = [
                event_loop.create_server(factory, any_port()).await?,
                event_loop.start_server(any_port(), client_connected).await?,
            ];
            visited(&event_loop, &servers, &["parting", "client", "1000000"]).await
        });
        let digests = digests.take();
        assert!(digests.len() == 4 && digests[0].starts_with("1000000 "), "{digests:?}");
        assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
    });
}

/// Answers once, and keeps the error that ends the connection.
struct Broken(Rc<RefCell<Vec<Option<std::io::ErrorKind>>>>);

impl Protocol for Broken {
    fn data_received(&mut self, transport: &Transport, _: &[u8]) -> Result<()> {
        transport.write(b"!")
    }

    fn connection_lost(&mut self, _: &Transport, error: Option<&Error>) -> Result<()> {
        self.0.borrow_mut().push(error.and_then(Error::as_io).map(std::io::Error::kind));
        Ok(())
    }
}

#[test]
fn a_connection_that_asyncio_resets_is_lost_with_that_error() {
    with_tool("python3", || {
        let event_loop = roomy();
        let errors = Rc::new(RefCell::new(Vec::new()));
        let kept = Rc::clone(&errors);
        hold(&event_loop, async {
            let factory = move || Broken(Rc::clone(&kept));
            let server = event_loop.create_server(factory, any_port()).await?;
            visited(&event_loop, &[server], &["reset", "client", "1"]).await
        });
        assert_eq!(errors.take(), [Some(std::io::ErrorKind::ConnectionReset); 2]);
    });
}

/// SK, CA-1: plain sockets, and a connection that somebody else accepted.
#[test]
fn asyncio_clients_are_served_by_plain_sockets_and_by_accepted_ones() {
    with_tool("python3", || {
        let event_loop = roomy();
        hold(&event_loop, async {
            let listener = rondel::NonBlocking::new(TcpListener::bind(any_port()).unwrap())?;
            let addr = format!("tcp:{}", listener.get_ref().local_addr().unwrap());
            let peer = Peer::python(&["digest", "client", "1000000", &addr]);
            let (sock, _) = event_loop.sock_accept(&listener).await?;
            let mut digest = Digest::default();
            loop {
                match event_loop.sock_recv(&sock, 10_000).await? {
                    data if data.is_empty() => break,
                    data => digest.update(&data),
                }
            }
            event_loop.sock_sendall(&sock, digest.to_string().as_bytes()).await.unwrap();
            drop(sock);
            let (sock, _) = event_loop.sock_accept(&listener).await?;
            let accepted = sock.into_inner();
            let _transport = event_loop.connect_accepted_socket(DigestServer::default, accepted).await?;
            peer.ends_well(&event_loop).await;
            Ok::<(), Error>(())
        });
    });
}

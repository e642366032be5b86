//! Messages that a server sends back, over 10 connections.

use std::io::{ErrorKind, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use rondel::{EventLoop, Protocol, Server, StreamReader, StreamWriter, Transport};

use crate::subject::{Rondel, Subject};

const CONNECTIONS: usize = 10;
const SIZE: usize = 1024;

/// A message of 1 KiB is received and sent back by a protocol. The peer's part is
/// in the count: one call to send and one to receive.
pub(crate) fn by_protocols(subject: &Rondel, count: usize) {
    echo(subject, count, async |event_loop, listener| {
        event_loop.create_server_with_sock(|| Echo, listener).await
    });
}

/// The same by a task with streams.
pub(crate) fn by_streams(subject: &Rondel, count: usize) {
    echo(subject, count, async |event_loop, listener| {
        event_loop.start_server_with_sock(listener, echo_streams).await
    });
}

fn echo(
    subject: &Rondel,
    count: usize,
    serve: impl AsyncFnOnce(&EventLoop, UnixListener) -> rondel::Result<Server>,
) {
    assert_eq!(count % CONNECTIONS, 0, "whole batches");
    let name = format!("rondel-instructions-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(name).expect("is short");
    let listener = UnixListener::bind_addr(&address).expect("binds");
    let event_loop = &subject.event_loop;
    let _server = event_loop.run_until_complete(serve(event_loop, listener)).expect("listens");
    let peers: Vec<UnixStream> = (0..CONNECTIONS)
        .map(|_| {
            let peer = UnixStream::connect_addr(&address).expect("connects");
            peer.set_nonblocking(true).expect("doesn't block");
            peer
        })
        .collect();
    let mut buffer = [7; SIZE];
    // A socket tells at once what another sends: a turn has all messages.
    for _ in 0..count / CONNECTIONS {
        for mut peer in &peers {
            assert_eq!(peer.write(&buffer).expect("takes all"), SIZE);
        }
        peers.iter().for_each(|peer| receive(subject, peer, &mut buffer));
    }
}

fn receive(subject: &Rondel, mut peer: &UnixStream, buffer: &mut [u8]) {
    loop {
        match peer.read(buffer) {
            Ok(received) => return assert_eq!(received, SIZE),
            Err(error) if error.kind() == ErrorKind::WouldBlock => subject.turn(),
            Err(error) => panic!("{error}"),
        }
    }
}

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> rondel::Result<()> {
        transport.write(data)
    }
}

async fn echo_streams(mut reader: StreamReader, mut writer: StreamWriter) -> rondel::Result<()> {
    while !reader.at_eof() {
        reader.readable().await?;
        let sent = reader.try_read_with(|data| writer.try_write(data))?;
        sent.transpose()?;
    }
    Ok(())
}

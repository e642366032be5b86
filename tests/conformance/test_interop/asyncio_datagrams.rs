//! Datagrams between asyncio and rondel.

use core::net::SocketAddr;

use rondel::{Address, DatagramProtocol, DatagramTransport, Error, Future, Result};

use super::digest::blob;
use super::{hold, roomy};
use crate::fixture::any_port;
use crate::peer::{Peer, with_tool};

/// Sends each datagram back where it came from.
struct DatagramEcho;

impl DatagramProtocol for DatagramEcho {
    fn datagram_received(
        &mut self,
        transport: &DatagramTransport,
        data: &[u8],
        addr: &Address,
    ) -> Result<()> {
        transport.sendto(data, addr)
    }
}

#[test]
fn asyncio_datagrams_of_all_sizes_come_back() {
    with_tool("python3", || {
        let event_loop = roomy();
        hold(&event_loop, async {
            let (transport, _) =
                event_loop.create_datagram_endpoint(|| DatagramEcho).local_addr(any_port()).await?;
            let addr = format!("udp:{}", transport.local_addr().expect("an address"));
            Peer::python(&["datagram", "client", &addr]).ends_well(&event_loop).await;
            Ok::<(), Error>(())
        });
    });
}

/// Sends the next datagram when the last one has come back, and at last `end`.
struct DatagramClient {
    left: Vec<Vec<u8>>,
    awaited: Vec<u8>,
    over: Future<()>,
}

impl DatagramClient {
    fn new(over: Future<()>) -> Self {
        // None is empty: before Python 3.13 asyncio doesn't send those.
        let left = [60_000, 9_000, 3, 1_400, 1].map(blob);
        let left = core::iter::once(b"end".to_vec()).chain(left).collect();
        Self { left, awaited: Vec::new(), over }
    }

    fn send(&mut self, transport: &DatagramTransport) -> Result<()> {
        let Some(data) = self.left.pop() else {
            self.over.set_result(()).expect("once");
            return Ok(());
        };
        self.awaited = data;
        transport.send(&self.awaited)
    }
}

impl DatagramProtocol for DatagramClient {
    fn connection_made(&mut self, transport: &DatagramTransport) -> Result<()> {
        self.send(transport)
    }

    fn datagram_received(&mut self, transport: &DatagramTransport, data: &[u8], _: &Address) -> Result<()> {
        assert!(data == self.awaited, "{} bytes", data.len());
        self.send(transport)
    }
}

#[test]
fn an_asyncio_endpoint_sends_datagrams_of_all_sizes_back() {
    with_tool("python3", || {
        let event_loop = roomy();
        let mut peer = Peer::python(&["datagram", "server", "udp:127.0.0.1:0"]);
        let addr: SocketAddr = peer.line().trim_start_matches("udp:").parse().expect("an address");
        hold(&event_loop, async {
            let over = event_loop.create_future()?;
            let client = DatagramClient::new(over.clone());
            let _endpoint = event_loop.create_datagram_endpoint(|| client).remote_addr(addr).await?;
            over.await?;
            peer.ends_well(&event_loop).await;
            Ok::<(), Error>(())
        });
    });
}

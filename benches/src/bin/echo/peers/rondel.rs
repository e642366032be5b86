//! rondel, by protocols and by streams, with its usual configuration.

use rondel::{
    Address, DatagramProtocol, DatagramTransport, EventLoop, Protocol, StreamReader, StreamWriter, Transport,
};

use crate::socket::Socket;

pub(super) fn serve_protocols(socket: Socket, _buffer: usize, ready: &dyn Fn()) -> Result<(), String> {
    run(async |event_loop| {
        if let Socket::Udp(socket) = socket {
            let _endpoint = event_loop.create_datagram_endpoint_with_sock(|| Echo, socket).await?;
            ready();
            return core::future::pending().await;
        }
        let server = event_loop.create_server_with_sock(|| Echo, socket.into_fd()).backlog(4096).await?;
        ready();
        server.serve_forever().await
    })
}

pub(super) fn serve_streams(socket: Socket, _buffer: usize, ready: &dyn Fn()) -> Result<(), String> {
    run(async |event_loop| {
        let server = event_loop.start_server_with_sock(socket.into_fd(), echo).backlog(4096).await?;
        ready();
        server.serve_forever().await
    })
}

fn run(serve: impl AsyncFnOnce(&EventLoop) -> rondel::Result<()>) -> Result<(), String> {
    let event_loop = EventLoop::new().map_err(|error| error.to_string())?;
    event_loop.run_until_complete(serve(&event_loop)).map_err(|error| error.to_string())
}

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> rondel::Result<()> {
        transport.write(data)
    }

    fn pause_writing(&mut self, transport: &Transport) -> rondel::Result<()> {
        transport.pause_reading();
        Ok(())
    }

    fn resume_writing(&mut self, transport: &Transport) -> rondel::Result<()> {
        transport.resume_reading();
        Ok(())
    }
}

impl DatagramProtocol for Echo {
    fn datagram_received(
        &mut self,
        transport: &DatagramTransport,
        data: &[u8],
        addr: &Address,
    ) -> rondel::Result<()> {
        transport.sendto(data, addr)
    }
}

/// Echoes from the loop's own buffer, while the peer keeps up. The load resets its
/// connections, so how one ends is nobody's business.
async fn echo(mut reader: StreamReader, mut writer: StreamWriter) {
    while reader.readable().await.is_ok() {
        let rest = reader.try_read_with(|data| writer.try_write(data).map(|sent| data[sent..].to_vec()));
        let is_alive = match rest {
            Ok(None) => true,
            Ok(Some(Ok(rest))) if rest.is_empty() => !reader.at_eof(),
            // In a box, so that an idle connection doesn't keep the room for it.
            Ok(Some(Ok(rest))) => Box::pin(writer.write_all(&rest)).await.is_ok(),
            Ok(Some(Err(_))) | Err(_) => false,
        };
        if !is_alive {
            return;
        }
    }
}

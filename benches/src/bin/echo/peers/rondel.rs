//! rondel, by protocols and by streams, with its usual configuration.

use rondel::EventLoop;

use crate::echoes::{Echo, echo};
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

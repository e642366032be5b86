//! libuv, as a lean C program would use it.

use super::uv::Loop;
use crate::socket::Socket;

pub(super) fn serve(socket: Socket, _buffer: usize, ready: &dyn Fn()) -> Result<(), String> {
    let is_tcp = socket.is_tcp();
    let event_loop = Loop::new();
    event_loop.echo(socket.into_fd(), is_tcp);
    ready();
    event_loop.run();
    Ok(())
}

//! Servers and their listeners: SV, and the rows A of the faults.

mod accepting;
mod clients;
mod closing;
mod listening;
mod sharing;

use core::cell::RefCell;
use core::time::Duration;
use std::io::Read;
use std::net::TcpStream;
use std::rc::Rc;

use rondel::{Error, EventLoop, EventLoopHandle, Faults, Protocol, Server, Transport};

use crate::fixture::{Trace, small, turns};

const SECOND: Duration = Duration::from_secs(1);

/// Runs `test` on a loop that fails on request, and has nothing left in the end.
#[track_caller]
fn run(test: impl AsyncFnOnce(EventLoopHandle, Faults) -> Result<(), Error>) {
    let (event_loop, _clock, faults) = EventLoop::with_faults(small()).unwrap();
    event_loop.run_until_complete(test(event_loop.handle(), faults)).unwrap();
    turns(&event_loop, 3);
    let statistics = event_loop.statistics();
    let left = (event_loop.watched_descriptors(), statistics.calls.live, statistics.tasks.live);
    assert_eq!(left, (0, 0, 0), "descriptors, calls, tasks");
}

/// What the connections of a server have been through.
#[derive(Clone, Default)]
struct Hall {
    trace: Trace,
    transports: Rc<RefCell<Vec<Transport>>>,
}

impl Hall {
    /// Makes the factory of its protocols.
    fn guests(&self) -> impl Fn() -> Guest + 'static + use<> {
        let hall = self.clone();
        move || Guest(hall.clone())
    }
}

/// Echoes.
struct Guest(Hall);

impl Protocol for Guest {
    fn connection_made(&mut self, transport: &Transport) -> rondel::Result<()> {
        self.0.trace.push("made");
        self.0.transports.borrow_mut().push(transport.clone());
        Ok(())
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> rondel::Result<()> {
        transport.write(data)
    }

    fn connection_lost(&mut self, _: &Transport, error: Option<&Error>) -> rondel::Result<()> {
        self.0.trace.push(if error.is_some() { "broken" } else { "lost" });
        Ok(())
    }
}

/// Ignores what comes.
struct Idle;

impl Protocol for Idle {
    fn data_received(&mut self, _: &Transport, _: &[u8]) -> rondel::Result<()> {
        Ok(())
    }
}

fn knock(server: &Server) -> TcpStream {
    TcpStream::connect(server.local_addr()).unwrap()
}

/// Gives the loop some turns.
async fn settle(event_loop: &EventLoopHandle) {
    for _ in 0..12 {
        event_loop.yield_now().await.unwrap();
    }
}

/// Ends a server and whatever it has.
async fn end(server: &Server) -> Result<(), Error> {
    server.close();
    server.abort_clients();
    server.wait_closed().await
}

/// Reads one byte, which is there or comes without the loop.
fn byte(mut client: &TcpStream) -> std::io::Result<u8> {
    let mut buffer = [0];
    client.read_exact(&mut buffer)?;
    Ok(buffer[0])
}

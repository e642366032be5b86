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

use rondel::{Error, Protocol, Server, Transport};

use crate::fixture::Trace;

const SECOND: Duration = Duration::from_secs(1);

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

fn knock(server: &Server) -> TcpStream {
    TcpStream::connect(server.local_addr()).unwrap()
}

/// Reads one byte, which is there or comes without the loop.
fn byte(mut client: &TcpStream) -> std::io::Result<u8> {
    let mut buffer = [0];
    client.read_exact(&mut buffer)?;
    Ok(buffer[0])
}

//! The UDP socket: tells who asks where the gateway listens, and echoes the rest.

use core::net::SocketAddr;
use std::rc::Rc;

use rondel::{Address, DatagramProtocol, DatagramTransport, Error, ErrorKind, EventLoopHandle, Future};

use crate::figures::Figures;
use crate::options::Options;

/// Asks for the addresses; a line end may follow.
const QUESTION: &[u8] = b"discover";

/// The socket, for the one who closes it.
pub(crate) struct Discovery {
    transport: DatagramTransport,
    closed: Future<()>,
}

impl Discovery {
    /// Receives at an address; the options tell what is answered.
    pub(crate) async fn listen(
        event_loop: &EventLoopHandle,
        addr: SocketAddr,
        options: &Options,
        figures: &Rc<Figures>,
    ) -> rondel::Result<Self> {
        let closed = event_loop.create_future()?;
        let mut responder = Responder {
            answer: format!("rondel-gateway {} tcp={}", env!("CARGO_PKG_VERSION"), options.tcp),
            figures: Rc::clone(figures),
            closed: closed.clone(),
        };
        if let Some(path) = &options.unix {
            responder.answer += &format!(" unix={}", path.display());
        }
        let (transport, _) = event_loop.create_datagram_endpoint(|| responder).local_addr(addr).await?;
        figures.watch_datagrams(&transport);
        if let Some(addr) = transport.local_addr() {
            println!("discovery and echo on udp {addr}");
        }
        Ok(Self { transport, closed })
    }

    /// Sends what is still to be sent, and closes the socket.
    pub(crate) async fn close(self) -> rondel::Result<()> {
        self.transport.close();
        Ok(self.closed.await?)
    }
}

/// Answers each datagram by one.
struct Responder {
    /// Is the line that answers the question.
    answer: String,
    figures: Rc<Figures>,
    closed: Future<()>,
}

impl DatagramProtocol for Responder {
    fn connection_made(&mut self, transport: &DatagramTransport) -> rondel::Result<()> {
        // The port may be one that the system chose.
        if let Some(addr) = transport.local_addr() {
            self.answer += &format!(" udp={addr}");
        }
        self.answer.push('\n');
        Ok(())
    }

    fn datagram_received(
        &mut self,
        transport: &DatagramTransport,
        data: &[u8],
        addr: &Address,
    ) -> rondel::Result<()> {
        self.figures.datagram_received();
        let answer = if asks(data) { self.answer.as_bytes() } else { data };
        match transport.sendto(answer, addr) {
            // Dropped and counted: whoever floods is not served beyond the ceiling.
            Err(error) if error.kind() == ErrorKind::Full => Ok(()),
            sent => sent,
        }
    }

    fn connection_lost(&mut self, _: &DatagramTransport, _: Option<&Error>) -> rondel::Result<()> {
        // Nobody waits for it if the gateway fails.
        let _ = self.closed.set_result(());
        Ok(())
    }
}

fn asks(data: &[u8]) -> bool {
    let line = data.strip_suffix(b"\n").unwrap_or(data);
    line.strip_suffix(b"\r").unwrap_or(line) == QUESTION
}

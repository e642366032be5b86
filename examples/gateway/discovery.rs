//! The UDP socket: tells who asks where the gateway listens, and echoes the rest.

use core::net::SocketAddr;
use std::rc::Rc;

use rondel::{Address, DatagramProtocol, DatagramTransport, ErrorKind, EventLoopHandle};

use crate::figures::Figures;
use crate::options::Options;
use crate::output::say;

/// Asks for the addresses; a line end may follow.
const QUESTION: &[u8] = b"discover";

/// Receives at an address; the options tell what is answered. Returns the address, with the port that
/// was chosen.
pub(crate) async fn listen(
    event_loop: &EventLoopHandle,
    addr: SocketAddr,
    options: &Options,
    figures: &Rc<Figures>,
) -> rondel::Result<SocketAddr> {
    let mut responder = Responder {
        answer: format!("rondel-gateway {} tcp={}", env!("CARGO_PKG_VERSION"), options.tcp),
        figures: Rc::clone(figures),
    };
    if let Some(path) = &options.unix {
        responder.answer += &format!(" unix={}", path.display());
    }
    let (transport, _) = event_loop.create_datagram_endpoint(|| responder).local_addr(addr).await?;
    figures.watch_datagrams(&transport);
    let addr = transport.local_addr().and_then(|addr| addr.as_inet()).unwrap_or(addr);
    say!("discovery and echo on udp {addr}");
    Ok(addr)
}

/// Answers each datagram by one.
struct Responder {
    /// Is the line that answers the question.
    answer: String,
    figures: Rc<Figures>,
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
}

fn asks(data: &[u8]) -> bool {
    let line = data.strip_suffix(b"\n").unwrap_or(data);
    line.strip_suffix(b"\r").unwrap_or(line) == QUESTION
}

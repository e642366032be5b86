//! Protocols that several tests speak.

use rondel::{Address, DatagramProtocol, DatagramTransport, Protocol, Result, Transport};

/// Sends back what comes, and takes no more than goes.
pub struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result<()> {
        transport.write(data)
    }

    fn pause_writing(&mut self, transport: &Transport) -> Result<()> {
        transport.pause_reading();
        Ok(())
    }

    fn resume_writing(&mut self, transport: &Transport) -> Result<()> {
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
    ) -> Result<()> {
        transport.sendto(data, addr)
    }
}

/// Hears everything, and says nothing.
pub struct Silent;

impl Protocol for Silent {
    fn data_received(&mut self, _: &Transport, _: &[u8]) -> Result<()> {
        Ok(())
    }
}

impl DatagramProtocol for Silent {
    fn datagram_received(&mut self, _: &DatagramTransport, _: &[u8], _: &Address) -> Result<()> {
        Ok(())
    }
}

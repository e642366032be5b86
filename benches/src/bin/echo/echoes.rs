//! How rondel sends back what it receives: by a protocol, and by streams.

use rondel::{Address, DatagramProtocol, DatagramTransport, Protocol, StreamReader, StreamWriter, Transport};

pub(crate) struct Echo;

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
pub(crate) async fn echo(mut reader: StreamReader, mut writer: StreamWriter) {
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

//! How rondel sends back what it receives: by a protocol, and by streams.

use core::future::Future;
use core::pin::Pin;

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
        let rest = match send_back(&mut reader, &mut writer) {
            Ok(None) => continue,
            Ok(Some(rest)) => rest,
            Err(Over) => return,
        };
        rest.await;
    }
}

/// The connection is over.
struct Over;

/// Returns what sends the rest, where the kernel has no room for all: in a box, so that an idle
/// connection doesn't keep the place for it.
fn send_back<'a>(
    reader: &mut StreamReader,
    writer: &'a mut StreamWriter,
) -> Result<Option<Pin<Box<impl Future<Output = ()> + 'a>>>, Over> {
    match reader.try_read_with(|data| writer.try_write(data).map(|sent| data[sent..].to_vec())) {
        Ok(None) => Ok(None),
        Ok(Some(Ok(rest))) if !rest.is_empty() => Ok(Some(Box::pin(send_rest(writer, rest)))),
        Ok(Some(Ok(_))) if !reader.at_eof() => Ok(None),
        _ => Err(Over),
    }
}

/// If it fails, so does the next read.
async fn send_rest(writer: &mut StreamWriter, rest: Vec<u8>) {
    let _ = writer.write_all(&rest).await;
}

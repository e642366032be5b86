//! The smallest useful program, to see what rondel costs: an echo server at a
//! literal address. With the feature `tls` by TLS.
//!
//! ```text
//! $ cargo build --profile footprint -p footprint
//! $ target/footprint/footprint 127.0.0.1:7
//! $ cargo build --profile footprint -p footprint --features tls
//! $ target/footprint/footprint 127.0.0.1:7 cert.pem key.pem
//! ```

use core::net::SocketAddr;

use rondel::{Protocol, Result, Transport};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage =
        "the arguments are an address with a port, and the files of a certificate and its key for TLS";
    let addr = arguments.next().and_then(|addr| addr.parse::<SocketAddr>().ok()).ok_or(usage)?;
    rondel::run(async |event_loop| {
        let server = event_loop.create_server(|| Echo, addr);
        #[cfg(feature = "tls")]
        let server = {
            let mut file = || arguments.next().map(rondel::Pem::file).ok_or(usage);
            server.tls(rondel::TlsServerConfig::builder(file()?, file()?).build()?)
        };
        server.await?.serve_forever().await
    })
}

/// Sends back what comes, and reads no more than the peer reads.
struct Echo;

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

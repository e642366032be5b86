//! An echo server: by protocols, or by streams; of datagrams too.
//!
//! ```text
//! $ cargo run --release --example echo_server -- tcp 127.0.0.1:7
//! $ cargo run --release --example echo_server -- unix /tmp/echo.sock --streams
//! $ cargo run --release --example echo_server -- udp 127.0.0.1:7
//! $ cargo run --release --example echo_server -- tls 127.0.0.1:4433
//! $ openssl s_client -connect 127.0.0.1:4433
//! ```

#[path = "certificate.rs"]
mod certificate;

use std::path::PathBuf;
use std::process::ExitCode;

use rondel::{
    Address, Config, DatagramProtocol, DatagramTransport, Error, ErrorKind, EventLoop, EventLoopHandle,
    Protocol, Server, StreamReader, StreamWriter, Transport,
};

const HELP: &str = "\
Sends back whatever it receives.

Usage: echo_server MODE ADDR [--streams] [--cert FILE --key FILE]

  MODE        tcp, tls, unix or udp
  ADDR        where to listen: an address and a port, or a path
  --streams   serve each connection by a task with streams, not by a protocol; not of udp
  --cert FILE the certificate of tls, and those that lead to its issuer; without
              it, a new one for localhost
  --key FILE  its private key
  --help      print this";

fn main() -> ExitCode {
    let arguments = match Arguments::parse() {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("echo_server: {error}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match serve(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo_server: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Arguments {
    mode: String,
    addr: String,
    streams: bool,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl Arguments {
    /// Reads the command line; `None` if only help is wanted.
    fn parse() -> Result<Option<Self>, lexopt::Error> {
        use lexopt::prelude::{Long, Short, Value, ValueExt};
        let (mut values, mut streams) = (Vec::new(), false);
        let (mut cert, mut key) = (None, None);
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Value(value) if values.len() < 2 => values.push(value.string()?),
                Long("streams") => streams = true,
                Long("cert") => cert = Some(parser.value()?.into()),
                Long("key") => key = Some(parser.value()?.into()),
                Short('h') | Long("help") => return Ok(None),
                unexpected => return Err(unexpected.unexpected()),
            }
        }
        let mut values = values.into_iter();
        let (Some(mode), Some(addr)) = (values.next(), values.next()) else {
            return Err("MODE and ADDR are missing".into());
        };
        Ok(Some(Self { mode, addr, streams, cert, key }))
    }
}

fn serve(arguments: Arguments) -> Result<(), Error> {
    let capacity = 1 << 16;
    let config = Config { descriptors: capacity, tasks: capacity, calls: 2 * capacity, ..Config::default() };
    let event_loop = EventLoop::with_config(config)?;
    if arguments.mode == "udp" && !arguments.streams {
        let endpoint = event_loop.create_datagram_endpoint(|| EchoDatagrams).local_addr(arguments.addr);
        event_loop.run_until_complete(endpoint)?;
        println!("READY");
        return event_loop.run_forever();
    }
    event_loop.run_until_complete(async {
        let server = listen(&event_loop, &arguments).await?;
        println!("READY");
        server.serve_forever().await
    })
}

async fn listen(event_loop: &EventLoopHandle, arguments: &Arguments) -> Result<Server, Error> {
    let addr = &arguments.addr;
    match (arguments.mode.as_str(), arguments.streams) {
        ("tcp", false) => event_loop.create_server(|| Echo, addr.clone()).backlog(4096).await,
        ("tcp", true) => event_loop.start_server(addr.clone(), echo).backlog(4096).await,
        ("tls", is_by_streams) => {
            let (tls, _) = certificate::tls_config(arguments.cert.clone(), arguments.key.clone())?;
            if is_by_streams {
                event_loop.start_server(addr.clone(), echo).tls(tls).backlog(4096).await
            } else {
                event_loop.create_server(|| Echo, addr.clone()).tls(tls).backlog(4096).await
            }
        }
        ("unix", false) => event_loop.create_unix_server(|| Echo, addr).backlog(4096).await,
        ("unix", true) => event_loop.start_unix_server(addr, echo).backlog(4096).await,
        ("udp", true) => Err("there are no streams of datagrams".into()),
        (mode, _) => Err(format!("there is no mode {mode:?}").into()),
    }
}

/// Echoes as a protocol: what comes goes back at once.
struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> rondel::Result<()> {
        transport.write(data)
    }

    /// Reads no more than the peer reads.
    fn pause_writing(&mut self, transport: &Transport) -> rondel::Result<()> {
        transport.pause_reading();
        Ok(())
    }

    fn resume_writing(&mut self, transport: &Transport) -> rondel::Result<()> {
        transport.resume_reading();
        Ok(())
    }
}

/// Echoes datagrams.
struct EchoDatagrams;

impl DatagramProtocol for EchoDatagrams {
    fn datagram_received(
        &mut self,
        transport: &DatagramTransport,
        data: &[u8],
        addr: &Address,
    ) -> rondel::Result<()> {
        match transport.sendto(data, addr) {
            // There is no room for it: datagrams may be lost.
            Err(error) if error.kind() == ErrorKind::Full => Ok(()),
            sent => sent,
        }
    }
}

/// Echoes as a task, in the loop's own buffer while the peer keeps up.
async fn echo(mut reader: StreamReader, mut writer: StreamWriter) -> rondel::Result<()> {
    while !reader.at_eof() {
        reader.readable().await?;
        let mut rest = Vec::new();
        let read = reader.try_read_with(|data| {
            let sent = writer.try_write(data)?;
            rest.extend_from_slice(&data[sent..]);
            Ok::<(), Error>(())
        })?;
        read.transpose()?;
        if !rest.is_empty() {
            writer.write_all(&rest).await?;
        }
    }
    Ok(())
}

//! The command line.

use core::net::SocketAddr;
use std::path::PathBuf;

use rondel::TlsServerConfig;

use crate::certificate;

pub(crate) const HELP: &str = "\
A small daemon that serves line commands: over TCP, in the clear and by TLS,
and on a control socket.
Over UDP it sends back what it receives, and answers \"discover\".

Usage: gateway [--tcp ADDR] [--unix PATH] [--udp ADDR] [--loops N]
               [--tls ADDR [--cert FILE --key FILE]]

  --tcp ADDR    the address to listen on (default 127.0.0.1:7007)
  --unix PATH   the path of a control socket (none by default)
  --udp ADDR    the address to answer datagrams on (none by default)
  --loops N     how many loops serve TCP, each in a thread of its own (default 1)
  --tls ADDR    the address to talk TLS on (none by default)
  --cert FILE   its certificate, and those that lead to its issuer; without it, a
                new one for localhost
  --key FILE    the certificate's private key
  --help        print this";

/// What the gateway is to do.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) tcp: SocketAddr,
    pub(crate) unix: Option<PathBuf>,
    pub(crate) udp: Option<SocketAddr>,
    pub(crate) loops: usize,
    pub(crate) tls: Option<Tls>,
}

/// Where to talk TLS, and how.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    pub(crate) addr: SocketAddr,
    pub(crate) config: TlsServerConfig,
}

impl Options {
    /// Reads the command line; `None` if only help is wanted.
    pub(crate) fn parse() -> Result<Option<Self>, lexopt::Error> {
        use lexopt::prelude::{Long, Short, ValueExt};
        let tcp = SocketAddr::from(([127, 0, 0, 1], 7007));
        let mut options = Self { tcp, unix: None, udp: None, loops: 1, tls: None };
        let (mut tls, mut cert, mut key) = (None, None, None);
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("tcp") => options.tcp = parser.value()?.parse()?,
                Long("unix") => options.unix = Some(parser.value()?.into()),
                Long("udp") => options.udp = Some(parser.value()?.parse()?),
                Long("loops") => options.loops = parser.value()?.parse_with(loops)?,
                Long("tls") => tls = Some(parser.value()?.parse()?),
                Long("cert") => cert = Some(parser.value()?.into()),
                Long("key") => key = Some(parser.value()?.into()),
                Short('h') | Long("help") => return Ok(None),
                unexpected => return Err(unexpected.unexpected()),
            }
        }
        if let Some(addr) = tls {
            let config = certificate::tls_config(cert, key).map_err(|error| error.to_string())?;
            options.tls = Some(Tls { addr, config });
        }
        Ok(Some(options))
    }
}

fn loops(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(loops @ 1..=64) => Ok(loops),
        _ => Err(String::from("there can be 1 to 64 loops")),
    }
}

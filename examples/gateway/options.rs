//! What the gateway is to do: from its command line, and from a file.

use core::fmt;
use core::net::SocketAddr;
use core::str::FromStr;
use core::time::Duration;
use std::path::{Path, PathBuf};

use lexopt::Parser;
use lexopt::prelude::{Long, Short, ValueExt};
use rondel::{Pem, TlsServerConfig};
use serde::Deserialize;

use crate::certificate;

pub(crate) const HELP: &str = "\
A small daemon that serves line commands: over TCP, in the clear and by TLS, and
on a control socket. Over UDP it sends back what it receives, and answers
\"discover\". A child process is its sensor. A page shows what its loop does.

Usage: gateway [OPTIONS]

  --demo         serve own clients for ten seconds, and print what was done
  --config FILE  read options from a file first: lines such as tcp = \"127.0.0.1:7007\"
                 and loops = 2, by the names below

  --tcp ADDR     the address to listen on (default 127.0.0.1:7007)
  --unix PATH    the path of a control socket (none by default)
  --udp ADDR     the address to answer datagrams on (none by default)
  --loops N      how many loops serve TCP, each in a thread of its own (default 1);
                 the page and SIGUSR1 show what the first of them holds
  --tls ADDR     the address to talk TLS on (none by default)
  --http ADDR    the address of the status page (none by default)
  --https ADDR   the same by TLS (none by default)
  --cert FILE    the certificate for TLS, and those that lead to its issuer; without
                 it, a new one for localhost
  --key FILE     the certificate's private key
  --sensor CMD   a shell command that prints temperatures, one a line (a simulated
                 sensor by default; empty for none)
  --grace TIME   how long clients have to end when the gateway stops (default 5s)
  --help         print this

SIGINT and SIGTERM stop it, SIGHUP has it read its certificates and start its sensor
anew, SIGUSR1 prints what its loop holds. In a terminal it prints its figures each
second.";

/// What the gateway is to do.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) tcp: SocketAddr,
    pub(crate) unix: Option<PathBuf>,
    pub(crate) udp: Option<SocketAddr>,
    pub(crate) loops: usize,
    pub(crate) tls: Option<SocketAddr>,
    pub(crate) http: Option<SocketAddr>,
    pub(crate) https: Option<SocketAddr>,
    /// Is for all that talk TLS; `None` if none does.
    pub(crate) certificate: Option<TlsServerConfig>,
    /// Is what clients have to trust then.
    pub(crate) authority: Option<Pem>,
    pub(crate) sensor: Sensor,
    pub(crate) grace: Duration,
    pub(crate) is_demo: bool,
}

/// Where temperatures come from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sensor {
    None,
    Simulated,
    Command(String),
}

/// What was said: on the command line, or in a file.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Settings {
    tcp: Option<SocketAddr>,
    unix: Option<PathBuf>,
    udp: Option<SocketAddr>,
    loops: Option<usize>,
    tls: Option<SocketAddr>,
    http: Option<SocketAddr>,
    https: Option<SocketAddr>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    sensor: Option<String>,
    grace: Option<String>,
}

impl Options {
    /// Reads the command line, and the file that it names; `None` if only help is
    /// wanted.
    pub(crate) fn parse() -> Result<Option<Self>, String> {
        let (mut said, mut file, mut is_demo) = (Settings::default(), None, false);
        let mut parser = Parser::from_env();
        let mut parse = || -> Result<bool, lexopt::Error> {
            while let Some(argument) = parser.next()? {
                match argument {
                    Long("demo") => is_demo = true,
                    Long("config") => file = Some(PathBuf::from(parser.value()?)),
                    Long("tcp") => said.tcp = Some(addr(&mut parser, "tcp")?),
                    Long("unix") => said.unix = Some(parser.value()?.into()),
                    Long("udp") => said.udp = Some(addr(&mut parser, "udp")?),
                    Long("loops") => said.loops = Some(value(&mut parser, "loops")?),
                    Long("tls") => said.tls = Some(addr(&mut parser, "tls")?),
                    Long("http") => said.http = Some(addr(&mut parser, "http")?),
                    Long("https") => said.https = Some(addr(&mut parser, "https")?),
                    Long("cert") => said.cert = Some(parser.value()?.into()),
                    Long("key") => said.key = Some(parser.value()?.into()),
                    Long("sensor") => said.sensor = Some(parser.value()?.string()?),
                    Long("grace") => said.grace = Some(parser.value()?.string()?),
                    Short('h') | Long("help") => return Ok(false),
                    unexpected => return Err(unexpected.unexpected()),
                }
            }
            Ok(true)
        };
        if !parse().map_err(|error| error.to_string())? {
            return Ok(None);
        }
        let of_file = file.as_deref().map(Settings::read).transpose()?.unwrap_or_default();
        said.or(of_file).into_options(is_demo).map(Some)
    }
}

impl Settings {
    fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        toml::from_str(&text).map_err(|error| format!("{}: {}", path.display(), error.to_string().trim_end()))
    }

    /// Fills in from `other` what was not said.
    fn or(self, other: Self) -> Self {
        Self {
            tcp: self.tcp.or(other.tcp),
            unix: self.unix.or(other.unix),
            udp: self.udp.or(other.udp),
            loops: self.loops.or(other.loops),
            tls: self.tls.or(other.tls),
            http: self.http.or(other.http),
            https: self.https.or(other.https),
            cert: self.cert.or(other.cert),
            key: self.key.or(other.key),
            sensor: self.sensor.or(other.sensor),
            grace: self.grace.or(other.grace),
        }
    }

    fn into_options(self, is_demo: bool) -> Result<Options, String> {
        let loops = self.loops.unwrap_or(1);
        if !(1..=64).contains(&loops) {
            return Err(format!("loops = {loops}: there can be 1 to 64 loops"));
        }
        let grace = self.grace.as_deref().unwrap_or("5s");
        let grace = humantime::parse_duration(grace)
            .map_err(|error| format!("grace = \"{grace}\" is no duration: {error}"))?;
        let sensor = match self.sensor {
            None => Sensor::Simulated,
            Some(command) if command.is_empty() => Sensor::None,
            Some(command) => Sensor::Command(command),
        };
        let is_encrypted = is_demo || self.tls.or(self.https).is_some();
        let certificate = match (self.cert, self.key) {
            (None, None) if !is_encrypted => None,
            _ if !is_encrypted => return Err("--cert and --key are for --tls and --https".into()),
            (cert, key) => Some(certificate::tls_config(cert, key).map_err(|error| error.to_string())?),
        };
        let (certificate, authority) = certificate.unzip();
        Ok(Options {
            // The demonstration is in nobody's way.
            tcp: self.tcp.unwrap_or(SocketAddr::from(([127, 0, 0, 1], if is_demo { 0 } else { 7007 }))),
            unix: self.unix,
            udp: self.udp,
            loops,
            tls: self.tls,
            http: self.http,
            https: self.https,
            certificate,
            authority,
            sensor,
            grace,
            is_demo,
        })
    }
}

/// Reads the value of an option.
fn value<T: FromStr<Err: fmt::Display>>(parser: &mut Parser, option: &str) -> Result<T, lexopt::Error> {
    let text = parser.value()?.string()?;
    text.parse().map_err(|error| format!("--{option} \"{text}\": {error}").into())
}

/// Reads an address.
fn addr(parser: &mut Parser, option: &str) -> Result<SocketAddr, lexopt::Error> {
    let text = parser.value()?.string()?;
    let hint = "an address is such as 127.0.0.1:7007 or [::1]:7007";
    text.parse().map_err(|error| format!("--{option} \"{text}\": {error}; {hint}").into())
}

//! What the command line asks for.

use core::time::Duration;

use crate::peers::{self, Peer};

const HELP: &str = "\
options: --quick, --rounds N, --only TEXT (a section: matrix, udp, idle, counts; a transport: tcp, unix; or a part of a peer's name,
beside which the reference always runs; may be repeated)";

pub(crate) struct Options {
    pub(crate) is_quick: bool,
    pub(crate) rounds: usize,
    only: Vec<String>,
}

const SECTIONS: [&str; 4] = ["matrix", "udp", "idle", "counts"];
const TRANSPORTS: [&str; 2] = ["tcp", "unix"];

impl Options {
    pub(crate) fn from_args(args: &[&str]) -> Result<Self, String> {
        let mut options = Self { is_quick: false, rounds: 7, only: Vec::new() };
        let mut args = args.iter();
        while let Some(&arg) = args.next() {
            match arg {
                "--quick" => (options.is_quick, options.rounds) = (true, 1),
                "--only" => options.only.push((*args.next().ok_or(HELP)?).into()),
                "--rounds" => {
                    options.rounds = args.next().and_then(|number| number.parse().ok()).ok_or(HELP)?;
                }
                _ => return Err(format!("unknown option {arg}\n{HELP}")),
            }
        }
        Ok(options)
    }

    fn wants(&self, name: &str, names: &[&str]) -> bool {
        let mut of_these = self.only.iter().filter(|only| names.contains(&only.as_str())).peekable();
        of_these.peek().is_none() || of_these.any(|only| only == name)
    }

    pub(crate) fn wants_section(&self, name: &str) -> bool {
        self.wants(name, &SECTIONS)
    }

    pub(crate) fn wants_transport(&self, name: &str) -> bool {
        self.wants(name, &TRANSPORTS)
    }

    /// Returns the peers that take part, the reference first.
    pub(crate) fn peers(&self) -> Vec<&'static Peer> {
        let is_other =
            |only: &&String| !SECTIONS.contains(&only.as_str()) && !TRANSPORTS.contains(&only.as_str());
        let names: Vec<&String> = self.only.iter().filter(is_other).collect();
        let is_named = |peer: &Peer| names.is_empty() || names.iter().any(|name| peer.name.contains(*name));
        peers::PEERS.iter().filter(|peer| peer.name == peers::REFERENCE || is_named(peer)).collect()
    }

    /// Returns how long one slice of load lasts.
    pub(crate) fn slice(&self) -> Duration {
        Duration::from_millis(if self.is_quick { 10 } else { 80 })
    }
}

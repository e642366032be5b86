//! What the command line asks for.

use core::time::Duration;

use crate::peers::{PEERS, Peer, REFERENCE};

const HELP: &str =
    "options: --quick, --rounds N, --only TEXT (a part of a peer's name, beside which the reference runs)";

pub(crate) struct Options {
    pub(crate) is_quick: bool,
    pub(crate) rounds: usize,
    only: Option<String>,
}

impl Options {
    pub(crate) fn from_args(args: &[&str]) -> Result<Self, String> {
        let mut options = Self { is_quick: false, rounds: 15, only: None };
        let mut args = args.iter();
        while let Some(&arg) = args.next() {
            match arg {
                "--quick" => (options.is_quick, options.rounds) = (true, 1),
                "--only" => options.only = Some((*args.next().ok_or(HELP)?).into()),
                "--rounds" => {
                    options.rounds = args.next().and_then(|number| number.parse().ok()).ok_or(HELP)?;
                }
                _ => return Err(format!("unknown option {arg}\n{HELP}")),
            }
        }
        Ok(options)
    }

    /// Returns the peers that take part, the reference first.
    pub(crate) fn peers(&self) -> impl Iterator<Item = &'static Peer> {
        let is_wanted = |peer: &&Peer| {
            peer.name == REFERENCE || self.only.as_ref().is_none_or(|only| peer.name.contains(only.as_str()))
        };
        PEERS.iter().filter(is_wanted)
    }

    /// Returns how long one slice of load lasts.
    pub(crate) fn slice(&self) -> Duration {
        Duration::from_millis(if self.is_quick { 10 } else { 100 })
    }

    /// Returns how many connections are idle.
    pub(crate) fn idle(&self) -> usize {
        if self.is_quick { 100 } else { 1_000 }
    }
}

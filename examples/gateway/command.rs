//! The commands that clients send, one a line.

use core::time::Duration;

use crate::primes;

/// What a client asks for.
#[derive(Debug, PartialEq)]
pub(crate) enum Command<'a> {
    /// Explains the commands.
    Help,
    /// Tells the time.
    Time,
    /// Sends the text back.
    Echo(&'a str),
    /// Tells the loop's figures.
    Stats,
    /// Sends the text back later.
    After(Duration, &'a str),
    /// Tells what the sensor said last.
    Sensor,
    /// Counts the primes below a number, in a thread.
    Primes(usize),
    /// Ends the gateway.
    Stop,
    /// Is an empty line.
    Nothing,
}

pub(crate) const HELP: &str = "\
help              this text
time              the time of day and of the loop
echo TEXT         TEXT
stats             the loop's figures
after DELAY TEXT  TEXT, after a delay such as 500ms or 2s
sensor            the last temperature
primes N          how many primes are below N, counted beside the loop
stop              ends the gateway
";

impl<'a> Command<'a> {
    /// Reads a command.
    pub(crate) fn parse(line: &'a str) -> Result<Self, String> {
        let line = line.trim_end_matches(['\r', '\n']);
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb {
            "" => Ok(Self::Nothing),
            "help" => Ok(Self::Help),
            "time" => Ok(Self::Time),
            "echo" => Ok(Self::Echo(rest)),
            "stats" => Ok(Self::Stats),
            "after" => {
                let (delay, text) = rest.split_once(' ').unwrap_or((rest, ""));
                let delay = humantime::parse_duration(delay)
                    .map_err(|error| format!("after: \"{delay}\" is no delay: {error}"))?;
                Ok(Self::After(delay, text))
            }
            "sensor" => Ok(Self::Sensor),
            "primes" => match rest.parse() {
                Ok(limit @ 0..=primes::LIMIT_MAX) => Ok(Self::Primes(limit)),
                _ => Err(format!("primes: \"{rest}\" is no number up to {}", primes::LIMIT_MAX)),
            },
            "stop" => Ok(Self::Stop),
            _ => Err(format!("unknown command \"{verb}\"; try help")),
        }
    }
}

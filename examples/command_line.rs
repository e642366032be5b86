//! The command line of a server, which names the address that it listens at.

use std::process::ExitCode;

use rondel::Error;

const PROGRAM: &str = env!("CARGO_BIN_NAME");

/// Serves at the address that the command line names, or else at `default`, and
/// returns how that ended.
pub(crate) fn serve_at(
    default: &str,
    help: &str,
    serve: impl FnOnce(String) -> Result<(), Error>,
) -> ExitCode {
    let addr = match parse(default) {
        Ok(Some(addr)) => addr,
        Ok(None) => {
            println!("{help}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("{PROGRAM}: {error}\n\n{help}");
            return ExitCode::from(2);
        }
    };
    match serve(addr) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{PROGRAM}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Reads the command line; `None` if only help is wanted.
fn parse(default: &str) -> Result<Option<String>, lexopt::Error> {
    use lexopt::prelude::{Long, Short, ValueExt};
    let mut addr = default.to_owned();
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("addr") => addr = parser.value()?.string()?,
            Short('h') | Long("help") => return Ok(None),
            unexpected => return Err(unexpected.unexpected()),
        }
    }
    Ok(Some(addr))
}

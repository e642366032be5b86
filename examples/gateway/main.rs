//! A small daemon: serves line commands over TCP, and prints what it does.
//!
//! ```text
//! $ cargo run --release --example gateway
//! $ nc 127.0.0.1 7007
//! ```

mod client;
mod command;
mod figures;

use core::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;

use rondel::EventLoopHandle;

use crate::figures::Figures;

const HELP: &str = "\
A small daemon that serves line commands over TCP.

Usage: gateway [--tcp ADDR]

  --tcp ADDR   the address to listen on (default 127.0.0.1:7007)
  --help       print this";

fn main() -> ExitCode {
    let tcp = match parse_arguments() {
        Ok(Some(tcp)) => tcp,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("gateway: {error}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match rondel::run(async |event_loop| serve(event_loop, tcp).await) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns the address to listen on, `None` if only help is wanted.
fn parse_arguments() -> Result<Option<SocketAddr>, lexopt::Error> {
    use lexopt::prelude::{Long, Short, ValueExt};
    let mut tcp = SocketAddr::from(([127, 0, 0, 1], 7007));
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("tcp") => tcp = parser.value()?.parse()?,
            Short('h') | Long("help") => return Ok(None),
            unexpected => return Err(unexpected.unexpected()),
        }
    }
    Ok(Some(tcp))
}

/// Serves until a client says `stop`.
async fn serve(event_loop: EventLoopHandle, tcp: SocketAddr) -> rondel::Result<()> {
    let stop = event_loop.create_future::<()>()?;
    let figures = Rc::new(Figures::new(&event_loop));

    let stopper = stop.clone();
    let counted = Rc::clone(&figures);
    let on = event_loop.clone();
    let server = event_loop
        .start_server(tcp, move |reader, writer| {
            client::serve(on.clone(), reader, writer, Rc::clone(&counted), stopper.clone())
        })
        .await?;
    println!("listening on {}", server.local_addr());
    println!("try:  nc {} {}", server.local_addr().ip(), server.local_addr().port());
    figures::print_each_second(&event_loop, Rc::clone(&figures))?;

    stop.await?;
    println!("stopping: no longer accepting, disconnecting clients: {}", server.connections());
    server.close();
    figures.print(&event_loop);
    Ok(())
}

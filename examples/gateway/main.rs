//! A small daemon: serves line commands, and prints what it does.
//!
//! ```text
//! $ cargo run --release --example gateway -- --unix /tmp/gateway.sock --udp 127.0.0.1:7007
//! $ nc 127.0.0.1 7007
//! $ socat - UNIX-CONNECT:/tmp/gateway.sock
//! $ echo discover | nc -u -w 1 127.0.0.1 7007
//! $ openssl s_client -quiet -connect 127.0.0.1:7443   # with --tls 127.0.0.1:7443
//! ```
//!
//! A client over TCP is a task that reads and writes streams (`client`), one of
//! the control socket a protocol (`control`), and a protocol answers datagrams
//! (`discovery`).

#[path = "../certificate.rs"]
mod certificate;
mod client;
mod command;
mod control;
mod discovery;
mod figures;
mod fleet;
mod options;

use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use rondel::{EventLoopHandle, Server};

use crate::control::Control;
use crate::discovery::Discovery;
use crate::figures::{Figures, Totals};
use crate::fleet::Fleet;
use crate::options::{HELP, Options};

fn main() -> ExitCode {
    let options = match Options::parse() {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("gateway: {error}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match rondel::run(async |event_loop| serve(event_loop, options).await) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until a client says `stop`.
async fn serve(event_loop: EventLoopHandle, mut options: Options) -> rondel::Result<()> {
    let stop = event_loop.create_future::<()>()?;
    let totals = Arc::new(Totals::default());
    let figures = Rc::new(Figures::new(&event_loop, Arc::clone(&totals)));

    let server = client::listen(&event_loop, &options, &figures, &stop).await?;
    options.tcp = server.local_addr();
    println!("listening on {}", options.tcp);
    println!("try:  nc {} {}", options.tcp.ip(), options.tcp.port());
    let control = match &options.unix {
        Some(path) => Some(Control::listen(&event_loop, path, &figures, &stop).await?),
        None => None,
    };
    let discovery = match options.udp {
        Some(addr) => Some(Discovery::listen(&event_loop, addr, &options, &figures).await?),
        None => None,
    };
    let tls_server = client::listen_tls(&event_loop, &options, &figures, &stop).await?;
    if let (Some(server), Some(tls)) = (&tls_server, &mut options.tls) {
        tls.addr = server.local_addr();
        println!("with TLS on {}", tls.addr);
        println!("try:  openssl s_client -quiet -connect {}", tls.addr);
    }
    let fleet = Fleet::start(&event_loop, &options, &totals, &stop)?;
    figures::print_each_second(&event_loop, Rc::clone(&figures))?;

    stop.await?;
    println!("stopping: no longer accepting, disconnecting clients: {}", server.connections());
    server.close();
    tls_server.as_ref().map(Server::close);
    control.as_ref().map(Server::close);
    fleet.stop();
    if let Some(discovery) = discovery {
        discovery.close().await?;
    }
    figures.print(&event_loop);
    Ok(())
}

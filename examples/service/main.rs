//! A service for years: under systemd, an init script, or in a terminal.
//!
//! It echoes lines, on the sockets that a supervisor opened for it, or on 127.0.0.1:7008. It says when
//! it is ready, reloading and stopping, feeds the watchdog from its loop, lets its clients finish when
//! it is asked to end, and prints what it is doing when it gets SIGUSR1.
//!
//! ```text
//! $ cargo build --release --example service
//! $ systemd-socket-activate -l 7008 target/release/examples/service
//! $ kill -USR1 $(pidof service)
//! ```
//!
//! Beside it lie the units for systemd and a script for System V's init.

use core::time::Duration;

use rondel::{
    EventLoopHandle, ListenFd, ListenFdKind, Notifier, NotifyError, Server, Signal, StreamReader,
    StreamWriter,
};

/// Where it listens if nobody opened a socket for it.
const ADDR: &str = "127.0.0.1:7008";

/// How long clients have to finish, less than `TimeoutStopSec=` of the unit.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> rondel::Result<()> {
    // Before anything else opens a descriptor.
    let inherited = rondel::listen_fds()?;
    rondel::run(async |event_loop| serve(event_loop, inherited).await)
}

async fn serve(event_loop: EventLoopHandle, inherited: Vec<ListenFd>) -> rondel::Result<()> {
    let supervisor = Notifier::from_env(&event_loop)?;
    event_loop.dump_on_signal(Signal::SIGUSR1)?;
    let mut signals = event_loop.signals([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP])?;
    println!("open files: {}", event_loop.raise_open_files()?);

    let servers = listen(&event_loop, inherited).await?;
    let _feeding = supervisor.feed_watchdog()?;
    tell(supervisor.status(&format!("serving on {} sockets", servers.len())));
    tell(supervisor.ready());

    while signals.next().await? == Signal::SIGHUP {
        tell(supervisor.reloading());
        println!("reloading"); // here it would read its configuration
        tell(supervisor.ready());
    }
    println!("stopping");
    tell(supervisor.stopping());
    for server in servers {
        server.shutdown(PATIENCE).await?;
    }
    Ok(())
}

/// Says that the supervisor was not told something, which is no reason to end otherwise.
fn tell(told: Result<(), NotifyError>) {
    if let Err(error) = told {
        eprintln!("service: {error}");
    }
}

/// Serves on all sockets that were handed over, or on one of its own.
async fn listen(event_loop: &EventLoopHandle, inherited: Vec<ListenFd>) -> rondel::Result<Vec<Server>> {
    let mut servers = Vec::new();
    for fd in inherited {
        println!("{}: {:?}", fd.name(), fd.kind());
        if fd.kind() == ListenFdKind::Listener {
            servers.push(event_loop.start_server_with_sock(fd, echo).await?);
        }
    }
    if servers.is_empty() {
        servers.push(event_loop.start_server(ADDR, echo).await?);
        println!("listening on {ADDR}");
    }
    Ok(servers)
}

async fn echo(mut reader: StreamReader, mut writer: StreamWriter) -> rondel::Result<()> {
    while let line @ [_, ..] = reader.read_line().await? {
        writer.write_all(line).await?;
    }
    Ok(())
}

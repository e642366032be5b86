//! A small daemon: serves line commands, reads a sensor, and shows what it does.
//!
//! ```text
//! $ cargo run --release --example gateway -- --demo
//! $ cargo run --release --example gateway -- --unix /tmp/gateway.sock --udp 127.0.0.1:7007 --http 127.0.0.1:8007
//! $ nc 127.0.0.1 7007
//! $ socat - UNIX-CONNECT:/tmp/gateway.sock
//! $ echo discover | nc -u -w 1 127.0.0.1 7007
//! $ openssl s_client -quiet -connect 127.0.0.1:7443   # with --tls 127.0.0.1:7443
//! $ kill -USR1 $(pidof gateway)                       # what does its loop hold?
//! ```
//!
//! A client over TCP is a task that reads and writes streams (`client`), one of the control socket a
//! protocol (`control`), and a protocol answers datagrams (`discovery`). The sensor is a child whose
//! lines come through a pipe (`sensor`), what takes long runs in a thread (`primes`), and a browser
//! gets a page that follows the figures (`status_page`). A signal ends all of it, within a limit.

#[path = "../certificate.rs"]
mod certificate;
mod client;
mod command;
mod control;
mod demo;
mod discovery;
mod figures;
mod fleet;
mod options;
mod output;
mod primes;
mod sensor;
mod signals;
mod status_page;

use std::fmt;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use rondel::{Error, EventLoop, EventLoopHandle, Future, Notifier};

use crate::control::Control;
use crate::demo::Demo;
use crate::figures::{Figures, Totals};
use crate::fleet::Fleet;
use crate::options::{HELP, Options};
use crate::output::say;
use crate::sensor::Keeper;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == sensor::SIMULATE) {
        sensor::simulate();
        return ExitCode::SUCCESS;
    }
    let options = match Options::parse() {
        Ok(Some(options)) => options,
        Ok(None) => {
            say!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("gateway: {error}\n\nTry: gateway --help");
            return ExitCode::from(2);
        }
    };
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until it is to stop, and lets everything end.
fn run(options: Options) -> rondel::Result<()> {
    let event_loop = EventLoop::new()?;
    let grace = options.grace;
    let served = event_loop.run_until_complete(serve(event_loop.handle(), options));
    let report = event_loop.close_within(grace)?;
    let (fleet, demo) = served?;
    fleet.join();
    say!("{report}");
    demo.map_or(Ok(()), Demo::print_summary)
}

/// Serves until a client, a signal or the end of the demonstration says stop.
async fn serve(event_loop: EventLoopHandle, mut options: Options) -> rondel::Result<(Fleet, Option<Demo>)> {
    let notifier = Rc::new(Notifier::from_env(&event_loop)?);
    say!("open files: {} at most", event_loop.raise_open_files()?);
    let directory = options.is_demo.then(|| demo::choose_addresses(&mut options)).transpose()?;
    let stop = event_loop.create_future::<()>()?;
    let totals = Arc::new(Totals::default());
    let figures = Rc::new(Figures::new(&event_loop, Arc::clone(&totals)));
    figures::feel_pulse(&event_loop, Rc::clone(&figures))?;

    listen(&event_loop, &mut options, &figures, &stop).await?;
    let fleet = Fleet::start(&event_loop, &options, &totals, &stop)?;
    let sensor = Keeper::new(&event_loop, &options.sensor, &figures);
    sensor.start()?;
    signals::heed(&event_loop, &options, sensor, &notifier, &stop)?;
    let demo = directory.map(|directory| Demo::start(&event_loop, &options, directory, &stop)).transpose()?;
    let is_watched = demo.is_some() || io::stdout().is_terminal();
    // A log is to last for years.
    let each_second = if is_watched { Figures::print_pace } else { |_: &Figures, _: &EventLoopHandle| () };
    figures::count_seconds(&event_loop, Rc::clone(&figures), each_second)?;
    let _fed = notifier.feed_watchdog()?;
    signals::tell(notifier.ready());

    stop.wait().await?;
    signals::tell(notifier.stopping());
    say!("stopping: clients have {:?} to end", options.grace);
    figures.print(&event_loop);
    fleet.stop();
    Ok((fleet, demo))
}

/// Listens wherever that is wanted; the options get the ports that were chosen.
async fn listen(
    event_loop: &EventLoopHandle,
    options: &mut Options,
    figures: &Rc<Figures>,
    stop: &Future<()>,
) -> rondel::Result<()> {
    let listening = client::listen(event_loop, options, figures, stop).await;
    let server = listening.map_err(|error| of_option("tcp", options.tcp, error))?;
    options.tcp = server.local_addr();
    say!("listening on {}", options.tcp);
    say!("try:  nc {} {}", options.tcp.ip(), options.tcp.port());
    if let Some(path) = &options.unix {
        let listening = Control::listen(event_loop, path, figures, stop).await;
        listening.map_err(|error| of_option("unix", path.display(), error))?;
    }
    if let Some(addr) = options.udp {
        let listening = discovery::listen(event_loop, addr, options, figures).await;
        options.udp = Some(listening.map_err(|error| of_option("udp", addr, error))?);
    }
    if let Some(addr) = options.tls {
        let listening = client::listen_tls(event_loop, addr, options, figures, stop).await;
        let server = listening.map_err(|error| of_option("tls", addr, error))?;
        options.tls = Some(server.local_addr());
        say!("with TLS on {}", server.local_addr());
        say!("try:  openssl s_client -quiet -connect {}", server.local_addr());
    }
    if let Some(addr) = options.http {
        let listening = status_page::listen(event_loop, addr, None, figures).await;
        let server = listening.map_err(|error| of_option("http", addr, error))?;
        say!("status page on http://{}/", server.local_addr());
    }
    if let Some(addr) = options.https {
        let listening = status_page::listen(event_loop, addr, options.certificate.as_ref(), figures).await;
        let server = listening.map_err(|error| of_option("https", addr, error))?;
        say!("status page on https://{}/", server.local_addr());
    }
    Ok(())
}

/// Names the option that asked for what failed.
fn of_option(option: &str, value: impl fmt::Display, error: Error) -> Error {
    let reason = error.as_io().map_or_else(|| error.to_string(), io::Error::to_string);
    format!("--{option} {value}: {reason}").into()
}

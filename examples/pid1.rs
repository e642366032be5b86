//! A small init for containers: runs a command, hands it the signals that ask to end, reaps what
//! others leave behind, and exits as the command has.
//!
//!     pid1 COMMAND [ARGUMENT]...
//!
//! The exit code is the command's; 128 and more for a signal that has ended it, as in the shell; 127
//! for a command that isn't there and 126 for one that can't be started.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::process::ExitCode;

use rondel::{EventLoopHandle, ExitStatus, Signal};

const FORWARDED: [Signal; 5] =
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2];

async fn supervise(
    event_loop: &EventLoopHandle,
    program: OsString,
    arguments: Vec<OsString>,
) -> rondel::Result<ExitStatus> {
    // Outside of a container orphans would go to the system's own init.
    event_loop.set_child_subreaper(true)?;
    let _orphans = event_loop.reap_orphans()?;
    // Before there is a child, so that none is lost: to process 1 a signal without a handler does nothing.
    let mut signals = event_loop.signals(FORWARDED)?;
    let process = event_loop.create_subprocess_exec(program).args(arguments).await?;
    let forward = async {
        loop {
            let signal = signals.next().await?;
            // It may have ended meanwhile.
            let _ = process.send_signal(signal);
        }
    };
    first_of(process.wait(), forward).await
}

/// Returns what the first of two brings that is ready.
async fn first_of<T>(a: impl Future<Output = T>, b: impl Future<Output = T>) -> T {
    let (mut a, mut b) = (core::pin::pin!(a), core::pin::pin!(b));
    core::future::poll_fn(|cx| match a.as_mut().poll(cx) {
        core::task::Poll::Pending => b.as_mut().poll(cx),
        ready => ready,
    })
    .await
}

fn exit_code(status: ExitStatus) -> u8 {
    match status {
        ExitStatus::Code(code) => code as u8,
        ExitStatus::Signal(signal) => 128 + signal as u8,
        ExitStatus::Unknown => u8::MAX,
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("usage: pid1 COMMAND [ARGUMENT]...");
        return ExitCode::from(2);
    };
    let name = program.clone();
    let run = async |event_loop: EventLoopHandle| supervise(&event_loop, program, arguments.collect()).await;
    match rondel::run(run) {
        Ok(status) => ExitCode::from(exit_code(status)),
        Err(error) => {
            eprintln!("pid1: {}: {error}", name.display());
            let kind = error.as_io().map(std::io::Error::kind);
            ExitCode::from(if kind == Some(ErrorKind::NotFound) { 127 } else { 126 })
        }
    }
}

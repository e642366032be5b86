//! The control socket: the same commands, served by a protocol.

use std::path::Path;
use std::rc::Rc;

use rondel::{EventLoopHandle, Future, Protocol, Server, Transport};

use crate::command::{self, Command};
use crate::figures::{self, Figures};
use crate::output::say;
use crate::primes;

/// Is the longest command, in bytes.
const LINE_MAX: usize = 4096;

/// One who controls the gateway.
pub(crate) struct Control {
    figures: Rc<Figures>,
    stop: Future<()>,
    /// Holds the beginning of a line whose end has not come yet.
    line: Vec<u8>,
}

impl Control {
    /// Listens at a path.
    pub(crate) async fn listen(
        event_loop: &EventLoopHandle,
        path: &Path,
        figures: &Rc<Figures>,
        stop: &Future<()>,
    ) -> rondel::Result<Server> {
        let (figures, stop) = (Rc::clone(figures), stop.clone());
        let factory = move || Self { figures: Rc::clone(&figures), stop: stop.clone(), line: Vec::new() };
        let server = event_loop.create_unix_server(factory, path).max_connections(16).await?;
        say!("control socket at {}", path.display());
        Ok(server)
    }

    fn answer(&self, transport: &Transport, line: &[u8]) -> rondel::Result<()> {
        self.figures.command_received();
        let Ok(line) = core::str::from_utf8(line) else {
            return transport.write(b"error: a command is UTF-8 text\n");
        };
        let text = match Command::parse(line) {
            Ok(Command::Nothing) => return Ok(()),
            Ok(Command::Help) => return transport.write(command::HELP.as_bytes()),
            Ok(Command::Time) => figures::time(transport.event_loop()),
            Ok(Command::Echo(text)) => text.to_owned(),
            Ok(Command::Stats) => self.figures.describe(transport.event_loop()),
            Ok(Command::After(delay, text)) => {
                let (transport, text) = (transport.clone(), format!("{text}\n"));
                let event_loop = transport.event_loop().clone();
                event_loop.call_later(delay, move |_| transport.write(text.as_bytes()))?;
                return Ok(());
            }
            Ok(Command::Sensor) => self.figures.describe_reading(),
            Ok(Command::Primes(limit)) => return count_primes(transport, limit),
            Ok(Command::Stop) => {
                say!("the control socket says stop");
                // Somebody else may have said so before.
                let _ = self.stop.set_result(());
                String::from("stopping")
            }
            Err(message) => format!("error: {message}"),
        };
        transport.write(format!("{text}\n").as_bytes())
    }
}

/// Answers when a thread has counted.
fn count_primes(transport: &Transport, limit: usize) -> rondel::Result<()> {
    let job = match transport.event_loop().run_in_executor(move || primes::count(limit)) {
        Ok(job) => job,
        Err(refused) => return transport.write(format!("error: {refused}\n").as_bytes()),
    };
    let on = transport.clone();
    transport.event_loop().create_task(async move {
        let count = job.await?;
        on.write(format!("{count}\n").as_bytes())
    })?;
    Ok(())
}

impl Protocol for Control {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> rondel::Result<()> {
        for piece in data.split_inclusive(|&byte| byte == b'\n') {
            if self.line.len() + piece.len() > LINE_MAX {
                // The rest of the line can't be told from a command, so this is the end.
                transport.write(b"error: the command is too long\n")?;
                transport.close();
                return Ok(());
            }
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = core::mem::take(&mut self.line);
                self.answer(transport, &line)?;
            }
        }
        Ok(())
    }

    /// Takes no more commands from one who doesn't read the answers.
    fn pause_writing(&mut self, transport: &Transport) -> rondel::Result<()> {
        transport.pause_reading();
        Ok(())
    }

    fn resume_writing(&mut self, transport: &Transport) -> rondel::Result<()> {
        transport.resume_reading();
        Ok(())
    }
}

//! One client: reads its commands and answers them, some of them later.

use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::rc::Rc;

use rondel::{
    Error, ErrorKind, EventLoopHandle, Future, Instant, Server, StreamReader, StreamWriter, TimeoutError,
    TlsServerConfig,
};

use crate::command::{self, Command};
use crate::figures::{self, Figures};
use crate::options::Options;
use crate::output::say;
use crate::primes;

/// Is the most answers that a client may have outstanding.
const DELAYED_MAX: usize = 1000;

/// Listens for clients, and serves each by a task.
pub(crate) async fn listen(
    event_loop: &EventLoopHandle,
    options: &Options,
    figures: &Rc<Figures>,
    stop: &Future<()>,
) -> rondel::Result<Server> {
    let server = listen_on(event_loop, options.tcp, None, options, figures, stop).await?;
    figures.watch(&server);
    Ok(server)
}

/// Listens for clients that talk TLS.
pub(crate) async fn listen_tls(
    event_loop: &EventLoopHandle,
    addr: SocketAddr,
    options: &Options,
    figures: &Rc<Figures>,
    stop: &Future<()>,
) -> rondel::Result<Server> {
    let server = listen_on(event_loop, addr, options.certificate.as_ref(), options, figures, stop).await?;
    figures.watch_tls(&server);
    Ok(server)
}

async fn listen_on(
    event_loop: &EventLoopHandle,
    addr: SocketAddr,
    tls: Option<&TlsServerConfig>,
    options: &Options,
    figures: &Rc<Figures>,
    stop: &Future<()>,
) -> rondel::Result<Server> {
    let (on, counted, stop) = (event_loop.clone(), Rc::clone(figures), stop.clone());
    let server = event_loop
        .start_server(addr, move |reader, writer| {
            serve(on.clone(), reader, writer, Rc::clone(&counted), stop.clone())
        })
        .reuse_port(options.loops > 1);
    match tls {
        None => server.await,
        Some(tls) => {
            let refused = |_: &EventLoopHandle, error: &Error| say!("a handshake was refused: {error}");
            server.tls(tls).on_refused(refused).await
        }
    }
}

/// Serves a client until it hangs up.
async fn serve(
    event_loop: EventLoopHandle,
    reader: StreamReader,
    writer: StreamWriter,
    figures: Rc<Figures>,
    stop: Future<()>,
) -> rondel::Result<()> {
    let peer = reader.peer_addr();
    say!("{peer} connected");
    figures.client_connected();
    let mut client = Client { event_loop, writer, figures, stop, delayed: BTreeMap::new(), sequence: 0 };
    let result = client.serve(reader).await;
    if let Err(error) = &result
        && error.kind() == ErrorKind::TooLarge
    {
        // The rest of the line can't be told from a command, so this is the end.
        let _ = client.line(&format!("error: {error}")).await;
    }
    client.figures.client_left();
    match &result {
        Ok(()) => say!("{peer} left"),
        Err(error) if error.is_cancelled() => say!("{peer} was disconnected"),
        Err(error) => say!("{peer} was lost: {error}"),
    }
    // What happens to one client is no error of the gateway.
    Ok(())
}

struct Client {
    event_loop: EventLoopHandle,
    writer: StreamWriter,
    figures: Rc<Figures>,
    stop: Future<()>,
    /// Holds the answers that are due later, in the order of their time.
    delayed: BTreeMap<(Instant, u64), String>,
    sequence: u64,
}

impl Client {
    async fn serve(&mut self, mut reader: StreamReader) -> rondel::Result<()> {
        loop {
            self.answer_delayed().await?;
            let Some(line) = self.next_line(&mut reader).await? else { continue };
            if line.is_empty() {
                return self.answer_what_is_left().await;
            }
            self.figures.command_received();
            match core::str::from_utf8(line) {
                Ok(line) => self.answer(line).await?,
                Err(_) => self.writer.write_all(b"error: a command is UTF-8 text\n").await?,
            }
        }
    }

    /// Reads a line, an empty one at the end of the stream; `None` if the time of
    /// the next answer came first.
    async fn next_line<'r>(&self, reader: &'r mut StreamReader) -> rondel::Result<Option<&'r [u8]>> {
        let Some(((when, _), _)) = self.delayed.first_key_value() else {
            return reader.read_line().await.map(Some);
        };
        let limit = *when - self.event_loop.time();
        match self.event_loop.timeout(limit, reader.read_line()).await {
            Ok(line) => line.map(Some),
            Err(TimeoutError::TimedOut) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives a client that sends nothing more the answers that it still expects.
    async fn answer_what_is_left(&mut self) -> rondel::Result<()> {
        while let Some(((when, _), _)) = self.delayed.first_key_value() {
            self.event_loop.sleep_until(*when).await?;
            self.answer_delayed().await?;
        }
        Ok(())
    }

    async fn answer_delayed(&mut self) -> rondel::Result<()> {
        while let Some(due) = self.delayed.first_entry().filter(|due| due.key().0 <= self.event_loop.time()) {
            let text = due.remove();
            self.line(&text).await?;
        }
        Ok(())
    }

    async fn answer(&mut self, line: &str) -> rondel::Result<()> {
        match Command::parse(line) {
            Ok(Command::Nothing) => Ok(()),
            Ok(Command::Help) => self.writer.write_all(command::HELP.as_bytes()).await,
            Ok(Command::Time) => {
                let text = figures::time(&self.event_loop);
                self.line(&text).await
            }
            Ok(Command::Echo(text)) => self.line(text).await,
            Ok(Command::Stats) => {
                let text = self.figures.describe(&self.event_loop);
                self.line(&text).await
            }
            Ok(Command::After(delay, text)) => {
                if self.delayed.len() >= DELAYED_MAX {
                    return self.line(&format!("error: {DELAYED_MAX} answers are outstanding")).await;
                }
                self.sequence += 1;
                self.delayed.insert((self.event_loop.time() + delay, self.sequence), text.to_owned());
                Ok(())
            }
            Ok(Command::Sensor) => {
                let text = self.figures.describe_reading();
                self.line(&text).await
            }
            Ok(Command::Primes(limit)) => {
                let text = match self.event_loop.run_in_executor(move || primes::count(limit)) {
                    Ok(job) => job.await?.to_string(),
                    Err(refused) => format!("error: {refused}"),
                };
                self.line(&text).await
            }
            Ok(Command::Stop) => {
                say!("{} says stop", self.writer.peer_addr());
                // Somebody else may have said so before.
                let _ = self.stop.set_result(());
                self.line("stopping").await
            }
            Err(message) => self.line(&format!("error: {message}")).await,
        }
    }

    async fn line(&mut self, text: &str) -> rondel::Result<()> {
        self.writer.write_all(text.as_bytes()).await?;
        self.writer.write_all(b"\n").await
    }
}

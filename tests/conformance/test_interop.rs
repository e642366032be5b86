//! Peers that are not rondel: asyncio itself, by `interop/peer.py`, and socat.
//!
//! Each conversation is held over TCP, a UNIX socket and an abstract name, with streams, protocols
//! and plain sockets on either side. A peer is a process of its own that ends by itself.

use core::cell::RefCell;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::rc::Rc;
use std::thread;

use rondel::{
    Address, AfterEof, BufferedProtocol, Config, DatagramProtocol, DatagramTransport, Error, EventLoop,
    EventLoopHandle, Future, Protocol, Result, Server, StreamReader, StreamWriter, Transport,
};

use crate::fixture::{any_port, small};

/// Is how many bytes a large conversation is about.
const MEGABYTES: usize = 5 << 20;

/// Is how many connections there are at once with each server.
const CROWD: usize = 150;

/// Is room for all of the crowd: a UNIX socket without any refuses its clients.
const BACKLOG: u32 = 512;

/// Is how long a peer may live; far more than any takes.
const PATIENCE: Duration = Duration::from_secs(40);

/// Runs `body`, or says loudly that it was not run because a program is missing.
pub fn with_tool(tool: &str, body: fn()) {
    let is_here = Command::new("sh")
        .args(["-c", "command -v \"$0\"", tool])
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if is_here {
        return body();
    }
    // `eprintln` would be silent in a test that passes.
    writeln!(std::io::stderr(), "\nSKIP interop {tool} is missing").expect("standard error");
}

/// A program beside the test. It ends by itself, or with this.
pub struct Peer {
    child: Child,
    output: BufReader<ChildStdout>,
    errors: Option<BufReader<ChildStderr>>,
}

impl Peer {
    pub fn start<S: AsRef<OsStr>>(program: &str, arguments: &[S], errors: Stdio) -> Self {
        let mut child = Command::new("timeout")
            .args(["--kill-after=5", &PATIENCE.as_secs().to_string(), program])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .expect("a process");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let errors = child.stderr.take().map(BufReader::new);
        Self { child, output, errors }
    }

    fn python(arguments: &[&str]) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/conformance/interop/peer.py");
        let arguments = [&[script], arguments].concat();
        Self::start("python3", &arguments, Stdio::inherit())
    }

    /// Starts socat; what it says, it says to us. It waits for the other side's end for ever: one that
    /// fails to come is not to pass for one.
    fn socat(arguments: &[&str]) -> Self {
        Self::start("socat", &[&["-t", "3600"], arguments].concat(), Stdio::piped())
    }

    /// Reads a line that the program prints.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    /// Reads what socat says up to where it listens, and returns the last word of it.
    fn listening(&mut self) -> String {
        let errors = self.errors.as_mut().expect("a pipe");
        let said =
            errors.lines().map(|line| line.expect("a line")).find(|line| line.contains(" listening on "));
        said.expect("it listens").rsplit(' ').next().unwrap_or_default().to_owned()
    }

    /// Reads what the program prints up to a line that contains `what`.
    pub fn wait_for(&mut self, what: &str) {
        let mut line = String::new();
        while !line.contains(what) {
            line.clear();
            assert!(self.output.read_line(&mut line).expect("a line") > 0, "{what} never comes");
        }
    }

    /// Types a line; the program goes on.
    pub fn type_line(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("a pipe");
        stdin.write_all(line.as_bytes()).and_then(|()| stdin.flush()).expect("written");
    }

    /// Gives the program its input, and returns all that it has printed when it has ended well.
    pub fn finish(mut self, input: Vec<u8>) -> Vec<u8> {
        let mut stdin = self.child.stdin.take().expect("a pipe");
        // One that has heard enough doesn't read on.
        let writer = thread::spawn(move || drop(stdin.write_all(&input)));
        let mut printed = Vec::new();
        self.output.read_to_end(&mut printed).expect("output");
        writer.join().expect("written");
        let status = self.child.wait().expect("an end");
        if !status.success() {
            let mut said = String::new();
            if let Some(errors) = &mut self.errors {
                errors.read_to_string(&mut said).expect("errors");
            }
            panic!("the peer ended with {status}: {said}");
        }
        printed
    }

    /// As [`finish`](Self::finish), while the loop goes on.
    pub async fn finished(self, event_loop: &EventLoopHandle, input: Vec<u8>) -> Vec<u8> {
        event_loop.run_in_executor(move || self.finish(input)).unwrap().await.unwrap()
    }

    /// Waits, while the loop goes on, until the script has done all it should.
    async fn ends_well(self, event_loop: &EventLoopHandle) {
        assert_eq!(self.finished(event_loop, Vec::new()).await, b"fine\n");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // SAFETY: no pointers; the process is ours and was not waited for. `timeout` passes the
            // signal on, which it could not with `SIGKILL`.
            unsafe { libc::kill(self.child.id().cast_signed(), libc::SIGTERM) };
            let _ = self.child.wait();
        }
    }
}

/// A directory for sockets, which goes with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rondel-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("a path in UTF-8").to_owned()
    }

    /// Returns an abstract name that no other test has.
    fn name(&self, name: &str) -> String {
        format!("\0{}", self.path(name))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Counts bytes and sums them up as zlib's `crc32` does.
#[derive(Clone, Copy, Default)]
struct Digest {
    length: usize,
    sum: u32,
}

impl Digest {
    fn of(data: &[u8]) -> Self {
        let mut digest = Self::default();
        digest.update(data);
        digest
    }

    fn update(&mut self, data: &[u8]) {
        self.length += data.len();
        let sum = data.iter().fold(!self.sum, |sum, &byte| TABLE[usize::from(sum as u8 ^ byte)] ^ sum >> 8);
        self.sum = !sum;
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:08x}", self.length, self.sum)
    }
}

static TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut sum, mut bit) = (byte as u32, 0);
        while bit < 8 {
            sum = sum >> 1 ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 };
            bit += 1;
        }
        table[byte] = sum;
        byte += 1;
    }
    table
};

/// Makes bytes, the same that the script makes; a prime number of them repeats.
fn blob(length: usize) -> Vec<u8> {
    (0..251).cycle().take(length).collect()
}

fn roomy() -> EventLoop {
    let config = Config { descriptors: 1024, tasks: 1024, futures: 1024, calls: 8192, ..small() };
    EventLoop::with_config(config).expect("a loop")
}

/// Holds a conversation to its end, which must come while the peers live.
fn hold(event_loop: &EventLoop, conversation: impl core::future::Future<Output = Result<()>>) {
    let ended = event_loop.run_until_complete(event_loop.timeout(2 * PATIENCE, conversation));
    ended.expect("an end of the conversation").expect("a conversation");
}

/// How the other side spells the address of a server.
fn spelled(server: &Server) -> String {
    let addr = &server.sockets()[0];
    match addr.as_unix() {
        None => format!("tcp:{addr}"),
        Some(addr) => match addr.as_abstract_name() {
            Some(name) => format!("unix:@{}", String::from_utf8_lossy(name)),
            None => format!("unix:{}", addr.as_path().expect("a path").display()),
        },
    }
}

// rondel serves.

/// Takes in all, and answers with its digest.
#[derive(Default)]
struct DigestServer(Digest);

impl Protocol for DigestServer {
    fn data_received(&mut self, _: &Transport, data: &[u8]) -> Result<()> {
        self.0.update(data);
        Ok(())
    }

    fn eof_received(&mut self, transport: &Transport) -> Result<AfterEof> {
        transport.write(self.0.to_string().as_bytes())?;
        Ok(AfterEof::Close)
    }
}

/// The same, into memory of its own.
struct BufferedDigestServer(Digest, Vec<u8>);

impl BufferedDigestServer {
    fn new() -> Self {
        Self(Digest::default(), vec![0; 5000])
    }
}

impl BufferedProtocol for BufferedDigestServer {
    fn buffer(&mut self, _: usize) -> &mut [u8] {
        &mut self.1
    }

    fn buffer_updated(&mut self, _: &Transport, count: usize) -> Result<()> {
        self.0.update(&self.1[..count]);
        Ok(())
    }

    fn eof_received(&mut self, transport: &Transport) -> Result<AfterEof> {
        transport.write(self.0.to_string().as_bytes())?;
        Ok(AfterEof::Close)
    }
}

async fn serve_digest(mut reader: StreamReader, mut writer: StreamWriter) -> Result<()> {
    let (mut digest, mut buffer) = (Digest::default(), vec![0; 1 << 16]);
    while let count @ 1.. = reader.read(&mut buffer).await? {
        digest.update(&buffer[..count]);
    }
    writer.write_all(digest.to_string().as_bytes()).await
}

/// Sends back what comes, and takes no more than goes.
struct EchoServer;

impl Protocol for EchoServer {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result<()> {
        transport.write(data)
    }

    fn pause_writing(&mut self, transport: &Transport) -> Result<()> {
        transport.pause_reading();
        Ok(())
    }

    fn resume_writing(&mut self, transport: &Transport) -> Result<()> {
        transport.resume_reading();
        Ok(())
    }
}

async fn serve_echo(mut reader: StreamReader, mut writer: StreamWriter) -> Result<()> {
    let mut buffer = vec![0; 1 << 16];
    while let count @ 1.. = reader.read(&mut buffer).await? {
        writer.write_all(&buffer[..count]).await?;
    }
    Ok(())
}

/// Listens on TCP, a UNIX socket and an abstract name, by protocols and by streams.
async fn serve_everywhere<P, Fut>(
    event_loop: &EventLoopHandle,
    directory: &Directory,
    factory: fn() -> P,
    client_connected: fn(StreamReader, StreamWriter) -> Fut,
) -> Result<Vec<Server>>
where
    P: Protocol,
    Fut: core::future::Future<Output = Result<()>> + 'static,
{
    let (file, other_file) = (directory.path("protocol"), directory.path("streams"));
    let (name, other_name) = (directory.name("protocol"), directory.name("streams"));
    Ok(vec![
        event_loop.create_server(factory, any_port()).backlog(BACKLOG).await?,
        event_loop.create_unix_server(factory, file).backlog(BACKLOG).await?,
        event_loop.create_unix_server(factory, name).backlog(BACKLOG).await?,
        event_loop.start_server(any_port(), client_connected).backlog(BACKLOG).await?,
        event_loop.start_unix_server(other_file, client_connected).backlog(BACKLOG).await?,
        event_loop.start_unix_server(other_name, client_connected).backlog(BACKLOG).await?,
    ])
}

/// Has asyncio's clients talk to all servers, and ends the servers in order.
async fn visited(event_loop: &EventLoopHandle, servers: &[Server], conversation: &[&str]) -> Result<()> {
    let addrs: Vec<_> = servers.iter().map(spelled).collect();
    let mut arguments = conversation.to_vec();
    arguments.extend(addrs.iter().map(String::as_str));
    Peer::python(&arguments).ends_well(event_loop).await;
    for server in servers {
        assert!(server.accepted() > 0 && server.refused() == 0, "{server:?}");
        server.close();
        server.wait_closed().await?;
    }
    Ok(())
}

#[test]
fn asyncio_clients_send_megabytes_end_their_side_and_are_answered() {
    with_tool("python3", || {
        let (event_loop, directory) = (roomy(), Directory::new("digest"));
        hold(&event_loop, async {
            let mut servers =
                serve_everywhere(&event_loop, &directory, DigestServer::default, serve_digest).await?;
            servers.push(event_loop.create_server(BufferedDigestServer::new, any_port()).await?);
            let listener = TcpListener::bind(any_port()).unwrap();
            servers.push(event_loop.create_server_with_sock(DigestServer::default, listener).await?);
            visited(&event_loop, &servers, &["digest", "client", &MEGABYTES.to_string()]).await
        });
    });
}

#[test]
fn asyncio_clients_get_megabytes_back_while_they_send() {
    with_tool("python3", || {
        let (event_loop, directory) = (roomy(), Directory::new("echo"));
        hold(&event_loop, async {
            let servers = serve_everywhere(&event_loop, &directory, || EchoServer, serve_echo).await?;
            visited(&event_loop, &servers, &["echo", "client", &MEGABYTES.to_string()]).await
        });
        assert_eq!((event_loop.dropped_writes(), event_loop.write_buffers_size()), (0, 0));
    });
}

#[test]
fn asyncio_clients_come_in_a_crowd() {
    with_tool("python3", || {
        let (event_loop, directory) = (roomy(), Directory::new("crowd"));
        hold(&event_loop, async {
            let servers = serve_everywhere(&event_loop, &directory, || EchoServer, serve_echo).await?;
            visited(&event_loop, &servers, &["crowd", "client", &CROWD.to_string()]).await
        });
        assert_eq!(event_loop.statistics().tasks.live, 0);
    });
}

/// Says farewell first, ends its side, and takes in what the peer has to say still.
struct PartingServer(Digest, Rc<RefCell<Vec<String>>>);

impl Protocol for PartingServer {
    fn connection_made(&mut self, transport: &Transport) -> Result<()> {
        transport.write(b"farewell")?;
        transport.write_eof()
    }

    fn data_received(&mut self, _: &Transport, data: &[u8]) -> Result<()> {
        self.0.update(data);
        Ok(())
    }

    fn connection_lost(&mut self, _: &Transport, error: Option<&Error>) -> Result<()> {
        assert!(error.is_none(), "{error:?}");
        self.1.borrow_mut().push(self.0.to_string());
        Ok(())
    }
}

#[test]
fn asyncio_clients_go_on_sending_when_the_server_has_ended_its_side() {
    with_tool("python3", || {
        let event_loop = roomy();
        let digests = Rc::new(RefCell::new(Vec::new()));
        let (of_protocols, of_streams) = (Rc::clone(&digests), Rc::clone(&digests));
        hold(&event_loop, async {
            let factory = move || PartingServer(Digest::default(), Rc::clone(&of_protocols));
            let client_connected = move |mut reader: StreamReader, mut writer: StreamWriter| {
                let digests = Rc::clone(&of_streams);
                async move {
                    writer.write_all(b"farewell").await?;
                    writer.write_eof()?;
                    let (mut digest, mut buffer) = (Digest::default(), vec![0; 1 << 16]);
                    while let count @ 1.. = reader.read(&mut buffer).await? {
                        digest.update(&buffer[..count]);
                    }
                    digests.borrow_mut().push(digest.to_string());
                    Ok::<(), Error>(())
                }
            };
            let servers = [
                event_loop.create_server(factory, any_port()).await?,
                event_loop.start_server(any_port(), client_connected).await?,
            ];
            visited(&event_loop, &servers, &["parting", "client", "1000000"]).await
        });
        let digests = digests.take();
        assert!(digests.len() == 4 && digests[0].starts_with("1000000 "), "{digests:?}");
        assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
    });
}

/// Answers once, and keeps the error that ends the connection.
struct Broken(Rc<RefCell<Vec<Option<std::io::ErrorKind>>>>);

impl Protocol for Broken {
    fn data_received(&mut self, transport: &Transport, _: &[u8]) -> Result<()> {
        transport.write(b"!")
    }

    fn connection_lost(&mut self, _: &Transport, error: Option<&Error>) -> Result<()> {
        self.0.borrow_mut().push(error.and_then(Error::as_io).map(std::io::Error::kind));
        Ok(())
    }
}

#[test]
fn a_connection_that_asyncio_resets_is_lost_with_that_error() {
    with_tool("python3", || {
        let event_loop = roomy();
        let errors = Rc::new(RefCell::new(Vec::new()));
        let kept = Rc::clone(&errors);
        hold(&event_loop, async {
            let factory = move || Broken(Rc::clone(&kept));
            let server = event_loop.create_server(factory, any_port()).await?;
            visited(&event_loop, &[server], &["reset", "client", "1"]).await
        });
        assert_eq!(errors.take(), [Some(std::io::ErrorKind::ConnectionReset); 2]);
    });
}

/// SK, CA-1: plain sockets, and a connection that somebody else accepted.
#[test]
fn asyncio_clients_are_served_by_plain_sockets_and_by_accepted_ones() {
    with_tool("python3", || {
        let event_loop = roomy();
        hold(&event_loop, async {
            let listener = rondel::NonBlocking::new(TcpListener::bind(any_port()).unwrap())?;
            let addr = format!("tcp:{}", listener.get_ref().local_addr().unwrap());
            let peer = Peer::python(&["digest", "client", "1000000", &addr]);
            let (sock, _) = event_loop.sock_accept(&listener).await?;
            let mut digest = Digest::default();
            loop {
                match event_loop.sock_recv(&sock, 10_000).await? {
                    data if data.is_empty() => break,
                    data => digest.update(&data),
                }
            }
            event_loop.sock_sendall(&sock, digest.to_string().as_bytes()).await.unwrap();
            drop(sock);
            let (sock, _) = event_loop.sock_accept(&listener).await?;
            let accepted = sock.into_inner();
            let _transport = event_loop.connect_accepted_socket(DigestServer::default, accepted).await?;
            peer.ends_well(&event_loop).await;
            Ok::<(), Error>(())
        });
    });
}

// rondel is the client.

/// Where a client connects to.
enum Place {
    Tcp(SocketAddr),
    Unix(String),
}

impl Place {
    /// Reads what the other side prints.
    fn read(addr: &str) -> Self {
        match addr.split_once(':').expect("a kind") {
            ("unix", path) => Self::Unix(path.replacen('@', "\0", 1)),
            (_, addr) => Self::Tcp(addr.parse().expect("an address")),
        }
    }

    async fn open(&self, event_loop: &EventLoopHandle) -> Result<(StreamReader, StreamWriter)> {
        match self {
            Self::Tcp(addr) => event_loop.open_connection(*addr).await,
            Self::Unix(path) => event_loop.open_unix_connection(path).await,
        }
    }

    /// Sends `data` by streams, and returns what comes back meanwhile and after.
    async fn talk(&self, event_loop: &EventLoopHandle, data: Rc<[u8]>) -> Result<Vec<u8>> {
        let (mut reader, mut writer) = self.open(event_loop).await?;
        let sender = event_loop.create_task(async move {
            writer.write_all(&data).await?;
            writer.write_eof()
        })?;
        let (mut answer, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
        while let count @ 1.. = reader.read(&mut buffer).await? {
            answer.extend_from_slice(&buffer[..count]);
        }
        sender.await??;
        Ok(answer)
    }

    /// The same by a protocol.
    async fn converse(&self, event_loop: &EventLoopHandle, data: Rc<[u8]>) -> Result<Vec<u8>> {
        let over = event_loop.create_future()?;
        let client = Client { data, answer: Vec::new(), over: over.clone() };
        let (_transport, protocol) = match self {
            Self::Tcp(addr) => event_loop.create_connection(|| client, *addr).await?,
            Self::Unix(path) => event_loop.create_unix_connection(|| client, path).await?,
        };
        over.await?;
        protocol.with(|client| core::mem::take(&mut client.answer))
    }

    /// The same by a plain socket, which hears only when all was said.
    async fn exchange(&self, event_loop: &EventLoopHandle, data: Rc<[u8]>) -> Result<Vec<u8>> {
        let sock = match self {
            Self::Tcp(addr) => {
                let sock = event_loop.stream_socket(*addr)?;
                event_loop.sock_connect(&sock, *addr).await?;
                sock
            }
            Self::Unix(path) => {
                let addr = rondel::UnixAddr::try_from(path.as_str())?;
                let sock = event_loop.stream_socket(addr.clone())?;
                event_loop.sock_connect(&sock, addr).await?;
                sock
            }
        };
        event_loop.sock_sendall(&sock, &data).await.map_err(Error::from)?;
        std::net::TcpStream::from(std::os::fd::AsFd::as_fd(&sock).try_clone_to_owned().unwrap())
            .shutdown(std::net::Shutdown::Write)
            .unwrap();
        let mut answer = Vec::new();
        loop {
            match event_loop.sock_recv(&sock, 10_000).await? {
                data if data.is_empty() => return Ok(answer),
                data => answer.extend(data),
            }
        }
    }
}

/// Sends all, ends its side, and collects the answer.
struct Client {
    data: Rc<[u8]>,
    answer: Vec<u8>,
    over: Future<()>,
}

impl Protocol for Client {
    fn connection_made(&mut self, transport: &Transport) -> Result<()> {
        transport.write(&self.data)?;
        transport.write_eof()
    }

    fn data_received(&mut self, _: &Transport, data: &[u8]) -> Result<()> {
        self.answer.extend_from_slice(data);
        Ok(())
    }

    fn connection_lost(&mut self, _: &Transport, error: Option<&Error>) -> Result<()> {
        assert!(error.is_none(), "{error:?}");
        let _ = self.over.set_result(());
        Ok(())
    }
}

/// Starts asyncio's servers on TCP, a UNIX socket and an abstract name; returns where they are.
fn asyncio_serves(
    conversation: &str,
    length: usize,
    connections: usize,
    directory: &Directory,
) -> (Peer, Vec<Place>) {
    let (file, name) = (directory.path("socket"), directory.path("name"));
    let (file, name) = (format!("unix:{file}"), format!("unix:@{name}"));
    let (length, connections) = (length.to_string(), connections.to_string());
    let mut peer =
        Peer::python(&[conversation, "server", &length, &connections, "tcp:127.0.0.1:0", &file, &name]);
    let places = peer.line().split(' ').map(Place::read).collect();
    (peer, places)
}

#[test]
fn asyncio_servers_answer_megabytes_with_their_digest() {
    with_tool("python3", || {
        let (event_loop, directory) = (roomy(), Directory::new("digests"));
        let (peer, places) = asyncio_serves("digest", 0, 3, &directory);
        let data: Rc<[u8]> = blob(MEGABYTES).into();
        let digest = Digest::of(&data).to_string();
        hold(&event_loop, async {
            for place in &places {
                assert_eq!(place.talk(&event_loop, Rc::clone(&data)).await?, digest.as_bytes());
                assert_eq!(place.converse(&event_loop, Rc::clone(&data)).await?, digest.as_bytes());
                assert_eq!(place.exchange(&event_loop, Rc::clone(&data)).await?, digest.as_bytes());
            }
            peer.ends_well(&event_loop).await;
            Ok::<(), Error>(())
        });
    });
}

#[test]
fn asyncio_servers_send_megabytes_back_while_they_come() {
    with_tool("python3", || {
        let (event_loop, directory) = (roomy(), Directory::new("echoes"));
        let (peer, places) = asyncio_serves("echo", 0, 2, &directory);
        let data: Rc<[u8]> = blob(MEGABYTES).into();
        hold(&event_loop, async {
            for place in &places {
                assert!(place.talk(&event_loop, Rc::clone(&data)).await? == *data);
                assert!(place.converse(&event_loop, Rc::clone(&data)).await? == *data);
            }
            peer.ends_well(&event_loop).await;
            Ok::<(), Error>(())
        });
    });
}

#[test]
fn asyncio_servers_have_a_crowd_of_clients_at_once() {
    with_tool("python3", || {
        let (event_loop, directory) = (roomy(), Directory::new("crowds"));
        let (peer, places) = asyncio_serves("echo", 0, CROWD, &directory);
        hold(&event_loop, async {
            let mut crowd = Vec::new();
            for place in &places {
                for _ in 0..CROWD {
                    crowd.push(place.open(&event_loop).await?);
                }
            }
            for (number, (_, writer)) in crowd.iter_mut().enumerate() {
                writer.write(format!("client {number}\n").as_bytes())?;
            }
            for (number, (reader, _)) in crowd.iter_mut().enumerate() {
                assert_eq!(reader.read_line().await?, format!("client {number}\n").as_bytes());
            }
            drop(crowd);
            peer.ends_well(&event_loop).await;
            Ok::<(), Error>(())
        });
        assert_eq!(event_loop.statistics().tasks.live, 0);
    });
}

#[test]
fn asyncio_servers_that_have_ended_their_side_get_the_rest() {
    with_tool("python3", || {
        let (event_loop, directory) = (roomy(), Directory::new("parting"));
        let (peer, places) = asyncio_serves("parting", MEGABYTES, 1, &directory);
        let data = blob(MEGABYTES);
        hold(&event_loop, async {
            for place in &places {
                let (mut reader, mut writer) = place.open(&event_loop).await?;
                let mut farewell = [0; 8];
                reader.read_exactly(&mut farewell).await?;
                assert_eq!((&farewell, reader.read(&mut [0]).await?), (b"farewell", 0));
                writer.write_all(&data).await?;
                writer.close();
                writer.wait_closed().await?;
            }
            peer.ends_well(&event_loop).await;
            Ok::<(), Error>(())
        });
    });
}

/// A name has two addresses, of which asyncio listens on one.
#[test]
fn an_asyncio_server_is_found_by_its_name() {
    with_tool("python3", || {
        let event_loop = roomy();
        let mut peer = Peer::python(&["digest", "server", "0", "1", "tcp:127.0.0.1:0"]);
        let ports: Vec<u16> =
            peer.line().split(' ').map(|addr| addr.rsplit(':').next().unwrap().parse().unwrap()).collect();
        hold(&event_loop, async {
            for port in ports {
                let (mut reader, mut writer) = event_loop.open_connection(("localhost", port)).await?;
                writer.write_all(b"hello").await?;
                writer.write_eof()?;
                assert_eq!(reader.read_line().await?, Digest::of(b"hello").to_string().as_bytes());
            }
            peer.ends_well(&event_loop).await;
            Ok::<(), Error>(())
        });
    });
}

// Datagrams.

/// Sends each datagram back where it came from.
struct DatagramEcho;

impl DatagramProtocol for DatagramEcho {
    fn datagram_received(
        &mut self,
        transport: &DatagramTransport,
        data: &[u8],
        addr: &Address,
    ) -> Result<()> {
        transport.sendto(data, addr)
    }
}

#[test]
fn asyncio_datagrams_of_all_sizes_come_back() {
    with_tool("python3", || {
        let event_loop = roomy();
        hold(&event_loop, async {
            let (transport, _) =
                event_loop.create_datagram_endpoint(|| DatagramEcho).local_addr(any_port()).await?;
            let addr = format!("udp:{}", transport.local_addr().expect("an address"));
            Peer::python(&["datagram", "client", &addr]).ends_well(&event_loop).await;
            Ok::<(), Error>(())
        });
    });
}

/// Sends the next datagram when the last one has come back, and at last `end`.
struct DatagramClient {
    left: Vec<Vec<u8>>,
    awaited: Vec<u8>,
    over: Future<()>,
}

impl DatagramClient {
    fn new(over: Future<()>) -> Self {
        // None is empty: before Python 3.13 asyncio doesn't send those.
        let left = [60_000, 9_000, 3, 1_400, 1].map(blob);
        let left = core::iter::once(b"end".to_vec()).chain(left).collect();
        Self { left, awaited: Vec::new(), over }
    }

    fn send(&mut self, transport: &DatagramTransport) -> Result<()> {
        let Some(data) = self.left.pop() else {
            self.over.set_result(()).expect("once");
            return Ok(());
        };
        self.awaited = data;
        transport.send(&self.awaited)
    }
}

impl DatagramProtocol for DatagramClient {
    fn connection_made(&mut self, transport: &DatagramTransport) -> Result<()> {
        self.send(transport)
    }

    fn datagram_received(&mut self, transport: &DatagramTransport, data: &[u8], _: &Address) -> Result<()> {
        assert!(data == self.awaited, "{} bytes", data.len());
        self.send(transport)
    }
}

#[test]
fn an_asyncio_endpoint_sends_datagrams_of_all_sizes_back() {
    with_tool("python3", || {
        let event_loop = roomy();
        let mut peer = Peer::python(&["datagram", "server", "udp:127.0.0.1:0"]);
        let addr: SocketAddr = peer.line().trim_start_matches("udp:").parse().expect("an address");
        hold(&event_loop, async {
            let over = event_loop.create_future()?;
            let client = DatagramClient::new(over.clone());
            let _endpoint = event_loop.create_datagram_endpoint(|| client).remote_addr(addr).await?;
            over.await?;
            peer.ends_well(&event_loop).await;
            Ok::<(), Error>(())
        });
    });
}

// socat.

#[test]
fn socat_sends_a_megabyte_ends_its_side_and_is_answered() {
    with_tool("socat", || {
        let (event_loop, directory) = (roomy(), Directory::new("socat-client"));
        let data = blob(1 << 20);
        hold(&event_loop, async {
            let digests =
                serve_everywhere(&event_loop, &directory, DigestServer::default, serve_digest).await?;
            for server in &digests {
                let peer = Peer::socat(&["-", &dialled(&spelled(server))]);
                let answer = peer.finished(&event_loop, data.clone()).await;
                assert_eq!(answer, Digest::of(&data).to_string().as_bytes());
                server.close();
            }
            let echoes = serve_everywhere(&event_loop, &directory, || EchoServer, serve_echo).await?;
            for server in &echoes {
                let peer = Peer::socat(&["-", &dialled(&spelled(server))]);
                assert!(peer.finished(&event_loop, data.clone()).await == data);
                server.close();
                server.wait_closed().await?;
            }
            Ok::<(), Error>(())
        });
    });
}

/// How socat spells an address to connect to.
fn dialled(addr: &str) -> String {
    match addr.split_once(':').expect("a kind") {
        ("unix", path) => match path.strip_prefix('@') {
            Some(name) => format!("ABSTRACT-CONNECT:{name}"),
            None => format!("UNIX-CONNECT:{path}"),
        },
        (_, addr) => format!("TCP:{addr}"),
    }
}

#[test]
fn socat_listens_and_both_sides_send_a_megabyte_and_end() {
    with_tool("socat", || {
        let (event_loop, directory) = (roomy(), Directory::new("socat-server"));
        let (data, answer): (Rc<[u8]>, _) = (blob(1 << 20).into(), blob(1 << 19));
        hold(&event_loop, async {
            for by_streams in [true, false] {
                let file = directory.path(if by_streams { "a" } else { "b" });
                let (unix, name) = (format!("UNIX-LISTEN:{file}"), format!("ABSTRACT-LISTEN:{file}"));
                for listen in ["TCP-LISTEN:0,bind=127.0.0.1", &unix, &name] {
                    let mut peer = Peer::socat(&["-d", "-d", listen, "-"]);
                    let listening = peer.listening();
                    let place = match listen {
                        _ if listen == unix => Place::Unix(file.clone()),
                        _ if listen == name => Place::Unix(format!("\0{file}")),
                        _ => Place::Tcp(listening.parse().expect("an address")),
                    };
                    let sent = answer.clone();
                    let ended = event_loop.run_in_executor(move || peer.finish(sent)).unwrap();
                    let received = if by_streams {
                        place.talk(&event_loop, Rc::clone(&data)).await?
                    } else {
                        place.converse(&event_loop, Rc::clone(&data)).await?
                    };
                    assert!(received == answer);
                    assert!(ended.await.unwrap() == *data);
                }
            }
            Ok::<(), Error>(())
        });
    });
}

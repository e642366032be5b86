//! A server in a process of its own.

use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::peers::{self, Peer, Serve};
use crate::process::Cores;
use crate::socket::Transport;
use crate::sys;

pub(crate) struct Server {
    child: Child,
    output: BufReader<ChildStdout>,
    pub(crate) transport: Transport,
    pub(crate) address: String,
    /// Is the server's own, which is not the child's if another program runs it.
    pub(crate) process: u32,
}

/// What is left of a server.
pub(crate) struct Ended {
    pub(crate) allocations: Option<u64>,
    /// Is what it, and what ran it, wrote as errors.
    pub(crate) errors: String,
}

impl Server {
    /// Starts a server; says why there is none otherwise.
    pub(crate) fn start(peer: &Peer, transport: Transport, cores: &Cores) -> Result<Self, String> {
        Self::start_within(&[], peer, transport, peers::BUFFER, cores)
    }

    /// Starts a server by way of another program, with buffers of such a size
    /// where each connection has one.
    pub(crate) fn start_within(
        runner: &[&str],
        peer: &Peer,
        transport: Transport,
        buffer: usize,
        cores: &Cores,
    ) -> Result<Self, String> {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let address = transport.fresh_address(STARTED.fetch_add(1, Relaxed));
        let mut words: Vec<String> = runner.iter().map(|&word| word.into()).collect();
        match peer.serve {
            Serve::Here(_) => {
                words.extend([own.to_string_lossy().into(), "--serve".into(), peer.name.into()]);
            }
            Serve::Python => words.extend(["python3", "-c", peers::PYTHON, peer.name].map(String::from)),
            Serve::Absent(reason) => return Err(reason.into()),
        }
        words.extend([transport.name().into(), address, buffer.to_string()]);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(if runner.is_empty() { Stdio::inherit() } else { Stdio::piped() });
        cores.server();
        let child = command.spawn();
        cores.load();
        let mut child = child.map_err(|error| format!("{}: {error}", words[0]))?;
        let output = BufReader::new(child.stdout.take().expect("is piped"));
        let mut server = Self { process: child.id(), child, output, transport, address: String::new() };
        let mut line = String::new();
        server.output.read_line(&mut line).map_err(|error| error.to_string())?;
        let (answer, rest) = line.trim().split_once(' ').unwrap_or_default();
        let (Some((address, process)), "READY") = (rest.rsplit_once(' '), answer) else {
            return Err(if line.is_empty() { "ended at once".into() } else { line.trim().into() });
        };
        server.address = address.into();
        server.process = process.parse().map_err(|_| line.clone())?;
        Ok(server)
    }

    /// Ends it.
    pub(crate) fn end(mut self) -> Ended {
        sys::terminate(self.process);
        let (mut output, mut errors) = (String::new(), String::new());
        let _ = self.output.read_to_string(&mut output);
        if let Some(mut pipe) = self.child.stderr.take() {
            let _ = pipe.read_to_string(&mut errors);
        }
        let _ = self.child.wait();
        Ended { allocations: output.trim().parse().ok(), errors }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if self.transport == Transport::Unix {
            let _ = fs::remove_file(&self.address);
        }
    }
}

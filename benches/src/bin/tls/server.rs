//! A server in a process of its own, and the certificate of all of them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::peers::{PYTHON, Peer};
use crate::process::Cores;

/// A certificate for `localhost` with a key of P-256, in files.
pub(crate) struct Certificate {
    folder: PathBuf,
}

impl Certificate {
    pub(crate) fn make() -> Result<Self, String> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_string()]);
        let made = made.map_err(|error| error.to_string())?;
        let own = Self { folder: std::env::temp_dir().join(format!("rondel-tls-{}", std::process::id())) };
        fs::create_dir_all(&own.folder)
            .and_then(|()| fs::write(own.cert(), made.cert.pem()))
            .and_then(|()| fs::write(own.key(), made.signing_key.serialize_pem()))
            .map_err(|error| format!("{}: {error}", own.folder.display()))?;
        Ok(own)
    }

    pub(crate) fn cert(&self) -> PathBuf {
        self.folder.join("cert.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.folder.join("key.pem")
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    pub(crate) process: u32,
}

impl Server {
    /// Starts a server, with buffers of such a size where each connection has one;
    /// says why there is none otherwise.
    pub(crate) fn start(
        peer: &Peer,
        certificate: &Certificate,
        buffer: usize,
        cores: &Cores,
    ) -> Result<Self, String> {
        let mut command = if peer.is_python {
            let mut command = Command::new("python3");
            command.args(["-c", PYTHON, peer.name, "tcp", "127.0.0.1:0"]);
            command
        } else {
            let mut command = Command::new(std::env::current_exe().map_err(|error| error.to_string())?);
            command.args(["--serve", peer.name]);
            command
        };
        command.arg(buffer.to_string()).arg(certificate.cert()).arg(certificate.key());
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        cores.server();
        let child = command.spawn();
        cores.load();
        let mut child = child.map_err(|error| error.to_string())?;
        let output = child.stdout.take().expect("is piped");
        let process = child.id();
        let mut server = Self { child, address: String::new(), process };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).map_err(|error| error.to_string())?;
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["READY", address, ..] => server.address = address.into(),
            _ if line.is_empty() => return Err("ended at once".into()),
            _ => return Err(line.trim().into()),
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

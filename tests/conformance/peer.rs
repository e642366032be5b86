//! A program beside the test.

use core::time::Duration;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::thread;

use rondel::EventLoopHandle;

/// Is how long a peer may live; far more than any takes.
pub const PATIENCE: Duration = Duration::from_secs(40);

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

    pub fn python(arguments: &[&str]) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/conformance/test_interop/peer.py");
        let arguments = [&[script], arguments].concat();
        Self::start("python3", &arguments, Stdio::inherit())
    }

    /// Starts socat; what it says, it says to us. It waits for the other side's end for ever: one that
    /// fails to come is not to pass for one.
    pub fn socat(arguments: &[&str]) -> Self {
        Self::start("socat", &[&["-t", "3600"], arguments].concat(), Stdio::piped())
    }

    /// Reads a line that the program prints.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    /// Reads what socat says up to where it listens, and returns the last word of it.
    pub fn listening(&mut self) -> String {
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
    pub async fn ends_well(self, event_loop: &EventLoopHandle) {
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

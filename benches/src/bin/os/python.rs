//! Peers in Python: a process for each, which measures itself.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::case::Unavailable;

const SCRIPT: &str = include_str!("python.py");

/// A Python process that measures one case when it is asked to.
struct Python {
    process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// Makes the rounds of `case`, `count` repetitions each, by `asyncio` or `uvloop`.
///
/// # Errors
/// If there is no Python, or it lacks the loop.
pub(crate) fn rounds(
    event_loop: &str,
    case: &str,
    count: usize,
) -> Result<impl FnMut() -> f64 + use<>, Unavailable> {
    let mut command = Command::new("python3");
    command.args(["-c", SCRIPT, event_loop, case, &count.to_string()]);
    let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut process = started.map_err(|error| Unavailable(format!("python3: {error}")))?;
    let questions = process.stdin.take().expect("is piped");
    let answers = BufReader::new(process.stdout.take().expect("is piped"));
    let mut python = Python { process, questions, answers };
    let ready = python.answer();
    if ready != "READY" {
        return Err(Unavailable(format!("{event_loop} is not there")));
    }
    Ok(move || {
        python.questions.write_all(b"\n").expect("it listens");
        python.answer().parse().expect("a number")
    })
}

impl Python {
    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("it answers");
        line.trim().into()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

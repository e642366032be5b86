//! Everything that a process wants to read, and everything that it writes.

use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context as PollContext, Poll};
use std::io;

use super::handle::Process;
use super::status::ExitStatus;
use crate::streams::{StreamReader, StreamWriter};
use crate::{Error, ErrorKind, Result};

/// Is the most bytes of each output that are collected by default.
const DEFAULT_LIMIT: usize = 16 << 20;

/// What a process has written until it ended, and how it ended.
///
/// # Python
/// The pair that `communicate` returns, and `returncode`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output {
    /// Is what came through the pipe from its standard output; empty without one.
    pub stdout: Vec<u8>,
    /// Is what came through the pipe from its standard error; empty without one.
    pub stderr: Vec<u8>,
    /// Is how it ended.
    pub status: ExitStatus,
}

/// What was moved so far.
#[derive(Default, Debug)]
pub(super) struct Gathered {
    /// Counts the bytes of the input that were written.
    sent: usize,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Process {
    /// Writes `input` to the standard input and closes it, reads both outputs to their end, at the same
    /// time, and waits for the process; pipes that it doesn't have are left out. A process that doesn't
    /// read all of its input is no error (FAULTS R-07).
    ///
    /// ```
    /// # use rondel::Stdio;
    /// # rondel::run(async |event_loop| {
    /// let sort = event_loop.create_subprocess_exec("sort").stdin(Stdio::pipe()).stdout(Stdio::pipe());
    /// let output = sort.await?.communicate("b\na\n").await?;
    /// assert_eq!(output.stdout, b"a\nb\n");
    /// # Ok(())
    /// # })?;
    /// # Ok::<(), rondel::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Communicate`].
    ///
    /// # Cancellation
    /// As of [`Communicate`].
    ///
    /// # Python
    /// `await process.communicate(input)`, which collects without a limit.
    pub fn communicate<I: AsRef<[u8]>>(&mut self, input: I) -> Communicate<'_, I> {
        Communicate { process: self, input, limit: DEFAULT_LIMIT }
    }
}

/// The options of a [`communicate`](Process::communicate); await it to do it.
///
/// # Errors
/// Awaiting it fails with [`ErrorKind::TooLarge`] if one of the outputs has more bytes than the limit.
/// If the task is cancelled, a pipe broke, or the loop was closed.
///
/// # Cancellation
/// Safe, as after an error: what was moved stays with the process, and another call with the same
/// input, and with a higher limit perhaps, goes on from there.
#[must_use = "does nothing until it is awaited"]
pub struct Communicate<'a, I> {
    process: &'a mut Process,
    input: I,
    limit: usize,
}

impl<I> Communicate<'_, I> {
    /// Sets the most bytes of each output that are collected; 16 MiB by default.
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }
}

impl<'a, I: AsRef<[u8]> + 'a> IntoFuture for Communicate<'a, I> {
    type Output = Result<Output>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<Output>> + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self { process, input, limit } = self;
            poll_fn(|cx| process.poll_moving(cx, input.as_ref(), limit)).await?;
            let status = process.wait().await?;
            let Gathered { stdout, stderr, .. } = core::mem::take(&mut process.gathered);
            Ok(Output { stdout, stderr, status })
        })
    }
}

impl Process {
    /// Moves what can be moved, in all three pipes, until all have ended.
    fn poll_moving(&mut self, cx: &mut PollContext<'_>, input: &[u8], limit: usize) -> Poll<Result<()>> {
        let Self { stdin, stdout, stderr, gathered, .. } = self;
        let rest = input.get(gathered.sent..).unwrap_or_default();
        let moved = [
            poll_feed(stdin, cx, rest, &mut gathered.sent)?,
            poll_gather(stdout, cx, &mut gathered.stdout, limit)?,
            poll_gather(stderr, cx, &mut gathered.stderr, limit)?,
        ];
        if moved.iter().all(Poll::is_ready) { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

/// Writes what is left of the input, and then closes the pipe.
fn poll_feed(
    stdin: &mut Option<StreamWriter>,
    cx: &mut PollContext<'_>,
    mut rest: &[u8],
    sent: &mut usize,
) -> Poll<Result<()>> {
    let Some(writer) = stdin else { return Poll::Ready(Ok(())) };
    while !rest.is_empty() {
        match core::task::ready!(writer.poll_write(cx, rest)) {
            Ok(count) => {
                *sent += count;
                rest = rest.get(count..).unwrap_or_default();
            }
            // As much as it wanted.
            Err(error) if is_gone(&error) || error.kind() == ErrorKind::Closed && writer.is_closing() => {
                break;
            }
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
    *stdin = None;
    Poll::Ready(Ok(()))
}

/// Tells whether the reader of a pipe is gone.
fn is_gone(error: &Error) -> bool {
    let kind = error.as_io().map(io::Error::kind);
    matches!(kind, Some(io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset))
}

/// Reads to the end, and then closes the pipe.
fn poll_gather(
    reader: &mut Option<StreamReader>,
    cx: &mut PollContext<'_>,
    data: &mut Vec<u8>,
    limit: usize,
) -> Poll<Result<()>> {
    while let Some(source) = reader {
        let found = core::task::ready!(source.poll_buffered(cx))?;
        if found.is_empty() {
            *reader = None;
            break;
        }
        let taken = found.len().min(limit.saturating_sub(data.len()));
        if taken == 0 {
            let message = format!("the process has written more than the {limit} bytes that are collected");
            return Poll::Ready(Err(Error::of(ErrorKind::TooLarge, message)));
        }
        data.extend_from_slice(&found[..taken]);
        source.consume(taken);
    }
    Poll::Ready(Ok(()))
}

impl<I> fmt::Debug for Communicate<'_, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Communicate({:?})", self.process)
    }
}

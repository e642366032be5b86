//! Standard input, output and error, without harm to those who share them.

use core::future::Future;
use core::panic::Location;
use std::io;

use super::connect::OpenReadPipe;
use super::end::NotAPipe;
use crate::net::connection::{Connection, PipeEnd};
use crate::sources::Direction;
use crate::streams::{self, StreamWriter};
use crate::sys::{Fd, FileKind, Kernel};
use crate::{Error, ErrorKind, EventLoopHandle, Result};

/// Are the numbers that every process starts with.
const STDIN: Fd = Fd::from_raw(0);
const STDOUT: Fd = Fd::from_raw(1);
const STDERR: Fd = Fd::from_raw(2);

impl EventLoopHandle {
    /// Reads standard input in tasks, whatever it is: a terminal, a pipe, a socket, or
    /// a file, which is read at once and may hold up the loop for as long as its disk
    /// takes.
    ///
    /// The shell and others have the same open file, and it stays as they know it
    /// (FAULTS P-14): a pipe or terminal is opened once more, a socket is asked not to
    /// wait at each call. Only where the system refuses that, and for other devices,
    /// `O_NONBLOCK` is set on what is shared. It is taken back when the last reader or
    /// writer of that kind in the process is dropped, also by a loop that is closed and
    /// by a panic that unwinds; it stays set if the process is killed, aborts or calls
    /// `exit` before. What was read and not used is gone for the others; so one reader
    /// is enough.
    ///
    /// ```no_run
    /// rondel::run(async |event_loop| {
    ///     let mut input = event_loop.open_stdin().await?;
    ///     let mut output = event_loop.open_stdout().await?;
    ///     while let Some(line) = input.next_line().await? {
    ///         output.write_all(line).await?;
    ///     }
    ///     Ok(())
    /// })?;
    /// # Ok::<(), rondel::Error>(())
    /// ```
    ///
    /// # Errors
    /// Awaiting it fails as [`open_stdout`](Self::open_stdout) does, for reading.
    ///
    /// # Cancellation
    /// Safe: standard input stays as it is, also if this fails or is never awaited.
    ///
    /// # Python
    /// `loop.connect_read_pipe(factory, sys.stdin)`, which refuses files and leaves the
    /// terminal non-blocking for the shell.
    #[track_caller]
    pub fn open_stdin(&self) -> OpenReadPipe {
        OpenReadPipe::of_stdin(self)
    }

    /// Writes to standard output from tasks, whatever it is; what
    /// [`open_stdin`](Self::open_stdin) says of those who share it holds here too. A
    /// file is written at its shared position, at once. Dropping the writer writes what
    /// is left; standard output itself stays open.
    ///
    /// # Errors
    /// [`NotAPipe`] if it is a directory or nothing of the kind; `Io` if
    /// it is closed or not open for writing, or as the system says.
    ///
    /// # Cancellation
    /// Safe: standard output stays as it is, also if this fails or is never awaited.
    ///
    /// # Python
    /// `loop.connect_write_pipe(factory, sys.stdout)`.
    #[track_caller]
    pub fn open_stdout(&self) -> impl Future<Output = Result<StreamWriter>> + use<> {
        open(self.clone(), STDOUT, "open_stdout", Location::caller())
    }

    /// Writes to standard error from tasks, as [`open_stdout`](Self::open_stdout).
    ///
    /// # Errors
    /// As [`open_stdout`](Self::open_stdout).
    ///
    /// # Cancellation
    /// As [`open_stdout`](Self::open_stdout).
    ///
    /// # Python
    /// `loop.connect_write_pipe(factory, sys.stderr)`.
    #[track_caller]
    pub fn open_stderr(&self) -> impl Future<Output = Result<StreamWriter>> + use<> {
        open(self.clone(), STDERR, "open_stderr", Location::caller())
    }
}

async fn open(
    event_loop: EventLoopHandle,
    fd: Fd,
    operation: &'static str,
    location: &'static Location<'static>,
) -> Result<StreamWriter> {
    let open = || {
        let end = PipeEnd::shared(&event_loop, fd, Direction::Write)?;
        Ok(streams::writer(Connection::of_pipe(&event_loop, end, location)?))
    };
    open().map_err(|error: Error| error.during(operation))
}

impl PipeEnd {
    pub(super) fn stdin(event_loop: &EventLoopHandle) -> Result<Self> {
        Self::shared(event_loop, STDIN, Direction::Read)
    }

    /// Makes an end of a descriptor that others have too, and leaves them theirs.
    ///
    /// # Errors
    /// [`NotAPipe`]; as the system.
    fn shared(event_loop: &EventLoopHandle, fd: Fd, direction: Direction) -> Result<Self> {
        let kernel = &*event_loop.inner.kernel;
        if !kernel.has_real_descriptors() {
            return Err(Error::of(ErrorKind::Io, "this kernel has no descriptors"));
        }
        let kind = kernel.file_kind(fd)?;
        if matches!(kind, FileKind::Directory | FileKind::Other) {
            return Err(NotAPipe::new(fd, kind).into());
        }
        // Not of the descriptor of our own, which a pipe gives for either direction.
        let given = Self::of_kind(kernel, fd, kind, direction)?;
        let (own, is_private) = own(kernel, fd, kind, direction)?;
        let described = || {
            // A FIFO that was opened again doesn't tell that its writers had gone before.
            let may_be_readable = direction == Direction::Read;
            let mut end = Self { fd: own, is_piecewise: true, may_be_readable, ..given };
            if kind == FileKind::Socket {
                end.is_blocking = !kernel.file_flags(own)?.is_nonblocking;
            } else if !is_private && !kind.is_on_disk() {
                end.is_lent = kernel.lend(own)?;
            }
            Ok(end)
        };
        described().map_err(|error: io::Error| {
            kernel.close(own);
            error.into()
        })
    }
}

/// Makes a descriptor of our own; tells whether the open file is ours too, and
/// doesn't block.
///
/// # Errors
/// As `dup`.
fn own(kernel: &dyn Kernel, fd: Fd, kind: FileKind, direction: Direction) -> io::Result<(Fd, bool)> {
    // Of a file on a disk the position is shared, of other devices who knows what.
    if matches!(kind, FileKind::Fifo | FileKind::Terminal)
        && let Ok(own) = kernel.reopen(fd, direction)
    {
        return Ok((own, true));
    }
    Ok((kernel.duplicate(fd)?, false))
}

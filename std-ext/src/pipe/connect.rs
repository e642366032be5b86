//! `connect_read_pipe`, `connect_write_pipe` and the streams of pipes.

use core::fmt;
use core::future::Future;
use core::panic::Location;
use core::pin::Pin;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use super::protocol::{ReadPipeProtocol, WritePipeProtocol};
use super::transport::{ReadTransport, WriteTransport};
use crate::net::connection::{Connection, PipeEnd};
use crate::protocol::{AnyProtocol, ProtocolRef, Seat, kind};
use crate::sources::Direction;
use crate::streams::{self, StreamReader, StreamWriter};
use crate::transport::Transport;
use crate::{EventLoopHandle, Result};

impl EventLoopHandle {
    /// Reads from a pipe by a protocol made by `factory`: the read end of a pipe or
    /// FIFO, a terminal or another character device, or a socket. The descriptor
    /// becomes the loop's, and non-blocking (contract PI-1, PI-2). Ends when
    /// `connection_made` has returned.
    ///
    /// ```
    /// use rondel::{ReadPipeProtocol, ReadTransport};
    ///
    /// struct Printer;
    ///
    /// impl ReadPipeProtocol for Printer {
    ///     fn data_received(&mut self, _: &ReadTransport, data: &[u8]) -> rondel::Result<()> {
    ///         println!("{}", data.escape_ascii());
    ///         Ok(())
    ///     }
    /// }
    ///
    /// rondel::run(async |event_loop| {
    ///     let (reading, writing) = std::io::pipe()?;
    ///     let (transport, _printer) = event_loop.connect_read_pipe(|| Printer, reading).await?;
    ///     let (writer, _) = event_loop.connect_write_pipe(|| (), writing).await?;
    ///     writer.write(b"hello\n")?;
    ///     transport.close();
    ///     Ok(())
    /// })?;
    /// # Ok::<(), rondel::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`NotAPipe`](crate::NotAPipe), within `Io`, for files on a disk, directories
    /// and what else is neither; `Io` with `InvalidInput` if the descriptor is not open
    /// for reading; `Busy` if the loop watches it; `Full` if a table is.
    ///
    /// # Cancellation
    /// Safe: the descriptor is closed, also if this fails or is never awaited (PI-7).
    ///
    /// # Python
    /// `loop.connect_read_pipe(factory, pipe)`. There `/dev/null` and the like, which
    /// are always ready, are refused by epoll; here they are read and written without
    /// waiting.
    #[track_caller]
    pub fn connect_read_pipe<F, P, D>(
        &self,
        factory: F,
        pipe: D,
    ) -> impl Future<Output = Result<(ReadTransport, ProtocolRef<P>)>> + use<F, P, D>
    where
        F: FnOnce() -> P + 'static,
        P: ReadPipeProtocol,
        D: Into<OwnedFd>,
    {
        let (event_loop, pipe, location) = (self.clone(), pipe.into(), Location::caller());
        async move {
            let connected =
                connect::<P, kind::ReadPipe>(&event_loop, pipe, Direction::Read, factory, location).await;
            let (transport, protocol) = connected.map_err(|error| error.during("connect_read_pipe"))?;
            Ok((ReadTransport::of(&transport), protocol))
        }
    }

    /// Writes to a pipe, with a protocol made by `factory`: the write end of a pipe or
    /// FIFO, a terminal or another character device, or a socket. The descriptor
    /// becomes the loop's, and non-blocking (contract PI-1, PI-2). Ends when
    /// `connection_made` has returned. `|| ()` is a protocol that wants to know
    /// nothing.
    ///
    /// That the reader of a pipe or socket has gone is noticed also while nothing is
    /// written (PI-5); of a socket, what the peer sends is not read.
    ///
    /// # Errors
    /// As [`connect_read_pipe`](Self::connect_read_pipe), for writing.
    ///
    /// # Cancellation
    /// Safe: the descriptor is closed, also if this fails or is never awaited (PI-7).
    ///
    /// # Python
    /// `loop.connect_write_pipe(factory, pipe)`, which takes a peer's bytes for its
    /// end.
    #[track_caller]
    pub fn connect_write_pipe<F, P, D>(
        &self,
        factory: F,
        pipe: D,
    ) -> impl Future<Output = Result<(WriteTransport, ProtocolRef<P>)>> + use<F, P, D>
    where
        F: FnOnce() -> P + 'static,
        P: WritePipeProtocol,
        D: Into<OwnedFd>,
    {
        let (event_loop, pipe, location) = (self.clone(), pipe.into(), Location::caller());
        async move {
            let connected =
                connect::<P, kind::WritePipe>(&event_loop, pipe, Direction::Write, factory, location).await;
            let (transport, protocol) = connected.map_err(|error| error.during("connect_write_pipe"))?;
            Ok((WriteTransport::of(&transport), protocol))
        }
    }

    /// Reads from a pipe in tasks; what it may be, see
    /// [`connect_read_pipe`](Self::connect_read_pipe). The pipe is closed when the
    /// reader is dropped.
    ///
    /// ```
    /// rondel::run(async |event_loop| {
    ///     let (reading, writing) = std::io::pipe()?;
    ///     let mut reader = event_loop.open_read_pipe(reading).await?;
    ///     let mut writer = event_loop.open_write_pipe(writing).await?;
    ///     writer.write_all(b"hello\n").await?;
    ///     assert_eq!(reader.read_line().await?, b"hello\n");
    ///     Ok(())
    /// })?;
    /// # Ok::<(), rondel::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`OpenReadPipe`].
    ///
    /// # Cancellation
    /// As of [`OpenReadPipe`].
    ///
    /// # Python
    /// `StreamReader()` and its protocol for `loop.connect_read_pipe`.
    #[track_caller]
    pub fn open_read_pipe(&self, pipe: impl Into<OwnedFd>) -> OpenReadPipe {
        OpenReadPipe::new(self, Source::Given(pipe.into()))
    }

    /// Writes to a pipe from tasks; what it may be, see
    /// [`connect_write_pipe`](Self::connect_write_pipe). `write_eof` and `close` are
    /// the same; the pipe is also closed when the writer is dropped, after what was
    /// written. That the reader has gone is noticed by the next write.
    ///
    /// # Errors
    /// As [`connect_write_pipe`](Self::connect_write_pipe).
    ///
    /// # Cancellation
    /// Safe: the descriptor is closed, also if this fails or is never awaited.
    ///
    /// # Python
    /// `StreamWriter` with the transport of `loop.connect_write_pipe`.
    #[track_caller]
    pub fn open_write_pipe<D: Into<OwnedFd>>(
        &self,
        pipe: D,
    ) -> impl Future<Output = Result<StreamWriter>> + use<D> {
        let (event_loop, pipe, location) = (self.clone(), pipe.into(), Location::caller());
        async move {
            let open = || {
                let end = PipeEnd::adopt(&event_loop, pipe, Direction::Write)?;
                Ok(streams::writer(Connection::of_pipe(&event_loop, end, location)?))
            };
            open().map_err(|error: crate::Error| error.during("open_write_pipe"))
        }
    }
}

/// Gives the end of a pipe a protocol, and waits until that was told.
async fn connect<P, Kind>(
    event_loop: &EventLoopHandle,
    pipe: OwnedFd,
    direction: Direction,
    factory: impl FnOnce() -> P,
    location: &'static Location<'static>,
) -> Result<(Transport, ProtocolRef<P>)>
where
    Seat<P, Kind>: AnyProtocol,
    P: 'static,
    Kind: 'static,
{
    let end = PipeEnd::adopt(event_loop, pipe, direction)?;
    let connection = Connection::of_pipe(event_loop, end, location)?;
    let seat = Seat::<P, Kind>::new(factory());
    connection.begin_protocol(Rc::<Seat<P, Kind>>::clone(&seat) as _).await?;
    Ok((Transport { connection }, ProtocolRef::new(seat)))
}

/// The options of a reader of a pipe; await it to have it.
///
/// # Errors
/// Awaiting it fails as [`connect_read_pipe`](EventLoopHandle::connect_read_pipe)
/// does.
///
/// # Cancellation
/// Safe: the descriptor is closed, also if this fails or is never awaited.
#[must_use = "does nothing until it is awaited"]
pub struct OpenReadPipe {
    event_loop: EventLoopHandle,
    source: Source,
    limit: usize,
    location: &'static Location<'static>,
}

/// What is to be read.
enum Source {
    Given(OwnedFd),
    Stdin,
}

impl Source {
    const fn operation(&self) -> &'static str {
        match self {
            Self::Given(_) => "open_read_pipe",
            Self::Stdin => "open_stdin",
        }
    }
}

impl OpenReadPipe {
    #[track_caller]
    fn new(event_loop: &EventLoopHandle, source: Source) -> Self {
        let (limit, location) = (streams::DEFAULT_LIMIT, Location::caller());
        Self { event_loop: event_loop.clone(), source, limit, location }
    }

    #[track_caller]
    pub(super) fn of_stdin(event_loop: &EventLoopHandle) -> Self {
        Self::new(event_loop, Source::Stdin)
    }

    /// Sets the most bytes that the reader buffers, so the longest line; 64 KiB by
    /// default.
    ///
    /// # Python
    /// `limit` of `asyncio.StreamReader`.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    fn open(self) -> Result<StreamReader> {
        let end = match self.source {
            Source::Given(pipe) => PipeEnd::adopt(&self.event_loop, pipe, Direction::Read)?,
            Source::Stdin => PipeEnd::stdin(&self.event_loop)?,
        };
        Ok(streams::reader(Connection::of_pipe(&self.event_loop, end, self.location)?, self.limit))
    }
}

impl IntoFuture for OpenReadPipe {
    type Output = Result<StreamReader>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<StreamReader>>>>;

    fn into_future(self) -> Self::IntoFuture {
        let operation = self.source.operation();
        Box::pin(async move { self.open().map_err(|error| error.during(operation)) })
    }
}

impl fmt::Debug for OpenReadPipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenReadPipe")
    }
}

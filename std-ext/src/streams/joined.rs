//! Both halves as one.

use super::{StreamReader, StreamWriter};

/// Both halves of a connection as one value, for code that wants a single thing to
/// read from and to write to.
///
/// ```
/// # async fn connect(event_loop: rondel::EventLoopHandle) -> rondel::Result<()> {
/// let mut stream = rondel::Stream::from(event_loop.open_connection("localhost:80").await?);
/// stream.writer.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
/// println!("{:?}", stream.reader.read_line().await?);
/// # Ok(())
/// # }
/// ```
///
/// With the feature `tokio` it is tokio's `AsyncRead` and `AsyncWrite`, with the
/// feature `futures-io` those of `futures`; so are the halves, each its own. To poll
/// them allocates nothing. An error of this crate becomes an [`std::io::Error`].
///
/// # Python
/// None: the pair that `asyncio.open_connection` returns.
#[derive(Debug)]
pub struct Stream {
    /// Is the half that reads.
    pub reader: StreamReader,
    /// Is the half that writes.
    pub writer: StreamWriter,
}

impl Stream {
    /// Joins two halves, of one connection or of two.
    #[must_use]
    pub fn new(reader: StreamReader, writer: StreamWriter) -> Self {
        Self { reader, writer }
    }

    /// Gives the halves back.
    #[must_use]
    pub fn into_halves(self) -> (StreamReader, StreamWriter) {
        (self.reader, self.writer)
    }
}

impl From<(StreamReader, StreamWriter)> for Stream {
    fn from((reader, writer): (StreamReader, StreamWriter)) -> Self {
        Self::new(reader, writer)
    }
}

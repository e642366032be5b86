//! Streams as `AsyncRead`, `AsyncBufRead` and `AsyncWrite` of `futures`.

use core::pin::Pin;
use core::task::{Context as PollContext, Poll};
use std::io::{self, IoSlice};

use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};

use super::{Stream, StreamReader, StreamWriter};

impl AsyncRead for StreamReader {
    fn poll_read(self: Pin<&mut Self>, cx: &mut PollContext<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Self::poll_read(self.get_mut(), cx, buf).map_err(io::Error::from)
    }
}

impl AsyncBufRead for StreamReader {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut PollContext<'_>) -> Poll<io::Result<&[u8]>> {
        self.get_mut().poll_buffered(cx).map_err(io::Error::from)
    }

    fn consume(self: Pin<&mut Self>, count: usize) {
        Self::consume(self.get_mut(), count);
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut PollContext<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        AsyncRead::poll_read(Pin::new(&mut self.get_mut().reader), cx, buf)
    }
}

impl AsyncBufRead for Stream {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut PollContext<'_>) -> Poll<io::Result<&[u8]>> {
        AsyncBufRead::poll_fill_buf(Pin::new(&mut self.get_mut().reader), cx)
    }

    fn consume(self: Pin<&mut Self>, count: usize) {
        self.get_mut().reader.consume(count);
    }
}

/// `close` ends our side of the stream after what was written; the connection is
/// closed when both halves are dropped.
impl AsyncWrite for StreamWriter {
    fn poll_write(self: Pin<&mut Self>, cx: &mut PollContext<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Self::poll_write(self.get_mut(), cx, data).map_err(io::Error::from)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut PollContext<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write_vectored(self.get_mut(), cx, bufs).map_err(io::Error::from)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut PollContext<'_>) -> Poll<io::Result<()>> {
        Self::poll_flush(self.get_mut(), cx).map_err(io::Error::from)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut PollContext<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_end(cx).map_err(io::Error::from)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut PollContext<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.get_mut().writer), cx, data)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut PollContext<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write_vectored(Pin::new(&mut self.get_mut().writer), cx, bufs)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut PollContext<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.get_mut().writer), cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut PollContext<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_close(Pin::new(&mut self.get_mut().writer), cx)
    }
}

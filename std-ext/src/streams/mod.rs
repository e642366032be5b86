//! Streams: the two halves of a connection, for tasks.

use std::rc::Rc;

use crate::net::connection::Connection;

mod incomplete;
mod reader;
mod writer;

mod joined;

#[cfg(feature = "futures-io")]
mod futures_io;
#[cfg(feature = "tokio")]
mod tokio_io;

pub use incomplete::IncompleteRead;
pub use joined::Stream;
pub use reader::StreamReader;
pub use writer::StreamWriter;

/// Is the most bytes that a reader buffers by default, as in asyncio.
pub(crate) const DEFAULT_LIMIT: usize = 64 * 1024;

/// Splits a connection into its halves.
pub(crate) fn open(connection: Rc<Connection>, limit: usize) -> (StreamReader, StreamWriter) {
    (StreamReader::new(Rc::clone(&connection), limit), StreamWriter::new(connection))
}

/// Reads from a pipe, which is a half alone.
pub(crate) fn reader(connection: Rc<Connection>, limit: usize) -> StreamReader {
    StreamReader::new(connection, limit)
}

/// Writes to a pipe, which is a half alone.
pub(crate) fn writer(connection: Rc<Connection>) -> StreamWriter {
    StreamWriter::new(connection)
}

/// Closes a connection when the last of its halves goes; what was written is
/// sent first.
fn close_unheld(connection: &Rc<Connection>) {
    if holders(connection) == 1 {
        connection.close();
    }
}

/// Counts who holds a connection, but for the loop and a server.
pub(crate) fn holders(connection: &Rc<Connection>) -> usize {
    let by_loop = usize::from(connection.is_driven());
    let by_server = usize::from(connection.is_handled());
    Rc::strong_count(connection) - by_loop - by_server
}

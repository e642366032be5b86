//! What an idle connection takes, byte by byte; `--nocapture` prints it.

use core::cell::RefCell;
use core::future::Future;

use rondel_core::raw::{CallSlot, Link, TaskSlot, WakeCell};
use rondel_core::{TaskCell, Then};

use super::Connection;
use crate::sources::Source;
use crate::{Config, EventLoopHandle, StreamReader, StreamWriter};

/// Is what a value in an `Rc` has in front: two counts.
const COUNTS: usize = 2 * size_of::<usize>();

/// Returns what glibc takes for a block of `size` bytes: 8 more, in steps of 16, 32 at least.
fn allocated(size: usize) -> usize {
    (size + 8).next_multiple_of(16).max(32)
}

struct Account {
    of: &'static str,
    lines: Vec<(&'static str, usize)>,
}

impl Account {
    /// Begins one with what each connection has.
    fn of(of: &'static str) -> Self {
        let mut account = Self { of, lines: Vec::new() };
        account.add("descriptor", size_of::<Source>());
        account.add("number of the descriptor's slot", size_of::<u32>());
        account.add("connection", allocated(COUNTS + size_of::<Connection>()));
        account
    }

    fn add(&mut self, what: &'static str, bytes: usize) {
        self.lines.push((what, bytes));
    }

    fn total(&self) -> usize {
        self.lines.iter().map(|(_, bytes)| bytes).sum()
    }

    fn print(&self) {
        println!("{}: {} bytes", self.of, self.total());
        self.lines.iter().for_each(|(what, bytes)| println!("  {bytes:>4} {what}"));
    }
}

/// Returns the size of the task that a server makes of a connection by `client_connected`.
fn task_size<F, Fut>(_client_connected: F) -> usize
where
    F: FnMut(StreamReader, StreamWriter) -> Fut,
    Fut: Future,
{
    // Who looks at the end has the connection.
    size_of::<TaskCell<Then<Fut, fn(Fut::Output)>>>()
}

/// Waits for something to read while it is idle; what it reads goes the way back.
async fn echo(mut reader: StreamReader, mut writer: StreamWriter) -> crate::Result<()> {
    while !reader.at_eof() {
        reader.readable().await?;
        let sent = reader.try_read_with(|data| writer.try_write(data))?;
        sent.transpose()?;
    }
    Ok(())
}

#[test]
fn an_idle_connection_with_a_protocol_takes_256_bytes_at_most() {
    let mut account = Account::of("an idle connection with a protocol of no size");
    account.add("call of its handler", size_of::<CallSlot<EventLoopHandle>>());
    account.add("links of the call", size_of::<Link>());
    account.add("protocol's seat", allocated(COUNTS + size_of::<RefCell<()>>()));
    account.print();
    assert!(account.total() <= 256);
}

#[test]
fn an_idle_connection_with_streams_takes_400_bytes_at_most() {
    let task_bytes = Config::default().task_bytes;
    let size = task_size(echo);
    let mut account = Account::of("an idle connection with streams, whose handler waits in `readable`");
    account.add("task", size_of::<TaskSlot<EventLoopHandle>>());
    account.add("links of the task", 2 * size_of::<Link>());
    account.add("wake cell", size_of::<WakeCell>());
    account.add("slot of the task's future", task_bytes);
    account.print();
    println!("the future takes {size} of its slot");
    assert!(size <= task_bytes, "it would be in a box, and have the slot as well");
    assert!(account.total() <= 400);
}

#[cfg(feature = "tls")]
#[test]
fn an_idle_session_has_no_more_than_200_bytes_beside_rustls() {
    let mut account =
        Account::of("an idle connection with TLS, beside rustls's state and a plain connection");
    account.lines.clear();
    account.add("details", allocated(size_of::<super::details::Details>()));
    account.add("session", allocated(size_of::<crate::tls::TlsState>()));
    account.print();
    assert!(account.total() <= 200);
}

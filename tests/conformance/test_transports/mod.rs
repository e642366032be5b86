//! Transports and protocols: TR.

mod ends;
mod exchange;
mod handles;
mod marks;
mod reading;
mod writing;

use std::net::{TcpListener, TcpStream};

use rondel::{AfterEof, EventLoop, Result, Transport};

use crate::fixture::{Trace, any_port};
use crate::probe::{Probe, Told};

fn bye(_: Told<'_>, _: &Transport) -> Result<AfterEof> {
    Ok(AfterEof::Close)
}

/// A pair of TCP sockets.
fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(any_port()).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

/// A transport over TCP.
fn tcp(
    event_loop: &EventLoop,
    hook: impl FnMut(Told<'_>, &Transport) -> Result<AfterEof> + 'static,
) -> (Transport, Trace, TcpStream) {
    let trace = Trace::new();
    let (ours, theirs) = tcp_pair();
    let probe = Probe::new(&trace, hook);
    let connecting = event_loop.create_connection_with_sock(|| probe, ours);
    let (transport, _) = event_loop.run_until_complete(connecting).unwrap();
    (transport, trace, theirs)
}

/// Asserts that a protocol was told everything in its order.
#[track_caller]
fn assert_in_order(told: &[String], of: &str) {
    let count = |what: &str| told.iter().filter(|told| told.starts_with(what)).count();
    assert_eq!(told.first().map(String::as_str), Some("made"), "{of}: {told:?}");
    assert!(told.last().is_some_and(|last| last.starts_with("lost")), "{of}: {told:?}");
    assert_eq!((count("made"), count("lost")), (1, 1), "{of}: {told:?}");
    let eof = told.iter().position(|told| told == "eof");
    if let Some(eof) = eof {
        assert!(
            told[eof + 1..].iter().all(|told| told != "eof" && !told.starts_with("data")),
            "{of}: {told:?}"
        );
    }
    let turns: Vec<_> = told.iter().filter(|told| *told == "pause" || *told == "resume").collect();
    let alternates = turns.iter().enumerate().all(|(index, told)| (index % 2 == 0) == (*told == "pause"));
    assert!(alternates, "{of}: {told:?}");
}

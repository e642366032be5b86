//! What the protocol of a writing end is told: PI-5 and PI-6.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use rondel::{Config, WriteBufferLimits, WriteTransport};

use super::{fill, write};
use crate::fixture::{
    assert_nothing_left, log_lines, logged, manual, manual_with, reports, scenarios, small, turns,
};
use crate::pipe_fixture::{drain, pipe, set_nonblocking};
use crate::probe::until;

scenarios! {
    pi5_the_reader_that_leaves_an_idle_pipe_is_noticed
    pi5_the_reader_that_leaves_a_full_pipe_breaks_it
    pi5_a_peer_that_leaves_a_socket_is_noticed_and_its_bytes_are_not
    pi6_close_and_write_eof_flush
    pi6_writes_after_a_close_are_dropped_and_warned_about_from_the_fifth
    pi6_abort_discards
    pi6_the_marks_pause_and_resume
    pi6_a_write_beyond_the_ceiling_is_refused_whole
}

fn pi5_the_reader_that_leaves_an_idle_pipe_is_noticed() {
    let event_loop = manual();
    let (reading, writing) = pipe();
    let (transport, _, trace) = write(&event_loop, writing);
    transport.write(b"unread").unwrap();
    turns(&event_loop, 2);
    assert_eq!(trace.count(), 0);
    drop(reading);
    until(&event_loop, || trace.count() == 1);
    assert_eq!(trace.take(), ["lost"]);
    assert_nothing_left(&event_loop);
    // Also if it was gone before.
    let (reading, writing) = pipe();
    drop(reading);
    let (_, _, trace) = write(&event_loop, writing);
    until(&event_loop, || trace.count() == 1);
    assert_eq!(trace.take(), ["lost"]);
    assert_nothing_left(&event_loop);
}

fn pi5_the_reader_that_leaves_a_full_pipe_breaks_it() {
    let event_loop = manual();
    let told = reports(&event_loop);
    for closes in [false, true] {
        let (reading, writing) = pipe();
        let (transport, _, trace) = write(&event_loop, writing);
        fill(&transport);
        turns(&event_loop, 2);
        if closes {
            transport.close();
            turns(&event_loop, 2);
        }
        assert_eq!(trace.count(), 0);
        drop(reading);
        until(&event_loop, || trace.count() == 1);
        let trace = trace.take();
        assert!(
            trace[0].starts_with("lost: ") && trace[0].to_lowercase().contains("broken pipe"),
            "{trace:?}"
        );
        assert_nothing_left(&event_loop);
    }
    assert_eq!(told.count(), 0, "{told:?}");
}

fn pi5_a_peer_that_leaves_a_socket_is_noticed_and_its_bytes_are_not() {
    let event_loop = manual();
    let (ours, mut peer) = UnixStream::pair().unwrap();
    let (_transport, _, trace) = write(&event_loop, ours);
    peer.write_all(b"for nobody").unwrap();
    turns(&event_loop, 3);
    assert_eq!(trace.count(), 0);
    drop(peer);
    until(&event_loop, || trace.count() == 1);
    assert_eq!(trace.take(), ["lost"]);
    assert_nothing_left(&event_loop);
}

fn pi6_close_and_write_eof_flush() {
    for ends in [WriteTransport::close, WriteTransport::write_eof] {
        let event_loop = manual();
        let (mut reading, writing) = pipe();
        set_nonblocking(&reading);
        let (transport, _, trace) = write(&event_loop, writing);
        assert!(transport.can_write_eof());
        fill(&transport);
        transport.write(b"the end").unwrap();
        ends(&transport);
        ends(&transport);
        assert!(transport.is_closing());
        let mut read = Vec::new();
        until(&event_loop, || {
            read.extend(drain(&mut reading));
            trace.count() == 1
        });
        assert_eq!(trace.take(), ["lost"]);
        read.extend(drain(&mut reading));
        assert!(read.ends_with(b"...the end"));
        assert_eq!(reading.read(&mut [0]).unwrap(), 0);
        assert_nothing_left(&event_loop);
    }
}

fn pi6_writes_after_a_close_are_dropped_and_warned_about_from_the_fifth() {
    let event_loop = manual();
    let (_reading, writing) = pipe();
    let (transport, _, trace) = write(&event_loop, writing);
    transport.write_eof();
    until(&event_loop, || trace.count() == 1);
    log_lines();
    for _ in 0..6 {
        transport.write(b"dropped").unwrap();
    }
    assert_eq!(event_loop.dropped_writes(), 6);
    let warnings = logged(log::Level::Warn);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("pipe"), "{warnings:?}");
    assert_eq!(trace.take(), ["lost"]);
}

fn pi6_abort_discards() {
    let event_loop = manual();
    let (mut reading, writing) = pipe();
    set_nonblocking(&reading);
    let (transport, _, trace) = write(&event_loop, writing);
    fill(&transport);
    let left = transport.write_buffer_size();
    assert!(left > 0);
    transport.abort();
    until(&event_loop, || trace.count() == 1);
    assert_eq!(trace.take(), ["lost"]);
    assert_eq!((drain(&mut reading).len() + left) % 4096, 0);
    assert_nothing_left(&event_loop);
}

fn pi6_the_marks_pause_and_resume() {
    let event_loop = manual();
    let (mut reading, writing) = pipe();
    set_nonblocking(&reading);
    let (transport, _, trace) = write(&event_loop, writing);
    transport.set_write_buffer_limits(WriteBufferLimits::new(Some(10_000), Some(10)).unwrap());
    assert_eq!(transport.write_buffer_limits().low(), 10);
    fill(&transport);
    transport.write(&[0; 10_000]).unwrap();
    assert_eq!(trace.take(), ["pause"]);
    let mut read = 0;
    until(&event_loop, || {
        read += drain(&mut reading).len();
        trace.count() == 1
    });
    assert_eq!(trace.take(), ["resume"]);
    until(&event_loop, || transport.write_buffer_size() == 0);
    read += drain(&mut reading).len();
    assert_eq!((read - 10_000) % 4096, 0);
    transport.close();
    until(&event_loop, || trace.count() == 1);
    assert_nothing_left(&event_loop);
}

fn pi6_a_write_beyond_the_ceiling_is_refused_whole() {
    let (event_loop, _clock) = manual_with(Config { write_buffer_bytes: 100_000, ..small() });
    let (mut reading, writing) = pipe();
    set_nonblocking(&reading);
    let (transport, _, trace) = write(&event_loop, writing);
    let error = transport.write(&[0; 100_001]).unwrap_err();
    assert!(error.is_full(), "{error}");
    assert_eq!(drain(&mut reading), b"");
    transport.close();
    until(&event_loop, || trace.count() == 1);
}

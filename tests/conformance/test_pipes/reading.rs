//! What the protocol of a reading end is told: PI-3 and PI-4.

use std::fs::File;
use std::io::Write;
use std::os::fd::{FromRawFd, OwnedFd};

use rondel::{ReadPipeProtocol, ReadTransport, Result};

use super::{Probe, read, write};
use crate::fixture::{Oops, Trace, assert_nothing_left, manual, reports, scenarios, turns};
use crate::pipe_fixture::{pipe, set_raw, terminal};
use crate::probe::until;

scenarios! {
    pi3_the_end_is_told_and_then_the_loss_whatever_eof_received_says
    pi3_an_error_of_eof_received_is_reported_and_told
    pi4_the_end_of_a_terminal_is_an_error_that_is_not_reported
    p08_a_writer_that_leaves_while_reading_is_paused_wakes_nobody
    a_pipe_of_packets_and_a_terminal_are_read_to_the_last_piece
    a_protocol_is_replaced_and_found
}

fn pi3_the_end_is_told_and_then_the_loss_whatever_eof_received_says() {
    let event_loop = manual();
    let (reading, mut writing) = pipe();
    let (transport, _, trace) = read(&event_loop, reading);
    writing.write_all(b"last").unwrap();
    drop(writing);
    until(&event_loop, || trace.count() == 3);
    assert_eq!(trace.take(), ["data last", "eof", "lost"]);
    assert!(transport.is_closing());
    transport.close();
    turns(&event_loop, 2);
    assert_eq!(trace.count(), 0);
    assert_nothing_left(&event_loop);
}

fn pi3_an_error_of_eof_received_is_reported_and_told() {
    let event_loop = manual();
    let told = reports(&event_loop);
    let (reading, writing) = pipe();
    let (_, protocol, trace) = read(&event_loop, reading);
    protocol.with(|probe| probe.at_eof = Some(Oops(7))).unwrap();
    drop(writing);
    until(&event_loop, || trace.count() == 2);
    assert_eq!(trace.take(), ["eof", "lost: oops 7"]);
    assert_eq!(told.take(), ["protocol.eof_received() failed: oops 7"]);
}

fn pi4_the_end_of_a_terminal_is_an_error_that_is_not_reported() {
    let event_loop = manual();
    let told = reports(&event_loop);
    let (master, mut slave) = terminal();
    set_raw(&slave);
    let (_, _, trace) = read(&event_loop, master);
    slave.write_all(b"last words").unwrap();
    until(&event_loop, || trace.count() == 1);
    drop(slave);
    until(&event_loop, || trace.count() == 2);
    let trace = trace.take();
    assert_eq!(trace[0], "data last words");
    assert!(trace[1].starts_with("lost: ") && trace[1].contains("os error 5"), "{trace:?}");
    assert_eq!(told.count(), 0, "{told:?}");
    assert_nothing_left(&event_loop);
}

fn p08_a_writer_that_leaves_while_reading_is_paused_wakes_nobody() {
    let event_loop = manual();
    let (reading, mut writing) = pipe();
    let (transport, _, trace) = read(&event_loop, reading);
    transport.pause_reading();
    writing.write_all(b"pending").unwrap();
    drop(writing);
    turns(&event_loop, 3);
    let before = event_loop.statistics();
    turns(&event_loop, 10);
    let after = event_loop.statistics();
    assert_eq!((trace.count(), after.ready), (0, 0));
    assert_eq!(after.callbacks - before.callbacks, 0);
    transport.resume_reading();
    until(&event_loop, || trace.count() == 3);
    assert_eq!(trace.take(), ["data pending", "eof", "lost"]);
}

fn a_pipe_of_packets_and_a_terminal_are_read_to_the_last_piece() {
    let event_loop = manual();
    let mut ends = [-1; 2];
    // SAFETY: room for two numbers, which are nobody else's.
    let (reading, writing) = unsafe {
        assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_DIRECT), 0);
        (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))
    };
    let mut writing = File::from(writing);
    let (transport, _, trace) = read(&event_loop, reading);
    for packet in [b"one", b"two", b"six"] {
        writing.write_all(packet).unwrap();
    }
    until(&event_loop, || trace.count() == 3);
    assert_eq!(trace.take(), ["data one", "data two", "data six"]);
    transport.close();
    // In its usual mode a terminal gives one line to a read, however many there are.
    let (mut master, slave) = terminal();
    master.write_all(b"first\nsecond\nthird\n").unwrap();
    let (transport, _, trace) = read(&event_loop, slave);
    until(&event_loop, || trace.count() == 3);
    assert_eq!(trace.take(), ["data first\\n", "data second\\n", "data third\\n"]);
    transport.close();
    until(&event_loop, || trace.count() == 1);
    assert_nothing_left(&event_loop);
}

fn a_protocol_is_replaced_and_found() {
    let event_loop = manual();
    let (reading, mut writing) = pipe();
    let (transport, _, former) = read(&event_loop, reading);
    let trace = Trace::new();
    let protocol = transport.set_protocol(Probe::new(&trace));
    assert!(transport.protocol::<Probe>().is_some() && transport.protocol::<Other>().is_none());
    writing.write_all(b"x").unwrap();
    until(&event_loop, || trace.count() == 1);
    let (reader, writing) = pipe();
    let (transport, _, _) = write(&event_loop, writing);
    let end = Trace::new();
    transport.set_protocol(Probe::new(&end));
    assert!(transport.protocol::<Probe>().is_some() && transport.protocol::<()>().is_none());
    drop(reader);
    until(&event_loop, || end.count() == 1);
    assert!(transport.protocol::<Probe>().is_none());
    assert_eq!((former.count(), trace.take(), end.take()), (0, vec!["data x".into()], vec!["lost".into()]));
    protocol.with(|_| ()).unwrap();
}

struct Other;

impl ReadPipeProtocol for Other {
    fn data_received(&mut self, _: &ReadTransport, _: &[u8]) -> Result<()> {
        Ok(())
    }
}

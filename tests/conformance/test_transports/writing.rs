//! How bytes leave: TR-10 to TR-15 and TR-19.

use std::io::{IoSlice, Read, Write};

use rondel::{Config, ErrorKind, Result, Transport};

use super::{bye, tcp};
use crate::fixture::{alone, log_lines, logged, manual, scenarios, turns};
use crate::probe::quiet;

scenarios! {
    tr10_write_sends_at_once_if_nothing_waits_and_in_order_otherwise
    tr11_the_callers_buffer_is_its_own_when_write_returns
    tr12_write_after_write_eof_is_an_error_also_while_closing
    tr13_write_after_close_is_dropped_and_counted
    tr14_dropped_writes_are_warned_about_from_the_fifth_on
    tr15_write_eof_flushes_and_half_closes_once
    tr19_many_buffers_at_once_obey_the_same_marks
    tr19_more_buffers_than_the_kernel_takes_at_once_all_arrive
}

#[test]
fn n10_a_write_to_a_closed_socket_raises_no_signal() {
    // Rust's own start has the signal ignored; a host in C may not.
    let name = "test_transports::writing::n10_a_write_to_a_closed_socket_raises_no_signal";
    alone(name, 64, || {
        // SAFETY: this process runs nothing but this test.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let event_loop = manual();
        let ways: [fn(&Transport) -> Result<()>; 3] = [
            |transport| transport.write(b"x"),
            |transport| transport.writelines(&[IoSlice::new(b"x"), IoSlice::new(b"y")]),
            |transport| transport.write(&vec![0; 1 << 20]),
        ];
        for (index, write) in ways.into_iter().enumerate() {
            let wire = quiet(&event_loop);
            if index == 2 {
                // The rest meets the closed socket in the background.
                write(&wire.transport).unwrap();
            }
            drop(wire.peer);
            write(&wire.transport).unwrap();
            turns(&event_loop, 4);
            assert!(wire.trace.take().last().unwrap().starts_with("lost: "));
        }
        // SAFETY: as above.
        let found = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
        assert_eq!(found, libc::SIG_DFL, "the host's choice is left alone");
    });
}

fn tr10_write_sends_at_once_if_nothing_waits_and_in_order_otherwise() {
    let event_loop = manual();
    let mut wire = quiet(&event_loop);
    wire.transport.write(b"").unwrap();
    wire.transport.writelines(&[]).unwrap();
    wire.transport.writelines(&[IoSlice::new(b""), IoSlice::new(b"")]).unwrap();
    wire.transport.write(b"hello").unwrap();
    assert_eq!(wire.received(), b"hello", "without a turn");
    wire.transport.writelines(&[IoSlice::new(b"one "), IoSlice::new(b""), IoSlice::new(b"two")]).unwrap();
    assert_eq!(wire.received(), b"one two");
    let filled = wire.fill() + wire.transport.write_buffer_size();
    wire.transport.write(b"a").unwrap();
    wire.transport.writelines(&[IoSlice::new(b"b"), IoSlice::new(b"c")]).unwrap();
    wire.transport.write(b"d").unwrap();
    let received = wire.receive_all(&event_loop);
    assert_eq!(received.len(), filled + 4);
    assert!(received.ends_with(b".abcd"));
    wire.transport.write(b"at once again").unwrap();
    assert_eq!(wire.received(), b"at once again");
}

fn tr11_the_callers_buffer_is_its_own_when_write_returns() {
    let event_loop = manual();
    let mut wire = quiet(&event_loop);
    wire.fill();
    let mut data = *b"mine";
    wire.transport.write(&data).unwrap();
    data.fill(b'!');
    wire.transport.writelines(&[IoSlice::new(&data)]).unwrap();
    data.fill(b'?');
    assert!(wire.receive_all(&event_loop).ends_with(b".mine!!!!"));
}

fn tr12_write_after_write_eof_is_an_error_also_while_closing() {
    let event_loop = manual();
    let wire = quiet(&event_loop);
    assert!(wire.transport.can_write_eof());
    wire.transport.write_eof().unwrap();
    for _ in 0..2 {
        let refused = wire.transport.write(b"x").unwrap_err();
        assert_eq!(
            (refused.kind(), &*refused.to_string()),
            (ErrorKind::InvalidState, "write after write_eof")
        );
        assert!(wire.transport.writelines(&[IoSlice::new(b"x")]).is_err());
        wire.transport.close();
    }
    assert_eq!(event_loop.dropped_writes(), 0);
}

fn tr13_write_after_close_is_dropped_and_counted() {
    let event_loop = manual();
    let mut wire = quiet(&event_loop);
    let sent = wire.fill() + wire.transport.write_buffer_size();
    wire.transport.close();
    wire.transport.write(b"late").unwrap();
    wire.transport.writelines(&[IoSlice::new(b"later")]).unwrap();
    assert_eq!(event_loop.dropped_writes(), 2);
    wire.transport.write_eof().unwrap();
    assert_eq!(wire.receive_all(&event_loop).len(), sent);
    assert_eq!(wire.trace.take(), ["made", "lost"]);
    wire.transport.write(b"latest").unwrap();
    assert_eq!(event_loop.dropped_writes(), 3);
}

fn tr14_dropped_writes_are_warned_about_from_the_fifth_on() {
    let event_loop = manual();
    log_lines();
    let wire = quiet(&event_loop);
    wire.transport.abort();
    turns(&event_loop, 2);
    for _ in 0..4 {
        wire.transport.write(b"x").unwrap();
    }
    assert_eq!(logged(log::Level::Warn), [""; 0]);
    for _ in 0..300 {
        wire.transport.write(b"x").unwrap();
    }
    let warnings = logged(log::Level::Warn);
    // FAULTS K-07
    assert_eq!(warnings.len(), Config::default().reports_per_interval as usize);
    assert!(warnings[0].starts_with("a write to a closed connection was dropped: fd="), "{}", warnings[0]);
    assert_eq!(event_loop.dropped_writes(), 304);
}

fn tr15_write_eof_flushes_and_half_closes_once() {
    let event_loop = manual();
    let mut wire = quiet(&event_loop);
    let sent = wire.fill() + wire.transport.write_buffer_size();
    wire.transport.write_eof().unwrap();
    wire.transport.write_eof().unwrap();
    turns(&event_loop, 2);
    assert_eq!(wire.receive_all(&event_loop).len(), sent);
    assert!(wire.is_at_end());
    // The other direction goes on.
    wire.peer.write_all(b"reply").unwrap();
    turns(&event_loop, 2);
    assert_eq!(wire.trace.take(), ["made", "data reply"]);
    wire.transport.write_eof().unwrap();
    wire.transport.close();
    wire.transport.write_eof().unwrap();
    turns(&event_loop, 2);
    assert_eq!(wire.trace.take(), ["lost"]);
    // While closing it does nothing, not even forbid writes.
    let wire = quiet(&event_loop);
    wire.transport.close();
    wire.transport.write_eof().unwrap();
    wire.transport.write(b"dropped").unwrap();
}

fn tr19_many_buffers_at_once_obey_the_same_marks() {
    let event_loop = manual();
    let mut wire = quiet(&event_loop);
    wire.fill();
    let high = wire.transport.write_buffer_limits().high();
    let piece = vec![0; high / 8];
    let pieces: Vec<_> = (0..8).map(|_| IoSlice::new(&piece)).collect();
    wire.transport.writelines(&pieces).unwrap();
    assert_eq!(wire.trace.take(), ["made", "pause"]);
    wire.receive_all(&event_loop);
    assert_eq!(wire.trace.take(), ["resume"]);
    // With nothing queued before, what the kernel took doesn't count.
    wire.transport.writelines(&vec![IoSlice::new(&piece); 80]).unwrap();
    assert!(wire.transport.write_buffer_size() < 10 * high);
    assert_eq!(wire.trace.take(), ["pause"]);
    assert_eq!(wire.receive_all(&event_loop).len(), 10 * high);
}

fn tr19_more_buffers_than_the_kernel_takes_at_once_all_arrive() {
    let event_loop = manual();
    let (transport, _, mut theirs) = tcp(&event_loop, bye);
    // From the first full socket on the kernel tells about room, and only about
    // new room.
    let mut sent = 0;
    while transport.write_buffer_size() == 0 {
        transport.write(&[b'.'; 65536]).unwrap();
        sent += 65536;
    }
    let mut received = vec![0; sent];
    let mut count = 0;
    while count < sent {
        theirs.set_nonblocking(true).unwrap();
        match theirs.read(&mut received[count..]) {
            Ok(more) => count += more,
            Err(_) => event_loop.run_once().unwrap(),
        }
    }
    assert_eq!(transport.write_buffer_size(), 0);
    turns(&event_loop, 3);
    let bytes: Vec<u8> = (0..5000_u32).map(|n| n as u8).collect();
    let pieces: Vec<_> = bytes.chunks(1).map(IoSlice::new).collect();
    transport.writelines(&pieces).unwrap();
    turns(&event_loop, 10);
    assert_eq!(transport.write_buffer_size(), 0);
    theirs.set_nonblocking(false).unwrap();
    received.resize(5000, 0);
    theirs.read_exact(&mut received).unwrap();
    assert_eq!(received, bytes);
}

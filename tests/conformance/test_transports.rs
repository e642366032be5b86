//! Transports and protocols: TR.

use core::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{ErrorKind as Kind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::rc::Rc;
use std::thread;

use rondel::{
    AfterEof, Config, Error, ErrorKind, EventLoop, KeepAlive, LimitsError, Operation, PanicPolicy, Protocol,
    Result, Transport, WriteBufferLimits,
};

use crate::fixture::{
    Counter, Oops, Trace, alone, any_port, brought, log_lines, logged, manual, manual_with, pair, panics,
    propagating, quietly, real, reports, scenarios, send_out_of_band, small, turns,
};
use crate::probe::{Buffered, Probe, Told, Wire, assert_nothing_left, quiet, until, wire};

scenarios! {
    tr1_made_then_data_then_eof_then_lost_and_nothing_after
    tr2_reading_starts_when_connection_made_has_returned
    tr3_pausing_is_honoured_in_connection_made_and_resuming_delivers_later
    tr3_pausing_and_resuming_twice_or_while_closing_does_nothing
    tr4_a_flooding_peer_gets_one_bounded_read_a_turn
    tr4_a_buffered_protocol_receives_into_its_own_memory
    tr5_eof_closes_after_what_was_written
    tr5_eof_may_leave_the_write_side
    tr5_a_connection_both_of_whose_sides_ended_is_over
    tr6_close_flushes_and_tells_from_the_loop_once
    tr7_abort_drops_the_buffer_also_of_a_close_that_flushes
    tr8_what_peers_do_every_day_is_not_reported
    tr8_other_errors_are_reported_once_and_told
    tr8_any_call_of_the_system_that_fails_ends_the_connection_once
    tr9_an_error_in_a_receiving_method_ends_the_connection
    tr10_write_sends_at_once_if_nothing_waits_and_in_order_otherwise
    tr11_the_callers_buffer_is_its_own_when_write_returns
    tr12_write_after_write_eof_is_an_error_also_while_closing
    tr13_write_after_close_is_dropped_and_counted
    tr14_dropped_writes_are_warned_about_from_the_fifth_on
    tr15_write_eof_flushes_and_half_closes_once
    tr16_pause_strictly_above_high_and_resume_at_low_alternate
    tr17_limits_follow_from_each_other_and_setting_them_weighs_anew
    tr18_pause_writing_is_called_within_write_and_its_error_harms_nobody
    tr18_pause_caused_within_a_method_follows_when_it_has_returned
    tr19_many_buffers_at_once_obey_the_same_marks
    tr19_more_buffers_than_the_kernel_takes_at_once_all_arrive
    tr20_closing_in_pause_or_resume_writing_ends_once
    tr20_another_transport_can_be_written_to_in_pause_and_resume_writing
    tr21_another_protocol_is_told_of_all_that_follows
    tr22_what_is_known_of_a_connection_stays_known
    tr23_the_socket_closes_when_connection_lost_has_returned_even_if_it_failed
    tr24_a_write_beyond_the_ceiling_of_a_transport_is_refused_whole
    tr24_a_write_beyond_the_ceiling_of_the_loop_is_refused_whole
    r15_a_closed_loop_tells_every_protocol_once
    r15_a_loop_closed_before_connection_made_tells_nothing
    n01_every_way_to_write_keeps_within_the_marks
    n02_a_hundred_mebibytes_through_small_buffers_arrive_exactly
    n02_short_transfers_and_false_readiness_lose_nothing
    n03_either_side_may_end_first_and_go_on_reading
    n04_a_peer_that_goes_while_reading_is_paused_is_silent_until_resumed
    n04_a_peer_that_goes_after_its_eof_frees_the_slot
    n05_close_delivers_all_to_a_slow_reader_and_abort_resets
    n06_any_method_may_do_anything
    n07_a_reset_with_a_full_queue_ends_one_connection_only
    n08_keepalive_and_user_timeout_are_settable
    n13_what_follows_a_byte_out_of_band_does_not_wait_for_more
    p07_a_descriptor_that_callbacks_watch_is_busy
    k01_a_panic_is_reported_and_the_transport_cleaned_up
    k01_a_panic_that_leaves_the_run_loses_no_event
    k01_all_are_told_of_a_close_though_each_panics
    k08_handles_of_a_closed_loop_are_inert
}

#[test]
fn n10_a_write_to_a_closed_socket_raises_no_signal() {
    // Rust's own start has the signal ignored; a host in C may not.
    let name = "test_transports::n10_a_write_to_a_closed_socket_raises_no_signal";
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

fn tr1_made_then_data_then_eof_then_lost_and_nothing_after() {
    let event_loop = manual();
    let mut wire = quiet(&event_loop);
    wire.peer.write_all(b"one").unwrap();
    turns(&event_loop, 2);
    wire.peer.write_all(b"two").unwrap();
    turns(&event_loop, 2);
    wire.peer.write_all(b"three").unwrap();
    wire.peer.shutdown(Shutdown::Both).unwrap();
    turns(&event_loop, 10);
    assert_eq!(wire.trace.take(), ["made", "data one", "data two", "data three", "eof", "lost"]);
    wire.transport.close();
    wire.transport.abort();
    wire.transport.resume_reading();
    wire.transport.set_write_buffer_limits(WriteBufferLimits::default());
    turns(&event_loop, 10);
    assert_eq!(wire.trace.count(), 0);
    assert_nothing_left(&event_loop);
}

fn tr2_reading_starts_when_connection_made_has_returned() {
    // CC-9
    for busy in [false, true] {
        let event_loop = manual();
        let (trace, (ours, mut peer)) = (Trace::new(), pair());
        peer.write_all(b"hello").unwrap();
        let probe = Probe::new(&trace, move |told, transport| {
            if matches!(told, Told::Made) && busy {
                // Has the connection's own handler run as soon as possible.
                transport.resume_reading();
                transport.write(&[0; 1 << 20])?;
            }
            Ok(AfterEof::Close)
        });
        let (handle, noted) = (event_loop.handle(), trace.clone());
        event_loop
            .run_until_complete(async move {
                let connected = handle.create_connection_with_sock(|| probe, ours).await?;
                noted.push("connected");
                Ok::<_, Error>(connected)
            })
            .unwrap();
        turns(&event_loop, 4);
        let mut told = trace.take();
        told.retain(|told| told != "pause");
        assert_eq!(told, ["made", "connected", "data hello"]);
    }
}

fn tr3_pausing_is_honoured_in_connection_made_and_resuming_delivers_later() {
    let event_loop = manual();
    let mut wire = wire(&event_loop, |told, transport| {
        if matches!(told, Told::Made) {
            assert!(transport.is_reading());
            transport.pause_reading();
        }
        Ok(AfterEof::Close)
    });
    wire.peer.write_all(b"hello").unwrap();
    turns(&event_loop, 10);
    assert_eq!(wire.trace.take(), ["made"]);
    assert!(!wire.transport.is_reading());
    wire.transport.resume_reading();
    assert_eq!(wire.trace.count(), 0, "never inline");
    turns(&event_loop, 2);
    assert_eq!(wire.trace.take(), ["data hello"]);
}

fn tr3_pausing_and_resuming_twice_or_while_closing_does_nothing() {
    let event_loop = manual();
    let mut wire = quiet(&event_loop);
    wire.transport.resume_reading();
    assert!(wire.transport.is_reading());
    wire.transport.pause_reading();
    wire.transport.pause_reading();
    wire.transport.resume_reading();
    wire.transport.resume_reading();
    wire.peer.write_all(b"one").unwrap();
    turns(&event_loop, 3);
    assert_eq!(wire.trace.take(), ["made", "data one"]);
    wire.fill();
    wire.transport.close();
    wire.transport.pause_reading();
    wire.transport.resume_reading();
    assert!(!wire.transport.is_reading() && wire.transport.is_closing());
    wire.peer.write_all(b"two").unwrap();
    turns(&event_loop, 5);
    wire.receive_all(&event_loop);
    assert_eq!(wire.trace.take(), ["lost"], "what comes after a close is not delivered");
}

fn tr4_a_flooding_peer_gets_one_bounded_read_a_turn() {
    // FAULTS C-06
    let event_loop = manual_with(Config { read_buffer_bytes: 1000, ..small() }).0;
    let mut flooding = quiet(&event_loop);
    let mut silent = quiet(&event_loop);
    flooding.peer.write_all(&[b'x'; 10_000]).unwrap();
    silent.peer.write_all(b"hello").unwrap();
    turns(&event_loop, 1);
    turns(&event_loop, 1);
    assert_eq!(flooding.trace.take()[1..], ["data of 1000", "data of 1000"]);
    assert_eq!(silent.trace.take(), ["made", "data hello"]);
    turns(&event_loop, 8);
    assert_eq!(flooding.trace.take(), ["data of 1000"; 8], "it goes on without another event");
    turns(&event_loop, 5);
    assert_eq!(flooding.trace.count(), 0);
}

fn tr4_a_buffered_protocol_receives_into_its_own_memory() {
    let event_loop = manual();
    let (trace, (ours, mut peer)) = (Trace::new(), pair());
    let quiet = Probe::quiet(&trace);
    let connecting = event_loop.create_connection_with_sock(|| Buffered(quiet), ours);
    let (transport, protocol) = event_loop.run_until_complete(connecting).unwrap();
    assert!(transport.protocol::<Buffered, _>().is_some() && protocol.with(|_| ()).is_ok());
    peer.write_all(b"hello world").unwrap();
    turns(&event_loop, 4);
    assert_eq!(trace.take(), ["made", "data hell", "data o wo", "data rld"]);
    peer.shutdown(Shutdown::Write).unwrap();
    turns(&event_loop, 4);
    assert_eq!(trace.take(), ["eof", "lost"]);
    // Without a buffer there is no way on.
    let told = reports(&event_loop);
    let (ours, mut peer) = pair();
    let quiet = Probe::quiet(&trace);
    let connecting = event_loop.create_connection_with_sock(|| Buffered(quiet).with_buffer(0), ours);
    event_loop.run_until_complete(connecting).unwrap();
    peer.write_all(b"x").unwrap();
    turns(&event_loop, 4);
    assert_eq!(trace.take(), ["made", "lost: the buffer of the protocol is empty"]);
    assert_eq!(told.take(), ["protocol.buffer_updated() failed: the buffer of the protocol is empty"]);
    assert_nothing_left(&event_loop);
}

fn tr5_eof_closes_after_what_was_written() {
    let event_loop = manual();
    let mut wire = quiet(&event_loop);
    let sent = wire.fill() + wire.transport.write_buffer_size();
    wire.peer.shutdown(Shutdown::Write).unwrap();
    turns(&event_loop, 5);
    assert_eq!(wire.trace.take(), ["made", "eof"]);
    assert!(wire.transport.is_closing());
    assert_eq!(wire.receive_all(&event_loop).len(), sent);
    assert_eq!(wire.trace.take(), ["lost"]);
    assert_nothing_left(&event_loop);
}

fn tr5_eof_may_leave_the_write_side() {
    // FAULTS N-03, P-08
    let event_loop = manual();
    let mut wire = wire(&event_loop, |_, _| Ok(AfterEof::KeepWriting));
    wire.peer.write_all(b"hello").unwrap();
    wire.peer.shutdown(Shutdown::Write).unwrap();
    turns(&event_loop, 10);
    assert_eq!(wire.trace.take(), ["made", "data hello", "eof"]);
    assert!(!wire.transport.is_closing() && !wire.transport.is_reading());
    wire.transport.pause_reading();
    wire.transport.resume_reading();
    let turns_before = event_loop.statistics().callbacks;
    turns(&event_loop, 10);
    assert!(event_loop.statistics().callbacks - turns_before <= 2, "silence");
    wire.transport.write(b"reply").unwrap();
    assert_eq!(wire.received(), b"reply");
    wire.transport.close();
    turns(&event_loop, 2);
    assert_eq!(wire.trace.take(), ["lost"]);
    assert!(wire.is_at_end());
}

fn tr5_a_connection_both_of_whose_sides_ended_is_over() {
    // FAULTS N-03, N-04
    for ours_first in [false, true] {
        let event_loop = manual();
        let mut wire = wire(&event_loop, |_, _| Ok(AfterEof::KeepWriting));
        if ours_first {
            wire.transport.write_eof().unwrap();
        }
        wire.peer.shutdown(Shutdown::Write).unwrap();
        turns(&event_loop, 3);
        if !ours_first {
            let sent = wire.fill() + wire.transport.write_buffer_size();
            wire.transport.write_eof().unwrap();
            turns(&event_loop, 3);
            assert_eq!(wire.trace.take(), ["made", "eof"], "not before all is sent");
            assert_eq!(wire.receive_all(&event_loop).len(), sent);
            assert_eq!(wire.trace.take(), ["lost"]);
        } else {
            assert_eq!(wire.trace.take(), ["made", "eof", "lost"]);
        }
        assert!(wire.is_at_end());
        assert_nothing_left(&event_loop);
    }
}

fn tr6_close_flushes_and_tells_from_the_loop_once() {
    let event_loop = manual();
    let mut wire = quiet(&event_loop);
    wire.peer.write_all(b"unread").unwrap();
    wire.transport.close();
    wire.transport.close();
    assert!(wire.transport.is_closing() && !wire.transport.is_reading());
    assert_eq!(wire.trace.take(), ["made"], "never inline");
    turns(&event_loop, 5);
    assert_eq!(wire.trace.take(), ["lost"]);
    let mut wire = quiet(&event_loop);
    let sent = wire.fill() + wire.transport.write_buffer_size();
    wire.transport.close();
    turns(&event_loop, 5);
    assert_eq!(wire.trace.take(), ["made"]);
    wire.transport.close();
    assert_eq!(wire.receive_all(&event_loop).len(), sent, "every byte");
    assert_eq!(wire.trace.take(), ["lost"]);
    assert!(wire.is_at_end());
    assert_nothing_left(&event_loop);
}

fn tr7_abort_drops_the_buffer_also_of_a_close_that_flushes() {
    // FAULTS N-05
    for closes_first in [false, true] {
        let event_loop = manual();
        let mut wire = quiet(&event_loop);
        let sent = wire.fill();
        if closes_first {
            wire.transport.close();
            turns(&event_loop, 2);
        }
        wire.transport.abort();
        wire.transport.abort();
        wire.transport.close();
        assert_eq!((wire.transport.write_buffer_size(), event_loop.write_buffers_size()), (0, 0));
        assert_eq!(wire.trace.take(), ["made"], "never inline");
        turns(&event_loop, 2);
        assert_eq!(wire.trace.take(), ["lost"]);
        assert_eq!(wire.receive_all(&event_loop).len(), sent);
        assert_nothing_left(&event_loop);
    }
}

fn tr8_what_peers_do_every_day_is_not_reported() {
    let event_loop = manual();
    let told = reports(&event_loop);
    // A broken pipe.
    let wire = quiet(&event_loop);
    drop(wire.peer);
    wire.transport.write(b"x").unwrap();
    assert_eq!(wire.trace.take(), ["made"], "never inline");
    turns(&event_loop, 3);
    assert!(matches!(&*wire.trace.take(), [lost] if lost.starts_with("lost: Broken pipe")));
    // A reset, found out by reading.
    let kinds = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&kinds);
    let (transport, trace, theirs) = tcp(&event_loop, move |told, _| {
        if let Told::Lost(Some(error)) = told {
            seen.borrow_mut().push(error.as_io().map(std::io::Error::kind));
        }
        Ok(AfterEof::Close)
    });
    transport.write(b"never read").unwrap();
    drop(theirs);
    until(&event_loop, || trace.count() == 2);
    assert_eq!(*kinds.borrow(), [Some(Kind::ConnectionReset)]);
    assert_eq!(told.take(), [""; 0]);
    turns(&event_loop, 1);
    assert_nothing_left(&event_loop);
}

fn tr8_other_errors_are_reported_once_and_told() {
    let event_loop = manual();
    let told = reports(&event_loop);
    let mut wire = wire(&event_loop, |told, _| match told {
        Told::Data(_) => Err(Error::from(std::io::Error::from(Kind::TimedOut))),
        _ => Ok(AfterEof::Close),
    });
    wire.peer.write_all(b"x").unwrap();
    turns(&event_loop, 3);
    assert_eq!(wire.trace.take(), ["made", "data x", "lost: timed out"]);
    assert_eq!(told.take(), ["protocol.data_received() failed: timed out"]);
}

fn tr8_any_call_of_the_system_that_fails_ends_the_connection_once() {
    // FAULTS N-07
    let calls = [
        (Operation::Recv, libc::ECONNRESET, false),
        (Operation::Recv, libc::ETIMEDOUT, true),
        (Operation::Recv, libc::ENOMEM, true),
        (Operation::Send, libc::EPIPE, false),
        (Operation::Send, libc::ECONNABORTED, false),
        (Operation::Send, libc::ENOBUFS, true),
        (Operation::Reregister, libc::ENOSPC, true),
        (Operation::ShutdownWrite, libc::EINVAL, true),
    ];
    for (operation, errno, is_reported) in calls {
        for nth in 1..6 {
            let (event_loop, _clock, faults) = EventLoop::with_faults(small()).unwrap();
            let told = reports(&event_loop);
            let mut wire = quiet(&event_loop);
            let before = faults.calls(operation);
            faults.fail_nth(operation, nth, errno);
            wire.peer.write_all(b"hello").unwrap();
            turns(&event_loop, 2);
            for _ in 0..3 {
                let _ = wire.transport.write(&vec![0; 1 << 20]);
                turns(&event_loop, 2);
                wire.received();
                let _ = wire.peer.write_all(b"more");
            }
            let _ = wire.transport.write_eof();
            wire.receive_all(&event_loop);
            let failed = faults.calls(operation) - before >= nth;
            let _ = wire.peer.shutdown(Shutdown::Write);
            turns(&event_loop, 4);
            let failed = failed || faults.calls(operation) - before >= nth;
            let of = format!("{operation:?}, {errno}, call {nth}");
            let ended = wire.trace.take();
            assert_in_order(&ended, &of);
            let number = format!("(os error {errno})");
            assert_eq!(ended.last().unwrap().contains(&number), failed, "{of}: {ended:?}");
            assert_eq!(told.count(), usize::from(failed && is_reported), "{of}: {:?}", told.take());
            assert_nothing_left(&event_loop);
        }
    }
}

fn tr9_an_error_in_a_receiving_method_ends_the_connection() {
    let event_loop = manual();
    let told = reports(&event_loop);
    for fails_at_eof in [false, true] {
        let mut wire = wire(&event_loop, move |told, _| match told {
            Told::Data(_) if !fails_at_eof => Err(Error::new(Oops(1))),
            Told::Eof => Err(Error::new(Oops(2))),
            _ => Ok(AfterEof::KeepWriting),
        });
        // What waits to be sent is dropped.
        wire.fill();
        wire.peer.write_all(b"x").unwrap();
        turns(&event_loop, 1);
        wire.peer.write_all(b"y").unwrap();
        let _ = wire.peer.shutdown(Shutdown::Write);
        turns(&event_loop, 5);
        let (expected, report): (&[_], _) = if fails_at_eof {
            (&["made", "data x", "data y", "eof", "lost: oops 2"], "protocol.eof_received() failed: oops 2")
        } else {
            (&["made", "data x", "lost: oops 1"], "protocol.data_received() failed: oops 1")
        };
        let mut trace = wire.trace.take();
        trace.dedup();
        assert_eq!(trace.join(" ").replace("data xy", "data x data y"), expected.join(" "));
        assert_eq!(told.take(), [report]);
        assert_nothing_left(&event_loop);
    }
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

fn tr16_pause_strictly_above_high_and_resume_at_low_alternate() {
    let event_loop = manual();
    let mut wire = quiet(&event_loop);
    wire.fill();
    let queued = wire.transport.write_buffer_size();
    let limits = WriteBufferLimits::new(Some(queued + 10_000), Some(queued)).unwrap();
    wire.transport.set_write_buffer_limits(limits);
    wire.transport.write(&[0; 10_000]).unwrap();
    assert_eq!(wire.trace.take(), ["made"], "as much as high is not above it");
    for _ in 0..3 {
        wire.transport.write(b"x").unwrap();
    }
    assert_eq!(wire.trace.take(), ["pause"], "once, within the write");
    turns(&event_loop, 3);
    wire.receive_all(&event_loop);
    assert_eq!(wire.trace.take(), ["resume"]);
    // Many times, strictly in turn.
    for _ in 0..20 {
        wire.overfill();
        wire.receive_all(&event_loop);
    }
    assert_eq!(wire.trace.take(), ["pause", "resume"].repeat(20));
}

fn tr17_limits_follow_from_each_other_and_setting_them_weighs_anew() {
    let of = |high, low| WriteBufferLimits::new(high, low).map(|limits| (limits.high(), limits.low()));
    assert_eq!(of(None, None), Ok((65536, 16384)));
    assert_eq!(of(Some(1000), None), Ok((1000, 250)));
    assert_eq!(of(None, Some(1000)), Ok((4000, 1000)));
    assert_eq!(of(Some(0), None), Ok((0, 0)));
    assert_eq!(of(Some(7), Some(7)), Ok((7, 7)));
    assert_eq!(of(None, Some(usize::MAX)), Ok((usize::MAX, usize::MAX)));
    let refused: LimitsError = of(Some(1), Some(2)).unwrap_err();
    assert_eq!(refused.to_string(), "the low-water mark 2 is above the high-water mark 1");
    let event_loop = manual();
    let mut wire = quiet(&event_loop);
    assert_eq!(wire.transport.write_buffer_limits(), WriteBufferLimits::default());
    wire.fill();
    let marks = |high, low| WriteBufferLimits::new(Some(high), Some(low)).unwrap();
    wire.transport.set_write_buffer_limits(marks(0, 0));
    assert_eq!(wire.trace.take(), ["made", "pause"]);
    wire.transport.set_write_buffer_limits(marks(1 << 20, 0));
    assert_eq!(wire.trace.count(), 0, "between the marks nothing changes");
    wire.transport.set_write_buffer_limits(marks(1 << 20, 1 << 19));
    assert_eq!(wire.trace.take(), ["resume"]);
    wire.transport.set_write_buffer_limits(marks(0, 0));
    wire.receive_all(&event_loop);
    assert_eq!(wire.trace.take(), ["pause", "resume"], "at a mark of zero when all is sent");
}

fn tr18_pause_writing_is_called_within_write_and_its_error_harms_nobody() {
    let event_loop = manual();
    let told = reports(&event_loop);
    let mut wire = wire(&event_loop, |told, _| match told {
        Told::Pause => Err(Error::new(Oops(1))),
        Told::Resume => Err(Error::new(Oops(2))),
        _ => Ok(AfterEof::Close),
    });
    wire.overfill();
    assert_eq!(wire.trace.take(), ["made", "pause"]);
    assert_eq!(told.take(), ["protocol.pause_writing() failed: oops 1"]);
    wire.receive_all(&event_loop);
    assert_eq!(wire.trace.take(), ["resume"]);
    assert_eq!(told.take(), ["protocol.resume_writing() failed: oops 2"]);
    wire.peer.write_all(b"alive").unwrap();
    turns(&event_loop, 2);
    assert_eq!(wire.trace.take(), ["data alive"]);
}

fn tr18_pause_caused_within_a_method_follows_when_it_has_returned() {
    let event_loop = manual();
    let trace = Trace::new();
    let noted = trace.clone();
    let mut wire = wire(&event_loop, move |told, transport| {
        if matches!(told, Told::Data(_)) {
            transport.write(&vec![0; 1 << 20])?;
            noted.push("written");
        }
        noted.push(format!("{told:?}").split('(').next().unwrap_or_default());
        Ok(AfterEof::Close)
    });
    wire.peer.write_all(b"x").unwrap();
    turns(&event_loop, 2);
    assert_eq!(trace.take(), ["Made", "written", "Data", "Pause"]);
    // Held by somebody else: before anything else is told.
    wire.receive_all(&event_loop);
    trace.take();
    let transport = wire.transport.clone();
    wire.protocol.with(|_| transport.write(&vec![0; 1 << 20])).unwrap().unwrap();
    assert_eq!(trace.count(), 0);
    wire.peer.write_all(b"y").unwrap();
    turns(&event_loop, 2);
    assert_eq!(trace.take()[..2], ["Pause", "written"]);
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

fn tr20_closing_in_pause_or_resume_writing_ends_once() {
    // FAULTS N-06
    for aborts in [false, true] {
        for in_resume in [false, true] {
            let event_loop = manual();
            let mut wire = wire(&event_loop, move |told, transport| {
                if matches!(told, Told::Pause) && !in_resume || matches!(told, Told::Resume) && in_resume {
                    if aborts { transport.abort() } else { transport.close() }
                }
                Ok(AfterEof::Close)
            });
            wire.overfill();
            wire.receive_all(&event_loop);
            let mut told = wire.trace.take();
            assert_eq!(told.pop().as_deref(), Some("lost"));
            assert_eq!(told[..2], ["made", "pause"]);
            let resumed = !aborts || in_resume;
            assert_eq!(&told[2..], if resumed { &["resume"][..] } else { &[] });
            assert!(wire.is_at_end());
            assert_nothing_left(&event_loop);
        }
    }
}

fn tr20_another_transport_can_be_written_to_in_pause_and_resume_writing() {
    // FAULTS N-06
    let event_loop = manual();
    let mut other = quiet(&event_loop);
    let target = other.transport.clone();
    let mut wire = wire(&event_loop, move |told, _| {
        match told {
            Told::Pause => target.write(b"paused ")?,
            Told::Resume => target.write(b"resumed")?,
            _ => {}
        }
        Ok(AfterEof::Close)
    });
    wire.overfill();
    wire.receive_all(&event_loop);
    assert_eq!(other.received(), b"paused resumed");
    // In a circle: each pauses the other.
    let transports = Rc::new(RefCell::new(VecDeque::<Transport>::new()));
    let wires: Vec<Wire> = (0..2)
        .map(|index| {
            let transports = Rc::clone(&transports);
            crate::probe::wire(&event_loop, move |told, _| {
                let other = transports.borrow().get(1 - index).cloned();
                if let (Told::Pause | Told::Resume, Some(other)) = (told, other) {
                    other.write(&vec![0; 1 << 20])?;
                }
                Ok(AfterEof::Close)
            })
        })
        .collect();
    transports.borrow_mut().extend(wires.iter().map(|wire| wire.transport.clone()));
    wires[0].overfill();
    assert!(wires.iter().all(|wire| wire.trace.take() == ["made", "pause"]));
    transports.take();
}

fn tr21_another_protocol_is_told_of_all_that_follows() {
    // FAULTS N-06
    let event_loop = manual();
    let second = Trace::new();
    let next = Cell::new(Some(Probe::quiet(&second)));
    let mut wire = wire(&event_loop, move |told, transport| {
        if matches!(told, Told::Data(_))
            && let Some(next) = next.take()
        {
            let next = transport.set_protocol(next);
            assert!(next.with(|_| ()).is_ok());
        }
        Ok(AfterEof::KeepWriting)
    });
    let first = wire.transport.protocol::<Probe, _>().unwrap();
    assert!(wire.transport.protocol::<Buffered, _>().is_none());
    wire.peer.write_all(b"one").unwrap();
    turns(&event_loop, 2);
    wire.peer.write_all(b"two").unwrap();
    turns(&event_loop, 2);
    wire.overfill();
    wire.receive_all(&event_loop);
    wire.peer.shutdown(Shutdown::Write).unwrap();
    turns(&event_loop, 3);
    assert_eq!(wire.trace.take(), ["made", "data one"]);
    assert_eq!(second.take(), ["data two", "pause", "resume", "eof", "lost"]);
    assert!(wire.transport.protocol::<Probe, _>().is_none(), "it is over");
    assert!(first.with(|_| ()).is_ok(), "who holds a protocol keeps it");
    // One set for a connection that is over is not kept.
    wire.transport.set_protocol(Probe::quiet(&second));
    assert!(wire.transport.protocol::<Probe, _>().is_none());
    // Nor one set in `connection_lost`, though it holds the transport.
    let dropped = Trace::new();
    let guard = Cell::new(Some(dropped.on_drop("dropped")));
    let wire = crate::probe::wire(&event_loop, move |told, transport| {
        if matches!(told, Told::Lost(_)) {
            let (kept, guard) = (transport.clone(), guard.take());
            transport.set_protocol(Probe::new(&Trace::new(), move |_, _| {
                let _ = (&kept, &guard);
                Ok(AfterEof::Close)
            }));
        }
        Ok(AfterEof::Close)
    });
    wire.transport.close();
    turns(&event_loop, 2);
    assert_eq!(dropped.take(), ["dropped"]);
}

fn tr22_what_is_known_of_a_connection_stays_known() {
    let event_loop = manual();
    let (transport, trace, theirs) = tcp(&event_loop, bye);
    let (ours, peer) = (theirs.peer_addr().unwrap(), theirs.local_addr().unwrap());
    assert!(!transport.is_closing());
    let options = transport.socket_options().unwrap();
    assert!(options.nodelay().unwrap(), "CC-11");
    transport.close();
    assert!(transport.is_closing());
    assert!(transport.socket_options().is_ok(), "until it is lost");
    turns(&event_loop, 2);
    assert_eq!(trace.take(), ["made", "lost"]);
    assert!(transport.is_closing());
    assert_eq!(transport.peer_addr().as_inet(), Some(peer));
    assert_eq!(transport.local_addr().and_then(|addr| addr.as_inet()), Some(ours));
    assert_eq!(transport.socket_options().unwrap_err().kind(), ErrorKind::Closed);
    assert!(format!("{transport:?}").ends_with("closed)"), "{transport:?}");
    assert_eq!(transport, transport.clone());
    // Closing of itself counts too.
    let wire = quiet(&event_loop);
    assert!(wire.transport.peer_addr().as_unix().is_some_and(|addr| addr.is_unnamed()));
    wire.peer.shutdown(Shutdown::Write).unwrap();
    turns(&event_loop, 1);
    turns(&event_loop, 1);
    assert!(wire.transport.is_closing());
}

fn tr23_the_socket_closes_when_connection_lost_has_returned_even_if_it_failed() {
    for ends in 0..3 {
        let event_loop = manual();
        let told = reports(&event_loop);
        let (ours, peer) = pair();
        let (trace, looks) = (Trace::new(), peer.try_clone().unwrap());
        let (ended, dropped) = (trace.clone(), trace.on_drop("dropped"));
        let probe = Probe::new(&trace, move |told, transport| {
            let _ = &dropped;
            if matches!(told, Told::Lost(_)) {
                assert_eq!((&looks).read(&mut [0]).unwrap_err().kind(), Kind::WouldBlock);
                assert!(transport.socket_options().is_ok());
                // Nothing of this brings the end about again.
                transport.abort();
                transport.close();
                transport.write(b"dropped")?;
                ended.push("ended");
                match ends {
                    0 => return Err(Error::new(Oops(1))),
                    1 => panic!("at the end"),
                    _ => {}
                }
            }
            Ok(AfterEof::Close)
        });
        let connecting = event_loop.create_connection_with_sock(|| probe, ours);
        // Nobody holds it.
        drop(event_loop.run_until_complete(connecting).unwrap());
        turns(&event_loop, 3);
        assert_eq!(trace.take(), ["made"], "the loop owns it");
        peer.shutdown(Shutdown::Write).unwrap();
        quietly(|| turns(&event_loop, 5));
        assert_eq!(trace.take(), ["eof", "lost", "ended", "dropped"]);
        assert_eq!((&peer).read(&mut [0]).unwrap(), 0);
        let reported: &[&str] = match ends {
            0 => &["protocol.connection_lost() failed: oops 1"],
            1 => &["protocol.connection_lost() panicked: panicked: at the end"],
            _ => &[],
        };
        assert_eq!(told.take(), reported);
        assert_nothing_left(&event_loop);
    }
    // The server's count, too.
    let event_loop = real();
    let counts = Rc::new(RefCell::new(Vec::new()));
    let server = Rc::new(RefCell::new(None::<rondel::Server>));
    let (noted, asked) = (Rc::clone(&counts), Rc::clone(&server));
    let serving = event_loop.create_server(
        move || {
            let (noted, asked) = (Rc::clone(&noted), Rc::clone(&asked));
            Probe::new(&Trace::new(), move |told, _| {
                if matches!(told, Told::Made | Told::Lost(_)) {
                    noted.borrow_mut().push(asked.borrow().as_ref().unwrap().connections());
                }
                Ok(AfterEof::Close)
            })
        },
        any_port(),
    );
    let serving = event_loop.run_until_complete(serving).unwrap();
    server.replace(Some(serving.clone()));
    drop(TcpStream::connect(serving.local_addr()).unwrap());
    until(&event_loop, || counts.borrow().len() == 2);
    assert_eq!((&**counts.borrow(), serving.connections()), (&[1, 1][..], 0));
    server.take();
}

fn tr24_a_write_beyond_the_ceiling_of_a_transport_is_refused_whole() {
    // FAULTS N-01
    let event_loop = manual_with(Config { write_buffer_bytes: 10_000, ..small() }).0;
    let mut wire = quiet(&event_loop);
    let refused = wire.transport.write(&[0; 10_001]).unwrap_err();
    assert!(refused.is_full() && refused.to_string().contains("10000"), "{refused}");
    let mut sent = wire.fill() + wire.transport.write_buffer_size();
    let room = 10_000 - wire.transport.write_buffer_size();
    let half = vec![b'-'; room / 2 + 1];
    assert!(wire.transport.writelines(&[IoSlice::new(&half), IoSlice::new(&half)]).unwrap_err().is_full());
    wire.transport.write(&vec![b'-'; room]).unwrap();
    sent += room;
    assert!(wire.transport.write(b"x").unwrap_err().is_full());
    assert_eq!(wire.transport.write_buffer_size(), 10_000);
    assert_eq!(event_loop.write_buffers_size(), 10_000);
    let received = wire.receive_all(&event_loop);
    assert_eq!(received.len(), sent, "what was taken is sent, and nothing else");
    wire.transport.write(b"x").unwrap();
    assert_eq!(wire.received(), b"x");
}

fn tr24_a_write_beyond_the_ceiling_of_the_loop_is_refused_whole() {
    let event_loop = manual_with(Config { write_buffers_bytes: 10_000, ..small() }).0;
    let mut wires = [quiet(&event_loop), quiet(&event_loop)];
    for wire in &wires {
        wire.fill();
    }
    wires[0].transport.write(&vec![0; 10_000 - event_loop.write_buffers_size()]).unwrap();
    assert_eq!(event_loop.write_buffers_size(), 10_000);
    for wire in &wires {
        assert!(wire.transport.write(b"x").unwrap_err().is_full());
    }
    wires[0].transport.abort();
    assert!(event_loop.write_buffers_size() < 10_000, "an end gives it back at once");
    wires[1].transport.write(b"x").unwrap();
    assert!(wires[1].receive_all(&event_loop).ends_with(b"x"));
    assert_eq!(event_loop.write_buffers_size(), 0);
}

fn r15_a_closed_loop_tells_every_protocol_once() {
    // FAULTS N-06
    let event_loop = manual();
    let idle = quiet(&event_loop);
    let flushing = quiet(&event_loop);
    flushing.fill();
    flushing.transport.close();
    let aborted = quiet(&event_loop);
    aborted.transport.abort();
    let other = idle.transport.clone();
    let busy = wire(&event_loop, move |told, transport| {
        if matches!(told, Told::Lost(_)) {
            transport.close();
            transport.abort();
            transport.write(b"x")?;
            other.write(b"x")?;
            other.abort();
            assert!(transport.event_loop().is_closed());
            assert!(transport.event_loop().call_soon(|_| ()).is_err());
        }
        Ok(AfterEof::Close)
    });
    event_loop.close().unwrap();
    let closed = ["made", "lost: the event loop is closed"];
    assert_eq!(idle.trace.take(), closed);
    assert_eq!(flushing.trace.take(), closed);
    assert_eq!(aborted.trace.take(), ["made", "lost"]);
    assert_eq!(busy.trace.take(), closed);
    assert_eq!((event_loop.watched_descriptors(), event_loop.write_buffers_size()), (0, 0));
    for mut wire in [idle, flushing, aborted, busy] {
        let _ = wire.received();
        assert!(wire.is_at_end());
    }
}

fn r15_a_loop_closed_before_connection_made_tells_nothing() {
    // TR-1
    let event_loop = manual();
    let (trace, (ours, mut peer)) = (Trace::new(), pair());
    let quiet = Probe::quiet(&trace);
    let connecting = event_loop.create_connection_with_sock(|| quiet, ours);
    let task = event_loop.create_task(connecting.into_future()).unwrap();
    turns(&event_loop, 1);
    assert_eq!(event_loop.watched_descriptors(), 1);
    event_loop.close().unwrap();
    assert_eq!(trace.take(), [""; 0]);
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    drop(task);
}

fn n01_every_way_to_write_keeps_within_the_marks() {
    let event_loop = manual();
    type Way = fn(&Transport, &[u8]) -> Result<()>;
    let ways: [Way; 3] = [
        |transport, data| transport.write(data),
        |transport, data| transport.writelines(&[IoSlice::new(data)]),
        |transport, data| {
            let (one, two) = data.split_at(data.len() / 2);
            transport.writelines(&[IoSlice::new(one), IoSlice::new(two)])
        },
    ];
    for write in ways {
        let is_paused = Rc::new(Cell::new(false));
        let told_paused = Rc::clone(&is_paused);
        let wire = wire(&event_loop, move |told, _| {
            match told {
                Told::Pause => told_paused.set(true),
                Told::Resume => told_paused.set(false),
                _ => {}
            }
            Ok(AfterEof::Close)
        });
        // The peer reads nothing: a producer that heeds the marks soon stops.
        let mut written = 0;
        while !is_paused.get() {
            write(&wire.transport, &[0; 4096]).unwrap();
            written += 4096;
            turns(&event_loop, 1);
        }
        assert!(wire.transport.write_buffer_size() <= 64 * 1024 + 4096);
        assert!(written < 4 << 20);
        wire.transport.abort();
        turns(&event_loop, 1);
    }
    assert_nothing_left(&event_loop);
}

/// A deterministic stream of bytes, made in blocks.
struct Blocks {
    state: u64,
    block: Vec<u8>,
    at: usize,
}

impl Blocks {
    const SIZE: usize = 64 * 1024;

    fn new(seed: u64) -> Self {
        Self { state: seed, block: Vec::new(), at: 0 }
    }

    /// Returns up to `count` bytes, and goes past them.
    fn next(&mut self, count: usize) -> &[u8] {
        if self.at == self.block.len() {
            self.at = 0;
            self.block.clear();
            for _ in 0..Self::SIZE / 8 {
                self.state ^= self.state << 13;
                self.state ^= self.state >> 7;
                self.state ^= self.state << 17;
                self.block.extend_from_slice(&self.state.to_le_bytes());
            }
        }
        let start = self.at;
        self.at = self.block.len().min(start + count);
        &self.block[start..self.at]
    }

    fn check(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let expected = self.next(data.len());
            let (some, rest) = data.split_at(expected.len());
            assert!(some == expected, "not what was sent");
            data = rest;
        }
    }
}

/// Sends and receives at once, with pauses in both.
struct Exchange {
    sends: Blocks,
    left: usize,
    receives: Blocks,
    received: usize,
    is_paused: bool,
    finished: Counter,
}

impl Exchange {
    const BYTES: usize = 50 << 20;

    fn new(sends: u64, receives: u64, finished: &Counter) -> Self {
        let (sends, receives) = (Blocks::new(sends), Blocks::new(receives));
        Self { sends, left: Self::BYTES, receives, received: 0, is_paused: false, finished: finished.clone() }
    }

    fn send(&mut self, transport: &Transport) -> Result<()> {
        while !self.is_paused && self.left > 0 {
            let data = self.sends.next(self.left.min(30_011));
            self.left -= data.len();
            transport.write(data)?;
            if transport.write_buffer_size() > transport.write_buffer_limits().high() {
                break;
            }
        }
        if self.left == 0 {
            transport.write_eof()?;
        }
        Ok(())
    }
}

impl Protocol for Exchange {
    fn connection_made(&mut self, transport: &Transport) -> Result<()> {
        let options = transport.socket_options()?;
        options.set_send_buffer_size(32 * 1024)?;
        options.set_recv_buffer_size(32 * 1024)?;
        self.send(transport)
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result<()> {
        self.receives.check(data);
        let before = self.received >> 20;
        self.received += data.len();
        if self.received >> 20 != before {
            // A rest of some turns at every mebibyte.
            transport.pause_reading();
            let resumed = transport.clone();
            transport.event_loop().call_soon(move |event_loop| {
                event_loop.call_soon(move |_| resumed.resume_reading()).map(drop).map_err(|_| Oops(1))
            })?;
        }
        Ok(())
    }

    fn eof_received(&mut self, _: &Transport) -> Result<AfterEof> {
        Ok(AfterEof::KeepWriting)
    }

    fn pause_writing(&mut self, _: &Transport) -> Result<()> {
        self.is_paused = true;
        Ok(())
    }

    fn resume_writing(&mut self, transport: &Transport) -> Result<()> {
        self.is_paused = false;
        self.send(transport)
    }

    fn connection_lost(&mut self, _: &Transport, error: Option<&Error>) -> Result<()> {
        assert!(error.is_none(), "{error:?}");
        assert_eq!((self.left, self.received), (0, Self::BYTES));
        self.finished.add();
        Ok(())
    }
}

fn n02_a_hundred_mebibytes_through_small_buffers_arrive_exactly() {
    let event_loop = real();
    let told = reports(&event_loop);
    let finished = Counter::new();
    let served = finished.clone();
    let serving = event_loop.create_server(move || Exchange::new(1, 2, &served), any_port());
    let server = event_loop.run_until_complete(serving).unwrap();
    let client = Exchange::new(2, 1, &finished);
    event_loop.run_until_complete(event_loop.create_connection(|| client, server.local_addr())).unwrap();
    let mut queued_max = 0;
    until(&event_loop, || {
        queued_max = queued_max.max(event_loop.write_buffers_size());
        finished.get() == 2
    });
    server.close();
    turns(&event_loop, 2);
    assert!(queued_max <= 2 * (64 * 1024 + 30_011), "{queued_max}: memory stays flat");
    assert_eq!(told.take(), [""; 0]);
    assert_nothing_left(&event_loop);
}

fn n02_short_transfers_and_false_readiness_lose_nothing() {
    let (event_loop, _clock, faults) = EventLoop::with_faults(small()).unwrap();
    let received = Rc::new(RefCell::new(Vec::new()));
    let kept = Rc::clone(&received);
    let mut wire = wire(&event_loop, move |told, transport| {
        if let Told::Data(data) = told {
            kept.borrow_mut().extend_from_slice(data);
            transport.write(data)?;
        }
        Ok(AfterEof::Close)
    });
    let data: Vec<u8> = Blocks::new(7).next(2000).to_vec();
    faults.limit(Operation::Send, 3);
    faults.limit(Operation::Recv, 7);
    wire.peer.write_all(&data).unwrap();
    wire.peer.shutdown(Shutdown::Write).unwrap();
    let mut echoed = Vec::new();
    for turn in 0..5000 {
        match turn % 5 {
            0 => faults.wake_all(),
            1 => faults.block(Operation::Recv),
            3 => faults.block(Operation::Send),
            _ => {}
        }
        turns(&event_loop, 1);
        echoed.extend(wire.received());
    }
    assert!(*received.borrow() == data && echoed == data);
    assert_eq!(wire.trace.take().last().unwrap(), "lost");
    assert_nothing_left(&event_loop);
}

fn n03_either_side_may_end_first_and_go_on_reading() {
    // The peer ends first; the reply is sent afterwards.
    let event_loop = manual();
    let mut asked = wire(&event_loop, |told, transport| {
        if matches!(told, Told::Eof) {
            let replies = transport.clone();
            transport.event_loop().call_soon(move |_| {
                replies.write(b"reply")?;
                replies.close();
                Ok::<(), Error>(())
            })?;
        }
        Ok(AfterEof::KeepWriting)
    });
    asked.peer.write_all(b"request").unwrap();
    asked.peer.shutdown(Shutdown::Write).unwrap();
    turns(&event_loop, 6);
    assert_eq!(asked.trace.take(), ["made", "data request", "eof", "lost"]);
    assert_eq!(asked.received(), b"reply");
    // We end first, and read the reply.
    let mut asks = quiet(&event_loop);
    asks.transport.write(b"request").unwrap();
    asks.transport.write_eof().unwrap();
    turns(&event_loop, 3);
    assert_eq!(asks.received(), b"request");
    assert!(asks.is_at_end());
    asks.peer.write_all(b"reply").unwrap();
    asks.peer.shutdown(Shutdown::Write).unwrap();
    turns(&event_loop, 5);
    assert_eq!(asks.trace.take(), ["made", "data reply", "eof", "lost"]);
    assert_nothing_left(&event_loop);
}

fn n13_what_follows_a_byte_out_of_band_does_not_wait_for_more() {
    let event_loop = manual();
    let (transport, trace, mut theirs) = tcp(&event_loop, |_, _| Ok(AfterEof::Close));
    trace.take();
    for round in 0..2 {
        theirs.write_all(b"ab").unwrap();
        send_out_of_band(&theirs, b'!');
        theirs.write_all(b"cd").unwrap();
        brought(&theirs);
        turns(&event_loop, 4);
        assert_eq!(trace.take(), ["data ab", "data cd"], "round {round}");
    }
    // Alone it is nothing to read, and later data comes as ever.
    send_out_of_band(&theirs, b'!');
    brought(&theirs);
    turns(&event_loop, 4);
    assert!(trace.take().is_empty());
    theirs.write_all(b"ef").unwrap();
    brought(&theirs);
    turns(&event_loop, 4);
    assert_eq!(trace.take(), ["data ef"]);
    let waits_for_nothing = event_loop.statistics().ready == 0;
    assert!(waits_for_nothing && !transport.is_closing());
    transport.close();
    turns(&event_loop, 2);
    assert_nothing_left(&event_loop);
}

fn n04_a_peer_that_goes_while_reading_is_paused_is_silent_until_resumed() {
    // FAULTS P-08
    let event_loop = manual();
    for resets in [false, true] {
        let (transport, trace, mut theirs) = tcp(&event_loop, bye);
        transport.pause_reading();
        theirs.write_all(b"last words").unwrap();
        if resets {
            transport.write(b"never read").unwrap();
        }
        drop(theirs);
        // Nobody tells when the kernel knows; a turn that looks finds it.
        turns(&event_loop, 20);
        let before = event_loop.statistics().callbacks;
        turns(&event_loop, 20);
        assert!(event_loop.statistics().callbacks - before <= 2, "silence");
        assert_eq!(trace.take(), ["made"]);
        transport.resume_reading();
        until(&event_loop, || trace.count() >= 2);
        turns(&event_loop, 3);
        let told = trace.take();
        assert_eq!(told[0], "data last words");
        assert!(told.last().unwrap().starts_with("lost"), "{told:?}");
        assert_nothing_left(&event_loop);
    }
}

fn n04_a_peer_that_goes_after_its_eof_frees_the_slot() {
    let event_loop = manual();
    let (transport, trace, theirs) = tcp(&event_loop, |_, _| Ok(AfterEof::KeepWriting));
    theirs.shutdown(Shutdown::Write).unwrap();
    until(&event_loop, || trace.count() == 2);
    assert_eq!(trace.take(), ["made", "eof"]);
    // Unread data makes the end of the peer a reset, and we say nothing more.
    transport.write(b"never read").unwrap();
    drop(theirs);
    until(&event_loop, || trace.count() == 1);
    assert!(trace.take()[0].starts_with("lost: "), "idle, and noticed");
    turns(&event_loop, 1);
    assert_nothing_left(&event_loop);
}

fn n05_close_delivers_all_to_a_slow_reader_and_abort_resets() {
    const SIZE: usize = 4 << 20;
    for aborts in [false, true] {
        let event_loop = real();
        let (transport, trace, mut theirs) = tcp(&event_loop, bye);
        transport.write(&vec![7; SIZE]).unwrap();
        assert!(transport.write_buffer_size() > 0);
        if aborts {
            transport.abort();
        } else {
            transport.close();
        }
        let reader = thread::spawn(move || {
            let (mut total, mut buffer) = (0, vec![0; 4096]);
            loop {
                match theirs.read(&mut buffer) {
                    Ok(0) => return Ok(total),
                    Ok(count) => total += count,
                    Err(error) => return Err(error.kind()),
                }
                thread::yield_now();
            }
        });
        until(&event_loop, || transport.socket_options().is_err());
        let expected = if aborts { Err(Kind::ConnectionReset) } else { Ok(SIZE) };
        assert_eq!(reader.join().unwrap(), expected, "a part is not taken for the whole");
        let told = trace.take();
        assert_eq!((told[0].as_str(), told.last().unwrap().as_str()), ("made", "lost"));
        turns(&event_loop, 1);
        assert_nothing_left(&event_loop);
    }
}

/// What a method of a protocol does besides.
const DEEDS: usize = 15;

fn do_deed(deed: usize, transport: &Transport, trace: &Trace) -> Result<AfterEof> {
    match deed {
        0 => transport.close(),
        1 => transport.abort(),
        2 => transport.write(b"small")?,
        3 => transport.write(&vec![0; 300_000])?,
        4 => transport.write_eof()?,
        5 => transport.pause_reading(),
        6 => transport.resume_reading(),
        7 => {
            let trace = trace.clone();
            transport.set_protocol(Probe::new(&trace, |_, _| Ok(AfterEof::KeepWriting)));
        }
        8 => transport.set_write_buffer_limits(WriteBufferLimits::new(Some(0), None)?),
        9 => transport.event_loop().stop(),
        10 => return Err(Error::new(Oops(1))),
        11 => panic!("a deed"),
        12 => {
            transport.write(&vec![0; 300_000])?;
            transport.close();
        }
        13 => {
            transport.write(&vec![0; 300_000])?;
            transport.abort();
        }
        _ => {
            transport.pause_reading();
            transport.resume_reading();
            let protocol = transport.protocol::<Probe, _>();
            assert!(protocol.is_none_or(|protocol| protocol.with(|_| ()).is_err()), "it is busy");
        }
    }
    Ok(AfterEof::KeepWriting)
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

fn n06_any_method_may_do_anything() {
    // TR-1, TR-16
    for policy in [PanicPolicy::Report, PanicPolicy::Propagate] {
        for moment in ["Made", "Data", "Eof", "Pause", "Resume", "Lost"] {
            for deed in 0..DEEDS {
                let of = format!("{policy:?}, {moment}, deed {deed}");
                let event_loop = manual_with(Config { panic_policy: policy, ..small() }).0;
                let _told = reports(&event_loop);
                // A panic may leave any of these.
                let step = |step: &mut dyn FnMut()| {
                    let _ = panics(step);
                };
                let (trace, (ours, peer)) = (Trace::new(), pair());
                let again = trace.clone();
                let done = Cell::new(false);
                let probe = Probe::new(&trace, move |told, transport| {
                    if format!("{told:?}").starts_with(moment) && !done.replace(true) {
                        do_deed(deed, transport, &again)
                    } else {
                        Ok(AfterEof::KeepWriting)
                    }
                });
                let task = event_loop.create_connection_with_sock(|| probe, ours).into_future();
                let task = event_loop.create_task(task).unwrap();
                for _ in 0..4 {
                    step(&mut || turns(&event_loop, 1));
                }
                let (transport, protocol) = event_loop.run_until_complete(task).unwrap().unwrap();
                let mut wire = Wire { transport, protocol, trace, peer };
                let _ = wire.peer.write_all(b"hello");
                for _ in 0..4 {
                    step(&mut || turns(&event_loop, 1));
                }
                step(&mut || {
                    let _ = wire.transport.write(&vec![0; 1 << 20]);
                });
                for _ in 0..40 {
                    step(&mut || turns(&event_loop, 1));
                    let _ = wire.received();
                }
                let _ = wire.peer.write_all(b"bye");
                let _ = wire.peer.shutdown(Shutdown::Write);
                for _ in 0..40 {
                    step(&mut || turns(&event_loop, 1));
                    let _ = wire.received();
                }
                wire.transport.close();
                for _ in 0..10 {
                    step(&mut || turns(&event_loop, 1));
                    let _ = wire.received();
                }
                assert_in_order(&wire.trace.take(), &of);
                assert!(wire.is_at_end(), "{of}");
                assert_nothing_left(&event_loop);
            }
        }
    }
}

fn n07_a_reset_with_a_full_queue_ends_one_connection_only() {
    let event_loop = manual();
    let told = reports(&event_loop);
    let mut bystander = quiet(&event_loop);
    for paused in [false, true] {
        let (transport, trace, theirs) = tcp(&event_loop, bye);
        if paused {
            transport.pause_reading();
        }
        transport.write(&vec![0; 8 << 20]).unwrap();
        assert!(event_loop.write_buffers_size() > 0);
        // Unread data at the close makes it a reset.
        drop(theirs);
        until(&event_loop, || trace.count() == 3);
        let ended = trace.take();
        assert_eq!(ended[..2], ["made", "pause"]);
        assert!(ended[2].starts_with("lost: "), "{ended:?}");
        assert_eq!(event_loop.write_buffers_size(), 0);
    }
    assert_eq!(told.take(), [""; 0]);
    bystander.peer.write_all(b"hello").unwrap();
    turns(&event_loop, 2);
    assert_eq!(bystander.trace.take(), ["made", "data hello"]);
}

fn n08_keepalive_and_user_timeout_are_settable() {
    use core::time::Duration;
    let event_loop = manual();
    let (transport, _, _theirs) = tcp(&event_loop, bye);
    let options = transport.socket_options().unwrap();
    assert_eq!(options.keepalive().unwrap(), None);
    let keepalive = KeepAlive { idle: Duration::from_secs(60), interval: Duration::from_secs(5), probes: 3 };
    options.set_keepalive(Some(keepalive)).unwrap();
    assert_eq!(options.keepalive().unwrap(), Some(keepalive));
    let refused = options.set_keepalive(Some(KeepAlive { idle: Duration::from_millis(1), ..keepalive }));
    assert_eq!(refused.unwrap_err().as_io().unwrap().kind(), Kind::InvalidInput);
    options.set_keepalive(None).unwrap();
    assert_eq!(options.keepalive().unwrap(), None);
    assert_eq!(options.user_timeout().unwrap(), None);
    options.set_user_timeout(Some(Duration::from_millis(1500))).unwrap();
    assert_eq!(options.user_timeout().unwrap(), Some(Duration::from_millis(1500)));
    for wrong in [Duration::from_micros(999), Duration::from_secs(1 << 40)] {
        let refused = options.set_user_timeout(Some(wrong)).unwrap_err();
        assert_eq!(refused.as_io().unwrap().kind(), Kind::InvalidInput, "{wrong:?}");
        assert!(refused.to_string().starts_with("TCP_USER_TIMEOUT: "), "{refused}");
    }
    options.set_user_timeout(None).unwrap();
    assert_eq!(options.user_timeout().unwrap(), None);
    options.set_nodelay(false).unwrap();
    assert!(!options.nodelay().unwrap());
    assert!(options.set_linger(Some(Duration::from_secs(1))).is_err(), "it would block");
    // What UNIX sockets don't have.
    let wire = quiet(&event_loop);
    assert!(wire.transport.socket_options().unwrap().set_nodelay(true).is_err());
}

fn p07_a_descriptor_that_callbacks_watch_is_busy() {
    // IO-6
    let event_loop = manual();
    let told = reports(&event_loop);
    let (ours, mut peer) = pair();
    event_loop.add_reader(&ours, crate::fixture::never).unwrap();
    let trace = Trace::new();
    let probe = Probe::quiet(&trace);
    let refused =
        event_loop.run_until_complete(event_loop.create_connection_with_sock(|| probe, ours)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Busy);
    assert!(refused.to_string().contains("in use by add_reader"), "{refused}");
    assert_eq!(peer.read(&mut [0]).unwrap(), 0, "closed all the same");
    assert_nothing_left(&event_loop);
    // A registration of a descriptor that is gone keeps nobody from its number.
    let (former, _) = pair();
    event_loop.add_reader(&former, crate::fixture::never).unwrap();
    drop(former);
    let wires: Vec<_> = (0..2).map(|_| quiet(&event_loop)).collect();
    assert_eq!(told.take(), ["a watched descriptor was closed before it was removed"]);
    assert_eq!(event_loop.watched_descriptors(), wires.len());
}

/// Makes a hook that panics at one moment.
fn panics_at(moment: &'static str) -> impl FnMut(Told<'_>, &Transport) -> Result<AfterEof> + 'static {
    move |told, _| {
        assert!(!format!("{told:?}").starts_with(moment), "at {moment}");
        Ok(AfterEof::KeepWriting)
    }
}

fn k01_a_panic_is_reported_and_the_transport_cleaned_up() {
    let event_loop = manual();
    let told = reports(&event_loop);
    for (moment, method, ends) in [
        ("Made", "connection_made", false),
        ("Data", "data_received", true),
        ("Eof", "eof_received", true),
        ("Pause", "pause_writing", false),
        ("Resume", "resume_writing", false),
        ("Lost", "connection_lost", true),
    ] {
        let mut bystander = quiet(&event_loop);
        let mut wire = quietly(|| wire(&event_loop, panics_at(moment)));
        quietly(|| {
            wire.overfill();
            wire.receive_all(&event_loop);
            wire.peer.write_all(b"x").unwrap();
            bystander.peer.write_all(b"x").unwrap();
            turns(&event_loop, 3);
            if moment == "Lost" {
                wire.transport.close();
            } else if ends {
                let _ = wire.peer.shutdown(Shutdown::Write);
            }
            turns(&event_loop, 4);
        });
        assert_eq!(told.take(), [format!("protocol.{method}() panicked: panicked: at {moment}")]);
        assert_eq!(bystander.trace.take(), ["made", "data x"]);
        let ended = wire.trace.take();
        assert_eq!(ended.last().unwrap().starts_with("lost"), ends, "{moment}: {ended:?}");
        if ends && moment != "Lost" {
            assert_eq!(ended.last().unwrap(), "lost: the protocol panicked");
        }
        wire.transport.abort();
        bystander.transport.abort();
        quietly(|| turns(&event_loop, 2));
        assert_nothing_left(&event_loop);
    }
}

fn k01_a_panic_that_leaves_the_run_loses_no_event() {
    //
    for moment in ["Made", "Data", "Eof", "Pause", "Resume", "Lost"] {
        let event_loop = propagating();
        let (trace, (ours, peer)) = (Trace::new(), pair());
        let probe = Probe::new(&trace, panics_at(moment));
        let task = event_loop.create_connection_with_sock(|| probe, ours).into_future();
        let task = event_loop.create_task(task).unwrap();
        let mut unwound = 0;
        let mut turn = || unwound += usize::from(panics(|| turns(&event_loop, 1)));
        (0..4).for_each(|_| turn());
        let (transport, protocol) = event_loop.run_until_complete(task).unwrap().unwrap();
        let mut wire = Wire { transport, protocol, trace, peer };
        let _ = wire.peer.write_all(b"hello");
        (0..4).for_each(|_| turn());
        if !wire.transport.is_closing() && panics(|| wire.overfill()) {
            unwound += 1;
        }
        let mut turn = || unwound += usize::from(panics(|| turns(&event_loop, 1)));
        // All is sent, and then the end of the stream, though a method unwinds
        // between the two.
        let _ = wire.transport.write_eof();
        (0..20).for_each(|_| {
            turn();
            wire.received();
        });
        assert!(wire.is_at_end(), "{moment}");
        let _ = wire.peer.shutdown(Shutdown::Write);
        (0..4).for_each(|_| turn());
        assert_in_order(&wire.trace.take(), moment);
        assert_eq!(unwound, 1, "{moment}");
        assert_nothing_left(&event_loop);
    }
}

fn k01_all_are_told_of_a_close_though_each_panics() {
    //
    for event_loop in [manual(), propagating()] {
        let _told = reports(&event_loop);
        let wires: Vec<_> = (0..3).map(|_| wire(&event_loop, panics_at("Lost"))).collect();
        let unwound = panics(|| event_loop.close().unwrap());
        assert_eq!(unwound, event_loop.close().is_ok() && unwound);
        for mut wire in wires {
            assert_eq!(wire.trace.take(), ["made", "lost: the event loop is closed"]);
            assert!(wire.is_at_end());
        }
        assert_eq!(event_loop.watched_descriptors(), 0);
    }
}

fn k08_handles_of_a_closed_loop_are_inert() {
    // TR-22
    let event_loop = manual();
    let mut wire = quiet(&event_loop);
    wire.transport.pause_reading();
    drop(event_loop);
    assert_eq!(wire.trace.take(), ["made", "lost: the event loop is closed"]);
    let transport = &wire.transport;
    assert!(transport.is_closing() && !transport.is_reading());
    transport.write(b"x").unwrap();
    transport.writelines(&[IoSlice::new(b"x")]).unwrap();
    transport.write_eof().unwrap();
    transport.pause_reading();
    transport.resume_reading();
    transport.set_write_buffer_limits(WriteBufferLimits::new(Some(0), None).unwrap());
    transport.close();
    transport.abort();
    transport.set_protocol(Probe::quiet(&wire.trace));
    assert_eq!((transport.write_buffer_size(), transport.event_loop().is_closed()), (0, true));
    assert!(wire.protocol.with(|_| ()).is_ok());
    assert!(transport.socket_options().unwrap_err().is_closed());
    assert!(wire.is_at_end());
    assert_eq!(wire.trace.count(), 0);
}

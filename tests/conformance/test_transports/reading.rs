//! What a protocol receives, and when: TR-1 to TR-5.

use std::io::Write;
use std::net::Shutdown;

use rondel::{AfterEof, Config, Error, WriteBufferLimits};

use super::{bye, tcp};
use crate::fixture::{
    Trace, assert_nothing_left, brought, manual, manual_with, pair, reports, scenarios, send_out_of_band,
    small, turns,
};
use crate::probe::{Buffered, Probe, Told, quiet, until, wire};

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
    n03_either_side_may_end_first_and_go_on_reading
    n04_a_peer_that_goes_while_reading_is_paused_is_silent_until_resumed
    n04_a_peer_that_goes_after_its_eof_frees_the_slot
    n13_what_follows_a_byte_out_of_band_does_not_wait_for_more
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

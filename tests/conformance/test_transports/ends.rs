//! How a connection ends, and what its protocol is told: TR-6 to TR-9 and TR-23.

use core::cell::RefCell;
use std::io::{ErrorKind as Kind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::rc::Rc;
use std::thread;

use rondel::{AfterEof, Error, EventLoop, Operation, Result, Transport, WriteBufferLimits};

use super::{assert_in_order, bye, tcp};
use crate::fixture::{
    Oops, Trace, any_port, assert_nothing_left, manual, pair, panics, propagating, quietly, real, reports,
    scenarios, small, turns,
};
use crate::probe::{Probe, Told, Wire, quiet, until, wire};

scenarios! {
    tr6_close_flushes_and_tells_from_the_loop_once
    tr7_abort_drops_the_buffer_also_of_a_close_that_flushes
    tr8_what_peers_do_every_day_is_not_reported
    tr8_other_errors_are_reported_once_and_told
    tr8_any_call_of_the_system_that_fails_ends_the_connection_once
    tr9_an_error_in_a_receiving_method_ends_the_connection
    tr23_the_socket_closes_when_connection_lost_has_returned_even_if_it_failed
    r15_a_closed_loop_tells_every_protocol_once
    r15_a_loop_closed_before_connection_made_tells_nothing
    n05_close_delivers_all_to_a_slow_reader_and_abort_resets
    n07_a_reset_with_a_full_queue_ends_one_connection_only
    k01_a_panic_is_reported_and_the_transport_cleaned_up
    k01_a_panic_that_leaves_the_run_loses_no_event
    k01_all_are_told_of_a_close_though_each_panics
    k08_handles_of_a_closed_loop_are_inert
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

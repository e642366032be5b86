//! What a transport says and does between the methods of its protocol.

use core::cell::Cell;
use std::io::{ErrorKind as Kind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};

use rondel::{
    AfterEof, Config, Error, ErrorKind, KeepAlive, PanicPolicy, Result, Transport, WriteBufferLimits,
};

use super::{assert_in_order, bye, tcp};
use crate::fixture::{
    Oops, Trace, assert_nothing_left, manual, manual_with, pair, panics, reports, scenarios, small, turns,
};
use crate::probe::{Buffered, Probe, Told, Wire, quiet, wire};

scenarios! {
    tr21_another_protocol_is_told_of_all_that_follows
    tr22_what_is_known_of_a_connection_stays_known
    n06_any_method_may_do_anything
    n08_keepalive_and_user_timeout_are_settable
    p07_a_descriptor_that_callbacks_watch_is_busy
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
    let ((former, _), (next, _peer)) = (pair(), pair());
    event_loop.add_reader(&former, crate::fixture::never).unwrap();
    let number = former.into_raw_fd();
    // SAFETY: both are open; the number is then that of another socket, and owned by nobody.
    let next = unsafe {
        assert_eq!(libc::dup3(next.as_raw_fd(), number, libc::O_CLOEXEC), number);
        OwnedFd::from_raw_fd(number)
    };
    let probe = Probe::quiet(&trace);
    let made = event_loop.create_connection_with_sock(|| probe, next);
    let (_transport, _) = event_loop.run_until_complete(made).unwrap();
    assert_eq!(told.take(), ["a watched descriptor was closed before it was removed"]);
    assert_eq!(event_loop.watched_descriptors(), 1);
}

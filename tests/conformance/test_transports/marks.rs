//! The marks and ceilings of the write buffer: TR-16 to TR-20 and TR-24.

use core::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{IoSlice, Write};
use std::rc::Rc;

use rondel::{AfterEof, Config, Error, LimitsError, Result, Transport, WriteBufferLimits};

use crate::fixture::{
    Oops, Trace, assert_nothing_left, manual, manual_with, reports, scenarios, small, turns,
};
use crate::probe::{Told, Wire, quiet, wire};

scenarios! {
    tr16_pause_strictly_above_high_and_resume_at_low_alternate
    tr17_limits_follow_from_each_other_and_setting_them_weighs_anew
    tr18_pause_writing_is_called_within_write_and_its_error_harms_nobody
    tr18_pause_caused_within_a_method_follows_when_it_has_returned
    tr20_closing_in_pause_or_resume_writing_ends_once
    tr20_another_transport_can_be_written_to_in_pause_and_resume_writing
    tr24_a_write_beyond_the_ceiling_of_a_transport_is_refused_whole
    tr24_a_write_beyond_the_ceiling_of_the_loop_is_refused_whole
    n01_every_way_to_write_keeps_within_the_marks
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

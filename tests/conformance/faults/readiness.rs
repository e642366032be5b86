//! Rows W and P: wakers and descriptors.

use core::cell::RefCell;
use std::io::Write;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::thread;

use rondel::{Config, Error, EventLoop};

use super::MS;
use crate::fixture::{
    Counter, Trace, accept_one, alone, any_port, manual, manual_with, never, pair, quietly, real, reports,
    run_until_idle, small, turns,
};

#[test]
fn w04_a_wake_that_brings_nothing_is_harmless() {
    let event_loop = manual();
    let remote = event_loop.remote();
    for _ in 0..100 {
        let remote = remote.clone();
        thread::spawn(move || assert!(remote.call_soon_threadsafe(never).unwrap().cancel())).join().unwrap();
        event_loop.call_later(MS, |_| ()).unwrap();
        run_until_idle(&event_loop);
    }
}

#[test]
fn w08_a_foreign_waker_that_panics_costs_no_other_its_event() {
    use core::future::Future;
    use core::pin::pin;
    use core::task::{Context, Waker};
    struct Panics;
    impl std::task::Wake for Panics {
        fn wake(self: std::sync::Arc<Self>) {
            panic!("in a waker");
        }
    }
    for propagate in [false, true] {
        let event_loop = if propagate { crate::fixture::propagating() } else { manual() };
        event_loop.set_exception_handler(|_, _| ());
        let handle = event_loop.handle();
        let trace = Trace::new();
        let streams = quietly(|| {
            event_loop.run_until_complete(async move { accept_one(&handle, 64, TcpStream::connect).await })
        });
        let (client, mut reader, _writer) = streams.unwrap();
        let mut client = client.unwrap();
        let others = [pair(), pair(), pair()];
        for (reader, writer) in &others {
            let noted = trace.clone();
            event_loop.add_reader(reader, move |_| noted.push("reader")).unwrap();
            { writer }.write_all(b"x").unwrap();
        }
        let waker = Waker::from(std::sync::Arc::new(Panics));
        let mut waits = pin!(reader.readable());
        assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        client.write_all(b"x").unwrap();
        quietly(|| {
            for _ in 0..3 {
                event_loop.stop();
                let _ = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| event_loop.run_forever()));
            }
        });
        assert!(trace.count() >= 6, "{}", trace.count());
    }
}

#[test]
fn p01_a_stale_event_never_reaches_the_newcomer_of_the_same_number() {
    let (event_loop, trace) = (manual(), Trace::new());
    let (first, mut first_peer) = pair();
    let (second, mut second_peer) = pair();
    first_peer.write_all(b"x").unwrap();
    second_peer.write_all(b"x").unwrap();
    let streams = Rc::new(RefCell::new([Some(first), Some(second)]));
    let newcomers = Rc::new(RefCell::new(Vec::new()));
    for own in [0, 1] {
        let (noted, all, keep) = (trace.clone(), Rc::clone(&streams), Rc::clone(&newcomers));
        let borrowed = streams.borrow();
        event_loop
            .add_reader(borrowed[own].as_ref().unwrap(), move |event_loop| {
                noted.push("one of the two");
                // Whichever comes first closes the other, and takes its number.
                let other = all.borrow_mut()[1 - own].take().unwrap();
                let number = other.as_raw_fd();
                assert!(event_loop.remove_reader(&other));
                drop(other);
                let newcomer = crate::test_selector_events::take_number(number);
                let told = noted.clone();
                event_loop.add_reader(&newcomer.0, move |_| told.push("newcomer")).unwrap();
                let own = all.borrow_mut()[own].take().unwrap();
                event_loop.remove_reader(&own);
                keep.borrow_mut().push(newcomer);
            })
            .unwrap();
    }
    turns(&event_loop, 3);
    assert_eq!(trace.take(), ["one of the two"]);
}

#[test]
fn p05_readiness_that_is_tens_of_thousands_of_events_old_is_still_there() {
    const EVENTS: usize = 40_000;
    struct Reader {
        received: Counter,
        made: Rc<RefCell<Option<rondel::Transport>>>,
    }
    impl rondel::Protocol for Reader {
        fn connection_made(&mut self, transport: &rondel::Transport) -> rondel::Result<()> {
            transport.pause_reading();
            self.made.replace(Some(transport.clone()));
            Ok(())
        }

        fn data_received(&mut self, _: &rondel::Transport, data: &[u8]) -> rondel::Result<()> {
            for _ in data {
                self.received.add();
            }
            Ok(())
        }
    }
    let event_loop = manual();
    let (received, made) = (Counter::new(), Rc::default());
    let (counted, place) = (received.clone(), Rc::clone(&made));
    let (mut client, _server) = event_loop
        .run_until_complete(async {
            let factory = move || Reader { received: counted.clone(), made: Rc::clone(&place) };
            let server = event_loop.create_server(factory, any_port()).await?;
            let client = TcpStream::connect(server.local_addr())?;
            client.set_nodelay(true)?;
            Ok::<_, Error>((client, server))
        })
        .unwrap();
    turns(&event_loop, 3);
    // An event for each byte, and nobody reads.
    for _ in 0..EVENTS {
        client.write_all(b"x").unwrap();
        turns(&event_loop, 1);
    }
    assert_eq!(received.get(), 0);
    made.take().expect("connected").resume_reading();
    while received.get() < EVENTS {
        event_loop.run_once().unwrap();
    }
    assert_eq!(received.get(), EVENTS);
}

#[test]
fn p15_of_thousands_that_are_ready_each_has_its_turn_before_any_has_many() {
    const READY: usize = 5000;
    const PER_TURN: usize = 64;
    let test = "faults::readiness::p15_of_thousands_that_are_ready_each_has_its_turn_before_any_has_many";
    alone(test, READY + 100, || {
        let config = Config { events_per_turn: PER_TURN, descriptors: READY, calls: 2 * READY, ..small() };
        let (event_loop, _clock) = manual_with(config);
        let (ready, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"x").unwrap();
        let copies: Vec<_> = (0..READY).map(|_| ready.try_clone().unwrap()).collect();
        let counters: Vec<_> = (0..READY).map(|_| Counter::new()).collect();
        for (copy, counter) in copies.iter().zip(&counters) {
            let counter = counter.clone();
            event_loop
                .add_reader(copy, move |_| {
                    counter.add();
                })
                .unwrap();
        }
        for round in 1..=3 {
            turns(&event_loop, READY.div_ceil(PER_TURN) + 1);
            let least = counters.iter().map(Counter::get).min().unwrap();
            let most = counters.iter().map(Counter::get).max().unwrap();
            assert!(least >= round && most <= round + 1, "round {round}: between {least} and {most}");
        }
    });
}

#[test]
fn p16_a_forked_child_is_refused_and_the_parent_goes_on() {
    alone("faults::readiness::p16_a_forked_child_is_refused_and_the_parent_goes_on", 64, || {
        let (event_loop, trace) = (real(), Trace::new());
        let (reading, mut writing) = std::io::pipe().unwrap();
        let noted = trace.clone();
        let watched = reading.try_clone().unwrap();
        event_loop
            .add_reader(&watched, move |event_loop| {
                noted.push("readable");
                event_loop.stop();
            })
            .unwrap();
        // SAFETY: the only other thread of this process waits for this one.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let refused = event_loop.run_once().expect_err("refused");
            let is_refused = refused.as_io().map(std::io::Error::kind)
                == Some(std::io::ErrorKind::PermissionDenied)
                && event_loop.add_writer(&writing, never).is_err();
            drop(event_loop);
            // One of its own works.
            let works = EventLoop::new().is_ok_and(|own| {
                own.call_soon(|event_loop| event_loop.stop()).is_ok() && own.run_forever().is_ok()
            });
            // SAFETY: ends the child, without the destructors that are the parent's.
            unsafe { libc::_exit(i32::from(!(is_refused && works))) };
        }
        let mut status = 0;
        // SAFETY: a child of our own, and room for its status.
        assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
        assert_eq!(status, 0, "the child was not refused");
        writing.write_all(b"x").unwrap();
        event_loop.run_forever().unwrap();
        assert_eq!(trace.take(), ["readable"]);
        drop(reading);
    });
}

#[test]
fn p02_a_number_that_a_connection_got_is_no_longer_that_of_a_closed_reader() {
    let event_loop = real();
    let told = reports(&event_loop);
    let handle = event_loop.handle();
    let served = event_loop.run_until_complete(async move {
        let served = handle.create_future::<bool>()?;
        let tell = served.clone();
        let server = handle
            .start_server(any_port(), move |_reader, _writer| {
                let _ = tell.set_result(true);
                core::future::ready(())
            })
            .await?;
        // A few low numbers, closed without being removed.
        let closed: Vec<_> = (0..4).map(|_| pair()).collect();
        for (reader, writer) in &closed {
            handle.add_reader(reader, never).unwrap();
            handle.add_reader(writer, never).unwrap();
        }
        drop(closed);
        let client = TcpStream::connect(server.local_addr())?;
        let served = served.await?;
        drop(client);
        assert_eq!(server.refused(), 0);
        Ok::<_, Error>(served)
    });
    assert!(served.unwrap());
    for line in told.take() {
        assert_eq!(line, "a watched descriptor was closed before it was removed");
    }
}

#[test]
fn p03_level_triggered_reader_fires_until_drained() {
    let (event_loop, reads) = (manual(), Counter::new());
    let (reader, mut writer) = pair();
    writer.write_all(&[1; 100]).unwrap();
    let (reader, counted) = (Rc::new(reader), reads.clone());
    let own = Rc::clone(&reader);
    event_loop
        .add_reader(&*reader, move |_| {
            if std::io::Read::read(&mut &*own, &mut [0]).is_ok() {
                counted.add();
            }
        })
        .unwrap();
    turns(&event_loop, 120);
    assert_eq!(reads.get(), 100);
}

#[test]
fn p04_what_came_while_nobody_watched_is_reported_on_resume() {
    let (event_loop, calls) = (manual(), Counter::new());
    let (reader, mut writer) = pair();
    for expected in 1..20 {
        writer.write_all(b"x").unwrap();
        turns(&event_loop, 1);
        let counted = calls.clone();
        event_loop.add_reader(&reader, move |_| counted.add()).unwrap();
        turns(&event_loop, 1);
        assert_eq!(calls.get(), expected);
        event_loop.remove_reader(&reader);
    }
}

#[test]
fn p08_an_end_with_no_interest_in_it_is_silent_and_pending_bytes_come_first() {
    let event_loop = manual();
    let (reader, mut writer) = pair();
    writer.write_all(b"last").unwrap();
    event_loop.add_writer(&reader, |_| ()).unwrap();
    event_loop.remove_writer(&reader);
    drop(writer);
    let before = event_loop.statistics().callbacks;
    turns(&event_loop, 10);
    assert_eq!(event_loop.statistics().callbacks, before);
    let (reader, trace) = (Rc::new(reader), Trace::new());
    let (own, noted) = (Rc::clone(&reader), trace.clone());
    event_loop
        .add_reader(&*reader, move |event_loop| {
            let count = std::io::Read::read(&mut &*own, &mut [0; 64]).unwrap();
            noted.push(count.to_string());
            if count == 0 {
                event_loop.remove_reader(&*own);
            }
        })
        .unwrap();
    turns(&event_loop, 5);
    assert_eq!(trace.take(), ["4", "0"]);
}

#[test]
fn p09_a_pipe_whose_reader_left_wakes_its_writer() {
    let (event_loop, calls) = (manual(), Counter::new());
    let (reader, writer) = std::io::pipe().unwrap();
    let counted = calls.clone();
    event_loop.add_writer(&writer, move |_| counted.add()).unwrap();
    { &writer }.write_all(&[0; 65536]).unwrap();
    turns(&event_loop, 2);
    let before = calls.get();
    drop(reader);
    turns(&event_loop, 1);
    assert!(calls.get() > before);
    event_loop.remove_writer(&writer);
}

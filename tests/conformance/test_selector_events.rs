//! Watching descriptors: IO.

use core::cell::RefCell;
use std::fs::File;
use std::io::{ErrorKind as Kind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use rondel::{ErrorKind, EventLoop};

use crate::fixture::{
    Counter, Oops, Trace, any_port, defer, manual, never, pair, panics, quietly, real, reports, turns,
};

fn read_some(stream: &UnixStream, most: usize) -> usize {
    let mut bytes = vec![0; most];
    match { stream }.read(&mut bytes) {
        Ok(count) => count,
        Err(error) => {
            assert_eq!(error.kind(), Kind::WouldBlock);
            0
        }
    }
}

#[test]
fn a_reader_is_called_in_every_iteration_while_there_is_something_to_read() {
    // IO-1, IO-9
    let (event_loop, calls) = (manual(), Counter::new());
    let (reader, mut writer) = pair();
    let counted = calls.clone();
    event_loop.add_reader(&reader, move |_| counted.add()).unwrap();
    turns(&event_loop, 3);
    assert_eq!(calls.get(), 0);
    writer.write_all(b"abc").unwrap();
    turns(&event_loop, 5);
    assert_eq!(calls.get(), 5, "nothing was read");
    assert_eq!(read_some(&reader, 2), 2);
    turns(&event_loop, 1);
    assert_eq!(calls.get(), 6, "a byte is left");
    assert_eq!(read_some(&reader, 2), 1);
    turns(&event_loop, 5);
    assert!(calls.get() <= 7, "at most one call turned out false (IO-9)");
}

#[test]
fn a_writer_is_called_in_every_iteration_while_there_is_room() {
    // IO-1
    let (event_loop, calls) = (manual(), Counter::new());
    let (mut stream, _peer) = pair();
    let counted = calls.clone();
    event_loop.add_writer(&stream, move |_| counted.add()).unwrap();
    turns(&event_loop, 4);
    assert_eq!(calls.get(), 4);
    while stream.write(&[0; 65536]).is_ok() {}
    turns(&event_loop, 4);
    assert!(calls.get() <= 5, "there is no room");
    assert!(event_loop.remove_writer(&stream));
}

#[test]
fn adding_again_replaces_and_the_old_callback_does_not_run_though_queued() {
    // IO-2
    let (event_loop, trace) = (manual(), Trace::new());
    let (reader, mut writer) = pair();
    let reader = Rc::new(reader);
    writer.write_all(b"x").unwrap();
    let (dropped, noted) = (trace.on_drop("old dropped"), trace.clone());
    event_loop
        .add_reader(&*reader, move |_| {
            let _kept = &dropped;
            noted.push("old");
        })
        .unwrap();
    let (again, noted) = (Rc::clone(&reader), trace.clone());
    // Runs in the batch in which the old one is queued, and before it.
    event_loop
        .call_soon(move |event_loop| {
            let noted = noted.clone();
            event_loop.add_reader(&*again, move |_| noted.push("new")).map_err(rondel::Error::from)
        })
        .unwrap();
    turns(&event_loop, 2);
    assert_eq!(trace.take(), ["old dropped", "new"]);
    assert!(event_loop.remove_reader(&*reader));
    assert!(!event_loop.remove_reader(&*reader));
}

#[test]
fn reader_and_writer_of_a_descriptor_are_independent_and_removal_tells() {
    // IO-3
    let (event_loop, trace) = (manual(), Trace::new());
    let (stream, mut peer) = pair();
    let (reads, writes) = (trace.clone(), trace.clone());
    assert!(!event_loop.remove_reader(&stream) && !event_loop.remove_writer(&stream));
    event_loop.add_reader(&stream, move |_| reads.push("reader")).unwrap();
    event_loop.add_writer(&stream, move |_| writes.push("writer")).unwrap();
    assert_eq!(event_loop.watched_descriptors(), 1);
    turns(&event_loop, 1);
    assert_eq!(trace.take(), ["writer"]);
    peer.write_all(b"x").unwrap();
    turns(&event_loop, 1);
    assert_eq!(trace.take(), ["reader", "writer"]);
    assert!(event_loop.remove_writer(&stream));
    turns(&event_loop, 1);
    assert_eq!(trace.take(), ["reader"]);
    assert!(event_loop.remove_reader(&stream));
    turns(&event_loop, 1);
    assert_eq!((trace.count(), event_loop.watched_descriptors()), (0, 0));
    assert_eq!(event_loop.statistics().calls.live, 0);
}

#[test]
fn a_callback_removed_by_another_of_its_batch_does_not_run() {
    // IO-4
    let (event_loop, trace) = (manual(), Trace::new());
    let pairs = [pair(), pair()];
    for (_, peer) in &pairs {
        { peer }.write_all(b"x").unwrap();
    }
    let streams = Rc::new(pairs);
    for (own, other) in [(0, 1), (1, 0)] {
        let (noted, all) = (trace.clone(), Rc::clone(&streams));
        event_loop
            .add_reader(&streams[own].0, move |event_loop| {
                noted.push(format!("removes the other: {}", event_loop.remove_reader(&all[other].0)));
            })
            .unwrap();
    }
    turns(&event_loop, 1);
    assert_eq!(trace.take(), ["removes the other: true"]);
}

#[test]
fn a_removed_descriptor_can_be_closed_at_once_and_its_number_used_again() {
    // IO-5, FAULTS P-06
    let event_loop = manual();
    for _ in 0..100 {
        let (reader, mut writer) = pair();
        let calls = Counter::new();
        let counted = calls.clone();
        event_loop.add_reader(&reader, move |_| counted.add()).unwrap();
        writer.write_all(b"x").unwrap();
        // A duplicate keeps the description alive: only a removal stops the events.
        let duplicate = reader.try_clone().unwrap();
        assert!(event_loop.remove_reader(&reader));
        drop(reader);
        turns(&event_loop, 1);
        assert_eq!(calls.get(), 0);
        drop(duplicate);
    }
    assert_eq!(event_loop.watched_descriptors(), 0);
}

#[test]
fn a_descriptor_of_a_stream_or_server_is_busy_for_all_four_calls() {
    // IO-6, FAULTS P-07
    let event_loop = real();
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async move {
            let seen = handle.create_future::<Box<String>>()?;
            let tell = seen.clone();
            let server = handle
                .start_server(any_port(), move |reader, writer| {
                    let _ = tell.set_result(Box::new(format!("{reader:?}")));
                    async move {
                        let _kept = (reader, writer);
                        core::future::pending::<()>().await;
                    }
                })
                .await?;
            let client = std::net::TcpStream::connect(server.local_addr())?;
            let text = *seen.await?;
            for text in [text, format!("{server:?}")] {
                let number = text.split("fd=").nth(1).unwrap();
                let number = number.split(|c: char| !c.is_ascii_digit()).next().unwrap();
                // SAFETY: open for as long as the server and its connection are.
                let borrowed = unsafe { BorrowedFd::borrow_raw(number.parse()?) };
                for refused in [handle.add_reader(borrowed, never), handle.add_writer(borrowed, never)] {
                    let refused = refused.unwrap_err();
                    assert_eq!(refused.error().kind(), ErrorKind::Busy);
                    assert!(refused.to_string().contains("in use by"), "{refused}");
                }
                assert!(!handle.remove_reader(borrowed) && !handle.remove_writer(borrowed));
            }
            drop(client);
            Ok::<(), rondel::Error>(())
        })
        .unwrap();
}

#[test]
fn a_hang_up_wakes_reader_and_writer() {
    // IO-7
    let (event_loop, trace) = (manual(), Trace::new());
    let (stream, peer) = pair();
    while { &stream }.write(&[0; 65536]).is_ok() {}
    let (reads, writes) = (trace.clone(), trace.clone());
    event_loop.add_reader(&stream, move |_| reads.push("reader")).unwrap();
    event_loop.add_writer(&stream, move |_| writes.push("writer")).unwrap();
    turns(&event_loop, 1);
    assert_eq!(trace.count(), 0);
    drop(peer);
    turns(&event_loop, 1);
    assert_eq!(trace.take(), ["reader", "writer"]);
}

#[test]
fn an_error_or_panic_in_the_callback_is_reported_and_the_registration_stays() {
    // IO-8, FAULTS K-01
    let (event_loop, calls) = (manual(), Counter::new());
    let told = reports(&event_loop);
    let (reader, mut writer) = pair();
    writer.write_all(b"x").unwrap();
    let counted = calls.clone();
    event_loop
        .add_reader(&reader, move |_| match counted.add() {
            1 => Err(Oops(1)),
            2 => panic!("two"),
            _ => Ok(()),
        })
        .unwrap();
    quietly(|| turns(&event_loop, 3));
    assert_eq!(told.take(), ["Exception in callback: oops 1", "Callback panicked: panicked: two"]);
    assert_eq!(calls.get(), 3);
}

#[test]
fn a_panic_that_leaves_run_keeps_the_registration() {
    // IO-8, R-8
    let event_loop = crate::fixture::propagating();
    let (reader, mut writer) = pair();
    writer.write_all(b"x").unwrap();
    let calls = Counter::new();
    let counted = calls.clone();
    event_loop.add_reader(&reader, move |_| assert!(counted.add() != 1, "the first")).unwrap();
    event_loop.stop();
    assert!(panics(|| event_loop.run_forever()));
    turns(&event_loop, 2);
    assert_eq!(calls.get(), 3);
}

#[test]
fn what_the_poller_can_not_watch_fails_at_add_with_the_systems_error() {
    // IO-10, FAULTS P-10
    let event_loop = manual();
    let before = event_loop.statistics().calls.live;
    for path in ["/proc/self/exe", "/dev/null"] {
        let file = File::open(path).unwrap();
        let trace = Trace::new();
        let dropped = trace.on_drop("callback");
        let refused = event_loop.add_reader(&file, move |_| {
            let _kept = &dropped;
        });
        let refused = refused.unwrap_err();
        assert_eq!(refused.error().as_io().map(std::io::Error::kind), Some(Kind::PermissionDenied), "{path}");
        assert!(refused.to_string().starts_with("add_reader: "));
        assert_eq!(trace.count(), 0, "the callback comes back");
        drop(refused.into_callback());
        assert_eq!(trace.take(), ["callback"]);
        assert!(!event_loop.remove_reader(&file));
    }
    assert_eq!((event_loop.statistics().calls.live, event_loop.watched_descriptors()), (before, 0));
}

#[test]
fn a_callback_may_remove_itself() {
    // IO-4
    let (event_loop, trace) = (manual(), Trace::new());
    let (reader, mut writer) = pair();
    let reader = Rc::new(reader);
    writer.write_all(b"x").unwrap();
    let (own, noted, dropped) = (Rc::clone(&reader), trace.clone(), trace.on_drop("captures"));
    event_loop
        .add_reader(&*reader, move |event_loop| {
            let _kept = &dropped;
            noted.push(format!("removed: {}", event_loop.remove_reader(&*own)));
            noted.push(format!("again: {}", event_loop.remove_reader(&*own)));
        })
        .unwrap();
    turns(&event_loop, 2);
    assert_eq!(trace.take(), ["removed: true", "again: false", "captures"]);
    assert_eq!((event_loop.statistics().calls.live, event_loop.watched_descriptors()), (0, 0));
}

#[test]
fn a_callback_may_replace_itself_and_then_panic() {
    // IO-2, IO-8
    let (event_loop, trace) = (manual(), Trace::new());
    let told = reports(&event_loop);
    let (reader, mut writer) = pair();
    let reader = Rc::new(reader);
    writer.write_all(b"x").unwrap();
    let (own, noted, dropped) = (Rc::clone(&reader), trace.clone(), trace.on_drop("captures"));
    event_loop
        .add_reader(&*reader, move |event_loop| {
            let _kept = &dropped;
            let noted = noted.clone();
            event_loop.add_reader(&*own, move |_| noted.push("successor")).unwrap();
            assert!(noted_nothing(), "after that");
        })
        .unwrap();
    quietly(|| turns(&event_loop, 2));
    assert_eq!(told.take(), ["Callback panicked: panicked: after that"]);
    assert_eq!(trace.take(), ["captures", "successor"]);
}

#[test]
fn a_destructor_of_a_replaced_callback_may_panic_and_the_new_one_is_in_place() {
    // IO-2, FAULTS K-01
    let (event_loop, calls) = (manual(), Counter::new());
    let (reader, mut writer) = pair();
    writer.write_all(b"x").unwrap();
    let hostile = defer(|| panic!("in a destructor"));
    event_loop
        .add_reader(&reader, move |_| {
            let _kept = &hostile;
        })
        .unwrap();
    let counted = calls.clone();
    assert!(panics(|| event_loop.add_reader(&reader, move |_| counted.add())));
    turns(&event_loop, 2);
    assert_eq!(calls.get(), 2);
    assert!(event_loop.remove_reader(&reader));
}

#[test]
fn a_destructor_of_a_callback_may_watch_and_remove() {
    // IO-4
    let (event_loop, trace) = (manual(), Trace::new());
    let (reader, mut writer) = pair();
    let (reader, handle) = (Rc::new(reader), event_loop.handle());
    writer.write_all(b"x").unwrap();
    let (watched, noted) = (Rc::clone(&reader), trace.clone());
    let hostile = defer(move || {
        let told = noted.clone();
        noted.push(format!("removed: {}", handle.remove_reader(&*watched)));
        handle.add_reader(&*watched, move |_| told.push("added by a destructor")).unwrap();
    });
    event_loop
        .add_reader(&*reader, move |_| {
            let _kept = &hostile;
        })
        .unwrap();
    assert!(event_loop.remove_reader(&*reader));
    turns(&event_loop, 1);
    assert_eq!(trace.take(), ["removed: false", "added by a destructor"]);
    event_loop.remove_reader(&*reader);
}

#[test]
fn a_callback_may_add_and_remove_others() {
    // IO-3
    let (event_loop, trace) = (manual(), Trace::new());
    let (stream, mut peer) = pair();
    let stream = Rc::new(stream);
    peer.write_all(b"x").unwrap();
    let (own, noted) = (Rc::clone(&stream), trace.clone());
    event_loop
        .add_reader(&*stream, move |event_loop| {
            let noted = noted.clone();
            event_loop.remove_reader(&*own);
            event_loop.add_writer(&*own, move |_| noted.push("writer")).unwrap();
        })
        .unwrap();
    turns(&event_loop, 3);
    assert_eq!(trace.take(), ["writer", "writer"]);
    event_loop.remove_writer(&*stream);
}

#[test]
fn a_closed_descriptor_whose_number_is_used_again_is_reported_and_never_cross_delivered() {
    // IO-10, FAULTS P-02
    let (event_loop, trace) = (manual(), Trace::new());
    let told = reports(&event_loop);
    let (old, old_peer) = pair();
    let number = old.as_raw_fd();
    let (reads, writes) = (trace.clone(), trace.clone());
    event_loop.add_reader(&old, move |_| reads.push("old reader")).unwrap();
    event_loop.add_writer(&old, move |_| writes.push("old writer")).unwrap();
    drop((old, old_peer));
    let (new, mut peer) = take_number(number);
    peer.write_all(b"x").unwrap();
    let noted = trace.clone();
    event_loop.add_reader(&new, move |_| noted.push("new reader")).unwrap();
    turns(&event_loop, 2);
    assert_eq!(trace.take(), ["new reader", "new reader"]);
    assert_eq!(told.take(), ["a watched descriptor was closed before it was removed"]);
    assert!(!event_loop.remove_writer(&new));
    assert!(event_loop.remove_reader(&new));
}

#[test]
fn a_descriptor_closed_by_its_own_callback_is_reported_and_let_go() {
    // FAULTS P-02
    let (event_loop, calls) = (manual(), Counter::new());
    let told = reports(&event_loop);
    let (reader, mut writer) = pair();
    writer.write_all(b"x").unwrap();
    let owned = RefCell::new(Some(reader.try_clone().unwrap()));
    let counted = calls.clone();
    let watched = OwnedFd::from(reader);
    let borrowed = watched.as_fd().as_raw_fd();
    let held = RefCell::new(Some(watched));
    // SAFETY: open until the callback closes it.
    let borrowed = unsafe { BorrowedFd::borrow_raw(borrowed) };
    event_loop
        .add_reader(borrowed, move |_| {
            counted.add();
            drop((held.take(), owned.take()));
        })
        .unwrap();
    turns(&event_loop, 3);
    assert_eq!(calls.get(), 1);
    assert_eq!(told.take(), ["a watched descriptor was closed before it was removed"]);
    assert_eq!(event_loop.watched_descriptors(), 0);
}

/// Makes a pair whose first end has this number, which was just freed; retries,
/// since other tests run in other threads.
pub fn take_number(number: i32) -> (UnixStream, UnixStream) {
    let mut kept = Vec::new();
    for _ in 0..10_000 {
        let (a, b) = pair();
        if a.as_raw_fd() == number {
            return (a, b);
        }
        if b.as_raw_fd() == number {
            return (b, a);
        }
        if a.as_raw_fd() > number && b.as_raw_fd() > number {
            kept.clear();
        }
        kept.push((a, b));
        std::thread::yield_now();
    }
    panic!("the number {number} never became free");
}

#[test]
fn kernels_without_descriptors_refuse_with_a_typed_error() {
    // IO-10
    let event_loop = EventLoop::without_descriptors(crate::fixture::small()).unwrap();
    let (reader, _writer) = pair();
    assert_eq!(event_loop.add_reader(&reader, never).unwrap_err().error().kind(), ErrorKind::Io);
    assert_eq!(event_loop.add_writer(&reader, never).unwrap_err().error().kind(), ErrorKind::Io);
    assert!(!event_loop.remove_reader(&reader));
    let handle = event_loop.handle();
    let refused = event_loop
        .run_until_complete(async move { handle.start_server(any_port(), async |_, _| {}).await.map(drop) });
    assert!(refused.unwrap_err().to_string().starts_with("start_server: "));
}

fn noted_nothing() -> bool {
    false
}

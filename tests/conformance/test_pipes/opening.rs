//! What is a pipe, and how it is opened: PI-1, PI-2 and PI-7.

use core::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::{IoSlice, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use rondel::{Error, ErrorKind, EventLoop, NotAPipe, Operation};

use super::{Probe, read, try_read, try_write, write};
use crate::fixture::{
    Trace, assert_nothing_left, manual, never, own_descriptors, reports, scenarios, small, turns,
};
use crate::pipe_fixture::{Directory, drain, is_nonblocking, pipe, set_raw, terminal};
use crate::probe::until;

scenarios! {
    pi1_whatever_is_a_stream_is_a_pipe
    pi1_files_and_directories_are_refused_by_name_and_the_executor_reads_them
    pi1_the_other_direction_is_refused
    pi1_devices_that_are_always_ready_are_read_and_written
    pi2_the_pipe_does_not_block_and_connection_made_comes_before_any_data
    pi7_a_setup_that_fails_or_is_cancelled_closes_the_pipe_once
    n11_a_terminal_that_nobody_has_open_is_not_a_reader_that_left
    a_descriptor_that_callbacks_watch_is_refused
}

fn pi1_whatever_is_a_stream_is_a_pipe() {
    let event_loop = manual();
    let directory = Directory::new("streams");
    let path = directory.fifo("fifo");
    let fifo = || {
        let reading = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
        (OwnedFd::from(reading), OwnedFd::from(OpenOptions::new().write(true).open(&path).unwrap()))
    };
    let socket = || UnixStream::pair().map(|(a, b)| (OwnedFd::from(a), OwnedFd::from(b))).unwrap();
    let device = || {
        let (master, slave) = terminal();
        set_raw(&slave);
        (OwnedFd::from(master), OwnedFd::from(slave))
    };
    let nameless = || {
        let (reading, writing) = pipe();
        (OwnedFd::from(reading), OwnedFd::from(writing))
    };
    for make in [&nameless as &dyn Fn() -> (OwnedFd, OwnedFd), &fifo, &socket, &device] {
        let (reading, writing) = make();
        let (reader, _, read) = read(&event_loop, reading);
        let (writer, _, written) = write(&event_loop, writing);
        writer.write(b"one").unwrap();
        until(&event_loop, || read.count() == 1);
        writer.writelines(&[IoSlice::new(b"t"), IoSlice::new(b""), IoSlice::new(b"wo")]).unwrap();
        until(&event_loop, || read.count() == 2);
        assert_eq!(read.take(), ["data one", "data two"]);
        reader.close();
        until(&event_loop, || read.count() == 1);
        writer.close();
        until(&event_loop, || written.count() == 1);
        assert_eq!((read.take(), written.take()), (vec!["lost".to_owned()], vec!["lost".to_owned()]));
        assert_nothing_left(&event_loop);
    }
}

fn pi1_files_and_directories_are_refused_by_name_and_the_executor_reads_them() {
    let event_loop = manual();
    let directory = Directory::new("files");
    let path = directory.file("file", b"contents");
    let file = File::open(&path).unwrap();
    let descriptor = file.as_raw_fd();
    let error = try_read(&event_loop, file).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "connect_read_pipe: descriptor {descriptor} is a regular file, which is never waited for: read \
             and write it by run_in_executor"
        )
    );
    let inner = error.as_io().unwrap();
    assert_eq!(inner.kind(), std::io::ErrorKind::InvalidInput);
    let why = inner.get_ref().unwrap().downcast_ref::<NotAPipe>().unwrap();
    assert_eq!((why.descriptor(), why.is_regular_file()), (descriptor, true));

    let folder = File::open(&directory.0).unwrap();
    let descriptor = folder.as_raw_fd();
    let error = try_read(&event_loop, folder).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "connect_read_pipe: descriptor {descriptor} is a directory, not a pipe, a socket or a character \
             device"
        )
    );
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    assert!(try_write(&event_loop, file).unwrap_err().to_string().starts_with("connect_write_pipe: "));
    // SAFETY: no pointers; the number is nobody else's.
    let event = unsafe { OwnedFd::from_raw_fd(libc::eventfd(0, libc::EFD_CLOEXEC)) };
    assert!(try_read(&event_loop, event).unwrap_err().to_string().contains("neither a file nor a pipe"));

    let reading = event_loop.run_in_executor(move || std::fs::read(path)).unwrap();
    let contents = event_loop.run_until_complete(async { reading.await.map_err(Error::new) }).unwrap();
    assert_eq!(contents.unwrap(), b"contents");
    assert_nothing_left(&event_loop);
}

fn pi1_the_other_direction_is_refused() {
    let event_loop = manual();
    let (reading, writing) = pipe();
    let descriptor = writing.as_raw_fd();
    let error = try_read(&event_loop, writing).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("connect_read_pipe: descriptor {descriptor} is not open for reading")
    );
    assert!(try_write(&event_loop, reading).unwrap_err().to_string().ends_with(" is not open for writing"));
    assert_nothing_left(&event_loop);
}

fn pi1_devices_that_are_always_ready_are_read_and_written() {
    let event_loop = manual();
    let told = reports(&event_loop);
    let (transport, _, trace) = write(&event_loop, OpenOptions::new().write(true).open("/dev/null").unwrap());
    transport.write(&[0; 100_000]).unwrap();
    turns(&event_loop, 3);
    assert_eq!((transport.write_buffer_size(), trace.count()), (0, 0));
    transport.close();
    until(&event_loop, || trace.count() == 1);
    let (_, _, trace) = read(&event_loop, File::open("/dev/null").unwrap());
    until(&event_loop, || trace.count() == 2);
    assert_eq!(trace.take(), ["eof", "lost"]);
    // Endless, and yet others have their turns.
    let (transport, _, trace) = read(&event_loop, File::open("/dev/zero").unwrap());
    turns(&event_loop, 5);
    assert!((3..=7).contains(&trace.count()), "{trace:?}");
    transport.pause_reading();
    trace.take();
    turns(&event_loop, 5);
    assert_eq!(trace.count(), 0);
    transport.close();
    until(&event_loop, || trace.count() == 1);
    assert_eq!(told.count(), 0);
    let (transport, _, trace) = write(&event_loop, OpenOptions::new().write(true).open("/dev/full").unwrap());
    transport.write(b"x").unwrap();
    until(&event_loop, || trace.count() == 1);
    assert_eq!(told.count(), 1, "{told:?}");
    assert_nothing_left(&event_loop);
}

fn pi2_the_pipe_does_not_block_and_connection_made_comes_before_any_data() {
    let event_loop = manual();
    let (reading, mut writing) = pipe();
    writing.write_all(b"early").unwrap();
    let copy = reading.try_clone().unwrap();
    assert!(!is_nonblocking(&copy));
    let (transport, _, trace) = read(&event_loop, reading);
    assert!(is_nonblocking(&copy));
    turns(&event_loop, 2);
    assert_eq!(trace.take(), ["data early"]);
    transport.close();
    turns(&event_loop, 1);
    assert_nothing_left(&event_loop);
}

fn pi7_a_setup_that_fails_or_is_cancelled_closes_the_pipe_once() {
    let (event_loop, _clock, faults) = EventLoop::with_faults(small()).unwrap();
    let before = own_descriptors();
    let called = Rc::new(Cell::new(0));
    let factory = || {
        let called = Rc::clone(&called);
        move || {
            called.set(called.get() + 1);
            Probe::new(&Trace::new())
        }
    };
    for operation in
        [Operation::FileKind, Operation::FileFlags, Operation::SetNonblocking, Operation::Register]
    {
        let (reading, writing) = pipe();
        faults.fail(operation, libc::ENOMEM);
        let error =
            event_loop.run_until_complete(event_loop.connect_read_pipe(factory(), reading)).unwrap_err();
        assert_eq!(error.as_io().unwrap().kind(), std::io::ErrorKind::OutOfMemory, "{operation:?}");
        faults.fail(operation, libc::ENOMEM);
        event_loop.run_until_complete(event_loop.connect_write_pipe(factory(), writing)).unwrap_err();
        assert_nothing_left(&event_loop);
    }
    let (reading, writing) = pipe();
    drop(event_loop.connect_read_pipe(factory(), reading));
    drop(event_loop.open_write_pipe(writing));
    assert_eq!((called.get(), own_descriptors()), (0, before));
    // Cancelled while the protocol is told.
    let (reading, _writing) = pipe();
    let trace = Trace::new();
    let probe = Probe::new(&trace);
    let handle = event_loop.handle();
    let task = event_loop
        .create_task(async move { handle.connect_read_pipe(|| probe, reading).await.map(drop) })
        .unwrap();
    let cancel = task.clone();
    event_loop.call_soon(move |_| assert!(cancel.cancel())).unwrap();
    turns(&event_loop, 4);
    assert!(task.cancelled());
    drop(task);
    assert_nothing_left(&event_loop);
}

fn n11_a_terminal_that_nobody_has_open_is_not_a_reader_that_left() {
    let event_loop = manual();
    let (master, slave) = terminal();
    set_raw(&slave);
    // SAFETY: the name is read at once, and no other thread of this test asks.
    let name = unsafe { std::ffi::CStr::from_ptr(libc::ptsname(master.as_raw_fd())) }.to_owned();
    let (transport, _, trace) = write(&event_loop, master);
    drop(slave);
    turns(&event_loop, 3);
    assert_eq!(trace.count(), 0, "{trace:?}");
    transport.write(b"kept\n").unwrap();
    turns(&event_loop, 3);
    let mut again = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK)
        .open(name.to_str().unwrap())
        .unwrap();
    // What the user types is no news for who prints.
    again.write_all(b"typed").unwrap();
    transport.write(b"more\n").unwrap();
    turns(&event_loop, 3);
    assert_eq!(trace.count(), 0, "{trace:?}");
    assert!(drain(&mut again).ends_with(b"more\n"));
    transport.close();
    until(&event_loop, || trace.count() == 1);
    assert_eq!(trace.take(), ["lost"]);
}

fn a_descriptor_that_callbacks_watch_is_refused() {
    let event_loop = manual();
    let (reading, _writing) = pipe();
    event_loop.add_reader(&reading, never).unwrap();
    let error = try_read(&event_loop, reading).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert_nothing_left(&event_loop);
}

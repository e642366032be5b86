//! Pipes, FIFOs, terminals and other devices: PI.

use core::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::{IoSlice, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::rc::Rc;

use rondel::{
    Config, Error, ErrorKind, EventLoop, EventLoopHandle, NotAPipe, Operation, ProtocolRef, ReadPipeProtocol,
    ReadTransport, Result, WriteBufferLimits, WritePipeProtocol, WriteTransport,
};

use crate::fixture::{
    Oops, Trace, alone, descriptors, log_lines, logged, manual, manual_with, never, quietly, reports,
    scenarios, small, turns,
};
use crate::pipe_fixture::{Directory, drain, is_nonblocking, pipe, set_nonblocking, set_raw, terminal};
use crate::probe::{assert_nothing_left, until};

scenarios! {
    pi1_whatever_is_a_stream_is_a_pipe
    pi1_files_and_directories_are_refused_by_name_and_the_executor_reads_them
    pi1_the_other_direction_is_refused
    pi1_devices_that_are_always_ready_are_read_and_written
    pi2_the_pipe_does_not_block_and_connection_made_comes_before_any_data
    pi3_the_end_is_told_and_then_the_loss_whatever_eof_received_says
    pi3_an_error_of_eof_received_is_reported_and_told
    pi4_the_end_of_a_terminal_is_an_error_that_is_not_reported
    pi5_the_reader_that_leaves_an_idle_pipe_is_noticed
    pi5_the_reader_that_leaves_a_full_pipe_breaks_it
    pi5_a_peer_that_leaves_a_socket_is_noticed_and_its_bytes_are_not
    pi6_close_and_write_eof_flush
    pi6_writes_after_a_close_are_dropped_and_warned_about_from_the_fifth
    pi6_abort_discards
    pi6_the_marks_pause_and_resume
    pi6_a_write_beyond_the_ceiling_is_refused_whole
    pi7_a_setup_that_fails_or_is_cancelled_closes_the_pipe_once
    p08_a_writer_that_leaves_while_reading_is_paused_wakes_nobody
    n11_a_terminal_that_nobody_has_open_is_not_a_reader_that_left
    a_pipe_of_packets_and_a_terminal_are_read_to_the_last_piece
    a_descriptor_that_callbacks_watch_is_refused
    a_protocol_is_replaced_and_found
    streams_read_lines_and_write_all
    streams_end_by_dropping_one_half
    streams_write_in_the_background_what_a_full_pipe_does_not_take
    sendfile_writes_a_file_into_a_pipe
    the_ends_of_a_socket_move_much_and_files
    a_shell_reads_a_fifo_and_writes_another
    any_call_of_the_system_that_fails_ends_the_pipe_once
    short_and_spurious_transfers_lose_nothing
    a_closing_loop_ends_its_pipes
}

/// Records what a pipe tells.
struct Probe {
    trace: Trace,
    at_eof: Option<Oops>,
}

impl Probe {
    fn new(trace: &Trace) -> Self {
        Self { trace: trace.clone(), at_eof: None }
    }

    fn lost(&self, error: Option<&Error>) {
        self.trace.push(error.map_or_else(|| "lost".to_owned(), |error| format!("lost: {error}")));
    }
}

impl ReadPipeProtocol for Probe {
    fn connection_made(&mut self, transport: &ReadTransport) -> Result<()> {
        assert!(transport.is_reading() && !transport.is_closing());
        self.trace.push("made");
        Ok(())
    }

    fn data_received(&mut self, _: &ReadTransport, data: &[u8]) -> Result<()> {
        assert!(!data.is_empty());
        self.trace.push(if data.len() > 16 {
            format!("data of {}", data.len())
        } else {
            format!("data {}", data.escape_ascii())
        });
        Ok(())
    }

    fn eof_received(&mut self, _: &ReadTransport) -> Result<()> {
        self.trace.push("eof");
        self.at_eof.take().map_or(Ok(()), |oops| Err(Error::new(oops)))
    }

    fn connection_lost(&mut self, transport: &ReadTransport, error: Option<&Error>) -> Result<()> {
        assert!(transport.is_closing() && !transport.is_reading());
        self.lost(error);
        Ok(())
    }
}

impl WritePipeProtocol for Probe {
    fn connection_made(&mut self, transport: &WriteTransport) -> Result<()> {
        assert!(!transport.is_closing());
        self.trace.push("made");
        Ok(())
    }

    fn pause_writing(&mut self, _: &WriteTransport) -> Result<()> {
        self.trace.push("pause");
        Ok(())
    }

    fn resume_writing(&mut self, _: &WriteTransport) -> Result<()> {
        self.trace.push("resume");
        Ok(())
    }

    fn connection_lost(&mut self, transport: &WriteTransport, error: Option<&Error>) -> Result<()> {
        assert!(transport.is_closing());
        assert_eq!(transport.write_buffer_size(), 0);
        self.lost(error);
        Ok(())
    }
}

type Reading = (ReadTransport, ProtocolRef<Probe>, Trace);
type Writing = (WriteTransport, ProtocolRef<Probe>, Trace);

fn try_read(event_loop: &EventLoop, pipe: impl Into<OwnedFd>) -> Result<Reading> {
    let trace = Trace::new();
    let probe = Probe::new(&trace);
    let connecting = event_loop.connect_read_pipe(|| probe, pipe.into());
    let (transport, protocol) = event_loop.run_until_complete(connecting)?;
    expect_made(&trace);
    Ok((transport, protocol, trace))
}

/// Takes the first line out of a trace; others may have come since.
fn expect_made(trace: &Trace) {
    let mut told = trace.take().into_iter();
    assert_eq!(told.next().as_deref(), Some("made"));
    told.for_each(|line| trace.push(line));
}

fn read(event_loop: &EventLoop, pipe: impl Into<OwnedFd>) -> Reading {
    try_read(event_loop, pipe).expect("a read pipe")
}

fn try_write(event_loop: &EventLoop, pipe: impl Into<OwnedFd>) -> Result<Writing> {
    let trace = Trace::new();
    let probe = Probe::new(&trace);
    let connecting = event_loop.connect_write_pipe(|| probe, pipe.into());
    let (transport, protocol) = event_loop.run_until_complete(connecting)?;
    expect_made(&trace);
    Ok((transport, protocol, trace))
}

fn write(event_loop: &EventLoop, pipe: impl Into<OwnedFd>) -> Writing {
    try_write(event_loop, pipe).expect("a write pipe")
}

/// Writes until bytes are left over.
fn fill(transport: &WriteTransport) {
    while transport.write_buffer_size() == 0 {
        transport.write(&[b'.'; 4096]).expect("room");
    }
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

fn pi5_the_reader_that_leaves_an_idle_pipe_is_noticed() {
    let event_loop = manual();
    let (reading, writing) = pipe();
    let (transport, _, trace) = write(&event_loop, writing);
    transport.write(b"unread").unwrap();
    turns(&event_loop, 2);
    assert_eq!(trace.count(), 0);
    drop(reading);
    until(&event_loop, || trace.count() == 1);
    assert_eq!(trace.take(), ["lost"]);
    assert_nothing_left(&event_loop);
    // Also if it was gone before.
    let (reading, writing) = pipe();
    drop(reading);
    let (_, _, trace) = write(&event_loop, writing);
    until(&event_loop, || trace.count() == 1);
    assert_eq!(trace.take(), ["lost"]);
    assert_nothing_left(&event_loop);
}

fn pi5_the_reader_that_leaves_a_full_pipe_breaks_it() {
    let event_loop = manual();
    let told = reports(&event_loop);
    for closes in [false, true] {
        let (reading, writing) = pipe();
        let (transport, _, trace) = write(&event_loop, writing);
        fill(&transport);
        turns(&event_loop, 2);
        if closes {
            transport.close();
            turns(&event_loop, 2);
        }
        assert_eq!(trace.count(), 0);
        drop(reading);
        until(&event_loop, || trace.count() == 1);
        let trace = trace.take();
        assert!(
            trace[0].starts_with("lost: ") && trace[0].to_lowercase().contains("broken pipe"),
            "{trace:?}"
        );
        assert_nothing_left(&event_loop);
    }
    assert_eq!(told.count(), 0, "{told:?}");
}

fn pi5_a_peer_that_leaves_a_socket_is_noticed_and_its_bytes_are_not() {
    let event_loop = manual();
    let (ours, mut peer) = UnixStream::pair().unwrap();
    let (_transport, _, trace) = write(&event_loop, ours);
    peer.write_all(b"for nobody").unwrap();
    turns(&event_loop, 3);
    assert_eq!(trace.count(), 0);
    drop(peer);
    until(&event_loop, || trace.count() == 1);
    assert_eq!(trace.take(), ["lost"]);
    assert_nothing_left(&event_loop);
}

fn pi6_close_and_write_eof_flush() {
    for ends in [WriteTransport::close, WriteTransport::write_eof] {
        let event_loop = manual();
        let (mut reading, writing) = pipe();
        set_nonblocking(&reading);
        let (transport, _, trace) = write(&event_loop, writing);
        assert!(transport.can_write_eof());
        fill(&transport);
        transport.write(b"the end").unwrap();
        ends(&transport);
        ends(&transport);
        assert!(transport.is_closing());
        let mut read = Vec::new();
        until(&event_loop, || {
            read.extend(drain(&mut reading));
            trace.count() == 1
        });
        assert_eq!(trace.take(), ["lost"]);
        read.extend(drain(&mut reading));
        assert!(read.ends_with(b"...the end"));
        assert_eq!(reading.read(&mut [0]).unwrap(), 0);
        assert_nothing_left(&event_loop);
    }
}

fn pi6_writes_after_a_close_are_dropped_and_warned_about_from_the_fifth() {
    let event_loop = manual();
    let (_reading, writing) = pipe();
    let (transport, _, trace) = write(&event_loop, writing);
    transport.write_eof();
    until(&event_loop, || trace.count() == 1);
    log_lines();
    for _ in 0..6 {
        transport.write(b"dropped").unwrap();
    }
    assert_eq!(event_loop.dropped_writes(), 6);
    let warnings = logged(log::Level::Warn);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("pipe"), "{warnings:?}");
    assert_eq!(trace.take(), ["lost"]);
}

fn pi6_abort_discards() {
    let event_loop = manual();
    let (mut reading, writing) = pipe();
    set_nonblocking(&reading);
    let (transport, _, trace) = write(&event_loop, writing);
    fill(&transport);
    let left = transport.write_buffer_size();
    assert!(left > 0);
    transport.abort();
    until(&event_loop, || trace.count() == 1);
    assert_eq!(trace.take(), ["lost"]);
    assert_eq!((drain(&mut reading).len() + left) % 4096, 0);
    assert_nothing_left(&event_loop);
}

fn pi6_the_marks_pause_and_resume() {
    let event_loop = manual();
    let (mut reading, writing) = pipe();
    set_nonblocking(&reading);
    let (transport, _, trace) = write(&event_loop, writing);
    transport.set_write_buffer_limits(WriteBufferLimits::new(Some(10_000), Some(10)).unwrap());
    assert_eq!(transport.write_buffer_limits().low(), 10);
    fill(&transport);
    transport.write(&[0; 10_000]).unwrap();
    assert_eq!(trace.take(), ["pause"]);
    let mut read = 0;
    until(&event_loop, || {
        read += drain(&mut reading).len();
        trace.count() == 1
    });
    assert_eq!(trace.take(), ["resume"]);
    until(&event_loop, || transport.write_buffer_size() == 0);
    read += drain(&mut reading).len();
    assert_eq!((read - 10_000) % 4096, 0);
    transport.close();
    until(&event_loop, || trace.count() == 1);
    assert_nothing_left(&event_loop);
}

fn pi6_a_write_beyond_the_ceiling_is_refused_whole() {
    let (event_loop, _clock) = manual_with(Config { write_buffer_bytes: 100_000, ..small() });
    let (mut reading, writing) = pipe();
    set_nonblocking(&reading);
    let (transport, _, trace) = write(&event_loop, writing);
    let error = transport.write(&[0; 100_001]).unwrap_err();
    assert!(error.is_full(), "{error}");
    assert_eq!(drain(&mut reading), b"");
    transport.close();
    until(&event_loop, || trace.count() == 1);
}

fn pi7_a_setup_that_fails_or_is_cancelled_closes_the_pipe_once() {
    let (event_loop, _clock, faults) = EventLoop::with_faults(small()).unwrap();
    let before = descriptors();
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
    assert_eq!((called.get(), descriptors()), (0, before));
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

fn a_descriptor_that_callbacks_watch_is_refused() {
    let event_loop = manual();
    let (reading, _writing) = pipe();
    event_loop.add_reader(&reading, never).unwrap();
    let error = try_read(&event_loop, reading).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
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

/// Runs `test` on a loop whose clock jumps, and which has nothing left in the end.
#[track_caller]
fn run(test: impl AsyncFnOnce(EventLoopHandle) -> Result<()>) {
    let event_loop = manual();
    event_loop.run_until_complete(test(event_loop.handle())).unwrap();
    turns(&event_loop, 3);
    assert_nothing_left(&event_loop);
}

fn streams_read_lines_and_write_all() {
    run(async |event_loop| {
        let (reading, writing) = pipe();
        let mut reader = event_loop.open_read_pipe(reading).limit(10).await?;
        let mut writer = event_loop.open_write_pipe(writing).await?;
        assert_eq!((reader.peer_addr().to_string(), writer.local_addr()), {
            let unnamed = writer.peer_addr();
            (unnamed.to_string(), Some(unnamed))
        });
        writer.write_all(b"one\ntwo\n").await?;
        assert_eq!(reader.read_line().await?, b"one\n");
        assert_eq!(reader.next_line().await?, Some(&b"two\n"[..]));
        let waiting = event_loop.create_task(async move {
            let line = reader.read_line().await?.to_vec();
            reader.read_line().await.map(|end| (line, end.is_empty()))
        })?;
        event_loop.yield_now().await?;
        writer.write(b"three\n")?;
        writer.write_eof()?;
        assert_eq!(waiting.await??, (b"three\n".to_vec(), true));
        writer.wait_closed().await?;
        assert_eq!(writer.write_all(b"x").await.unwrap_err().kind(), ErrorKind::Closed);
        Ok(())
    });
}

fn streams_end_by_dropping_one_half() {
    run(async |event_loop| {
        let (reading, mut writing) = pipe();
        drop(event_loop.open_read_pipe(reading).await?);
        assert_eq!(writing.write(b"x").unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
        let (mut reading, writing) = pipe();
        let mut writer = event_loop.open_write_pipe(writing).await?;
        writer.write(b"last")?;
        drop(writer);
        event_loop.yield_now().await?;
        assert_eq!(std::io::read_to_string(&mut reading)?, "last");
        let (reading, writing) = pipe();
        let mut writer = event_loop.open_write_pipe(writing).await?;
        drop(reading);
        let error = writer.write_all(b"x").await.unwrap_err();
        assert_eq!(error.as_io().unwrap().kind(), std::io::ErrorKind::BrokenPipe);
        Ok(())
    });
}

fn streams_write_in_the_background_what_a_full_pipe_does_not_take() {
    run(async |event_loop| {
        let (reading, writing) = pipe();
        let mut reader = event_loop.open_read_pipe(reading).await?;
        let mut writer = event_loop.open_write_pipe(writing).await?;
        let data: Vec<u8> = (0..1_000_000_u32).map(|index| (index % 251) as u8).collect();
        writer.write(&data[..500_000])?;
        assert!(writer.write_buffer_size() > 0);
        let rest = data[500_000..].to_vec();
        let writing = event_loop.create_task(async move {
            writer.drain().await?;
            writer.write_all(&rest).await?;
            writer.close();
            writer.wait_closed().await
        })?;
        let mut read = Vec::new();
        reader.read_to_end(&mut read, 2_000_000).await?;
        assert!(read == data);
        writing.await??;
        Ok(())
    });
}

fn sendfile_writes_a_file_into_a_pipe() {
    run(async |event_loop| {
        let directory = Directory::new("sendfile");
        let contents: Vec<u8> = (0..300_000_u32).map(|index| (index % 251) as u8).collect();
        // The second can't be sent without copying.
        for path in [directory.file("file", &contents), "/proc/self/limits".into()] {
            let expected = std::fs::read(&path)?;
            let file = File::open(&path)?;
            let (reading, writing) = pipe();
            let mut reader = event_loop.open_read_pipe(reading).await?;
            let mut writer = event_loop.open_write_pipe(writing).await?;
            let sending = event_loop.create_task(async move {
                let sent = writer.sendfile(&file, 0, None).await;
                writer.close();
                sent.map_err(Error::new)
            })?;
            let mut read = Vec::new();
            reader.read_to_end(&mut read, 1_000_000).await?;
            assert!(read == expected);
            assert_eq!(sending.await??, expected.len() as u64);
        }
        Ok(())
    });
}

fn the_ends_of_a_socket_move_much_and_files() {
    let (event_loop, _clock, faults) = EventLoop::with_faults(small()).unwrap();
    let directory = Directory::new("socket-ends");
    let data: Vec<u8> = (0..500_000_u32).map(|index| (index % 251) as u8).collect();
    let file = File::open(directory.file("file", &data)).unwrap();
    let expected = data.repeat(2);
    for largest in [usize::MAX, 10_000] {
        faults.limit(Operation::Recv, largest);
        faults.limit(Operation::Send, largest);
        faults.block(Operation::Recv);
        faults.block(Operation::Send);
        let (ours, theirs) = UnixStream::pair().unwrap();
        let talk = async {
            let mut reader = event_loop.open_read_pipe(theirs).await?;
            let mut writer = event_loop.open_write_pipe(ours).await?;
            writer.write(&data)?;
            assert!(writer.write_buffer_size() > 0);
            let file = file.try_clone()?;
            let sending = event_loop.create_task(async move {
                let sent = writer.sendfile(&file, 0, None).fallback(false).await;
                writer.close();
                sent.map_err(Error::new)
            })?;
            let mut read = Vec::new();
            reader.read_to_end(&mut read, 2_000_000).await?;
            assert!(read == expected, "{} bytes", read.len());
            assert_eq!(sending.await??, 500_000);
            Ok::<_, Error>(())
        };
        event_loop.run_until_complete(talk).unwrap();
        faults.heal(Operation::Recv);
        faults.heal(Operation::Send);
    }
    turns(&event_loop, 3);
    assert_nothing_left(&event_loop);
}

fn a_shell_reads_a_fifo_and_writes_another() {
    run(async |event_loop| {
        let directory = Directory::new("shell");
        let (there, back) = (directory.fifo("there"), directory.fifo("back"));
        let mut shell = Command::new("sh")
            .args(["-c", "tr a-z A-Z < \"$0\" > \"$1\""])
            .args([&there, &back])
            .stdin(Stdio::null())
            .spawn()?;
        // Each waits for the shell to open its end.
        let mut writer = event_loop.open_write_pipe(OpenOptions::new().write(true).open(&there)?).await?;
        let mut reader = event_loop.open_read_pipe(File::open(&back)?).await?;
        writer.write_all(b"hello, shell\n").await?;
        writer.close();
        assert_eq!(reader.read_line().await?, b"HELLO, SHELL\n");
        assert!(reader.read_line().await?.is_empty());
        assert!(shell.wait()?.success());
        Ok(())
    });
}

fn any_call_of_the_system_that_fails_ends_the_pipe_once() {
    let (event_loop, _clock, faults) = EventLoop::with_faults(small()).unwrap();
    let told = reports(&event_loop);
    let (reading, mut writing) = pipe();
    let (_, _, trace) = read(&event_loop, reading);
    faults.fail(Operation::Read, libc::ENOMEM);
    writing.write_all(b"x").unwrap();
    until(&event_loop, || trace.count() == 1);
    assert!(trace.take()[0].starts_with("lost: "));
    assert_eq!(told.take().len(), 1);
    for (operation, errno) in [(Operation::Write, libc::EBADF), (Operation::Reregister, libc::ENOMEM)] {
        let (_reading, writing) = pipe();
        let (transport, _, trace) = write(&event_loop, writing);
        faults.fail(operation, errno);
        transport.write(&[0; 100_000]).unwrap();
        until(&event_loop, || trace.count() == 1);
        assert!(trace.take()[0].starts_with("lost: "));
        assert_eq!(told.take().len(), 1);
        faults.heal(operation);
    }
    assert_nothing_left(&event_loop);
}

fn short_and_spurious_transfers_lose_nothing() {
    let (event_loop, _clock, faults) = EventLoop::with_faults(small()).unwrap();
    let data: Vec<u8> = (0..5000_u32).map(|index| (index % 251) as u8).collect();
    for (reads_max, writes_max) in [(1, 4096), (4096, 1), (700, 300)] {
        let (reading, writing) = pipe();
        faults.limit(Operation::Read, reads_max);
        faults.limit(Operation::Write, writes_max);
        faults.block(Operation::Read);
        faults.block(Operation::Write);
        let talk = async {
            let mut reader = event_loop.open_read_pipe(reading).await?;
            let mut writer = event_loop.open_write_pipe(writing).await?;
            writer.write(&data[..2500])?;
            writer.writelines(&[IoSlice::new(&data[2500..2600]), IoSlice::new(&data[2600..])])?;
            writer.close();
            let mut read = Vec::new();
            reader.read_to_end(&mut read, 10_000).await?;
            assert!(read == data, "{} bytes", read.len());
            Ok::<_, Error>(())
        };
        event_loop.run_until_complete(talk).unwrap();
        faults.heal(Operation::Read);
        faults.heal(Operation::Write);
    }
    turns(&event_loop, 3);
    assert_nothing_left(&event_loop);
}

fn a_closing_loop_ends_its_pipes() {
    let event_loop = manual();
    let (reading, _writer) = pipe();
    let (_reader, writing) = pipe();
    let (_, _, read) = read(&event_loop, reading);
    let (transport, _, written) = write(&event_loop, writing);
    fill(&transport);
    quietly(|| drop(event_loop));
    for trace in [read.take(), written.take()] {
        assert!(trace.len() == 1 && trace[0].starts_with("lost: "), "{trace:?}");
    }
}

/// Runs alone: what a signal does concerns the whole process.
#[test]
fn n10_a_pipe_without_a_reader_is_an_error_where_the_signal_would_kill() {
    alone("test_pipes::n10_a_pipe_without_a_reader_is_an_error_where_the_signal_would_kill", 64, || {
        // SAFETY: no handler.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        run(async |event_loop| {
            for is_vectored in [false, true] {
                let (reading, writing) = pipe();
                drop(reading);
                let mut writer = event_loop.open_write_pipe(writing).await?;
                let error = if is_vectored {
                    writer.writelines(&[IoSlice::new(b"x"), IoSlice::new(b"y")])?;
                    event_loop.yield_now().await?;
                    writer.write_all(b"z").await.unwrap_err()
                } else {
                    writer.write_all(b"x").await.unwrap_err()
                };
                assert_eq!(error.as_io().unwrap().kind(), std::io::ErrorKind::BrokenPipe);
            }
            let (reading, writing) = pipe();
            let mut writer = event_loop.open_write_pipe(writing).await?;
            drop(reading);
            let file = File::open("/proc/self/exe")?;
            let error = writer.sendfile(&file, 0, Some(100)).await.unwrap_err();
            assert_eq!(error.error().as_io().unwrap().kind(), std::io::ErrorKind::BrokenPipe);
            Ok(())
        });
        // What the host has set is as it was: nothing is blocked, nothing waits.
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        for line in ["SigPnd:", "ShdPnd:", "SigBlk:", "SigIgn:"] {
            let found = status.lines().find(|found| found.starts_with(line)).unwrap();
            let mask = u64::from_str_radix(found[line.len()..].trim(), 16).unwrap();
            assert_eq!(mask & 1 << (libc::SIGPIPE - 1), 0, "{found}");
        }
        // A signal of the host's own that waits is not taken.
        // SAFETY: the set is filled before it is used; the signal waits, blocked.
        unsafe {
            let mut set = core::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            libc::sigaddset(&raw mut set, libc::SIGPIPE);
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, core::ptr::null_mut());
            libc::raise(libc::SIGPIPE);
            run(async |event_loop| {
                let (reading, writing) = pipe();
                drop(reading);
                let mut writer = event_loop.open_write_pipe(writing).await?;
                writer.write_all(b"x").await.unwrap_err();
                Ok(())
            });
            let mut pending = core::mem::zeroed();
            libc::sigpending(&raw mut pending);
            assert_eq!(libc::sigismember(&raw const pending, libc::SIGPIPE), 1);
            libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        }
    });
}
